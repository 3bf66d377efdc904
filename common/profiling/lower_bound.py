"""The least time and the memory of a run, from counts alone: whether `plan` builds and times the agent at all."""

from typing import Any, NamedTuple

import torch

from common.agent import cost
from common.nn import machine, rng
from common.replay.capacity import free_memory
from common.training.budget import count_updates
from common.training.memory_forecast import BYTES_HELD_PER_OUTPUT_BYTE, BYTES_PER_PARAMETER

HOPELESS_SECONDS = 30 * 86400  # of a run
MAX_TIMING_SECONDS = 60.0  # of all timed updates
LEAST_TIMED_UPDATES = 3  # with the warm-up, and on shorter sequences for the choice of threads
MAX_MEMORY_SHARE = 0.5  # of the free memory, to time an agent


class LowerBound(NamedTuple):
    """update: least seconds of an update. updates: in the run. need, free: bytes of agent and update, free bytes."""

    update: float
    updates: int
    parameters: int
    need: int
    free: int
    where: str

    @property
    def total(self) -> float:
        """Least seconds of all updates."""
        return self.update * self.updates

    @property
    def hopeless(self) -> bool:
        """Whether the run takes longer than 30 days, however fast the rest of it is."""
        return self.total > HOPELESS_SECONDS

    def reason(self) -> str:
        """Return why the agent is not timed, or an empty string if it can be."""
        if self.hopeless:
            return "the run takes more than 30 days on this machine"
        if self.need > MAX_MEMORY_SHARE * self.free:
            return "the agent needs more than half of the free memory"
        if LEAST_TIMED_UPDATES * self.update > MAX_TIMING_SECONDS:
            return "timing its updates takes more than a minute"
        return ""


class NotTimed(Exception):
    """The agent of a run is not built or timed; `bound` has the reason, `envs` the spaces."""

    def __init__(self, bound: LowerBound, envs: Any):
        super().__init__(bound.reason())
        self.bound, self.envs = bound, envs


def check_bound(config: dict, envs: Any) -> None:
    """Raise NotTimed for a run that is not worth timing, or not possible to time, on this CPU. Builds no agent."""
    if machine.resolve_device(config["run"]["device"]) != "cpu":
        return
    bound = lower_bound(config, envs)
    if bound.reason():
        raise NotTimed(bound, envs)


def lower_bound(config: dict, envs: Any) -> LowerBound:
    """Return the bound: multiply-adds of an update at the rate of a large matrix product, which no update reaches."""
    device = torch.device("cpu")
    with rng.isolated_rng(config["seed"]):
        counted = cost.update_cost(config, envs.obs_space, envs.act_space)
        kinds = [torch.float32] + [torch.bfloat16] * (config["run"]["precision"] != "fp32")
        rate = max(machine.matmul_rate(kind, device) for kind in kinds)
    parameters = sum(counted.parameters.values())
    outputs = sum(p.positions * sum(layer.outputs for layer in p.layers) for p in counted.passes if p.autograd)
    need = BYTES_PER_PARAMETER * parameters + cost.FLOAT32_BYTES * (counted.slow + BYTES_HELD_PER_OUTPUT_BYTE * outputs)
    where = machine.describe_device(device)
    return LowerBound(counted.flops / rate, count_updates(config), parameters, need, free_memory(), where)
