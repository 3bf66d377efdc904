"""The commands: one module each, with its own flags (OPTIONS) and EXAMPLES, and what they share."""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

RUN = ("algo", "task", "configs", "features", "steps", "seed", "logdir")
GRID = ("configs", "features")
EVERY_RUN = "every run"


class Command(NamedTuple):
    """A command and what its help shows.

    function: its name in the command's module. It takes a resolved config if `takes_config`, else the `Request`. words:
    the positional arguments. run_flags: the flags for runs that it takes; with any of them, it also takes config keys.
    target: what these flags set, for the heading in the help.
    version_flags: whether a version may be in front of a config key, to set it for that version alone.
    """

    function: str
    summary: str
    words: str = ""
    run_flags: tuple[str, ...] = ()
    takes_config: bool = False
    version_flags: bool = False
    target: str = "the run"


#: Heading in the help -> commands.
GROUPS = {
    "Start": {
        "demo": Command(
            "demo",
            "Train V1, V2 and V3 on a small task and compare them, in minutes",
            "",
            GRID,
            version_flags=True,
            target=EVERY_RUN,
        ),
        "doctor": Command("doctor", "Check packages, hardware, renderers, and an update of each version"),
    },
    "Train and use an agent": {
        "train": Command("train", "Train an agent, or resume the run in --logdir", "", RUN, takes_config=True),
        "eval": Command("evaluate", "Play episodes with the agent of a run", "", ("logdir",), takes_config=True),
        "dream": Command(
            "dream",
            "Watch and steer the dreams of runs next to the environment",
            "",
            ("seed",),
            target="the environment",
        ),
        "play": Command(
            "play", "Play an environment yourself", "", ("algo", "task", "configs", "seed"), target="the environment"
        ),
        "runs": Command("runs", "List runs with progress, time left and state", "[FOLDER]"),
        "resume": Command("resume", "Continue a run by its number in the list of `runs`", "N", ("steps",)),
        "reshard": Command("reshard", "Prepare a run for another number of torchrun processes", "LOGDIR"),
        "import": Command(
            "import_weights",
            "Turn a checkpoint of another Dreamer implementation into a run",
            "FORMAT PATH",
            ("task", "configs", "steps", "seed"),
        ),
        "convert": Command("convert", "Convert stored episodes: replay, Minari, LeRobot, npz files", "SRC DST"),
        "export": Command("export", "Write the policy of a run as a torch or ONNX file"),
        "push": Command(
            "push", "Publish the agent of a run: on the Hugging Face Hub, as a folder or .zip", "LOGDIR DEST"
        ),
    },
    "Compare": {
        "compare": Command(
            "compare",
            "Train versions on the same tasks and seeds, then write a report",
            "",
            GRID,
            version_flags=True,
            target=EVERY_RUN,
        ),
        "bench": Command(
            "bench",
            "Compare versions on a suite of tasks, with its settings",
            "",
            GRID,
            version_flags=True,
            target=EVERY_RUN,
        ),
        "ablate": Command(
            "ablate", "Compare a version with variants of it, feature by feature", "[VERSION]", GRID, target=EVERY_RUN
        ),
        "ladder": Command(
            "ladder",
            "Turn one version into another, feature by feature",
            "VERSION VERSION ...",
            ("configs",),
            version_flags=True,
            target=EVERY_RUN,
        ),
        "sweep": Command(
            "sweep",
            "Search config values in trials with pruning (given values: compare --sweep)",
            "",
            ("algo", "task", "configs", "features", "steps"),
            target="every trial",
        ),
        "wm-eval": Command(
            "wm_eval",
            "Compare only the world models of versions, on the same stored records",
            "",
            GRID,
            target=EVERY_RUN,
        ),
        "reference": Command("reference", "Show published scores, and compare your runs with them"),
    },
    "Read results and configs": {
        "report": Command("report", "Write a report on runs: HTML, Markdown and JSON", "[DIR ...]"),
        "plot": Command("plot", "Draw one quantity of runs as a figure", "[DIR ...]"),
        "explain": Command(
            "explain",
            "Explain versions, runs or configs, and how they differ",
            "[VERSION|DIR|FILE ...]",
            GRID,
            target="every config",
        ),
        "table": Command(
            "show", "Print the table of features, a column per version", "[VERSION ...]", GRID, target="every config"
        ),
        "config": Command("show", "Print every config key with its value for a training", "", RUN, takes_config=True),
    },
    "Check before training": {
        "plan": Command("plan", "Forecast time, memory and disk space of a run", "", RUN),
        "speed": Command("speed", "Measure updates, acting, replay and environments", "", RUN, takes_config=True),
        "check-env": Command(
            "check_env",
            "Check an environment with random actions",
            "TASK",
            ("algo", "configs"),
            target="the environment and the versions",
        ),
        "debug-batch": Command("debug", "Find where the numbers of a skipped update become NaN or infinite", "FILE"),
    },
}
COMMANDS = {name: command for commands in GROUPS.values() for name, command in commands.items()}
#: Command whose name no module can have -> its module.
MODULES = {"import": "import_weights"}


def command_module(name: str) -> ModuleType:
    """Import the module of a command."""
    return importlib.import_module(f"{__name__}.{MODULES.get(name, name).replace('-', '_')}")


def command_function(name: str) -> Callable[[Any], Any]:
    """Return the function that carries out a command."""
    return getattr(command_module(name), COMMANDS[name].function)


def command_options(name: str) -> dict[str, Any]:
    """Return the flags that only this command takes."""
    return getattr(command_module(name), "OPTIONS", {})
