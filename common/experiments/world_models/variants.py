"""Variants of a comparison of world models: versions, and versions without a feature, with the flags that all share."""

import contextlib
from pathlib import Path
from typing import Any

from common.config import config as configs
from common.config.request import Request
from common.errors import UserError
from common.experiments.ablation import make_variant
from common.experiments.variant import Setting, Variant, describe_variants
from common.experiments.world_models.frozen import FrozenRecords
from common.files import slug
from common.storage.logdir import CONFIG_FILE, stored_config

SAVES, LOGS = 20, 100  # checkpoints and lines of metrics of a run
#: Config keys that are the same for all runs: the batches.
DATA_FLAGS: dict[str, Any] = {
    "sampler.use": "Windows",
    "sampler.online": False,
    "replay.context": 0,
    "replay.force_first": False,
    "replay.disk": False,
    "run.eval_every": 0,
    "run.video_every": 0,
}
#: Config keys without an effect on a world model: an ablation that changes no other key compares equal models.
OTHER_KEYS = {"critic", "returns", "slow", "replay_value", "policy_cont", "policy_disc", "grad_cont", "grad_disc"} | {
    "advantage", "reward_norm", "explore", "order", "actor", "imagination", "schedule", "sampler", "replay", "env",
    "loss.actor", "loss.critic", "mlp.actor", "mlp.critic", "clip.actor", "clip.critic",
    "optim.lr.actor", "optim.lr.critic", "optim.eps.actor", "optim.eps.critic", "batch_size", "batch_length",
}  # fmt: skip


def make_variants(request: Request, records: FrozenRecords) -> tuple[dict[str, Request], str]:
    """Return name -> request of each version and of each version without a feature, and a text about them.

    Raises UserError for a version that cannot read the observations, and for impossible or ineffective ablations.
    """
    names = list(dict.fromkeys([*request.options["algos"], *filter(None, [request.algo])]))
    if not names:
        raise UserError(f"Name versions with --algos, such as --algos {','.join(request.algos[:3])}.")
    shared = shared_flags(request, records, names)
    task = str(shared["task"])
    setting = Setting({task: 0}, stored=(records.spaces.observation, records.spaces.action))
    found: dict[str, Request] = {}
    changed: list[Variant] = []
    for name in names:
        base = request._replace(algo=name, flags=shared | request.flags)
        if problem := setting.problem(setting.configs(base)):
            raise UserError(f"{name} cannot learn from {records.place}: {problem} Or leave {name} out of --algos.")
        found[name] = base
        changed += ablated(base, request.options["ablate"], setting, f"{name} " * (len(names) > 1))
        found |= {one.name: one.request for one in changed}
    check_all_used(request, changed, found, setting)
    return found, describe_variants([f"World models of {', '.join(names)}."], changed, [], {task: 0})


def ablated(base: Request, words: list[str], setting: Setting, prefix: str) -> list[Variant]:
    """Return the variants of a version without features; features that it does not have are skipped."""
    found = []
    for word in words:
        title = prefix + (word if "=" in word else f"no_{word}")
        with contextlib.suppress(UserError):
            found.append(make_variant(base, title, word, setting, setting.configs(base)))
    return found


def check_all_used(request: Request, changed: list[Variant], found: dict[str, Request], setting: Setting) -> None:
    """Raise UserError for a word of --ablate that no version has, or that leaves a world model as it is."""
    for word in request.options["ablate"]:
        own = [one for one in changed if one.name.split(" ")[-1] in (word, f"no_{word}")]
        for one in own:
            check_effect(one, str(one.request.algo), word)
        if not own:
            base = next(iter(found.values()))
            make_variant(base, word, word, setting, setting.configs(base))  # raises the reason


def check_effect(variant: Variant, name: str, word: str) -> None:
    """Raise UserError if an ablation leaves the world model as it is."""
    without_effect = lambda key: any(key == other or key.startswith(f"{other}.") for other in OTHER_KEYS)
    if all(map(without_effect, variant.changes)):
        raise UserError(
            f"{word} changes nothing in the world model of {name}: it is about behaviour or data. Remove it from "
            f"--ablate, or use: python dreamer.py ablate {name} --drop {word}"
        )


def shared_flags(request: Request, records: FrozenRecords, names: list[str]) -> dict[str, Any]:
    """Return the flags of all runs: the task and its rendering, the batches, intervals of logs and checkpoints.

    The size of the batch is that of the last version, unless it is given.
    """
    updates, source = request.options["updates"], source_flags(records.place)
    source["task"] = request.flags.get("task", source["task"])
    sizes = request.config(names[-1], task=source["task"])
    source = {key: value for key, value in source.items() if key in configs.flatten(sizes)}
    shared = {key: sizes[key] for key in ("batch_size", "batch_length")}
    shared |= {"run.log_every": max(1, updates // LOGS), "run.save_every": max(1, updates // SAVES)}
    return source | DATA_FLAGS | shared


def source_flags(place: str) -> dict[str, Any]:
    """Return the task of a run and the settings of its environment; of other records a task named after them."""
    folder = Path(place)
    if not (folder / CONFIG_FILE).is_file():
        return {"task": f"stored:{slug(folder.name)}"}
    config = stored_config(folder)
    return {"task": config["task"]} | configs.flatten({"env": config["env"]})
