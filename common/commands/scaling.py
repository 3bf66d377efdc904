"""Part of `plan`: updates on several devices, as data and as a table."""

import math
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from common.commands.speed import percent
from common.config.tables import table
from common.profiling.scaling import DeviceSpeed, Scaling

ASSUMED = (
    "Computed, not measured: {devices} devices like this one, each with its share of one batch, and a ring all-reduce "
    "of {mb:,.1f} MB of gradients after each backward pass. Nothing overlaps. Small shares are slower than this."
)
LEAST = " An update takes at least this time: it was not timed here."


def data_parallel(options: dict[str, Any], scaling: Scaling, found: dict) -> dict[str, Any]:
    """Return the forecast for `--devices`, to be added to that of one device; empty for one device.

    found: the forecast of one device. Its measured update calibrates that of a share. If nothing was measured, the
    counted arithmetic takes the same share of the lower bound.
    """
    if options["devices"] == 1:
        return {}
    if rates := found.get("rates"):
        speed = DeviceSpeed(rates["matmul_flops_per_second"], rates["copy_bytes_per_second"])
    else:
        speed = DeviceSpeed(scaling.share(1).flops / found["pace"]["update"], math.inf)
    speed = scaling.calibrated(speed, found["pace"]["update"])
    return {"scaling": scaling.forecast(options["devices"], options["interconnect"], speed)}


def scaling_tables(found: dict) -> list[RenderableType]:
    """Return the table of updates per second on several devices, with its assumptions; empty for one device."""
    if "scaling" not in found:
        return []
    about = found["scaling"]
    names = ("devices", "sequences each", "update", "reduction", "updates/s", "speedup")
    rows = [
        (f"{row['devices']}", f"{row['rows']}", short_time(row["compute"]), reduction_text(row),
         f"{row['updates_per_second']:.3g}", f"{row['speedup']:.2f}")
        for row in about["rows"]
    ]  # fmt: skip
    text = ASSUMED.format(devices=about["rows"][-1]["devices"], mb=about["reduction_bytes"] / 1e6)
    return [table([names, *rows]), Text(text + LEAST * found.get("lower_bound", False))]


def reduction_text(row: dict) -> str:
    """Return the time of the reduction and its share."""
    return f"{short_time(row['reduction'])}, {percent(row['reduction'], row['update'])}"


def short_time(seconds: float) -> str:
    """Return a time in milliseconds or seconds."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:,.3g} s"
