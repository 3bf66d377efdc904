"""What `plan` prints."""

from common.profiling.forecast import format_span
from common.profiling.speed_table import listing, percent, table
from common.replay.capacity import GIB

MONTH = 30 * 86400  # seconds; a run that takes longer is hopeless
UNITS = (("GiB", GIB), ("MiB", 2**20), ("KiB", 2**10))


def render(found: dict) -> str:
    """Result of `plan` as text."""
    return "\n\n".join([head(found), times(found), cheaper(found)])


def head(found: dict) -> str:
    counts, replay, room = found["counts"], found["replay"], found["memory"]
    need = sum(room.values()) - room["free"] - room["gpu"]
    rows = [
        ("run", f"{found['algo']} on {found['task']}: {found['frames']:,} frames = {counts['steps']:,} agent steps, "
                f"{counts['updates']:,} updates, {found['environments']} environment(s)"),
        ("measured", f"{found['where']}, {found['precision']} on {found['device']}, "
                     f"{'compiled' if found['compiled'] else 'not compiled'}: {found['pace']['update'] * 1e3:.4g} ms "
                     f"for an update, median of {found['updates_timed']}"),
        ("time", f"about {format_span(found['total'])}, most of it for {dominant(found)}{verdict(found)}"),
        ("memory", f"{size(need)} of {size(room['free'])}: " + parts(room, ("program", "workers", "replay"))),
        ("replay", f"{replay['records']:,} of {counts['records']:,} records, {replay['record_bytes']:,} bytes each"
                   + (f" (limit: {replay['limit']})" if replay["records"] < counts["records"] else "")),
        ("disk", f"{size(sum(found['disk'].values()))} of {size(found['disk_free'])}: "
                 + parts(found["disk"], ("replay", "checkpoints", "logs", "videos"))),
    ]  # fmt: skip
    rows += [("gpu memory", size(room["gpu"]))] * bool(room["gpu"])
    return listing(rows + notes(found))


def notes(found: dict) -> list[tuple[str, str]]:
    """What the numbers leave out."""
    rows = []
    if found["evaluations"] and not found["counts"]["evaluated"]:
        text = f"{found['evaluations']} evaluations are not counted: without env.time_limit their length is not known"
        rows.append(("", text))
    if 0 < found["max_seconds"] < found["total"]:
        rows.append(("", f"run.max_seconds ends it after {format_span(found['max_seconds'])}"))
    return rows


def verdict(found: dict) -> str:
    """A warning where nobody would wait that long."""
    if found["total"] < MONTH:
        return ""
    return ". That is hopeless here" + (": use a GPU, or change the run" if found["device"] == "cpu" else "")


def dominant(found: dict) -> str:
    """The part that takes the most time."""
    return max(found["time"], key=lambda part: found["time"][part])


def times(found: dict) -> str:
    """Seconds of each part, one done after the other."""
    whole = found["total"]
    rows = [(part, format_span(spent), percent(spent, whole)) for part, spent in found["time"].items()]
    return table([("part", "time", "share"), *rows, ("all", format_span(whole), percent(1, 1))])


def cheaper(found: dict) -> str:
    """Changes that save something, the best first."""
    if not found["cheaper"]:
        return "Nothing would make this run much cheaper but fewer --steps."
    spent = lambda saving: "as now" if saving["seconds"] is None else format_span(saving["seconds"])
    rows = [(saving["flags"], spent(saving), saving["why"]) for saving in found["cheaper"]]
    return table([("cheaper", "at best", "why"), *rows])


def parts(sizes: dict[str, int], names: tuple[str, ...]) -> str:
    """Sizes by name, without those that are nothing."""
    return ", ".join(f"{name} {size(sizes[name])}" for name in names if sizes[name])


def size(count: int) -> str:
    """Bytes in words."""
    unit, scale = next((pair for pair in UNITS if count >= pair[1]), UNITS[-1])
    value = count / scale
    return f"{value:,.0f} {unit}" if value >= 20 else f"{value:.1f} {unit}"
