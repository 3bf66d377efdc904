"""A ring in memory-mapped files: one `KEY.ring` per key, as large as the capacity but filled only as records come.

The file `claimed` bounds the record numbers whose slots may have been written: it is raised a block at a time, and
synced, before the first record of that block is stored, and set to the exact count when the replay is saved. What the
block overwrites is put into a journal first, see `journal`: with it a killed run goes back to its checkpoint. Without
it the records before `claimed - slots` count as overwritten.
"""

import math
import os
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np

from common.errors import UserError
from common.files import atomic_write
from common.replay import journal, metadata
from common.replay.capacity import GIB, record_bytes
from common.replay.ring import Ring

MAX_CLAIM_RECORDS = 1024  # records per stream for which disk space is reserved at a time


class MappedRing:
    """The files of one ring. `arrays` are the writable maps, (streams, slots, ...) per key."""

    def __init__(self, directory: Path, arrays: dict, claimed: int, generation: int = 0):
        self.directory = directory
        self.arrays = arrays
        self.generation = generation
        self.journal = journal.UndoJournal(directory, arrays)
        self.slots = next(iter(arrays.values())).shape[1]
        self.block = max(1, min(MAX_CLAIM_RECORDS, self.slots // 16))
        self.claimed = claimed

    @classmethod
    def create(cls, directory: Path, ident: str, spec: dict, streams: int, slots: int) -> "MappedRing":
        """Makes empty files, in place of those of another replay.

        Raises:
          UserError: the directory cannot be written.
        """
        metadata.make_directory(directory)
        for path in [*directory.glob("*.ring"), *journal.journal_files(directory).values()]:
            path.unlink()
        mapped = cls(directory, _new(directory, spec, streams, slots), 0)
        mapped._write_claim(0)
        mapped.describe(ident)
        return mapped

    @classmethod
    def adopt(
        cls, directory: Path, state: dict, spec: dict, streams: int, slots: int
    ) -> tuple["MappedRing", int, list]:
        """Opens the files of the replay that `state` describes, brought back to it, to go on writing.

        Returns the oldest record that is still there, and latents that were not there.

        Raises:
          UserError: a file is missing, has another size than it should, or belongs to another replay; or the files
            do not have the `slots` that this run asks for.
        """
        if state["slots"] != slots:
            was = state["slots"] * streams
            gib = (state["slots"] + 0.5) * streams * record_bytes(spec) / GIB  # rounded down to whole slots
            raise UserError(
                f"The mapped replay in {directory} was made for {was} records, these settings give {slots * streams}. "
                f"It cannot change its size: give --replay.max_gib {gib:.10g}, and the other "
                "settings as before."
            )
        arrays, claimed, lost = open_ring(directory, state, spec, streams, "r+")
        arrays |= _new(directory, {key: spec[key] for key in lost}, streams, state["slots"])
        mapped = cls(directory, {key: arrays[key] for key in spec}, claimed, state["generation"])
        floor = oldest(
            directory, state, {key: array for key, array in mapped.arrays.items() if key not in lost}, claimed
        )
        mapped.describe(state["ident"])
        if floor <= state["oldest"]:
            mapped.sync(state["count"])
        mapped.journal.begin(state["generation"], floor, state["count"])
        return mapped, floor, lost

    def describe(self, ident: str) -> None:
        """Writes what the files are, for whoever opens them."""
        streams, keys = len(next(iter(self.arrays.values()))), metadata.spec_as_json(Ring(self.arrays).spec)
        metadata.write(self.directory / "ring.json", ident=ident, streams=streams, slots=self.slots, keys=keys)

    def claim(self, number: int) -> None:
        """To be called before record `number` is stored.

        Raises:
          UserError: the disk is full; nothing of the replay is harmed.
        """
        if number < self.claimed:
            return
        stop = number + self.block
        if self.claimed < self.slots:
            self._reserve(self.claimed, min(stop, self.slots))
        self.journal.records(self.claimed - self.slots, stop - self.slots)
        self._write_claim(stop)

    def _reserve(self, first: int, stop: int) -> None:
        if not hasattr(os, "posix_fallocate"):
            return
        for key, array in self.arrays.items():
            path, each = ring_path(self.directory, key), array[0, 0].nbytes
            with path.open("r+b") as file:
                for stream in range(len(array)):
                    offset = (stream * self.slots + first) * each
                    _allocate(path, file.fileno(), offset, (stop - first) * each)

    def _write_claim(self, stop: int) -> None:
        with atomic_write(self.directory / "claimed") as file:
            file.write(np.int64(stop).tobytes())
        self.claimed = stop

    def flush(self, first: int, count: int) -> None:
        """Makes the records [first, count) the next generation, on the disk."""
        self.sync(count)
        self.generation += 1
        self.journal.begin(self.generation, first, count)

    def sync(self, count: int) -> None:
        """Writes the records [.., count) to the disk."""
        for array in self.arrays.values():
            array.flush()
        self._write_claim(count)


def oldest(directory: Path, state: dict, arrays: dict, claimed: int) -> int:
    """Brings `arrays` back to what they were in `state`; returns the oldest record that is not lost."""
    lost = min(claimed - state["slots"], state["count"])
    if lost <= state["oldest"] and state["generation"] not in journal.journal_files(directory):
        return state["oldest"]
    reach = journal.undo(directory, state["generation"], arrays)
    return state["oldest"] if (reach or 0) >= lost else max(state["oldest"], lost)


def ring_path(directory: Path, key: str) -> Path:
    """Path of the map of a key; a key may hold any characters."""
    return directory / f"{quote(key, safe='')}.ring"


def _allocate(path: Path, handle: int, offset: int, size: int) -> None:
    try:
        os.posix_fallocate(handle, offset, size)
    except OSError as error:
        raise UserError(
            f"No space for the replay in {path} ({error.strerror}). Free some space, then give the same command again."
        ) from error


def _new(directory: Path, spec: dict, streams: int, slots: int) -> dict:
    try:
        return {
            key: np.memmap(ring_path(directory, key), np.dtype(dtype), "w+", shape=(streams, slots, *shape))
            for key, (shape, dtype) in spec.items()
        }
    except OSError as error:
        raise UserError(f"Cannot map a replay in {directory}: {error}. Use --replay.disk False.") from error


def open_ring(
    directory: Path, state: dict, spec: dict, streams: int, mode: Literal["c", "r+"]
) -> tuple[dict, int, list]:
    """Maps the files of the replay that `state` describes: ({key: array}, claimed, latents not found).

    Raises:
      UserError: a file is missing, has another size than it should, or belongs to another replay.
    """
    path = directory / "ring.json"
    about = metadata.read(path, ident=state["ident"], streams=streams, slots=state["slots"])
    lost = metadata.missing_latents(path, about.get("keys"), spec)
    arrays = {}
    for key, (shape, dtype) in spec.items():
        if key not in lost:
            arrays[key] = _map(ring_path(directory, key), dtype, (streams, about["slots"], *shape), mode)
    return arrays, int(_map(directory / "claimed", np.int64, (1,), "r")[0]), lost


def _map(path: Path, dtype, shape: tuple, mode: Literal["r", "c", "r+"]) -> np.memmap:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    found = path.stat().st_size if path.is_file() else "no"
    if found != size:
        raise UserError(f"{path} should have {size} bytes and has {found}. Restore it, or start in a new --logdir.")
    return np.memmap(path, dtype, mode, shape=shape)


def load(directory: Path, state: dict, ring: Ring) -> list:
    """Copies the records [ring.oldest, ring.count) out of mapped files; returns latents not found.

    Records that were overwritten after `state` was taken are left out: `ring.floor` is raised past them.
    """
    arrays, claimed, lost = open_ring(directory, state, ring.spec, ring.streams, "c")
    source = Ring(arrays, ring.count, oldest(directory, state, arrays, claimed))
    ring.floor = max(ring.floor, source.oldest)
    for first in range(ring.oldest, ring.count, MAX_CLAIM_RECORDS):
        stop = min(first + MAX_CLAIM_RECORDS, ring.count)
        for key in arrays:
            ring.put(key, first, source.block(key, first, stop))
    return lost
