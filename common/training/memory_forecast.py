"""Forecast of the memory that a run needs, compared with the free memory before its first step."""

import sys
from typing import Any, NamedTuple

import torch

from common.agent import cost
from common.errors import UserError
from common.nn import rng
from common.nn.encoder import MAX_IMAGES
from common.replay.capacity import GIB

BYTES_PER_PARAMETER = 4 * 4  # the parameter, two moments and its gradient, in float32
BYTES_HELD_PER_OUTPUT_BYTE = 5  # in an update, per byte of the layers' outputs; measured: 2 (V1, V2) to 5 (V3)
KEPT_PASSES = ("observe at once", "prior")  # with run.recompute_activations
IMAGE_PASSES = ("encoder", "decoder")


class MemoryNeed(NamedTuple):
    """Bytes of the replay that this run can fill, of weights with moments and gradients, and of one update.

    free: free bytes of the host. where: device of weights and updates; free_there: its free bytes, 0 for the CPU.
    """

    replay: int
    weights: int
    update: int
    free: int
    where: str = "cpu"
    free_there: int = 0

    def __str__(self) -> str:
        update = f"an update about {self.update / GIB:.2f}"
        if not self.free_there:
            sure, most = self.replay + self.weights, self.replay + self.weights + self.update
            parts = f"replay {self.replay / GIB:.2f}, weights and moments {self.weights / GIB:.2f}, {update}"
            return f"{sure / GIB:.2f} to {most / GIB:.2f} GiB of {self.free / GIB:.2f} GiB free: {parts}"
        return (
            f"replay {self.replay / GIB:.2f} of {self.free / GIB:.2f} GiB free; on {self.where} weights and moments "
            f"{self.weights / GIB:.2f}, {update}, of {self.free_there / GIB:.2f} GiB free"
        )

    def check(self) -> None:
        """Raise UserError if replay and weights do not fit; warn if only the update on top of them does not."""
        host = 0 if self.free_there else self.weights
        there = self.free_there or self.free - self.replay
        if self.replay + host > self.free or self.weights > there:
            raise UserError(f"This run does not fit into memory: {self}. {REMEDY}")
        if self.weights + self.update > there:
            print(f"WARNING: this run may not fit into memory: {self}. {REMEDY}", file=sys.stderr, flush=True)


REMEDY = (
    "Lower --replay.max_gib, --batch_size or the size of the networks, or keep the replay in files: --replay.disk. "
    "Updates need less memory with --run.recompute_activations true."
)


def forecast_memory(config: dict, envs: Any, agent: Any, replay: Any, free: int) -> MemoryNeed:
    """Return the need of a run with these parts. free: free bytes of the host before any of them was built."""
    size = replay.forecast()
    added = -(-config["steps"] // envs.repeat) + size.records // size.slots
    records = size.records if config["run"]["offline"] else min(size.records, added)
    stored = 0 if config["replay"]["disk"] else records * size.record_bytes
    weights, device = BYTES_PER_PARAMETER * sum(agent.parameter_table().values()), torch.device(agent.device)
    need = MemoryNeed(stored, weights, activation_bytes(agent, envs.obs_space, config), free)
    if device.type != "cuda":
        return need
    return need._replace(where=str(device), free_there=torch.cuda.mem_get_info(device)[0])


def activation_bytes(agent: Any, obs_space: Any, config: dict) -> int:
    """Estimate the bytes that one update holds from the outputs of all layers that a gradient passes."""
    if not hasattr(agent, "world"):
        return 0
    batch, length = config["batch_size"], config["batch_length"]
    with rng.isolated_rng(config["seed"]), torch.device(agent.device):
        passes = [*cost.every_pass(agent.world, agent.behavior, agent.explorer, obs_space, batch, length)]
    outputs = [(p, p.positions * sum(layer.outputs for layer in p.layers)) for p in passes if p.autograd]
    recomputes = config["run"]["recompute_activations"]
    held = held_if_recomputed(outputs) if recomputes else sum(numbers for _, numbers in outputs)
    features = batch * length * (config["imagination"]["horizon"] + 1) * agent.world.rssm.feat_size if recomputes else 0
    return cost.FLOAT32_BYTES * (BYTES_HELD_PER_OUTPUT_BYTE * held + features)


def held_if_recomputed(outputs: list[tuple[cost.ModulePass, int]]) -> int:
    """Return the numbers that an update holds at once with `run.recompute_activations`.

    These are the outputs of the passes that are not computed again, and of the largest other one, whose images are
    divided into chunks. outputs: passes with a gradient, and how many numbers their layers put out.
    """
    kept = sum(numbers for p, numbers in outputs if p.name in KEPT_PASSES)
    share = lambda p: min(1.0, MAX_IMAGES / p.positions) if p.name in IMAGE_PASSES else 1.0
    return kept + max(int(numbers * share(p)) for p, numbers in outputs if p.name not in KEPT_PASSES)
