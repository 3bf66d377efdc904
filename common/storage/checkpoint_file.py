"""The format of checkpoint files: self-checking, written atomically, and loaded without running code from them.

A file starts with one line of JSON, padded to `HEADER_BYTES`: format, progress, and size and SHA-256 of the rest. The
rest is a `torch.save` of tensors and plain Python, which `torch.load(weights_only=True)` reads.
"""

import hashlib
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
MOVE_AWAY = "Move it to another folder to continue without it."
_ARRAY = "__ndarray__"


class DamagedCheckpoint(Exception):
    """A checkpoint file differs from what was written."""


def pack(tree: Any) -> Any:
    """Return `tree` with numpy arrays and scalars as tensors and plain numbers, ready for `torch.save`.

    Raises TypeError for values that `torch.load(weights_only=True)` would refuse.
    """
    if isinstance(tree, dict):
        return {key: pack(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([pack(value) for value in tree])
    if isinstance(tree, np.ndarray):
        return {_ARRAY: torch.from_numpy(np.array(tree, order="C"))}
    if isinstance(tree, np.generic):
        return tree.item()
    if tree is None or isinstance(tree, bool | int | float | str | torch.Tensor):
        return tree
    raise TypeError(f"A checkpoint holds tensors, arrays and plain Python, not {type(tree).__name__}: {tree!r}")


def unpack(tree: Any) -> Any:
    """Undo `pack`; numpy scalars stay plain numbers."""
    if isinstance(tree, dict):
        return tree[_ARRAY].numpy() if set(tree) == {_ARRAY} else {key: unpack(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([unpack(value) for value in tree])
    return tree


def write(path: Path, state: dict, **info: Any) -> None:
    """Store `state` in `path`, atomically; `info` goes to the readable header."""
    with atomic_write(path) as file:
        _write(file, pack(state), info)


def _write(file: BinaryIO, state: dict, info: dict) -> None:
    file.write(b" " * HEADER_BYTES)
    torch.save(state, file)
    file.seek(HEADER_BYTES)
    digest, size = _hash_rest(file)
    header = {"format": FORMAT_VERSION, "size": size, **info}
    line = json.dumps({**header, "sha256": _checksum(digest, header)}).encode()
    assert len(line) < HEADER_BYTES, (len(line), header)
    file.seek(0)
    file.write(line.ljust(HEADER_BYTES - 1) + b"\n")


def _hash_rest(file: BinaryIO) -> tuple[Any, int]:
    """Return SHA-256 and size of the data from the current position on."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(1 << 20):
        digest.update(block)
        size += len(block)
    return digest, size


def _checksum(digest: Any, header: dict) -> str:
    """Return the SHA-256 of the data in `digest`, followed by the other fields of the header."""
    digest.update(json.dumps(header, sort_keys=True).encode())
    return digest.hexdigest()


def read(path: Path) -> dict:
    """Return the state stored in `path`.

    Raises DamagedCheckpoint if a byte is missing or wrong: an older file may help. Raises UserError if it would not:
    the disk or network does not answer, or the file is intact but cannot be loaded.
    """
    try:
        with path.open("rb") as file:
            _read_verified(file)
            file.seek(HEADER_BYTES)
            state = unpack(torch.load(file, map_location="cpu", weights_only=True))
    except OSError as error:
        raise _unreadable(path, error) from error
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} holds more than tensors and plain values; no run wrote it. {MOVE_AWAY}") from error
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, MemoryError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise UserError(
            f"{path} is intact, but cannot be loaded here ({reason}). Is there enough memory? {MOVE_AWAY}"
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds no state of a run. {MOVE_AWAY}")
    return state


def read_verified_header(path: Path) -> dict:
    """Return the header of an intact file; {} if it is missing or damaged. Raises UserError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return _read_verified(file)
    except (FileNotFoundError, DamagedCheckpoint):
        return {}
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_verified(file: BinaryIO) -> dict:
    """Return the header. Raise DamagedCheckpoint if it or the rest of the file is damaged."""
    try:
        header = parse_json(file.read(HEADER_BYTES))
    except ValueError as error:
        raise DamagedCheckpoint("its header cannot be read") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT_VERSION:
        raise DamagedCheckpoint(f"its header does not have format {FORMAT_VERSION}")
    digest, size = _hash_rest(file)
    if size != header.get("size"):
        raise DamagedCheckpoint(f"it has {size} bytes, {header.get('size')} were written")
    if _checksum(digest, {key: value for key, value in header.items() if key != "sha256"}) != header.get("sha256"):
        raise DamagedCheckpoint("its checksum is wrong")
    return header


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be read: {error.strerror or error}. Nothing was changed. Bring the disk back or fix "
        "permissions, then rerun the same command."
    )
