"""`ladder`: compare versions step by step, one feature at a time. The last rung is the last version itself.

    ladder VERSION VERSION ... [--by feature|concept] [--tasks ... --steps N]

Features without effect on the tasks also change, but have no run of their own.
"""

from pathlib import Path

from common.config.arguments import Option, Options, with_help
from common.config.request import Request
from common.errors import UserError, check_choice
from common.experiments.grid.experiment import run_experiment
from common.experiments.ladder import build_ladder
from common.experiments.suites import OPTIONS as COMPARISON
from common.experiments.suites import resolve_setting
from common.experiments.variant import describe_variants

OPTIONS: Options = {
    "by": Option("feature", "one run per feature or per concept", "feature|concept"),
    **with_help(COMPARISON, logdir="folder for the runs and the report (default: logs/ladder/VERSIONS)"),
}
EXAMPLES = (
    "ladder v1 v2 v3 --setting cpu --dry-run",
    "ladder v2 v3 --by concept --tasks gym_Pendulum-v1 --steps 20000",
    "ladder v3 v3-2023 --setting cpu --tasks gym_CartPole-v1 --seeds 1",
)


def ladder(request: Request) -> None:
    """Train each rung on each task with each seed, and report on them.

    Prints first the keys that each rung changes. Raises UserError if no order of the features works.
    """
    check_choice("--by", request.options["by"], ("feature", "concept"))
    versions = list(dict.fromkeys(request.positionals))
    if len(versions) < 2 or len(versions) < len(request.positionals) or request.algo or request.borrowed:
        example = " ".join(request.algos[:3])
        raise UserError(f"ladder takes two or more different versions and no --features, such as ladder {example}.")
    requests, tasks, setting = resolve_setting(request, versions)
    rungs, silent = build_ladder(requests, setting, request.options["by"])
    print(describe_variants([], rungs, silent, tasks))
    runs = {rung.name: rung.request for rung in rungs}
    run_experiment("ladder", runs, tasks, Path(request.options["logdir"] or f"logs/ladder/{'-'.join(versions)}"))
