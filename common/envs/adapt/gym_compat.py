"""Environments with the old gym's interface, or a similar one, as Gymnasium environments."""

import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium import spaces

from common.envs.adapt.answers import one_flag
from common.errors import UserError

RESET_OPTIONS = ("seed", "options")  # arguments of Gymnasium's reset


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
        inside = self.env.has_wrapper_attr("returns_done") and self.env.get_wrapper_attr("returns_done")
        return self.had_four_values or inside

    @property
    def spec(self) -> Any:  # type: ignore[override]
        return self.env.spec  # Gymnasium would make this wrapper again

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, Any]:
        result = call_reset(self.env, {"seed": seed, "options": options})
        if not is_reset_pair(result, self.observation_space):
            return result, {}
        return result[0], check_info(result[1], "reset")

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        result: Any = self.env.step(action)
        if not isinstance(result, tuple) or len(result) not in (4, 5):
            found = f"{len(result)} values" if isinstance(result, tuple) else f"a {type(result).__name__}"
            raise ValueError(
                f"step returned {found}, not (observation, reward, terminated, truncated, info) "
                "or the old (observation, reward, done, info)."
            )
        check_info(result[-1], "step")
        if len(result) == 5:
            return result
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
        if hasattr(self.env, "close"):
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
    if not callable(getattr(env, "render", None)):
        return None
    return env.render(mode="rgb_array") if "mode" in inspect.signature(env.render).parameters else env.render()


def call_reset(env: Any, options: dict) -> Any:
    """Return the result of `reset`, called with the options that it accepts.

    If it accepts no seed, the seed goes to the method `seed` or to Gymnasium's generator `np_random`.
    """
    names = reset_arguments(env)
    accepted = {key: options[key] for key in RESET_OPTIONS if key in names}
    if "seed" not in accepted and options["seed"] is not None:
        if callable(getattr(env, "seed", None)):
            env.seed(options["seed"])
        elif isinstance(env, gymnasium.Env):
            gymnasium.Env.reset(env, seed=options["seed"])  # seeds np_random
    return env.reset(**accepted)


def reset_arguments(env: Any) -> set[str]:
    """Return the names that `reset` accepts. A wrapper with **kwargs accepts what the environment inside accepts."""
    parameters = inspect.signature(env.reset).parameters.values()
    names = {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        inside = getattr(env, "env", None)
        names |= reset_arguments(inside) if callable(getattr(inside, "reset", None)) else {*RESET_OPTIONS}
    return names


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
