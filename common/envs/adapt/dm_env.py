"""dm_env's interface as Gymnasium's: dm_control, bsuite, or your own."""

from collections.abc import Mapping

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt.gym_compat import call_render
from common.errors import UserError


class DmEnv(gymnasium.Env):
    """One frame per step. A reset with a seed reseeds the environment, where it has a generator or a method for that.

    The end of an episode is terminal if its discount is 0, else truncated.
    """

    def __init__(self, env):
        self.env = env
        self.action_space = spec_to_space(env.action_spec(), "the action")
        self.observation_space = spec_to_space(env.observation_spec(), "the observation")

    def reset(self, *, seed=None, options=None):
        if seed is not None and (reseed := find_seed_method(self.env)):
            reseed(seed)
        return self.env.reset().observation, {}

    def step(self, action):
        step = self.env.step(action)
        terminated = step.last() and step.discount == 0
        return step.observation, step.reward, terminated, step.last() and not terminated, {}

    def render(self):
        return self.env.physics.render(240, 320, camera_id=0) if hasattr(self.env, "physics") else call_render(self.env)

    def close(self):
        if hasattr(self.env, "close"):
            self.env.close()


def find_seed_method(env):
    """The function that seeds an environment, or None: its task's generator, its own, or a method `seed`."""
    generators = [getattr(getattr(env, "task", None), "random", None), getattr(env, "random_state", None)]
    return next(filter(callable, (getattr(holder, "seed", None) for holder in [*generators, env])), None)


def spec_to_space(spec, name: str) -> spaces.Space:
    """dm_env's specs, however nested -> space; arrays without bounds are unbounded, strings are Text.

    Raises UserError for other things that are no numbers.
    """
    if isinstance(spec, Mapping):
        return spaces.Dict({str(key): spec_to_space(child, f"{name} {key!r}") for key, child in spec.items()})
    if isinstance(spec, list | tuple):
        return spaces.Tuple([spec_to_space(child, f"{name} {place}") for place, child in enumerate(spec)])
    if hasattr(spec, "num_values"):
        return spaces.Discrete(int(spec.num_values))
    dtype = np.dtype(spec.dtype)
    if hasattr(spec, "string_type") or dtype.kind in "SU":
        return spaces.Text(1)  # no encoder reads it, whatever its length
    if dtype.kind not in "biuf":
        raise UserError(f"{name} of the environment is {spec!r}, which is not made of numbers.")
    limits = (0, 255) if dtype == np.uint8 else (-np.inf, np.inf)
    low, high = (getattr(spec, side, end) for side, end in zip(("minimum", "maximum"), limits, strict=True))
    whole = dtype.kind != "f" and np.isfinite(low).all() and np.isfinite(high).all()
    kept = dtype if whole or dtype.kind == "f" else np.dtype(np.float64)
    low, high = (np.broadcast_to(np.asarray(bound, kept), spec.shape) for bound in (low, high))
    return spaces.Box(low, high, dtype=kept.type)
