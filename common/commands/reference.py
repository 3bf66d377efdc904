"""`reference`: print published scores, draw them, and compare own runs with them."""

import sys

from common.analysis.figure_files import figure_path
from common.analysis.reference import band_check, data, figure, own_runs, score_files, task_names, text_tables
from common.analysis.reference.own_runs import RunSet
from common.analysis.reference.published import PublishedCurve, curves, finals
from common.config.arguments import Option, Options
from common.config.config import unknown_name
from common.config.request import Request
from common.errors import UserError
from common.safe_io import expand_path

OPTIONS: Options = {
    "task": Option("", "task, in any common spelling", "TASK"),
    "benchmark": Option("", "benchmark of the task; without --task: print its table", "NAME"),
    "overlay": Option([], "run directories to draw over the published curves", "DIR ..."),
    "check": Option([], "run directories to compare with the published band of their own agent", "DIR ..."),
    "against": Option("", "with --check: version or method whose band to take instead", "NAME"),
    "file": Option("", "score file whose curves come before the published ones", "FILE"),
    "frames": Option(0, "end of the x axis in frames; 0: automatic", "N"),
    "out": Option("", "figure to write", "FILE"),
}
EXAMPLES = (
    "reference --task dmc_walker_walk",
    "reference --overlay logs/walker --out walker.png",
    "reference --check logs/walker --against v3-2023",
)
Panels = dict[str, tuple[list[PublishedCurve], list[RunSet]]]


def reference(request: Request) -> None:
    """Print, draw or check according to the flags, see OPTIONS; write nothing but the figure.

    Raises UserError for flags that do not fit together, for unreadable files, and if nothing is published.
    """
    options = request.options
    check_flags(request)
    extra = score_files.curves(expand_path(options["file"]), options["benchmark"]) if options["file"] else []
    if options["overlay"] or options["check"]:
        if options["overlay"]:
            overlay(options, extra)
        if options["check"]:
            print_verdicts(request, extra)
    elif options["task"]:
        print_task(options, extra)
    elif options["benchmark"] and not extra:
        print_benchmark(options)
    else:
        print(text_tables.catalogue(extra))


def check_flags(request: Request) -> None:
    """Raise UserError for flags that this command does not take, or not together."""
    options = request.options
    if other := [*request.given_flags(), *request.positionals]:
        raise UserError(f"reference takes {', '.join(f'--{key}' for key in OPTIONS)}; not {', '.join(other)}.")
    if options["benchmark"] and options["benchmark"] not in data.benchmarks():
        raise UserError(unknown_name("benchmark", options["benchmark"], data.benchmarks()))
    if options["overlay"] and not options["out"]:
        raise UserError("--overlay draws a figure: name it with --out FILE.png.")
    if options["out"] and not (options["task"] or options["overlay"]):
        raise UserError("--out draws curves: choose them with --task TASK or --overlay LOGDIR.")
    if options["against"] and not options["check"]:
        raise UserError("--against chooses the band for --check: name runs with --check LOGDIR.")
    if options["frames"] < 0:
        raise UserError(f"--frames must not be negative, got {options['frames']}.")
    if options["out"]:
        figure_path(options["out"])


def print_benchmark(options: dict) -> None:
    """Print the table of a benchmark; the tables of its task if it has only one."""
    first, *others = task_names.tasks(options["benchmark"])
    if others:
        print(text_tables.benchmark_table(options["benchmark"]))
    else:
        print_task({**options, "task": first}, [])


def print_task(options: dict, extra: list[PublishedCurve]) -> None:
    """Print the tables of a task, and draw it with --out."""
    found = collect_curves(options["task"], options["benchmark"], extra)
    scores = finals(options["task"], options["benchmark"])
    places = list(dict.fromkeys([*(curve.benchmark for curve in found), *(score.benchmark for score in scores)]))
    if not places:
        where = f" in {options['benchmark']}" if options["benchmark"] else ""
        known = [name for place in data.benchmarks() for name in task_names.tasks(place)]
        hint = unknown_name("task", options["task"], known)
        raise UserError(f"There are no published scores on {options['task']}{where}. {hint}")
    panels: Panels = {}
    for place in places:
        here = [curve for curve in found if curve.benchmark == place]
        print(text_tables.task_tables(place, here, [score for score in scores if score.benchmark == place]), end="\n\n")
        if here:
            panels[f"{here[0].task} in {place}"] = here, []
    if options["out"]:
        draw(panels, options, 0)


def overlay(options: dict, extra: list[PublishedCurve]) -> None:
    """Draw own runs on top of published curves, one panel for each task and benchmark."""
    panels: Panels = {}
    for runs in select_run_sets(options["overlay"], options):
        comparable = comparable_curves(runs, extra)
        published = [curve for curve in comparable if curve.benchmark == comparable[0].benchmark]
        if reason := band_check.exclusion_reason(runs):
            print(reason, file=sys.stderr)
        elif published:
            panels.setdefault(f"{runs.task} in {published[0].benchmark}", (published, []))[1].append(runs)
        else:
            print(f"Leaving out {runs.name}: no curve is published on {runs.task}.", file=sys.stderr)
    if not panels:
        raise UserError("No curve is published on the tasks of these runs. `python dreamer.py reference` lists tasks.")
    if not any(runs.reached() for _, sets in panels.values() for runs in sets):
        raise UserError("These runs have no score yet. Train until an episode ends.")
    draw(panels, options, figure.axis_end(panels))


def draw(panels: Panels, options: dict, frames: float) -> None:
    """Write the figure. Its axes end at --frames, else at `frames`, or with the curves if that is 0."""
    if not panels:
        raise UserError(f"Only final scores are published on {options['task']}: there is no curve to draw.")
    path, end = figure_path(options["out"]), options["frames"] or frames
    figure.draw(panels, path, end)
    print(f"Written: {path}")
    for title, (published, _) in panels.items():
        if absent := figure.curves_beyond(published, end):
            names = ", ".join(f"{curve.method} ({curve.x[0]:,.0f})" for curve in absent)
            print(
                f"Not drawn on {title}, because they start beyond frame {end:,.0f}: {names}. "
                f"Add --frames {max(2 * curve.x[0] for curve in absent):.0f} to draw all.",
                file=sys.stderr,
            )


def print_verdicts(request: Request, extra: list[PublishedCurve]) -> None:
    """Print the verdict on each set of runs. Raises UserError if there is no verdict on any."""
    texts, problems = [], []
    for runs in select_run_sets(request.options["check"], request.options):
        try:
            published = comparable_curves(runs, extra)
            curve = band_check.published_curve(runs, published, request.options["against"])
            differing = band_check.setting_differences(runs, curve, request.resolve)
            verdict = band_check.compare_with_band(runs, curve)
            texts.append(band_check.render(runs, curve, verdict, differing, published))
        except UserError as problem:
            problems.append(str(problem))
    problems = list(dict.fromkeys(problems))
    if not texts:
        raise UserError("\n".join(problems))
    print("\n\n".join([*texts, *problems]))


def select_run_sets(paths: list[str], options: dict) -> list[RunSet]:
    """Return the sets of runs in `paths`, restricted to --task and --benchmark. Raises UserError if none is left."""
    sets, wanted = own_runs.load_run_sets(paths), options["benchmark"]
    if wanted:
        sets = [runs._replace(benchmark=wanted, benchmarks=(wanted,)) for runs in sets if wanted in runs.benchmarks]
    sets = [runs for runs in sets if not options["task"] or task_names.is_same_task(runs.task, options["task"])]
    if not sets:
        raise UserError(f"No run in {', '.join(paths)} has this --task and --benchmark. Omit them to take all runs.")
    return sets


def comparable_curves(runs: RunSet, extra: list[PublishedCurve]) -> list[PublishedCurve]:
    """Return the curves of the runs' task with their kind of scores, those of their first benchmark first."""
    unknown = {curve.benchmark for curve in extra} - {*data.benchmarks()}
    places = [*runs.benchmarks, *sorted(unknown)]
    found = [curve for curve in collect_curves(runs.task, "", extra) if curve.benchmark in places]
    return sorted(found, key=lambda curve: places.index(curve.benchmark))


def collect_curves(task: str, benchmark: str, extra: list[PublishedCurve]) -> list[PublishedCurve]:
    """Return the curves of a task: those of the user's file, then the published ones."""
    same = [curve for curve in extra if task_names.is_same_task(curve.task, task)]
    return [*(curve for curve in same if benchmark in ("", curve.benchmark)), *curves(task, benchmark)]
