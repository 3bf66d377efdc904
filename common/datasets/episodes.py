"""The project's own episode files: `dataset.json`, and the records of each episode in one npz file, without loss."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from common.datasets import description
from common.datasets.dataset import About, check_records
from common.errors import UserError
from common.replay.ring import Arrays
from common.safe_io import read_arrays

KIND = "episodes"


class EpisodesDataset:
    """A folder of own episode files; see `Dataset`."""

    def __init__(self, folder: Path):
        found = description.read(folder)
        assert found is not None, folder
        _, about, content = found
        self.folder, self.place = folder, str(folder)
        self.spaces, self.task, self.render = about
        self.paths = sorted(folder.glob("episode-*.npz"))
        if len(self.paths) != content.get("episodes"):
            raise UserError(
                f"{folder} has {len(self.paths)} episode files, its {description.DESCRIPTION_FILE} says "
                f"{content.get('episodes')}. Copy the missing files, or convert the data again."
            )

    def episodes(self) -> Iterator[Arrays]:
        for path in self.paths:
            try:
                records = read_arrays(path)
            except (OSError, ValueError, KeyError) as error:
                raise UserError(f"{path} is damaged ({error!r}). Restore it, or convert the data again.") from error
            yield check_records(records, self.spaces, str(path), bounded=False)

    def notes(self) -> list[str]:
        return []


class EpisodesWriter:
    """Writes own episode files; see `Writer`."""

    def __init__(self, folder: Path, about: About):
        self.folder, self.about = folder, about
        self.lost: list[str] = []
        self.count = self.records = 0

    def add(self, records: Arrays) -> None:
        path = self.folder / f"episode-{self.count:08d}.npz"
        np.savez_compressed(path, **dict(sorted(records.items())))  # type: ignore[arg-type]
        self.count, self.records = self.count + 1, self.records + len(records["reward"])

    def close(self) -> None:
        description.write(self.folder, KIND, self.about, episodes=self.count, records=self.records)
