"""Files of LeRobot datasets: their description, rows of parquet files as arrays, and frames of images and videos."""

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common.errors import UserError
from common.replay.ring import Arrays
from common.safe_io import parse_json, read_bytes, read_json

INFO_PATH = "meta/info.json"
FINAL_PATH = "meta/final_observations.parquet"  # of this program: the observation after the last action, per episode
BATCH_ROWS = 256  # read at a time
LAYOUTS = ("2.0", "2.1", "3.0")


def require_parquet() -> tuple[Any, Any]:
    """Return pyarrow and its parquet module. Raises UserError, with what to type, if they are missing."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet

        return pyarrow, parquet
    except ImportError as error:
        raise UserError(f"LeRobot datasets need a package: {error}. Install it: pip install pyarrow") from error


def require_av() -> Any:
    """Return PyAV. Raises UserError, with what to type, if it is missing."""
    try:
        import av

        return av
    except ImportError as error:
        raise UserError(f"Frames in videos need a package: {error}. Install it: pip install av") from error


def read_info(folder: Path) -> dict[str, Any]:
    """Return the description of a dataset. Raises UserError if it is damaged or of an unknown layout."""
    path = folder / INFO_PATH
    try:
        info = read_json(path)
        layout, features = layout_of(info), info["features"]
        _ = info["fps"] + 0, [(str(x["dtype"]), tuple(x["shape"])) for x in features.values()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). Restore it, or download the dataset again.") from error
    if layout not in LAYOUTS:
        raise UserError(f"{path} has the layout {layout}. Layouts that can be read: {', '.join(LAYOUTS)}.")
    return info


def layout_of(info: dict[str, Any]) -> str:
    """Return the layout of a dataset, such as 2.1, from its description."""
    return str(info["codebase_version"]).removeprefix("v")


def read_episode_table(folder: Path) -> dict[int, dict[str, Any]]:
    """Return the row of each episode in `meta/episodes.jsonl`, or in the parquet files of layout 3; {} without them."""
    listed, rows = folder / "meta/episodes.jsonl", []
    try:
        if listed.is_file():
            rows = [parse_json(line) for line in read_bytes(listed).splitlines() if line.strip()]
        for path in sorted(folder.glob("meta/episodes/*/*.parquet")):
            table = require_parquet()[1].read_table(path)
            rows += table.select([key for key in table.column_names if not key.startswith("stats/")]).to_pylist()
        return {int(row["episode_index"]): row for row in rows}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"The list of episodes in {folder / 'meta'} is damaged ({error!r}). Restore it.") from error


def data_files(folder: Path) -> list[Path]:
    """Return the parquet files with rows, in order."""
    return sorted(folder.glob("data/*/*.parquet"))


def count_rows(folder: Path) -> int:
    """Return the number of rows in all files."""
    return sum(_open(path).metadata.num_rows for path in data_files(folder))


def _open(path: Path) -> Any:
    arrow, parquet = require_parquet()
    try:
        return parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as error:
        raise UserError(f"{path} is damaged ({error}). Restore it, or download the dataset again.") from error


def read_rows(folder: Path, columns: list[str]) -> Iterator[tuple[int, Any]]:
    """Yield (episode, table of its rows), episode by episode, of all files."""
    arrow, _ = require_parquet()
    parts: list[Any] = []
    current = -1
    for path in data_files(folder):
        for table in _batches(path, columns):
            numbers = np.asarray(table["episode_index"])
            edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
            for begin, stop in itertools.pairwise(edges):
                if parts and numbers[begin] != current:
                    yield current, arrow.concat_tables(parts)
                    parts = []
                current = int(numbers[begin])
                parts.append(table.slice(begin, stop - begin))
    if parts:
        yield current, arrow.concat_tables(parts)


def _batches(path: Path, columns: list[str]) -> Iterator[Any]:
    arrow, _ = require_parquet()
    file = _open(path)
    if missing := [key for key in ("episode_index", *columns) if key not in file.schema_arrow.names]:
        raise UserError(f"{path} has no {', '.join(missing)}, which {INFO_PATH} lists. Download the dataset again.")
    try:
        for batch in file.iter_batches(BATCH_ROWS, columns=["episode_index", *columns]):
            if batch.num_rows:
                yield arrow.Table.from_batches([batch])
    except (OSError, arrow.ArrowException) as error:
        raise UserError(f"{path} is damaged ({error}). Restore it, or download the dataset again.") from error


def numbers(column: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Return a column of numbers as an array (T, *shape). Raises UserError for another shape or missing values."""
    arrow, _ = require_parquet()
    values, rows = column.combine_chunks(), len(column)
    try:
        while (
            arrow.types.is_list(values.type)
            or arrow.types.is_large_list(values.type)
            or arrow.types.is_fixed_size_list(values.type)
        ):
            values = values.flatten()
        if values.null_count:
            raise ValueError("it has missing values")
        return values.to_numpy(zero_copy_only=False).reshape(rows, *shape)
    except (ValueError, arrow.ArrowException) as error:
        raise UserError(f"{where} is not {rows} rows of shape {shape}: {error}. Repair the file.") from error


def pictures(column: Any, folder: Path, where: str) -> np.ndarray:
    """Return a column of images as uint8 (T, H, W, C). Raises UserError if one cannot be read or is not of bytes."""
    frames = []
    for value in column.to_pylist():
        try:
            data = value["bytes"] if value["bytes"] is not None else read_bytes(inside(folder, value["path"]))
            image = Image.open(io.BytesIO(data))
            if image.mode not in ("L", "RGB", "RGBA"):
                raise ValueError(f"it has pixels of type {image.mode}, not bytes")
            frame = np.asarray(image)
        except (OSError, ValueError, TypeError, KeyError, Image.DecompressionBombError) as error:
            raise UserError(f"{where} has an image that cannot be read: {error}. Repair the dataset.") from error
        frames.append(frame if frame.ndim == 3 else frame[..., None])
    if len({frame.shape for frame in frames}) > 1:
        raise UserError(f"{where} has images of several sizes: {sorted({frame.shape for frame in frames})}.")
    return np.stack(frames)


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a dataset. Raises UserError if it leads out of the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UserError(f"{folder} names a file outside itself: {name}. It is not read.")
    return path


def frames_of_video(path: Path, start: float, count: int, fps: float, where: str) -> np.ndarray:
    """Return `count` frames of a video from `start` seconds on, uint8 (T, H, W, 3).

    Raises UserError if the video is damaged or too short.
    """
    av = require_av()
    frames: list[np.ndarray] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            container.seek(int(max(start - 1 / fps, 0) * av.time_base), backward=True)
            for frame in container.decode(stream):
                if frame.time is not None and frame.time < start - 0.5 / fps:
                    continue
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == count:
                    break
    except (OSError, av.FFmpegError, IndexError) as error:
        raise UserError(
            f"{path} is missing or damaged ({error}). Restore it, or download the dataset again."
        ) from error
    if len(frames) < count:
        raise UserError(f"{where} has {count} rows, but {path} has {len(frames)} frames of it. Download it again.")
    return np.stack(frames)


def write_video(path: Path, frames: np.ndarray, fps: int) -> None:
    """Write frames, uint8 (T, H, W, 3) with even sides, as an mp4 file. This is lossy."""
    av = require_av()
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def png(frame: np.ndarray) -> bytes:
    """Return an image, uint8 (H, W, C), as a PNG file, which keeps every byte."""
    file = io.BytesIO()
    Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame).save(file, format="PNG")
    return file.getvalue()


def json_lines(rows: list[dict]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def first_rows(records: Arrays, count: int) -> Arrays:
    """Return the first `count` rows of arrays."""
    return {key: value[:count] for key, value in records.items()}
