"""When a config key has an effect: what its entry says under `only`, as a question about a config and its spaces."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gymnasium import spaces

from common.analysis.explain.entries import entry
from common.config.config import differences
from common.nn.encoder import split_keys
from common.storage.logdir import MAY_CHANGE


class Facts(NamedTuple):
    """Spaces of an environment, whether its images are made smaller, and whether runs are evaluated after training."""

    obs: spaces.Dict
    act: spaces.Space
    resized: bool = False
    evaluated: bool = False


def images(config: dict, facts: Facts) -> bool:
    """Whether an image is read or predicted."""
    return any(split(config, facts, name)[0] for name in ("encoder", "decoder"))


def vectors(config: dict, facts: Facts) -> bool:
    """Whether a vector or a scalar is read or predicted."""
    return any(split(config, facts, name)[1] for name in ("encoder", "decoder"))


def split(config: dict, facts: Facts, name: str) -> tuple[list, list]:
    """Images and vectors of encoder or decoder; scalars count, whether they are left out or not."""
    return split_keys(f"{name}.keys", facts.obs, config[name]["keys"])


def suite(config: dict) -> str:
    return config["task"].split("_")[0]


def capacity_reached(config: dict, facts: Facts) -> bool:
    """Whether the run is longer than the replay."""
    return 0 < config["replay"]["capacity"] < config["steps"] / config["env"]["repeat"]


def rewards_scaled(config: dict, facts: Facts) -> bool:
    """Whether the part at `reward_norm` changes rewards at all."""
    block = config["reward_norm"]
    return block.get("momentum", 1.0) != 1.0 or block.get("scale", 1.0) != 1.0


CONDITIONS: dict[str, Callable[[dict, Facts], bool]] = {
    "images": images,
    "images of DeepMind Control": lambda config, facts: suite(config) == "dmc" and images(config, facts),
    "images of another size": lambda config, facts: facts.resized and images(config, facts),
    "vectors": vectors,
    "continuous actions": lambda config, facts: isinstance(facts.act, spaces.Box),
    "discrete actions": lambda config, facts: not isinstance(facts.act, spaces.Box),
    "a continue head": lambda config, facts: config["con"]["use"] != "NoContinue",
    "evaluation": lambda config, facts: facts.evaluated or config["run"]["eval_every"] > 0,
    "a full replay": capacity_reached,
    "scaled rewards": rewards_scaled,
    "Atari": lambda config, facts: suite(config).startswith("atari"),
    "a choice of views": lambda config, facts: suite(config) in ("dmc", "minigrid"),
    "DeepMind Control": lambda config, facts: suite(config) == "dmc",
}


def has_effect(key: str, config: dict, facts: Facts) -> bool:
    """Whether a key has an effect on what a run learns, or on how it is evaluated. The name of the version has none."""
    only = entry(key).only
    return key not in MAY_CHANGE | {"algo"} and (not only or CONDITIONS[only](config, facts))


def effects(before: dict, after: dict, facts: Facts) -> dict[str, tuple[Any, Any]]:
    """Flat key -> (old, new) of what differs between two configs and has an effect in either of them."""
    matter = lambda key: any(has_effect(key, config, facts) for config in (before, after))
    return {key: pair for key, pair in differences(before, after).items() if matter(key)}
