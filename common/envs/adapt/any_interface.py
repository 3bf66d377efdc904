"""One environment of any supported interface as Gymnasium's."""

from typing import Any

import gymnasium

from common.envs.adapt.dm_env import DmEnv
from common.envs.adapt.gym_compat import DuckTypedEnv, GymCompat, find_attribute
from common.errors import UserError

GYMNASIUM_PARTS = ("observation_space", "action_space", "reset", "step")


def as_gymnasium(env: Any, name: str) -> gymnasium.Env:
    """Return an environment of any interface as Gymnasium's. Raises UserError with the parts that it lacks."""
    absent = [part for part in GYMNASIUM_PARTS if find_attribute(env, part) is None]
    if has_specs(env if absent else type(env)) and not isinstance(env, gymnasium.Env):
        return DmEnv(env)
    problem = f"has no {' and no '.join(absent)}" if absent else ""
    if isinstance(env, gymnasium.vector.VectorEnv):
        problem = "is a vector of environments"
    elif not absent and callable(env.observation_space):  # PettingZoo's
        problem = "has several agents"
    if problem:
        raise UserError(
            f"{name} made a {type(env).__name__}, which {problem}. It must be one environment with Gymnasium's "
            "interface, the old gym's or dm_env's: docs/custom_env.md has an example."
        )
    return GymCompat(convert_inside(env) if isinstance(env, gymnasium.Env) else DuckTypedEnv(env))


def has_specs(env: Any) -> bool:
    """Whether an object has the specs of dm_env.

    A wrapper of another interface may give those of a dm_env environment inside it, through `__getattr__`.
    """
    return all(callable(find_attribute(env, name)) for name in ("action_spec", "observation_spec"))


def convert_inside(env: gymnasium.Env) -> gymnasium.Env:
    """Insert GymCompat below wrappers of Gymnasium itself, which accept no interface but the current one."""
    outer = env
    while isinstance(outer, gymnasium.Wrapper):
        inner = outer.env
        if _calls_are_gymnasium_s(outer) and not _calls_are_gymnasium_s(inner):
            outer.env = GymCompat(inner)
        outer = inner
    return env


def _calls_are_gymnasium_s(env: gymnasium.Env) -> bool:
    """Whether both reset and step are those of a wrapper in Gymnasium, such as TimeLimit or ObservationWrapper."""
    calls = (type(env).reset, type(env).step)
    return isinstance(env, gymnasium.Wrapper) and all(call.__module__.startswith("gymnasium.") for call in calls)
