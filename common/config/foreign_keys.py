"""Names of flags in other Dreamer programs and other commands, and what to type here."""

import re

#: Key of another program -> the key here.
SAME_KEYS = {
    "train_ratio": "schedule.ratio",
    "run.train_ratio": "schedule.ratio",
    "run.steps": "steps",
    "total_steps": "steps",
    "total_timesteps": "steps",
    "env_name": "task",
    "env_id": "task",
    "run.num_envs": "run.envs",
    "num_envs": "run.envs",
    "envs.amount": "run.envs",
    "action_repeat": "env.repeat",
    "replay.size": "replay.capacity",
    "replay_size": "replay.capacity",
    "learning_rate": "optim.lr.*",
    "model_lr": "optim.lr.model",
    "actor_lr": "optim.lr.actor",
    "value_lr": "optim.lr.critic",
    "critic_lr": "optim.lr.critic",
    "expl_until": "explore.until",
    "expl_intr_scale": "explore.intr_scale",
    "expl_extr_scale": "explore.extr_scale",
    "expl_rewards.disag": "explore.intr_scale",
    "expl_rewards.extr": "explore.extr_scale",
    "expl_noise": "explore.amount",
    "disag_models": "explore.models",
    "disag_target": "explore.target",
    "disag_offset": "explore.offset",
    "disag_log": "explore.log",
    **dict.fromkeys(("jax.platform", "cpu", "gpu", "cuda", "use_cuda"), "run.device"),
    "jax.compute_dtype": "run.precision",
    "jax.precision": "run.precision",
    "jax.jit": "run.compile",
}
#: Flag of another program -> advice where no key has its meaning.
ADVICE = {
    "dry_run": "To check a run without training, use `python dreamer.py plan` (time, memory and disk) or "
    "`python dreamer.py config` (all settings) with the same flags.",
    "expl_behavior": "Here it is --explore.use: Plan2Explore, ActionNoise or NoNoise.",
    "run.script": "The first word is the command: python dreamer.py train or python dreamer.py eval.",
}
#: A flag for one version of a comparison, such as v3.schedule.ratio.
VERSION_FLAG = re.compile(r"(v\d[\w-]*)\.(.+)")
VERSION_FLAG_COMMANDS = "comparisons: compare, bench, demo and ladder"
UNITS = {
    "steps": " (environment frames)",
    "explore.until": " (environment frames)",
    "run.device": " (cpu, cuda or auto)",
}


def advice(key: str) -> str:
    """Return what to type here for a key of another program, or an empty string for any other key."""
    if match := VERSION_FLAG.fullmatch(key):
        return f"{match[1]} before a key is for {VERSION_FLAG_COMMANDS}. Here it is --{match[2]}."
    name = key.replace("-", "_").lower()
    if name in SAME_KEYS:
        return f"Here it is --{SAME_KEYS[name]}{UNITS.get(SAME_KEYS[name], '')}."
    return ADVICE.get(name, "")
