"""The training loop: act, store, update; at intervals log, evaluate, record videos and save.

Each round sends one step to every environment, runs the updates that are due, then receives the records of that step.
Environments in worker processes therefore step during the updates. A run can stop before any update and in any
evaluation. `run_state.py` captures its exact state for a checkpoint.
"""

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common.agent.agent import Agent
from common.agent.interfaces import Schedule
from common.errors import NonFiniteError
from common.nn import ranks, rng
from common.replay import Replay
from common.storage.logger import FiniteMetrics, Logger
from common.storage.progress import Progress
from common.training.callbacks import Callbacks
from common.training.camera import Camera, predict_open_loop
from common.training.clock import Clock, Stopwatch
from common.training.collector import Collecting, Collector, VectorEnvs
from common.training.compile_notice import compile_notice
from common.training.evaluator import Evaluator
from common.training.health import HealthMonitor
from common.training.skips import SkippedUpdates
from common.training.stop import Stop, Stopped

BEST_TRAIN_EPISODES = 10  # a run without evaluation rates its agent by the mean of this many training episodes
REPORT_STREAM = 2  # separates the random numbers of reports from those of evaluation


class Loop:
    """Counters and parts of one run.

    folder: directory of the replay. save: called when a checkpoint is due. best: called with the kind of a score,
    'eval' or 'train', and the score of the current agent. callbacks: functions of a user. pace: context of each update.
    collector: makes what acts.
    """

    def __init__(
        self, config: dict, *, envs: VectorEnvs, agent: Agent, replay: Replay, schedule: Schedule, evaluator: Evaluator,
        logger: Logger, progress: Progress, stop: Stop, folder: Path, save: Callable[[], None],
        best: Callable[[str, float], None] = lambda kind, score: None, callbacks: Callbacks | None = None,
        pace: contextlib.AbstractContextManager[object] | None = None,
        collector: Callable[..., Collecting] = Collector,
    ) -> None:  # fmt: skip
        run = config["run"]
        self.folder, self._best, self.callbacks = folder, best, callbacks or Callbacks()
        self.pace = pace or contextlib.nullcontext()
        self.config, self.agent, self.replay, self.schedule = config, agent, replay, schedule
        self.evaluator, self.logger, self.progress, self.stop, self._save = evaluator, logger, progress, stop, save
        self.repeat = envs.repeat
        self.ranks = ranks.current()
        self.batch = config["batch_size"], config["batch_length"]
        self.replayed_per_update = self.ranks.total(config["batch_size"]) * config["batch_length"]
        self.watch = Stopwatch()
        self.collector: Collecting = collector(envs, agent, replay, self.watch)
        self.health = HealthMonitor(config)
        self.finite_metrics = FiniteMetrics(progress.announce)
        self.skips = SkippedUpdates(config, agent, envs, folder.parent, progress.message)
        self.camera = Camera(envs.obs_space)
        self.agent_steps = self.updates = self.episodes = self.pending = 0
        self.broken = 0  # episodes that a failure cut short, which have no score
        self.pretrained = False
        self.earlier_wall, self._since = 0.0, time.monotonic()  # seconds of earlier sessions; start of this one
        every = {name: run[f"{name}_every"] for name in ("log", "save", "eval", "video")}
        every["eval"] *= run["eval_episodes"] > 0
        self.clocks = {name: Clock(frames) for name, frames in {**every, "film": every["video"]}.items()}

    @property
    def frames(self) -> int:
        """Environment frames: agent steps times action repeat."""
        return self.agent_steps * self.repeat

    @property
    def wall(self) -> float:
        """Seconds of training over all sessions."""
        return self.earlier_wall + time.monotonic() - self._since

    @property
    def out_of_time(self) -> bool:
        """Whether `run.max_seconds` are over on one of the ranks. Time never runs back, so this stays true."""
        limit = self.config["run"]["max_seconds"]
        return limit > 0 and self.ranks.any(limit <= self.wall)

    def begin(self) -> None:
        """Start a new run."""
        with self.show_env_messages():
            self.collector.begin()

    def run(self) -> None:
        """Train until `steps` frames or `run.max_seconds`. Raises Stopped after a signal."""
        while True:
            self._train()
            self.receive()
            self.collector.envs.check()
            self._run_due_tasks()
            if self.frames >= self.config["steps"] or self.out_of_time:
                return
            self.stop.check()
            self._step()

    def counters(self) -> dict[str, float]:
        """Return the counters that begin each line of metrics."""
        steps = {"frames": self.frames, "agent_steps": self.agent_steps}
        return {**steps, "updates": self.updates, "episodes": self.episodes, "wall": round(self.wall, 3)}

    def notify(self, event: str, value: Any) -> None:
        """Call the user's functions for an event; stop the run if one asks for it. Raises CallbackError."""
        if self.callbacks.call(event, value, self.counters()):
            self.stop.request()

    def _step(self) -> None:
        random = self.agent_steps < self.config["run"]["prefill"]
        try:
            steps = self.collector.send(random=random, step=self.agent_steps, updates=self.updates)
        except NonFiniteError as error:
            facts = {"record": self.collector.record, "acting": self.collector.state, "mode": "train"}
            raise self.skips.dump_action(error, **facts, **self._position()) from error
        self.agent_steps += self.ranks.total(steps)
        self.pending += self._updates_due()
        self.progress.update(self.frames, self.updates)

    def receive(self) -> None:
        """Receive the records of the step in progress, if any; log the episodes of all ranks."""
        if not self.collector.sent:
            return
        for episode in self.ranks.collect(self.collector.receive()):
            if episode.broken:
                self.broken += 1
                continue
            self.episodes += 1
            self.logger.log_episode(self.frames, episode.score, episode.length, episode.extra)
        for record, closed in self.collector.seen():
            if (pictures := self.camera.see(record, closed)) is not None:
                with self.watch("video"):
                    self.logger.save_video("train/episode", self.frames, pictures)
        self.show(self.collector.envs.messages() + self._replay_messages())

    def _updates_due(self) -> int:
        """Return the updates due after a step: 0 during the prefill, `run.pretrain` extra ones at the start."""
        if self.agent_steps < self.config["run"]["prefill"] or not self.ranks.all(self.replay.ready(*self.batch)):
            return 0
        extra = 0 if self.pretrained else self.config["run"]["pretrain"]
        self.pretrained = True
        options = {"repeat": self.repeat, "replayed_per_update": self.replayed_per_update}
        return extra + self.schedule.due(self.agent_steps, **options)

    def _updates_left(self) -> int:
        """Return the updates from now to the end of the run, if the replay is ready as soon as the prefill is over."""
        schedule, run = copy.deepcopy(self.schedule), self.config["run"]
        options = {"repeat": self.repeat, "replayed_per_update": self.replayed_per_update}
        last = -(-self.config["steps"] // self.repeat)
        left = self.pending
        if not self.pretrained:
            if last < run["prefill"]:
                return left
            left += run["pretrain"] + schedule.due(max(self.agent_steps, run["prefill"]), **options)
        return left + schedule.due(max(self.agent_steps, last), **options)

    def _train(self) -> None:
        while self.pending and not self.out_of_time:
            self.stop.check()
            self._update()
            self.progress.update(self.frames, self.updates)

    def _update(self) -> None:
        """Update the agent on one batch; if a loss or gradient is not finite, skip the update, see `skips.py`."""
        with self.watch("replay"):
            batch = self.replay.sample(*self.batch)
        before = rng.get_state()
        self.pending -= 1
        try:
            with self.watch("train"), self.pace, compile_notice(self.agent, self.progress.announce):
                metrics, latents = self.agent.update(batch, self.agent_steps)
                self.logger.add(metrics)
        except NonFiniteError as error:
            self.skips.skip(error, batch=batch, rng=before, **self._position())
            return
        if latents:
            with self.watch("replay"):
                self.replay.write_back(batch["index"], latents)
        self.updates += 1
        self.skips.clear()

    def _position(self) -> dict[str, int]:
        return {"step": self.agent_steps, "updates": self.updates, "frames": self.frames}

    def _run_due_tasks(self) -> None:
        """Log, evaluate and save where due. Saving comes last: a signal may interrupt the evaluation before it."""
        self._run_if_due("log", self._log)
        if self.updates and self.batch[1] > 1:
            self._run_if_due("video", self._report)
        if self.agent_steps >= self.config["run"]["prefill"]:
            self._run_if_due("eval", self._evaluate_on_rank_0)
        if not self.clocks["eval"].every:
            self._run_if_due("film", self.camera.begin)
        if not self.skips.unproven:
            self._run_if_due("save", self._save_checkpoint)

    def _run_if_due(self, name: str, task: Callable[[], None]) -> None:
        clock = self.clocks[name]
        if clock.due(self.frames):
            with self.watch("video" if name == "film" else name):
                task()
            clock.mark(self.frames)

    def _save_checkpoint(self) -> None:
        recent = self.logger.scores.points["train"]["ys"][-BEST_TRAIN_EPISODES:]
        if recent and not self.clocks["eval"].every:
            self._best("train", sum(recent) / len(recent))
        self._save()

    def _log(self) -> None:
        scores = self.logger.scores
        limit = self.config["run"]["max_seconds"]
        left = {"due": self._updates_left(), "limit": max(0.0, limit - self.wall) if limit else None}
        rates = self.progress.line(**left, score=scores.last("train"), eval=scores.last("eval"))
        metrics = self.finite_metrics(self.logger.take_means())
        counts = {"train/skipped": self.skips.total, "train/broken": self.broken}
        sizes = {**counts, "replay/size": self.ranks.total(len(self.replay)), "replay/gib": self.replay.gib}
        counters = self.counters()
        acting = self.collector.metrics()
        written = self.logger.write(counters, {**metrics, **sizes, **acting, **rates, **self.watch.take()})
        for finding in self.health.see({**counters, **metrics, **sizes}):
            self.progress.announce(str(finding))
        due = self.agent_steps >= self.config["run"]["prefill"]
        if due and (reason := self.replay.waiting_reason(*self.batch)):
            self.progress.message(f"No updates yet: {reason}.")
        self.clocks["log"].mark(self.frames)  # now: a callback may end the run, which must not log this line again
        self.notify("on_log", written)

    def _report(self) -> None:
        """Write videos of open-loop predictions for a few sequences, and log their errors."""
        with rng.isolated_rng(self.config["seed"], self.frames, REPORT_STREAM):
            predictions = predict_open_loop(self.agent, self.replay, *self.batch)
        for key, prediction in predictions.items():
            self.logger.save_video(f"openloop/{key}", self.frames, prediction.pictures)
        errors = {f"openloop/{key}": prediction.error for key, prediction in predictions.items()}
        self.logger.write(self.counters(), self.finite_metrics(errors))

    def _evaluate_on_rank_0(self) -> None:
        """Evaluate while the other ranks wait; all of them stop if a signal ends the evaluation."""
        if self.ranks.leads:
            with contextlib.suppress(Stopped):
                self._evaluate()
        self.stop.check()

    def _evaluate(self) -> None:
        film = self.clocks["film"].due(self.frames)
        episodes = self.config["run"]["eval_episodes"]
        try:
            result = self.evaluator.run(episodes, self.frames, film=film, check=self.stop.check_here)
        except NonFiniteError as error:
            raise self.skips.dump_action(error, **self.evaluator.last_input, **self._position()) from error
        finally:
            self.show(self.evaluator.messages())
        self.clocks["eval"].mark(self.frames)  # now: the run is saved even if a line below fails
        metrics = result.metrics()
        score = metrics.get("eval/score")
        if score is None:
            self.show([f"No evaluation score: failures cut all {result.broken} episodes short."])
        else:
            self.logger.scores.add("eval", self.frames, score)
        self.logger.write(self.counters(), metrics)
        if result.pictures is not None:
            self.logger.save_video("eval/episode", self.frames, result.pictures)
        if film:
            self.clocks["film"].mark(self.frames)
        if score is not None:
            self._best("eval", score)
        self.notify("on_eval", result.summary())

    def _replay_messages(self) -> list[str]:
        messages, self.replay.messages = self.replay.messages, []
        return messages

    @contextlib.contextmanager
    def show_env_messages(self) -> Iterator[None]:
        """Show the environments' messages after the block, even if they broke for good."""
        try:
            yield
        finally:
            self.show(self.collector.envs.messages())

    def show(self, messages: list[str]) -> None:
        """Show the first line of each message; append the rest, a traceback, to failures.log."""
        for message in messages:
            line, _, trace = message.partition("\n")
            self.progress.message(line + " (traceback: failures.log)" * bool(trace))
            if trace:
                self.logger.log_failure(self.frames, message)
