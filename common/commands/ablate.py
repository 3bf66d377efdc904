"""`ablate`: a version beside itself without some features, or with those of other versions.

    ablate VERSION --drop NAME[+NAME ...] ... --add FEATURE[=VERSION] ... --suite NAME [--tasks ... --steps N] [--list]

NAME is an ablation of configs/ablations.yaml, or FEATURE=VERSION. --suite takes the ablations that a paper published.
"""

from pathlib import Path
from typing import Any

from common.config import config as configs
from common.config.request import Request
from common.errors import UserError
from common.experiments import setting as place
from common.experiments.ablation import AblationSuite, ablation_suites, ablations, make_variants, resolve_addition
from common.experiments.grid.experiment import run_experiment
from common.experiments.variant import Setting, describe_variant

OPTIONS: dict[str, Any] = {"drop": [], "add": [], "suite": "", "list": False, **place.OPTIONS}


def ablate(request: Request) -> None:
    """Trains a version and its variants on each task with each seed, and reports on them; or lists what there is.

    Says first which keys each variant changes. Raises UserError for variants that cannot be, before anything starts.
    """
    if request.options["list"]:
        print(list_ablations())
        return
    suite = find_suite(request.options["suite"])
    version = requested_version(request, suite)
    requests, tasks = place.resolve_setting(request, [version])
    base, setting = requests[version], place.make_setting(request, tasks)
    made, silent = make_variants(base, requested_variants(base, suite, setting), setting)
    print(
        "\n".join(
            [f"{version}: the baseline", *map(describe_variant, made), place.describe_omitted(silent, tasks)]
        ).rstrip()
    )
    if not made:
        raise UserError("There is nothing to compare.")
    runs = {version: base} | {one.name: one.request for one in made}
    run_experiment("ablate", runs, tasks, Path(request.options["logdir"] or f"logs/ablate/{version}"), version)


def find_suite(name: str) -> AblationSuite | None:
    """The suite of that name, None without a name."""
    if name and name not in ablation_suites():
        raise UserError(configs.unknown_name("suite of ablations", name, ablation_suites()))
    return ablation_suites()[name] if name else None


def requested_version(request: Request, suite: AblationSuite | None) -> str:
    """The version to ablate: the word, --algo, or that of the suite."""
    names = [*request.positionals, *filter(None, [request.algo])] or ([suite.version] if suite else [])
    if len(names) != 1:
        raise UserError("ablate takes one version, and what to drop: ablate VERSION --drop NAME. --list shows names.")
    return names[0]


def requested_variants(request: Request, suite: AblationSuite | None, setting: Setting) -> dict[str, str]:
    """Name of a variant -> what it is."""
    own = request.options
    found = dict(suite.drop) if suite else {}
    found |= {word if "=" in word else f"no_{word}": word for word in own["drop"]}
    found |= {word: word for word in (resolve_addition(word, request, setting) for word in own["add"])}
    if not found:
        raise UserError("ablate needs --drop, --add or --suite. `python dreamer.py ablate --list` shows names.")
    return found


def list_ablations() -> str:
    """Ablations and suites, each with what it is and where it comes from."""
    lines = ["Ablations"]
    for name, one in ablations().items():
        if name not in one.also:
            lines += [f"  {', '.join([name, *one.also])}: {one.what}", *([f"      {one.source}"] if one.source else [])]
    lines += ["", "Suites"]
    for name, suite in ablation_suites().items():
        lines += [f"  {name} ({suite.version}): {suite.source}", f"      {', '.join(suite.drop.values())}"]
    return "\n".join(lines)
