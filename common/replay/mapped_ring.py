"""A ring in memory-mapped files: one `KEY.ring` per key, as large as the capacity but filled only as records come.

The file `claimed` bounds the record numbers whose slots may have been written. It is raised a block at a time, and
synced, before the first record of that block is stored; a save sets it to the exact count. The records that the block
overwrites go to a journal first (see `journal`), which brings a killed run back to its checkpoint. Without the journal,
the records before `claimed - slots` count as overwritten.
"""

import math
import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from numpy.typing import DTypeLike

from common.errors import UserError
from common.files import atomic_write, make_output_folder
from common.replay import journal, metadata
from common.replay.capacity import GIB, record_bytes
from common.replay.ring import Ring, Spec

Maps = dict[str, np.memmap]

MAX_CLAIM_RECORDS = 1024  # records per stream for which disk space is reserved at a time


class MappedRing:
    """The files of one ring. `arrays` are the writable maps, (streams, slots, ...) per key."""

    def __init__(self, directory: Path, arrays: Maps, claimed: int, generation: int = 0):
        self.directory = directory
        self.arrays = arrays
        self.generation = generation
        self.journal = journal.UndoJournal(directory, arrays)
        self.slots = next(iter(arrays.values())).shape[1]
        self.claim_records = max(1, min(MAX_CLAIM_RECORDS, self.slots // 16))
        self.claimed = claimed

    @classmethod
    def create(cls, directory: Path, ident: str, spec: Spec, streams: int, slots: int) -> "MappedRing":
        """Make empty files, in place of those of another replay.

        Raises:
          UserError: the directory cannot be written.
        """
        make_output_folder(directory, "--logdir")
        for path in [*directory.glob("*.ring"), *journal.journal_files(directory).values()]:
            path.unlink()
        mapped = cls(directory, _create_maps(directory, spec, streams, slots), 0)
        mapped._write_claim(0)
        mapped.describe(ident)
        return mapped

    @classmethod
    def reopen(
        cls, directory: Path, state: dict[str, Any], spec: Spec, streams: int, slots: int
    ) -> tuple["MappedRing", int, list[str]]:
        """Open the files of the replay that `state` describes, go back to that state and continue from there.

        Returns the ring, the number of the oldest record that is intact, and the latents that were missing.

        Raises:
          UserError: a file is missing, has the wrong size or belongs to another replay; or the files do not have the
            `slots` that this run asks for.
        """
        if state["slots"] != slots:
            was = state["slots"] * streams
            gib = (state["slots"] + 0.5) * streams * record_bytes(spec) / GIB  # rounded down to whole slots
            raise UserError(
                f"The mapped replay in {directory} was made for {was} records, these settings give {slots * streams}. "
                f"It cannot change its size: give --replay.max_gib {gib:.10g}, and the other settings as before."
            )
        arrays, claimed, missing = open_maps(directory, state, spec, streams, "r+")
        floor = restore_maps(directory, state, arrays, claimed)
        arrays |= _create_maps(directory, {key: spec[key] for key in missing}, streams, slots)
        mapped = cls(directory, {key: arrays[key] for key in spec}, claimed, state["generation"])
        mapped.describe(state["ident"])
        if floor <= state["oldest"]:
            mapped.sync(state["count"])
        mapped.journal.begin(state["generation"], floor, state["count"])
        return mapped, floor, missing

    def describe(self, ident: str) -> None:
        """Write the file that describes the maps."""
        streams, keys = len(next(iter(self.arrays.values()))), metadata.spec_as_json(Ring(self.arrays).spec)
        metadata.write(self.directory / "ring.json", ident=ident, streams=streams, slots=self.slots, keys=keys)

    def claim(self, number: int) -> None:
        """Prepare the slots of record `number`. Call it before the record is stored.

        Raises:
          UserError: the disk is full; the replay is unharmed.
        """
        if number < self.claimed:
            return
        stop = number + self.claim_records
        if self.claimed < self.slots:
            self._reserve(self.claimed, min(stop, self.slots))
        self.journal.records(self.claimed - self.slots, stop - self.slots)
        self._write_claim(stop)

    def _reserve(self, first: int, stop: int) -> None:
        """Reserve disk space for the slots [first, stop): a write to a map of a full disk kills the process."""
        if not hasattr(os, "posix_fallocate"):
            return
        for key, array in self.arrays.items():
            path, each = ring_path(self.directory, key), array[0, 0].nbytes
            with path.open("r+b") as file:
                for stream in range(len(array)):
                    offset = (stream * self.slots + first) * each
                    try:
                        os.posix_fallocate(file.fileno(), offset, (stop - first) * each)
                    except OSError as error:
                        raise UserError(
                            f"No space for the replay in {path} ({error.strerror}). Free some space, then rerun the "
                            "same command."
                        ) from error

    def _write_claim(self, stop: int) -> None:
        with atomic_write(self.directory / "claimed") as file:
            file.write(np.int64(stop).tobytes())
        self.claimed = stop

    def save(self, first: int, count: int) -> None:
        """Make the records [first, count) the next generation, on disk."""
        self.sync(count)
        self.generation += 1
        self.journal.begin(self.generation, first, count)

    def sync(self, count: int) -> None:
        """Write all records before `count` to the disk."""
        for array in self.arrays.values():
            array.flush()
        self._write_claim(count)


def restore_maps(directory: Path, state: dict[str, Any], arrays: Maps, claimed: int) -> int:
    """Set `arrays` back to `state`; return the number of the oldest record that is intact."""
    lost = min(claimed - state["slots"], state["count"])
    if lost <= state["oldest"] and state["generation"] not in journal.journal_files(directory):
        return state["oldest"]
    reach = journal.undo(directory, state["generation"], arrays)
    return state["oldest"] if (reach or 0) >= lost else max(state["oldest"], lost)


def ring_path(directory: Path, key: str) -> Path:
    """Return the path of the map of a key, which may contain any characters."""
    return directory / f"{quote(key, safe='')}.ring"


def _create_maps(directory: Path, spec: Spec, streams: int, slots: int) -> Maps:
    try:
        return {
            key: np.memmap(ring_path(directory, key), np.dtype(dtype), "w+", shape=(streams, slots, *shape))
            for key, (shape, dtype) in spec.items()
        }
    except OSError as error:
        raise UserError(f"Cannot map a replay in {directory}: {error}. Use --replay.disk False.") from error


def open_maps(
    directory: Path, state: dict[str, Any], spec: Spec, streams: int, mode: Literal["c", "r+"]
) -> tuple[Maps, int, list[str]]:
    """Map the files of the replay that `state` describes; return ({key: array}, claimed, missing latents).

    Raises:
      UserError: a file is missing, has the wrong size or belongs to another replay.
    """
    path = directory / "ring.json"
    stored = metadata.read(path, ident=state["ident"], streams=streams, slots=state["slots"])
    missing = metadata.missing_latents(path, stored.get("keys"), spec)
    arrays: Maps = {
        key: _map(ring_path(directory, key), dtype, (streams, stored["slots"], *shape), mode)
        for key, (shape, dtype) in spec.items()
        if key not in missing
    }
    return arrays, int(_map(directory / "claimed", np.int64, (1,), "r")[0]), missing


def _map(path: Path, dtype: DTypeLike, shape: tuple[int, ...], mode: Literal["r", "c", "r+"]) -> np.memmap:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    found = path.stat().st_size if path.is_file() else "no"
    if found != size:
        raise UserError(f"{path} should have {size} bytes and has {found}. Restore it, or start in a new --logdir.")
    return np.memmap(path, dtype, mode, shape=shape)


def load(directory: Path, state: dict[str, Any], ring: Ring) -> list[str]:
    """Copy the records [ring.oldest, ring.count) from mapped files; return missing latents.

    Records that were overwritten after `state` was taken are skipped: `ring.floor` is raised past them.
    """
    arrays, claimed, missing = open_maps(directory, state, ring.spec, ring.streams, "c")
    source = Ring(arrays, ring.count, restore_maps(directory, state, arrays, claimed))
    ring.floor = max(ring.floor, source.oldest)
    for first in range(ring.oldest, ring.count, MAX_CLAIM_RECORDS):
        stop = min(first + MAX_CLAIM_RECORDS, ring.count)
        for key in arrays:
            ring.put(key, first, source.block(key, first, stop))
    return missing
