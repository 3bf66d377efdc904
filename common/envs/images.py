"""Pictures: what counts as one, and how it becomes uint8 (H, W, C) of the wanted size."""

from collections.abc import Callable

import numpy as np
from gymnasium.spaces import Box
from PIL import Image

FILTERS = {"area": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR}
SMALLEST = 16  # pixels; smaller grids (MiniGrid's 7x7x3) are symbols, not pictures
RANGES = ((0, 1), (0, 255), (-1, 1))  # bounds that mark an array of floats as a picture


def fit(image: np.ndarray, size: int, gray: bool, resize: str) -> np.ndarray:
    """uint8 (H, W, C) -> uint8 (size, size, C), or (size, size, 1) if gray; size 0 keeps (H, W)."""
    if size and image.shape[:2] != (size, size):
        image = _resized(image, (size, size), FILTERS[resize])
    if gray and image.shape[-1] == 3:
        image = np.asarray(Image.fromarray(image).convert("L"))[..., None]  # 0.299, 0.587, 0.114
    return image


def is_picture(space: Box) -> bool:
    """Whether a Box holds pixels: uint8 (or numbers in a picture's range), two long sides, few channels.

    A stack of pictures (n, ...) is one, with the channels of all.
    """
    shape = space.shape[1:] if _is_stack(space.shape) else space.shape
    return _channels(shape) is not None and (space.dtype == np.uint8 or _bounds(space) in RANGES)


def picture(space: Box) -> tuple[tuple[int, int, int], Callable]:
    """The (H, W, C) of a Box of pixels, and the function that turns its values into uint8 (H, W, C)."""
    stack = _is_stack(space.shape)
    axis, (low, high) = _channels(space.shape[1:] if stack else space.shape), _bounds(space)

    def one(value):
        return value[..., None] if value.ndim == 2 else np.moveaxis(value, axis, -1)

    def convert(value):
        if space.dtype != np.uint8:
            value = np.rint((np.clip(value, low, high) - low) * (255 / (high - low))).astype(np.uint8)
        return np.ascontiguousarray(np.concatenate([one(v) for v in value], -1) if stack else one(value))

    return convert(np.zeros(space.shape, space.dtype)).shape, convert


def _is_stack(shape):
    return len(shape) == 4 and shape[0] < SMALLEST


def _channels(shape):
    """The axis of the channels, the last for (H, W), or None for something that is not a picture."""
    if len(shape) == 2:
        return -1 if min(shape) >= SMALLEST else None
    if len(shape) != 3:
        return None
    for axis, sides in ((-1, shape[:2]), (0, shape[1:])):
        if min(sides) >= SMALLEST and 0 < shape[axis] < SMALLEST:
            return axis
    return None


def _bounds(space):
    return float(space.low.min()), float(space.high.max())


def _resized(image, size, method):
    if image.shape[-1] == 3:
        return np.asarray(Image.fromarray(image).resize(size, method))
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, -1, 0)]
    return np.stack([np.asarray(plane.resize(size, method)) for plane in planes], -1)
