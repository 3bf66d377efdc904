"""MiniGrid and BabyAI: minigrid_<id>, such as minigrid_DoorKey-5x5-v0 or minigrid_BabyAI-GoToObj-v0.

`obs: image` is what the agent sees, drawn; `vector` the same grid as one-hot symbols, with the direction; `both`. The
text of the mission is left out, so a task whose goal is named there only cannot be solved by more than luck.
"""

import difflib
from typing import Any

import gymnasium
import minigrid
import numpy as np
from gymnasium import spaces
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from common.envs.suites.gym import adapt_env
from common.errors import UserError

TILE_PIXELS = 8  # pixels of a cell
STATES = 4  # open, closed, locked; or the four directions of an agent
OBSERVATION_KEYS = {"image": ("image",), "vector": ("grid", "direction"), "both": ("image", "grid", "direction")}


def make(name: str, config: dict) -> gymnasium.Env:
    """The registered environment with normalised spaces.

    Raises:
        UserError: unknown id.
    """
    if not _known():
        minigrid.register_minigrid_envs()
    full = name if name.startswith("BabyAI-") else f"MiniGrid-{name.removeprefix('MiniGrid-')}"
    if full not in _known():
        short = [known.removeprefix("MiniGrid-") for known in _known()]
        near = difflib.get_close_matches(name, short, n=3, cutoff=0.3) or short[:3]
        raise UserError(f"MiniGrid has no {full!r}. Nearest: {', '.join(f'minigrid_{close}' for close in near)}.")
    return adapt_env(AgentView(gymnasium.make(full, disable_env_checker=True), config["obs"]), config)


class AgentView(gymnasium.ObservationWrapper):
    """The agent's view of 7 x 7 cells: image uint8 (56, 56, 3), grid 49 x (object, colour, state), direction."""

    def __init__(self, env: gymnasium.Env, obs: str):
        super().__init__(env)
        own: Any = env.observation_space
        rows, columns, _ = own["image"].shape
        symbols = np.array([len(OBJECT_TO_IDX), len(COLOR_TO_IDX), STATES])
        views = {
            "image": spaces.Box(0, 255, (rows * TILE_PIXELS, columns * TILE_PIXELS, 3), np.uint8),
            "grid": spaces.MultiDiscrete(np.tile(symbols, (rows, columns, 1))),
            "direction": own["direction"],
        }
        self.keys = OBSERVATION_KEYS[obs]
        self.observation_space = spaces.Dict({key: views[key] for key in self.keys})

    def observation(self, observation):
        symbols = {"grid": observation["image"], "direction": observation["direction"]}
        return {key: self.draw() if key == "image" else symbols[key] for key in self.keys}

    def draw(self) -> np.ndarray:
        """uint8 (56, 56, 3)."""
        world: Any = self.env.unwrapped
        return world.get_frame(highlight=False, tile_size=TILE_PIXELS, agent_pov=True)


def _known():
    return [name for name in gymnasium.registry if name.startswith(("MiniGrid-", "BabyAI-"))]
