"""`report`: write one page, one Markdown file and one JSON file about any set of runs."""

import sys

from common.analysis.report import write_report, write_score_tables
from common.analysis.report.formatting import plural
from common.analysis.report.run_collection import Runs
from common.analysis.world_models import is_comparison, write_world_model_report
from common.config.arguments import Option, Options
from common.config.request import Request
from common.errors import UserError
from common.safe_io import expand_path

OPTIONS: Options = {
    "logdirs": Option([], "run directories, grids, or folders of them", "DIR ..."),
    "out": Option("", "folder for the report (default: the only --logdirs)", "DIR"),
    "reach": Option([], "scores: add the frames until each is reached", "SCORE ..."),
    "unfinished": Option(False, "include runs that are not finished"),
    "scores": Option("", "print the scores in a file, without runs: JSON or CSV", "FILE"),
}
EXAMPLES = (
    "report logs/compare",
    "report --logdirs logs/one logs/two --out report --reach 200,400 --unfinished",
    "report --scores common/analysis/reference/finals.json",
)


def report(request: Request) -> None:
    """Write report.html, report.md and report.json about grids, logdirs, or folders of them.

    A comparison of world models gets its own report. With --scores FILE, print tables of scores alone. Raises
    UserError, and writes nothing, if there is no run, or if several folders are given without --out.
    """
    if request.options["scores"]:
        print(score_tables(request))
        return
    paths = logdirs(request, "report")
    out = request.options["out"] or (paths[0] if len(paths) == 1 else "")
    if not out:
        raise UserError("A report on several folders needs its own folder: give --out DIR.")
    if len(paths) == 1 and is_comparison(expand_path(paths[0])):
        found = write_world_model_report(paths[0], out)
        print(f"{plural(len(found['runs']), 'world model')}: {expand_path(out) / 'report.html'}")
        return
    levels = []
    for word in request.options["reach"]:
        try:
            levels.append(float(word))
        except ValueError:
            raise UserError(f"--reach takes scores, got {word!r}.") from None
    runs = write_report(paths, out, unfinished=request.options["unfinished"], levels=levels)
    print_left_out(runs)
    path = expand_path(out) / "report.html"
    print(f"{plural(len(runs.runs), 'run')}, {len(runs.left_out)} left out: {path}")


def score_tables(request: Request) -> str:
    """Return the tables of --scores FILE, and write them to --out if it is given. Raises UserError for runs with it."""
    if words := [*request.positionals, *request.options["logdirs"], *request.given_flags()]:
        raise UserError(f"--scores FILE has scores without runs: omit {words[0]}, or omit --scores.")
    out = request.options["out"]
    text = write_score_tables(request.options["scores"], out)
    return f"{text}\n\nTables: {expand_path(out)}" if out else text


def logdirs(request: Request, command: str) -> list[str]:
    """Return the folders on a command line, with or without --logdirs.

    Raises UserError if there are none, and for flags that do not apply to finished runs.
    """
    if given := request.given_flags():
        hint = " Did you mean --logdirs?" if "--logdir" in given else ""
        raise UserError(f"{command} reads its settings from the runs: omit {given[0]}.{hint}")
    paths = [*request.positionals, *request.options["logdirs"]]
    if not paths:
        raise UserError(f"{command} needs runs: give --logdirs DIR ..., folders of comparisons or of training runs.")
    return paths


def print_left_out(runs: Runs) -> None:
    """Print the runs that were left out, with reasons, to stderr."""
    for name, status, reason in runs.left_out:
        print(f"Left out: {name} ({status}): {reason}", file=sys.stderr)
