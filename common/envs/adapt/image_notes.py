"""Sentences about images whose bytes, bounds or shapes are unusual; `check-env` and training print the same ones."""

from collections.abc import Iterator, Mapping

import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.envs.adapt.answers import as_array

DARK_PIXEL = 16  # of 255; images of bytes below it are symbols, or too dark to see
WATCHED_OBSERVATIONS = 50  # of an environment, after which training judges its images


def scaled_bytes_note(key: str, space: spaces.Box) -> str:
    """Return a note if an image of bytes is scaled by its bounds, else an empty string."""
    if not images.has_own_bounds(space):
        return ""
    low, high = images.bounds(space)
    symbols = " If they are symbols, declare a MultiDiscrete, which becomes one-hot." if high - low > 1 else ""
    return f"Image {key!r} has the bounds {low:g} to {high:g}: its bytes are scaled from them to 0 to 255.{symbols}"


def clipped_note(key: str, space: spaces.Box, low: float, high: float) -> str:
    """Return a sentence if the values of an image, from `low` to `high`, are outside its bounds, else ''."""
    least, most = images.bounds(space)
    if least <= low and high <= most:
        return ""
    return f"{range_text(key, space, low, high)}: values outside are clipped. Give the space the true bounds."


def black_note(key: str, space: spaces.Box, low: float, high: float) -> str:
    """Return a sentence if the values of an image with the bounds 0 to 255 are 0 and 1, else ''."""
    if not has_byte_range(space) or not 0 < high <= 1:
        return ""
    text = range_text(key, space, low, high)
    return f"{text}: the agent sees black. Multiply it by 255, or declare the bounds 0 and 1."


def dark_note(key: str, space: spaces.Box, low: float, high: float) -> str:
    """Return a sentence if an image with the bounds 0 to 255 uses a small part of them, else ''."""
    if not has_byte_range(space) or not 1 < high < DARK_PIXEL:
        return ""
    return (
        f"Image {key!r} has values from {low:g} to {high:g} of 255: the agent sees nearly black. If they are symbols, "
        "declare a MultiDiscrete; else scale them up to 255, or declare their bounds."
    )


def range_text(key: str, space: spaces.Box, low: float, high: float) -> str:
    """Return the values seen next to the bounds."""
    least, most = images.bounds(space)
    return f"Image {key!r} has values from {low:g} to {high:g}, its space says {least:g} to {most:g}"


def has_byte_range(space: spaces.Box) -> bool:
    """Whether the numbers of an image are used without scaling."""
    return images.bounds(space)[1] == 255


def misread_images(raw: Mapping[str, spaces.Space], axes: int) -> Iterator[str]:
    """Yield a sentence on each array with this number of axes that looks like an image, but is read as a vector."""
    for key, space in raw.items():
        if not isinstance(space, spaces.Box) or images.is_image(space) or len(space.shape) != axes:
            continue
        if sorted(space.shape)[-2] >= images.MIN_IMAGE_SIDE:
            kind = f"{space.dtype} {space.shape} from {space.low.min():g} to {space.high.max():g}"
            size = f"{int(np.prod(space.shape)):,} numbers"
            yield f"Observation {key!r}, {kind}, is read as {size}. An image? {_image_hint(space)}."


def _image_hint(space: spaces.Box) -> str:
    """Return the change that would make an array an image."""
    if images.is_image(spaces.Box(0, 255, space.shape, np.uint8)):
        return "Use uint8, or the bounds 0, 1"
    if len(space.shape) == 4:
        return "A stack is (n, H, W, C) or (n, C, H, W), with n and C up to 15"
    return "Put the channels first or last" if space.shape[1] < images.MIN_IMAGE_SIDE else "It has at most 15 channels"


class ImageWatch:
    """Watches the values of the images of an environment in its first observations.

    found: the space of each image by key. `see` returns new sentences, each once.
    """

    def __init__(self, found: Mapping[str, spaces.Box]):
        self.spaces, self.seen = dict(found), 0
        self.low, self.high = dict.fromkeys(found, np.inf), dict.fromkeys(found, -np.inf)

    def see(self, values: Mapping[str, object]) -> list[str]:
        """Take the raw observation by key; return what is wrong with its images once enough of them were seen."""
        if not self.spaces or self.seen >= WATCHED_OBSERVATIONS:
            return []
        self.seen += 1
        for key in self.spaces:
            array = as_array(values[key])
            self.low[key], self.high[key] = min(self.low[key], array.min()), max(self.high[key], array.max())
        if self.seen < WATCHED_OBSERVATIONS:
            return []
        ranges = [(key, space, float(self.low[key]), float(self.high[key])) for key, space in self.spaces.items()]
        return [text for each in ranges for note in (clipped_note, black_note, dark_note) if (text := note(*each))]
