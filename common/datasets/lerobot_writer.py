"""Writes LeRobot datasets of the layout 2.1, which programs of that project read and convert to 3.0."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces

from common.datasets import lerobot_files as files
from common.datasets.dataset import About, holds_steps, to_choices, with_clipped_actions
from common.datasets.description import ABOUT_KEY, about_json
from common.datasets.lerobot import OBSERVATION, REWARD, TERMINATED
from common.errors import UserError
from common.files import write_text
from common.replay.ring import Arrays

CHUNK_EPISODES = 1000  # files per folder
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
COUNTERS = ("frame_index", "episode_index", "index", "task_index")


class LeRobotWriter:
    """Writes a LeRobot dataset; see `Writer`. fps: steps per second. video: whether images become videos."""

    def __init__(self, folder: Path, about: About, fps: int, video: bool):
        self.arrow, self.parquet = files.require_parquet()
        if odd := [key for key in about.spaces.observation if "/" in key or "." in key]:
            raise UserError(f"LeRobot has no names with / or ., as {', '.join(odd)}. Use --to episodes.")
        self.folder, self.about, self.fps = folder, about, fps
        self.features = {
            f"{OBSERVATION}{key}": self._feature(box, video) for key, box in about.spaces.observation.items()
        }
        self.features |= {"action": self._action_feature(), REWARD: number("float32"), TERMINATED: number("bool")}
        self.features |= {"next.done": number("bool"), "timestamp": number("float32")}
        self.features |= {key: number("int64") for key in COUNTERS}
        self.videos = [key for key, x in self.features.items() if x["dtype"] == "video"]
        if self.videos:
            files.require_av()
        self.lost = [f"Videos are lossy: the frames {', '.join(self.videos)} differ slightly."] if self.videos else []
        self.lengths: list[int] = []
        self.stats: list[dict] = []
        self.finals: list[Arrays] = []

    def _feature(self, box: gym_spaces.Space, video: bool) -> dict[str, Any]:
        shape = list(box.shape or ()) or [1]
        if box.dtype != np.uint8:
            return {"dtype": np.dtype(box.dtype).name, "shape": shape, "names": None}
        filmed = video and shape[2] == 3 and shape[0] % 2 == shape[1] % 2 == 0  # the codec has no other forms
        return {"dtype": "video" if filmed else "image", "shape": shape, "names": ["height", "width", "channel"]}

    def _action_feature(self) -> dict[str, Any]:
        space = self.about.spaces.action
        discrete = not isinstance(space, gym_spaces.Box)
        return {"dtype": "int64" if discrete else "float32", "shape": list(space.shape or ()) or [1], "names": None}

    def add(self, records: Arrays) -> None:
        if not holds_steps(records, self.lost):
            return
        records = with_clipped_actions(records, self.lost)
        number, steps = len(self.lengths), len(records["reward"]) - 1
        rows = {f"{OBSERVATION}{key}": records[key][:-1] for key in self.about.spaces.observation}
        action, last = records["action"][:-1], np.arange(1, steps + 1) == steps
        rows["action"] = (
            action if self.features["action"]["dtype"] == "float32" else to_choices(action, self.about.spaces.action)
        )
        rows |= {REWARD: records["reward"][1:], TERMINATED: last & records["is_terminal"][-1], "next.done": last}
        rows |= {"timestamp": (np.arange(steps) / self.fps).astype(np.float32), "frame_index": np.arange(steps)}
        rows |= {"episode_index": np.full(steps, number), "index": np.arange(steps) + sum(self.lengths)}
        rows["task_index"] = np.zeros(steps, np.int64)
        for key in self.videos:
            files.write_video(self._path(VIDEO_PATH, number, key), rows[key], self.fps)
        stored = {key: value for key, value in rows.items() if key not in self.videos}
        self._write_table(self._path(DATA_PATH, number), stored)
        self.stats.append({"episode_index": number, "stats": {key: statistics(x) for key, x in rows.items()}})
        self.finals.append({key: records[key][-1:] for key in self.about.spaces.observation})
        self.lengths.append(steps)

    def _path(self, template: str, number: int, key: str = "") -> Path:
        name = template.format(episode_chunk=number // CHUNK_EPISODES, episode_index=number, video_key=key)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write_table(self, path: Path, rows: Arrays) -> None:
        """Write rows with the description of their types that the package `datasets` reads."""
        columns = {key: self._column(value) for key, value in rows.items()}
        about = {"info": {"features": {key: huggingface_type(value) for key, value in rows.items()}}}
        table = self.arrow.table(columns).replace_schema_metadata({"huggingface": json.dumps(about)})
        self.parquet.write_table(table, path)

    def _column(self, value: np.ndarray) -> Any:
        if value.dtype == np.uint8:
            kind = self.arrow.struct({"bytes": self.arrow.binary(), "path": self.arrow.string()})
            return self.arrow.array([{"bytes": files.png(frame), "path": None} for frame in value], kind)
        flat = self.arrow.array(np.ascontiguousarray(value).reshape(-1))
        if value.ndim == 1 or value.shape[1:] == (1,):
            return flat
        return self.arrow.FixedSizeListArray.from_arrays(flat, value.shape[1])

    def close(self) -> None:
        meta = self.folder / "meta"
        meta.mkdir(parents=True, exist_ok=True)
        task = self.about.task or "task"
        rows = [{"episode_index": i, "tasks": [task], "length": length} for i, length in enumerate(self.lengths)]
        write_text(meta / "episodes.jsonl", files.json_lines(rows))
        write_text(meta / "tasks.jsonl", files.json_lines([{"task_index": 0, "task": task}]))
        write_text(meta / "episodes_stats.jsonl", files.json_lines(self.stats))
        write_text(self.folder / files.INFO_PATH, json.dumps(self._info(), indent=4))
        if self.finals:
            last = {f"{OBSERVATION}{key}": np.concatenate([x[key] for x in self.finals]) for key in self.finals[0]}
            self._write_table(self.folder / files.FINAL_PATH, {"episode_index": np.arange(len(self.finals)), **last})

    def _info(self) -> dict[str, Any]:
        count = len(self.lengths)
        return {
            "codebase_version": "v2.1", "robot_type": None, "total_episodes": count, "total_frames": sum(self.lengths),
            "total_tasks": 1, "total_videos": count * len(self.videos), "total_chunks": -(-count // CHUNK_EPISODES),
            "chunks_size": CHUNK_EPISODES, "fps": self.fps, "splits": {"train": f"0:{count}"}, "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self.videos else None, "features": self.features,
            ABOUT_KEY: about_json(self.about),
        }  # fmt: skip


def number(kind: str) -> dict[str, Any]:
    """Return the description of a feature with one number per row."""
    return {"dtype": kind, "shape": [1], "names": None}


def huggingface_type(value: np.ndarray) -> dict[str, Any]:
    """Return the type of a column as the package `datasets` describes it."""
    if value.dtype == np.uint8:
        return {"_type": "Image"}
    one = {"dtype": value.dtype.name, "_type": "Value"}
    if value.ndim == 1 or value.shape[1:] == (1,):
        return one
    return {"feature": one, "length": value.shape[1], "_type": "Sequence"}


def statistics(value: np.ndarray) -> dict[str, Any]:
    """Return the statistics of a column that the layout stores per episode; of images in [0, 1], per channel."""
    picture = value.dtype == np.uint8
    axes, scale = ((0, 1, 2), 255.0) if picture else ((0,), 1.0)
    numbers = value.astype(np.float64) / scale
    shape = lambda x: np.reshape(x, (-1, 1, 1) if picture else -1).tolist()
    found = {name: shape(getattr(numbers, name)(axes)) for name in ("min", "max", "mean", "std")}
    return {**found, "count": [len(value)]}
