"""`DreamEnv(logdir)`: the world model of a run as a Gymnasium environment.

An episode begins in a state of the stored records and continues by the prior. It ends where the continue head predicts
an end, or after `horizon` steps.
"""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from common.config import config as configs
from common.config.versions import resolve
from common.envs.adapt.actions import action_encoder
from common.errors import UserError, check_choice
from common.nn import rng
from common.storage import spaces as stored_spaces
from common.storage import video
from common.storage.run_source import find_run
from common.training.camera import CONTEXT_STEPS
from common.viewer.actions import Actions
from common.viewer.dreaming import Dreamer, Prediction
from common.viewer.runs import load_runs
from common.viewer.start_states import StartStates

STARTS = ("replay", "zeros")
END_CHANCE = 0.5  # an episode ends where the chance to continue is lower


class DreamEnv(gymnasium.Env):
    """Steps in the world model of the newest checkpoint of a run. One step is one agent step.

    Observations are those that the world model predicts, in the units of the environment: images uint8 (H, W, C) of
    the size that the agent sees, all others float32; a Dict, or one Box if the environment has no Dict. Actions are the
    environment's. The reward is that of the reward head, which for V1 and V2 may have learned its tanh. `info` has
    `value`, the critic's estimate, and `continue`, the chance to continue (None if the world model does not learn it).

    horizon: steps after which an episode is truncated. start: `replay` for states that follow `context` stored records,
    `zeros` for the state of the model before any observation. temperature: factor of the noise of the prior; 0 takes
    its mode. device: as in `load`.

    Raises UserError if there is no run or checkpoint, if it has no stored records for `start="replay"`, or if the world
    model predicts no observation.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012 (as in Gymnasium)

    def __init__(
        self,
        logdir: str | Path,
        *,
        horizon: int = 50,
        start: str = "replay",
        context: int = CONTEXT_STEPS,
        temperature: float = 1.0,
        device: str = "cpu",
        render_mode: str | None = None,
    ):
        check_choice("start", start, STARTS)
        check_choice("render_mode", str(render_mode), ("None", *self.metadata["render_modes"]))
        if horizon < 1 or context < 1 or temperature < 0:
            raise UserError("DreamEnv needs horizon and context of at least 1, and a temperature of at least 0.")
        self.horizon, self.temperature, self.render_mode = horizon, temperature, render_mode
        folder = find_run(logdir)
        adjusted = lambda config: resolve(config["algo"], (), configs.flatten(config) | {"run.device": device})
        found = stored_spaces.read(folder)
        with rng.isolated_rng(0):  # building networks draws random numbers
            (run,) = load_runs([str(folder)], adjusted)
            self.starts = StartStates(folder, run, found, context) if start == "replay" else None
        self.dreamer = Dreamer(run)
        self.boxes = predicted_boxes(run.agent.world.decoder.shapes, found)
        self.single = not isinstance(found.raw[0], spaces.Dict | spaces.Tuple) and len(self.boxes) == 1
        several: dict[str, spaces.Space] = {**self.boxes}
        self.observation_space = next(iter(self.boxes.values())) if self.single else spaces.Dict(several)
        self.action_space = found.raw[1]
        self.actions = Actions(found.action)
        self.encode = action_encoder(found.raw[1], run.config["env"]["action_scale"])
        self.steps = 0
        self.prediction: Prediction | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode. seed: of the start states and of all samples; options are not used."""
        super().reset(seed=seed)
        self.steps = 0
        with self._noise():
            if self.starts is None:
                self.dreamer.seen = self.dreamer.rssm.initial(1, self.dreamer.agent.device).detach()
            else:
                self.starts.observe(self.dreamer, self.np_random)
            self.dreamer.wake()
            return self._observe()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step in the world model. Raises UserError for an action that does not fit the action space."""
        assert self.prediction is not None, "call reset first"
        numbers = self.actions.action(self.encode(action).tolist())
        self.steps += 1
        with self._noise():
            self.dreamer.imagine(numbers.vector, self.temperature)
            observation, info = self._observe()
        chance = self.prediction.proceed
        ended = chance is not None and chance < END_CHANCE
        return observation, self.prediction.reward, ended, self.steps >= self.horizon, info

    def render(self) -> np.ndarray | None:
        """Return the first predicted image, uint8 (H, W, 3), with render_mode rgb_array; None without an image."""
        images = [key for key, box in self.boxes.items() if len(box.shape) == 3]
        if self.render_mode is None or self.prediction is None or not images:
            return None
        return video.to_rgb(self._decoded(images[0]))

    def _noise(self) -> Any:
        """Return a block whose random numbers follow the seed of the environment, and which changes no others."""
        return rng.isolated_rng(int(self.np_random.integers(2**63)))

    def _observe(self) -> tuple[Any, dict[str, Any]]:
        """Return observation and info at the state of the dream."""
        self.prediction = self.dreamer.predict()
        decoded = {key: self._decoded(key) for key in self.boxes}
        info = {"value": self.prediction.value, "continue": self.prediction.proceed}
        return (next(iter(decoded.values())) if self.single else decoded), info

    def _decoded(self, key: str) -> np.ndarray:
        """Return a predicted observation in the form of its space, within its bounds."""
        assert self.prediction is not None
        box, values = self.boxes[key], self.prediction.observations[key]
        values = np.rint(255 * values) if box.dtype == np.uint8 else values
        return np.clip(np.reshape(values, box.shape), box.low, box.high).astype(box.dtype)


def predicted_boxes(predicted: Any, found: stored_spaces.Spaces) -> dict[str, spaces.Box]:
    """Return the spaces of the observations that a decoder predicts. Raises UserError if there are none."""
    boxes = {key: box for key, box in found.observation.items() if key in predicted and isinstance(box, spaces.Box)}
    if not boxes:
        raise UserError(
            "The world model of this run predicts no observation: its decoder.keys matches none. Train one that does."
        )
    return boxes
