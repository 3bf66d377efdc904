"""Environments whose constructor, render or close raises, or that parse the command line; and old ones with an id."""

import argparse
import sys

import gymnasium
import numpy as np


class Quiet(gymnasium.Env):
    """Three numbers, two actions, episodes of 5 steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.full(3, self.t / 9, np.float32), 1.0, False, self.t >= 5, {}


class CloseRaises(Quiet):
    server = None

    def close(self):
        self.server.shutdown()


class CloseExits(Quiet):
    def close(self):
        sys.exit(3)


class CloseAsserts(Quiet):
    def close(self):
        assert self.server_is_up()

    def server_is_up(self):
        return False


class Wordless(Quiet):
    def __init__(self):
        version = (3, 17)
        assert version < (3, 0)


class SpacesRaise(Quiet):
    @property
    def observation_space(self):
        raise RuntimeError("no server")


class Parses(Quiet):
    """Parses an option of its own at the construction and in every call."""

    def __init__(self):
        self.parse()

    def parse(self):
        parser = argparse.ArgumentParser()
        parser.add_argument("--speed", type=float, default=1)
        assert parser.parse_args().speed == 1

    def reset(self, *, seed=None, options=None):
        self.parse()
        return super().reset(seed=seed)

    def step(self, action):
        self.parse()
        return super().step(action)


class NeedsArgument(Quiet):
    def __init__(self):
        parser = argparse.ArgumentParser()
        parser.add_argument("--robot", required=True)
        parser.parse_args()


class CannotDraw(Quiet):
    """Its constructor fails when it is asked to draw."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (Gymnasium's form)

    def __init__(self, render_mode=None):
        assert render_mode is None


class Old(Quiet):
    """A step of four values, a reset of one."""

    def reset(self, seed=None, options=None):
        return super().reset(seed=seed)[0]

    def step(self, action):
        obs, reward, _, done, info = super().step(action)
        return obs, reward, done, info


class Seedless(Quiet):
    """A reset without options, an endless episode."""

    def reset(self, seed=None):
        return super().reset(seed=seed)

    def step(self, action):
        return np.zeros(3, np.float32), 1.0, False, False, {}


class PassesOn(gymnasium.Wrapper):
    """A wrapper that passes all arguments of reset on."""

    def reset(self, **options):
        return self.env.reset(**options)


class Bare:
    """The old interface, without a base class."""

    observation_space, action_space = Quiet.observation_space, Quiet.action_space

    def reset(self):
        return np.zeros(3, np.float32)

    def step(self, action):
        return np.zeros(3, np.float32), 1.0, False, {}


class Shifted(gymnasium.ObservationWrapper):
    def observation(self, obs):
        return obs + 0.5


def limited_old():
    """Gymnasium's wrapper around an old interface."""
    return gymnasium.wrappers.TimeLimit(Shifted(Old()), 3)


def limited_seedless():
    return gymnasium.wrappers.TimeLimit(PassesOn(Seedless()), 3)


for kind in (Old, Seedless, Bare):
    gymnasium.register(f"Kept{kind.__name__}-v0", entry_point=f"{__name__}:{kind.__name__}", max_episode_steps=4)
gymnasium.register("KeptCannotDraw-v0", entry_point=f"{__name__}:CannotDraw")
gymnasium.register("KeptQuiet-v1", entry_point=f"{__name__}:Quiet")
gymnasium.register("KeptWordless-v0", entry_point=f"{__name__}:Wordless")
