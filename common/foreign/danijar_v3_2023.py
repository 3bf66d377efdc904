"""The file `checkpoint.ckpt` of danijar/dreamerv3 until 2023, which format `danijar-v3` also takes.

It is one pickle with the parameters by name and the states of three Adam optimisers. Names of vectors are in it, but
not their order in the encoder. Source: `embodied/core/checkpoint.py`, `jaxagent.py` `JAXAgent.save`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymnasium import spaces

from common.agent.agent import Agent
from common.config.config import flatten
from common.errors import UserError
from common.foreign import danijar_v3_2023_names as names
from common.foreign.danijar_names import embed_rows
from common.foreign.danijar_v3_2023_settings import flags_of
from common.foreign.safe_pickle import read_pickle
from common.foreign.settings import Settings, read_settings, repeat_flag
from common.foreign.slots import Slots, key_rows, plain, under
from common.foreign.source import Description, Moments, Source, action_space, image_space, vector_space

ALGO = "v3-2023"
AC, WM = "agent/task_behavior/ac", "agent/wm"
CRITIC = "agent/task_behavior/critic"
#: Our group -> name of its optimiser.
OPTIMISERS = {"model": f"{WM}/model_opt", "actor": f"{AC}/actor_opt", "critic": f"{CRITIC}/critic_opt"}
UPDATES = f"{CRITIC}/updates/value"


def read(path: Path) -> Source:
    """Read the file and the settings next to it."""
    data = read_pickle(path)
    if not isinstance(data, dict) or not isinstance(data.get("agent"), dict):
        raise UserError(f"{path} holds no agent: it is not a checkpoint of danijar/dreamerv3 of 2023.")
    arrays, settings = data["agent"], flatten(read_settings(path.parent, levels=0))
    if "rssm.deter" not in settings:
        raise UserError(f"danijar-v3 needs the config.yaml of the run next to {path}: it names the networks.")
    optimisers = tuple(f"{name}/" for name in OPTIMISERS.values())
    tensors = {name: x for name, x in arrays.items() if not name.startswith(optimisers) and name != UPDATES}
    updates = int(arrays[UPDATES]) if UPDATES in arrays else 0
    return Source(path, tensors, settings, steps=int(data.get("step", 0)), updates=updates, moments=moments(arrays))


def moments(arrays: Mapping[str, Any]) -> Moments | None:
    """Return the state of the three optimisers; None if one is missing or of another kind than Adam."""
    found = {group: find_adam(arrays.get(f"{name}/state")) for group, name in OPTIMISERS.items()}
    states = {group: state for group, state in found.items() if state is not None}
    if set(states) != set(OPTIMISERS):
        return None
    join = lambda place: {name: x for state in states.values() for name, x in state[place].items()}
    return Moments(join(1), join(2), {group: int(state[0]) for group, state in states.items()})


def find_adam(state: Any) -> tuple | None:
    """Return step, first and second moments by name from a state of optax, which nests tuples."""
    if not isinstance(state, tuple):
        return None
    if len(state) == 3 and isinstance(state[1], dict) and isinstance(state[2], dict):
        return state
    return next((found for part in state if (found := find_adam(part))), None)


def describe(source: Source) -> Description:
    """Infer spaces from shapes; everything else is in the settings."""
    config = dict(source.settings)
    discrete = not source.has(f"{AC}/actor/dist_out/std/")
    latent = source.shape(f"{WM}/rssm/img_stats/kernel")[1]
    actions = source.shape(f"{WM}/rssm/img_in/kernel")[0] - latent
    flags = flags_of(config, discrete) | repeat_flag(config)
    return Description(ALGO, flags, observations(source, config), action_space(actions, discrete))


def observations(source: Source, config: Settings) -> spaces.Dict:
    """Return the spaces of the observations. The file has no name of the image: it is `image`."""
    found: dict[str, spaces.Space] = {}
    kernels = source.count(f"{WM}/enc/cnn/s{{}}res/kernel")
    if kernels:
        side = config["encoder.minres"] * 2**kernels
        found["image"] = image_space(side, side, source.shape(f"{WM}/enc/cnn/s0res/kernel")[2])
    for key in source.find(rf"{WM}/dec/mlp/dist_(.+)/out/kernel"):
        found[key] = vector_space(source.shape(f"{WM}/dec/mlp/dist_{key}/out/kernel")[1])
    vectors = sorted(found.keys() - {"image"})
    if len(vectors) > 1 and sorted(source.keys) != vectors:
        raise UserError(
            f"{source.path} does not have the order of its vectors {', '.join(vectors)}. Give --keys with these names "
            "in the order of the environment that it was trained on."
        )
    return spaces.Dict(found)


def slots(agent: Agent, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all arrays in an agent."""
    world, behavior, encoder = agent.world, agent.behavior, agent.world.encoder
    slow, norm, foreign = behavior.slow, behavior.advantage, {ours: theirs for theirs, ours in keys.items()}
    order = source.keys or [foreign[key] for key in encoder.vectors]
    sizes = {key: math.prod(world.decoder.shapes[key]) for key in encoder.vectors}
    rows = key_rows([keys[key] for key in order], sizes) if encoder.vectors else None
    groups = {
        f"{WM}/enc": names.encoder(encoder, rows),
        f"{WM}/rssm": names.rssm(world.rssm, embed_rows(encoder)),
        f"{WM}/dec": names.decoder(world.decoder, foreign),
        f"{WM}/rew": names.head(world.reward.net),
        f"{WM}/cont": names.head(world.con.net),  # type: ignore[attr-defined]
        f"{AC}/actor": names.actor(behavior.actor),
        f"{CRITIC}/net": names.head(behavior.critic.net),
        f"{CRITIC}/slow": names.head(slow.slow.net),  # type: ignore[attr-defined]
    }
    found = {name: slot for module, group in groups.items() for name, slot in under(module, group).items()}
    ends = norm.range  # type: ignore[attr-defined]
    return found | {f"{AC}/retnorm_extr/{name}/value": plain(ends[i]) for i, name in enumerate(("low", "high"))}
