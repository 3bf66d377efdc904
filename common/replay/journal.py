"""What a mapped ring held when it was saved, kept while it is written over, so that a killed run finds it again.

The file `undo-GENERATION.log` begins when that generation has been saved. A value that belongs to it is appended there
before it is overwritten: latents one batch at a time, records a block at a time. `undo` writes the values back, newest
first; doing it twice does no harm. The files of the last two generations are kept, as the last two checkpoints are.

An entry is a line of JSON (keys as `meta.describe` has them, number of rows, whether it is whole records, CRC-32 of
what follows), then numbers and streams (n,) int64, then the rows of each key. After a power cut the last entries of
latents may be missing: those stay newer than the checkpoint.
"""

import functools
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common.errors import UserError
from common.replay.metadata import spec_as_json
from common.replay.ring import LATENTS
from common.safe_io import parse_json

MAX_ENTRY_RECORDS = 256  # records of an entry
MAX_ENTRY_HEADER_BYTES = 2**20  # bytes of its line of JSON
JOURNAL_NAME = re.compile(r"undo-(\d+)\.log")


class UndoJournal:
    """Keeps old values of `arrays`, {key: (streams, slots, ...)}, in `directory`."""

    def __init__(self, directory: Path, arrays: dict):
        self.directory, self.arrays = directory, arrays
        self.streams, self.slots = next(iter(arrays.values())).shape[:2]
        self.kept = np.zeros((self.streams, self.slots), bool)  # whose latents need not be kept any more
        self.first = self.stop = 0
        self.file: Any = None

    def begin(self, generation: int, first: int, stop: int) -> None:
        """From now on keeps what is lost of the records [first, stop), which were saved as `generation`."""
        self.close()
        for made, path in sorted(
            journal_files(self.directory).items(), reverse=True
        ):  # newer ones are void, and go first
            if made > generation or made < generation - 1:
                path.unlink()
        self.file = self._open(self.directory / f"undo-{generation:06d}.log")
        self.first, self.stop = first, stop
        self.kept[:] = False

    def latents(self, stream: np.ndarray, number: np.ndarray) -> None:
        """To be called before latents of these records, (n,) each, are overwritten."""
        lost = (number >= self.first) & (number < self.stop)
        lost &= ~self.kept[stream, number % self.slots]
        keys = [key for key in LATENTS if key in self.arrays]
        if keys and lost.any():
            self._append(keys, stream[lost], number[lost])
            self.kept[stream[lost], number[lost] % self.slots] = True

    def records(self, first: int, stop: int) -> None:
        """To be called before the records [first, stop) of all streams are overwritten; they are on disk then."""
        first, stop = max(first, self.first), min(stop, self.stop)
        for begin in range(first, stop, MAX_ENTRY_RECORDS):
            number = np.arange(begin, min(begin + MAX_ENTRY_RECORDS, stop))
            for stream in range(self.streams):
                self._append(list(self.arrays), np.full_like(number, stream), number)
            self.kept[:, number % self.slots] = True
        if first < stop:
            os.fsync(self.file.fileno())

    def close(self) -> None:
        """Closes the file."""
        if self.file is not None:
            self.file.close()

    def _append(self, keys: list[str], stream: np.ndarray, number: np.ndarray) -> None:
        rows = {key: self.arrays[key][stream, number % self.slots] for key in keys}
        parts = [
            np.ascontiguousarray(part).reshape(-1).view(np.uint8).data for part in (number, stream, *rows.values())
        ]
        about = spec_as_json({key: (row.shape[1:], row.dtype) for key, row in rows.items()})
        crc = functools.reduce(lambda crc, part: zlib.crc32(part, crc), parts, 0)
        head = {"keys": about, "rows": len(number), "whole": len(keys) == len(self.arrays), "crc": crc}
        for part in (memoryview(json.dumps(head).encode() + b"\n"), *parts):
            self._write(part)

    def _write(self, rest: memoryview) -> None:
        try:
            while rest:  # a full disk may take a part
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            raise UserError(
                f"Cannot write {self.file.name}: {error.strerror}. Free some space, then give the same command again."
            ) from error

    @staticmethod
    def _open(path: Path) -> Any:
        try:
            return path.open("wb", buffering=0)  # written before the map is, if not to the disk
        except OSError as error:
            raise UserError(f"Cannot write {path}: {error.strerror}. Free the disk or fix permissions.") from error


def journal_files(directory: Path) -> dict[int, Path]:
    """Journals by generation."""
    found = [(JOURNAL_NAME.fullmatch(path.name), path) for path in directory.glob("undo-*.log")]
    return {int(match[1]): path for match, path in found if match}


def undo(directory: Path, generation: int, arrays: dict) -> int | None:
    """Brings `arrays` back to what was saved as `generation`; None if its journal is not there.

    Returns the number after that of the newest record written back, 0 without any.
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


def read_entries(file: BinaryIO) -> Iterator[tuple]:
    """(whether it is of whole records, number, stream, rows by key) of every complete entry, as maps of the file."""
    data, place = np.memmap(file, np.uint8, "r") if os.fstat(file.fileno()).st_size else np.zeros(0, np.uint8), 0
    while (head := _head(file, place)) is not None:
        place, shapes = file.tell(), [((), np.dtype(np.int64))] * 2 + _shapes(head)
        sizes = [head["rows"] * int(np.prod(shape)) * dtype.itemsize for shape, dtype in shapes]
        stop = place + sum(sizes)
        if stop > len(data) or zlib.crc32(data[place:stop].tobytes()) != head["crc"]:
            return
        parts = np.split(data[place:stop], np.cumsum(sizes)[:-1])
        views = [part.view(dtype).reshape(-1, *shape) for part, (shape, dtype) in zip(parts, shapes, strict=True)]
        yield head["whole"], views[0], views[1], dict(zip(head["keys"], views[2:], strict=True))
        place = stop


def _head(file: BinaryIO, place: int) -> dict | None:
    file.seek(place)
    try:
        head = parse_json(file.readline(MAX_ENTRY_HEADER_BYTES))
        _shapes(head)
        return head if isinstance(head["rows"], int) and head["rows"] > 0 and {"whole", "crc"} <= head.keys() else None
    except (ValueError, AttributeError, TypeError, KeyError):
        return None


def _shapes(head: dict) -> list[tuple]:
    return [(tuple(map(int, shape)), np.dtype(name)) for shape, name in head["keys"].values()]
