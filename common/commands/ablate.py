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
from common.experiments.ablation import Suite, ablations, added, suites, variants
from common.experiments.grid.plan import carry_out
from common.experiments.variant import Setting, described

OPTIONS: dict[str, Any] = {"drop": [], "add": [], "suite": "", "list": False, **place.OPTIONS}


def ablate(request: Request) -> None:
    """Trains a version and its variants on each task with each seed, and reports on them; or lists what there is.

    Says first which keys each variant changes. Raises UserError for variants that cannot be, before anything starts.
    """
    if request.own["list"]:
        print(listing())
        return
    suite = chosen(request.own["suite"])
    version = named(request, suite)
    requests, tasks = place.place(request, [version])
    base, setting = requests[version], place.setting(request, tasks)
    made, silent = variants(base, wanted(base, suite, setting), setting)
    print("\n".join([f"{version}: the baseline", *map(described, made), place.left_out(silent, tasks)]).rstrip())
    if not made:
        raise UserError("There is nothing to compare.")
    runs = {version: base} | {one.name: one.request for one in made}
    carry_out("ablate", runs, tasks, Path(request.own["logdir"] or f"logs/ablate/{version}"), version)


def chosen(name: str) -> Suite | None:
    """The suite of that name, None without a name."""
    if name and name not in suites():
        raise UserError(configs.unknown("suite of ablations", name, suites()))
    return suites()[name] if name else None


def named(request: Request, suite: Suite | None) -> str:
    """The version to ablate: the word, --algo, or that of the suite."""
    names = [*request.words, *filter(None, [request.algo])] or ([suite.version] if suite else [])
    if len(names) != 1:
        raise UserError("ablate takes one version, and what to drop: ablate VERSION --drop NAME. --list shows names.")
    return names[0]


def wanted(request: Request, suite: Suite | None, setting: Setting) -> dict[str, str]:
    """Name of a variant -> what it is."""
    own = request.own
    found = dict(suite.drop) if suite else {}
    found |= {word if "=" in word else f"no_{word}": word for word in own["drop"]}
    found |= {word: word for word in (added(word, request, setting) for word in own["add"])}
    if not found:
        raise UserError("ablate needs --drop, --add or --suite. `python dreamer.py ablate --list` shows names.")
    return found


def listing() -> str:
    """Ablations and suites, each with what it is and where it comes from."""
    lines = ["Ablations"]
    for name, one in ablations().items():
        if name not in one.also:
            lines += [f"  {', '.join([name, *one.also])}: {one.what}", *([f"      {one.source}"] if one.source else [])]
    lines += ["", "Suites"]
    for name, suite in suites().items():
        lines += [f"  {name} ({suite.version}): {suite.source}", f"      {', '.join(suite.drop.values())}"]
    return "\n".join(lines)
