"""The form of checkpoints: self-checking files, written atomically.

A file is one line of JSON, padded to `HEADER` bytes, that holds format, progress, size and SHA-256 of what follows: a
`torch.save` of tensors and plain Python, which loads with `weights_only=True` and so can run no foreign code.
"""

import hashlib
import io
import json
import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from common.errors import UserError
from common.files import atomic_write
from common.safe_io import parse_json

FORMAT_VERSION = 1
HEADER_BYTES = 1024
MOVE = "Move it away to go on without it."
_ARRAY = "__ndarray__"


class DamagedCheckpoint(Exception):
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


def write(path: Path, state: dict, **info: Any) -> None:
    """Stores `state` in `path`, all or nothing; `info` goes to the readable header."""
    with atomic_write(path) as file:
        _write(file, pack(state), info)


def read(path: Path) -> dict:
    """State stored in `path`.

    Raises Damaged if a byte of it is missing or wrong, and UserError where that cannot be said, for a disk or network
    that does not answer, or where it is whole but cannot be loaded: an older file would be no remedy then.
    """
    try:
        with path.open("rb") as file:
            _verify(file, _header(file))
            file.seek(HEADER_BYTES)
            state = unpack(torch.load(file, map_location="cpu", weights_only=True))
    except OSError as error:
        raise UserError(_unreadable(path, error)) from error
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} holds more than tensors and plain values, so no run wrote it. {MOVE}") from error
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, MemoryError) as error:
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise UserError(
            f"{path} is whole, but cannot be loaded here ({why}). Is there enough memory? {MOVE}"
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds no state of a run. {MOVE}")
    return state


def read_verified_header(path: Path) -> dict:
    """Header of a file that is whole; {} where there is none or it is damaged. UserError where it cannot be read."""
    try:
        with path.open("rb") as file:
            header = _header(file)
            _verify(file, header)
            return header
    except (FileNotFoundError, DamagedCheckpoint):
        return {}
    except OSError as error:
        raise UserError(_unreadable(path, error)) from error


def read_header(path: Path) -> dict:
    """What a checkpoint says about itself, unverified; {} where there is none or it cannot be read."""
    try:
        with path.open("rb") as file:
            return _header(file)
    except (OSError, DamagedCheckpoint):
        return {}


def _unreadable(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be read: {error.strerror or error}. Nothing was changed. Bring the disk back or fix "
        "permissions, then give the same command again."
    )


class _Hashing(io.BufferedIOBase):
    """Writes through to a file and keeps the SHA-256 and the size of what passed."""

    def __init__(self, file: BinaryIO):
        self.file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self.file.write(data)


def _write(file: BinaryIO, state: dict, info: dict) -> None:
    file.write(b" " * HEADER_BYTES)
    payload = _Hashing(file)
    torch.save(state, payload)  # type: ignore[arg-type]  # needs nothing but `write`
    header = {"format": FORMAT_VERSION, "size": payload.size, **info}
    line = json.dumps({**header, "sha256": _checksum(payload.digest, header)}).encode()
    assert len(line) < HEADER_BYTES, (len(line), header)
    file.seek(0)
    file.write(line.ljust(HEADER_BYTES - 1) + b"\n")


def _checksum(digest: Any, header: dict) -> str:
    """SHA-256 of what `digest` has seen, then of the header's other fields."""
    digest.update(json.dumps(header, sort_keys=True).encode())
    return digest.hexdigest()


def _header(file: BinaryIO) -> dict:
    try:
        header = parse_json(file.read(HEADER_BYTES))
    except ValueError as error:
        raise DamagedCheckpoint("its header cannot be read") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT_VERSION:
        raise DamagedCheckpoint(f"its header does not say format {FORMAT_VERSION}")
    return header


def _verify(file: BinaryIO, header: dict) -> None:
    digest, size = hashlib.sha256(), 0
    while block := file.read(1 << 20):
        digest.update(block)
        size += len(block)
    if size != header.get("size"):
        raise DamagedCheckpoint(f"{size} bytes where {header.get('size')} were written")
    fields = {key: value for key, value in header.items() if key != "sha256"}
    if _checksum(digest, fields) != header.get("sha256"):
        raise DamagedCheckpoint("its checksum is wrong")
