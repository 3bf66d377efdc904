"""The capacity of a replay: how many records fit, known before anything is allocated."""

import dataclasses
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from common.nn import ranks
from common.replay.ring import Spec

GIB = 2**30
RUN_LIMIT = "the most that this run can fill"
CGROUP_FILES = [  # limit, use and statistics of a container's memory: version 2, then version 1 of the kernel interface
    [f"/sys/fs/cgroup/memory.{name}" for name in ("max", "current", "stat")],
    [f"/sys/fs/cgroup/memory/memory.{name}" for name in ("limit_in_bytes", "usage_in_bytes", "stat")],
]


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The size of a full replay, and which limit gave it."""

    records: int  # over all streams
    slots: int  # records per stream
    record_bytes: int
    gib: float
    limit: str

    def __str__(self) -> str:
        size = f"{self.records:,} records of {self.record_bytes:,} bytes = {self.gib:.2f} GiB"
        return f"Replay: at most {size} ({self.limit})"


def record_bytes(spec: Spec) -> int:
    """Return the bytes of one record of `spec`."""
    return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in spec.values())


def forecast(
    spec: Spec, streams: int, *, capacity: int = 0, max_gib: float = 0.0, directory: Path | None = None, fill: int = 0,
    sharers: int = 1,
) -> Forecast:  # fmt: skip
    """Return the size of a replay: the smallest of `capacity` records, `max_gib` GiB and what the run can fill.

    Args:
      streams: number of environments; each gets the same share.
      capacity: records over all streams; 0 = as many as `max_gib` allows.
      max_gib: 0 = half of the free memory, or of the free disk if there is a `directory`.
      fill: records per stream that the run can store at most, 0 = unknown. It does not limit files in a `directory`:
        they take space only as they fill, and cannot grow if the run becomes longer.
      sharers: number of replays that share the free memory or disk.

    Raises:
      UserError: a limit is negative or too small, or what the run can fill exceeds the free memory or disk.
    """
    if capacity < 0 or max_gib < 0:
        raise UserError(f"replay.capacity and replay.max_gib must not be negative, got {capacity} and {max_gib}.")
    each = record_bytes(spec)
    place, free = free_space(directory, sharers)
    budget = max_gib * GIB or free / 2
    slots = int(budget // (each * streams))
    limit = f"replay.max_gib {max_gib:g}" if max_gib else f"half of the {free / GIB:.1f} GiB of free {place}"
    if capacity and capacity // streams <= slots:
        slots, limit = capacity // streams, f"replay.capacity {capacity:,}"
    if fill and not directory and fill < slots:
        slots, limit = fill, RUN_LIMIT
    result = Forecast(slots * streams, slots, each, slots * streams * each / GIB, limit)
    if slots < 2:
        raise UserError(f"{result} gives each of {streams} environments less than two records. Raise that limit.")
    if min(slots, fill or slots) * streams * each > free:
        raise UserError(f"{result} does not fit: {free / GIB:.2f} GiB of {place} free. Lower replay.max_gib.")
    return result


def fillable_slots(steps: int, streams: int, window: int) -> int:
    """Return the most records that each stream of a run can store, at least enough for one window.

    steps: agent steps over all streams. Each step stores one record, and each episode one more for its end. window:
    records of a window, with its context.
    """
    return max(2 * -(-steps // streams) + 2, window + 1)


def resumed_forecast(
    size: Forecast, state: dict[str, Any], streams: int, *, capacity: int = 0, directory: Path | None = None,
    fill: int = 0, fixed: bool = False, sharers: int = 1,
) -> Forecast:  # fmt: skip
    """Return the size of the replay of `state`, if free memory or disk gave its size; `size` is that of a new replay.

    Free memory changes from day to day; a resumed run keeps the replay it had, up to what it can fill. If that no
    longer fits into memory, the unused part shrinks.

    Args:
      fill: records per stream that the run can store at most, 0 = unknown.
      fixed: whether the records are in mapped files, which cannot change their size.
      sharers: number of replays that share the free memory or disk.

    Raises:
      UserError: the stored records do not fit into the free memory, or the files have no room on the disk.
    """
    used = state["count"] - state["oldest"]
    kept = min(state["slots"], capacity // streams or state["slots"])
    grows = bool(capacity or state.get("run_limit")) and not fixed
    slots = max(size.slots, kept) if grows else kept
    needed = min(slots, max(fill, used)) if fill else slots
    if not directory:
        slots = needed
    place, free = free_space(directory, sharers)
    each = streams * size.record_bytes
    if needed * each > free and not directory:
        slots = needed = max(size.slots, min(used, needed))
    if needed * each > free:
        less = f", or resume with its newest records alone: --replay.max_gib {free / GIB / 2:.2g}"
        raise UserError(
            f"The replay of this run needs {needed * streams:,} records = {needed * each / GIB:.2f} GiB, and "
            f"{free / GIB:.2f} GiB of {place} are free. Free some {place}{'' if directory else less}."
        )
    if slots == size.slots:
        return size
    return Forecast(slots * streams, slots, size.record_bytes, slots * each / GIB, "as before")


def free_space(directory: Path | None, sharers: int = 1) -> tuple[str, int]:
    """Return where a replay is, disk or memory, and the bytes that are free there for one of several replays."""
    if directory is None:
        return "memory", free_memory() // sharers
    own = mapped_bytes(directory) if sharers > 1 else 0
    return "disk", (free_disk(directory) - own) // sharers + own


def free_memory() -> int:
    """Return the bytes of memory that this process can still get, within the limits of its container.

    The processes of one run share what is free.
    """
    limits = [_machine_memory()]
    for limit, used, stat in CGROUP_FILES:
        values = [Path(x).read_text().strip() for x in (limit, used) if os.access(x, os.R_OK)]
        if len(values) == 2 and values[0] != "max":
            limits.append(int(values[0]) - int(values[1]) + _cached_bytes(Path(stat)))
    return max(0, min(limits)) // ranks.current().neighbours


def _cached_bytes(stat: Path) -> int:
    """Bytes of files cached in a container's memory, such as chunks; the kernel drops them on demand."""
    if not os.access(stat, os.R_OK):
        return 0
    parts = dict(line.split() for line in stat.read_text().splitlines())
    return sum(int(parts.get(f"total_{key}", parts.get(key, 0))) for key in ("inactive_file", "active_file"))


def _machine_memory() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def free_disk(directory: Path | str) -> int:
    """Return the bytes free at `directory`, which need not exist; a mapped replay in it counts as free."""
    path = Path(directory).absolute()
    kept = mapped_bytes(path)
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free + kept


def mapped_bytes(directory: Path) -> int:
    """Return the bytes on the disk of a mapped replay in `directory`."""
    return sum(f.stat().st_blocks * 512 for f in directory.glob("*.ring")) if directory.is_dir() else 0
