"""Conditions under which a config key has an effect: the names that entries give under `only`."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gymnasium import spaces

from common.analysis.explain.entries import find_entry
from common.config.config import differences
from common.nn.encoder import split_keys
from common.storage.logdir import MAY_CHANGE


class Facts(NamedTuple):
    """Spaces of an environment, whether its images are downscaled, and whether runs are evaluated after training."""

    obs: spaces.Dict
    act: spaces.Space
    resized: bool = False
    evaluated: bool = False


def images(config: dict, facts: Facts) -> bool:
    """Return whether the encoder or the decoder has an image."""
    return _has_observations(config, facts, 0)


def vectors(config: dict, facts: Facts) -> bool:
    """Return whether the encoder or the decoder has a vector or a scalar."""
    return _has_observations(config, facts, 1)


def _has_observations(config: dict, facts: Facts, place: int) -> bool:
    """Whether one of the two has images (place 0) or vectors (1); scalars count even if a config omits them."""
    return any(split_keys(f"{net}.keys", facts.obs, config[net]["keys"])[place] for net in ("encoder", "decoder"))


def suite(config: dict) -> str:
    """Return the prefix of a config's task."""
    return config["task"].split("_")[0]


def replay_fills_up(config: dict, facts: Facts) -> bool:
    """Return whether the run collects more records than the replay keeps."""
    return 0 < config["replay"]["capacity"] < config["steps"] / config["env"]["repeat"]


def rewards_scaled(config: dict, facts: Facts) -> bool:
    """Return whether the part at `reward_norm` changes rewards."""
    block = config["reward_norm"]
    return block.get("momentum", 1.0) != 1.0 or block.get("scale", 1.0) != 1.0


CONDITIONS: dict[str, Callable[[dict, Facts], bool]] = {
    "actors": lambda config, facts: config["run"]["actors"] != "none",
    "images": images,
    "images of DeepMind Control": lambda config, facts: suite(config) == "dmc" and images(config, facts),
    "resized images": lambda config, facts: facts.resized and images(config, facts),
    "vectors": vectors,
    "continuous actions": lambda config, facts: isinstance(facts.act, spaces.Box),
    "discrete actions": lambda config, facts: not isinstance(facts.act, spaces.Box),
    "a continue head": lambda config, facts: config["con"]["use"] != "NoContinue",
    "evaluation": lambda config, facts: facts.evaluated or config["run"]["eval_every"] > 0,
    "a full replay": replay_fills_up,
    "scaled rewards": rewards_scaled,
    "Atari": lambda config, facts: suite(config).startswith("atari"),
    "a choice of observations": lambda config, facts: suite(config) in ("dmc", "minigrid", "atari", "atari100k"),
    "DeepMind Control": lambda config, facts: suite(config) == "dmc",
}


def has_effect(key: str, config: dict, facts: Facts) -> bool:
    """Return whether a key affects what a run learns or how it is evaluated. The version's name alone does not."""
    only = find_entry(key).only
    return key not in MAY_CHANGE | {"algo"} and (not only or CONDITIONS[only](config, facts))


def effects(before: dict, after: dict, facts: Facts) -> dict[str, tuple[Any, Any]]:
    """Return flat key -> (old, new) for the differences of two configs that have an effect in at least one of them."""
    return {
        key: pair
        for key, pair in differences(before, after).items()
        if any(has_effect(key, config, facts) for config in (before, after))
    }
