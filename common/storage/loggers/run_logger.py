"""The protocol of a logger, and what every logger learns about its run."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"  # ends of a process that trains


class RunFacts(NamedTuple):
    """Facts that a logger shows about a run.

    project, entity, name, group: its place in a service; entity is the user or team, empty for that of the login.
    config: the resolved config, and `program` with the git revision, versions, command and hardware.
    """

    logdir: Path
    project: str
    entity: str
    name: str
    group: str
    config: dict[str, Any]


class RunLogger(Protocol):
    """Writes or sends the metrics and films of a run. Every call returns at once, or raises OSError or UserError.

    The calls are `start`, then `scalars` and `film` in any order with frames that never fall, then `close`. A run that
    is refused is closed without a start.
    """

    def start(self, facts: RunFacts) -> None:
        """Begin. Until then a run may be refused, which must change nothing."""

    def scalars(self, counters: dict[str, float], metrics: dict[str, float], wall: float) -> None:
        """Add a line of metrics. counters: with `frames`, the step of all loggers. wall: time in seconds since 1970."""

    def film(self, name: str, path: Path, size: tuple[int, int], frames: int, wall: float) -> None:
        """Add a GIF file of `size` (height, width)."""

    def close(self, end: str) -> None:
        """Close all files. end: FINISHED, STOPPED or FAILED."""


def run_facts(config: dict[str, Any], logdir: Path, session: dict[str, Any]) -> RunFacts:
    """Return the facts about a run. session: its entry in run.json.

    Without names in the config, a run is called task/version/seed, and runs that differ in the seed are a group.
    """
    run = config["run"]
    setting = f"{config['task']}/{config['algo']}"
    program = {key: session[key] for key in ("git", "python", "packages", "hardware", "command")}
    return RunFacts(
        logdir,
        run["logger_project"],
        run["logger_entity"],
        run["logger_name"] or f"{setting}/{config['seed']}",
        run["logger_group"] or setting,
        {**config, "program": program},
    )
