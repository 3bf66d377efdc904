"""A session: one environment, the dreams of up to four agents, and the steps that all take together.

Nothing here knows of pages, sockets or clocks: the server and `--record` call the same methods.
"""

import dataclasses
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from common.errors import UserError
from common.training.camera import CONTEXT_STEPS
from common.viewer.actions import Action, Actions
from common.viewer.dreaming import Dreamer, Prediction
from common.viewer.environment import Environment
from common.viewer.runs import Run
from common.viewer.settings import Settings, checked

HISTORY_STEPS = 300  # kept for clips and for pages that connect later


class Frame(NamedTuple):
    """Numbers and pictures after a step.

    numbers: plain JSON values for plots. real: picture of the environment, uint8 (H, W, 3), None if it has none.
    models: picture that each run predicts, None for runs without one. predictions: of each run. vectors: true vectors
    (n,) by key; the last ones if the episode is over.
    """

    numbers: dict[str, Any]
    real: np.ndarray | None
    models: list[np.ndarray | None]
    predictions: list[Prediction]
    vectors: dict[str, np.ndarray]


class Session:
    """Steps an environment and the dreams of agents under the same actions.

    All agents observe every record. In the environment their posterior states are shown. In a dream, each continues
    from its posterior state by its prior; the environment takes the same actions for comparison. Dreams begin once
    `context` records of an episode were observed, and again after `settings.horizon` steps.

    key: image to show, None for no pictures of the models. `human` is the action that a person holds at the moment.
    memory: number of frames in `history`, None for all.
    """

    def __init__(
        self,
        environment: Environment,
        runs: Sequence[Run],
        key: str | None = None,
        seed: int = 0,
        context: int = CONTEXT_STEPS,
        settings: Settings | None = None,
        memory: int | None = HISTORY_STEPS,
    ):
        self.environment, self.key, self.seed, self.context = environment, key, seed, context
        self.dreamers = [Dreamer(run) for run in runs]
        self.actions = Actions(environment.envs.act_space, environment.names)
        default = Settings() if runs else Settings(who="human", where="environment", view="real")
        self.defaults = settings or default
        self.action: Action | None = None  # the last one; None if an episode began
        self.history: deque[Frame] = deque(maxlen=memory)
        self._start_over(environment.record)

    # What a user does

    def change(self, name: str, value: Any) -> None:
        """Change a setting. Raises UserError for an unknown name, a wrong value, or one that needs an agent."""
        value = checked(name, value)
        if (name, value) in (("who", "agent"), ("where", "dream")) and not self.dreamers:
            raise UserError(f"{name} {value} needs the agent of a run: python dreamer.py dream --logdir DIR.")
        if name == "agent" and value >= len(self.dreamers):
            raise UserError(f"agent must be below {len(self.dreamers)}, the number of runs, got {value}.")
        setattr(self.settings, name, value)
        if name == "where":
            self.restart_dreams()

    def hold(self, numbers: Sequence[float]) -> None:
        """Set the action of the person. Raises UserError if it does not fit the action space."""
        self.human = self.actions.action(numbers)

    def step(self) -> Frame:
        """Take one step, in the environment and in all dreams, and return its frame."""
        if self.horizon_reached:
            if self.over:
                return self.new_start()
            self.restart_dreams()
        action = self.choose_action()
        self.action = action
        dreaming = self.dreaming
        if not (dreaming and self.over):
            self._observe(self.environment.step(action.env), action)
        for dreamer in self.dreamers:
            if dreaming:
                dreamer.imagine(action.vector, self.settings.prior_scale)
            else:
                dreamer.wake()
        self.imagined += dreaming
        return self._show()

    def new_start(self) -> Frame:
        """Start the next episode, from another state."""
        return self._begin(self.environment.begin())

    def full_reset(self) -> Frame:
        """Return to the first start state, with settings and random numbers as at the beginning.

        Pause and speed stay: they say when steps are taken, not which.
        """
        paused, speed = self.settings.paused, self.settings.speed
        frame = self._start_over(self.environment.rewind())
        self.settings.paused, self.settings.speed = paused, speed
        return frame

    def restart_dreams(self) -> None:
        """Let all dreams continue from what was observed last."""
        self.imagined, self.since = 0, 0.0
        for dreamer in self.dreamers:
            dreamer.wake()
            dreamer.total = 0.0

    # State

    @property
    def over(self) -> bool:
        """Whether the episode of the environment has ended."""
        return bool(self.record["is_last"][0])

    @property
    def dreaming(self) -> bool:
        """Whether the next step is imagined; at first, `context` records are observed."""
        return self.settings.where == "dream" and (self.imagined > 0 or self.observed >= self.context)

    @property
    def horizon_reached(self) -> bool:
        """Whether the dreams have to start again."""
        return 0 < self.settings.horizon <= self.imagined

    def choose_action(self) -> Action:
        """Return the next action: that of the person, of an agent at its shown state, or a random one."""
        if self.settings.who == "human":
            return self.human
        if self.settings.who == "random":
            return self.actions.random(self.random)
        return self.dreamers[self.settings.agent].act()

    def _start_over(self, record: dict[str, np.ndarray]) -> Frame:
        self.settings = dataclasses.replace(self.defaults)
        self.random = np.random.default_rng(self.seed)
        torch.manual_seed(self.seed)
        self.human = self.actions.action(self.actions.idle)
        self.steps = self.episode = 0
        self.history.clear()
        return self._begin(record)

    def _begin(self, record: dict[str, np.ndarray]) -> Frame:
        """Show the first record of an episode."""
        self.action = None
        self._observe(record, self.human)
        self.restart_dreams()
        return self._show()

    def _observe(self, record: dict[str, np.ndarray], action: Action) -> None:
        """Update all posterior states; count records and rewards."""
        self.record, first = record, bool(record["is_first"][0])
        if first:
            self.episode, self.observed, self.total = self.episode + 1, 0, 0.0
        self.observed += 1
        self.reward = float(record["reward"][0])
        self.total += self.reward
        for dreamer in self.dreamers:
            dreamer.observe(record, action.vector, self.settings.posterior_scale)
        if first:
            self.restart_dreams()
        self.since += self.reward

    def _show(self) -> Frame:
        """Return the frame of the current states and add it to the history."""
        self.steps += 1
        predictions = [dreamer.predict() for dreamer in self.dreamers]
        for dreamer, prediction in zip(self.dreamers, predictions, strict=True):
            dreamer.total += prediction.reward
        real = self.environment.picture(self.record, self.key)
        vectors = {key: np.reshape(self.record[key][0], -1) for key in self.environment.vectors}
        models = [self._picture(prediction) for prediction in predictions]
        frame = Frame(self._numbers(predictions, models, real), real, models, predictions, vectors)
        self.history.append(frame)
        return frame

    def _picture(self, prediction: Prediction) -> np.ndarray | None:
        """Return the predicted image as uint8 (H, W, 3)."""
        if self.key is None:
            return None
        image = prediction.observations[self.key].clip(0, 1)
        shown = image if image.shape[-1] == 3 else np.repeat(image[..., -1:], 3, -1)
        return (255 * shown).round().astype(np.uint8)

    def _numbers(
        self, predictions: list[Prediction], models: list[np.ndarray | None], real: np.ndarray | None
    ) -> dict[str, Any]:
        """Return the values of a frame for plots; an imagined step has an entropy, an observed one a KL."""
        imagined, truth = self.imagined > 0, not (self.imagined and self.over)
        return {
            "step": self.steps,
            "episode": self.episode,
            "first": bool(self.record["is_first"][0]) and not imagined,
            "over": self.over,
            "imagined": self.imagined,
            "action": self.action.numbers if self.action else None,
            "reward": self.reward if truth else None,
            "return": self.total,
            "since": self.since,
            "vectors": {key: np.reshape(self.record[key][0], -1).tolist() for key in self.environment.vectors}
            if truth
            else {},
            "runs": [
                {
                    "reward": prediction.reward,
                    "true_reward": dreamer.learned_reward(self.reward) if truth else None,
                    "value": prediction.value,
                    "continue": prediction.proceed,
                    "kl": None if imagined else dreamer.kl,
                    "entropy": dreamer.entropy,
                    "return": dreamer.total,
                    "error": image_error(model, real) if truth else None,
                    "vectors": {
                        key: np.reshape(prediction.observations[key], -1).tolist()
                        for key in self.environment.vectors
                        if key in prediction.observations
                    },
                }
                for dreamer, prediction, model in zip(self.dreamers, predictions, models, strict=True)
            ],
        }


def image_error(model: np.ndarray | None, real: np.ndarray | None) -> float | None:
    """Return the mean squared error of a predicted picture, with pixels in [0, 1]; None without a picture."""
    if model is None or real is None or model.shape != real.shape:
        return None
    return float(np.square((model.astype(np.float32) - real) / 255).mean())


def difference(model: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return half the difference of two pictures uint8 (H, W, 3), added to gray: equal pixels are 128."""
    return ((model.astype(np.int16) - real.astype(np.int16) + 256) // 2).clip(0, 255).astype(np.uint8)


def view(frame: Frame, run: int, name: str) -> np.ndarray | None:
    """Return a run's picture in a view: real, model or difference; None without one."""
    model = frame.models[run]
    if name == "model" or model is None or frame.real is None:
        return model
    return frame.real if name == "real" else difference(model, frame.real)
