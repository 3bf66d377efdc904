"""Environments that answer as the old gym did, or look like it, as Gymnasium's."""

import inspect
from collections.abc import Mapping

import gymnasium
from gymnasium import spaces

from common.errors import UserError

RESET_OPTIONS = ("seed", "options")  # of Gymnasium's reset


class GymCompat(gymnasium.Wrapper):
    """Makes pairs and fives of whatever reset and step return.

    A reset may return the observation alone, a step four values (observation, reward, done, info). Then the end of an
    episode is terminal unless `info["TimeLimit.truncated"]` says that time was up; `old` says that it happened.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.observation_space, self.action_space = (
            to_gymnasium_space(env.observation_space),
            to_gymnasium_space(env.action_space),
        )
        self.old = False

    def reset(self, *, seed=None, options=None):
        answer = call_reset(self.env, {"seed": seed, "options": options})
        if not is_reset_pair(answer, self.observation_space):
            return answer, {}
        return answer[0], check_info(answer[1], "reset")

    def step(self, action):
        answer = self.env.step(action)
        if not isinstance(answer, tuple) or len(answer) not in (4, 5):
            raise ValueError(
                f"step returned {_count(answer)}, not (observation, reward, terminated, truncated, info) "
                "or the old (observation, reward, done, info)."
            )
        check_info(answer[-1], "step")
        if len(answer) == 5:
            return answer
        self.old = True
        obs, reward, done, info = answer
        truncated = bool(done and info.get("TimeLimit.truncated", False))
        return obs, reward, bool(done) and not truncated, truncated, info

    def render(self):
        return call_render(self.env)


class DuckTypedEnv(gymnasium.Env):
    """An environment of another class with spaces, reset and step. Its answers are for `Answers`."""

    def __init__(self, env):
        self.env = env
        self.observation_space, self.action_space = (
            to_gymnasium_space(env.observation_space),
            to_gymnasium_space(env.action_space),
        )

    def reset(self, *, seed=None, options=None):
        return call_reset(self.env, {"seed": seed, "options": options})

    def step(self, action):
        return self.env.step(action)

    def render(self):
        return call_render(self.env)

    def close(self):
        if hasattr(self.env, "close"):
            self.env.close()


def is_reset_pair(answer, space: spaces.Space) -> bool:
    """Whether a reset returned (observation, info), not an observation alone, which may be a pair too."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        return False
    parts, info = (space.spaces if isinstance(space, spaces.Tuple) else ()), answer[1]
    if len(parts) == 2 and isinstance(parts[1], spaces.Dict):
        return isinstance(info, Mapping) and set(info) != set(parts[1])
    return isinstance(info, Mapping) or (info is None and not parts)


def check_info(info, call: str) -> Mapping:
    """The info of a reset or step. Raises TypeError if it is none."""
    if not isinstance(info, Mapping):
        raise TypeError(f"The info that {call} returned is {info!r}, not a dict: return {{}} where there is none.")
    return info


def call_render(env):
    """What an environment's `render` returns, asked for numbers where it takes a mode; None where it has none."""
    if not callable(getattr(env, "render", None)):
        return None
    return env.render(mode="rgb_array") if "mode" in inspect.signature(env.render).parameters else env.render()


def call_reset(env, options: dict):
    """What an environment's reset returns. It gets the options that it takes; a seed it gets one way or another."""
    parameters = inspect.signature(env.reset).parameters.values()
    everything = any(p.kind is p.VAR_KEYWORD for p in parameters)
    taken = {key: options[key] for key in RESET_OPTIONS if everything or key in {p.name for p in parameters}}
    if "seed" not in taken and options["seed"] is not None:
        if callable(getattr(env, "seed", None)):
            env.seed(options["seed"])
        elif isinstance(env, gymnasium.Env):
            gymnasium.Env.reset(env, seed=options["seed"])  # seeds np_random
    return env.reset(**taken)


def to_gymnasium_space(space) -> spaces.Space:
    """A space of the old gym as Gymnasium's; Gymnasium's own as it is. Raises UserError for anything else."""
    kind = type(space).__name__
    if isinstance(space, spaces.Space):
        return space
    if kind == "Dict":
        return spaces.Dict({key: to_gymnasium_space(child) for key, child in space.spaces.items()})
    if kind == "Tuple":
        return spaces.Tuple([to_gymnasium_space(child) for child in space.spaces])
    if kind not in ("Box", "Discrete", "MultiDiscrete", "MultiBinary"):
        raise UserError(f"{space!r} is no space of Gymnasium: a {kind}. Use Box, Discrete, Dict and so on.")
    if kind == "Box":
        return spaces.Box(space.low, space.high, dtype=space.dtype)
    if kind == "Discrete":
        return spaces.Discrete(int(space.n), start=int(getattr(space, "start", 0)))
    return spaces.MultiDiscrete(space.nvec) if kind == "MultiDiscrete" else spaces.MultiBinary(space.n)


def _count(answer):
    return f"{len(answer)} values" if isinstance(answer, tuple) else f"a {type(answer).__name__}"
