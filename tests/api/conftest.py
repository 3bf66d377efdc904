"""A small run that a Python program trains with objects of its own."""

import contextlib
import io

import gymnasium
import numpy as np
import pytest

import dreamer

SETTINGS = {
    "configs": "debug",
    "steps": 120,
    "run": {"prefill": 20, "log_every": 40, "save_every": 60, "eval_every": 60, "eval_episodes": 1, "video_every": 0},
    "replay": {"capacity": 2000},
    **{"run.threads": 1, "run.compile": "off", "run.device": "cpu"},
}


def line_environment():
    """Return a class that no other process can import."""

    class Line(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
        action_space = gymnasium.spaces.Box(0, 4, (1,), np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.time, self.place = 0, self.np_random.uniform(-1, 1, 1).astype(np.float32)
            return self.place, {}

        def step(self, action):
            assert 0 <= action[0] <= 4
            self.time, self.place = self.time + 1, np.clip(self.place + action - 2, -2, 2).astype(np.float32)
            return self.place, 1 - abs(float(self.place[0])), False, self.time >= 10, {}

    return Line


def half_kl():
    """Return a part that no other process can import."""

    class HalfKL:
        def __init__(self, *, scale: float = 0.5):
            self.scales = {"kl": scale}

        def __call__(self, latent, post, prior):
            return {"kl": latent.kl(post, prior)}

    return HalfKL


class Recorder:
    """A callback that keeps what it is called with."""

    def __init__(self):
        self.events = []
        self.printed = ""

    def on_log(self, metrics, counters):
        self.events.append(("log", metrics, counters))

    def on_eval(self, result, counters):
        self.events.append(("eval", result, counters))

    def on_checkpoint(self, path, counters):
        self.events.append(("checkpoint", path.name if path.is_file() else None, counters))


@pytest.fixture(scope="session")
def line_run(tmp_path_factory):
    """Return a run with an environment and a part that are objects, and its callback."""
    recorder = Recorder()
    logdir = tmp_path_factory.mktemp("api") / "line"
    objects = {"env": line_environment(), "parts": {"kl": half_kl()}}
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        run = dreamer.train("v3", callbacks=recorder, logdir=logdir, kl={"scale": 0.25}, **objects, **SETTINGS)
    recorder.printed = printed.getvalue()
    return run, recorder
