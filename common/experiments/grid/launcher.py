"""Where the runs of a grid are computed: on this machine, by Ray, or by SLURM."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from common.config.arguments import Option, Options
from common.errors import UserError, check_choice
from common.experiments.grid.process import Process, log_of

NO_INDEX = -1
HELP_GROUP = "more than one machine"
OPTIONS: Options = {
    "launcher": Option("local", "where the runs are computed: local, ray or slurm", "NAME", group=HELP_GROUP),
    "resources": Option([], "of one run, for ray and slurm (default: cpu=1)", "cpu=N gpu=N", group=HELP_GROUP),
    "ray-address": Option("", "of a Ray cluster; default: a new Ray on this machine", "HOST:PORT", group=HELP_GROUP),
    "slurm": Option([], "options of sbatch: partition=gpu time=24:00:00", "KEY=VALUE ...", group=HELP_GROUP),
    "index": Option(NO_INDEX, "do only the run with this number of --dry-run", "N", group=HELP_GROUP),
}
#: Launcher -> the flags that only this launcher reads.
OWN_FLAGS = {"local": (), "ray": ("resources", "ray-address"), "slurm": ("resources", "slurm")}
DEFAULT_RESOURCES = {"cpu": 1, "gpu": 0}


class Command(NamedTuple):
    """Arguments of dreamer.py, and the run directory that they write. The output goes to a log next to it."""

    words: list[str]
    logdir: Path


class LaunchedCommand(Protocol):
    """A command that was given to a launcher."""

    words: list[str]

    @property
    def host(self) -> str:
        """The machine that computes it; empty before it has begun, and for this machine."""

    def poll(self) -> int | None:
        """Return the exit code, or None before the end."""

    def wait(self) -> int:
        """Wait for the end and return the exit code."""

    def send(self, number: int) -> None:
        """Ask the run to save and end, as this signal does."""

    def error(self) -> str:
        """Return the reason of a failure."""


class Launcher(Protocol):
    """Starts commands. `shows_host`: whether several machines may take part."""

    shows_host: bool

    def start(self, commands: Sequence[Command]) -> list[LaunchedCommand]:
        """Start or queue commands, and return them in the same order."""

    def close(self) -> None:
        """Release what the launcher holds. All its commands have ended."""


class LocalLauncher:
    """Starts each command in a process on this machine."""

    shows_host = False

    def start(self, commands: Sequence[Command]) -> list[LaunchedCommand]:
        """Start the commands at once."""
        return [Process(command.words, log_of(command.logdir)) for command in commands]

    def close(self) -> None:
        """Do nothing: processes end by themselves."""


class LauncherChoice(NamedTuple):
    """The launcher that the flags of a grid name. resources: 'cpu' and 'gpu' of one run."""

    name: str
    resources: dict[str, int]
    ray_address: str
    slurm: dict[str, str]

    @property
    def is_local(self) -> bool:
        """Whether all runs are computed on this machine."""
        return self.name == "local"

    def describe(self) -> str:
        """Return the launcher and the resources of one run."""
        needs = ", ".join(f"{count} {kind.upper()}{'s' * (count != 1)}" for kind, count in self.resources.items())
        extra = "".join(f", {key}={value}" for key, value in self.slurm.items())
        return {
            "local": "on this machine",
            "ray": f"by Ray at {self.ray_address or 'this machine'}, {needs} for each run",
            "slurm": f"as a SLURM array, {needs} for each run{extra}",
        }[self.name]

    def make(self, folder: Path, parallel: int) -> Launcher:
        """Return the launcher. `parallel`: the most runs at a time. Raises UserError if a package is missing."""
        if self.name == "ray":
            from common.experiments.grid.ray_launcher import RayLauncher

            return RayLauncher(folder, self.resources, self.ray_address)
        if self.name == "slurm":
            from common.experiments.grid.slurm_launcher import SlurmLauncher

            return SlurmLauncher(folder, self.resources, self.slurm, parallel)
        return LocalLauncher()


def launcher_choice(options: dict[str, Any]) -> LauncherChoice:
    """Return the launcher of the flags. Raises UserError for an unknown one, and for flags that it does not read."""
    name = options.get("launcher", "local")
    check_choice("--launcher", name, OWN_FLAGS)
    for flag in {flag for flags in OWN_FLAGS.values() for flag in flags} - set(OWN_FLAGS[name]):
        if options.get(flag):
            readers = " or ".join(f"--launcher {other}" for other, flags in OWN_FLAGS.items() if flag in flags)
            raise UserError(f"--{flag} has no effect with --launcher {name}. It is for {readers}.")
    if name != "local" and options["index"] != NO_INDEX:
        raise UserError(f"--index does one run on this machine. Omit it, or --launcher {name}.")
    resources = pairs("--resources", options.get("resources", []))
    if unknown := resources.keys() - DEFAULT_RESOURCES:
        raise UserError(f"--resources takes cpu and gpu, such as cpu=2 gpu=1, not {', '.join(sorted(unknown))}.")
    counts = {kind: whole_number("--resources", kind, text) for kind, text in resources.items()}
    slurm = pairs("--slurm", options.get("slurm", []))
    return LauncherChoice(name, DEFAULT_RESOURCES | counts, options.get("ray-address", ""), slurm)


def pairs(flag: str, words: Sequence[str]) -> dict[str, str]:
    """['cpu=2', 'gpu=1'] -> {'cpu': '2', 'gpu': '1'}. Raises UserError for a word of another form."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise UserError(f"{flag} takes KEY=VALUE, got {word!r}.")
        found[key] = value
    return found


def whole_number(flag: str, key: str, text: str) -> int:
    """Return a number that is not negative. Raises UserError for another text."""
    if not text.isdecimal():
        raise UserError(f"{flag} {key}={text}: a whole number is needed, such as {key}=1.")
    return int(text)
