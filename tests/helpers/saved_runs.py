"""Logdirs as training leaves them, made without training."""

from pathlib import Path

import torch

import dreamer
from common.agent.agent import Agent
from common.config import config as configs
from common.envs import make_envs
from common.storage import spaces
from common.storage.checkpoints import Checkpoints
from common.storage.logdir import config_digest


def untrained(logdir: Path, algo: str, task: str, weight_seed: int | None = None, **flags) -> dict:
    """Writes the logdir of a tiny agent with random weights; returns its config."""
    keys = {key.replace("__", "."): value for key, value in flags.items()}
    config = dreamer.resolve(algo, ["debug"], {"task": task, "logdir": str(logdir), "seed": 3} | keys)
    torch.manual_seed(sum(map(ord, algo)) if weight_seed is None else weight_seed)
    with make_envs(task, config["env"], 1, 0, "none") as envs:
        logdir.mkdir(parents=True)
        configs.write(logdir / "config.yaml", config)
        spaces.write(logdir, spaces.from_envs(envs))
        agent = Agent(envs.obs_space, envs.act_space, config)
    for weight in agent.behavior.actor.parameters():  # V3's begin near zero
        torch.nn.init.normal_(weight, std=0.3)
    Checkpoints(logdir / "checkpoints").save(
        {"agent": agent.state_dict(), "frames": 70, "wall": 1.0, "digest": config_digest(config)}
    )
    return config


def say(*words) -> int:
    """Runs a command line in this process."""
    return dreamer.main(list(map(str, words)))
