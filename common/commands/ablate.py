"""`ablate`: compare a version with itself without some features, or with features of other versions.

    ablate VERSION --drop NAME[+NAME ...] ... --add FEATURE[=VERSION] ... --suite NAME [--tasks ... --steps N] [--list]

NAME is an ablation of configs/ablations.yaml, or FEATURE=VERSION. --suite applies the ablations of a paper.
"""

from pathlib import Path

from common.config import config as configs
from common.config.arguments import Option, Options, with_help
from common.config.request import Request
from common.errors import UserError
from common.experiments.ablation import AblationSuite, ablation_suites, ablations, make_variants, resolve_addition
from common.experiments.grid.experiment import run_experiment
from common.experiments.suites import OPTIONS as COMPARISON
from common.experiments.suites import resolve_setting
from common.experiments.variant import Setting, describe_variants
from common.experiments.version_flags import refuse_version_flags

OPTIONS: Options = {
    "drop": Option([], "ablations, see --list; A+B makes one variant of two", "NAME ..."),
    "add": Option([], "features to take from other versions", "FEATURE[=VERSION] ..."),
    "suite": Option("", "the ablations that a paper published, see --list", "NAME"),
    "list": Option(False, "list the ablations and the suites of them"),
    **with_help(COMPARISON, logdir="folder for the runs and the report (default: logs/ablate/VERSION)"),
}
EXAMPLES = (
    "ablate --list",
    "ablate v3 --drop symlog,unimix --tasks gym_Pendulum-v1 --steps 20000",
    "ablate v3 --add kl=v2 --setting cpu --dry-run",
)


def ablate(request: Request) -> None:
    """Train a version and its variants on each task with each seed, and report on them; or list the ablations.

    Prints first the keys that each variant changes. Raises UserError for impossible variants before any run starts.
    """
    options = request.options
    if options["list"]:
        print(list_ablations())
        return
    name, known = options["suite"], ablation_suites()
    if name and name not in known:
        raise UserError(configs.unknown_name("suite of ablations", name, known))
    suite = known.get(name)
    version = requested_version(request, suite)
    refuse_version_flags(request, "ablate")
    requests, tasks, setting = resolve_setting(request, [version])
    base = requests[version]
    variants, omitted = make_variants(base, requested_variants(base, suite, setting), setting)
    print(describe_variants([f"{version}: the baseline"], variants, omitted, tasks))
    if not variants:
        raise UserError("There is nothing to compare. Drop or add a feature that has an effect on these tasks.")
    runs = {version: base} | {one.name: one.request for one in variants}
    run_experiment("ablate", runs, tasks, Path(options["logdir"] or f"logs/ablate/{version}"), version)


def requested_version(request: Request, suite: AblationSuite | None) -> str:
    """Return the version to ablate: the positional argument, --algo, or the version of the suite."""
    names = [*request.positionals, *filter(None, [request.algo])] or ([suite.version] if suite else [])
    if len(names) != 1:
        raise UserError("ablate takes one version: ablate VERSION --drop NAME. `ablate --list` shows the names.")
    return names[0]


def requested_variants(request: Request, suite: AblationSuite | None, setting: Setting) -> dict[str, str]:
    """Return name of a variant -> what it drops or adds."""
    options = request.options
    found = dict(suite.drop) if suite else {}
    found |= {word if "=" in word else f"no_{word}": word for word in options["drop"]}
    found |= {word: word for word in (resolve_addition(word, request, setting) for word in options["add"])}
    if not found:
        raise UserError("ablate needs --drop, --add or --suite. `python dreamer.py ablate --list` shows the names.")
    return found


def list_ablations() -> str:
    """Return all ablations and suites, each with its description and its source."""
    lines = ["Ablations"]
    for name, one in ablations().items():
        if name not in one.also:
            lines += [f"  {', '.join([name, *one.also])}: {one.what}", *([f"      {one.source}"] if one.source else [])]
    lines += ["", "Suites"]
    for name, suite in ablation_suites().items():
        lines += [f"  {name} ({suite.version}): {suite.source}", f"      {', '.join(suite.drop.values())}"]
    return "\n".join(lines)
