"""Films of a session: the environment and all dreams next to each other, with a title above each.

T frames, n numbers of a vector; pictures are uint8 (H, W, 3).
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from common.errors import UserError
from common.files import write_bytes
from common.storage import video
from common.viewer.frames import Frame, view
from common.viewer.session import Session

PANE_HEIGHT, TITLE_HEIGHT, GAP = 192, 16, 4
BACKGROUND, TEXT = (24, 24, 27), (228, 228, 231)
ENVIRONMENT = "environment"
FORMATS = (".gif", ".mp4")
NO_PICTURES = (
    "There is nothing to film: the task has no images, its environment draws none, and no run predicts vectors. "
    "For Gymnasium's classic control: pip install pygame."
)


def film(session: Session, steps: int = 0) -> np.ndarray:
    """Return the last frames of a session, all if `steps` is 0, as pictures (T, H, W, 3) with even sides.

    Raises:
        UserError: there is nothing to show.
    """
    frames = list(session.history)[-steps:]
    panes = [(ENVIRONMENT, pane([frame.real for frame in frames]))]
    for number, dreamer in enumerate(session.dreamers):
        pictures = pane([view(frame, number, session.settings.view) for frame in frames])
        panes.append((dreamer.run.name, curves(frames, number) if pictures is None else pictures))
    shown = [(title, pictures) for title, pictures in panes if pictures is not None]
    if not shown:
        raise UserError(NO_PICTURES)
    captions = [[caption(name, frame) for frame in frames] for name, _ in shown]
    return side_by_side([titled(pictures, texts) for (_, pictures), texts in zip(shown, captions, strict=True)])


def caption(name: str, frame: Frame) -> str:
    """Return the title of a pane at a frame: its name and its state."""
    over, imagined = frame.numbers["over"], frame.numbers["imagined"]
    if name == ENVIRONMENT:
        return f"{name}{' (over)' if over else ''}"
    return f"{name}{f': dream {imagined}' if imagined else ': observes'}"


def pane(pictures: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return pictures of one height (T, H, W, 3), None if one is missing."""
    found = [picture for picture in pictures if picture is not None]
    if len(found) < len(pictures) or not found:
        return None
    return video.scale_frames(video.stack_frames(found), PANE_HEIGHT)


def curves(frames: Sequence[Frame], run: int) -> np.ndarray | None:
    """Return curves (T, H, W, 3) of true vectors and those that a run predicts, None if it predicts none."""
    keys = [key for key in frames[0].vectors if key in frames[0].predictions[run].observations]
    if not keys:
        return None
    join = lambda parts: np.concatenate([np.reshape(part, -1) for part in parts])
    truth = np.stack([join([frame.vectors[key] for key in keys]) for frame in frames])
    model = np.stack([join([frame.predictions[run].observations[key] for key in keys]) for frame in frames])
    return video.open_loop_frames(truth[None], model[None], 0)


def titled(pictures: np.ndarray, titles: Sequence[str]) -> np.ndarray:
    """Return pictures (T, H, W, 3) below one title each."""
    found = []
    for picture, title in zip(pictures, titles, strict=True):
        strip = Image.new("RGB", (picture.shape[1], TITLE_HEIGHT), BACKGROUND)
        ImageDraw.Draw(strip).text((2, 2), title, TEXT)
        found.append(np.concatenate([np.asarray(strip), picture]))
    return np.stack(found)


def side_by_side(panes: Sequence[np.ndarray]) -> np.ndarray:
    """Return panes (T, H, W, 3) next to each other, at the top, with gaps; height and width are even."""
    high = max(pane.shape[1] for pane in panes)
    high, wide = high + high % 2, sum(pane.shape[2] + GAP for pane in panes) - GAP
    sheet = np.full((len(panes[0]), high, wide + wide % 2, 3), BACKGROUND, np.uint8)
    left = 0
    for pictures in panes:
        sheet[:, : pictures.shape[1], left : left + pictures.shape[2]] = pictures
        left += pictures.shape[2] + GAP
    return sheet


def check_format(suffix: str) -> None:
    """Raise UserError for another ending than .gif and .mp4, or for mp4 without its package."""
    if suffix not in FORMATS:
        raise UserError(f"A film ends with {' or '.join(FORMATS)}, got {suffix or 'no ending'!r}.")
    if suffix == ".mp4":
        video.require_mp4()


def is_available(suffix: str) -> bool:
    """Whether films can be written in a format."""
    try:
        check_format(suffix)
    except UserError:
        return False
    return True


def encode(pictures: np.ndarray, suffix: str, fps: int) -> bytes:
    """Return a film of pictures (T, H, W, 3) in a format. Raises UserError as `check_format` does."""
    check_format(suffix)
    if suffix == ".gif":
        return video.encode_gif(pictures, fps)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        video.write_mp4(path, pictures, fps)
        return path.read_bytes()


def write(path: Path, pictures: np.ndarray, fps: int) -> None:
    """Write a film atomically; its ending gives the format."""
    write_bytes(path, encode(pictures, path.suffix, fps))
