"""Problems of an environment and notes about it, from its spaces and a random rollout."""

from collections.abc import Iterator

import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.envs.check.random_rollout import RandomRollout

LARGE_REWARD, SMALL_REWARD = 100, 1e-3
LARGE_VECTOR = 1000
DARK_PIXEL = 16  # of 255; images of bytes below it are symbols, or too dark to see
LONG_ONE_HOT = 1000  # values of a one-hot vector

RawSpaces = dict[str, spaces.Space]


def problems(rollout: RandomRollout, raw: RawSpaces) -> list[str]:
    """Return what must be fixed before training. raw: the environment's own observation spaces by key."""
    return [
        *exceptions(rollout),
        *irreproducible(rollout),
        *image_range_problems(rollout, raw),
        *misread_images(raw, 3),
    ]


def notes(rollout: RandomRollout, raw: RawSpaces) -> list[str]:
    """Return what may be intended, but the user should know. raw: as for `problems`."""
    return [
        *episode_end_notes(rollout),
        *reward_notes(rollout),
        *dark_images(rollout, raw),
        *misread_images(raw, 2),
        *misread_images(raw, 4),
        *observation_value_notes(rollout, raw),
        *one_hot_size_notes(rollout, raw),
        *rollout.unlogged.values(),
    ]


def exceptions(rollout: RandomRollout) -> Iterator[str]:
    """Exceptions, also for a NaN or a wrong shape."""
    if rollout.failure:
        last, number = rollout.episodes[-1], len(rollout.episodes)
        begun = rollout.flags[True, False, False] == number
        place = f"step {last.length + 1}" if begun else "the reset"
        place = f"{place} of episode {number}" if last.end == "broken" else "the replay of an episode"
        yield f"It broke at {place}: {rollout.failure}."


def irreproducible(rollout: RandomRollout) -> Iterator[str]:
    """Randomness and memory that do not depend on the seed."""
    if not rollout.reproducible:
        yield (
            "The same seed gives another episode. Take every random number from self.np_random, which "
            "super().reset(seed=seed) seeds. Otherwise a run cannot resume in the middle of an episode."
        )
    if not rollout.resets_fully:
        yield "An episode depends on earlier episodes: reset does not restore the initial state completely."


def image_range_problems(rollout: RandomRollout, raw: RawSpaces) -> Iterator[str]:
    """Pixels outside the bounds of their space, or from 0 to 1 if the bounds are 0 to 255."""
    for key, seen in rollout.ranges.items():
        space = raw[key]
        if not isinstance(space, spaces.Box) or not images.is_image(space):
            continue
        low, high = float(space.low.min()), float(space.high.max())
        text = f"Image {key!r} has values from {seen.low:g} to {seen.high:g}, its space says {low:g} to {high:g}"
        if seen.low < low or seen.high > high:
            yield f"{text}: values outside are clipped. Give the space the true bounds."
        elif has_byte_range(space) and 0 < seen.high <= 1:
            yield f"{text}: the agent sees black. Multiply it by 255, or declare floats from 0 to 1."


def dark_images(rollout: RandomRollout, raw: RawSpaces) -> Iterator[str]:
    """Images of bytes that use a small part of their range."""
    for key, seen in rollout.ranges.items():
        space = raw[key]
        is_byte_image = isinstance(space, spaces.Box) and images.is_image(space) and has_byte_range(space)
        if is_byte_image and 1 < seen.high < DARK_PIXEL:
            yield (
                f"Image {key!r} has values from {seen.low:g} to {seen.high:g} of 255: the agent sees nearly black. If "
                "they are symbols, declare a MultiDiscrete; else scale them up to 255."
            )


def has_byte_range(space: spaces.Box) -> bool:
    """Whether the numbers of an image are used without scaling."""
    return space.dtype == np.uint8 or float(space.high.max()) == 255


def misread_images(raw: RawSpaces, axes: int) -> Iterator[str]:
    """Arrays with this number of axes that look like images, but are read as vectors."""
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


def episode_end_notes(rollout: RandomRollout) -> Iterator[str]:
    """Ends of episodes that may be wrong: none, four values, terminated by a time limit."""
    lengths, ends = {episode.length for episode in rollout.episodes}, {episode.end for episode in rollout.episodes}
    if ends == {"still going"}:
        yield f"No episode ended within {max(lengths):,} steps. --env.time_limit sets a limit in frames."
    if rollout.env.has_wrapper_attr("returns_done") and rollout.env.get_wrapper_attr("returns_done"):
        yield (
            "step returns four values: every end counts as terminal, unless info['TimeLimit.truncated'] is true. "
            "Return (observation, reward, terminated, truncated, info)."
        )
    elif ends == {"terminated"} and len(lengths) == 1 < len(rollout.episodes) and lengths != {1}:
        yield (
            f"Every episode ended as terminated after exactly {lengths.pop()} steps. If that is a time limit, return "
            "it as truncated: after a terminated step the agent expects no further reward."
        )


def reward_notes(rollout: RandomRollout) -> Iterator[str]:
    """Rewards that are hard to learn from."""
    largest = max(map(abs, rollout.rewards), default=0.0)
    if rollout.rewards and not largest:
        yield f"All {rollout.steps:,} rewards of random actions were 0: the agent learns nothing until it finds one."
    if largest > LARGE_REWARD or 0 < largest < SMALL_REWARD:
        yield (
            f"The largest reward is {largest:g}. Squared errors (reward.use UnitNormal) need rewards of about 1. Scale "
            "them in the environment, or use --reward.use SymexpTwohot --critic.use SymexpTwohot."
        )


def observation_value_notes(rollout: RandomRollout, raw: RawSpaces) -> Iterator[str]:
    """Observations that never change, leave their bounds, or are very large."""
    for key, seen in rollout.ranges.items():
        space = raw[key]
        if rollout.steps > 1 and not seen.changed:
            yield f"Observation {key!r} never changed."
        if not isinstance(space, spaces.Box) or images.is_image(space):
            continue
        text = f"Observation {key!r} has values from {seen.low:g} to {seen.high:g}"
        low, high = float(space.low.min()), float(space.high.max())
        if seen.low < low or seen.high > high:
            yield f"{text}, its space says {low:g} to {high:g}."
        if max(abs(seen.low), abs(seen.high)) > LARGE_VECTOR:
            yield f"{text}. Scale them to about 1, or use --encoder.symlog true --vector.use SymlogMSE."


def one_hot_size_notes(rollout: RandomRollout, raw: RawSpaces) -> Iterator[str]:
    """Actions and observations with very long one-hot vectors."""
    observed = {f"Observation {key!r} has": space for key, space in raw.items()}
    for subject, space in {**observed, "The actions have": rollout.env.action_space}.items():
        counts = {spaces.Discrete: "n", spaces.MultiDiscrete: "nvec"}.get(type(space), "")
        count = int(np.sum(getattr(space, counts))) if counts else 0
        if count > LONG_ONE_HOT:
            yield f"{subject} {count:,} values: a one-hot vector of that length. A MultiDiscrete of several is shorter."
