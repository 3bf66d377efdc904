"""The command `train`: trains an agent in a run directory; the same command resumes the run."""

import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from common.config import notices
from common.config.loggers import logger_names
from common.errors import NonFiniteError, UserError
from common.files import remove_temporary_files
from common.nn.compile import make_compiler
from common.nn.machine import peak_memory
from common.replay.metadata import stored_keys
from common.storage import spaces
from common.storage.checkpoints import Checkpoints
from common.storage.logdir import (
    CONFIG_FILE,
    check_config,
    check_directory,
    config_changes,
    config_digest,
    format_changes,
    lock_logdir,
    refused_changes,
    resolve_logdir,
    store_config,
)
from common.storage.logger import Logger
from common.storage.loggers.choice import check_loggers, make_loggers
from common.storage.loggers.run_logger import FAILED, FINISHED, STOPPED, run_facts
from common.storage.progress import Progress
from common.storage.runinfo import RunInfo, frames_trained, is_finished
from common.storage.saved_agent import check_log_offset, check_progress, check_replay, read_number, refuse_malformed
from common.training import initial_weights, memory_forecast, run_state
from common.training.banner import banner, expected_updates
from common.training.callbacks import CallbackError, Callbacks
from common.training.core import Core, build_core
from common.training.duration import long_run_warning
from common.training.evaluator import Evaluator
from common.training.factory import Factory, record_spec
from common.training.loop import Loop
from common.training.offline import offline_config
from common.training.skips import Diverged
from common.training.stop import Stop, Stopped
from common.training.training_errors import report_disk_errors, report_divergence, require_finite_agent


def train(config: dict[str, Any], factory: Factory | None = None, callbacks: Callbacks | None = None) -> None:
    """Train until `config['steps']` frames, or for `run.max_seconds` if that is not 0, or until a callback stops it.

    config: the complete, resolved config; it is not changed.

    Raises UserError for every error that a user can fix, and SystemExit with 130 or 143 once the run is saved after
    SIGINT or SIGTERM. An exception of a callback is raised once the run is saved.
    """
    config = {**config, "logdir": str(resolve_logdir(config))}
    if config["run"]["offline"]:
        config = offline_config(config)
    check_loggers(config)
    logdir = Path(config["logdir"]).absolute()  # environments may change the working directory
    stop = Stop()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stop.listening())
        built = None
        if not (logdir / CONFIG_FILE).exists():  # a wrong task or setting must not leave a run directory behind
            check_directory(logdir)
            built = stack.enter_context(build_core(config, None, factory))
        stack.enter_context(report_disk_errors(logdir))
        stack.enter_context(lock_logdir(logdir))
        remove_temporary_files(logdir, logdir / "checkpoints", logdir / "replay")
        check_config(logdir, config)
        checkpoints = Checkpoints(logdir / "checkpoints")
        state = _load(checkpoints, config, logdir)
        if state is not None and is_finished(config, state["frames"], state["wall"]):
            store_config(logdir, config)
            print(_finished_message(config, state["frames"], state["wall"]))
            return
        if built is None or state is not None:  # another process may have made the run in the meantime
            built = stack.enter_context(build_core(config, state, factory))
        if state is None:  # a resumed run stores its config once the checkpoint is restored
            store_config(logdir, config)
        Session(config, logdir, checkpoints, stop, built, callbacks).run(state)


class Session:
    """One process that trains in a run directory."""

    loop: Loop

    def __init__(
        self, config: dict[str, Any], logdir: Path, checkpoints: Checkpoints, stop: Stop, core: Core,
        callbacks: Callbacks | None = None,
    ) -> None:  # fmt: skip
        self.config, self.logdir, self.checkpoints, self.stop, self.core = config, logdir, checkpoints, stop, core
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
            self.loop = self.core.factory.loop(self.config, **pieces)
            self._begin(state)
            try:
                with report_divergence(self.loop, self.checkpoints):
                    self._train()
            except KeyboardInterrupt:
                self.loop.progress.message("Interrupted at once: nothing was saved since the last checkpoint.")
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
        return {"frames": self.loop.frames, "digest": config_digest(self.config), "threads": torch.get_num_threads()}

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
            if self.stop.signal is not None or not self._just_saved:
                self.save()
            loop.progress.message(f"Saved at frame {loop.frames:,}. To resume, rerun the same command.")
            if self.stop.signal is None:  # a callback asked for it
                return
            raise SystemExit(self.stop.exit_code) from None
        except UserError as error:
            self._save_after(error)
            raise
        if loop.out_of_time or not self._just_saved:  # out of time: run.json needs the new wall
            self.save()
        loop.progress.message(f"Finished: {loop.frames:,} frames, {loop.updates:,} updates in {loop.wall:.0f} s.")

    def _save_after(self, error: Exception) -> None:
        """Save a run that `error` ends, unless saving failed or the agent is not finite.

        If only skipped updates followed the last checkpoint, it holds the same weights: keep the one before it.
        """
        unchanged = isinstance(error, Diverged) and self._saved_updates == self.loop.updates
        if self._saving or unchanged or isinstance(error, NonFiniteError):
            return
        self.save()
        self.loop.progress.message(f"Saved at frame {self.loop.frames:,}.")

    def _begin(self, state: dict[str, Any] | None) -> None:
        """Restore the state, if any; only then write config, spaces and run.json: a refused state changes nothing."""
        loop = self.loop
        if state is None:
            loop.begin()
            if self.config["run"]["init"]:
                loop.progress.message(initial_weights.load_initial_weights(loop.agent, self.config))
        else:
            with refuse_malformed(self.logdir):
                run_state.restore(loop, state)
            self._saved_updates = loop.updates
            text = "".join(f"\n  {key}: {change}" for key, change in store_config(self.logdir, self.config).items())
            loop.progress.message(
                f"Resumed at frame {loop.frames:,}, replay {len(loop.replay):,} steps, config changes: {text or 'none'}"
            )
        spaces.write(self.logdir, spaces.from_envs(loop.collector.envs))
        loop.progress.start_at(loop.frames, loop.updates)
        self.info.begin(loop.frames, sum(loop.agent.parameter_table().values()))
        self._write_info(loop.wall)
        loop.logger.start(run_facts(self.config, self.logdir, self.info.data["sessions"][-1]))

    def _write_info(self, wall: float) -> None:
        memory = peak_memory(torch.device(self.loop.agent.device))
        self.info.update(self.loop.frames, self.loop.updates, wall, memory)

    @contextlib.contextmanager
    def _pieces(self, state: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        """Build the other parts of a loop, print the banner, and close them at the end."""
        config, (factory, envs, schedule, threads, agent, free) = self.config, self.core
        updates = expected_updates(config, envs.repeat, schedule)
        with contextlib.ExitStack() as stack:
            folder = self.logdir / "replay"
            spec = record_spec(envs.obs_space, agent, stored_keys(folder, state["replay"]) if state else ())
            replay = factory.replay(config, spec, envs.num, folder)
            if state and "compiled" in state:  # a resumed run keeps to its choice, also if it becomes longer
                updates = math.inf if state["compiled"] else 0
            agent.compiler = make_compiler(config["run"]["compile"], torch.device(agent.device), updates)
            evaluator = Evaluator(agent, lambda: factory.envs(config, evaluate=True), config["seed"])
            stack.callback(evaluator.close)
            pieces: dict[str, Any] = {"envs": envs, "agent": agent, "replay": replay, "schedule": schedule}
            need = memory_forecast.forecast_memory(config, envs, agent, replay, free)
            notices.print_all()
            print(banner(config, **pieces, threads=str(threads), memory=str(need)), flush=True)
            need.check()
            if state is None:
                replay.check_window(config["batch_length"])
            if state is None and need.free > 2 * need.weights + need.update:  # a second agent may be timed
                parameters = sum(agent.parameter_table().values())
                warning = long_run_warning(config, factory, envs, threads, parameters, updates)
                print(warning, end="\n" * bool(warning), file=sys.stderr, flush=True)
            progress = Progress(config["steps"], quiet="terminal" not in logger_names(config["run"]["logger"]))
            stack.callback(progress.close)
            names = {"task": config["task"], "method": config["algo"], "seed": config["seed"]}
            loggers = make_loggers(config, self.logdir, state["frames"] if state else 0, progress.message)
            with refuse_malformed(self.logdir):
                logger = Logger(self.logdir, **names, state=state and state["logger"], loggers=loggers)
            stack.push(lambda kind, *_: logger.close(_end_of(kind)))
            yield {**pieces, "evaluator": evaluator, "logger": logger, "progress": progress}


def _end_of(error: type[BaseException] | None) -> str:
    """Return how a process ends, for the loggers: by an error of this type, or without one."""
    if error is None:
        return FINISHED
    return STOPPED if issubclass(error, SystemExit | KeyboardInterrupt) else FAILED


def _finished_message(config: dict[str, Any], frames: int, wall: float) -> str:
    done, more = f"{frames:,} of {config['steps']:,} frames", "--steps"
    if frames < config["steps"]:
        done, more = f"{frames:,} frames in {wall:,.0f} s", "--run.max_seconds"
    return f"This run is finished: {done}. Raise {more} to continue."


def _load(checkpoints: Checkpoints, config: dict[str, Any], logdir: Path) -> dict[str, Any] | None:
    """Return the newest checkpoint, None for a new run; checks the entries that are used before the loop exists.

    Raises UserError if the checkpoints are missing, of another config or malformed.
    """
    state = checkpoints.load()
    for message in checkpoints.messages:
        print(message, file=sys.stderr)
    frames = frames_trained(logdir)
    if state is None and frames:
        raise UserError(
            f"The run in {config['logdir']} has trained for {frames:,} frames, but {checkpoints.folder} holds no "
            "checkpoint. Restore it, or start again in a new --logdir."
        )
    if state is not None:
        with refuse_malformed(logdir):
            _check_digest(state, config, checkpoints.folder)
            read_number(state, "wall", float)
            check_progress(state)
            check_replay(state["replay"])
            read_number({"compiled": False, **state}, "compiled", bool)
            offset = read_number(state["logger"], "offset", int)
            check_log_offset(logdir / "metrics.jsonl", offset, state["frames"])
    return state


def _check_digest(state: dict[str, Any], config: dict[str, Any], folder: Path) -> None:
    """Raise UserError for a checkpoint of another config."""
    if state["digest"] == config_digest(config):
        return
    stored = state.get("config")
    differing = refused_changes(config_changes(stored, config)) if isinstance(stored, dict) else {}
    raise UserError(
        f"The checkpoints in {folder} belong to another config than config.yaml in the same run directory"
        f"{format_changes(differing)}\nRestore the right files, or start again in a new --logdir."
    )
