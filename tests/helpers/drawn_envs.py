"""Environments that render, and environments whose arrays look like images; tests use them by name."""

import numpy as np
from gymnasium import spaces

from tests.helpers.awkward_envs import Desk, Old, Plain


class OldDrawn(Old):
    """Renders like the old gym: returns an array only in the mode rgb_array."""

    def render(self, mode="human"):
        return np.full((8, 9, 3), 7, np.uint8) if mode == "rgb_array" else None


class Camera:
    """Renders like dm_control's physics."""

    def render(self, height, width, camera_id):
        return np.full((height, width, 3), camera_id, np.uint8)


class DeskDrawn(Desk):
    physics = Camera()


class PlainDrawn(Plain):
    """Renders like Gymnasium: only if made with a render_mode."""

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def render(self):
        return np.zeros((8, 9, 3), np.uint8) if self.render_mode == "rgb_array" else None


class UnpreparedDrawn(Plain):
    """Gymnasium's class with the old gym's render."""

    def render(self, mode="human"):
        return np.zeros((8, 9, 3), np.uint8) if mode == "rgb_array" else None


class Shown(Plain):
    """Arrays that are or look like images, each with a note; many actions."""

    observation_space = spaces.Dict(
        dim=spaces.Box(0, 255, (32, 32, 3), np.uint8),
        few=spaces.Box(0, 5, (32, 32), np.uint8),
        deep=spaces.Box(0, 255, (20, 32, 32, 3), np.uint8),
        flat=spaces.Box(-np.inf, np.inf, (32, 40), np.float32),
        word=spaces.Discrete(5000),
    )
    action_space = spaces.Discrete(2000)

    def observe(self):
        draw = self.np_random
        return {
            "dim": draw.integers(0, 11, (32, 32, 3), np.uint8),
            "few": draw.integers(0, 6, (32, 32), np.uint8),
            "deep": draw.integers(0, 256, (20, 32, 32, 3), np.uint8),
            "flat": draw.random((32, 40), np.float32),
            "word": int(draw.integers(5000)),
        }


class ManyChannels(Plain):
    observation_space = spaces.Box(0, 255, (32, 32, 20), np.uint8)

    def observe(self):
        return self.np_random.integers(0, 256, (32, 32, 20), np.uint8)


class Reused(PlainDrawn):
    """Reuses one array for all frames, and a larger one in the second half of an episode."""

    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        self.small, self.large = np.zeros((8, 9, 3), np.uint8), np.zeros((10, 12, 3), np.uint8)

    def render(self):
        canvas = self.small if self.time < 4 else self.large
        canvas[:] = 30 * self.time
        return canvas


class FloatsDrawn(PlainDrawn):
    def render(self):
        return np.zeros((8, 9, 3))


class NeverDrawn(PlainDrawn):
    def render(self):
        raise RuntimeError("no display")


class PanicsDrawn(PlainDrawn):
    def render(self):
        raise Panic("no display")


class Panic(BaseException):
    """Not an Exception, like a panic of a Rust extension."""
