"""Requests, settings and losses for the tests of ablations and ladders."""

import torch

import dreamer
from common.agent.agent import Agent
from common.config.request import Request
from common.experiments.grid.experiment import make_jobs
from common.experiments.variant import Setting
from tests.helpers.fakes import random_batch

MIXED = "dummy_mixed_box_10"  # images and vectors, continuous actions
PICTURES = "dummy_onehot_image"  # images, discrete actions
VECTORS = "gym_Pendulum-v1"  # vectors, continuous actions


def request(algo, blocks=("debug",), flags=None, borrowed=None, own=None):
    known = dreamer.resolve, tuple(dreamer.ALGOS)
    return Request([], algo, list(blocks), dict(borrowed or {}), dict(flags or {}), dict(own or {}), *known)


def setting(*tasks, frames=1000):
    return Setting(dict.fromkeys(tasks, frames))


def config_of(words):
    """Return the config of `python dreamer.py train WORDS`."""
    command, *said = dreamer.parse(["train", *words])
    return dreamer.command_input(command, *said)


def check_command_lines(requests, task):
    """Check that the command line of each job gives its config."""
    for job in make_jobs(requests, {task: 500}, range(3, 4), "frames"):
        assert config_of(job.words) == job.config, job.name
        assert (job.config["task"], job.config["seed"], job.config["steps"]) == (task, 3, 500)


def losses(config, facts, updates=1):
    """Return the losses of the first updates of an agent, and check that they are finite."""
    torch.manual_seed(0)
    agent = Agent(facts.obs, facts.act, config)
    runs = [agent.update(random_batch(agent, seed=seed), step=seed)[0] for seed in range(updates)]
    assert all(torch.isfinite(value) for run in runs for value in run.values())
    return [{key: value.item() for key, value in run.items()} for run in runs]
