"""Forecast of synchronous data parallel: the update of one rank's share of the batch, and the gradient reduction.

A rank holds `share_rows` sequences of the global batch. Its update takes as long as the counted work of that share, at
the rates of its device. Then all ranks add their gradients with a ring all-reduce. The two do not overlap.

Sources of the constants: the bandwidth of NVLink is that of NVIDIA's H100 SXM (900 GB/s, both directions together). The
latencies of NVLink and of 100 Gbit/s are those with which NCCL chooses its algorithm (`src/graph/tuning.cc`, ring,
protocol Simple). The latency of 10 Gbit/s, over TCP, is an assumption.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from common.agent import cost
from common.agent.cost import UpdateCost
from common.errors import UserError, check_choice
from common.nn.ranks import BUCKET_ELEMENTS

GRADIENT_BYTES = cost.FLOAT32_BYTES  # of each parameter; gradients are float32 in every precision
PER_RANK = "per_rank"  # of `run.batch`: each rank has a whole batch
COLLECTIVE_START = 8.4e-6  # seconds of a collective without its steps
EXCHANGES_OF_ALL = 2  # small ones of an update: the flag of the guard, and the metrics


class Interconnect(NamedTuple):
    """bytes_per_second: of one device in one direction. latency: seconds of one step of a ring."""

    bytes_per_second: float
    latency: float


INTERCONNECTS = {
    "nvlink": Interconnect(450e9, 3.4e-6),
    "100g": Interconnect(12.5e9, 9.6e-6),
    "10g": Interconnect(1.25e9, 50e-6),
}


class DeviceSpeed(NamedTuple):
    """Rates of a device.

    flops_per_second, bytes_per_second: of large matrix products and of copying. calibration: measured seconds of an
    update, divided by the seconds of its counted work at these rates.
    """

    flops_per_second: float
    bytes_per_second: float
    calibration: float = 1.0

    def update_seconds(self, work: UpdateCost) -> float:
        """Return the seconds of an update."""
        return self.calibration * (work.flops / self.flops_per_second + work.bytes / self.bytes_per_second)

    def calibrated(self, work: UpdateCost, seconds: float) -> "DeviceSpeed":
        """Return the speed at which an update of `work` takes the measured `seconds`."""
        return self._replace(calibration=seconds / self._replace(calibration=1.0).update_seconds(work))


def check_devices(config: dict, devices: int, interconnect: str) -> None:
    """Raise UserError for flags that no forecast can use."""
    if devices < 1:
        raise UserError(f"--devices must be at least 1, got {devices}.")
    if interconnect:
        check_choice("--interconnect", interconnect, tuple(INTERCONNECTS))
    elif devices > 1:
        raise UserError(f"--devices {devices} needs --interconnect with one of {', '.join(INTERCONNECTS)}.")
    if devices > config["batch_size"] and config["run"]["batch"] != PER_RANK:
        raise UserError(
            f"A batch of {config['batch_size']} sequences cannot be divided among {devices} devices. "
            f"Use --devices {config['batch_size']}, --batch_size {devices} or more, or --run.batch per_rank."
        )


def share_rows(config: dict, devices: int) -> int:
    """Return the sequences of the largest share of an update; the other ranks wait for it."""
    return config["batch_size"] if config["run"]["batch"] == PER_RANK else -(-config["batch_size"] // devices)


def reduction_bytes(work: UpdateCost) -> int:
    """Return the bytes of all gradients."""
    return GRADIENT_BYTES * sum(work.parameters.values())


def count_exchanges(config: dict, parameters: Mapping[str, int]) -> int:
    """Return the exchanges of an update: small ones, and the gradients of each group in buckets.

    Free nats of a mean KL, the scale of rewards and that of returns need one each. Exchanges between updates are not
    counted. parameters: of each part, see `UpdateCost`. All parts but actor and critic are one group.
    """
    kl = config["kl"]
    means = ("dyn" in kl) + ("rep" in kl) or 1
    small = means * (kl["where"] == "mean") + (config["reward_norm"]["use"] != "RawReward")
    small += EXCHANGES_OF_ALL + (config["advantage"]["use"] != "Unscaled")
    groups = {name: parameters.get(name, 0) for name in ("actor", "critic")}
    groups["model"] = sum(parameters.values()) - sum(groups.values())
    return small + sum(-(-count // BUCKET_ELEMENTS) for count in groups.values())


def reduction_seconds(devices: int, size: int, link: Interconnect, exchanges: int) -> float:
    """Return the seconds in which ranks add `size` bytes of gradients in a ring, and of all `exchanges` to begin.

    A ring has 2 (n - 1) steps. Each sends an n-th of the bytes.
    """
    if devices == 1:
        return 0.0
    steps = 2 * (devices - 1)
    return exchanges * (COLLECTIVE_START + steps * link.latency) + steps / devices * size / link.bytes_per_second


def scaled_update(
    share: UpdateCost, devices: int, speed: DeviceSpeed, link: Interconnect, exchanges: int
) -> dict[str, float]:
    """Return the seconds of a rank's update, of the reduction and of both, and updates per second."""
    compute = speed.update_seconds(share)
    reduction = reduction_seconds(devices, reduction_bytes(share), link, exchanges)
    seconds = compute + reduction
    return {"compute": compute, "reduction": reduction, "update": seconds, "updates_per_second": 1 / seconds}


def device_counts(devices: int) -> list[int]:
    """Return the powers of two below `devices`, and `devices`."""
    return [2**n for n in range(math.ceil(math.log2(devices)))] + [devices]


class Scaling:
    """Updates of one config on several devices. envs: has the spaces. half: whether activations take 2 bytes."""

    def __init__(self, config: dict, envs: Any, half: bool = False):
        self.config, self.spaces, self.half = config, (envs.obs_space, envs.act_space), half

    def share(self, devices: int) -> UpdateCost:
        """Return the counted work of one rank."""
        rows = share_rows(self.config, devices)
        return cost.update_cost(self.config | {"batch_size": rows}, *self.spaces, self.half)

    def calibrated(self, speed: DeviceSpeed, seconds: float) -> DeviceSpeed:
        """Return a speed at which the whole batch takes the measured `seconds` on one device."""
        return speed.calibrated(self.share(1), seconds)

    def forecast(self, devices: int, interconnect: str, speed: DeviceSpeed) -> dict[str, Any]:
        """Return the forecast for 1, 2, 4 ... and `devices` devices. Times are in seconds."""
        link, rows = INTERCONNECTS[interconnect], []
        exchanges = count_exchanges(self.config, self.share(1).parameters)
        for count in device_counts(devices):
            found = scaled_update(self.share(count), count, speed, link, exchanges)
            rows.append({"devices": count, "rows": share_rows(self.config, count)} | found)
        for row in rows:
            row["speedup"] = rows[0]["update"] / row["update"]
        about = {"interconnect": interconnect, "reduction_bytes": reduction_bytes(self.share(1))}
        return about | {"calibration": speed.calibration, "rows": rows}
