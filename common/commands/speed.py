"""`speed`: measure the cost of an update, the times of all parts of training, and the rates of this machine.

Writes `speed.json` into --logdir, or the file of --json. Without either it only prints.
"""

import json
from pathlib import Path

from rich.console import RenderableType

from common.config import notices
from common.config.arguments import Option, Options
from common.config.tables import listing, show, table
from common.errors import UserError
from common.files import write_text
from common.nn import rng
from common.profiling.speed import build_run, measure_run
from common.safe_io import expand_path
from common.training.factory import Factory

OPTIONS: Options = {
    "updates": Option(10, "updates to time", "N"),
    "json": Option("", "write the measurements to this file (default: LOGDIR/speed.json)", "FILE"),
    "profile": Option("", "write a trace of an update for a trace viewer", "FILE"),
}
EXAMPLES = (
    "speed --algo v3 --task dmc_walker_walk",
    "speed --algo v3 --configs cpu --json speed.json --profile trace.json",
    "speed --algo v2 --configs atari --task atari_pong --compile off",
)
PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))


def speed(config: dict, factory: Factory | None = None) -> dict:
    """Measure, print, write and return the result of `measure_run`.

    `config["speed"]`: updates (number of timed ones), json and profile (files to write; empty: none). Raises UserError
    for files that cannot be written and for settings that do not work.
    """
    options = config["speed"]
    if options["updates"] < 1:
        raise UserError(f"--updates must be at least 1, got {options['updates']}.")
    if config["run"]["offline"]:
        raise UserError("speed acts in an environment, and offline runs have none. Omit --run.offline.")
    files = {"json": options["json"], "profile": options["profile"]}
    if config["logdir"] and not files["json"]:
        files["json"] = str(Path(config["logdir"]) / "speed.json")
    paths = {name: output_path(name, file) for name, file in files.items() if file}
    if len(set(paths.values())) < len(paths):
        raise UserError("--json and --profile name the same file. Choose two files.")
    rng.seed_all(config["seed"])
    with build_run(config, factory or Factory()) as run:
        notices.print_all()
        if run.agent.compiler:
            print("Compiling the update. The first time this may take minutes.", flush=True)
        found = measure_run(config, run, options["updates"], profile=paths.get("profile"))
    show(*speed_tables(found))
    if "json" in paths:
        write_text(paths["json"], json.dumps(found, indent=2) + "\n")
    for path in paths.values():
        print(f"Written: {path}")
    return found


def output_path(name: str, file: str) -> Path:
    """Return the path of an output file, and create its folder. Raises UserError if the file cannot be written."""
    path = expand_path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        path.open("a").close()  # fail now rather than after minutes of measuring
        if new:
            path.unlink()
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}. Choose another file with --{name}.") from error
    return path


def speed_tables(found: dict) -> list[RenderableType]:
    """Return the tables for a result of `measure_run`."""
    observed = ", ".join(f"{key} {kind} {tuple(shape)}" for key, (kind, shape) in found["observations"].items())
    batch, length = found["batch"]
    compiled = "compiled" if found["compiled"] else "not compiled"
    sizes, parts = found["parameters"], found["split"]
    total, seconds = sum(sizes.values()), sum(parts.values())
    head = listing([
        ("agent", f"{found['algo']}, task {found['task']}, {found['environments']} environment(s)"),
        ("spaces", f"{observed} -> {found['actions']}"),
        ("batch", f"{batch} x {length} replayed steps, horizon {found['horizon']}"),
        ("machine", f"{found['where']}, {found['precision']} on {found['device']}, {compiled}"),
        ("threads", found["threads_chosen"] or "as set, or all available"),
    ])  # fmt: skip
    parameters = [*((name, f"{count:,}") for name, count in sizes.items()), ("all", f"{total:,}")]
    split = [(name, f"{spent * 1e3:.4g}", percent(spent, seconds)) for name, spent in parts.items()]
    acting = [(n, *(f"{times[key] * 1e3:.3g}" for key in ("median", "p90"))) for n, times in found["acting"].items()]
    return [
        head,
        table([("module", "parameters"), *parameters]),
        cost_table(found["cost"]),
        rates_table(found),
        table([("time per update", "ms", "share"), *split, ("all", f"{seconds * 1e3:.4g}", percent(1, 1))]),
        table([("acting: environments", "ms (median)", "ms (90 %)"), *acting]),
    ]


def cost_table(cost: dict) -> RenderableType:
    """Return the table of FLOPs of each pass of an update."""
    columns, passes, flops = ("forward", "weight_grads", "input_grads"), cost["passes"], cost["flops"]
    rows = [
        (p["part"], p["name"], *(si_number(p[key]) for key in columns), percent(p["flops"], flops), p["note"])
        for p in passes
    ]
    sums = (si_number(sum(p[key] for p in passes)) for key in columns)
    note = f"{si_number(flops)}FLOP, at least {si_number(cost['bytes'])}B read and written"
    head = ("one update", "", "FLOP forward", "of weights", "of inputs", "share", "")
    return table([head, *rows, ("all", "", *sums, percent(1, 1), note)])


def rates_table(found: dict) -> RenderableType:
    """Return the rates of updates, compared with the rates of the machine."""
    timed, here, drawn = found["updates"], found["machine"], found["sampling"]
    compare = lambda done, most, unit: f"{si_number(done)}{unit}/s of {si_number(most)}{unit}/s = {percent(done, most)}"
    return listing([
        ("updates/s", f"{timed['per_second']:.4g} ({timed['median'] * 1e3:.4g} ms, median of {len(timed['seconds'])}; "
                      f"the first took {timed['first']:.3g} s)"),
        ("replayed steps/s", f"{timed['replayed_per_second']:.4g}"),
        ("matrix products", compare(here["flops_per_second"], here["matmul_flops_per_second"], "FLOP")),
        ("memory traffic", compare(here["bytes_per_second"], here["copy_bytes_per_second"], "B")),
        ("replay sampling", f"{drawn['seconds'] * 1e3:.3g} ms, {si_number(drawn['bytes'] / drawn['seconds'])}B/s"),
        ("peak memory", f"{found['peak_memory'] / 2**30:.2f} GiB on {found['device']}, with "
                        f"{found['replay_bytes'] / 2**30:.2f} GiB in the replay"),
    ])  # fmt: skip


def si_number(value: float) -> str:
    """Return four digits and a prefix: 30.45 G."""
    scale, prefix = next((pair for pair in PREFIXES if value >= pair[0]), (1, ""))
    return f"{value / scale:.4g} {prefix}"


def percent(part: float, whole: float) -> str:
    """Return a share in percent, or a dash if `whole` is 0."""
    return f"{100 * part / whole:.1f} %" if whole else "–"
