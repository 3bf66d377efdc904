"""`sweep`: search config values with Optuna, in trials that may be pruned. `--sweep` of compare tries given values."""

from common.config.arguments import Option, Options
from common.config.request import Request
from common.experiments.search.experiment import search
from common.experiments.search.study import OPTIONS as STUDY

GROUP = "trials"
OPTIONS: Options = {
    "space": Option("", "YAML file of keys with their ranges or choices (needed)", "FILE"),
    "metric": Option("score", "metric of a trial: score, or a name in metrics.jsonl", "NAME"),
    "direction": Option("auto", "maximize, minimize, or auto: minimize losses", "WORD"),
    "trials": Option(50, "trials in all, with those of earlier commands", "N", group=GROUP),
    "seeds": Option(1, "seeds per trial, whose mean counts", "N", group=GROUP),
    "first-seed": Option(0, "first seed", "N", group=GROUP),
    "jobs": Option(0, "runs at a time; 0: one per core, or one on a GPU", "N", group=GROUP),
    "launcher": Option("local", "where runs are made: local is the only one", "NAME", group=GROUP),
    "logdir": Option("", "folder for the runs and the report (default: logs/sweep/FILE)", "DIR", group=GROUP),
    "dry-run": Option(False, "check the space and print the plan only", group=GROUP),
    **STUDY,
}
#: Flag for runs -> what it is here.
RUN_FLAG_HELP = {"task": Option("", "task of all trials, such as gym_CartPole-v1 (needed)", "TASK")}
EXAMPLES = (
    "sweep --space space.yaml --task gym_CartPole-v1 --configs cpu --trials 50",
    "sweep --space space.yaml --algo v1 --task dummy_point --configs cpu --seeds 3",
    "sweep --space space.yaml --task dummy_point --metric loss/reward --dry-run",
)


def sweep(request: Request) -> None:
    """Search config values; see `search`."""
    search(request)
