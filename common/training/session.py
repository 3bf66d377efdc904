"""One process that trains in a run directory, and what it writes there."""

import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from common.config import notices
from common.config.loggers import logger_names
from common.distributed.shares import steps_of_rank
from common.errors import NonFiniteError, UserError
from common.nn import ranks
from common.nn.compile import make_compiler
from common.nn.launch import make_launcher
from common.nn.machine import peak_memory
from common.replay.metadata import stored_keys
from common.storage import spaces
from common.storage.checkpoints import Checkpoints
from common.storage.logdir import config_digest, store_config
from common.storage.logger import Logger
from common.storage.loggers.choice import make_loggers
from common.storage.loggers.run_logger import FAILED, FINISHED, STOPPED, RunLogger, run_facts
from common.storage.progress import Progress
from common.storage.runinfo import RunInfo
from common.storage.saved_agent import refuse_malformed
from common.training import initial_weights, memory_forecast, run_state
from common.training.banner import banner, expected_updates
from common.training.callbacks import CallbackError, Callbacks
from common.training.core import Core
from common.training.duration import long_run_warning
from common.training.evaluator import Evaluator
from common.training.factory import record_spec
from common.training.loop import Loop
from common.training.skips import Diverged
from common.training.stop import Stop, Stopped
from common.training.thread_watch import watch_threads
from common.training.training_errors import report_divergence, require_finite_agent


class Session:
    """One process that trains in a run directory.

    config: of the run. share: that of this process, from which the parts are built; by default the same.
    """

    loop: Loop

    def __init__(
        self, config: dict[str, Any], logdir: Path, checkpoints: Checkpoints, stop: Stop, core: Core,
        callbacks: Callbacks | None = None, share: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.config, self.logdir, self.checkpoints, self.stop, self.core = config, logdir, checkpoints, stop, core
        self.share = share or config
        self.callbacks = callbacks
        self.info = RunInfo(self.logdir, config)
        self._saved: tuple[int, int] | None = None  # frames and updates of the last checkpoint of this process
        self._saved_updates: int | None = None  # updates of the newest checkpoint
        self._saving = False  # whether writing a checkpoint has begun and not succeeded

    def run(self, state: dict[str, Any] | None) -> None:
        """Train from a checkpoint's `state`, or from scratch, until the end or a signal."""
        with self._pieces(state) as pieces:
            pieces |= {"stop": self.stop, "folder": self.logdir / "replay", "save": self.save, "best": self.save_best}
            pieces |= {"callbacks": self.callbacks}
            self.loop = self.core.factory.loop(self.share, **pieces)
            self._begin(state)
            try:
                with report_divergence(self.loop, self.checkpoints):
                    self._train()
            except KeyboardInterrupt:
                self.say("Interrupted at once: nothing was saved since the last checkpoint.")
                raise SystemExit(130) from None

    def save(self) -> None:
        """Write a checkpoint. Raises UserError, and writes nothing, if the agent holds a NaN or infinity."""
        loop = self.loop
        self._saving = True
        require_finite_agent(loop, self.checkpoints)
        own = {"config": self.config, "compiled": loop.agent.compiler is not None}
        state = {**run_state.capture(loop), **self._identity(), **own}
        path = self.checkpoints.save(state, frames=loop.frames, updates=loop.updates, algo=self.config["algo"])
        self._write_info(state["wall"])
        self._saved, self._saved_updates, self._saving = (loop.frames, loop.updates), loop.updates, False
        loop.notify("on_checkpoint", path)

    def save_best(self, kind: str, score: float) -> None:
        """Write the current agent to best.pt if no earlier `score` of this kind was higher. Raises as `save` does."""
        loop = self.loop
        require_finite_agent(loop, self.checkpoints)
        state = {"agent": loop.agent.state_dict(), **self._identity()}
        info = {"frames": loop.frames, "updates": loop.updates, "algo": self.config["algo"]}
        self.checkpoints.save_best(state, kind, score, **info)

    def _identity(self) -> dict[str, Any]:
        return {"frames": self.loop.frames, "digest": config_digest(self.config), "threads": self.core.threads.threads}

    def _train(self) -> None:
        """Run the loop to its end and save. After an exception of a callback, save and raise that exception."""
        error = None
        try:
            self._run_loop()
        except CallbackError as failure:
            error = failure.error
        if error is not None:
            self.loop.callbacks = Callbacks()  # saving calls none of them again
            if not self._just_saved:
                self._save_after(error)
            raise error

    @property
    def _just_saved(self) -> bool:
        """Whether the last checkpoint of this process is of the current frame and update."""
        return self._saved == (self.loop.frames, self.loop.updates)

    def _run_loop(self) -> None:
        loop = self.loop
        try:
            loop.run()
        except Stopped:
            if self.stop.signalled or not self._just_saved:
                self.save()
            self.say(f"Saved at frame {loop.frames:,}. To resume, rerun the same command.")
            if self.stop.signal is None:  # a callback asked for it
                return
            raise SystemExit(self.stop.exit_code) from None
        except UserError as error:
            self._save_after(error)
            raise
        if loop.out_of_time or not self._just_saved:  # out of time: run.json needs the new wall
            self.save()
        self.say(f"Finished: {loop.frames:,} frames, {loop.updates:,} updates in {loop.wall:.0f} s.")

    def _save_after(self, error: Exception) -> None:
        """Save a run that `error` ends, unless saving failed or the agent is not finite.

        Of several ranks, the others may not know of the error, so the last checkpoint counts. They all skip updates.
        If only skipped updates followed the last checkpoint, it holds the same weights: keep the one before it.
        """
        unchanged = isinstance(error, Diverged) and self._saved_updates == self.loop.updates
        alone = ranks.current().size > 1 and not isinstance(error, Diverged)
        if self._saving or unchanged or isinstance(error, NonFiniteError) or alone:
            return
        self.save()
        self.say(f"Saved at frame {self.loop.frames:,}.")

    def say(self, text: str) -> None:
        """Show a line about the run."""
        self.loop.progress.message(text)

    def _begin(self, state: dict[str, Any] | None) -> None:
        """Start or restore the run; only then write config, spaces and run.json: a refused state changes nothing."""
        if state is None:
            self._start()
        else:
            with refuse_malformed(self.logdir):
                run_state.restore(self.loop, state)
            self._saved_updates = self.loop.updates
        self.loop.progress.start_at(self.loop.frames, self.loop.updates)
        self._write_facts(resumed=state is not None)

    def _start(self) -> None:
        """Begin the first episodes, with the same weights on all ranks."""
        self.loop.begin()
        if self.config["run"]["init"]:
            self.say(initial_weights.load_initial_weights(self.loop.agent, self.config))
        weights = self.loop.agent.state_dict().values()
        ranks.current().copy_state([value for value in weights if torch.is_tensor(value)])

    def _write_facts(self, resumed: bool) -> None:
        """Write the config of a resumed run, the spaces and run.json, and start the loggers."""
        loop = self.loop
        if resumed:
            text = "".join(f"\n  {key}: {change}" for key, change in store_config(self.logdir, self.config).items())
            stored = f"replay {len(loop.replay):,} steps"
            self.say(f"Resumed at frame {loop.frames:,}, {stored}, config changes: {text or 'none'}")
        spaces.write(self.logdir, spaces.from_envs(loop.collector.envs))
        self.info.begin(loop.frames, sum(loop.agent.parameter_table().values()))
        self._write_info(loop.wall)
        loop.logger.start(run_facts(self.config, self.logdir, self.info.data["sessions"][-1]))

    def _write_info(self, wall: float) -> None:
        memory = peak_memory(torch.device(self.loop.agent.device))
        self.info.update(self.loop.frames, self.loop.updates, wall, memory)

    @contextlib.contextmanager
    def _pieces(self, state: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        """Build the other parts of a loop, print the banner, and close them at the end."""
        config, (factory, envs, schedule, _, agent, _) = self.share, self.core
        updates = expected_updates(self.config, envs.repeat, schedule)
        with contextlib.ExitStack() as stack:
            folder = self.logdir / "replay"
            spec = record_spec(envs.obs_space, agent, stored_keys(folder, state["replay"]) if state else ())
            replay = factory.replay(steps_of_rank(self.config, config), spec, envs.num, folder)
            seconds = self.core.threads.training_seconds(updates, config["run"]["max_seconds"])
            if state and "compiled" in state:  # a resumed run keeps to its choice, also if it becomes longer
                seconds = math.inf if state["compiled"] else 0.0
            agent.compiler = make_compiler(config["run"]["compile"], torch.device(agent.device), seconds)
            agent.launcher = make_launcher(config, torch.device(agent.device))
            evaluator = Evaluator(agent, lambda: factory.envs(config, evaluate=True), config["seed"])
            stack.callback(evaluator.close)
            pieces: dict[str, Any] = {"envs": envs, "agent": agent, "replay": replay, "schedule": schedule}
            self._show_plan(pieces, updates, new=state is None)
            progress = self._progress()
            stack.callback(progress.close)
            names = {"task": config["task"], "method": config["algo"], "seed": self.config["seed"]}
            loggers = self._loggers(progress, state["frames"] if state else 0)
            with refuse_malformed(self.logdir):
                logger = Logger(self.logdir, **names, state=state and state["logger"], loggers=loggers)
            stack.push(lambda kind, *_: logger.close(_end_of(kind)))
            pieces["pace"] = watch_threads(config["run"], self.core.threads, progress.message)
            yield {**pieces, "evaluator": evaluator, "logger": logger, "progress": progress}

    def _show_plan(self, pieces: dict[str, Any], updates: float, new: bool) -> None:
        """Print the banner and warnings. Raises UserError if the run does not fit into memory."""
        config, (factory, envs, _, threads, agent, free) = self.share, self.core
        need = memory_forecast.forecast_memory(config, envs, agent, pieces["replay"], free)
        notices.print_all()
        print(banner(self.config, **pieces, threads=str(threads), memory=str(need)), flush=True)
        need.check()
        if not new:
            return
        pieces["replay"].check_window(config["batch_length"])
        if need.free > 2 * need.weights + need.update:  # a second agent may be timed
            parameters = sum(agent.parameter_table().values())
            with ranks.joined(ranks.ALONE):
                warning = long_run_warning(config, factory, envs, threads, parameters, updates)
            print(warning, end="\n" * bool(warning), file=sys.stderr, flush=True)

    def _progress(self) -> Progress:
        return Progress(self.config["steps"], quiet="terminal" not in logger_names(self.config["run"]["logger"]))

    def _loggers(self, progress: Progress, frames: int) -> list[RunLogger]:
        return make_loggers(self.config, self.logdir, frames, progress.message)


class FollowerSession(Session):
    """A rank that trains along with rank 0. Its folder in the run directory has its replay, checkpoints and logs."""

    def save_best(self, kind: str, score: float) -> None:
        """Do nothing: rank 0 keeps the best agent."""

    def say(self, text: str) -> None:
        """Show nothing: rank 0 says the same."""

    def _write_facts(self, resumed: bool) -> None:
        """Make the folder of this rank: rank 0 has made the run directory by now."""
        self.logdir.mkdir(parents=True, exist_ok=True)

    def _write_info(self, wall: float) -> None:
        """Write nothing."""

    def _show_plan(self, pieces: dict[str, Any], updates: float, new: bool) -> None:
        """Show nothing; check the share of this rank."""
        if new:
            pieces["replay"].check_window(self.share["batch_length"])

    def _progress(self) -> Progress:
        return RankProgress(self.config["steps"], quiet=True)

    def _loggers(self, progress: Progress, frames: int) -> list[RunLogger]:
        return []


class RankProgress(Progress):
    """Shows the messages of the training loop of a rank with its number."""

    def announce(self, text: str) -> None:
        """Show nothing: rank 0 shows the same."""

    def message(self, text: str) -> None:
        """Print `text`."""
        super().message(f"Rank {ranks.current().rank}: {text}")


def _end_of(error: type[BaseException] | None) -> str:
    """Return how a process ends, for the loggers: by an error of this type, or without one."""
    if error is None:
        return FINISHED
    return STOPPED if issubclass(error, SystemExit | KeyboardInterrupt) else FAILED
