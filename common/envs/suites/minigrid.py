"""MiniGrid and BabyAI: minigrid_<id>, such as minigrid_DoorKey-5x5-v0 or minigrid_BabyAI-GoToObj-v0.

`obs: image` is a picture of the agent's view, `vector` the same grid as one-hot symbols and the direction, `both` all
of them. The text of the mission is omitted: a task whose goal is only named there can be solved by luck alone.
"""

from typing import Any

import gymnasium
import minigrid
import numpy as np
from gymnasium import spaces
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from common.envs.adapt.adapter import adapt_env
from common.envs.suites import unknown_task

TILE_PIXELS = 8  # side of a cell in the image
STATES = 4  # open, closed, locked; or the four directions of an agent
OBSERVATION_KEYS = {"image": ("image",), "vector": ("grid", "direction"), "both": ("image", "grid", "direction")}


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the registered environment with normalized spaces.

    Raises:
        UserError: unknown id.
    """
    if not _registered_ids():
        minigrid.register_minigrid_envs()
    full_id = name if name.startswith("BabyAI-") else f"MiniGrid-{name.removeprefix('MiniGrid-')}"
    if full_id not in _registered_ids():
        raise unknown_task("minigrid", name, [known.removeprefix("MiniGrid-") for known in _registered_ids()])
    return adapt_env(AgentView(gymnasium.make(full_id, disable_env_checker=True), config["obs"]), config)


class AgentView(gymnasium.ObservationWrapper):
    """The agent's view of 7 x 7 cells: image uint8 (56, 56, 3), grid 49 x (object, color, state), direction."""

    def __init__(self, env: gymnasium.Env, obs: str):
        super().__init__(env)
        inner: Any = env.observation_space
        rows, columns, _ = inner["image"].shape
        symbols = np.array([len(OBJECT_TO_IDX), len(COLOR_TO_IDX), STATES])
        views = {
            "image": spaces.Box(0, 255, (rows * TILE_PIXELS, columns * TILE_PIXELS, 3), np.uint8),
            "grid": spaces.MultiDiscrete(np.tile(symbols, (rows, columns, 1))),
            "direction": inner["direction"],
        }
        self.keys = OBSERVATION_KEYS[obs]
        self.observation_space = spaces.Dict({key: views[key] for key in self.keys})

    def observation(self, observation: dict) -> dict:
        symbols = {"grid": observation["image"], "direction": observation["direction"]}
        return {key: self.draw() if key == "image" else symbols[key] for key in self.keys}

    def draw(self) -> np.ndarray:
        """Return the image of the agent's view, uint8 (56, 56, 3)."""
        world: Any = self.env.unwrapped
        return world.get_frame(highlight=False, tile_size=TILE_PIXELS, agent_pov=True)


def _registered_ids() -> list[str]:
    return [name for name in gymnasium.registry if name.startswith(("MiniGrid-", "BabyAI-"))]
