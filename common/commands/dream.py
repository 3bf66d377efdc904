"""`dream`: shows the environment and the dreams of one to four runs next to each other, on a page or in a film.

The page is served on this machine only. --record FILE writes a film without a browser: of --steps steps of the agent,
or of a script of actions (--actions FILE), whose format is in docs/dream.md.
"""

from typing import Any

from common.config import config as configs
from common.config.arguments import Option, Options
from common.config.request import Request
from common.errors import UserError

#: Flags of `dream` and `play`.
PAGE_OPTIONS: Options = {
    "port": Option(8733, "port of the page on this machine, 0 for any free one", "N"),
    "no-browser": Option(False, "only print the address of the page"),
    "grace": Option(30.0, "seconds without an open page after which the command ends", "SECONDS"),
    "key": Option("", "image to show (default: the first that all runs predict), or none", "KEY"),
    "record": Option("", "write a film (.gif or .mp4) instead of serving a page", "FILE"),
    "steps": Option(100, "steps of a film without --actions", "N"),
    "actions": Option("", "script of a film, see docs/dream.md", "FILE"),
}
OPTIONS: Options = {
    "logdirs": Option([], "run directories, one to four", "DIR ..."),
    "logdir": Option("", "run directory, for one run", "DIR"),
    **PAGE_OPTIONS,
}
#: Flag for runs -> what it is here.
RUN_FLAG_HELP = {"seed": Option("", "seed of the environment and of all samples (default: that of the first run)", "N")}
EXAMPLES = (
    "dream --logdirs logs/v1 logs/v2 logs/v3",
    "dream --logdir logs/cartpole --no-browser --port 0",
    "dream --logdir logs/cartpole --record dream.gif --steps 60",
)


def dream(request: Request) -> None:
    """Show the dreams of runs. Raises UserError if the runs do not fit together or a package is missing."""
    from common.viewer.environment import Environment  # not earlier: the help needs no torch
    from common.viewer.runs import load_runs
    from common.viewer.show import check_options, show

    own = request.options
    logdirs = [*own["logdirs"], *([own["logdir"]] if own["logdir"] else [])]
    check_request(request, logdirs)
    check_options(own)

    def adjusted(config: dict[str, Any]) -> dict[str, Any]:
        return request.resolve(config["algo"], (), configs.flatten(config) | request.flags)

    runs = load_runs(logdirs, adjusted)
    environment = Environment(runs[0].config, [run.config for run in runs])
    show(environment, runs, own, runs[0].config)


def check_request(request: Request, logdirs: list[str]) -> None:
    """Raise UserError for arguments that dream does not take, or without a run."""
    given = {"--algo": request.algo, "--configs": request.blocks, "--features": request.borrowed}
    if wrong := [flag for flag, value in given.items() if value]:
        raise UserError(f"dream takes version and config from the runs: omit {', '.join(wrong)}.")
    if request.positionals:
        raise UserError(f"dream takes run directories as a flag: --logdirs {' '.join(request.positionals)}.")
    if not logdirs:
        raise UserError("dream needs runs: --logdirs logs/v1 logs/v2 logs/v3, or --logdir logs/v3.")
