"""The training loop: act, store, update, and now and then log, film, evaluate, save.

One round makes one step in every environment, then the updates that are due, then whatever else is due. The records
that a step leads to are taken in after the updates, which do not need them: environments in worker processes step
meanwhile. A run can stop before any update and in any evaluation; what `state` returns then is enough to go on as if it
had not stopped. It takes in the step under way first, so that a checkpoint never holds half a step.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common.agent.update_guard import nonfinite_names
from common.errors import NonFiniteError
from common.nn import rng
from common.storage.logger import FiniteMetrics, Logger
from common.storage.progress import Progress
from common.storage.runinfo import is_finished
from common.storage.saved_agent import MalformedCheckpoint, load_weights
from common.training.camera import Camera, predict_open_loop
from common.training.clock import Clock, Stopwatch
from common.training.collector import Collector
from common.training.evaluator import Evaluator
from common.training.health import HealthMonitor
from common.training.skips import SkippedUpdates
from common.training.stop import Stop

COUNTERS = ("agent_steps", "updates", "episodes", "pending", "pretrained")
BEST_TRAIN_EPISODES = 10  # training episodes by which an agent is rated where there is no evaluation
REPORT_STREAM = 2  # separates the random numbers of reports from those of evaluation


class Loop:
    """Counters and pieces of one run. `folder` keeps the replay; `save` is called when a checkpoint is due, `best` with
    a kind of score, 'eval' or 'train', and what the agent of now got."""

    def __init__(
        self, config: dict, *, envs: Any, agent: Any, replay: Any, schedule: Any, evaluator: Evaluator,
        logger: Logger, progress: Progress, stop: Stop, folder: Path, save: Callable[[], None],
        best: Callable[[str, float], None] = lambda kind, score: None,
    ):  # fmt: skip
        self.folder, self._best = folder, best
        self.config, self.agent, self.replay, self.schedule = config, agent, replay, schedule
        self.evaluator, self.logger, self.progress, self.stop, self._save = evaluator, logger, progress, stop, save
        self.repeat = envs.repeat
        self.watch = Stopwatch()
        self.collector = Collector(envs, agent, replay, self.watch)
        self.health = HealthMonitor(config)
        self.sieve = FiniteMetrics(progress.message)
        self.skips = SkippedUpdates(config, agent, envs, folder.parent, progress.message)
        self.agent_steps = self.updates = self.episodes = self.pending = 0
        self.pretrained = False
        self._wall, self._since = 0.0, time.monotonic()
        run = config["run"]
        every = {name: run[f"{name}_every"] for name in ("log", "save", "eval", "video")}
        every["eval"] *= run["eval_episodes"] > 0
        every["film"] = every["video"]
        self.clocks = {name: Clock(frames) for name, frames in every.items()}
        self.camera = Camera(envs.obs_space)

    @property
    def frames(self) -> int:
        """Environment frames: agent steps times action repeat."""
        return self.agent_steps * self.repeat

    @property
    def wall(self) -> float:
        """Seconds of training over all sessions."""
        return self._wall + time.monotonic() - self._since

    @property
    def out_of_time(self) -> bool:
        """Whether the time for training is used up. The clock only moves on, so what is late stays late."""
        return 0 < self.config["run"]["max_seconds"] <= self.wall

    def begin(self) -> None:
        """Starts a new run."""
        with self._told():
            self.collector.begin()

    def run(self) -> None:
        """Trains until `steps` frames or for `run.max_seconds`; raises Stopped after a signal."""
        while True:
            self._train()
            self._arrive()
            self.collector.envs.check()
            self._publish()
            if is_finished(self.config, self.frames, self.wall):
                return
            self.stop.check()
            self._step()

    def counters(self) -> dict[str, float]:
        """What begins every line of metrics."""
        return {
            "frames": self.frames,
            "agent_steps": self.agent_steps,
            "updates": self.updates,
            "episodes": self.episodes,
            "wall": round(self.wall, 3),
        }

    def state(self) -> dict:
        """All that the next process needs, as tensors, arrays and plain Python; the replay's records go to files."""
        self._arrive()
        return {
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "skipped": self.skips.total,
            "doubt": self.skips.unproven,
            "health": self.health.state(),
            "wall": self.wall,
            "clocks": {name: clock.last for name, clock in self.clocks.items() if name != "save"},
            "agent": self.agent.state_dict(),
            "collector": self.collector.save(),
            "evaluator": self.evaluator.state,
            "schedule": self.schedule.state(),
            "replay": self.replay.save(self.folder),
            "logger": self.logger.state(self.frames),
            "rng": rng.get_state(),
        }

    def restore(self, state: dict) -> None:
        """Undoes `state`, which `check_run` has accepted; the logger is restored where it is made."""
        self.collector.check(state["collector"])
        load_weights(self.agent, state["agent"], self.folder.parent)
        if bad := nonfinite_names(self.agent):
            raise MalformedCheckpoint(f"agent.{bad[0]} is not finite")
        for name in COUNTERS:
            setattr(self, name, state["counters"][name])
        self._wall, self.skips.total = state["wall"], state.get("skipped", 0)
        self.skips.unproven = state.get("doubt", False)
        self.health.restore(state.get("health", self.health.state()))
        for name, clock in self.clocks.items():
            clock.mark(state["clocks"].get(name, self.frames))
        self.replay.load(self.folder, state["replay"])
        self.schedule.restore(state["schedule"])
        with self._told():
            self.collector.load(state["collector"])
        self.evaluator.state = state["evaluator"]
        rng.set_state(state["rng"])

    def _step(self) -> None:
        random = self.agent_steps < self.config["run"]["prefill"]
        try:
            self.agent_steps += self.collector.send(random=random, step=self.agent_steps)
        except NonFiniteError as error:
            seen = {"record": self.collector.record, "acting": self.collector.state, "mode": "train"}
            raise self.skips.dump_action(error, **seen, **self._place()) from error
        self.pending += self._due()
        self.progress.update(self.frames, self.updates)

    def _arrive(self) -> None:
        """Takes in the records of the step under way, if there is one."""
        if not self.collector.sent:
            return
        for episode in self.collector.receive():
            self.episodes += 1
            self.logger.log_episode(self.frames, episode.score, episode.length, episode.extra)
        if (pictures := self.camera.see(self.collector.record)) is not None:
            with self.watch("video"):
                self.logger.save_video("train/episode", self.frames, pictures)
        self._tell(self.collector.envs.messages() + self._replay_messages())

    def _due(self) -> int:
        """Updates due after a step: none while records are collected, some extra ones before the first."""
        size = self.config["batch_size"], self.config["batch_length"]
        if self.agent_steps < self.config["run"]["prefill"] or not self.replay.ready(*size):
            return 0
        extra = 0 if self.pretrained else self.config["run"]["pretrain"]
        self.pretrained = True
        return extra + self.schedule.due(self.agent_steps, repeat=self.repeat, replayed_per_update=size[0] * size[1])

    def _train(self) -> None:
        while self.pending and not self.out_of_time:
            self.stop.check()
            self._update()
            self.progress.update(self.frames, self.updates)

    def _update(self) -> None:
        with self.watch("replay"):
            batch = self.replay.sample(self.config["batch_size"], self.config["batch_length"])
        before = rng.get_state()
        self.pending -= 1
        try:
            with self.watch("train"):
                metrics, latents = self.agent.update(batch, self.agent_steps)
                self.logger.add(metrics)
        except NonFiniteError as error:
            self.skips.update(error, batch=batch, rng=before, **self._place())
            return
        if latents:
            with self.watch("replay"):
                self.replay.write_back(batch["index"], latents)
        self.updates += 1
        self.skips.end()

    def _place(self) -> dict[str, int]:
        return {"step": self.agent_steps, "updates": self.updates, "frames": self.frames}

    def _publish(self) -> None:
        """Does what has become due. The order matters: what may be broken off by a signal comes last but one."""
        self._when("log", self._log)
        if self.updates and self.config["batch_length"] > 1:
            self._when("video", self._report)
        if self.agent_steps >= self.config["run"]["prefill"]:
            self._when("eval", self._evaluate)
        if not self.clocks["eval"].every:
            self._when("film", self.camera.begin)
        if not self.skips.unproven:
            self._when("save", self._keep)

    def _keep(self) -> None:
        if not self.clocks["eval"].every and (
            recent := self.logger.scores.points["train"]["ys"][-BEST_TRAIN_EPISODES:]
        ):
            self._best("train", sum(recent) / len(recent))
        self._save()

    def _when(self, name: str, action: Callable[[], None]) -> None:
        clock = self.clocks[name]
        if clock.due(self.frames):
            with self.watch("video" if name == "film" else name):
                action()
            clock.mark(self.frames)

    def _log(self) -> None:
        scores = self.logger.scores
        rates = self.progress.line(score=scores.last("train"), eval=scores.last("eval"))
        metrics = self.sieve(dict(sorted(self.logger.means.take().items())))  # whichever came first
        counters, sizes = self.counters(), self._sizes()
        self.logger.write(counters, {**metrics, **sizes, **rates, **self.watch.take()})
        self._tell([str(finding) for finding in self.health.see({**counters, **metrics, **sizes})])
        if not self.pretrained and self.agent_steps >= self.config["run"]["prefill"]:
            why = self.replay.waiting_reason(self.config["batch_size"], self.config["batch_length"])
            self.progress.message(f"No updates yet: {why}.")

    def _sizes(self) -> dict[str, float]:
        replay = {"replay/size": len(self.replay), "replay/gib": self.replay.gib}
        return {"train/skipped": self.skips.total, **replay}

    def _report(self) -> None:
        """Films what the model predicts for a few sequences, and logs its error."""
        size = self.config["batch_size"], self.config["batch_length"]
        with rng.isolated_rng(self.config["seed"], self.frames, REPORT_STREAM):
            found = predict_open_loop(self.agent, self.replay, *size)
        for key, prediction in found.items():
            self.logger.save_video(f"openloop/{key}", self.frames, prediction.pictures)
        errors = {f"openloop/{key}": prediction.error for key, prediction in found.items()}
        self.logger.write(self.counters(), self.sieve(errors))

    def _evaluate(self) -> None:
        film = self.clocks["film"].due(self.frames)
        episodes = self.config["run"]["eval_episodes"]
        try:
            result = self.evaluator.run(episodes, self.frames, film=film, check=self.stop.check)
        except NonFiniteError as error:
            raise self.skips.dump_action(error, **self.evaluator.last_input, **self._place()) from error
        finally:
            self._tell(self.evaluator.messages())
        self.clocks["eval"].mark(self.frames)  # here: what follows may fail, and the run be saved all the same
        metrics = result.metrics()
        self.logger.scores.add("eval", self.frames, metrics["eval/score"])
        self.logger.write(self.counters(), metrics)
        if result.pictures is not None:
            self.logger.save_video("eval/episode", self.frames, result.pictures)
        if film:
            self.clocks["film"].mark(self.frames)
        self._best("eval", metrics["eval/score"])

    def _replay_messages(self) -> list[str]:
        messages, self.replay.messages = self.replay.messages, []
        return messages

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tells in the end what the environments have to say, also where they broke for good."""
        try:
            yield
        finally:
            self._tell(self.collector.envs.messages())

    def _tell(self, messages: list[str]) -> None:
        """Shows the first line of each message; the rest of it, a traceback, goes to a file."""
        for message in messages:
            line, _, trace = message.partition("\n")
            self.progress.message(line + " (traceback: failures.log)" * bool(trace))
            if trace:
                self.logger.log_failure(self.frames, message)
