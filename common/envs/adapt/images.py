"""Image observations: which spaces are images, and their conversion to uint8 (H, W, C) of one size."""

import functools
from collections.abc import Callable

import numpy as np
from gymnasium.spaces import Box
from PIL import Image

MIN_IMAGE_SIDE = 16  # pixels; smaller grids (MiniGrid's 7x7x3) are symbols, not images
IMAGE_RANGES = ((0, 1), (0, 255), (-1, 1))  # bounds that mark an array of floats as an image


def fit_image(image: np.ndarray, size: int, gray: bool, resize: str) -> np.ndarray:
    """uint8 (H, W, C) -> uint8 (size, size, C), or (size, size, 1) if `gray`; size 0 keeps (H, W).

    resize: `area`, or `bilinear` as in Pillow.
    """
    if size and image.shape[:2] != (size, size):
        image = {"area": resize_area, "bilinear": _resize_bilinear}[resize](image, size)
    if gray and image.shape[-1] == 3:
        image = np.asarray(Image.fromarray(image).convert("L"))[..., None]  # 0.299, 0.587, 0.114
    return image


def resize_area(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, C) -> uint8 (size, size, C): the mean over the area that a new pixel covers, rounded to nearest.

    Pixels that are covered in part count in part, as in OpenCV's INTER_AREA (Pillow's BOX counts whole pixels). The
    same rule enlarges an image: a new pixel inside an old pixel is equal to it.
    """
    height, width, channels = image.shape
    rows = _sum_lines(image.reshape(height, width * channels), size)
    total = _sum_lines(rows.reshape(size, width, channels).swapaxes(0, 1).reshape(width, size * channels), size)
    mean = np.rint(total / np.float32(height * width)).astype(np.uint8)
    return np.ascontiguousarray(mean.reshape(size, size, channels).swapaxes(0, 1))


def is_image(space: Box) -> bool:
    """Whether a Box holds pixels: uint8 or numbers in an image's range, two long sides, few channels.

    A stack of images (n, ...) is an image with the channels of all.
    """
    shape = space.shape[1:] if _is_stack(space.shape) else space.shape
    return _channel_axis(shape) is not None and (space.dtype == np.uint8 or bounds(space) in IMAGE_RANGES)


def image_converter(space: Box) -> tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]:
    """Return the (H, W, C) of a Box of pixels, and the function that converts its values to uint8 (H, W, C)."""
    stack = _is_stack(space.shape)
    axis, (low, high) = _channel_axis(space.shape[1:] if stack else space.shape), bounds(space)
    scale = byte_scaler(space) if has_own_bounds(space) else None

    def channels_last(value: np.ndarray) -> np.ndarray:
        return value[..., None] if value.ndim == 2 else np.moveaxis(value, axis or 0, -1)

    def convert(value: np.ndarray) -> np.ndarray:
        if scale:
            value = scale(value)
        elif space.dtype != np.uint8:
            value = np.rint((np.clip(value, low, high) - low) * (255 / (high - low))).astype(np.uint8)
        image = np.concatenate([channels_last(v) for v in value], -1) if stack else channels_last(value)
        return np.ascontiguousarray(image)

    return convert(space.low).shape, convert


def has_own_bounds(space: Box) -> bool:
    """Whether a Box of pixels has bytes whose bounds are not 0 and 255 everywhere."""
    return space.dtype == np.uint8 and not (np.all(space.low == 0) and np.all(space.high == 255))


def byte_scaler(space: Box) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that scales bytes from the bounds of each pixel to 0 and 255, rounded to nearest."""
    low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    factor = 255 / np.maximum(high - low, 1)
    return lambda value: np.rint((value - low) * factor).astype(np.uint8)


def _is_stack(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[0] < MIN_IMAGE_SIDE


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """Return the axis of the channels, -1 for (H, W), or None if the shape is not an image's."""
    if len(shape) == 2:
        return -1 if min(shape) >= MIN_IMAGE_SIDE else None
    if len(shape) != 3:
        return None
    for axis, sides in ((-1, shape[:2]), (0, shape[1:])):
        if min(sides) >= MIN_IMAGE_SIDE and 0 < shape[axis] < MIN_IMAGE_SIDE:
            return axis
    return None


def bounds(space: Box) -> tuple[float, float]:
    """Return the smallest lower and the largest upper bound of a Box."""
    return float(space.low.min()), float(space.high.max())


def _resize_bilinear(image: np.ndarray, size: int) -> np.ndarray:
    if image.shape[-1] == 3:
        return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, -1, 0)]
    return np.stack([np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR)) for plane in planes], -1)


def _sum_lines(lines: np.ndarray, size: int) -> np.ndarray:
    """(n, m) -> float32 (size, m): n times the mean of the lines that each new line covers.

    Uses no BLAS: its threads would compete with other environments for the cores.
    """
    index, share = _covered_lines(len(lines), size)
    return np.einsum("ks,ksm->sm", share, lines[index], dtype=np.float32)


@functools.cache
def _covered_lines(n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of n lines each of `size` new lines covers, int (K, size), and by how much, float32 (K, size).

    The shares of a new line add up to n. They are whole numbers, in units of 1 / size of a line, so that sums of
    bytes are exact up to 2^24.
    """
    begin = np.arange(size) * n
    end, first = begin + n, begin // size
    index = first + np.arange(((end - 1) // size - first).max() + 1)[:, None]
    share = np.minimum(end, (index + 1) * size) - np.maximum(begin, index * size)
    return np.minimum(index, n - 1), np.maximum(share, 0).astype(np.float32)
