"""`wm-eval`: train only the world models of versions on the same stored records, and compare their predictions."""

from common.config.arguments import Option, Options
from common.config.request import Request
from common.experiments.world_models.experiment import compare_world_models

GROUP, DATA = "grid of runs", "data and measures"
OPTIONS: Options = {
    "replay": Option("", "directory of a run, or a dataset: see docs/data.md", "DIR"),
    "algos": Option([], "versions to compare", "VERSION ..."),
    "ablate": Option([], "also each version without these features, see `ablate --list`", "NAME ..."),
    "updates": Option(20_000, "updates of each world model", "N", group=GROUP),
    "seeds": Option(3, "seeds per variant", "N", group=GROUP),
    "first-seed": Option(0, "first seed", "N", group=GROUP),
    "jobs": Option(0, "runs at a time; 0: one per core, or one on a GPU", "N", group=GROUP),
    "logdir": Option("", "folder for the runs and the report (default: logs/wm-eval)", "DIR", group=GROUP),
    "dry-run": Option(False, "print the runs and their commands only", group=GROUP),
    "only": Option("", "train and measure one run in this process, such as v3/TASK/0", "RUN", group=GROUP),
    "held-out": Option(0.1, "share of the whole episodes that no model trains on", "SHARE", group=DATA),
    "split-seed": Option(0, "chooses the held-out episodes and the order of the batches", "N", group=DATA),
    "context": Option(5, "fewest records that a model observes before it predicts", "N", group=DATA),
    "horizon": Option(45, "steps that a model predicts open loop", "N", group=DATA),
}
EXAMPLES = (
    "wm-eval --replay logs/v3 --algos v1,v2,v3 --configs cpu --updates 5000 --seeds 3",
    "wm-eval --replay logs/v3 --algos v3 --ablate symlog,twohot,kl=v2 --configs cpu",
    "wm-eval --replay episodes --algos v2,v3 --configs cpu --dry-run",
)


def wm_eval(request: Request) -> None:
    """Compare world models; see `compare_world_models`."""
    compare_world_models(request)
