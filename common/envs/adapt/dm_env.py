"""Environments with dm_env's interface, such as dm_control and bsuite, as Gymnasium environments."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt.answers import one_number
from common.envs.adapt.gym_compat import call_render
from common.errors import UserError


class DmEnv(gymnasium.Env):
    """A dm_env environment, one frame per step.

    A reset with a seed seeds the environment if it has a generator or a method for that. The end of an episode is
    terminal if its discount is 0, else truncated.
    """

    def __init__(self, env: Any):
        self.env = env
        self.action_form = env.action_spec()
        self.action_space = spec_to_space(self.action_form, "the action")
        self.observation_space = spec_to_space(env.observation_spec(), "the observation")

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        if seed is not None and (set_seed := find_seed_method(self.env)):
            set_seed(seed)
        return self.env.reset().observation, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        step = self.env.step(typed_action(self.action_form, action))
        terminated = step.last() and step.discount is not None and one_number(step.discount, "discount") == 0
        return step.observation, step.reward, terminated, step.last() and not terminated, {}

    def render(self) -> Any:
        return self.env.physics.render(240, 320, camera_id=0) if hasattr(self.env, "physics") else call_render(self.env)

    def close(self) -> None:
        if hasattr(self.env, "close"):
            self.env.close()


def find_seed_method(env: Any) -> Callable[[int], object] | None:
    """Return the method `seed` of the task's generator, the environment's generator or the environment, or None."""
    generators = [getattr(getattr(env, "task", None), "random", None), getattr(env, "random_state", None)]
    return next(filter(callable, (getattr(holder, "seed", None) for holder in [*generators, env])), None)


def typed_action(spec: Any, action: Any) -> Any:
    """Return an action whose discrete numbers have the dtype of their spec, which dm_env's `validate` requires."""
    if isinstance(spec, Mapping):
        return {key: typed_action(child, action[str(key)]) for key, child in spec.items()}
    if isinstance(spec, list | tuple):
        return tuple(typed_action(child, part) for child, part in zip(spec, action, strict=True))
    return np.dtype(spec.dtype).type(action) if hasattr(spec, "num_values") else action


def spec_to_space(spec: Any, name: str) -> spaces.Space:
    """Convert a nested dm_env spec to a space. Arrays without bounds are unbounded, strings become Text.

    name: name of the spec in error messages.

    Raises:
        UserError: a spec that does not hold numbers or strings.
    """
    if isinstance(spec, Mapping):
        return spaces.Dict({str(key): spec_to_space(child, f"{name} {key!r}") for key, child in spec.items()})
    if isinstance(spec, list | tuple):
        return spaces.Tuple([spec_to_space(child, f"{name} {index}") for index, child in enumerate(spec)])
    if hasattr(spec, "num_values"):
        return spaces.Discrete(int(spec.num_values))
    dtype = np.dtype(spec.dtype)
    if hasattr(spec, "string_type") or dtype.kind in "SU":
        return spaces.Text(1)  # no encoder reads it, so its length does not matter
    if dtype.kind not in "biuf":
        raise UserError(f"{name} of the environment is {spec!r}, which does not hold numbers.")
    limits = (0, 255) if dtype == np.uint8 else (-np.inf, np.inf)
    low, high = (getattr(spec, side, end) for side, end in zip(("minimum", "maximum"), limits, strict=True))
    bounded_integers = dtype.kind != "f" and np.isfinite(low).all() and np.isfinite(high).all()
    kept = dtype if bounded_integers or dtype.kind == "f" else np.dtype(np.float64)
    low, high = (np.broadcast_to(np.asarray(bound, kept), spec.shape) for bound in (low, high))
    return spaces.Box(low, high, dtype=kept.type)
