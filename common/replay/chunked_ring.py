"""A ring in memory, kept in files: each holds a range of record numbers and is written only when it changed.

A file `chunk-NUMBER-PART-GENERATION.npz` has the numbers from NUMBER x `length` on, of all streams. PART is `data`
(never changes once complete) or `latents` (changes when the agent writes fresh ones back). Each `save` is one
generation; a state of generation g reads the newest files with GENERATION <= g. Files are kept as long as the last or
the last but one generation needs them, so a checkpoint that was written before an interrupted save stays exact.
"""

import operator
import re
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.files import atomic_write
from common.replay import metadata
from common.replay.ring import LATENTS, Ring
from common.safe_io import read_arrays

TARGET = 16 * 2**20  # bytes of a full chunk
CHUNK_NAME = re.compile(r"chunk-(\d+)-(data|latents)-(\d+)\.npz")


class ChunkedRing:
    """Writes a ring incrementally; `ident` tells one replay's files from another's."""

    def __init__(self, ident: str, ring: Ring):
        self.ident = ident
        self.ring = ring
        self.parts = split_keys(ring.arrays)
        self.generation = 0
        self.directory: Path | None = None
        self.dirty: set[int] = set()
        self._use(max(1, min(65536, TARGET // sum(x[:, 0].nbytes for x in ring.arrays.values()))))

    def _use(self, length: int) -> None:
        self.length = length
        self.saved, self.stored_from = self.ring.oldest, self.ring.oldest

    def adopt(self, directory: Path, state: dict) -> None:
        """Goes on from the files that the ring was just loaded from; `save` to the same directory adds to them."""
        about = metadata.read(directory / "chunks.json", ident=self.ident)
        self.generation = state["generation"]
        if about["keys"] == metadata.spec_as_json(self.ring.spec):
            self._use(about["length"])
            self.directory, self.saved = directory, self.ring.count

    def touch(self, numbers: np.ndarray) -> None:
        """Notes that latents of these record numbers changed."""
        self.dirty.update(np.unique(numbers // self.length).tolist())

    def save(self, directory: Path) -> None:
        """Writes what changed since the last save; another replay's files in `directory` are removed.

        Call it once per checkpoint: the files that the save before last needed are given up.

        Raises:
          UserError: the disk is full or cannot be written; the files of earlier states are intact.
        """
        self._settle(directory)
        self._clean(directory)
        ring, before = self.ring, self.generation
        changed = range(max(self.saved, ring.oldest), ring.count)
        fresh = {k for k in range(changed.start // self.length, -(-ring.count // self.length)) if changed}
        alive = {k for k in self.dirty if (k + 1) * self.length > ring.oldest}
        for part, chunks in {"data": fresh, "latents": fresh | alive}.items():
            for number in sorted(chunks) if self.parts[part] else ():
                self._write(directory / f"chunk-{number:08d}-{part}-{before + 1:06d}.npz", number, self.parts[part])
        self._collect(directory, before)
        self.generation, self.saved, self.stored_from = before + 1, ring.count, ring.oldest
        self.dirty.clear()

    def _settle(self, directory: Path) -> None:
        if directory == self.directory:
            return
        metadata.make_directory(directory)
        for path, *_ in list_chunk_files(directory):
            path.unlink()
        self.directory = directory
        self._use(self.length)
        about = {"streams": self.ring.streams, "length": self.length, "keys": metadata.spec_as_json(self.ring.spec)}
        metadata.write(directory / "chunks.json", ident=self.ident, **about)

    def _clean(self, directory: Path) -> None:
        """Removes what an interrupted save left, and what is newer than the state that was loaded."""
        newer = [path for path, _, _, made in list_chunk_files(directory) if made > self.generation]
        for path in [*newer, *directory.glob(".chunk-*.tmp")]:
            path.unlink()

    def _write(self, path: Path, number: int, keys: list) -> None:
        first = max(number * self.length, self.ring.oldest)
        stop = min((number + 1) * self.length, self.ring.count)
        blocks: dict[str, Any] = {f"data/{key}": self.ring.block(key, first, stop) for key in keys}
        with atomic_write(path) as file:
            np.savez(file, first=np.int64(first), **blocks)

    def _collect(self, directory: Path, before: int) -> None:
        """Removes what neither the generation `before` nor the one just written needs."""
        needed: dict[tuple[int, str], Path] = {}
        for path, number, part, made in sorted(list_chunk_files(directory), key=lambda x: x[3]):
            old = needed.get((number, part))
            if old is not None and made <= before:
                old.unlink()
            needed[number, part] = path
            if (number + 1) * self.length <= self.stored_from:
                path.unlink()
                del needed[number, part]


def split_keys(keys) -> dict:
    """Keys that stay as they are, and those that are written again."""
    return {"data": [k for k in keys if k not in LATENTS], "latents": [k for k in keys if k in LATENTS]}


def list_chunk_files(directory: Path) -> list:
    """All chunk files as (path, chunk number, part, generation)."""
    found = [(path, CHUNK_NAME.fullmatch(path.name)) for path in directory.glob("chunk-*.npz")]
    return [(path, int(m[1]), m[2], int(m[3])) for path, m in found if m]


def load(directory: Path, state: dict, ring: Ring) -> list:
    """Reads the records [ring.oldest, ring.count) of the replay that `state` describes; returns latents not found.

    Raises:
      UserError: a file is missing, damaged, or belongs to another replay.
    """
    path = directory / "chunks.json"
    about = metadata.read(path, ident=state["ident"], streams=ring.streams)
    length, lost = about.get("length"), metadata.missing_latents(path, about.get("keys"), ring.spec)
    if not isinstance(length, int) or length < 1:
        raise UserError(f"{path} is damaged (length {length!r}). Restore it from a copy, or start in a new --logdir.")
    parts = split_keys([key for key in ring.arrays if key not in lost])
    newest = {}
    for path, number, part, made in sorted(list_chunk_files(directory), key=lambda x: x[3]):
        if made <= state["generation"]:
            newest[number, part] = path
    for number in range(ring.oldest // length, -(-ring.count // length)):
        first, stop = max(number * length, ring.oldest), min((number + 1) * length, ring.count)
        for part, keys in parts.items():
            name = directory / f"chunk-{number:08d}-{part}-*.npz"
            for key, block in _read(newest.get((number, part), name), keys, ring, range(first, stop)):
                ring.put(key, first, block)
    return lost


def _read(path: Path, keys: list, ring: Ring, numbers: range):
    if not keys:
        return
    try:
        found = read_arrays(path, ["first", *(f"data/{key}" for key in keys)])
        begin = operator.index(found["first"][()])
        blocks = {key: _fitting(key, found[f"data/{key}"], ring) for key in keys}
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing from the replay. Restore it from a copy, or start in a new --logdir."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error!r}). Restore it from a copy, or start in a new --logdir."
        ) from error
    for key, block in blocks.items():
        if begin > numbers.start or begin + block.shape[1] < numbers.stop:
            raise UserError(f"{path} is incomplete. Restore it from a copy, or start in a new --logdir.")
        yield key, block[:, numbers.start - begin : numbers.stop - begin]


def _fitting(key: str, block: np.ndarray, ring: Ring) -> np.ndarray:
    """`block`, if it is one of (streams, n, ...) of the ring's kind."""
    array = ring.arrays[key]
    if block.ndim < 2 or block.dtype != array.dtype or (len(block), *block.shape[2:]) != (len(array), *array.shape[2:]):
        raise ValueError(f"{key} is {block.dtype} {block.shape}")
    return block
