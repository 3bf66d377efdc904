"""Videos as GIF files, made with Pillow, and as mp4 if imageio-ffmpeg is installed.

`B` batch, `T` time, `H` `W` height and width, `C` channels, `n` size of a vector or number of environments.
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from common.errors import UserError
from common.files import write_bytes

MAX_ROWS = 6  # sequences next to each other, or numbers of a vector below each other
MAX_EPISODE_FRAMES = 1000
COLORS = ((230, 120, 20), (40, 110, 220))  # model, truth
GREEN, GRAY = (0, 160, 0), (110, 110, 110)
LEGEND_HEIGHT = 14  # pixels above the curves of a vector


def encode_gif(frames: np.ndarray, fps: int = 15) -> bytes:
    """Return a GIF of uint8 `frames` (T, H, W, 3) that repeats indefinitely."""
    assert frames.dtype == np.uint8, frames.dtype
    assert frames.shape[3:] == (3,), frames.shape
    pictures = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0, disposal=1
    )
    return buffer.getvalue()


def to_rgb(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (..., H, W, C) as (..., H, W, 3); of stacked gray frames the newest one."""
    assert images.dtype == np.uint8, images.dtype
    if images.shape[-1] == 3:
        return images
    return np.repeat(images[..., -1:], 3, axis=-1)


def open_loop_frames(truth: np.ndarray, model: np.ndarray, context: int) -> np.ndarray:
    """Return pictures (T, H', W', 3) uint8 that compare predictions with the truth.

    `truth`, `model`: floats in [0, 1], (B, T, H, W, C) for images; (B, T, n) or (B, T) for vectors.

    Images: truth, model and error below each other, sequences next to each other. A green frame marks the first
    `context` steps, in which the model sees the truth. Vectors: a row of curves per number, of the first sequence only.
    """
    assert truth.shape == model.shape, (truth.shape, model.shape)
    if truth.ndim == 5:
        return _strip(truth[:MAX_ROWS], model[:MAX_ROWS], context)
    return _curves(truth[0].reshape(truth.shape[1], -1), model[0].reshape(truth.shape[1], -1), context)


def error_curve(truth: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each time step, (T,)."""
    assert truth.shape == model.shape, (truth.shape, model.shape)
    square = np.square(truth.astype(np.float64) - model)
    return square.mean(axis=tuple(axis for axis in range(square.ndim) if axis != 1))


def _strip(truth: np.ndarray, model: np.ndarray, context: int) -> np.ndarray:
    rows = np.stack([truth, model, (model - truth + 1) / 2], 2)  # (B, T, 3, H, W, C)
    rows = to_rgb((rows.clip(0, 1) * 255).round().astype(np.uint8))
    rows[:, :context, 1, [0, -1]] = rows[:, :context, 1][..., [0, -1], :] = (0, 200, 0)
    batch, time, _, height, width, _ = rows.shape
    return rows.transpose(1, 2, 3, 0, 4, 5).reshape(time, 3 * height, batch * width, 3)


def _curves(truth: np.ndarray, model: np.ndarray, context: int, width: int = 320, height: int = 64) -> np.ndarray:
    """Return curves of the first numbers of (T, n) vectors, each row with its index, below a legend.

    All pictures show the whole curves in pale colors, so that no picture is blank; picture t has steps 0 to t in full.
    """
    time, count = len(truth), min(MAX_ROWS, truth.shape[1])
    across = np.linspace(4, width - 4, time)
    border = across[min(context, time - 1)]
    pictures = []
    for now in range(time):
        image = Image.new("RGB", (width, LEGEND_HEIGHT + height * count), "white")
        draw = ImageDraw.Draw(image)
        _draw_legend(draw, width, border)
        draw.line([(border, LEGEND_HEIGHT), (border, image.height)], GREEN)
        for row in range(count):
            series, top = np.stack([model[:, row], truth[:, row]]), LEGEND_HEIGHT + row * height
            draw.line([(0, top), (width, top)], (200, 200, 200))
            span = max(series.max() - series.min(), 1e-6)
            down = top + 4 + (height - 8) * (1 - (series - series.min()) / span)
            for part, colors in ((down, map(_pale, COLORS)), (down[:, : now + 1], COLORS)):
                for values, color in zip(part, colors, strict=True):
                    points = list(zip(across.tolist(), values.tolist(), strict=False))
                    draw.line(points if len(points) > 1 else points * 2, color, width=2)
            draw.text((4, top + 2), str(row), GRAY)
        pictures.append(np.asarray(image))
    return np.stack(pictures)


def _draw_legend(draw: ImageDraw.ImageDraw, width: int, border: float) -> None:
    """Name the curves at the right, and the observed steps, whose end is at `border`, at the left."""
    draw.text((min(border, width - 215), 1), "observed until here", GREEN)
    for place, (name, color) in enumerate(zip(("model", "truth"), COLORS, strict=True)):
        left = width - 100 + 50 * place
        draw.line([(left, 7), (left + 8, 7)], color, width=2)
        draw.text((left + 12, 1), name, color)


def _pale(color: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (255 - (255 - part) // 4 for part in color)
    return red, green, blue


class EpisodeRecorder:
    """Collects the pictures of one episode of the first environment, at most `MAX_EPISODE_FRAMES`.

    Call `see` with every record. `done` turns True with the last record of the episode. An episode that a failure cut
    short is dropped, and the next one is recorded.
    """

    def __init__(self, key: str):
        self.key = key
        self.frames: list[np.ndarray] = []
        self.done = False

    def see(self, record: dict[str, np.ndarray], broken: bool = False) -> None:
        """Add the picture of `record` (n, ...), from the first record of an episode on.

        broken: whether the record closes an episode that a failure cut short.
        """
        if self.done or not (self.frames or record["is_first"][0]):
            return
        if broken:
            self.frames = []
            return
        if len(self.frames) < MAX_EPISODE_FRAMES:
            self.frames.append(to_rgb(record[self.key][0]).copy())
        self.done = bool(record["is_last"][0])

    def pictures(self) -> np.ndarray | None:
        """Return the frames (T, H, W, 3) uint8, None if no episode is complete."""
        return np.stack(self.frames) if self.done else None


class EvaluationRecorder:
    """Collects the pictures of the first `count` episodes of the first environment that no failure cut short.

    picture: returns the picture of a record, None to skip it.
    """

    def __init__(self, count: int, picture: Callable[[dict], np.ndarray | None]):
        self.count, self.picture = count, picture
        self.episodes: list[list[np.ndarray]] = []

    def see(self, record: dict[str, np.ndarray], broken: bool = False) -> None:
        """Add the picture of `record` (n, ...); drop the episode if the record closes one that a failure cut short."""
        if record["is_first"][0]:
            self.episodes.append([])
        if broken:
            self.episodes.pop()
        elif len(self.episodes) <= self.count and (frame := self.picture(record)) is not None:
            self.episodes[-1].append(frame)

    def pictures(self) -> list[np.ndarray]:
        """Return the episodes that have pictures, (T, H, W, 3) uint8 each."""
        return [stack_frames(frames) for frames in self.episodes[: self.count] if frames]


def stack_frames(frames: list[np.ndarray]) -> np.ndarray:
    """Return pictures (H, W, 3) as one array; resize those that differ in size from the first, as windows may."""
    height, width, _ = frames[0].shape
    fitting = lambda frame: frame if frame.shape == frames[0].shape else Image.fromarray(frame).resize((width, height))
    return np.stack([np.asarray(fitting(frame)) for frame in frames])


def scale_frames(frames: np.ndarray, side: int = 256) -> np.ndarray:
    """Return frames (T, H, W, 3) with pixels repeated or skipped: an even height of about `side`, an even width."""
    high = frames.shape[1]
    if high < side:
        frames = frames.repeat(round(side / high), 1).repeat(round(side / high), 2)
    step = max(1, round(high / side))
    frames = frames[:, ::step, ::step]
    return frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]


def require_mp4() -> Any:
    """Return the package that writes mp4 files. Raises UserError if it is not installed."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(f"mp4 needs another package: pip install imageio-ffmpeg ({error}).") from error
    return imageio_ffmpeg


def write_mp4(path: Path, frames: np.ndarray, fps: int = 15) -> None:
    """Write frames (T, H, W, 3) of even sides atomically. Raises UserError if imageio-ffmpeg is not installed."""
    imageio_ffmpeg = require_mp4()
    high, wide = frames.shape[1:3]
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / path.name
        writer = imageio_ffmpeg.write_frames(str(part), (wide, high), fps=fps, macro_block_size=2)
        writer.send(None)  # start it
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        write_bytes(path, part.read_bytes())


def first_image_key(space: dict) -> str | None:
    """Return the first key of an observation space (name to Box) with uint8 images, None without one."""
    return next((key for key, box in space.items() if len(box.shape) == 3 and box.dtype == np.uint8), None)
