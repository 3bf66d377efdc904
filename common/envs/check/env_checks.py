"""Problems of an environment and notes about it, from its spaces and a random rollout."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.envs.adapt.image_notes import black_note, clipped_note, dark_note, misread_images
from common.envs.check.random_rollout import RandomRollout

LARGE_REWARD, SMALL_REWARD = 100, 1e-3
LARGE_VECTOR = 1000
LONG_ONE_HOT = 1000  # values of a one-hot vector

RawSpaces = dict[str, spaces.Space]


def problems(rollout: RandomRollout, raw: RawSpaces) -> list[str]:
    """Return what must be fixed before training. raw: its own spaces of the observations that are read."""
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
    for key, space, low, high in seen_images(rollout, raw):
        yield from filter(None, [clipped_note(key, space, low, high) or black_note(key, space, low, high)])


def dark_images(rollout: RandomRollout, raw: RawSpaces) -> Iterator[str]:
    """Images of bytes that use a small part of their range."""
    yield from filter(None, (dark_note(*seen) for seen in seen_images(rollout, raw)))


def seen_images(rollout: RandomRollout, raw: RawSpaces) -> Iterator[tuple[str, spaces.Box, float, float]]:
    """Yield key, space, smallest and largest value of each image."""
    for key, space in raw.items():
        if isinstance(space, spaces.Box) and key in rollout.ranges and images.is_image(space):
            yield key, space, rollout.ranges[key].low, rollout.ranges[key].high


def episode_end_notes(rollout: RandomRollout) -> Iterator[str]:
    """Ends of episodes that may be wrong: none, four values, terminated by a time limit."""
    if ends_at_every_step(rollout):
        yield "Every episode ended at its first step: terminated or truncated was true at once."
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


def ends_at_every_step(rollout: RandomRollout) -> bool:
    """Whether every episode that was played ended at its first step."""
    return bool(rollout.episodes) and all(
        episode.length == 1 and episode.end in ("terminated", "truncated") for episode in rollout.episodes
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
        space = raw.get(key)
        if space is None:
            continue
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
    read: Any = rollout.env.observation_space
    observed = {f"Observation {key!r} has": space for key, space in raw.items() if key in read.spaces}
    for subject, space in {**observed, "The actions have": rollout.env.action_space}.items():
        counts = {spaces.Discrete: "n", spaces.MultiDiscrete: "nvec"}.get(type(space), "")
        count = int(np.sum(getattr(space, counts))) if counts else 0
        if count > LONG_ONE_HOT:
            yield f"{subject} {count:,} values: a one-hot vector of that length. A MultiDiscrete of several is shorter."
