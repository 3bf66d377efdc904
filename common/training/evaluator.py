"""Evaluation episodes: own environments and random numbers, without effect on training."""

import itertools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from common.agent.agent import Agent
from common.nn import rng
from common.storage.video import EpisodeRecorder, EvaluationRecorder, first_image_key
from common.training.collector import Episode, Tally, VectorEnvs, require_finite, without_log

EVAL_STREAM = 1  # separates the random numbers of evaluation from those of reports
MAX_STEPS_WITHOUT_END = 100_000  # more than any episode of the suites takes
ENDLESS_EPISODE_WARNING = """Evaluation: no episode has ended within {:,} steps. It continues until one ends.
If episodes never end, interrupt it and set --env.time_limit, in frames."""


class EvalResult(NamedTuple):
    """Evaluation episodes and, if recorded, the pictures (T, H, W, 3) of the first one."""

    episodes: list[Episode]
    pictures: np.ndarray | None

    def metrics(self) -> dict[str, float]:
        """Return mean and standard deviation of the returns, and the mean length."""
        scores = np.array([episode.score for episode in self.episodes])
        lengths = np.array([episode.length for episode in self.episodes])
        spread = {"eval/score": float(scores.mean()), "eval/score_std": float(scores.std())}
        return {**spread, "eval/length": float(lengths.mean())}


class Evaluator:
    """Runs evaluation episodes on environments that `make_envs` builds when they are first needed.

    state: positions of the environments for the checkpoint; changes only when an evaluation is complete. last_input:
    record, acting state and mode of the agent's last action.
    """

    def __init__(
        self, agent: Agent, make_envs: Callable[[], VectorEnvs], seed: int, state: list[dict[str, Any]] | None = None
    ) -> None:
        self.agent, self.seed, self.state = agent, seed, state
        self._make_envs = make_envs
        self._envs: VectorEnvs | None = None
        self.last_input: dict[str, Any] = {}

    def run(
        self, episodes: int, step: int, *, film: bool = False, films: EvaluationRecorder | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> EvalResult:  # fmt: skip
        """Play `episodes` episodes, spread evenly over the environments, with random numbers derived from `step`.

        film: record the first episode if observations have images. films: recorder that sees every record. check: is
        called before every action; an exception from it ends the evaluation.
        """
        envs = self.prepare()
        key = first_image_key(dict(envs.obs_space.items())) if film else None
        camera = EpisodeRecorder(key) if key else None
        with rng.isolated_rng(self.seed, step, EVAL_STREAM):
            done = self._play(envs, episodes, [each for each in (camera, films) if each], check)
        self.state = envs.state()
        return EvalResult(done, camera.pictures() if camera else None)

    def close(self) -> None:
        """Close the environments."""
        if self._envs is not None:
            self._envs.close()

    def messages(self) -> list[str]:
        """Return the environments' messages since the last call."""
        return self._envs.messages() if self._envs is not None else []

    def _play(self, envs: VectorEnvs, episodes: int, cameras: list[Any], check: Callable[[], None]) -> list[Episode]:
        quota = [episodes // envs.num + (i < episodes % envs.num) for i in range(envs.num)]
        record, state, tally = envs.reset(), self.agent.initial(envs.num), Tally(envs.num)
        done: list[list[Episode]] = [[] for _ in quota]
        for steps in itertools.count():
            for i, episode in tally.see(record).items():
                done[i].append(episode)
            if steps == MAX_STEPS_WITHOUT_END and not any(done):
                print(ENDLESS_EPISODE_WARNING.format(steps), file=sys.stderr)
            for camera in cameras:
                camera.see(record)
            if all(len(finished) >= count for finished, count in zip(done, quota, strict=True)):
                break
            check()
            self.last_input = {"record": without_log(record), "acting": state, "mode": "eval"}
            action, _, state = self.agent.act(without_log(record), state, mode="eval")
            record = envs.step(require_finite(action))
        return [episode for finished, count in zip(done, quota, strict=True) for episode in finished[:count]]

    def prepare(self) -> VectorEnvs:
        """Return the environments, built at the first call. Raises UserError if that fails."""
        if self._envs is None:
            self._envs = self._make_envs()
            self._envs.messages()  # about spaces: the training environments have printed them
            if self.state is not None and len(self.state) == self._envs.num:
                self._envs.restore(self.state)
        return self._envs
