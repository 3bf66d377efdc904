"""Evaluation episodes: own environments and random numbers, without effect on training."""

import itertools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from common.agent.agent import Agent
from common.nn import rng
from common.storage.logger import spread_of
from common.storage.video import EpisodeRecorder, EvaluationRecorder, first_image_key
from common.training.collector import Episode, Tally, VectorEnvs, require_finite, without_log

EVAL_STREAM = 1  # separates the random numbers of evaluation from those of reports
MAX_STEPS_WITHOUT_END = 100_000  # more than any episode of the suites takes
MAX_TRIES = 3  # episodes played at most for each whole one, if failures cut them short
ENDLESS_EPISODE_WARNING = """Evaluation: no episode has ended within {:,} steps. It continues until one ends.
If episodes never end, interrupt it and set --env.time_limit, in frames."""


class EvalResult(NamedTuple):
    """Whole episodes and, if recorded, the pictures (T, H, W, 3) of the first one.

    broken: number of episodes that failures of the environments cut short; they have no score.
    """

    episodes: list[Episode]
    pictures: np.ndarray | None
    broken: int = 0

    def metrics(self) -> dict[str, float]:
        """Return mean and spread of the returns, the mean length, and the number of broken episodes.

        Without a whole episode, only the number of broken ones.
        """
        if not self.episodes:
            return {"eval/broken": float(self.broken)}
        scores = [episode.score for episode in self.episodes]
        lengths = np.array([episode.length for episode in self.episodes])
        score = {"eval/score": float(np.mean(scores)), **spread_of("eval/score", scores)}
        return {**score, "eval/length": float(lengths.mean()), "eval/broken": float(self.broken)}

    def summary(self) -> dict[str, Any]:
        """Return mean and std (None without a whole episode), n, broken, and the scores and lengths of all episodes."""
        found = self.metrics()
        return {
            "mean": found.get("eval/score"),
            "std": found.get("eval/score_std"),
            "n": len(self.episodes),
            "broken": self.broken,
            "scores": [episode.score for episode in self.episodes],
            "lengths": [episode.length for episode in self.episodes],
        }


class Share:
    """The episodes of one environment in an evaluation: `count` whole ones, if it plays that many in time."""

    def __init__(self, count: int) -> None:
        self.count, self.broken = count, 0
        self.episodes: list[Episode] = []

    @property
    def over(self) -> bool:
        """Whether no further episode counts."""
        played = len(self.episodes) + self.broken
        return len(self.episodes) >= self.count or played >= MAX_TRIES * self.count

    def add(self, episode: Episode) -> None:
        """Add a finished episode, unless the share is complete."""
        if self.over:
            return
        if episode.broken:
            self.broken += 1
        else:
            self.episodes.append(episode)


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

        Another episode replaces one that a failure cut short, up to MAX_TRIES episodes for each whole one.

        film: record the first episode if observations have images. films: recorder that sees every record. check: is
        called before every action; an exception from it ends the evaluation.
        """
        envs = self.prepare()
        key = first_image_key(dict(envs.obs_space.items())) if film else None
        camera = EpisodeRecorder(key) if key else None
        with rng.isolated_rng(self.seed, step, EVAL_STREAM):
            done, broken = self._play(envs, episodes, [each for each in (camera, films) if each], check)
        self.state = envs.state()
        return EvalResult(done, camera.pictures() if camera else None, broken)

    def close(self) -> None:
        """Close the environments."""
        if self._envs is not None:
            self._envs.close()

    def messages(self) -> list[str]:
        """Return the environments' messages since the last call."""
        return self._envs.messages() if self._envs is not None else []

    def _play(
        self, envs: VectorEnvs, episodes: int, cameras: list[Any], check: Callable[[], None]
    ) -> tuple[list[Episode], int]:
        """Return the whole episodes, and the number of broken ones that were played for them."""
        quota = [episodes // envs.num + (i < episodes % envs.num) for i in range(envs.num)]
        record, state, tally = envs.reset(), self.agent.initial(envs.num), Tally(envs.num)
        shares = [Share(count) for count in quota]
        for steps in itertools.count():
            closed = envs.closed()
            for i, episode in tally.see(record, closed).items():
                shares[i].add(episode)
            if steps == MAX_STEPS_WITHOUT_END and not any(share.episodes or share.broken for share in shares):
                print(ENDLESS_EPISODE_WARNING.format(steps), file=sys.stderr)
            for camera in cameras:
                camera.see(record, bool(closed[0]))
            if all(share.over for share in shares):
                break
            check()
            self.last_input = {"record": without_log(record), "acting": state, "mode": "eval"}
            action, _, state = self.agent.act(without_log(record), state, mode="eval")
            record = envs.step(require_finite(action))
        return [episode for share in shares for episode in share.episodes], sum(share.broken for share in shares)

    def prepare(self) -> VectorEnvs:
        """Return the environments, built at the first call. Raises UserError if that fails."""
        if self._envs is None:
            self._envs = self._make_envs()
            self._envs.messages()  # about spaces: the training environments have printed them
            if self.state is not None and len(self.state) == self._envs.num:
                self._envs.restore(self.state)
        return self._envs
