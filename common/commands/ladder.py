"""`ladder`: from one version to the next, one feature at a time; the last rung is the last version itself.

    ladder VERSION VERSION ... [--by feature|concept] [--tasks ... --steps N]

Features without any effect on the tasks change on the way, but have no run of their own.
"""

from pathlib import Path
from typing import Any

from common.config.request import Request
from common.errors import UserError, check_choice
from common.experiments import setting
from common.experiments.grid.experiment import run_experiment
from common.experiments.ladder import build_ladder as climb
from common.experiments.variant import describe_variant

OPTIONS: dict[str, Any] = {"by": "feature", **setting.OPTIONS}


def ladder(request: Request) -> None:
    """Trains every rung on each task with each seed, and reports on them.

    Says first which keys each rung changes. Raises UserError where there is no way between the versions.
    """
    check_choice("--by", request.options["by"], ("feature", "concept"))
    versions = list(dict.fromkeys(request.positionals))
    if len(versions) < 2 or len(versions) < len(request.positionals) or request.algo or request.borrowed:
        few = " ".join(request.algos[:3])
        raise UserError(f"ladder takes two versions or more, each once, and nothing borrowed, such as ladder {few}.")
    requests, tasks = setting.resolve_setting(request, versions)
    rungs, silent = climb(requests, setting.make_setting(request, tasks), request.options["by"])
    print("\n".join([*map(describe_variant, rungs), setting.describe_omitted(silent, tasks)]).rstrip())
    runs = {rung.name: rung.request for rung in rungs}
    run_experiment("ladder", runs, tasks, Path(request.options["logdir"] or f"logs/ladder/{'-'.join(versions)}"))
