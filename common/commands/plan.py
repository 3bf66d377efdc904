"""`plan`: forecast time, memory and disk of a run on this machine, and suggest flags that reduce its cost."""

import json
import math
import sys

from rich.console import RenderableType
from rich.text import Text

from common.commands.scaling import data_parallel, scaling_tables
from common.commands.speed import output_path, percent
from common.config import notices
from common.config.arguments import Option, Options
from common.config.request import Request
from common.config.tables import listing, show, table
from common.errors import UserError
from common.files import write_text
from common.nn import rng
from common.profiling.lower_bound import LowerBound, NotTimed, check_bound
from common.profiling.plan import forecast_run
from common.profiling.scaling import INTERCONNECTS, Scaling, check_devices
from common.profiling.speed import build_run
from common.replay.capacity import GIB
from common.training.factory import Factory

OPTIONS: Options = {
    "updates": Option(20, "updates to time, for half a minute at most", "N"),
    "devices": Option(1, "also forecast updates on 1 to N such devices", "N"),
    "interconnect": Option("", f"connection of the devices: {', '.join(INTERCONNECTS)}", "NAME"),
    "json": Option("", "also write the forecast to this file", "FILE"),
}
EXAMPLES = (
    "plan --algo v3 --configs cpu --task dmc_walker_walk",
    "plan --algo v2 --configs atari100k --task atari100k_pong --json plan.json",
    "plan --algo v3 --configs cpu --task dummy_point --devices 4 --interconnect 100g",
)
MAX_REASONABLE_SECONDS = 30 * 86400
SIZE_UNITS = (("GiB", GIB), ("MiB", 2**20), ("KiB", 2**10))
TIME_UNITS = (("days", 86400), ("h", 3600), ("min", 60))


def plan(request: Request, factory: Factory | None = None) -> dict:
    """Measure, print and return the forecast, and write it to --json. Times in seconds, sizes in bytes.

    Raises UserError for wrong arguments, and if the run cannot start.
    """
    options = request.options
    if options["updates"] < 1:
        raise UserError(f"--updates must be at least 1, got {options['updates']}.")
    path = output_path("json", options["json"]) if options["json"] else None
    request = request._replace(algo=request.single_algo())
    config = request.config(str(request.algo))
    check_devices(config, options["devices"], options["interconnect"])
    print(f"Timing {options['updates']} updates, or as many as fit in half a minute ...", file=sys.stderr, flush=True)
    rng.seed_all(config["seed"])
    try:
        with build_run(config, factory or Factory(), check_bound) as run:
            notices.print_all()
            found = forecast_run(request, config, run, options["updates"])
            found |= data_parallel(options, Scaling(config, run.envs, run.agent.half), found)
        show(head(found), time_table(found), suggestions_table(found), *scaling_tables(found))
    except NotTimed as reason:
        found = least_forecast(config, reason.bound)
        found |= data_parallel(options, Scaling(config, reason.envs), found)
        show(least_text(found), *scaling_tables(found))
    if path:
        write_text(path, json.dumps(found, indent=2) + "\n")
        print(f"Written: {path}")
    return found


def least_forecast(config: dict, bound: LowerBound) -> dict:
    """Return the forecast of a run whose agent was not built. Its times are lower bounds."""
    about = {"algo": config["algo"], "task": config["task"], "frames": config["steps"], "reason": bound.reason()}
    memory = {"program": bound.need, "free": bound.free}
    time = {"total": bound.total, "pace": {"update": bound.update}, "counts": {"updates": bound.updates}}
    return about | time | {"lower_bound": True, "parameters": bound.parameters, "memory": memory, "where": bound.where}


def least_text(found: dict) -> RenderableType:
    """Return what is known of a run that was not timed, and what to type instead."""
    run = f"{found['algo']} on {found['task']}: {found['frames']:,} frames, {found['counts']['updates']:,} updates"
    rows = [
        ("run", f"{run}, {found['parameters']:,} parameters"),
        ("not timed", f"{found['reason']} ({found['where']})"),
        ("time", f"at least {format_span(found['total'])}: {format_span(found['pace']['update'])} or more per update"),
        ("memory", f"about {format_size(found['memory']['program'])} of {format_size(found['memory']['free'])} "
                   "for the agent and an update"),
        ("instead", f"a GPU, or python dreamer.py plan --algo {found['algo']} --configs cpu --task {found['task']}"),
    ]  # fmt: skip
    return listing(rows)


def head(found: dict) -> RenderableType:
    """Return the run, the measurement, and the totals of time, memory and disk."""
    counts, replay, memory, disk = (found[key] for key in ("counts", "replay", "memory", "disk"))
    parts = lambda sizes, *names: ", ".join(f"{name} {format_size(sizes[name])}" for name in names if sizes[name])
    need = sum(memory.values()) - memory["free"] - memory["gpu"]
    slowest = max(found["time"], key=lambda part: found["time"][part])
    compiled = "compiled" if found["compiled"] else "not compiled"
    rows = [
        ("run", f"{found['algo']} on {found['task']}: {found['frames']:,} frames = {counts['steps']:,} agent steps, "
                f"{counts['updates']:,} updates, {found['environments']} environment(s)"),
        ("measured", f"{found['where']}, {found['precision']} on {found['device']}, {compiled}: "
                     f"{found['pace']['update'] * 1e3:.4g} ms per update, median of {found['updates_timed']}"),
        ("time", f"about {format_span(found['total'])}, mostly {slowest}{duration_warning(found)}"),
        ("memory", f"{format_size(need)} of {format_size(memory['free'])}: "
                   + parts(memory, "program", "workers", "replay")),
        ("replay", f"{replay['records']:,} of {counts['records']:,} records, {replay['record_bytes']:,} bytes each"
                   + (f" (limit: {replay['limit']})" if replay["records"] < counts["records"] else "")),
        ("disk", f"{format_size(sum(disk.values()))} of {format_size(found['disk_free'])}: "
                 + parts(disk, "replay", "checkpoints", "logs", "videos")),
    ]  # fmt: skip
    rows += [("gpu memory", format_size(memory["gpu"]))] * bool(memory["gpu"])
    return listing(rows + notes(found))


def notes(found: dict) -> list[tuple[str, str]]:
    """Return rows about evaluations that are not counted, and about a time limit."""
    rows = []
    if found["evaluations"] and not found["counts"]["evaluated"]:
        text = f"{found['evaluations']} evaluations are not counted: without env.time_limit their length is unknown"
        rows.append(("", text))
    if 0 < found["max_seconds"] < found["total"]:
        rows.append(("", f"run.max_seconds ends the run after {format_span(found['max_seconds'])}"))
    return rows


def duration_warning(found: dict) -> str:
    """Return a warning if the run takes more than 30 days."""
    if found["total"] < MAX_REASONABLE_SECONDS:
        return ""
    return ". This is too long" + (": use a GPU, or change the run" if found["device"] == "cpu" else "")


def time_table(found: dict) -> RenderableType:
    """Return the time and share of each part of training."""
    total = found["total"]
    rows = [(part, format_span(spent), percent(spent, total)) for part, spent in found["time"].items()]
    return table([("part", "time", "share"), *rows, ("all", format_span(total), percent(1, 1))])


def suggestions_table(found: dict) -> RenderableType:
    """Return the suggestions that reduce the cost, the best first."""
    if not found["cheaper"]:
        return Text("Only fewer --steps would reduce the cost of this run much.")
    rows = [
        (one["flags"], "unchanged" if one["seconds"] is None else format_span(one["seconds"]), one["why"])
        for one in found["cheaper"]
    ]
    return table([("to reduce the cost", "at best", "why"), *rows])


def format_span(seconds: float) -> str:
    """Return a time with about two digits: 45 s, 12 min, 3.4 h, 2.1 days."""
    unit, scale = next((pair for pair in TIME_UNITS if seconds >= 1.5 * pair[1]), ("s", 1))
    value = seconds / scale
    return f"{value:,.0f} {unit}" if value >= 20 or math.isclose(value, round(value)) else f"{value:.1f} {unit}"


def format_size(count: int) -> str:
    """Return a number of bytes with about two digits: 45 MiB, 1.2 GiB."""
    unit, scale = next((pair for pair in SIZE_UNITS if count >= pair[1]), SIZE_UNITS[-1])
    value = count / scale
    return f"{value:,.0f} {unit}" if value >= 20 else f"{value:.1f} {unit}"
