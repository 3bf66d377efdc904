"""Checkpoints of a run: one file each, the newest two kept, and the agent of the best score."""

import math
import sys
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError
from common.storage.checkpoint_file import DamagedCheckpoint, read, read_verified_header, write
from common.storage.logdir import config_digest, stored_config

BEST_FILE = "best.pt"
CHECKPOINTS_KEPT = 2  # checkpoints of a run
MAX_LISTED_KEYS = 15  # differing keys shown
REQUIRED_TYPES = {"agent": dict, "frames": int, "digest": str}


class Checkpoints:
    """The checkpoints of one run.

    `messages` lists the damaged files met by `load`, for people to read.
    """

    def __init__(self, folder: Path, keep: int = CHECKPOINTS_KEPT):
        self.folder = folder
        self.keep = keep
        self.messages: list[str] = []
        self._damaged: set[Path] = set()
        self._best: dict | None = None  # header of the best one, once it is known to be whole

    def paths(self) -> list[Path]:
        """Files present, newest first; copies that a person has made under other names are not among them."""
        return sorted(filter(_serial, self.folder.glob("checkpoint-*.pt")), key=_serial, reverse=True)

    def save(self, state: dict, **info: Any) -> Path:
        """Writes `state` (nested dicts and lists of tensors, arrays, plain Python) as the newest checkpoint.

        `info` goes to the readable header. Raises UserError where the disk is full or not writable.
        """
        _make(self.folder)
        path = self.folder / f"checkpoint-{max([0, *map(_serial, self.paths())]) + 1:08d}.pt"
        write(path, state, **info)
        sound = [p for p in self.paths() if p not in self._damaged]
        for old in sound[self.keep :]:
            old.unlink(missing_ok=True)
        return path

    def save_best(self, state: dict, kind: str, score: float, **info: Any) -> None:
        """Writes `state` as `best.pt` if `score` is above that of the one there, or of another `kind`.

        Raises UserError where the disk is full or not writable.
        """
        if self._best is None:
            self._best = read_verified_header(self.folder / BEST_FILE)
        if self._best.get("kind") == kind and not score > _number(self._best.get("score")):
            return
        _make(self.folder)
        write(self.folder / BEST_FILE, state, kind=kind, score=score, **info)
        self._best = {"kind": kind, "score": score}

    def load_best(self) -> dict | None:
        """What `save_best` wrote last, or None where there is nothing. Raises UserError if it is damaged."""
        path = self.folder / BEST_FILE
        try:
            return read(path) if path.exists() else None
        except DamagedCheckpoint as error:
            raise UserError(f"Checkpoint {path} cannot be used ({error}). Use the newest one: leave --best.") from error

    def load(self) -> dict | None:
        """Newest state that is whole, or None where there is no checkpoint.

        A damaged file is named in `messages` and the one before it is used. Raises UserError if all are damaged.
        """
        paths = self.paths()
        for path in paths:
            try:
                state = read(path)
            except DamagedCheckpoint as error:
                self._damaged.add(path)
                self.messages.append(f"Checkpoint {path} cannot be used ({error}); using the one before it.")
            else:
                return state
        if paths:
            names = "\n  ".join(map(str, paths))
            raise UserError(
                f"No checkpoint in {self.folder} can be read:\n  {names}\nNothing was changed. "
                "Restore one of these files from a backup, or start afresh in another --logdir."
            )
        return None


def load_newest(logdir: Path, best: bool = False) -> dict:
    """State of the newest readable checkpoint of a run, or the best by score.

    Raises UserError where there is none, or one that belongs to another config than that of the run.
    """
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
            f"The checkpoints in {checkpoints.folder} belong to another config than config.yaml beside them. Put the "
            "right files back."
        )
    return state


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) else -math.inf


def load_agent_state(module: torch.nn.Module, state: dict, place: Path) -> None:
    """Loads an agent's `state`, found at `place`. Raises UserError, with keys and shapes, if it is another agent's."""
    if differing := describe_mismatch(state, module.state_dict()):
        raise UserError(
            f"The checkpoint in {place} does not fit this agent (shapes stored -> needed):\n  {differing}\n"
            "Have the observations or actions of the environment changed? Start afresh in another --logdir."
        )
    module.load_state_dict(state)


def describe_mismatch(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Lines about entries that only one of two states has, or that have another shape; "" where they fit."""
    shapes = [{key: _shape(value) for key, value in state.items()} for state in (there, here)]
    keys = [key for key in {**shapes[0], **shapes[1]} if shapes[0].get(key) != shapes[1].get(key)]
    lines = [
        f"{key}: {shapes[0].get(key, 'absent')} -> {shapes[1].get(key, 'absent')}" for key in keys[:MAX_LISTED_KEYS]
    ]
    return "\n  ".join(lines + [f"... and {len(keys) - MAX_LISTED_KEYS} more"] * (len(keys) > MAX_LISTED_KEYS))


def _shape(value: Any) -> str:
    """Shape of a tensor in words; the kind of anything else."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return " x ".join(map(str, value.shape)) or "a number"


def _serial(path: Path) -> int:
    digits = path.stem.removeprefix("checkpoint-")
    return int(digits) if digits.isascii() and digits.isdecimal() else 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot create {folder}: {error.strerror}. Choose a --logdir that you may write to."
        ) from error
