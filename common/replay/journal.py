"""The undo journal of a mapped ring: with it, a killed run goes back to the records of its checkpoint.

The file `undo-GENERATION.log` starts when that generation is saved. Before a value of that generation is overwritten,
the old value is appended: latents one batch at a time, records a block at a time. `undo` writes the values back, newest
first; repeating it changes nothing. The files of the last two generations are kept, like the last two checkpoints.

An entry is a line of JSON (keys as `spec_as_json` gives them, number of rows, whether they are whole records, CRC-32 of
the data), then numbers and streams (n,) int64, then the rows of each key. After a power cut the last entries of latents
may be missing: those latents stay newer than the checkpoint.
"""

import functools
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common.errors import UserError
from common.replay.metadata import spec_as_json
from common.replay.ring import LATENTS
from common.safe_io import parse_json

MAX_ENTRY_RECORDS = 256
MAX_ENTRY_HEADER_BYTES = 2**20
JOURNAL_NAME = re.compile(r"undo-(\d+)\.log")

Entry = tuple[bool, np.ndarray, np.ndarray, dict[str, np.ndarray]]  # whole records?, number, stream, rows by key


class UndoJournal:
    """Keeps old values of `arrays`, {key: (streams, slots, ...)}, in `directory`."""

    def __init__(self, directory: Path, arrays: Mapping[str, np.ndarray]):
        self.directory, self.arrays = directory, arrays
        self.streams, self.slots = next(iter(arrays.values())).shape[:2]
        self.kept = np.zeros((self.streams, self.slots), bool)  # records whose latents the journal already has
        self.first = self.stop = 0
        self.file: FileIO | None = None

    def begin(self, generation: int, first: int, stop: int) -> None:
        """Start the journal of `generation`, which has the records [first, stop)."""
        self.close()
        for made, path in sorted(journal_files(self.directory).items(), reverse=True):  # the newest are void: first
            if made > generation or made < generation - 1:
                path.unlink()
        path = self.directory / f"undo-{generation:06d}.log"
        try:
            self.file = path.open("wb", buffering=0)  # unbuffered: written before the map is, if not synced
        except OSError as error:
            raise UserError(f"Cannot write {path}: {error.strerror}. Free the disk or fix permissions.") from error
        self.first, self.stop = first, stop
        self.kept[:] = False

    def latents(self, stream: np.ndarray, number: np.ndarray) -> None:
        """Keep the latents of these records, (n,) each. Call it before they are overwritten."""
        lost = (number >= self.first) & (number < self.stop)
        lost &= ~self.kept[stream, number % self.slots]
        keys = [key for key in LATENTS if key in self.arrays]
        if keys and lost.any():
            self._append(keys, stream[lost], number[lost])
            self.kept[stream[lost], number[lost] % self.slots] = True

    def records(self, first: int, stop: int) -> None:
        """Keep the records [first, stop) of all streams, on disk. Call it before they are overwritten."""
        first, stop = max(first, self.first), min(stop, self.stop)
        for begin in range(first, stop, MAX_ENTRY_RECORDS):
            number = np.arange(begin, min(begin + MAX_ENTRY_RECORDS, stop))
            for stream in range(self.streams):
                self._append(list(self.arrays), np.full_like(number, stream), number)
            self.kept[:, number % self.slots] = True
        if self.file is not None and first < stop:
            os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            self.file.close()

    def _append(self, keys: list[str], stream: np.ndarray, number: np.ndarray) -> None:
        rows = {key: self.arrays[key][stream, number % self.slots] for key in keys}
        parts = [
            np.ascontiguousarray(part).reshape(-1).view(np.uint8).data for part in (number, stream, *rows.values())
        ]
        described = spec_as_json({key: (row.shape[1:], row.dtype) for key, row in rows.items()})
        crc = functools.reduce(lambda crc, part: zlib.crc32(part, crc), parts, 0)
        head = {"keys": described, "rows": len(number), "whole": len(keys) == len(self.arrays), "crc": crc}
        for part in (memoryview(json.dumps(head).encode() + b"\n"), *parts):
            self._write(part)

    def _write(self, rest: memoryview) -> None:
        assert self.file is not None, "begin comes first"
        try:
            while rest:  # a full disk may take a part of it
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            raise UserError(
                f"Cannot write {self.file.name}: {error.strerror}. Free some space, then rerun the same command."
            ) from error


def journal_files(directory: Path) -> dict[int, Path]:
    """Return the journals by generation."""
    found = [(JOURNAL_NAME.fullmatch(path.name), path) for path in directory.glob("undo-*.log")]
    return {int(match[1]): path for match, path in found if match}


def undo(directory: Path, generation: int, arrays: Mapping[str, np.ndarray]) -> int | None:
    """Set `arrays` back to `generation`.

    Returns 1 + the number of the newest whole record written back, 0 if there is none, None if the journal of that
    generation is missing.
    """
    found = {made: path for made, path in journal_files(directory).items() if made >= generation}
    if generation not in found:
        return None
    reach = 0
    for _, path in sorted(found.items(), reverse=True):
        with path.open("rb") as file:
            for whole, number, stream, rows in reversed([*read_entries(file)]):
                for key in arrays.keys() & rows.keys():
                    arrays[key][stream, number % arrays[key].shape[1]] = rows[key]
                reach = max(reach, int(number.max()) + 1) if whole else reach
    return reach


def read_entries(file: BinaryIO) -> Iterator[Entry]:
    """Yield every complete entry, its arrays as maps of the file."""
    data = np.memmap(file, np.uint8, "r") if os.fstat(file.fileno()).st_size else np.zeros(0, np.uint8)
    start = 0
    while (head := _read_head(file, start)) is not None:
        start, shapes = file.tell(), [((), np.dtype(np.int64))] * 2 + _shapes(head)
        sizes = [head["rows"] * int(np.prod(shape)) * dtype.itemsize for shape, dtype in shapes]
        stop = start + sum(sizes)
        if stop > len(data) or zlib.crc32(data[start:stop].tobytes()) != head["crc"]:
            return
        parts = np.split(data[start:stop], np.cumsum(sizes)[:-1])
        views = [part.view(dtype).reshape(-1, *shape) for part, (shape, dtype) in zip(parts, shapes, strict=True)]
        yield head["whole"], views[0], views[1], dict(zip(head["keys"], views[2:], strict=True))
        start = stop


def _read_head(file: BinaryIO, start: int) -> dict[str, Any] | None:
    """Return the JSON line of the entry at `start`, None if it is incomplete."""
    file.seek(start)
    try:
        head = parse_json(file.readline(MAX_ENTRY_HEADER_BYTES))
        _shapes(head)
        return head if isinstance(head["rows"], int) and head["rows"] > 0 and {"whole", "crc"} <= head.keys() else None
    except (ValueError, AttributeError, TypeError, KeyError):
        return None


def _shapes(head: dict[str, Any]) -> list[tuple[tuple[int, ...], np.dtype]]:
    return [(tuple(map(int, shape)), np.dtype(name)) for shape, name in head["keys"].values()]
