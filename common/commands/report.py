"""`report`: one page, one Markdown file and one JSON file about any set of runs."""

import sys

from common.analysis.report import write_report
from common.config.request import Request
from common.errors import UserError
from common.safe_io import expand_path

OPTIONS: dict = {"logdirs": [], "out": "", "reach": [], "unfinished": False}


def report(request: Request) -> None:
    """Writes report.html, report.md and report.json about grids, logdirs, or folders of them.

    Raises UserError, with nothing written, if there is no run in them, or no single folder and no --out to write to.
    """
    paths = logdirs(request, "report")
    out = request.options["out"] or (paths[0] if len(paths) == 1 else "")
    if not out:
        raise UserError("With several --logdirs the report needs a folder of its own: give --out DIR.")
    levels = [_number(word) for word in request.options["reach"]]
    runs = write_report(paths, out, unfinished=request.options["unfinished"], levels=levels)
    for name, status, reason in runs.left_out:
        print(f"Left out: {name} ({status}): {reason}", file=sys.stderr)
    print(f"{len(runs.runs)} runs, {len(runs.left_out)} left out: {expand_path(out) / 'report.html'}")


def logdirs(request: Request, tool: str) -> list[str]:
    """Folders that a command line names, with or without --logdirs.

    Raises UserError without any, and for flags that a tool about finished runs cannot use.
    """
    if given := request.given_flags():
        hint = " Did you mean --logdirs?" if "--logdir" in given else ""
        raise UserError(f"{tool} takes what it says from the runs, not from {given[0]}.{hint}")
    paths = [*request.positionals, *request.options["logdirs"]]
    if not paths:
        raise UserError(f"{tool} needs runs: --logdirs DIR ..., folders of comparisons or of training runs.")
    return paths


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise UserError(f"--reach takes scores, got {word!r}.") from None
