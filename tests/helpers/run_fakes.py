"""A small agent that learns nothing but uses everything: weights, momentum, random numbers, latents, the batch.

`python run_fakes.py CONFIG.json` trains with it, for tests that need a process of its own.
"""

import json
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from common.storage.checkpoints import Checkpoints
from common.training.factory import Factory
from common.training.loop import Loop
from common.training.stop import Stop
from common.training.train import train


def config(logdir, **changes):
    """Config of a small run; `changes` are dotted keys with `__` for the dot, such as `run__envs=2`."""
    base = {
        "algo": "fake", "task": "dummy_onehot_7", "seed": 0, "logdir": str(logdir), "steps": 200,
        "batch_size": 2, "batch_length": 4,
        "actor": {"eval": "sample"},
        "env": {"repeat": 2, "render": "full", "action_scale": 1.0, "timeout": 0.0, "least_noops": 0},
        "replay": {"capacity": 1000, "max_gib": 0.0, "disk": False, "context": 1, "force_first": False},
        "run": {
            "envs": 2, "parallel": "none", "eval_envs": 2, "eval_every": 60, "eval_episodes": 3, "log_every": 20,
            "save_every": 50, "video_every": 80, "device": "cpu", "precision": "fp32", "compile": "off", "threads": 1,
            "cuda_graphs": False, "recompute_activations": False,
            "max_seconds": 0, "max_skips": 2, "prefill": 24, "pretrain": 3,
            "init": "", "init_parts": "world_model", "offline": "",
            "logger": "terminal,jsonl,tensorboard", "logger_project": "dreamer",
            "logger_entity": "", "logger_name": "", "logger_group": "", "batch": "global",
            "actors": "none", "actor_count": 2, "actor_refresh": 4, "actor_chunk": 8, "actor_cpus": 1,
            "ray_address": "",
        },
        "sampler": {"use": "Windows", "online": True},
        "schedule": {"use": "Ratio", "ratio": 10.0},
    }  # fmt: skip
    for key, value in changes.items():
        put(base, key.split("__"), value)
    return base


def put(tree, path, value):
    """Set the value at a path of keys in nested dicts."""
    *branches, last = path
    for name in branches:
        tree = tree[name]
    tree[last] = value


def lines(logdir):
    """Metric lines without what depends on the clock."""
    rows = [json.loads(line) for line in (Path(logdir) / "metrics.jsonl").read_text().splitlines()]
    clock = ("wall", "time/", "fps/")
    return [{key: value for key, value in row.items() if not key.startswith(clock)} for row in rows]


def scores(logdir):
    """Lines of the score file: training episodes, evaluations."""
    return [json.loads(line) for line in (Path(logdir) / "scores.jsonl").read_text().splitlines()]


def newest(logdir):
    """State in the newest checkpoint."""
    return Checkpoints(Path(logdir) / "checkpoints").load()


def interrupted(logdir, monkeypatch, method, count, factory=None, **changes):
    """Trains until the `count`-th call of Loop's or the agent's `method`, which raises a signal; then resumes."""
    owner = Loop if hasattr(Loop, method) else FakeAgent
    original, calls = getattr(owner, method), []

    def counting(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            stopper[0].signal = 2
        return original(self, *args, **kwargs)

    stopper = []
    monkeypatch.setattr("common.training.train.Stop", lambda: stopper.append(Stop()) or stopper[-1])
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, counting)
        with pytest.raises(SystemExit) as exit_:
            train(config(logdir, **changes), factory or FakeFactory())
    assert exit_.value.code == 130
    train(config(logdir, **changes), factory or FakeFactory())


def same_run(one, other):
    assert lines(one) == lines(other)
    assert scores(one) == scores(other)
    first, second = newest(one)["agent"], newest(other)["agent"]
    assert all(torch.equal(first[key], second[key]) for key in first)


class FakeAgent(nn.Module):
    """Acts on its noisy running sum of everything it saw; updates push its weights by a noisy gradient."""

    def __init__(self, obs_space, act_space, config):
        super().__init__()
        self.read_keys = set(obs_space)
        self.keys = [key for key, box in obs_space.items() if len(box.shape) == 1]
        self.discrete = isinstance(act_space, spaces.Discrete)
        self.width = int(act_space.n) if self.discrete else act_space.shape[0]
        self.device = torch.device("cpu")
        self.weight = nn.Parameter(torch.randn(self.width))
        self.register_buffer("momentum", torch.zeros(self.width))
        self.calls = []

    def initial(self, n):
        return {"deter": torch.zeros(n, 3), "action": torch.zeros(n, self.width)}

    def act(self, record, state, mode="train", step=0):
        seen = sum(torch.as_tensor(record[key]).sum(-1, keepdim=True) for key in self.keys)
        fresh = torch.as_tensor(~record["is_first"], dtype=torch.float32)[:, None]
        deter = (state["deter"] * 0.5 * fresh) + seen + state["action"].sum(-1, keepdim=True)
        score = self.weight.detach() * deter[:, :1].cos() + torch.rand(len(deter), self.width)
        env_action, action = self._decode(score)
        return env_action, {"action": action.numpy(), "deter": deter.numpy()}, {"deter": deter, "action": action}

    def random(self, n):
        env_action, action = self._decode(torch.rand(n, self.width))
        return env_action, {"action": action.numpy(), "deter": np.zeros((n, 3), np.float32)}

    def _decode(self, score):
        if self.discrete:
            return score.argmax(-1).numpy(), nn.functional.one_hot(score.argmax(-1), self.width).float()
        return score.clamp(-1, 1).numpy(), score.clamp(-1, 1)

    def latent_spec(self):
        return {"deter": ((3,), np.float32), "stoch": ((1,), np.float32)}

    def update(self, batch, step=0):
        self.calls.append(step)
        data = sum(float(np.sum(value * np.arange(1, value.shape[1] + 1).reshape(1, -1, *[1] * (value.ndim - 2))))
                   for key, value in batch.items() if value.ndim > 1 and key != "index")  # fmt: skip
        gradient = torch.randn(self.width) + np.cos(data)
        self.momentum.mul_(0.9).add_(gradient)
        with torch.no_grad():
            self.weight.sub_(0.1 * self.momentum)
        metrics = {"loss/data": torch.tensor(data), "loss/weight": self.weight.detach().sum()}
        latents = {"deter": batch["deter"] + self.weight.detach()[0].item()}
        return metrics, latents

    def report(self, batch, context):
        truth = batch[self.keys[0]].astype(np.float32)
        return {self.keys[0]: (truth, truth + torch.rand(truth.shape).numpy())}

    def parameter_table(self):
        return {"weight": self.width}


class FakeFactory(Factory):
    """Real environments, replay and schedule around a fake agent."""

    def __init__(self, agent=FakeAgent):
        self.make_agent = agent
        self.made = []

    def agent(self, obs_space, act_space, config):
        self.made.append(self.make_agent(obs_space, act_space, config))
        return self.made[-1]


class SlowAgent(FakeAgent):
    """Takes a hundredth of a second for an update, so that a signal meets it at work."""

    def update(self, batch, step=0):
        time.sleep(0.01)
        return super().update(batch, step)


class Slow(gymnasium.Env):
    """Do nothing, and block indefinitely in `close`."""

    observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}

    def close(self):
        time.sleep(1000)


class SlowToMake(Slow):
    """Is never made."""

    def __init__(self):
        time.sleep(1000)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        train(json.load(file), FakeFactory(SlowAgent))
