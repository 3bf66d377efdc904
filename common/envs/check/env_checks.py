"""What is wrong with an environment, and what to know of it: one sentence each, from its spaces and a trial."""

from collections.abc import Iterator

import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.envs.check.random_rollout import RandomRollout

LARGE_REWARD, SMALL_REWARD = 100, 1e-3
LARGE_VECTOR = 1000
DARK_PIXEL = 16  # of 255; bytes that stay below are symbols, or a picture that nobody sees
LONG_ONE_HOT = 1000  # values of a one-hot vector


def problems(trial: RandomRollout, raw: dict[str, spaces.Space]) -> list[str]:
    """What has to be mended before training. raw: the environment's own observation spaces by key."""
    return [*exceptions(trial), *irreproducible(trial), *image_range_problems(trial, raw), *misread_images(raw, 3)]


def notes(trial: RandomRollout, raw: dict[str, spaces.Space]) -> list[str]:
    """What may be meant so, and should be known."""
    images_of_a_kind = [*dark_images(trial, raw), *(text for axes in (2, 4) for text in misread_images(raw, axes))]
    sizes = [*observation_value_notes(trial, raw), *one_hot_size_notes(trial, raw)]
    return [*episode_end_notes(trial), *reward_notes(trial), *images_of_a_kind, *sizes, *trial.unlogged.values()]


def exceptions(trial: RandomRollout) -> Iterator[str]:
    """An exception, a NaN, a wrong shape."""
    if trial.failure:
        last, number = trial.episodes[-1], len(trial.episodes)
        begun = trial.flags[True, False, False] == number
        place = f"step {last.length + 1}" if begun else "the reset"
        place = f"{place} of episode {number}" if last.end == "broken" else "an episode played again"
        yield f"It broke at {place}: {trial.failure}."


def irreproducible(trial: RandomRollout) -> Iterator[str]:
    """Chance and memory that the seed does not rule."""
    if not trial.seeded:
        yield (
            "The same seed gives another episode: take every random number from self.np_random, which "
            "super().reset(seed=seed) seeds. Else a resumed run cannot go on in the middle of an episode."
        )
    if not trial.clean:
        yield "An episode depends on those before it: reset leaves something of them behind."


def image_range_problems(trial: RandomRollout, raw: dict[str, spaces.Space]) -> Iterator[str]:
    """Pixels outside of the range that their space promises, or in a small corner of it."""
    for key, span in trial.spans.items():
        space = raw[key]
        if not isinstance(space, spaces.Box) or not images.is_image(space):
            continue
        low, high = float(space.low.min()), float(space.high.max())
        said = f"Image {key!r} has values from {span.low:g} to {span.high:g}, its space says {low:g} to {high:g}"
        if span.low < low or span.high > high:
            yield f"{said}: what lies outside is cut off. Give the space the true bounds."
        elif has_byte_range(space) and 0 < span.high <= 1:
            yield f"{said}: the agent sees black. Multiply it by 255, or declare floats from 0 to 1."


def dark_images(trial: RandomRollout, raw: dict[str, spaces.Space]) -> Iterator[str]:
    """Pictures of bytes that use a small part of their range."""
    for key, span in trial.spans.items():
        space = raw[key]
        if (
            isinstance(space, spaces.Box)
            and images.is_image(space)
            and has_byte_range(space)
            and 1 < span.high < DARK_PIXEL
        ):
            yield (
                f"Image {key!r} has values from {span.low:g} to {span.high:g} of 255: the agent sees nearly black. If "
                "they are symbols, declare a MultiDiscrete; else scale them up to 255."
            )


def has_byte_range(space: spaces.Box) -> bool:
    """Whether a picture's numbers are taken as they are, whatever bounds its space has."""
    return space.dtype == np.uint8 or float(space.high.max()) == 255


def misread_images(raw: dict[str, spaces.Space], axes: int) -> Iterator[str]:
    """Arrays with so many axes that look like images, but are read as vectors."""
    for key, space in raw.items():
        if not isinstance(space, spaces.Box) or images.is_image(space) or len(space.shape) != axes:
            continue
        if sorted(space.shape)[-2] >= images.MIN_IMAGE_SIDE:
            kind = f"{space.dtype} {space.shape} from {space.low.min():g} to {space.high.max():g}"
            size = f"{int(np.prod(space.shape)):,} numbers"
            yield f"Observation {key!r}, {kind}, is read as {size}. An image? {_mended(space)}."


def _mended(space):
    """What would make an image of an array."""
    if images.is_image(spaces.Box(0, 255, space.shape, np.uint8)):
        return "Use uint8, or the bounds 0, 1"
    if len(space.shape) == 4:
        return "A stack is (n, H, W, C) or (n, C, H, W), with n and C up to 15"
    return "Put the channels first or last" if space.shape[1] < images.MIN_IMAGE_SIDE else "It has at most 15 channels"


def episode_end_notes(trial: RandomRollout) -> Iterator[str]:
    """Ends of episodes that look like something else."""
    lengths, kinds = {episode.length for episode in trial.episodes}, {episode.end for episode in trial.episodes}
    terminal = kinds == {"terminated"}
    if kinds == {"still going"}:
        yield f"No episode ended within {max(lengths):,} steps. --env.time_limit sets a limit in frames."
    if trial.env.has_wrapper_attr("old") and trial.env.get_wrapper_attr("old"):
        yield (
            "step returns four values: every end counts as terminal, unless info['TimeLimit.truncated'] is true. "
            "Return (observation, reward, terminated, truncated, info)."
        )
    elif terminal and len(lengths) == 1 < len(trial.episodes) and lengths != {1}:
        yield (
            f"Every episode ended as terminated after exactly {lengths.pop()} steps. If time is up then, return it as "
            "truncated: after a terminated step the agent expects nothing more."
        )


def reward_notes(trial: RandomRollout) -> Iterator[str]:
    """Rewards that are hard to learn from."""
    largest = max(map(abs, trial.rewards), default=0.0)
    if trial.rewards and not largest:
        yield f"All {trial.steps:,} rewards of random actions were 0: nothing to learn from, until one is found."
    if largest > LARGE_REWARD or 0 < largest < SMALL_REWARD:
        yield (
            f"The largest reward is {largest:g}. Squared errors (reward.use UnitNormal) want rewards of about 1: scale "
            "them in the environment, or take --reward.use SymexpTwohot --critic.use SymexpTwohot."
        )


def observation_value_notes(trial: RandomRollout, raw: dict[str, spaces.Space]) -> Iterator[str]:
    """Observations that never change, leave their bounds, or are very large."""
    for key, span in trial.spans.items():
        space = raw[key]
        if trial.steps > 1 and not span.changed:
            yield f"Observation {key!r} never changed."
        if not isinstance(space, spaces.Box) or images.is_image(space):
            continue
        seen = f"Observation {key!r} has values from {span.low:g} to {span.high:g}"
        low, high = float(space.low.min()), float(space.high.max())
        if span.low < low or span.high > high:
            yield f"{seen}, its space says {low:g} to {high:g}."
        if max(abs(span.low), abs(span.high)) > LARGE_VECTOR:
            yield f"{seen}: scale them to about 1, or take --encoder.symlog true --vector.use SymlogMSE."


def one_hot_size_notes(trial: RandomRollout, raw: dict[str, spaces.Space]) -> Iterator[str]:
    """Actions and observations whose one-hot vectors are very long."""
    sized = {f"Observation {key!r} has": space for key, space in raw.items()}
    for what, space in {**sized, "The actions have": trial.env.action_space}.items():
        counts = {spaces.Discrete: "n", spaces.MultiDiscrete: "nvec"}.get(type(space), "")
        count = int(np.sum(getattr(space, counts))) if counts else 0
        if count > LONG_ONE_HOT:
            yield f"{what} {count:,} values: a one-hot vector of that length. A MultiDiscrete of several is shorter."
