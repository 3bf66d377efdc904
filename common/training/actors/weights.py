"""The weights that act: encoder, RSSM and actor of the task's policy and of one that explores."""

import numpy as np
import torch
from torch import Tensor, nn

from common.agent.agent import Agent


def policy_modules(agent: Agent) -> dict[str, nn.Module]:
    """Return the modules that choose training actions, by name; a module that both policies use appears once."""
    found: dict[str, nn.Module] = {}
    for name, acting in (("task", agent.acting), ("explore", agent.explorer.acting(agent.acting, "train", 0))):
        for part in ("encoder", "rssm", "actor"):
            module = getattr(acting, part)
            if not any(module is other for other in found.values()):
                found[f"{name}.{part}"] = module
    return found


def policy_tensors(agent: Agent) -> dict[str, Tensor]:
    """Return the parameters and buffers of `policy_modules`, by name."""
    modules = policy_modules(agent).items()
    return {f"{name}.{key}": value for name, module in modules for key, value in module.state_dict().items()}


def acting_weights(agent: Agent) -> dict[str, np.ndarray]:
    """Return copies of the parameters and buffers that choose training actions."""
    return {name: value.detach().cpu().numpy().copy() for name, value in policy_tensors(agent).items()}


@torch.no_grad()
def load_acting_weights(agent: Agent, weights: dict[str, np.ndarray]) -> None:
    """Copy what `acting_weights` returned into an agent with the same config. Raises KeyError for another one."""
    own = policy_tensors(agent)
    if own.keys() != weights.keys():
        raise KeyError(f"weights {sorted(own.keys() ^ weights.keys())[:5]} are not in both agents")
    for name, value in own.items():
        value.copy_(torch.tensor(weights[name]))
