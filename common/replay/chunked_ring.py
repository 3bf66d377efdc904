"""Files of a ring in memory: each holds a range of record numbers and is written only if the range changed.

The file `chunk-NUMBER-PART-GENERATION.npz` has the records from NUMBER x `length` on, of all streams. PART is `data`
(never changes once complete) or `latents` (changes when the agent writes new ones back). Each `save` makes one
generation. A state of generation g reads the newest files with GENERATION <= g. A file is kept as long as one of the
last two generations needs it: a checkpoint written before an interrupted save stays exact.
"""

import operator
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.errors import UserError
from common.files import atomic_write, make_output_folder
from common.replay import metadata
from common.replay.metadata import RESTORE
from common.replay.ring import LATENTS, Ring
from common.safe_io import read_arrays

CHUNK_BYTES = 16 * 2**20  # of a full chunk
CHUNK_NAME = re.compile(r"chunk-(\d+)-(data|latents)-(\d+)\.npz")


class ChunkFile(NamedTuple):
    """A file and what its name says."""

    path: Path
    number: int
    part: str
    generation: int


class ChunkedRing:
    """Writes a ring incrementally. `ident` distinguishes the files of different replays."""

    def __init__(self, ident: str, ring: Ring):
        self.ident = ident
        self.ring = ring
        self.parts = split_keys(ring.arrays)
        self.generation = 0
        self.directory: Path | None = None
        self.changed: set[int] = set()  # numbers of chunks with new latents
        self._start(max(1, min(65536, CHUNK_BYTES // sum(x[:, 0].nbytes for x in ring.arrays.values()))))

    def _start(self, length: int) -> None:
        """Begin with chunks of `length` records per stream, none of them saved."""
        self.length = length
        self.saved, self.stored_from = self.ring.oldest, self.ring.oldest

    def attach(self, directory: Path, state: dict[str, Any]) -> None:
        """Continue the files that the ring was just loaded from; `save` to this directory adds to them."""
        stored = metadata.read(directory / "chunks.json", ident=self.ident)
        self.generation = state["generation"]
        if stored["keys"] == metadata.spec_as_json(self.ring.spec):
            self._start(stored["length"])
            self.directory, self.saved = directory, self.ring.count

    def mark_changed(self, numbers: np.ndarray) -> None:
        """Note that the latents of these records changed."""
        self.changed.update(np.unique(numbers // self.length).tolist())

    def save(self, directory: Path) -> None:
        """Write what changed since the last save; files of another replay in `directory` are deleted.

        Call it once per checkpoint: it deletes the files that only the save before the last one needed.

        Raises:
          UserError: the disk is full or not writable; the files of earlier states are intact.
        """
        self._prepare(directory)
        ring, before = self.ring, self.generation
        new = range(max(self.saved, ring.oldest), ring.count)
        fresh = set(range(new.start // self.length, -(-ring.count // self.length))) if new else set()
        changed = {k for k in self.changed if (k + 1) * self.length > ring.oldest}
        for part, numbers in {"data": fresh, "latents": fresh | changed}.items():
            for number in sorted(numbers) if self.parts[part] else ():
                self._write(directory / f"chunk-{number:08d}-{part}-{before + 1:06d}.npz", number, self.parts[part])
        self._delete_unneeded(directory, before)
        self.generation, self.saved, self.stored_from = before + 1, ring.count, ring.oldest
        self.changed.clear()

    def _prepare(self, directory: Path) -> None:
        """Delete the files of another replay, of an interrupted save, and those newer than the loaded state."""
        is_new = directory != self.directory
        if is_new:
            make_output_folder(directory, "--logdir")
        old = [chunk.path for chunk in list_chunk_files(directory) if is_new or chunk.generation > self.generation]
        for path in [*old, *directory.glob(".chunk-*.tmp")]:
            path.unlink()
        if is_new:
            self.directory = directory
            self._start(self.length)
            keys = metadata.spec_as_json(self.ring.spec)
            content = {"streams": self.ring.streams, "length": self.length, "keys": keys}
            metadata.write(directory / "chunks.json", ident=self.ident, **content)

    def _write(self, path: Path, number: int, keys: list[str]) -> None:
        first = max(number * self.length, self.ring.oldest)
        stop = min((number + 1) * self.length, self.ring.count)
        blocks: dict[str, Any] = {f"data/{key}": self.ring.block(key, first, stop) for key in keys}
        with atomic_write(path) as file:
            np.savez(file, first=np.int64(first), **blocks)

    def _delete_unneeded(self, directory: Path, before: int) -> None:
        """Delete the files that neither generation `before` nor the one just written needs."""
        needed: dict[tuple[int, str], Path] = {}
        for path, number, part, generation in list_chunk_files(directory):
            old = needed.get((number, part))
            if old is not None and generation <= before:
                old.unlink()
            needed[number, part] = path
            if (number + 1) * self.length <= self.stored_from:
                path.unlink()
                del needed[number, part]


def split_keys(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys by part: `data` never changes, `latents` may be written again."""
    keys = list(keys)
    return {"data": [k for k in keys if k not in LATENTS], "latents": [k for k in keys if k in LATENTS]}


def list_chunk_files(directory: Path) -> list[ChunkFile]:
    """Return all chunk files, by generation."""
    found = [(path, CHUNK_NAME.fullmatch(path.name)) for path in directory.glob("chunk-*.npz")]
    return sorted((ChunkFile(path, int(m[1]), m[2], int(m[3])) for path, m in found if m), key=lambda x: x.generation)


def load(directory: Path, state: dict[str, Any], ring: Ring) -> list[str]:
    """Read the records [ring.oldest, ring.count) of the replay that `state` describes; return missing latents.

    Raises:
      UserError: a file is missing or damaged, or belongs to another replay.
    """
    path = directory / "chunks.json"
    stored = metadata.read(path, ident=state["ident"], streams=ring.streams)
    length, missing = stored.get("length"), metadata.missing_latents(path, stored.get("keys"), ring.spec)
    if not isinstance(length, int) or length < 1:
        raise UserError(f"{path} is damaged (length {length!r}). {RESTORE}")
    parts = split_keys(key for key in ring.arrays if key not in missing)
    newest = {
        (chunk.number, chunk.part): chunk.path
        for chunk in list_chunk_files(directory)
        if chunk.generation <= state["generation"]
    }
    for number in range(ring.oldest // length, -(-ring.count // length)):
        first, stop = max(number * length, ring.oldest), min((number + 1) * length, ring.count)
        for part, keys in parts.items():
            name = directory / f"chunk-{number:08d}-{part}-*.npz"
            for key, block in _read(newest.get((number, part), name), keys, ring, range(first, stop)):
                ring.put(key, first, block)
    return missing


def _read(path: Path, keys: list[str], ring: Ring, numbers: range) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (key, records `numbers`) of one file."""
    if not keys:
        return
    try:
        found = read_arrays(path, ["first", *(f"data/{key}" for key in keys)])
        begin = operator.index(found["first"][()])
        blocks = {key: _checked_block(key, found[f"data/{key}"], ring) for key in keys}
    except FileNotFoundError:
        raise UserError(f"{path} is missing from the replay. {RESTORE}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). {RESTORE}") from error
    for key, block in blocks.items():
        if begin > numbers.start or begin + block.shape[1] < numbers.stop:
            raise UserError(f"{path} is incomplete. {RESTORE}")
        yield key, block[:, numbers.start - begin : numbers.stop - begin]


def _checked_block(key: str, block: np.ndarray, ring: Ring) -> np.ndarray:
    """Return `block`. Raise ValueError if its streams, shape or dtype differ from the ring's."""
    array = ring.arrays[key]
    if block.ndim < 2 or block.dtype != array.dtype or (len(block), *block.shape[2:]) != (len(array), *array.shape[2:]):
        raise ValueError(f"{key} is {block.dtype} {block.shape}")
    return block
