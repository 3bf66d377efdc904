"""The environment of a session: one copy in this process, with pictures and names of actions."""

import numpy as np

from common.envs import Envs
from common.storage import video
from common.training.collector import without_log
from common.training.factory import Factory


class Environment:
    """One environment of a config, with episodes and rules as in evaluation. It begins its first episode at once.

    task: its name. images, vectors: keys of its observations. names: those of its actions, if it has any. record: the
    first record (1, ...). Without images, `picture` returns what the environment draws.
    """

    def __init__(self, config: dict):
        run = config["run"] | {"parallel": "none", "eval_envs": 1, "eval_episodes": 1}
        env = config["env"] | {"film": True}
        self.envs: Envs = Factory().envs(config | {"run": run, "env": env}, evaluate=True)  # type: ignore[assignment]
        self.task: str = config["task"]
        boxes = dict(self.envs.obs_space.items())
        self.images = [key for key, box in boxes.items() if len(box.shape) == 3 and box.dtype == np.uint8]
        self.vectors = [key for key in boxes if key not in self.images]
        self.record = self.begin()
        self.first = self.envs.state()
        self.names = self.envs.action_names(0)

    def begin(self) -> dict[str, np.ndarray]:
        """Start the next episode and return its first record (1, ...)."""
        return without_log(self.envs.reset())

    def rewind(self) -> dict[str, np.ndarray]:
        """Start the first episode again and return its first record (1, ...)."""
        return without_log(self.envs.restore(self.first))

    def step(self, action: np.ndarray) -> dict[str, np.ndarray]:
        """Take a step with an action (1, ...) and return the record; after the end of an episode, start the next."""
        return without_log(self.envs.step(action))

    def picture(self, record: dict[str, np.ndarray], key: str | None) -> np.ndarray | None:
        """Return an image of a record, or what the environment draws, uint8 (H, W, 3); None without either."""
        key = key or (self.images[0] if self.images else None)
        return video.to_rgb(record[key][0]).copy() if key else self.envs.render(0)

    def messages(self) -> list[str]:
        """Return and clear the first lines of messages about failures."""
        return [message.partition("\n")[0] for message in self.envs.messages()]

    def close(self) -> None:
        """Close the environment."""
        self.envs.close()
