"""Action repeat: frames are counted, rewards summed, and each frame has its own action."""

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt.adapter import Adapter
from common.envs.adapt.wrappers import ActionRepeat


class ChangesAction(gymnasium.Env):
    """Returns the sum of the action as reward, then changes the action in place."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Dict(move=spaces.Box(-1, 1, (2,)), turn=spaces.Box(-1, 1, (1,)))

    def step(self, action):
        reward = action["move"].sum() + action.pop("turn").sum()
        action["move"] *= 0
        return 0, reward, False, False, {}


def test_every_frame_gets_an_unchanged_action():
    assert Adapter(ActionRepeat(ChangesAction(), repeat=3)).step(np.ones(3, np.float32))[1] == 9


class Counts(gymnasium.Env):
    def __init__(self):
        self.inner = self.time = 0

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return 0, {}

    def step(self, action):
        self.inner, self.time = self.inner + 1, self.time + 1
        return 0, 1.0, self.time == 10, False, {}


def test_action_repeat_counts_frames_over_episodes_and_stops_early():
    env = ActionRepeat(Counts(), repeat=4)
    for episode in range(1, 4):
        env.reset()
        rewards, over = [], False
        while not over:
            _, reward, over, truncated, _ = env.step(0)
            rewards.append(reward)
        assert rewards == [4, 4, 2]
        assert not truncated
        assert env.unwrapped.inner == 10 * episode


def test_time_limit_counts_frames_and_is_not_terminal():
    env = ActionRepeat(Counts(), repeat=4, limit=6)
    env.reset()
    assert env.step(0)[1:4] == (4, False, False)
    assert env.step(0)[1:4] == (2, False, True)
    env.reset()
    assert env.step(0)[1:4] == (4, False, False)
