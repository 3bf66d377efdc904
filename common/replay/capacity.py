"""How many records fit: the budget of a replay, known before anything is allocated."""

import dataclasses
import math
import os
import shutil
from pathlib import Path

import numpy as np

from common.errors import UserError

GIB = 2**30
CGROUPS = [  # limit, use and its parts of the memory of a container, version 2 and 1 of the kernel's interface
    [f"/sys/fs/cgroup/memory.{name}" for name in ("max", "current", "stat")],
    [f"/sys/fs/cgroup/memory/memory.{name}" for name in ("limit_in_bytes", "usage_in_bytes", "stat")],
]


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a full replay holds: records over all streams, raw bytes of one, GiB, and what set the limit."""

    records: int
    slots: int  # records per stream
    record_bytes: int
    gib: float
    limit: str

    def __str__(self) -> str:
        size = f"{self.records:,} records of {self.record_bytes:,} bytes = {self.gib:.2f} GiB"
        return f"Replay: at most {size} ({self.limit})"


def record_bytes(spec: dict) -> int:
    """Raw bytes of one record of `spec`, {key: (shape, dtype)}."""
    return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in spec.values())


def forecast(spec: dict, streams: int, *, capacity: int = 0, max_gib: float = 0.0, directory=None) -> Forecast:
    """Sizes a replay: the smaller of `capacity` records and `max_gib` GiB.

    Args:
      spec: {key: (shape, dtype)}.
      streams: number of environments; each gets the same share.
      capacity: records over all streams, 0 = as many as `max_gib` allows.
      max_gib: 0 = half of the free memory, or of the free disk where `directory` is given.

    Raises:
      UserError: a negative or too small limit, or more than the memory or disk has free.
    """
    if capacity < 0 or max_gib < 0:
        raise UserError(f"replay.capacity and replay.max_gib must not be negative, got {capacity} and {max_gib}.")
    each = record_bytes(spec)
    place, free = ("disk", free_disk(directory)) if directory else ("memory", free_memory())
    budget = max_gib * GIB or free / 2
    slots = int(budget // (each * streams))
    limit = f"replay.max_gib {max_gib:g}" if max_gib else f"half of the {free / GIB:.1f} GiB of free {place}"
    if capacity and capacity // streams <= slots:
        slots, limit = capacity // streams, f"replay.capacity {capacity:,}"
    result = Forecast(slots * streams, slots, each, slots * streams * each / GIB, limit)
    if slots < 2:
        raise UserError(f"{result} gives each of {streams} environments less than two records. Raise that limit.")
    if result.gib * GIB > free:
        raise UserError(f"{result} does not fit: {free / GIB:.2f} GiB of {place} free. Lower replay.max_gib.")
    return result


def resumed_forecast(size: Forecast, slots: int, streams: int, capacity: int = 0, directory=None) -> Forecast:
    """`size` with the `slots` of the run that is resumed, where free memory set them: that changes from day to day.

    Raises UserError where so many do not fit today: a run would go on with another replay than it had.
    """
    if capacity:
        slots = max(size.slots, min(slots, capacity // streams))
    total = slots * streams * size.record_bytes
    place, free = ("disk", free_disk(directory)) if directory else ("memory", free_memory())
    if slots == size.slots:
        return size
    if total > free:
        less = f", or give --replay.max_gib {free / GIB / 2:.2g} to go on with its newest records alone"
        raise UserError(
            f"The replay of this run may hold {slots * streams:,} records = {total / GIB:.2f} GiB, and "
            f"{free / GIB:.2f} GiB of {place} are free. Free some{'' if directory else less}."
        )
    return Forecast(slots * streams, slots, size.record_bytes, total / GIB, "as before")


def free_memory() -> int:
    """Bytes of memory that this process can still get, container limits included."""
    limits = [_machine_memory()]
    for limit, used, stat in CGROUPS:
        values = [Path(x).read_text().strip() for x in (limit, used) if os.access(x, os.R_OK)]
        if len(values) == 2 and values[0] != "max":
            limits.append(int(values[0]) - int(values[1]) + _cache(Path(stat)))
    return max(0, min(limits))


def _cache(stat: Path) -> int:
    """Bytes of files that the kernel keeps in a container's memory as long as nobody needs it, such as chunks."""
    if not os.access(stat, os.R_OK):
        return 0
    parts = dict(line.split() for line in stat.read_text().splitlines())
    own = {key: int(parts.get(f"total_{key}", parts.get(key, 0))) for key in ("inactive_file", "active_file")}
    return sum(own.values())


def _machine_memory() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def free_disk(directory) -> int:
    """Bytes free where `directory` is, or will be made, counting what lies in it already as free."""
    path = Path(directory).absolute()
    kept = sum(f.stat().st_blocks * 512 for f in path.glob("*.ring")) if path.is_dir() else 0
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free + kept
