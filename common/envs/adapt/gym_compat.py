"""Environments with the old gym's interface, or a similar one, as Gymnasium environments."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
from gymnasium import spaces

from common.envs.adapt.answers import one_flag
from common.errors import UserError

RESET_OPTIONS = ("seed", "options")  # arguments of Gymnasium's reset
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class GymCompat(gymnasium.Wrapper):
    """Converts return values of the old gym to Gymnasium's.

    A reset may return the observation alone, a step (observation, reward, done, info). With four values the end of an
    episode is terminal, unless `info["TimeLimit.truncated"]` is true. `returns_done`: whether a step had four values,
    here or below other wrappers.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.observation_space = to_gymnasium_space(env.observation_space)
        self.action_space = to_gymnasium_space(env.action_space)
        self.had_four_values = False

    @property
    def returns_done(self) -> bool:
        with contextlib.suppress(Exception):  # of a `__getattr__`
            return self.had_four_values or bool(self.env.get_wrapper_attr("returns_done"))
        return self.had_four_values

    @property
    def spec(self) -> Any:  # type: ignore[override]
        return self.env.spec  # Gymnasium would make this wrapper again

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, Any]:
        result = call_reset(self.env, {"seed": seed, "options": options})
        if isinstance(result, list) and len(result) == 2 and isinstance(result[1], Mapping):
            result = tuple(result)
        if not is_reset_pair(result, self.observation_space):
            return result, {}
        return result[0], check_info(result[1], "reset")

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        result: Any = self.env.step(action)
        if not isinstance(result, tuple | list) or len(result) not in (4, 5):
            found = f"{len(result)} values" if isinstance(result, tuple | list) else f"a {type(result).__name__}"
            raise ValueError(
                f"step returned {found}, not (observation, reward, terminated, truncated, info) "
                "or the old (observation, reward, done, info)."
            )
        check_info(result[-1], "step")
        if len(result) == 5:
            return tuple(result)  # type: ignore[return-value]
        self.had_four_values = True
        obs, reward, answer, info = result
        done = one_flag(answer, "done")
        truncated = done and one_flag(info.get("TimeLimit.truncated", False), "TimeLimit.truncated")
        return obs, reward, done and not truncated, truncated, info

    def render(self) -> Any:
        return call_render(self.env)


class DuckTypedEnv(gymnasium.Env):
    """An environment of another class with spaces, reset and step. `GymCompat` converts what it returns."""

    def __init__(self, env: Any):
        self.env = env
        self.observation_space = to_gymnasium_space(env.observation_space)
        self.action_space = to_gymnasium_space(env.action_space)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> Any:
        return call_reset(self.env, {"seed": seed, "options": options})

    def step(self, action: Any) -> Any:
        return self.env.step(action)

    def render(self) -> Any:
        return call_render(self.env)

    def close(self) -> None:
        if callable(find_attribute(self.env, "close")):
            self.env.close()


def is_reset_pair(result: Any, space: spaces.Space) -> bool:
    """Whether a reset returned (observation, info), not an observation alone, which may also be a pair."""
    if not isinstance(result, tuple) or len(result) != 2:
        return False
    parts, info = (space.spaces if isinstance(space, spaces.Tuple) else ()), result[1]
    if len(parts) == 2 and isinstance(parts[1], spaces.Dict):
        return isinstance(info, Mapping) and set(info) != set(parts[1])
    return isinstance(info, Mapping) or (info is None and not parts)


def check_info(info: Any, call: str) -> Mapping:
    """Return the info of a reset or step. Raises TypeError if it is not a dict."""
    if not isinstance(info, Mapping):
        raise TypeError(f"The info that {call} returned is {info!r}, not a dict. Return {{}} for no info.")
    return info


def call_render(env: Any) -> Any:
    """Return the result of `render`, in the mode rgb_array if it takes a mode; None without such a method."""
    if not callable(find_attribute(env, "render")):
        return None
    return env.render(mode="rgb_array") if "mode" in call_parameters(env.render) else env.render()


def call_reset(env: Any, options: dict) -> Any:
    """Return the result of `reset`, called with the options that it accepts.

    If it accepts no seed, the seed goes to the method `seed` or to Gymnasium's generator `np_random`.
    """
    names = reset_arguments(env)
    accepted = {key: options[key] for key in RESET_OPTIONS if key in names}
    if "seed" not in accepted and options["seed"] is not None:
        if accepts_seed(find_attribute(env, "seed")):
            env.seed(options["seed"])
        elif isinstance(env, gymnasium.Env):
            gymnasium.Env.reset(env, seed=options["seed"])  # seeds np_random
    required = [p.name for p in call_parameters(env.reset).values() if p.default is p.empty and p.kind in NAMED]
    if absent := [name for name in required if name not in accepted]:
        raise TypeError(f"reset needs the arguments {', '.join(absent)}. Give them default values.")
    return env.reset(**accepted)


def reset_arguments(env: Any) -> set[str]:
    """Return the names that `reset` accepts. A wrapper with **kwargs accepts what the environment inside accepts."""
    parameters = call_parameters(env.reset).values()
    names = {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        inside = find_attribute(env, "env")
        names |= reset_arguments(inside) if callable(find_attribute(inside, "reset")) else {*RESET_OPTIONS}
    return names


def call_parameters(call: Callable) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function or method by name; none if it has no signature, as some written in C."""
    try:
        return inspect.signature(call).parameters
    except (TypeError, ValueError):
        return {}


def find_attribute(env: Any, name: str) -> Any:
    """Return an attribute, or None if it is absent, also if a `__getattr__` raises another exception then."""
    if hasattr(type(env), name):
        return getattr(env, name, None)
    with contextlib.suppress(Exception):
        return getattr(env, name)
    return None


def accepts_seed(method: Any) -> bool:
    """Whether a method `seed` can be called with one argument. One without arguments has another purpose."""
    if not callable(method):
        return False
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # written in C
        return True
    try:
        signature.bind(0)
    except TypeError:
        return False
    return True


def to_gymnasium_space(space: Any) -> spaces.Space:
    """Convert a space of the old gym; return Gymnasium's spaces unchanged. Raises UserError for other objects."""
    kind = type(space).__name__
    if isinstance(space, spaces.Space):
        return space
    if kind == "Dict":
        return spaces.Dict({key: to_gymnasium_space(child) for key, child in space.spaces.items()})
    if kind == "Tuple":
        return spaces.Tuple([to_gymnasium_space(child) for child in space.spaces])
    if kind == "Box":
        return spaces.Box(space.low, space.high, dtype=space.dtype)
    if kind == "Discrete":
        return spaces.Discrete(int(space.n), start=int(getattr(space, "start", 0)))
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(space.nvec)
    if kind == "MultiBinary":
        return spaces.MultiBinary(space.n)
    raise UserError(f"{space!r}, a {kind}, is not a Gymnasium space. Use Box, Discrete, Dict or another one.")
