"""Format `danijar-v2`: `variables.pkl` of danijar/dreamerv2 with the `config.yaml` of its run.

The file has no names; the settings say which networks there are. It holds the agent but not its optimisers. Source:
`agent.Agent`, `common/tfutils.py` `Module.save`.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from common.agent.agent import Agent
from common.config.config import flatten
from common.errors import UserError
from common.foreign import danijar_names as names
from common.foreign.danijar_v2_settings import flags_of
from common.foreign.settings import Settings, read_settings, require
from common.foreign.slots import Slots, key_rows, plain, under
from common.foreign.source import Description, Source, action_space, image_space, vector_space
from common.foreign.variables_file import chain_fits, layers, read_variables

SIDE = 64
MAX_VECTORS = 64
HEADS = {"discount": "discount_head", "reward": "reward_head"}
REPEAT = "action_repeat"


def read(path: Path) -> Source:
    """Read the file and its settings. Raises UserError if they do not fit each other."""
    file, values = read_variables(path)
    settings = flatten(read_settings(file.parent, levels=0))
    if "rssm.deter" not in settings:
        raise UserError(f"danijar-v2 needs the config.yaml of the run next to {file}: it names the networks.")

    require(settings, **{"expl_behavior": "greedy", "rssm.ensemble": 1})
    for order in possible_orders(settings):
        if len(order) == len(values) and fits(order, values, settings):
            tensors = dict(zip(order, values, strict=True))
            steps, updates = (int(tensors.pop(name, 0)) for name in ("step", "ac/updates"))
            return Source(file, tensors, settings, steps=steps, updates=updates)
    raise UserError(f"{file} has {len(values)} arrays, which do not follow from the config.yaml next to it.")


def possible_orders(config: Settings) -> Iterator[list[str]]:
    """Yield the names of all arrays for each kind of observations and actions."""
    for image in (True, False):
        for vectors in range(0 if image else 1, MAX_VECTORS):
            for outs in (("out",), ("out", "std")):
                yield [*behavior_names(config, outs), *model_names(config, image, vectors)]


def behavior_names(config: Settings, outs: tuple[str, ...]) -> Iterator[str]:
    """Yield the names before those of the world model. outs: output layers of the actor."""
    yield "step"
    slow = config.get("slow_target", True)
    yield from ["ac/updates"] if slow else []
    critic = [*mlp_names(config, "critic")]
    yield from (f"ac/target_critic/{name}" for name in critic) if slow else (f"ac/critic/{name}" for name in critic)
    yield from (f"ac/actor/{name}" for name in mlp_names(config, "actor", outs))
    yield from (f"ac/critic/{name}" for name in critic) if slow else []
    yield "ac/rewnorm/mag"


def model_names(config: Settings, image: bool, vectors: int) -> Iterator[str]:
    """Yield the names of the world model's arrays. Vectors of the decoder are numbered in the order of their names."""
    yield from (f"wm/encoder/{name}" for name in encoder_names(config, image, vectors))
    yield from (f"wm/head_decoder/{name}" for name in decoder_names(config, image, vectors))
    for head, block in HEADS.items():
        if head != "discount" or config["pred_discount"]:
            yield from (f"wm/head_{head}/{name}" for name in mlp_names(config, block))
    norm = config["rssm.norm"]
    yield from (f"wm/rssm/cell/{name}" for name in ("kernel", "bias", "gamma", "beta"))
    yield from (f"wm/rssm/{name}" for name in layers(["img_dist_0", "img_in"]))
    yield from (f"wm/rssm/{name}" for name in norms(norm, ["img_in_norm"]))
    yield from (f"wm/rssm/{name}" for name in layers(["img_out_0"]))
    yield from (f"wm/rssm/{name}" for name in norms(norm, ["img_out_norm_0"]))
    yield from (f"wm/rssm/{name}" for name in layers(["obs_dist", "obs_out"]))
    yield from (f"wm/rssm/{name}" for name in norms(norm, ["obs_out_norm"]))


def encoder_names(config: Settings, image: bool, vectors: int) -> Iterator[str]:
    """Yield the names of the encoder's arrays."""
    norm, depth = config["encoder.norm"], len(config["encoder.mlp_layers"])
    if image:
        yield from layers(numbered("conv", 4))
        yield from norms(norm, numbered("convnorm", 4))
    if vectors:
        yield from layers(numbered("dense", depth))
        yield from norms(norm, numbered("densenorm", depth))


def decoder_names(config: Settings, image: bool, vectors: int) -> Iterator[str]:
    """Yield the names of the decoder's arrays."""
    norm, depth = config["decoder.norm"], len(config["decoder.mlp_layers"])
    if image:
        yield from layers([*numbered("conv", 4), "convin"])
        yield from norms(norm, numbered("convnorm", 3))
    if vectors:
        yield from layers([*numbered("dense", depth), *(f"dense_{i}/out" for i in range(vectors))])
        yield from norms(norm, numbered("densenorm", depth))


def mlp_names(config: Settings, block: str, outs: tuple[str, ...] = ("out",)) -> Iterator[str]:
    """Yield the names of the arrays of a head."""
    depth = config[f"{block}.layers"]
    yield from layers(numbered("dense", depth))
    yield from norms(config[f"{block}.norm"], numbered("norm", depth))
    yield from layers(f"out/{name}" for name in outs)


def numbered(name: str, count: int) -> list[str]:
    """Return NAME0, NAME1, ... in the order of the file, which is that of texts: 10 comes before 2."""
    return sorted(f"{name}{i}" for i in range(count))


def norms(kind: str, found: list[str]) -> Iterator[str]:
    """Yield scale and shift of each norm, if the networks have norms."""
    for name in found if kind != "none" else ():
        yield from (f"{name}/gamma", f"{name}/beta")


def fits(order: list[str], values: list[np.ndarray], config: Settings) -> bool:
    """Whether the shapes agree with the names: every head reads features."""
    tensors, stoch = dict(zip(order, values, strict=True)), config["rssm.stoch"] * (config["rssm.discrete"] or 1)
    reads = ("ac/critic/dense0", "ac/actor/dense0", "wm/head_reward/dense0")
    features = {tensors[f"{name}/kernel"].shape[:1] for name in reads}
    plain_numbers = all(not tensors[name].ndim for name in ("step", "ac/rewnorm/mag"))
    return plain_numbers and features == {(config["rssm.deter"] + stoch,)} and chain_fits(order, values)


def describe(source: Source) -> Description:
    """Infer spaces from shapes; everything else is in the settings."""
    config = dict(source.settings)
    latent = config["rssm.stoch"] * (config["rssm.discrete"] or 1)
    actions = source.shape("wm/rssm/img_in/kernel")[0] - latent
    dist, grad = config["actor.dist"], config["actor_grad"]
    discrete = not source.has("ac/actor/out/std/")
    dist = {True: "onehot", False: "trunc_normal"}[discrete] if dist == "auto" else dist
    grad = {True: "reinforce", False: "dynamics"}[discrete] if grad == "auto" else grad
    flags = flags_of(config, dist, grad) | {"env.repeat": config[REPEAT]}
    return Description("v2", flags, observations(source), action_space(actions, discrete))


def observations(source: Source) -> spaces.Dict:
    """Return the spaces of the observations. Raises UserError if the names of several vectors are needed."""
    found: dict[str, spaces.Space] = {}
    if source.has("wm/encoder/conv0/"):
        found["image"] = image_space(SIDE, SIDE, source.shape("wm/encoder/conv0/kernel")[2])
    widths = [source.shape(f"wm/head_decoder/dense_{i}/out/bias")[0] for i in range(count_vectors(source))]
    given = source.keys or (("vector",) if len(widths) == 1 else ())
    if len(given) != len(widths):
        raise UserError(
            f"{source.path} has no names of observations. In the order of their names, its vectors have "
            f"{', '.join(map(str, widths))} numbers. Give --keys with their names in the order of the environment that "
            "it was trained on."
        )
    return spaces.Dict(found | {key: vector_space(width) for key, width in zip(sorted(given), widths, strict=True)})


def count_vectors(source: Source) -> int:
    """Return the number of vectors that the decoder predicts."""
    return source.count("wm/head_decoder/dense_{}/out/kernel")


def slots(agent: Agent, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all arrays in an agent."""
    encoder, decoder = agent.world.encoder, agent.world.decoder
    given = source.keys or [key for key, ours in keys.items() if ours in encoder.vectors]
    numbers = {keys[key]: str(i) for i, key in enumerate(sorted(given))}
    sizes = {key: math.prod(decoder.shapes[key]) for key in encoder.vectors}
    rows = key_rows([keys[key] for key in given], sizes) if given else None
    groups = names.v2_agent(agent, rows, numbers).items()
    found = {name: slot for module, group in groups for name, slot in under(module, group).items()}
    norm: Any = agent.behavior.reward_norm
    return found | {"ac/rewnorm/mag": plain(norm.mag)}
