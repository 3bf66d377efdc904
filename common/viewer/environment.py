"""The environment of a session: in this process, with a copy for each way in which runs observe it."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.envs import Envs
from common.errors import UserError
from common.storage import video
from common.training.collector import without_log
from common.training.factory import Factory
from common.viewer.actions import Action, Actions
from common.viewer.shared_actions import share_actions

#: Keys of `env` that change what is observed, or the numbers of the actions, and nothing else.
VIEW_KEYS = ("size", "gray", "resize", "obs", "camera", "render", "actions")
FLAGS = ("reward", "is_first", "is_last", "is_terminal")
Record = dict[str, np.ndarray]  # (1, ...) observations and flags by key


class Environment:
    """One environment with episodes and rules as in evaluation. It begins its first episode at once.

    config: of the run whose rules hold. viewers: configs of the runs that observe it. For each further set of
    `VIEW_KEYS` there is a copy with the same rules and seed, which takes the same actions, by their names.

    task: its name. copies: the first one is that of `config`. views: the copy of each viewer. images, vectors: key of
    an observation -> the first copy that has it. actions: those that all copies have. sets: how each copy has them.
    records: the first ones, one of each copy. Without images, `picture` returns what the environment draws.

    Raises:
        UserError: as `make_envs` does; or the copies are not in the same state.
    """

    def __init__(self, config: dict, viewers: Sequence[dict] = ()):
        self.task: str = config["task"]
        self.owners = distinct_views([config, *viewers])
        self.views = [list(map(view_of, self.owners)).index(view_of(viewer)) for viewer in viewers]
        self.copies: list[Envs] = []
        with contextlib.ExitStack() as stack:  # closes the first copies if a later one cannot be made
            stack.callback(self.close)
            for owner in self.owners:
                self.copies.append(make_copy(config, owner))
            self.time = 0
            self.records = self.begin()
            own = [Actions(copy.act_space, copy.action_names(0)) for copy in self.copies]
            self.actions, self.sets = share_actions(own, [owner["logdir"] for owner in self.owners])
            stack.pop_all()
        self.images: dict[str, int] = {}
        self.vectors: dict[str, int] = {}
        for place, copy in enumerate(self.copies):
            for key, box in copy.obs_space.items():
                is_image = len(box.shape) == 3 and box.dtype == np.uint8
                (self.images if is_image else self.vectors).setdefault(key, place)
        self.first = [copy.state() for copy in self.copies]

    def begin(self) -> list[Record]:
        """Start the next episode and return its first records."""
        return self._checked([copy.reset() for copy in self.copies])

    def rewind(self) -> list[Record]:
        """Start the first episode again and return its first records."""
        return self._checked([copy.restore(state) for copy, state in zip(self.copies, self.first, strict=True)])

    def step(self, action: Action) -> list[Record]:
        """Take a step and return the records; after the end of an episode, start the next."""
        pairs = zip(self.copies, self.sets, strict=True)
        return self._checked([copy.step(own.to_own(action).env) for copy, own in pairs])

    def _checked(self, records: list[dict[str, Any]]) -> list[Record]:
        """Return the records without numbers for logs. Raises UserError if the copies are in different states."""
        self.time = 0 if records[0]["is_first"][0] else self.time + 1
        for owner, record in zip(self.owners, records, strict=True):
            for flag in FLAGS:
                one, two = records[0][flag][0], record[flag][0]
                if one != two:
                    raise UserError(
                        f"{self.task} is not the same for {self.owners[0]['logdir']} and {owner['logdir']}: after "
                        f"{self.time} equal actions from the same seed, {flag} is {one} and {two}. Runs with different "
                        f"observations need a task that repeats. Show them separately: --logdir {owner['logdir']}."
                    )
        return list(map(without_log, records))

    def picture(self, records: Sequence[Record], key: str | None) -> np.ndarray | None:
        """Return an image of the records, or what the environment draws, uint8 (H, W, 3); None without either."""
        key = key or next(iter(self.images), None)
        return image_of(records[self.images[key]], key) if key else self.copies[0].render(0)

    def messages(self) -> list[str]:
        """Return and clear the first lines of messages about failures."""
        return [message.partition("\n")[0] for copy in self.copies for message in copy.messages()]

    def close(self) -> None:
        """Close all copies."""
        for copy in self.copies:
            copy.close()


def view_of(config: dict) -> dict[str, Any]:
    """Return the settings of what is observed and which actions there are."""
    return {key: config["env"][key] for key in VIEW_KEYS}


def distinct_views(configs: Sequence[dict]) -> list[dict]:
    """Return the first config of each set of `VIEW_KEYS`, in order."""
    found: list[dict] = []
    for config in configs:
        if view_of(config) not in map(view_of, found):
            found.append(config)
    return found


def make_copy(config: dict, owner: dict) -> Envs:
    """Make an environment with the rules and the seed of a config, observed as by the owner."""
    run = config["run"] | {"parallel": "none", "eval_envs": 1, "eval_episodes": 1}
    env = config["env"] | view_of(owner) | {"film": True}
    return Factory().envs(config | {"run": run, "env": env}, evaluate=True)  # type: ignore[return-value]


def image_of(record: Record, key: str | None) -> np.ndarray | None:
    """Return an image of a record as uint8 (H, W, 3); None if the record does not have it."""
    return video.to_rgb(record[key][0]).copy() if key in record else None
