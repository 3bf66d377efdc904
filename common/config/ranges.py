"""Ranges of config values, checked by name before anything is built."""

import fnmatch
import math
from typing import Any

from common.config.loggers import logger_names
from common.errors import UserError, check_choice
from common.safe_io import expand_path, is_finite_number

# No real run comes near these; larger values exhaust memory or overflow numbers of the system.
MAX_COUNT = 10**12  # frames, steps, updates, episodes or seconds
MAX_WIDTH = 2**17  # units of a layer; rows or steps of a batch
MAX_DEPTH = 1000  # layers, blocks or models

#: Glob of config keys -> smallest and largest value.
RANGES = {
    "steps": (1, MAX_COUNT),
    "batch_*": (1, MAX_WIDTH),
    "seed": (0, 2**32 - 1),
    "run.*envs": (1, 2**14),
    "run.*_every": (0, MAX_COUNT),
    "run.eval_episodes": (0, MAX_COUNT),
    "run.threads": (0, 1024),
    "run.actor_count": (1, 2**14),
    "run.actor_refresh": (1, MAX_COUNT),
    "run.actor_chunk": (1, MAX_WIDTH),
    "run.actor_cpus": (0, 1024),
    "run.max_s*": (0, MAX_COUNT),
    "run.pre[ft]*": (0, MAX_COUNT),
    "env.repeat": (1, MAX_COUNT),
    "env.size": (0, 4096),
    "env.sticky": (0, 1),
    "env.time_limit": (0, MAX_COUNT),
    "env.*noops": (0, MAX_COUNT),
    "env.max_failures": (0, MAX_COUNT),
    "env.action_scale": (1e-9, 1e9),
    "env.timeout": (0, 10**8),
    "replay.capacity": (0, MAX_COUNT),
    "replay.max_gib": (0, MAX_COUNT),
    "replay.context": (0, 1),
    "schedule.ratio": (0, MAX_COUNT),
    "schedule.every": (1, MAX_COUNT),
    "schedule.steps": (1, MAX_COUNT),
    "schedule.updates": (1, MAX_COUNT),
    "sampler.*": (0, MAX_COUNT),
    "*.unimix": (0, 1),
    "*.bins": (2, MAX_WIDTH),
    "latent.stoch": (1, MAX_WIDTH),
    "latent.classes": (2, MAX_WIDTH),
    "cell.blocks": (1, MAX_WIDTH),
    "cell.layers": (1, MAX_DEPTH),
    "conv.depth": (1, MAX_WIDTH),
    "conv.blocks": (1, MAX_WIDTH),
    "rssm.deter": (1, MAX_WIDTH),
    "rssm.hidden": (1, MAX_WIDTH),
    "rssm.*_layers": (0, MAX_DEPTH),
    "rssm.ensemble": (1, MAX_DEPTH),
    "rssm.action_clip": (0, math.inf),
    "mlp.*.layers": (0, MAX_DEPTH),
    "mlp.*.units": (1, MAX_WIDTH),
    "kl.*": (0, math.inf),
    "loss.*": (0, math.inf),
    "discount": (0, 1),
    "returns.lam": (0, 1),
    "imagination.horizon": (1, MAX_WIDTH),
    "imagination.drop_last": (0, 1),
    "imagination.last": (0, MAX_COUNT),
    "advantage.low": (0, 100),
    "advantage.high": (0, 100),
    "*.rate": (0, 1),
    "slow.every": (1, MAX_COUNT),
    "slow.fraction": (0, 1),
    "policy_cont.*std": (0, math.inf),
    "grad_*.mix": (0, 1),
    "explore.until": (0, MAX_COUNT),
    "explore.models": (2, MAX_DEPTH),
    "explore.layers": (0, MAX_DEPTH),
    "explore.units": (0, MAX_WIDTH),
    "explore.offset": (0, MAX_WIDTH),
    "explore.*_scale": (0, math.inf),
    "explore.momentum": (0, 1),
    "explore.lr": (0, math.inf),
    "optim.lr.*": (0, math.inf),
    "optim.beta*": (0, 1),
    "optim.warmup": (0, MAX_COUNT),
    "optim.anneal": (0, MAX_COUNT),
    "optim.wd": (0, 1),
    "clip.*": (0, math.inf),
}
CHOICES = {
    "run.precision": ("auto", "fp32", "bf16"),
    "run.compile": ("auto", "on", "off"),
    "run.parallel": ("auto", "none", "process", "native"),
    "run.batch": ("global", "per_rank"),
    "run.actors": ("none", "ray"),
    "run.init_parts": ("world_model", "all"),
    "actor.eval": ("mode", "sample"),
}
PATH_KEYS = ("logdir", "run.init", "run.offline")


def check_values(flat: dict[str, Any]) -> None:
    """Raise UserError for the first value of a flat config that is out of its range or not finite."""
    for key, value in flat.items():
        if key in CHOICES:
            check_choice(key, value, CHOICES[key])
        if key in PATH_KEYS:
            _check_path(key, value)
        if key == "run.logger":
            logger_names(value)
        if isinstance(value, bool | str):
            continue
        if not is_finite_number(value):
            raise UserError(f"{key} must be a finite number, got {value}.")
        for glob, (low, high) in RANGES.items():
            if not low <= value <= high and fnmatch.fnmatchcase(key, glob):
                limit = f"at least {low}" if value < low else f"at most {high:,}"
                raise UserError(f"{key} must be {limit}, got {value}.")


def _check_path(key: str, value: str) -> None:
    try:
        expand_path(value)
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
