"""Episodes in npz files of other programs, and files as the official DreamerV1, V2 and V3 write them.

V1 and V2 store an episode per file, each row with the action that led to it; V1 marks terminal ends by a discount of
0, V2 has flags. V3 stores a stream in chunks of 1024 rows, each with the action chosen at it; an id in the name of a
chunk names its successor. Sources: `tools.save_episodes` (V1), `common/replay.py` (V2), `embodied/core/chunk.py` (V3).
"""

import datetime
import hashlib
import string
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.datasets import description, npz_files
from common.datasets.dataset import About, arrival_actions, check_records, cut_episodes, is_whole, with_clipped_actions
from common.errors import UserError
from common.replay.metadata import FLAG_KEYS
from common.replay.ring import Arrays
from common.storage.spaces import Spaces

CHUNK_ROWS = 1024  # of V3
BASE62 = string.digits + string.ascii_letters
FIRST_TIME = datetime.datetime(2000, 1, 1)  # of the names; the files are numbered by seconds, so that copies are equal
PARTS_BECOME_WHOLE = "Parts of episodes count as whole ones."


class NpzDataset:
    """A folder of npz files; see `Dataset`."""

    def __init__(self, folder: Path):
        self.folder, self.place = folder, str(folder)
        self.paths = npz_files.episode_paths(folder)
        if found := description.read(folder):
            self.spaces, self.task, self.render = found[1]
        else:
            forms = npz_files.spaces_of(next(npz_files.read_files(self.paths)))
            if not forms[0].spaces:
                raise UserError(
                    f"The files in {folder} have no observations. Name their arrays after those of the task."
                )
            self.spaces, self.task, self.render = Spaces(*forms, forms), "", ""

    def episodes(self) -> Iterator[Arrays]:
        for number, records in enumerate(cut_episodes(npz_files.read_files(self.paths))):
            where = f"Episode {number} of {self.place}"
            yield check_records(records, self.spaces, where, bounded=False)  # `read_episode` checked the bounds

    def notes(self) -> list[str]:
        notes = []
        if keys := npz_files.left_out(self.paths[0]):
            notes.append(f"Left out of {self.place}, because they are not observations: {', '.join(keys)}.")
        if not npz_files.has_terminals(self.paths[0]):
            notes.append(f"No end is terminal in {self.place}: its files have no is_terminal and no discount.")
        return notes


class EpisodeFileWriter(ABC):
    """Writes the files of V1 or V2, an episode each; see `Writer`."""

    kind = ""

    def __init__(self, folder: Path, about: About):
        self.folder, self.about = folder, about
        self.lost: list[str] = []
        self.count = self.rows = 0

    def add(self, records: Arrays) -> None:
        records = with_clipped_actions(records, self.lost)
        arrays = self.arrays(records | {"action": arrival_actions(records)})
        if not is_whole(records) and PARTS_BECOME_WHOLE not in self.lost:
            self.lost.append(PARTS_BECOME_WHOLE)
        ident = digest(arrays).hex()[:32]
        length = self.length_in_name(len(records["reward"]))
        name = f"{timestamp(self.count)}-{ident}-{length}.npz"
        np.savez_compressed(self.folder / name, **arrays)  # type: ignore[arg-type]
        self.count, self.rows = self.count + 1, self.rows + len(records["reward"])

    @abstractmethod
    def arrays(self, records: Arrays) -> Arrays:
        """Return the arrays of a file, from records with the actions that led to them."""

    @abstractmethod
    def length_in_name(self, rows: int) -> int:
        """Return the length in the name of a file."""

    def close(self) -> None:
        description.write(self.folder, self.kind, self.about, episodes=self.count, records=self.rows)


class V1Writer(EpisodeFileWriter):
    """Writes the files of the official V1: flags become `discount`, the name counts rows."""

    kind = "npz-v1"

    def arrays(self, records: Arrays) -> Arrays:
        kept = {key: value for key, value in records.items() if key not in FLAG_KEYS}
        return kept | {"discount": 1 - records["is_terminal"].astype(np.float32)}

    def length_in_name(self, rows: int) -> int:
        return rows


class V2Writer(EpisodeFileWriter):
    """Writes the files of the official V2: the name counts steps, one less than rows."""

    kind = "npz-v2"

    def arrays(self, records: Arrays) -> Arrays:
        return records

    def length_in_name(self, rows: int) -> int:
        return rows - 1


class V3Writer:
    """Writes one stream in the chunks of the official V3; see `Writer`."""

    kind = "npz-v3"

    def __init__(self, folder: Path, about: About):
        self.folder, self.about = folder, about
        self.lost: list[str] = []
        self.open: Arrays = {}
        self.episodes = self.rows = self.chunks = 0
        self.ident = b""

    def add(self, records: Arrays) -> None:
        if not is_whole(records) and PARTS_BECOME_WHOLE not in self.lost:
            self.lost.append(PARTS_BECOME_WHOLE)
        records = records | {"is_first": records["is_first"].copy(), "is_last": records["is_last"].copy()}
        records["is_first"][0] = records["is_last"][-1] = True
        self.episodes, self.rows = self.episodes + 1, self.rows + len(records["reward"])
        self.open = {key: np.concatenate([self.open[key], x]) if self.open else x for key, x in records.items()}
        while len(self.open["reward"]) > CHUNK_ROWS:  # a full one may be the last
            self._write({key: value[:CHUNK_ROWS] for key, value in self.open.items()})
            self.open = {key: value[CHUNK_ROWS:] for key, value in self.open.items()}

    def _write(self, rows: Arrays, *, last: bool = False) -> None:
        self.ident = self.ident or digest(rows)
        own, successor = self._uuid(self.chunks), bytes(16) if last else self._uuid(self.chunks + 1)
        length = len(rows["reward"])
        steps = np.array([np.frombuffer(own + t.to_bytes(4, "big"), np.uint8) for t in range(length)])
        name = f"{timestamp(self.chunks)}F000-{base62(own)}-{base62(successor)}-{length}.npz"
        np.savez_compressed(self.folder / name, **rows, stepid=steps)  # type: ignore[arg-type]
        self.chunks += 1

    def _uuid(self, number: int) -> bytes:
        return hashlib.sha256(self.ident + number.to_bytes(8, "big")).digest()[:16]

    def close(self) -> None:
        if self.open:
            self._write(self.open, last=True)
        description.write(self.folder, self.kind, self.about, episodes=self.episodes, records=self.rows)


def timestamp(number: int) -> str:
    """Return the time in the name of file `number`."""
    return (FIRST_TIME + datetime.timedelta(seconds=number)).strftime("%Y%m%dT%H%M%S")


def digest(arrays: Arrays) -> bytes:
    """Return a digest of the content of arrays."""
    hashed = hashlib.sha256()
    for key in sorted(arrays):
        hashed.update(key.encode())
        hashed.update(np.ascontiguousarray(arrays[key]).tobytes())
    return hashed.digest()


def base62(value: bytes) -> str:
    """Return 16 bytes as the 22 characters of an id in the name of a chunk."""
    number, letters = int.from_bytes(value, "big"), ""
    while len(letters) < 22:
        number, rest = divmod(number, 62)
        letters = BASE62[rest] + letters
    return letters
