"""Checkpoints: one self-checking file each, written atomically, the newest two kept, and the agent of the best score.

A file is one line of JSON, padded to `HEADER` bytes, that holds format, progress, size and SHA-256 of what follows: a
`torch.save` of tensors and plain Python, which loads with `weights_only=True` and so can run no foreign code.
"""

import hashlib
import io
import json
import math
import pickle
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from common.errors import UserError
from common.files import atomic

BEST = "best.pt"
FORMAT = 1
HEADER = 1024
KEPT = 2  # checkpoints of a run
LISTED = 15  # differing keys shown
_ARRAY = "__ndarray__"


class Damaged(Exception):
    """A checkpoint file that is not what was written."""


def pack(tree: Any) -> Any:
    """Returns `tree` with numpy arrays and scalars as tensors and plain numbers, ready for `torch.save`.

    Raises TypeError for anything that `torch.load(weights_only=True)` would refuse.
    """
    if isinstance(tree, dict):
        return {key: pack(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([pack(value) for value in tree])
    if isinstance(tree, np.ndarray):
        return {_ARRAY: torch.from_numpy(np.array(tree, order="C"))}
    if isinstance(tree, np.generic):
        return tree.item()
    if tree is None or isinstance(tree, (bool, int, float, str, torch.Tensor)):
        return tree
    raise TypeError(f"A checkpoint holds tensors, arrays and plain Python, not {type(tree).__name__}: {tree!r}")


def unpack(tree: Any) -> Any:
    """Undoes `pack`; numpy scalars come back as plain numbers."""
    if isinstance(tree, dict):
        if set(tree) == {_ARRAY}:
            return tree[_ARRAY].numpy()
        return {key: unpack(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([unpack(value) for value in tree])
    return tree


class Checkpoints:
    """The checkpoints of one run.

    `messages` lists the damaged files met by `load`, for people to read.
    """

    def __init__(self, folder: Path, keep: int = KEPT):
        self.folder = folder
        self.keep = keep
        self.messages: list[str] = []
        self._damaged: set[Path] = set()

    def paths(self) -> list[Path]:
        """Files present, newest first."""
        return sorted(self.folder.glob("checkpoint-*.pt"), key=_serial, reverse=True)

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
        before = about(self.folder / BEST)
        if before.get("kind") == kind and not score > _number(before.get("score")):
            return
        _make(self.folder)
        write(self.folder / BEST, state, kind=kind, score=score, **info)

    def load_best(self) -> dict | None:
        """What `save_best` wrote last, or None where there is nothing. Raises UserError if it is damaged."""
        path = self.folder / BEST
        try:
            return read(path) if path.exists() else None
        except Damaged as error:
            raise UserError(f"Checkpoint {path} cannot be used ({error}). Use the newest one: leave --best.") from error

    def load(self) -> dict | None:
        """Newest state that is whole, or None where there is no checkpoint.

        A damaged file is named in `messages` and the one before it is used. Raises UserError if all are damaged.
        """
        paths = self.paths()
        for path in paths:
            try:
                state = read(path)
            except Damaged as error:
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


def newest(logdir: Path, best: bool = False) -> dict:
    """State of the newest readable checkpoint of a run, or the best by score; UserError where there is none."""
    checkpoints = Checkpoints(logdir / "checkpoints")
    state = checkpoints.load_best() if best else checkpoints.load()
    for message in checkpoints.messages:
        print(message, file=sys.stderr)
    if state is not None and not (isinstance(state.get("agent"), dict) and isinstance(state.get("frames"), int)):
        raise UserError(f"The checkpoint in {logdir} is not one of a training run. Put the right files back.")
    if state is None:
        raise UserError(f"{logdir} has no checkpoint yet. Train first, with the same --logdir.")
    return state


def write(path: Path, state: dict, **info: Any) -> None:
    """Stores `state` in `path`, all or nothing; `info` goes to the readable header."""
    with atomic(path) as file:
        _write(file, pack(state), info)


def read(path: Path) -> dict:
    """State stored in `path`; raises Damaged if a byte of it is missing or wrong."""
    try:
        with path.open("rb") as file:
            header = _header(file)
            _verify(file, header)
            file.seek(HEADER)
            state = unpack(torch.load(file, map_location="cpu", weights_only=True))
    except OSError as error:
        raise Damaged(error.strerror or str(error)) from error
    except pickle.UnpicklingError as error:
        raise Damaged("it holds more than tensors and plain values") from error
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError) as error:
        raise Damaged(f"its content cannot be read: {type(error).__name__}") from error
    if not isinstance(state, dict):
        raise Damaged("it holds no state of a run")
    return state


def about(path: Path) -> dict:
    """What a checkpoint says about itself, unverified; {} where there is none or it cannot be read."""
    try:
        with path.open("rb") as file:
            return _header(file)
    except (OSError, Damaged):
        return {}


def _number(value: Any) -> float:
    return value if isinstance(value, (int, float)) else -math.inf


def fit(module: torch.nn.Module, state: dict, place: Path) -> None:
    """Loads an agent's `state`, found at `place`. Raises UserError, with keys and shapes, if it is another agent's."""
    if differing := mismatch(state, module.state_dict()):
        raise UserError(
            f"The checkpoint in {place} does not fit this agent (shapes stored -> needed):\n  {differing}\n"
            "Have the observations or actions of the environment changed? Start afresh in another --logdir."
        )
    module.load_state_dict(state)


def mismatch(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Lines about entries that only one of two states has, or that have another shape; "" where they fit."""
    shapes = [{key: _shape(value) for key, value in state.items()} for state in (there, here)]
    keys = [key for key in {**shapes[0], **shapes[1]} if shapes[0].get(key) != shapes[1].get(key)]
    lines = [f"{key}: {shapes[0].get(key, 'absent')} -> {shapes[1].get(key, 'absent')}" for key in keys[:LISTED]]
    return "\n  ".join(lines + [f"... and {len(keys) - LISTED} more"] * (len(keys) > LISTED))


def _shape(value: Any) -> str:
    """Shape of a tensor in words; the kind of anything else."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    return " x ".join(map(str, value.shape)) or "a number"


def _serial(path: Path) -> int:
    digits = path.stem.removeprefix("checkpoint-")
    return int(digits) if digits.isdigit() else 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot create {folder}: {error.strerror}. Choose a --logdir that you may write to."
        ) from error


class _Hashing(io.BufferedIOBase):
    """Writes through to a file and keeps the SHA-256 and the size of what passed."""

    def __init__(self, file: BinaryIO):
        self.file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self.file.write(data)


def _write(file: BinaryIO, state: dict, info: dict) -> None:
    file.write(b" " * HEADER)
    payload = _Hashing(file)
    torch.save(state, payload)  # type: ignore[arg-type]  # needs nothing but `write`
    header = {"format": FORMAT, "size": payload.size, **info}
    line = json.dumps({**header, "sha256": _checksum(payload.digest, header)}).encode()
    assert len(line) < HEADER, (len(line), header)
    file.seek(0)
    file.write(line.ljust(HEADER - 1) + b"\n")


def _checksum(digest: Any, header: dict) -> str:
    """SHA-256 of what `digest` has seen, then of the header's other fields."""
    digest.update(json.dumps(header, sort_keys=True).encode())
    return digest.hexdigest()


def _header(file: BinaryIO) -> dict:
    try:
        header = json.loads(file.read(HEADER))
    except ValueError as error:
        raise Damaged("its header cannot be read") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise Damaged(f"its header does not say format {FORMAT}")
    return header


def _verify(file: BinaryIO, header: dict) -> None:
    digest, size = hashlib.sha256(), 0
    while block := file.read(1 << 20):
        digest.update(block)
        size += len(block)
    if size != header.get("size"):
        raise Damaged(f"{size} bytes where {header.get('size')} were written")
    fields = {key: value for key, value in header.items() if key != "sha256"}
    if _checksum(digest, fields) != header.get("sha256"):
        raise Damaged("its checksum is wrong")
