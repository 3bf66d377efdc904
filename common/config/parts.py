"""The seams of the agent, and the parts to choose from at each.

A part is in the folder of the version that introduced it, or in common/ if it is the neutral choice.
`--SEAM.use CLASS` chooses a part, `--SEAM.use MODULE:CLASS` one of your own; its options are the keyword-only arguments
of its class.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from common.config import foreign_code, own_parts
from common.errors import UserError

#: Seam -> protocol of its parts, as module:Class. It says what is called when, with shapes and types.
PROTOCOLS = {
    "latent": "common.agent.interfaces:Latent",
    "cell": "common.agent.interfaces:Cell",
    "kl": "common.agent.interfaces:KL",
    "conv": "common.agent.interfaces:Conv",
    "image": "common.agent.interfaces:Image",
    "vector": "common.agent.interfaces:Vector",
    "reward": "common.agent.interfaces:Reward",
    "con": "common.agent.interfaces:Continue",
    "critic": "common.agent.interfaces:Critic",
    "returns": "common.agent.interfaces:Returns",
    "slow": "common.agent.interfaces:Slow",
    "replay_value": "common.agent.interfaces:ReplayValueLoss",
    "policy_cont": "common.agent.interfaces:ContinuousPolicy",
    "policy_disc": "common.agent.interfaces:DiscretePolicy",
    "grad_cont": "common.agent.interfaces:ActorGradient",
    "grad_disc": "common.agent.interfaces:ActorGradient",
    "advantage": "common.agent.interfaces:Advantage",
    "reward_norm": "common.agent.interfaces:RewardNorm",
    "explore": "common.agent.interfaces:Explore",
    "order": "common.agent.interfaces:Order",
    "optim": "common.agent.interfaces:Optim",
    "clip": "common.agent.interfaces:Clip",
    "schedule": "common.agent.interfaces:Schedule",
    "sampler": "common.replay.sampler:Sampler",
}

#: Seam -> its parts, as module:Class. A part of your own is one more entry.
PARTS = {
    "latent": ["dreamer_v1.latent:Gaussian", "dreamer_v2.latent:Categorical"],
    "cell": [
        "dreamer_v1.cell:GRU",
        "dreamer_v2.cell:NormGRU",
        "dreamer_v2.cell:InputNormGRU",
        "dreamer_v3.cell:BlockGRU",
    ],
    "kl": ["dreamer_v1.kl:PlainKL", "dreamer_v2.kl:BalancedKL"],
    "conv": [
        "dreamer_v1.conv:ValidConv",
        "dreamer_v1.conv:BareValidConv",
        "dreamer_v3.conv_2023:StrideConv",
        "dreamer_v3.conv:PoolConv",
    ],
    "image": ["dreamer_v1.image:PixelNormal", "dreamer_v3.image:PixelMSE"],
    "vector": ["common.agent.heads:UnitNormal", "dreamer_v3.heads:MSE", "dreamer_v3.heads:SymlogMSE"],
    "reward": [
        "common.agent.heads:UnitNormal",
        "dreamer_v3.heads:SymlogTwohot",
        "dreamer_v3.heads:SymexpTwohot",
        "dreamer_v3.heads:SymlogMSE",
        "dreamer_v3.heads:Huber",
    ],
    "con": ["common.agent.heads:NoContinue", "common.agent.heads:SoftContinue", "dreamer_v3.heads:BinaryContinue"],
    "critic": [
        "common.agent.heads:UnitNormal",
        "dreamer_v3.heads:SymlogTwohot",
        "dreamer_v3.heads:SymexpTwohot",
        "dreamer_v3.heads:SymlogMSE",
        "dreamer_v3.heads:Huber",
    ],
    "returns": ["dreamer_v1.returns:ArrivalReturns", "dreamer_v3.returns:DepartureReturns"],
    "slow": ["common.agent.slow:NoSlow", "dreamer_v2.slow:TargetCritic", "dreamer_v3.slow:SlowRegularizer"],
    "replay_value": ["common.agent.returns:NoReplayValue", "dreamer_v3.replay_value:ReplayValue"],
    "policy_cont": [
        "dreamer_v1.actor:TanhNormal",
        "dreamer_v2.actor:TruncNormal",
        "dreamer_v2.actor:FreeNormal",
        "dreamer_v3.actor:BoundedNormal",
    ],
    "policy_disc": ["common.nn.distributions:OneHot"],
    "grad_cont": ["dreamer_v1.actor:DynamicsGradient", "dreamer_v2.actor:Reinforce", "dreamer_v2.actor:Mixed"],
    "grad_disc": ["dreamer_v1.actor:DynamicsGradient", "dreamer_v2.actor:Reinforce", "dreamer_v2.actor:Mixed"],
    "advantage": [
        "common.agent.returns:Unscaled",
        "dreamer_v3.returns:PercentileReturnNorm",
        "dreamer_v3.returns:AdvantageNorm",
    ],
    "reward_norm": ["common.agent.returns:RawReward", "dreamer_v2.returns:StreamNorm"],
    "explore": [
        "dreamer_v1.actor:ActionNoise",
        "dreamer_v2.actor:NoNoise",
        "common.agent.plan2explore:Plan2Explore",
    ],
    "order": ["dreamer_v1.order:Joint", "dreamer_v2.order:ModelFirst"],
    "optim": ["common.agent.optim:Adam", "dreamer_v3.optim:LaProp"],
    "clip": ["common.agent.optim:GlobalNorm", "dreamer_v3.optim:AGC"],
    "schedule": ["dreamer_v1.schedule:Bursts", "dreamer_v2.schedule:Every", "dreamer_v3.schedule:Ratio"],
    "sampler": ["dreamer_v1.sampler:Episodes", "dreamer_v3.sampler:Windows", "dreamer_v3.mixed_sampler:MixedWindows"],
}

#: The parts of this program have short names in configs; a part that is added to PARTS later is stored as MODULE:CLASS.
BUILT_IN = frozenset((seam, path) for seam, paths in PARTS.items() for path in paths)

#: Seam -> former name of a part -> its current name. Commands and stored configs may have the former one.
FORMER_NAMES = {
    "kl": {"SplitKL": "BalancedKL"},
    "slow": {"HardCopy": "TargetCritic"},
    "advantage": {"Percentile": "PercentileReturnNorm"},
    "grad_cont": {"Dynamics": "DynamicsGradient"},
    "grad_disc": {"Dynamics": "DynamicsGradient"},
}

Recipe = dataclasses.make_dataclass("Recipe", [(seam, type) for seam in PARTS], frozen=True)
Recipe.__doc__ = "One class for each seam. A missing or unknown seam raises TypeError at import."


def current_name(seam: str, name: str) -> str:
    """Return the name of a part today: a class of this program, or MODULE:CLASS. Other text is returned as it is."""
    name = FORMER_NAMES.get(seam, {}).get(name, name)
    path = next((path for path in PARTS[seam] if name in (path, path.partition(":")[2])), None)
    return short_name(seam, path) if path else name


def short_name(seam: str, path: str) -> str:
    """Return the name in configs of the part MODULE:CLASS: the class alone if this program has it."""
    return path.partition(":")[2] if (seam, path) in BUILT_IN else path


def name_of(seam: str, cls: type) -> str:
    """Return the name in configs of a class that a recipe chooses."""
    path = f"{cls.__module__}:{cls.__qualname__}"
    return short_name(seam, path) if path in PARTS[seam] else current_name(seam, cls.__name__)


def with_current_names(config: dict) -> dict:
    """Return a config whose parts have their current names. The config given is not changed."""
    return _renamed(config, current_name)


def with_former_names(config: dict) -> dict:
    """Return a config whose parts have their former names, without modules, as older runs stored them."""
    former = {seam: {new: old for old, new in names.items()} for seam, names in FORMER_NAMES.items()}
    return _renamed(config, lambda seam, name: former.get(seam, {}).get(name, name.rpartition(":")[2]))


def _renamed(config: dict, rename: Callable[[str, str], str]) -> dict:
    found = {seam: config[seam] for seam in PARTS if isinstance(config.get(seam), dict)}
    uses = {seam: block["use"] for seam, block in found.items() if isinstance(block.get("use"), str)}
    return config | {seam: found[seam] | {"use": rename(seam, use)} for seam, use in uses.items()}


def find(seam: str, name: str) -> type:
    """Return the class called `name`, or MODULE:CLASS, at `seam`. Raises UserError with the valid names."""
    name = current_name(seam, name)
    if foreign_code.is_marked(name):
        raise foreign_code.refusal(f"{seam}.use", name)
    known = {path.split(":")[1]: path for path in PARTS[seam]}
    if ":" in name and name not in PARTS[seam]:
        return own_parts.load(seam, name, _attribute(PROTOCOLS[seam]))
    if name not in known and ":" not in name:
        raise UserError(f"{seam}.use must be one of {', '.join(known)}, got {name!r}. Yours is MODULE:CLASS.")
    return _attribute(known.get(name, name))


def _attribute(path: str) -> Any:
    module, attribute = path.split(":")
    return getattr(importlib.import_module(module), attribute)


def options(cls: type) -> dict[str, Any]:
    """Return the keyword-only options of a part with their defaults."""
    params = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in params if p.kind is p.KEYWORD_ONLY and p.default is not p.empty}


def build(seam: str, block: dict, *args: Any, **extra: Any) -> Any:
    """Build the part that the config block `{"use": NAME, **options}` describes."""
    return find(seam, block["use"])(*args, **extra, **{key: value for key, value in block.items() if key != "use"})
