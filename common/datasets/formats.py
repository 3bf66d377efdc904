"""The formats of stored episodes: how each is recognised, and its reader and writer."""

from pathlib import Path

from common.datasets import description, lerobot, lerobot_files, minari_store, npz, npz_files, stored_replay
from common.datasets.dataset import About, Dataset, ImageForm, Writer
from common.datasets.episodes import KIND, EpisodesDataset, EpisodesWriter
from common.datasets.lerobot_writer import LeRobotWriter
from common.datasets.minari_store import PREFIX
from common.errors import UserError, check_choice
from common.safe_io import expand_path

READABLE = (
    "the directory of a run, a folder of .npz episodes, a Minari dataset (or minari:NAME), a LeRobot dataset, or a "
    "folder that `convert` wrote"
)
#: Format that `convert --to` takes -> what it is.
FORMATS = {
    "episodes": "own episode files, which keep everything",
    "replay": "a replay without a run",
    "minari": "a Minari dataset",
    "lerobot": "a LeRobot dataset",
    "npz-v1": "episode files of the official DreamerV1",
    "npz-v2": "episode files of the official DreamerV2",
    "npz-v3": "replay chunks of the official DreamerV3",
}
NPZ_WRITERS = {writer.kind: writer for writer in (npz.V1Writer, npz.V2Writer, npz.V3Writer)}


def expand_place(place: str) -> str:
    """Return a place that a user typed, with `~` expanded if it is a path."""
    return place if place.startswith(PREFIX) else str(expand_path(place))


def open_dataset(place: str, form: ImageForm | None = None) -> Dataset:
    """Return the dataset at a path, or of the name `minari:NAME`. form: of images without a fixed form.

    Raises UserError if there is none, it is damaged, or a package is missing.
    """
    form = form or ImageForm()
    if place.startswith(PREFIX):
        return minari_store.MinariDataset(minari_store.named_folder(place.removeprefix(PREFIX)), place, form)
    folder = expand_path(place)
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist. Give {READABLE}.")
    if stored_replay.is_stored_replay(folder):
        return stored_replay.ReplayDataset(folder)
    if (found := description.read(folder)) and found[0] == KIND:
        return EpisodesDataset(folder)
    if (folder / lerobot_files.INFO_PATH).is_file():
        return lerobot.LeRobotDataset(folder, form)
    if minari_store.data_folder(folder):
        return minari_store.MinariDataset(folder, str(folder), form)
    if npz_files.episode_paths(folder):
        return npz.NpzDataset(folder)
    raise UserError(f"{folder} is not a run directory and has no episodes that can be read. Give {READABLE}.")


def format_of(dataset: Dataset) -> str:
    """Return the format of a dataset, for messages."""
    return {
        stored_replay.ReplayDataset: "a replay",
        EpisodesDataset: "own episode files",
        lerobot.LeRobotDataset: "a LeRobot dataset",
        minari_store.MinariDataset: "a Minari dataset",
        npz.NpzDataset: "npz episodes",
    }[type(dataset)]  # type: ignore[index]


def new_writer(kind: str, folder: Path, source: Dataset, *, name: str, fps: int, video: bool) -> Writer:
    """Return the writer of a format for the episodes of `source`. name: the id of a Minari dataset."""
    check_choice("--to", kind, FORMATS)
    about = About(source.spaces, source.task, source.render)
    if kind == "replay":
        length = sum(len(records["reward"]) for records in source.episodes())
        return stored_replay.ReplayWriter(folder, about, length)
    if kind == "minari":
        return minari_store.MinariWriter(folder, about, name)
    if kind == "lerobot":
        return LeRobotWriter(folder, about, fps, video)
    if kind == "episodes":
        return EpisodesWriter(folder, about)
    return NPZ_WRITERS[kind](folder, about)
