"""Atari in the C++ threads of ale-py: the records of `Envs` with `atari.py`, but faster.

ale-py's environment begins episodes by itself, from an unknown seed. So an environment whose episode is over is begun
again by a partial reset with the seed of its episode, and the time limit is counted here.
"""

import importlib.metadata
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding

from common.envs.adapt.wrappers import episode_seed
from common.envs.suites import atari
from common.envs.vector.episode_position import EpisodePosition, make_record
from common.envs.vector.vector_env import Envs

TESTED_RELEASE = "0.12.1"
FIRST_RELEASE = (0, 12)  # of ale-py with partial resets
#: Sides of images whose mean of bytes is never halfway between two bytes; elsewhere OpenCV's rounding would decide.
EXACT_IMAGE_SIDES = (32, 64, 96, 128)
NO_FRAME_LIMIT = 2**30  # frames, to switch off ale-py's own time limit


def unsupported_options(config: dict) -> dict[str, str]:
    """Return the config keys that ale-py's vectorized environment cannot play -> the values that it can play."""
    repeat, limit = config["repeat"], config["time_limit"]
    supported = {
        "obs": (config["obs"] == "image", "image"),
        "resize": (config["resize"] == "area", "area"),
        "size": (config["size"] in EXACT_IMAGE_SIDES, " or ".join(map(str, EXACT_IMAGE_SIDES))),
        "life_loss": (config["life_loss"] == "ignore", "ignore"),  # it does not report lives that do not end the game
        "time_limit": (limit % repeat == 0, f"a multiple of {repeat}"),
        "noops": (config["noops"] < 2**16, f"at most {2**16 - 1}"),
    }
    return {f"env.{key}": values for key, (able, values) in supported.items() if not able}


def refusal_message(name: str, config: dict, python: gymnasium.Env, seed: int) -> str | None:
    """Return why ale-py's vectorized environment would not play as `python` does, and what to type; None if it does."""
    if unsupported := unsupported_options(config):
        cannot = ", ".join(f"{key} {config[key.removeprefix('env.')]}" for key in unsupported)
        can = "; ".join(f"{key} is {values}" for key, values in unsupported.items())
        return f"run.parallel native cannot play {cannot}, only where {can}. Use --run.parallel auto."
    if not _plays_identically(name, config, python, seed):
        version = importlib.metadata.version("ale-py")
        return (
            f"With ale-py {version}, run.parallel native would not play as the hub's own Atari does. "
            f"Use --run.parallel auto, or pip install ale-py=={TESTED_RELEASE}"
        )
    return None


class AleVectorEnvs(Envs):
    """n copies of a game, stepped in parallel by ale-py, with the interface of `Envs`.

    A step runs in the threads of ale-py while the caller does something else, between `send` and `receive`. ale-py
    raises no errors and has no timeout: `env.timeout` and `env.max_failures` have no effect.
    """

    def __init__(self, name: str, config: dict, n: int, obs_space: Any, act_space: Any, *, seed: int):
        self.obs_space, self.act_space, self.raw = obs_space, act_space, None
        self.num, self.repeat, self.processes = n, config["repeat"], False
        self.config, self.seed = config, seed
        self._messages = []
        self.slots = [EpisodePosition(index, self._messages) for index in range(n)]
        self.env: Any = _make_vector(name, config, n)

    def reset(self) -> dict:
        self._begin(list(range(self.num)))
        return self._current()

    def send(self, actions: np.ndarray) -> None:
        """Start a step everywhere; `receive` returns its records."""
        actions = np.asarray(actions, np.int64)
        assert actions.shape == (self.num,), (actions.shape, self.num)
        assert ((actions >= 0) & (actions < self.act_space.n)).all(), actions  # ale-py would wait indefinitely
        for slot, action in zip(self.slots, actions, strict=True):
            assert not slot.pending, "receive first"
            assert slot.record, "reset first"
            slot.pending = True
            if not slot.record["is_last"]:
                slot.add_action(action)
        self.env.send(actions)

    def receive(self) -> dict:
        """Wait for the step that `send` started and return its records."""
        for slot in self.slots:
            assert slot.pending, "nothing was sent"
            slot.pending = False
        obs, rewards, lost, _, _ = self.env.recv()
        over = [slot.index for slot in self.slots if slot.record["is_last"]]
        for slot in self.slots:
            if not slot.record["is_last"]:
                slot.record = self._record(slot, obs[slot.index], rewards[slot.index], lost[slot.index])
        if over:
            self._begin(over)
        return self._current()

    def render(self, index: int) -> None:
        """Return None: ale-py renders only the observation."""

    def restore(self, state: list[dict]) -> dict:
        self._check_number(state)
        actions = [self._valid_actions(saved["actions"]) for saved in state]
        longest = max(map(len, actions))
        for slot, saved in zip(self.slots, state, strict=True):
            slot.episode = saved["episode"] - 1
        for left in range(longest, -1, -1):  # shorter episodes begin later, so that all end together
            if starting := [index for index, played in enumerate(actions) if len(played) == left]:
                self._begin(starting)
            if left:
                self._replay([played[-left] if len(played) >= left else None for played in actions])
        lost = [slot.index for slot, saved in zip(self.slots, state, strict=True) if not slot.matches(saved)]
        if lost:
            self._begin(lost)
        return self._current()

    def close(self) -> None:
        """End the games and their threads."""
        self.env = None

    def _current(self) -> dict:
        return self._stack([dict(slot.record) for slot in self.slots])

    def _begin(self, which: list[int]) -> None:
        """Start the next episode of some environments, in ascending order, without any effect on the others."""
        seeds = _emulator_seeds(self.config, self.seed, {index: self.slots[index].next_episode() for index in which})
        obs, _ = self.env.reset(seed=seeds, options={"reset_mask": np.isin(range(self.num), which)})
        for index in which:
            self.slots[index].record = make_record(_observation(obs[index]), 0, (True, False, False), {})

    def _valid_actions(self, saved: Any) -> np.ndarray:
        """Return saved actions, int64 (n,); empty if one is not an action of this game, for which ale-py would wait."""
        actions = np.array(saved or [], float)
        valid = actions.ndim == 1 and ((actions >= 0) & (actions < self.act_space.n)).all()
        return (actions if valid else np.zeros(0)).astype(np.int64)

    def _replay(self, actions: list) -> None:
        """Replay one step of the saved episodes; None for an episode that has not begun yet."""
        self.env.send(np.array([0 if action is None else action for action in actions], np.int64))
        obs, rewards, lost, _, _ = self.env.recv()
        for slot, action in zip(self.slots, actions, strict=True):
            if action is not None:
                slot.add_action(action)
                slot.record = self._record(slot, obs[slot.index], rewards[slot.index], lost[slot.index])

    def _record(self, slot: EpisodePosition, screen: np.ndarray, reward: float, lost: bool) -> dict:
        timeout = 0 < self.config["time_limit"] <= slot.steps * self.repeat
        terminal = lost or (timeout and self.config["timeout_terminal"])
        return make_record(_observation(screen), reward, (False, lost or timeout, terminal), {})


def _plays_identically(name: str, config: dict, python: gymnasium.Env, seed: int) -> bool:
    """Whether the installed ale-py starts and steps as `python` does, which is environment 0 of that seed."""
    if tuple(map(int, importlib.metadata.version("ale-py").split(".")[:2])) < FIRST_RELEASE:
        return False
    frames = python.get_wrapper_attr("ale").getEpisodeFrameNumber
    env = _make_vector(name, config, 1)
    theirs, info = env.reset(seed=_emulator_seeds(config, seed, {0: 0}), options={"reset_mask": np.ones(1, bool)})
    ours, same = python.reset(options={"episode": 0})[0], True
    for action in (1, 2, 0, 1, 2):  # every game has these
        same = same and frames() == info["episode_frame_number"][0]
        same = same and np.array_equal(_observation(theirs[0])["image"], ours["image"])
        theirs, reward, *_, info = env.step(np.array([action]))
        ours, expected, terminated, truncated, _ = python.step(action)
        same = same and reward[0] == expected
        if terminated or truncated:
            break
    return same


def _emulator_seeds(config: dict, seed: int, episodes: dict[int, int]) -> np.ndarray:
    """Return the emulators' seeds, int64 (n,), for {environment: number of the episode to begin}."""
    rngs = [seeding.np_random(episode_seed(seed, index, episode))[0] for index, episode in episodes.items()]
    return np.array([atari.draw_episode_start(rng, config)[0] for rng in rngs], np.int64)


def _make_vector(name: str, config: dict, n: int) -> Any:
    from ale_py.vector_env import AtariVectorEnv

    size = config["size"]
    options: dict[str, Any] = {
        "img_height": size,
        "img_width": size,
        "grayscale": config["gray"],
        "stack_num": 1,
        "frameskip": config["repeat"],
        "reward_clipping": False,
        "use_fire_reset": False,
        "max_num_frames_per_episode": NO_FRAME_LIMIT,
        "full_action_space": config["actions"] == "full",
        "repeat_action_probability": config["sticky"],
        "noop_max": config["noops"] + 1,
    }
    env = AtariVectorEnv(atari.ALIASES.get(name, name), n, **options)
    env.reset()  # a partial reset needs a full one before it
    return env


def _observation(screen: np.ndarray) -> dict[str, np.ndarray]:
    """Return (1, H, W) or (1, H, W, 3) as the observation of one environment."""
    return {"image": screen[0] if screen.ndim == 4 else screen[0][..., None]}
