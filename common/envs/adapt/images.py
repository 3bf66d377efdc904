"""Pictures: what counts as one, and how it becomes uint8 (H, W, C) of the wanted size."""

import functools
from collections.abc import Callable

import numpy as np
from gymnasium.spaces import Box
from PIL import Image

MIN_IMAGE_SIDE = 16  # pixels; smaller grids (MiniGrid's 7x7x3) are symbols, not pictures
IMAGE_RANGES = ((0, 1), (0, 255), (-1, 1))  # bounds that mark an array of floats as a picture


def fit_image(image: np.ndarray, size: int, gray: bool, resize: str) -> np.ndarray:
    """uint8 (H, W, C) -> uint8 (size, size, C), or (size, size, 1) if gray; size 0 keeps (H, W).

    resize: `area`, or `bilinear` as Pillow has it.
    """
    if size and image.shape[:2] != (size, size):
        image = {"area": resize_area, "bilinear": _bilinear}[resize](image, size)
    if gray and image.shape[-1] == 3:
        image = np.asarray(Image.fromarray(image).convert("L"))[..., None]  # 0.299, 0.587, 0.114
    return image


def resize_area(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, C) -> uint8 (size, size, C): the mean over the area that a new pixel covers, rounded to nearest.

    Pixels that it covers in part count in part, as in OpenCV's INTER_AREA (Pillow's BOX takes whole ones). The same
    holds where an image grows: a new pixel that lies inside of an old one is equal to it.
    """
    height, width, channels = image.shape
    rows = _summed(image.reshape(height, width * channels), size)
    total = _summed(rows.reshape(size, width, channels).swapaxes(0, 1).reshape(width, size * channels), size)
    mean = np.rint(total / np.float32(height * width)).astype(np.uint8)
    return np.ascontiguousarray(mean.reshape(size, size, channels).swapaxes(0, 1))


def is_image(space: Box) -> bool:
    """Whether a Box holds pixels: uint8 (or numbers in a picture's range), two long sides, few channels.

    A stack of pictures (n, ...) is one, with the channels of all.
    """
    shape = space.shape[1:] if _is_stack(space.shape) else space.shape
    return _channels(shape) is not None and (space.dtype == np.uint8 or _bounds(space) in IMAGE_RANGES)


def image_converter(space: Box) -> tuple[tuple[int, int, int], Callable]:
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
    return len(shape) == 4 and shape[0] < MIN_IMAGE_SIDE


def _channels(shape):
    """The axis of the channels, the last for (H, W), or None for something that is not a picture."""
    if len(shape) == 2:
        return -1 if min(shape) >= MIN_IMAGE_SIDE else None
    if len(shape) != 3:
        return None
    for axis, sides in ((-1, shape[:2]), (0, shape[1:])):
        if min(sides) >= MIN_IMAGE_SIDE and 0 < shape[axis] < MIN_IMAGE_SIDE:
            return axis
    return None


def _bounds(space):
    return float(space.low.min()), float(space.high.max())


def _bilinear(image, size):
    if image.shape[-1] == 3:
        return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, -1, 0)]
    return np.stack([np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR)) for plane in planes], -1)


def _summed(lines, size):
    """(n, m) -> float32 (size, m): n times the mean of the lines that each new one covers.

    Without BLAS, whose threads would be in each other's way where several environments share the cores.
    """
    index, share = _covered(len(lines), size)
    return np.einsum("ks,ksm->sm", share, lines[index], dtype=np.float32)


@functools.cache
def _covered(n, size):
    """Which of n lines each of `size` new ones covers, int (K, size), and how much, float32 (K, size) adding up to n.

    In whole numbers, 1 / size of a line each, so that sums of bytes are exact up to 2^24.
    """
    begin = np.arange(size) * n
    end, first = begin + n, begin // size
    index = first + np.arange(((end - 1) // size - first).max() + 1)[:, None]
    share = np.minimum(end, (index + 1) * size) - np.maximum(begin, index * size)
    return np.minimum(index, n - 1), np.maximum(share, 0).astype(np.float32)
