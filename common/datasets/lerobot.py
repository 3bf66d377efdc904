"""LeRobot datasets of the layouts 2.0, 2.1 and 3.0: rows in parquet files, images in them or in videos.

A row has an observation, the action chosen at it and the reward that followed (`next.reward`). Layout 2 has a file per
episode, `data/chunk-000/episode_000000.parquet`; layout 3 has many in one, `data/chunk-000/file-000.parquet`.
The observation after the last action is not stored: the last one is repeated, unless `meta/final_observations.parquet`
has it, which `convert` writes. Source: `lerobot/datasets` of the official code.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces

from common.datasets import lerobot_files as files
from common.datasets.dataset import About, ImageForm, check_records, episode_flags
from common.datasets.description import read_about
from common.datasets.foreign_spaces import ForeignSpaces
from common.errors import UserError
from common.replay.ring import Arrays
from common.storage.spaces import Spaces

OBSERVATION = "observation."
REWARD, TERMINATED = "next.reward", "next.terminated"
PIXELS = ("image", "video")
NUMBERS = ("float", "int", "uint", "bool")


class LeRobotDataset:
    """A LeRobot dataset; see `Dataset`. form: of its images."""

    def __init__(self, folder: Path, form: ImageForm):
        files.require_parquet()
        self.folder, self.place, self.info = folder, str(folder), files.read_info(folder)
        self.features: dict[str, Any] = self.info["features"]
        own = read_about(self.info, self.place)
        kinds = {name: str(x["dtype"]) for name, x in self.features.items() if name.startswith(OBSERVATION)}
        readable = {name for name, kind in kinds.items() if kind in PIXELS or kind.startswith(NUMBERS)}
        self.left_out = sorted(set(kinds) - readable)
        self.keys = {short_name(name): name for name in kinds if name in readable}
        self._check_contents()
        self.table = files.read_episode_table(folder)
        self.scaled = False
        action = own.spaces.action if own else self._action_space()
        self.foreign = ForeignSpaces(gym_spaces.Dict(self._observations()), action, ImageForm() if own else form)
        found = Spaces(self.foreign.observation, self.foreign.action, self.foreign.raw)
        self.own, (self.spaces, self.task, self.render) = own, own or About(found, "", "")

    def _check_contents(self) -> None:
        """Raise UserError if the dataset has no observation or action, or other rows than its description says."""
        if not self.keys or "action" not in self.features:
            raise UserError(
                f"{self.place} has the features {', '.join(self.features)}. It needs action, and numbers or images "
                f"named {OBSERVATION}NAME."
            )
        rows, stated = files.count_rows(self.folder), self.info.get("total_frames")
        if rows != stated or not rows:
            raise UserError(
                f"{self.place} has {rows} rows, {files.INFO_PATH} says {stated}. Download the dataset again."
            )

    def _observations(self) -> dict[str, gym_spaces.Space]:
        """Return the space of each observation."""
        found: dict[str, gym_spaces.Space] = {}
        for key, name in self.keys.items():
            shape = tuple(self.features[name]["shape"])
            if self.features[name]["dtype"] in PIXELS:
                found[key] = gym_spaces.Box(0, 255, height_width_channels(shape), np.uint8)
            else:
                found[key] = gym_spaces.Box(-np.inf, np.inf, shape, np.float32)
        return found

    def _action_space(self) -> gym_spaces.Space:
        """Return the space of the actions, whose bounds the format does not store: those of the data."""
        feature = self.features["action"]
        shape = tuple(feature["shape"])
        found = files.read_rows(self.folder, ["action"])
        actions = [files.numbers(rows["action"], shape, self.place) for _, rows in found]
        low, high = np.min([x.min(0) for x in actions], 0), np.max([x.max(0) for x in actions], 0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise UserError(f"{self.place} has actions that are not finite. Repair the dataset.")
        self.scaled = True
        if str(feature["dtype"]).startswith("int") and shape == (1,):
            return gym_spaces.Discrete(int(high.max() - low.min()) + 1, start=int(low.min()))
        self.scaled = bool((np.abs(low) > 1).any() or (np.abs(high) > 1).any())
        if not self.scaled:
            return gym_spaces.Box(-1, 1, shape, np.float32)
        return gym_spaces.Box(low.astype(np.float32), np.where(high > low, high, low + 1).astype(np.float32), shape)

    def episodes(self) -> Iterator[Arrays]:
        finals = self._final_observations()
        columns = [name for name in self.keys.values() if self.features[name]["dtype"] != "video"]
        columns += [name for name in ("action", REWARD, TERMINATED) if name in self.features]
        for number, rows in files.read_rows(self.folder, columns):
            where = f"Episode {number} of {self.place}"
            stated = self.table.get(number, {}).get("length", len(rows))
            if stated != len(rows):
                raise UserError(f"{where} has {len(rows)} rows, the list of episodes says {stated}. Download it again.")
            raw = {key: self._column(rows, name, number, where) for key, name in self.keys.items()}
            final = finals.get(number) or {key: value[-1:] for key, value in raw.items()}
            observations = {key: np.concatenate([value, final[key]]) for key, value in raw.items()}
            records = self._records(rows, self.foreign.observations(observations, where), where)
            yield check_records(records, self.spaces, where)

    def _records(self, rows: Any, observations: Arrays, where: str) -> Arrays:
        length = len(rows)
        stored = files.numbers(rows["action"], tuple(self.features["action"]["shape"]), where)
        action = self.foreign.actions(self._stored_action(stored), where)
        reward = np.zeros(length + 1, np.float32)
        if REWARD in self.features:
            reward[1:] = files.numbers(rows[REWARD], (), where)
        terminal = TERMINATED in self.features and bool(files.numbers(rows[TERMINATED], (), where)[-1])
        flags = episode_flags(length + 1, terminal=terminal)
        shapes = {key: box.shape or () for key, box in self.spaces.observation.items()}
        shaped = {key: value.reshape(len(value), *shapes[key]) for key, value in observations.items()}
        return {**shaped, "action": np.concatenate([action, np.zeros_like(action[:1])]), "reward": reward, **flags}

    def _stored_action(self, stored: np.ndarray) -> np.ndarray:
        return stored[:, 0] if isinstance(self.foreign.raw[1], gym_spaces.Discrete) else stored

    def _column(self, rows: Any, name: str, number: int, where: str) -> np.ndarray:
        """Return the values of one observation in an episode, as they are stored."""
        kind, shape = self.features[name]["dtype"], tuple(self.features[name]["shape"])
        if kind == "image":
            return files.pictures(rows[name], self.folder, where)
        if kind != "video":
            return files.numbers(rows[name], shape, where)
        path, start = self._video(name, number)
        return files.frames_of_video(path, start, len(rows), self.info["fps"], where)

    def _video(self, name: str, number: int) -> tuple[Path, float]:
        """Return the video with the frames of an episode, and the second at which they begin."""
        row, template = self.table.get(number, {}), self.info.get("video_path")
        if files.layout_of(self.info) >= "3":
            about = {key: row.get(f"videos/{name}/{key}") for key in ("chunk_index", "file_index", "from_timestamp")}
        else:
            chunk = number // int(self.info.get("chunks_size", 1000))
            about = {"episode_chunk": chunk, "episode_index": number, "from_timestamp": 0.0}
        if None in about.values() or not isinstance(template, str):
            raise UserError(
                f"{self.place} does not say where the frames {name} of episode {number} are. Download it again."
            )
        start = float(about.pop("from_timestamp"))  # type: ignore[arg-type]
        try:
            return files.inside(self.folder, template.format(video_key=name, **about)), start
        except (LookupError, ValueError, AttributeError) as error:
            raise UserError(f"{files.INFO_PATH} of {self.place} has the video_path {template!r}: {error!r}.") from error

    def _final_observations(self) -> dict[int, Arrays]:
        """Return the observation after the last action of each episode, arrays (1, ...), if they are stored."""
        path = self.folder / files.FINAL_PATH
        if not path.is_file() or self.own is None:
            return {}
        rows = files.require_parquet()[1].read_table(path)
        numbers = np.asarray(rows["episode_index"]).tolist()
        values = {key: self._final(rows[name], name) for key, name in self.keys.items()}
        return {number: {key: x[i : i + 1] for key, x in values.items()} for i, number in enumerate(numbers)}

    def _final(self, column: Any, name: str) -> np.ndarray:
        where = str(self.folder / files.FINAL_PATH)
        if self.features[name]["dtype"] in PIXELS:
            return files.pictures(column, self.folder, where)
        return files.numbers(column, tuple(self.features[name]["shape"]), where)

    def notes(self) -> list[str]:
        notes = [f"{note[:-1]} ({self.place})." for note in self.foreign.notes]
        if self.left_out:
            notes.append(f"Left out of {self.place}, because they are not numbers: {', '.join(self.left_out)}.")
        if not (self.folder / files.FINAL_PATH).is_file():
            notes.append(
                f"{self.place} has no observation after the last action: the last one of each episode is repeated."
            )
        if REWARD not in self.features:
            notes.append(f"{self.place} has no {REWARD}: all rewards are 0.")
        if TERMINATED not in self.features:
            notes.append(f"No end is terminal in {self.place}: it has no {TERMINATED}.")
        if self.scaled:
            notes.append(
                f"{self.place} stores no bounds of actions. Those of its data are used: {self.foreign.raw[1]}."
            )
        return notes


def short_name(name: str) -> str:
    """Return the key of an observation: observation.images.front gives images_front."""
    return name.removeprefix(OBSERVATION).replace(".", "_")


def height_width_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the decoded images of a feature, which may be listed with its channels first."""
    if len(shape) == 3 and shape[0] <= 4 < shape[2]:
        return shape[1:] + shape[:1]
    return shape
