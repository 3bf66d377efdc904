"""Videos as GIF files, made with Pillow alone, and as mp4 where imageio-ffmpeg is installed.

Legend: `B` batch, `T` time, `H` `W` height and width, `C` channels, `n` size of a vector observation.
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from common.errors import UserError
from common.files import write_bytes

MAX_ROWS = 6  # sequences shown side by side, or numbers of a vector shown below each other
MAX_EPISODE_FRAMES = 1000  # pictures of an episode
COLORS = ((230, 120, 20), (40, 110, 220))  # model, truth


def encode_gif(frames: np.ndarray, fps: int = 15) -> bytes:
    """GIF of uint8 `frames` (T, H, W, 3) that repeats for ever."""
    assert frames.dtype == np.uint8, frames.dtype
    assert frames.shape[3:] == (3,), frames.shape
    pictures = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0, disposal=1
    )
    return buffer.getvalue()


def to_rgb(images: np.ndarray) -> np.ndarray:
    """uint8 images (..., H, W, C) with any number of channels as (..., H, W, 3); stacked frames show the newest."""
    assert images.dtype == np.uint8, images.dtype
    if images.shape[-1] == 3:
        return images
    return np.repeat(images[..., -1:], 3, axis=-1)


def open_loop_frames(truth: np.ndarray, model: np.ndarray, context: int) -> np.ndarray:
    """Pictures (T, H', W', 3) uint8 of predictions beside what happened.

    `truth`, `model`: floats in [0, 1] of shape (B, T, H, W, C), or (B, T, n), (B, T) for vectors. Images show truth,
    model and error below each other, sequences side by side, with a green frame while the model sees the truth (the
    first `context` steps). Vectors show one curve per number, drawn as time goes on.
    """
    assert truth.shape == model.shape, (truth.shape, model.shape)
    if truth.ndim == 5:
        return _strip(truth[:MAX_ROWS], model[:MAX_ROWS], context)
    return _curves(truth[0].reshape(truth.shape[1], -1), model[0].reshape(truth.shape[1], -1), context)


def error_curve(truth: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Mean squared error (T,) over everything but time."""
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
    """Curves of the first numbers of (T, n) vectors; picture t shows steps 0 to t."""
    time, count = len(truth), min(MAX_ROWS, truth.shape[1])
    across = np.linspace(4, width - 4, time)
    pictures = []
    for now in range(time):
        image = Image.new("RGB", (width, height * count), "white")
        draw = ImageDraw.Draw(image)
        draw.line([(across[min(context, time - 1)], 0), (across[min(context, time - 1)], image.height)], (0, 160, 0))
        for row in range(count):
            _curve(draw, across[: now + 1], (model[:, row], truth[:, row]), top=row * height, height=height)
        pictures.append(np.asarray(image))
    return np.stack(pictures)


def _curve(draw: ImageDraw.ImageDraw, across: np.ndarray, series: tuple, *, top: int, height: int) -> None:
    """Draws `series` (model, truth) on one scale, up to the time that `across` reaches."""
    low = min(values.min() for values in series)
    span = max(max(values.max() for values in series) - low, 1e-6)
    draw.line([(0, top), (draw.im.size[0], top)], (200, 200, 200))
    for values, color in zip(series, COLORS, strict=True):
        down = top + 4 + (height - 8) * (1 - (values[: len(across)] - low) / span)
        points = [(float(x), float(y)) for x, y in zip(across, down, strict=True)]
        draw.line(points if len(points) > 1 else points * 2, color, width=2)


class EpisodeRecorder:
    """Collects the pictures of one episode of one environment.

    Call `see` with every record; `done` turns True with the episode's last record.
    """

    def __init__(self, key: str, env: int = 0, limit: int = MAX_EPISODE_FRAMES):
        self.key, self.env, self.limit = key, env, limit
        self.frames: list[np.ndarray] = []
        self.done = False

    def see(self, record: dict[str, np.ndarray]) -> None:
        """Adds the picture of `record` (n, ...) once an episode has begun; at most `limit` of them."""
        if self.done or not (self.frames or record["is_first"][self.env]):
            return
        if len(self.frames) < self.limit:
            self.frames.append(to_rgb(record[self.key][self.env]).copy())
        self.done = bool(record["is_last"][self.env])

    def pictures(self) -> np.ndarray:
        """Frames (T, H, W, 3) uint8."""
        return np.stack(self.frames)


class EvaluationRecorder:
    """Collects the pictures of the first `count` episodes of the first environment, (T, H, W, 3) uint8 each.

    picture: what to show of a record, or None for nothing.
    """

    def __init__(self, count: int, picture: Callable[[dict], np.ndarray | None]):
        self.count, self.picture = count, picture
        self.episodes: list[list[np.ndarray]] = []

    def see(self, record: dict[str, np.ndarray]) -> None:
        """Adds the picture of `record` (n, ...)."""
        if record["is_first"][0]:
            self.episodes.append([])
        if len(self.episodes) <= self.count and (frame := self.picture(record)) is not None:
            self.episodes[-1].append(frame)

    def pictures(self) -> list[np.ndarray]:
        """The episodes of which there are pictures."""
        return [stack_frames(frames) for frames in self.episodes[: self.count] if frames]


def stack_frames(frames: list[np.ndarray]) -> np.ndarray:
    """Pictures (H, W, 3) as one array; those of another size than the first, as of a window, are brought to it."""
    height, width, _ = frames[0].shape
    fitting = lambda frame: frame if frame.shape == frames[0].shape else Image.fromarray(frame).resize((width, height))
    return np.stack([np.asarray(fitting(frame)) for frame in frames])


def scale_frames(frames: np.ndarray, side: int = 256) -> np.ndarray:
    """Frames (T, H, W, 3) with every pixel repeated, or pixels left out, so that the height is about `side`; even."""
    high = frames.shape[1]
    if high < side:
        frames = frames.repeat(round(side / high), 1).repeat(round(side / high), 2)
    step = max(1, round(high / side))
    frames = frames[:, ::step, ::step]
    return frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]


def write_mp4(path: Path, frames: np.ndarray, fps: int = 15) -> None:
    """Writes frames (T, H, W, 3) of even sides, all or nothing. Raises UserError where its package is missing."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(f"mp4 needs another package: pip install imageio-ffmpeg ({error}).") from error
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
    """First key of an observation space (name to Box) that holds uint8 images, or None."""
    return next((key for key, box in space.items() if len(box.shape) == 3 and box.dtype == np.uint8), None)
