"""Ranges of config values, so that a number that cannot work is refused by name before anything is built."""

import fnmatch
import math

from common.errors import UserError
from common.nets import check_choice

#: Glob of config keys -> smallest and largest value.
RANGES = {
    "steps": (1, math.inf),
    "batch_*": (1, math.inf),
    "seed": (0, 2**32 - 1),
    "run.*envs": (1, math.inf),
    "run.*_every": (0, math.inf),
    "run.eval_episodes": (0, math.inf),
    "run.threads": (0, 1024),
    "run.max_s*": (0, math.inf),
    "run.pre[ft]*": (0, math.inf),
    "env.repeat": (1, math.inf),
    "env.size": (0, 4096),
    "env.sticky": (0, 1),
    "env.time_limit": (0, math.inf),
    "env.noops": (0, math.inf),
    "env.max_failures": (0, math.inf),
    "env.action_scale": (1e-9, math.inf),
    "env.timeout": (0, math.inf),
    "replay.capacity": (0, math.inf),
    "replay.max_gib": (0, math.inf),
    "replay.context": (0, 1),
    "schedule.ratio": (0, math.inf),
    "schedule.every": (1, math.inf),
    "schedule.steps": (1, math.inf),
    "schedule.updates": (1, math.inf),
    "*.unimix": (0, 1),
    "latent.stoch": (1, math.inf),
    "latent.classes": (2, math.inf),
    "cell.blocks": (1, math.inf),
    "cell.layers": (1, math.inf),
    "conv.depth": (1, math.inf),
    "conv.blocks": (1, math.inf),
    "rssm.deter": (1, math.inf),
    "rssm.hidden": (1, math.inf),
    "rssm.*_layers": (0, math.inf),
    "rssm.ensemble": (1, math.inf),
    "rssm.action_clip": (0, math.inf),
    "mlp.*.layers": (0, math.inf),
    "mlp.*.units": (1, math.inf),
    "kl.*": (0, math.inf),
    "loss.*": (0, math.inf),
    "discount": (0, 1),
    "returns.lam": (0, 1),
    "imagination.horizon": (1, math.inf),
    "imagination.drop_last": (0, 1),
    "imagination.last": (0, math.inf),
    "advantage.low": (0, 100),
    "advantage.high": (0, 100),
    "*.rate": (0, 1),
    "slow.every": (1, math.inf),
    "slow.fraction": (0, 1),
    "policy_cont.*std": (0, math.inf),
    "grad_*.mix": (0, 1),
    "optim.lr.*": (0, math.inf),
    "optim.beta*": (0, 1),
    "optim.warmup": (0, math.inf),
    "optim.anneal": (0, math.inf),
    "optim.wd": (0, 1),
    "clip.*": (0, math.inf),
}
CHOICES = {
    "run.precision": ("auto", "fp32", "bf16"),
    "run.compile": ("auto", "on", "off"),
    "run.parallel": ("auto", "none", "process"),
    "run.init_parts": ("world_model", "all"),
    "actor.eval": ("mode", "sample"),
}


def check(flat: dict) -> None:
    """Raises UserError for the first value of a flat config that is out of its range, or no finite number."""
    for key, value in flat.items():
        if key in CHOICES:
            check_choice(key, value, CHOICES[key])
        if isinstance(value, (bool, str)):
            continue
        if not math.isfinite(value):
            raise UserError(f"{key} must be a finite number, got {value}.")
        for glob, (low, high) in RANGES.items():
            if not low <= value <= high and fnmatch.fnmatchcase(key, glob):
                bound = f"at least {low}" if high == math.inf else f"between {low} and {high}"
                raise UserError(f"{key} must be {bound}, got {value}.")
