"""Foreign observations matched with those of the task: by name, or by shape where only one of a kind is left."""

import re
from collections.abc import Iterable

from gymnasium import spaces

from common.errors import UserError
from common.foreign.source import Description


def match_keys(described: Description, observation: spaces.Dict, action: spaces.Space) -> dict[str, str]:
    """Return the task's name of each foreign observation. observation, action: spaces of the task.

    Raises UserError if an observation or the action has another shape than in the file, or cannot be matched.
    """
    keys = {key: key for key in described.observation if key in observation.spaces}
    for images in (True, False):
        of_kind = lambda space, images=images: [key for key, box in space.items() if (len(box.shape) == 3) == images]
        theirs = [key for key in of_kind(described.observation) if key not in keys]
        ours = [key for key in of_kind(observation) if key not in keys.values()]
        if len(theirs) == len(ours) == 1:
            keys[theirs[0]] = ours[0]
    needed, found = list_spaces(described.observation), list_spaces(observation)
    if missing := [key for key in described.observation if key not in keys]:
        raise UserError(
            f"The agent observes {needed}; the task has {found}. Nothing fits {', '.join(missing)}. Give the --task "
            "and the --env flags that it was trained with, such as --env.obs image."
        )
    differing = [key for key, ours in keys.items() if not same_size(described.observation[key], observation[ours])]
    if differing or not same_action(described.action, action):
        raise UserError(
            f"The agent observes {needed} and acts in {described.action}; the task has {found} and {action}. Give the "
            "--task and the --env flags that it was trained with."
        )
    return keys


def list_spaces(observation: spaces.Dict) -> str:
    """Return names and shapes as text."""
    return ", ".join(f"{key} {box.shape}" for key, box in observation.items()) or "nothing"


def same_size(one: spaces.Space, other: spaces.Space) -> bool:
    """Whether two observations need the same networks; a scalar () is a vector (1,)."""
    shapes = [space.shape or (1,) for space in (one, other)]
    return shapes[0] == shapes[1]


def same_action(one: spaces.Space, other: spaces.Space) -> bool:
    """Whether two action spaces need the same networks."""
    if isinstance(one, spaces.Box) or isinstance(other, spaces.Box):
        return type(one) is type(other) and one.shape == other.shape
    return one == other


def key_flags(described: Description, keys: dict[str, str], observation: spaces.Dict) -> dict[str, str]:
    """Return the config keys that select the observations of encoder and decoder, where they do not have all."""
    read = {"encoder.keys": described.encoder, "decoder.keys": described.decoder}
    chosen = {name: [keys[key] for key in names or described.observation] for name, names in read.items()}
    return {name: pattern(ours) for name, ours in chosen.items() if set(ours) != set(observation.spaces)}


def pattern(keys: Iterable[str]) -> str:
    """Return a regular expression that matches exactly these keys."""
    return "|".join(re.escape(key) for key in sorted(keys))
