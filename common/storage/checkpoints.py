"""Checkpoints of a run: one file each, the newest two kept, and the agent with the best score."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError
from common.files import make_output_folder
from common.storage import publication
from common.storage.checkpoint_file import DamagedCheckpoint, read, read_verified_header, write
from common.storage.logdir import config_digest, join_lines, stored_config

BEST_FILE = "best.pt"
CHECKPOINTS_KEPT = 2
REQUIRED_TYPES = {"agent": dict, "frames": int, "digest": str}


class Checkpoints:
    """The checkpoints of one run, the newest `kept`. `messages` reports the damaged files that `load` met."""

    def __init__(self, folder: Path, kept: int = CHECKPOINTS_KEPT):
        self.folder, self.kept = folder, kept
        self.messages: list[str] = []
        self._damaged: set[Path] = set()
        self._best: dict | None = None  # header of the best one, once verified

    def paths(self) -> list[Path]:
        """Return the files, newest first, without copies that a user made under other names."""
        return sorted(filter(_serial, self.folder.glob("checkpoint-*.pt")), key=_serial, reverse=True)

    def save(self, state: dict, **info: Any) -> Path:
        """Write `state` (nested dicts and lists of tensors, arrays, plain Python) as the newest checkpoint.

        `info` goes to the readable header. Raises UserError if the disk is full or not writable.
        """
        make_output_folder(self.folder, "--logdir")
        path = self.folder / f"checkpoint-{max([0, *map(_serial, self.paths())]) + 1:08d}.pt"
        write(path, state, **info)
        for old in [p for p in self.paths() if p not in self._damaged][self.kept :]:
            old.unlink(missing_ok=True)
        return path

    def save_best(self, state: dict, kind: str, score: float, **info: Any) -> None:
        """Write `state` as `best.pt` if the stored score is lower, missing or of another `kind`.

        Raises UserError if the disk is full or not writable.
        """
        if self._best is None:
            self._best = read_verified_header(self.folder / BEST_FILE)
        stored = self._best.get("score")
        least = stored if isinstance(stored, int | float) else -math.inf
        if self._best.get("kind") == kind and not score > least:
            return
        make_output_folder(self.folder, "--logdir")
        write(self.folder / BEST_FILE, state, kind=kind, score=score, **info)
        self._best = {"kind": kind, "score": score}

    def load_best(self) -> dict | None:
        """Return the state of `best.pt`, None if there is no such file. Raises UserError if it is damaged."""
        path = self.folder / BEST_FILE
        try:
            return read(path) if path.exists() else None
        except DamagedCheckpoint as error:
            raise UserError(f"Checkpoint {path} cannot be used ({error}). Use the newest one: omit --best.") from error

    def load(self) -> dict | None:
        """Return the newest state that is intact, None if there is no checkpoint.

        A damaged file is named in `messages` and the one before it is used. Raises UserError if all are damaged.
        """
        paths = self.paths()
        for path in paths:
            try:
                return read(path)
            except DamagedCheckpoint as error:
                self._damaged.add(path)
                self.messages.append(f"Checkpoint {path} cannot be used ({error}); using the one before it.")
        if paths:
            names = "\n  ".join(map(str, paths))
            raise UserError(
                f"No checkpoint in {self.folder} can be read:\n  {names}\nNothing was changed. "
                "Restore one of these files from a backup, or start a new run in another --logdir."
            )
        return None


def load_newest(logdir: Path, best: bool = False) -> dict:
    """Return the state of the newest readable checkpoint of a run, or of the best by score. A published agent has one.

    Raises UserError if there is none, or if it belongs to another config than the run.
    """
    if publication.is_published(logdir):
        return publication.read_state(logdir)
    checkpoints = Checkpoints(logdir / "checkpoints")
    state = checkpoints.load_best() if best else checkpoints.load()
    for message in checkpoints.messages:
        print(message, file=sys.stderr)
    if state is None:
        raise UserError(f"{logdir} has no checkpoint yet. Train first, with the same --logdir.")
    if not all(isinstance(state.get(key), kind) for key, kind in REQUIRED_TYPES.items()):
        raise UserError(f"The checkpoint in {logdir} is not one of a training run. Put the right files back.")
    if state["digest"] != config_digest(stored_config(logdir)):
        raise UserError(
            f"The checkpoints in {checkpoints.folder} belong to another config than the config.yaml of that run. "
            "Put the right files back."
        )
    return state


def load_agent_state(module: torch.nn.Module, state: dict, place: Path) -> None:
    """Load an agent's `state`, found at `place`. Raises UserError, with keys and shapes, if it does not fit."""
    if differing := describe_mismatch(state, module.state_dict()):
        raise UserError(
            f"The checkpoint in {place} does not fit this agent (shapes stored -> needed):\n  {differing}\n"
            "Have the observations or actions of the environment changed? Start a new run in another --logdir."
        )
    module.load_state_dict(state)


def describe_mismatch(stored: Mapping[str, Any], needed: Mapping[str, Any]) -> str:
    """Return lines about the entries of two states that differ in name or shape; '' if there are none."""
    one, two = ({key: _shape(value) for key, value in state.items()} for state in (stored, needed))
    keys = [key for key in {**one, **two} if one.get(key) != two.get(key)]
    return join_lines([f"{key}: {one.get(key, 'absent')} -> {two.get(key, 'absent')}" for key in keys])


def _shape(value: Any) -> str:
    """Return the shape of a tensor as text; the type of any other value."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return " x ".join(map(str, value.shape)) or "a number"


def _serial(path: Path) -> int:
    digits = path.stem.removeprefix("checkpoint-")
    return int(digits) if digits.isascii() and digits.isdecimal() else 0
