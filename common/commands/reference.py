"""`reference`: published scores beside each other, and own runs beside them."""

import sys

from common.analysis.reference import band_check, data, figure, own_runs, score_files, task_names
from common.analysis.reference.own_runs import RunSet
from common.analysis.reference.published import PublishedCurve, curves, finals
from common.commands import reference_table as show
from common.config.config import unknown_name
from common.config.request import Request
from common.errors import UserError
from common.safe_io import expand_path

OPTIONS: dict = {
    "task": "",  # in any spelling
    "benchmark": "",  # one of several that have the task; alone: its table
    "overlay": [],  # logdirs to draw on top of the published curves
    "check": [],  # logdirs to compare with the published band
    "file": "",  # a score file whose curves go before the published ones
    "frames": 0,  # where the axes of a figure end
    "out": "",  # the figure
}


def reference(request: Request) -> None:
    """Prints, draws or checks what the flags say, see OPTIONS; writes nothing but the figure.

    Raises UserError for flags that do not fit, for unreadable files, and where nothing is published.
    """
    ask = request.options
    check_flags(request)
    extra = score_files.curves(expand_path(ask["file"]), ask["benchmark"]) if ask["file"] else []
    if ask["overlay"] or ask["check"]:
        if ask["overlay"]:
            overlay(ask, extra)
        if ask["check"]:
            print_verdicts(request, extra)
    elif ask["task"]:
        one_task(ask, extra)
    else:
        print(show.benchmark(ask["benchmark"]) if ask["benchmark"] and not extra else show.catalogue(extra))


def check_flags(request: Request) -> None:
    """UserError for what this command does not take."""
    ask = request.options
    if other := [*request.given_flags(), *request.positionals]:
        raise UserError(f"reference takes {', '.join(f'--{key}' for key in OPTIONS)}; not {', '.join(other)}.")
    if ask["benchmark"] and ask["benchmark"] not in data.benchmarks():
        raise UserError(unknown_name("benchmark", ask["benchmark"], data.benchmarks()))
    if ask["overlay"] and not ask["out"]:
        raise UserError("--overlay draws a figure: name it with --out FILE.png.")
    if ask["out"] and not (ask["task"] or ask["overlay"]):
        raise UserError("--out draws curves: say which with --task TASK or --overlay LOGDIR.")
    if ask["frames"] < 0:
        raise UserError(f"--frames must not be negative, got {ask['frames']}.")
    if ask["out"]:
        figure.figure_path(ask["out"])


def one_task(ask: dict, extra: list[PublishedCurve]) -> None:
    """Prints the tables of a task, and draws it if asked to."""
    found = collect_curves(ask["task"], ask["benchmark"], extra)
    scores = finals(ask["task"], ask["benchmark"])
    places = list(dict.fromkeys([*(curve.benchmark for curve in found), *(score.benchmark for score in scores)]))
    if not places:
        where = f" in {ask['benchmark']}" if ask["benchmark"] else ""
        known = [name for place in data.benchmarks() for name in task_names.tasks(place)]
        raise UserError(f"Nothing is published on {ask['task']}{where}. {unknown_name('task', ask['task'], known)}")
    panels: dict[str, tuple[list[PublishedCurve], list[RunSet]]] = {}
    for place in places:
        here = [curve for curve in found if curve.benchmark == place]
        print(show.task(place, here, [score for score in scores if score.benchmark == place]), end="\n\n")
        if here:
            panels[f"{here[0].task} in {place}"] = here, []
    if ask["out"]:
        draw(panels, ask, 0)


def overlay(ask: dict, extra: list[PublishedCurve]) -> None:
    """Draws own runs on top of what is published, one panel for each task and benchmark."""
    panels: dict[str, tuple[list[PublishedCurve], list[RunSet]]] = {}
    for runs in select_run_sets(ask["overlay"], ask):
        published = (
            collect_curves(runs.task, runs.benchmark, extra) if runs.benchmark else collect_curves(runs.task, "", extra)
        )
        if why := band_check.exclusion_reason(runs):
            print(why, file=sys.stderr)
        elif published:
            panels.setdefault(f"{runs.task} in {published[0].benchmark}", (published, []))[1].append(runs)
        else:
            print(f"No curve is published on {runs.task}: {runs.name} is left out.", file=sys.stderr)
    if not panels:
        raise UserError("No curve is published on the tasks of these runs. `python dreamer.py reference` lists tasks.")
    reached = max(runs.reached() for _, sets in panels.values() for runs in sets)
    if not reached:
        raise UserError("These runs have no score yet. Train until episodes have ended.")
    draw(panels, ask, 2 * reached)


def draw(panels: dict, ask: dict, frames: float) -> None:
    """Writes the figure; its axes end at --frames, or at `frames`, or with the curves."""
    if not panels:
        raise UserError(f"Only final scores are published on {ask['task']}: there is no curve to draw.")
    path = figure.figure_path(ask["out"])
    figure.draw(panels, path, ask["frames"] or frames)
    print(f"Written: {path}")


def print_verdicts(request: Request, extra: list[PublishedCurve]) -> None:
    """Prints where each set of runs stands. Raises UserError if nothing can be said of any."""
    texts, problems = [], []
    for runs in select_run_sets(request.options["check"], request.options):
        try:
            curve = band_check.published_curve(runs, collect_curves(runs.task, runs.benchmark, extra))
            differing = band_check.setting_differences(runs, curve, request.resolve)
            texts.append(band_check.render(runs, curve, band_check.compare_with_band(runs, curve), differing))
        except UserError as problem:
            problems.append(str(problem))
    if not texts:
        raise UserError("\n".join(dict.fromkeys(problems)))
    print("\n\n".join([*texts, *dict.fromkeys(problems)]))


def select_run_sets(paths: list[str], ask: dict) -> list[RunSet]:
    """Sets of the runs in `paths`, those of --task and --benchmark if given. Raises UserError if none is left."""
    sets = [runs for runs in own_runs.load_run_sets(paths) if ask["benchmark"] in ("", runs.benchmark)]
    sets = [runs for runs in sets if not ask["task"] or task_names.is_same_task(runs.task, ask["task"])]
    if not sets:
        raise UserError(f"No run in {', '.join(paths)} is of that --task and --benchmark. Leave them away to take all.")
    return sets


def collect_curves(task: str, benchmark: str, extra: list[PublishedCurve]) -> list[PublishedCurve]:
    """Curves of a task: those of the user's file, then the published ones."""
    fitting = [
        curve for curve in extra if task_names.is_same_task(curve.task, task) and benchmark in ("", curve.benchmark)
    ]
    return [*fitting, *curves(task, benchmark)]
