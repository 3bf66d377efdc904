"""A trained agent for use elsewhere: `policy = load("logdir")`, then `action, state = policy(obs, state)`.

It holds encoder, RSSM and actor; it needs no replay, optimiser or environment.
"""

from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from common.agent.acting import Acting, action_sizes
from common.agent.behavior import Behavior
from common.agent.world_model import WorldModel
from common.config import parts
from common.config.config import flatten
from common.config.published_config import policy_config
from common.config.ranges import CHOICES
from common.envs.adapt.actions import normalize_action_space
from common.envs.adapt.adapter import join_key, named_leaves, observation_converter
from common.envs.adapt.images import fit_image
from common.errors import UserError, check_choice
from common.nn.compile import use_bfloat16
from common.nn.machine import resolve_device
from common.storage import spaces as stored_spaces
from common.storage.logdir import stored_config
from common.storage.publication import check_layers, is_published
from common.storage.run_source import find_run
from common.storage.saved_agent import load_saved_agent, refuse_malformed


def load(logdir: str | Path, device: str = "cpu", mode: str = "") -> "Policy":
    """Load the policy from the newest checkpoint of a run, or a published agent.

    logdir: a run directory, a published folder or .zip file, hf://USER/NAME or pretrained:NAME.
    device: auto, cpu, cuda or cuda:N. mode: how actions are chosen, mode or sample; "" for that of the run's
    evaluation. Nothing that a published config names is imported. Raises UserError if there is no run or checkpoint, if
    the checkpoint does not fit the config, or if the policy needs code that this program does not have.
    """
    folder = find_run(logdir)
    config, state = stored_config(folder), load_saved_agent(folder)
    if is_published(folder):
        check_layers(flatten(config), state["agent"], folder)
    found, place = stored_spaces.read(folder), resolve_device(device)
    with refuse_malformed(folder):
        policy = Policy(found, policy_config(config), place, mode)
        policy.load_weights(state["agent"], folder)
    policy.frames = state["frames"]
    return policy


class Policy:
    """A trained agent that acts: `action, state = policy(obs, state)`, with state None at the first step of an episode.

    mode: `mode` or `sample`, may be changed at any time. spaces: of observations and actions. keys: observation keys
    that the agent reads. frames: environment frames of its training. Samples come from torch's global generator.
    """

    def __init__(self, found: stored_spaces.Spaces, config: dict, device: str = "cpu", mode: str = ""):
        """Build a policy without weights; `load_weights` adds them."""
        self.spaces, self.config, self.device = found, config, torch.device(device)
        self.frames = 0
        self.mode = mode or config["actor"]["eval"]
        check_choice("mode", self.mode, CHOICES["actor.eval"])
        self.half = use_bfloat16(config["run"]["precision"], self.device) and self.device.type != "cpu"
        self.explore = parts.build("explore", config["explore"])
        self.acting = build_acting(found, config)
        self.keys = {*self.acting.encoder.images, *self.acting.encoder.vectors}
        image = lambda picture: fit_image(picture, *(config["env"][key] for key in ("size", "gray", "resize")))
        seen = lambda space: [leaf for leaf in named_leaves(space) if leaf[0] in self.keys]
        readers = lambda space: {
            key: (child, observation_converter(child, key, image)[1]) for key, child in seen(space)
        }
        self._raw, self._plain = readers(found.raw[0]), readers(found.observation)
        self._decode = normalize_action_space(found.raw[1], config["env"]["action_scale"])[1]

    def load_weights(self, weights: dict[str, Any], source: Any) -> None:
        """Copy the weights of an agent's state. Raises UserError, naming `source`, if they do not fit."""
        for prefix, module in acting_modules(self.acting).items():
            own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            try:
                module.load_state_dict(own, assign=True)
            except RuntimeError as error:
                raise UserError(f"The checkpoint in {source} does not fit its config: {error}") from error
            module.to(self.device).requires_grad_(False)

    def __call__(self, obs: Any, state: dict | None = None, is_first: Any = None) -> tuple[Any, dict]:
        """Return the action(s) for one observation of the environment or a batch of n, and the new acting state.

        obs: may also be a dict of arrays in the agent's form (`policy.spaces.observation`). is_first: flag or flags
        (n,) of observations that begin an episode and reset the state; by default True if state is None. The actions
        of a batch are an array, or a list if they are dicts or tuples.
        """
        arrays, batched = self.read(obs)
        n = len(next(iter(arrays.values())))
        first = np.broadcast_to(state is None if is_first is None else is_first, n)
        action, state = self.act(arrays | {"is_first": first.copy()}, state or self.acting.initial(n, self.device))
        actions = [self._decode(each) for each in self.acting.to_env_action(action).cpu().numpy()]
        if not batched:
            return actions[0], state
        nested = isinstance(self.spaces.raw[1], spaces.Dict | spaces.Tuple)
        return (actions if nested else np.array(actions)), state

    @torch.no_grad()
    def act(self, record: dict[str, np.ndarray], state: dict) -> tuple[torch.Tensor, dict]:
        """Return action vectors (n, A) and the new state for observations in the agent's form, with is_first (n,)."""
        obs = {key: torch.as_tensor(value, device=self.device) for key, value in record.items()}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half, cache_enabled=False):
            latent, action = self.acting.step(obs, state, self.mode)
        action = self.explore(action, self.acting.actor.dist if self.acting.classes else None, "eval", 0)
        return action, {"deter": latent.deter, "stoch": latent.stoch, "action": action}

    def read(self, obs: Any) -> tuple[dict[str, np.ndarray], bool]:
        """Convert observation(s) to the agent's form (n, ...); also return whether they are a batch.

        Raises UserError if an entry that the agent reads is missing.
        """
        space = self.spaces.raw[0]
        plain = isinstance(obs, dict) and not isinstance(space, spaces.Dict)
        space, readers = (self.spaces.observation, self._plain) if plain else (space, self._raw)
        values = dict(needed_entries(space, obs, self.keys))
        batched = {np.ndim(value) - len(readers[key][0].shape or ()) for key, value in values.items()}
        if not batched <= {0} and not batched <= {1}:
            shapes = {key: np.shape(value) for key, value in values.items()}
            raise UserError(f"Observations must be {space}, or batches of them in every entry, got shapes {shapes}.")
        rows = lambda value: value if batched == {1} else [value]
        arrays = {key: np.stack([readers[key][1](row) for row in rows(value)]) for key, value in values.items()}
        return arrays, batched == {1}


def needed_entries(space: spaces.Space, obs: Any, keys: Set[str], name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of the parts of an observation in `keys`; other parts may be missing."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        yield from named_leaves(space, obs, name)
        return
    parts: dict[Any, spaces.Space] = dict(space.items() if isinstance(space, spaces.Dict) else enumerate(space))
    paths = {key: join_key(name, str(key)) for key in parts}
    read = [key for key in parts if any(leaf in keys for leaf, _ in named_leaves(parts[key], None, paths[key]))]
    for key in read:
        yield from needed_entries(parts[key], read_entry(obs, key, space, read, name), keys, paths[key])


def read_entry(obs: Any, key: Any, space: spaces.Space, read: list, name: str) -> Any:
    """Return one entry of an observation that is a dict or tuple; raise UserError if it is missing."""
    place = f" in {name}" if name else ""
    if isinstance(space, spaces.Tuple):
        if not isinstance(obs, tuple | list) or len(obs) != len(space):
            what = f"{len(obs)} values" if isinstance(obs, tuple | list) else type(obs).__name__
            raise UserError(f"This policy observes a tuple of {len(space)}{place}, got {what}.")
    elif not isinstance(obs, dict) or key not in obs:
        what = f"a dict with {', '.join(map(str, obs))}" if isinstance(obs, dict) else type(obs).__name__
        raise UserError(f"This policy observes a dict with {', '.join(map(str, read))}{place}, got {what}.")
    return obs[key]


def build_acting(found: stored_spaces.Spaces, config: dict) -> Acting:
    """Build the acting modules on the meta device, so that no memory is used before weights are loaded."""
    actions, classes = action_sizes(found.action)
    with torch.device("meta"):
        world = WorldModel(found.observation, actions, config)
        behavior = Behavior(world.rssm.feat_size, actions, classes, config)
    return Acting(world.encoder, world.rssm, behavior.actor, classes)


def acting_modules(acting: Acting) -> dict[str, torch.nn.Module]:
    """Return the acting modules by their prefix in an agent's state."""
    return {"world.encoder.": acting.encoder, "world.rssm.": acting.rssm, "behavior.actor.": acting.actor}
