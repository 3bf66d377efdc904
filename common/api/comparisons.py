"""`compare` and `report`: the commands of the same names for Python programs and notebooks."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.api.configs import environment_name, flags_of, part_name
from common.api.runs import Run, passed_on_signals
from common.commands import compare as compare_command
from common.commands import report as report_command
from common.commands.command_line import command_input
from common.config import python_objects
from common.config.request import Request
from common.safe_io import expand_path, read_json

OTHER_PROCESSES = "compare trains in other processes"


@dataclasses.dataclass(frozen=True)
class Report:
    """A report on runs: its folder, its numbers (those of report.json) and its pages."""

    folder: Path
    numbers: dict[str, Any] = dataclasses.field(repr=False)

    @property
    def html(self) -> Path:
        """The page with curves, intervals and tests."""
        return self.folder / "report.html"

    @property
    def markdown(self) -> Path:
        """The same tables as text."""
        return self.folder / "report.md"


def compare(
    algos: Iterable[str],
    tasks: Iterable[Any],
    steps: float,
    *,
    logdir: str | Path = "logs/compare",
    configs: str | Iterable[str] = (),
    features: Mapping[str, str] | None = None,
    parts: Mapping[str, Any] | None = None,
    **keys: Any,
) -> Report:
    """Train versions on the same tasks and seeds, as `python dreamer.py compare` does; return the report.

    tasks: names of tasks, or classes or functions of a module that make your environment. steps: of each run. keys:
    the flags of the command, such as seeds, jobs and match, and config keys; a dict named after a version holds keys
    for it alone. Each run is a process of its own. Raises UserError for wrong arguments and for failed runs.
    """
    importable = lambda kind, given: python_objects.import_path(kind, given, OTHER_PROCESSES)
    names = [task if isinstance(task, str) else environment_name(task, importable) for task in tasks]
    use = {seam: part_name(seam, part, importable) for seam, part in (parts or {}).items()}
    own = {"algos": list(algos), "tasks": names, "steps": int(steps), "logdir": logdir}
    blocks = [configs] if isinstance(configs, str) else list(configs)
    flags = flags_of("compare", {**keys, **own}, parts=use)
    request = command_input("compare", [], None, blocks, dict(features or {}), flags)
    assert isinstance(request, Request)
    with passed_on_signals():
        compare_command.compare(request)
    folder = expand_path(logdir).absolute()
    return Report(folder, read_json(folder / "report.json"))


def report(
    logdirs: str | Path | Run | Iterable[str | Path | Run], out: str | Path, *, unfinished: bool = False
) -> Report:
    """Write a report on runs into the folder `out`, as `python dreamer.py report` does, and return it.

    logdirs: run directories, folders of comparisons, or runs of `train`. unfinished: include those that are not
    finished. Raises UserError if there is no run, or if `out` cannot be written.
    """
    several = [logdirs] if isinstance(logdirs, str | Path | Run) else logdirs
    folders = [each.logdir if isinstance(each, Run) else each for each in several]
    flags = flags_of("report", {"logdirs": folders, "out": out, "unfinished": unfinished})
    request = command_input("report", [], None, [], {}, flags)
    assert isinstance(request, Request)
    report_command.report(request)
    folder = expand_path(out).absolute()
    return Report(folder, read_json(folder / "report.json"))
