"""Atari in the C++ threads of ale-py: `Native` plays what `Envs` plays with `atari.py`, record by record, but faster.

ale-py's environment begins episodes by itself, from no seed that is known. So an environment whose episode is over is
begun once more by a partial reset with the seed of its episode, and the time limit is counted here.
"""

import importlib.metadata

import gymnasium
import numpy as np
from gymnasium.utils import seeding

from common.envs.adapt.wrappers import episode_seed
from common.envs.suites import atari
from common.envs.vector.episode_position import EpisodePosition, make_record
from common.envs.vector.vector_env import Envs

TESTED_RELEASE = "0.12.1"
FIRST_RELEASE = (0, 12)  # release of ale-py whose environment can be reset in part
#: Sides of pictures whose mean of whole bytes never lies halfway between two: there OpenCV's rounding would decide.
EXACT_IMAGE_SIDES = (32, 64, 96, 128)
NO_FRAME_LIMIT = 2**30  # frames, for a time limit that it is not to keep


def unsupported_options(config: dict) -> dict[str, str]:
    """What of an environment's config ale-py's vectorised environment cannot do: flag -> values that it can."""
    repeat, limit = config["repeat"], config["time_limit"]
    can = {
        "resize": (config["resize"] == "area", "area"),
        "size": (config["size"] in EXACT_IMAGE_SIDES, " or ".join(map(str, EXACT_IMAGE_SIDES))),
        "life_loss": (config["life_loss"] == "ignore", "ignore"),  # a last life that ends no game is none to it
        "time_limit": (limit % repeat == 0, f"a multiple of {repeat}"),
        "noops": (config["noops"] < 2**16, f"at most {2**16 - 1}"),
    }
    return {f"env.{key}": values for key, (able, values) in can.items() if not able}


def refusal_message(name: str, config: dict, python: gymnasium.Env, seed: int) -> str | None:
    """Why, and what else to type, where ale-py's vectorised environment would not play as `python` does."""
    if wrong := unsupported_options(config):
        cannot = ", ".join(f"{key} {config[key.removeprefix('env.')]}" for key in wrong)
        can = "; ".join(f"{key} is {values}" for key, values in wrong.items())
        return f"run.parallel native cannot play {cannot}, only where {can}: --run.parallel auto takes what can."
    if not _agrees(name, config, python, seed):
        version = importlib.metadata.version("ale-py")
        return (
            f"run.parallel native would play otherwise than the hub's own Atari with ale-py {version}: "
            f"--run.parallel auto, or pip install ale-py=={TESTED_RELEASE}"
        )
    return None


class AleVectorEnvs(Envs):
    """n games of one kind, played side by side by ale-py; the interface is that of `Envs`.

    A step is made in the threads of ale-py while the caller does something else, between `send` and `receive`. ale-py
    raises nothing and cannot be waited for with a time limit: `env.timeout` and `env.max_failures` mean nothing here.
    """

    def __init__(self, name: str, config: dict, n: int, obs_space, act_space, *, seed):
        self.obs_space, self.act_space, self.raw = obs_space, act_space, None
        self.num, self.repeat, self.processes = n, config["repeat"], False
        self.config, self.seed = config, seed
        self._messages: list[str] = []
        self.slots = [EpisodePosition(index, self._messages) for index in range(n)]
        self.env = _make(name, config, n)

    def reset(self) -> dict:
        return self._stack(self._begin(range(self.num)))

    def send(self, actions: np.ndarray) -> None:
        """Begin a step everywhere; what it leads to is there for `receive`."""
        actions = np.asarray(actions, np.int64)
        assert actions.shape == (self.num,), (actions.shape, self.num)
        assert ((actions >= 0) & (actions < self.act_space.n)).all(), actions  # ale-py would wait for ever
        for place, action in zip(self.slots, actions, strict=True):
            assert not place.asked, "receive first"
            assert place.record, "reset first"
            place.asked = True
            if not place.record["is_last"]:
                place.note(action)
        self.env.send(actions)

    def receive(self) -> dict:
        """The records that the step begun by `send` leads to; waits for them."""
        obs, rewards, lost, _, _ = self._answer()
        over = [place.index for place in self.slots if place.record["is_last"]]
        for place in self.slots:
            if not place.record["is_last"]:
                place.record = self._record(place, obs[place.index], rewards[place.index], lost[place.index])
        if over:
            self._begin(over)
        return self._stack([dict(place.record) for place in self.slots])

    def picture(self, index: int) -> None:
        """None: there is no drawing but the observation."""

    def restore(self, state: list[dict]) -> dict:
        self._same_number(state)
        actions = [self._possible(saved["actions"]) for saved in state]
        longest = max(map(len, actions))
        for place, saved in zip(self.slots, state, strict=True):
            place.episode = saved["episode"] - 1
        for left in range(longest, -1, -1):  # each begins so late that all come to their ends together
            if starting := [index for index, played in enumerate(actions) if len(played) == left]:
                self._begin(starting)
            if left:
                self._replay([played[-left] if len(played) >= left else None for played in actions])
        lost = [place.index for place, saved in zip(self.slots, state, strict=True) if not place.back(saved)]
        if lost:
            self._begin(lost)
        return self._stack([dict(place.record) for place in self.slots])

    def close(self) -> None:
        """End the games and their threads."""
        self.env = None

    def _begin(self, which):
        """The next episode of some environments, in ascending order; the others stay where they are."""
        seeds = _seeds(self.config, self.seed, {index: self.slots[index].turn() for index in which})
        obs, _ = self.env.reset(seed=seeds, options={"reset_mask": np.isin(range(self.num), which)})
        for index in which:
            self.slots[index].record = make_record(_observation(obs[index]), 0, (True, False, False), {})
        return [dict(self.slots[index].record) for index in which]

    def _answer(self):
        for place in self.slots:
            assert place.asked, "nothing was sent"
            place.asked = False
        return self.env.recv()

    def _possible(self, saved):
        """Saved actions, int64 (n,); none where there are others than this game has, for which ale-py would wait."""
        actions = np.array(saved or [], float)
        fine = actions.ndim == 1 and ((actions >= 0) & (actions < self.act_space.n)).all()
        return actions.astype(np.int64) if fine else []

    def _replay(self, actions):
        """One step of saved episodes; None where an episode has not begun yet."""
        self.env.send(np.array([0 if action is None else action for action in actions], np.int64))
        obs, rewards, lost, _, _ = self.env.recv()
        for place, action in zip(self.slots, actions, strict=True):
            if action is not None:
                place.note(action)
                place.record = self._record(place, obs[place.index], rewards[place.index], lost[place.index])

    def _record(self, place, screen, reward, lost):
        late = 0 < self.config["time_limit"] <= place.steps * self.repeat
        terminal = lost or (late and self.config["timeout_terminal"])
        return make_record(_observation(screen), reward, (False, lost or late, terminal), {})


def _agrees(name, config, python, seed):
    """Whether the installed ale-py begins and goes on as `python` does, which is the environment 0 of that seed."""
    if tuple(map(int, importlib.metadata.version("ale-py").split(".")[:2])) < FIRST_RELEASE:
        return False
    frames = python.get_wrapper_attr("ale").getEpisodeFrameNumber
    env = _make(name, config, 1)
    theirs, info = env.reset(seed=_seeds(config, seed, {0: 0}), options={"reset_mask": np.ones(1, bool)})
    ours, same = python.reset(options={"episode": 0})[0], True
    for action in (1, 2, 0, 1, 2):  # which every game has
        same = same and frames() == info["episode_frame_number"][0]
        same = same and np.array_equal(_observation(theirs[0])["image"], ours["image"])
        theirs, reward, *_, info = env.step(np.array([action]))
        ours, wanted, over, late, _ = python.step(action)
        same = same and reward[0] == wanted
        if over or late:
            break
    return same


def _seeds(config, seed, episodes):
    """What to give ale-py for {environment: number of the episode that it is to begin}."""
    pairs = [seeding.np_random(episode_seed(seed, index, episode)) for index, episode in episodes.items()]
    return np.array([atari.draw_episode_start(generator, config)[0] for generator, _ in pairs], np.int64)


def _make(name, config, n):
    from ale_py.vector_env import AtariVectorEnv

    size, gray, full = config["size"], config["gray"], config["actions"] == "full"
    pictures = {"img_height": size, "img_width": size, "grayscale": gray, "stack_num": 1, "frameskip": config["repeat"]}
    off = {"reward_clipping": False, "use_fire_reset": False, "max_num_frames_per_episode": NO_FRAME_LIMIT}
    play = {"full_action_space": full, "repeat_action_probability": config["sticky"], "noop_max": config["noops"] + 1}
    env = AtariVectorEnv(atari.ALIASES.get(name, name), n, **pictures, **off, **play)
    env.reset()  # in full, without which it cannot be reset in part
    return env


def _observation(screen):
    """(1, H, W) or (1, H, W, 3) as the observation of one environment."""
    return {"image": screen[0] if screen.ndim == 4 else screen[0][..., None]}
