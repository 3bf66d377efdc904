"""A session: one environment, the dreams of up to four agents, and the steps that all take together.

Nothing here knows of pages, sockets or clocks: the server and `--record` call the same methods.
"""

import dataclasses
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from common.errors import UserError
from common.training.camera import CONTEXT_STEPS
from common.viewer.actions import Action
from common.viewer.dreaming import Dreamer
from common.viewer.environment import Environment, Record, image_of
from common.viewer.frames import Frame, image_error, predicted_picture, run_numbers
from common.viewer.runs import Run
from common.viewer.settings import Settings, checked

HISTORY_STEPS = 300  # kept for clips and for pages that connect later


class Session:
    """Steps an environment and the dreams of agents under the same actions.

    All agents observe every step, each in its own view. In the environment, their posterior states are shown. In a
    dream, each continues from its posterior state by its prior; the environment takes the same actions for comparison.
    Dreams begin once `context` records of an episode were observed, and again after `settings.horizon` steps.

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
        self.actions = environment.actions
        self.sets = [environment.sets[place] for place in environment.views]
        default = Settings() if runs else Settings(who="human", where="environment", view="real")
        self.defaults = settings or default
        self.action: Action | None = None  # the last one; None if an episode began
        self.history: deque[Frame] = deque(maxlen=memory)
        self._start_over(environment.records)

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
            self._observe(self.environment.step(action), action)
        for dreamer, own in zip(self.dreamers, self.sets, strict=True):
            if dreaming:
                dreamer.imagine(own.to_own(action).vector, self.settings.prior_scale)
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
        return self.sets[self.settings.agent].to_shared(self.dreamers[self.settings.agent].act())

    def _start_over(self, records: list[Record]) -> Frame:
        self.settings = dataclasses.replace(self.defaults)
        self.random = np.random.default_rng(self.seed)
        torch.manual_seed(self.seed)
        self.human = self.actions.action(self.actions.idle)
        self.steps = self.episode = 0
        self.history.clear()
        return self._begin(records)

    def _begin(self, records: list[Record]) -> Frame:
        """Show the first records of an episode."""
        self.action = None
        self._observe(records, self.human)
        self.restart_dreams()
        return self._show()

    def _observe(self, records: list[Record], action: Action) -> None:
        """Update all posterior states; count steps and rewards."""
        self.records, self.record, first = records, records[0], bool(records[0]["is_first"][0])
        if first:
            self.episode, self.observed, self.total = self.episode + 1, 0, 0.0
        self.observed += 1
        self.reward = float(self.record["reward"][0])
        self.total += self.reward
        for dreamer, own, place in zip(self.dreamers, self.sets, self.environment.views, strict=True):
            dreamer.observe(records[place], own.to_own(action).vector, self.settings.posterior_scale)
        if first:
            self.restart_dreams()
        self.since += self.reward

    def _show(self) -> Frame:
        """Return the frame of the current states and add it to the history."""
        self.steps += 1
        predictions = [dreamer.predict() for dreamer in self.dreamers]
        for dreamer, prediction in zip(self.dreamers, predictions, strict=True):
            dreamer.total += prediction.reward
        real = self.environment.picture(self.records, self.key)
        truths = [image_of(self.records[place], self.key) for place in self.environment.views]
        models = [predicted_picture(prediction, self.key) for prediction in predictions]
        sources = self.environment.vectors.items()
        vectors = {key: np.reshape(self.records[place][key][0], -1) for key, place in sources}
        truth = not (self.imagined and self.over)
        runs = [
            run_numbers(
                dreamer,
                prediction,
                imagined=self.imagined > 0,
                true_reward=self.reward if truth else None,
                error=image_error(model, seen) if truth else None,
            )
            for dreamer, prediction, model, seen in zip(self.dreamers, predictions, models, truths, strict=True)
        ]
        numbers = self._numbers() | {
            "reward": self.reward if truth else None,
            "vectors": {key: vector.tolist() for key, vector in vectors.items()} if truth else {},
            "runs": runs,
        }
        self.history.append(Frame(numbers, real, truths, models, predictions, vectors))
        return self.history[-1]

    def _numbers(self) -> dict[str, Any]:
        """Return the counts and sums of a frame."""
        return {
            "step": self.steps,
            "episode": self.episode,
            "first": bool(self.record["is_first"][0]) and not self.imagined,
            "over": self.over,
            "imagined": self.imagined,
            "action": self.action.numbers if self.action else None,
            "return": self.total,
            "since": self.since,
        }
