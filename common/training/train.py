"""`train`: trains an agent in a logdir; the same command again goes on where it stopped."""

import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from common.errors import NonFiniteError, UserError
from common.files import remove_temporary_files
from common.nn import rng
from common.nn.compile import Compiler, make_compiler
from common.nn.machine import peak_memory
from common.replay.capacity import free_memory
from common.storage import spaces
from common.storage.checkpoints import Checkpoints
from common.storage.logdir import (
    check_config,
    config_changes,
    config_digest,
    format_changes,
    lock_logdir,
    refused_changes,
    resolve_logdir,
    store_config,
)
from common.storage.logger import Logger
from common.storage.progress import Progress
from common.storage.runinfo import RunInfo, frames_trained, is_finished
from common.training import initial_weights, memory_forecast
from common.training.banner import banner, expected_updates
from common.training.checkpoint_consistency import check_consistency
from common.training.evaluator import Evaluator
from common.training.factory import Factory, record_spec
from common.training.loop import Loop
from common.training.offline import OfflineFactory, offline_config
from common.training.skips import Diverged
from common.training.stop import Stop, Stopped
from common.training.threads import choose_threads
from common.training.training_errors import (
    refuse_malformed,
    report_disk_errors,
    report_divergence,
    require_finite_agent,
)


def train(config: dict, factory: Factory | None = None) -> None:
    """Trains until `config['steps']` frames, or for `run.max_seconds` where that is not 0.

    Raises UserError for whatever a user can mend, and SystemExit with 130 or 143 after SIGINT or SIGTERM, when the run
    has been saved. `config` is the complete, resolved config; it is not changed.
    """
    config = {**config, "logdir": str(resolve_logdir(config))}
    if config["run"]["offline"]:
        config = offline_config(config)
    logdir = Path(config["logdir"]).absolute()  # environments may change the working folder
    with report_disk_errors(logdir), lock_logdir(logdir):
        remove_temporary_files(logdir, logdir / "checkpoints", logdir / "replay")
        check_config(logdir, config)
        checkpoints = Checkpoints(logdir / "checkpoints")
        state = _load(checkpoints, config)
        if state and is_finished(config, state["frames"], state["wall"]):
            store_config(logdir, config)
            print(_finished(config, state["frames"], state["wall"]))
            return
        if not state:  # else when it has been taken in
            store_config(logdir, config)
        made = factory or (OfflineFactory(config, state) if config["run"]["offline"] else Factory())
        Session(config, logdir, checkpoints, made).run(state)


class Session:
    """One process that trains in a logdir."""

    def __init__(self, config: dict, logdir: Path, checkpoints: Checkpoints, factory: Factory):
        self.config, self.checkpoints, self.factory = config, checkpoints, factory
        self.logdir = logdir
        self.info = RunInfo(self.logdir, config)
        self.stop = Stop()
        self.loop: Loop
        self._saved: tuple[int, int] | None = None  # frames and updates of the last checkpoint of this process
        self._learned: int | None = None  # updates of the newest checkpoint
        self._saving = False  # whether a checkpoint has been begun and not completed

    def run(self, state: dict | None) -> None:
        """Trains from `state`, or from scratch, to the end or to a signal."""
        with self.stop.listening(), self._pieces(state) as pieces:
            pieces |= {"stop": self.stop, "folder": self.logdir / "replay", "save": self.save, "best": self.best}
            self.loop = self.factory.loop(self.config, **pieces)
            self._begin(state)
            try:
                with report_divergence(self.loop, self.checkpoints):
                    self._train()
            except KeyboardInterrupt:
                self.loop.progress.message("Interrupted at once: nothing was saved since the last checkpoint.")
                raise SystemExit(130) from None

    def save(self) -> None:
        """Writes a checkpoint. Raises Unsound, and leaves all files alone, if the agent has become NaN or infinite."""
        loop = self.loop
        self._saving = True
        require_finite_agent(loop, self.checkpoints)
        own = {"config": self.config, "compiled": loop.agent.compiler is not None}
        state = {**loop.state(), **self._identity(), **own}
        self.checkpoints.save(state, frames=loop.frames, updates=loop.updates, algo=self.config["algo"])
        self._record(state["wall"])
        self._saved, self._learned, self._saving = (loop.frames, loop.updates), loop.updates, False

    def best(self, kind: str, score: float) -> None:
        """Keeps the agent of now, as far as evaluation needs it, if no `score` of its kind was higher.

        Raises as `save` does.
        """
        loop = self.loop
        require_finite_agent(loop, self.checkpoints)
        state = {"agent": loop.agent.state_dict(), **self._identity()}
        info = {"frames": loop.frames, "updates": loop.updates, "algo": self.config["algo"]}
        self.checkpoints.save_best(state, kind, score, **info)

    def _identity(self) -> dict[str, Any]:
        return {"frames": self.loop.frames, "digest": config_digest(self.config), "threads": torch.get_num_threads()}

    def _train(self) -> None:
        loop = self.loop
        try:
            loop.run()
        except Stopped:
            self.save()
            loop.progress.message(f"Saved at frame {loop.frames:,}. Give the same command again to go on.")
            raise SystemExit(self.stop.exit_code) from None
        except UserError as error:
            self._rescue(error)
            raise
        if loop.out_of_time or self._saved != (loop.frames, loop.updates):  # late: the last save may have been in time
            self.save()
        loop.progress.message(f"Finished: {loop.frames:,} frames, {loop.updates:,} updates in {loop.wall:.0f} s.")

    def _rescue(self, error: UserError) -> None:
        """Saves a run that an error ends, but for one of saving, or of what the agent has become.

        After skipped updates alone the last checkpoint has the weights of now already, and the one before is kept.
        """
        stale = isinstance(error, Diverged) and self._learned == self.loop.updates
        if self._saving or stale or isinstance(error, NonFiniteError):
            return
        self.save()
        self.loop.progress.message(f"Saved at frame {self.loop.frames:,}.")

    def _begin(self, state: dict | None) -> None:
        """Takes in the state, then stores config and spaces: what is refused changes nothing."""
        loop = self.loop
        if state is None:
            loop.begin()
            if self.config["run"]["init"]:
                loop.progress.message(initial_weights.load_initial_weights(loop.agent, self.config))
        else:
            with refuse_malformed(self.checkpoints.folder):
                loop.restore(state)
            self._learned = loop.updates
            text = "".join(f"\n  {key}: {change}" for key, change in store_config(self.logdir, self.config).items())
            loop.progress.message(
                f"Resumed at frame {loop.frames:,}, replay {len(loop.replay):,} steps, config changes: {text or 'none'}"
            )
        spaces.write(self.logdir, spaces.from_envs(loop.collector.envs))
        loop.progress.start_at(loop.frames, loop.updates)
        self.info.begin(loop.frames, sum(loop.agent.parameter_table().values()))
        self._record(loop.wall)

    def _record(self, wall: float) -> None:
        loop = self.loop
        self.info.update(loop.frames, loop.updates, wall, peak_memory(torch.device(loop.agent.device)))

    @contextlib.contextmanager
    def _pieces(self, state: dict | None) -> Iterator[dict[str, Any]]:
        """Everything that a loop is made of; closed in the end."""
        config, factory, free = self.config, self.factory, free_memory()
        rng.seed_all(config["seed"])
        with contextlib.ExitStack() as stack:
            envs = factory.envs(config)
            stack.callback(envs.close)
            schedule = factory.schedule(config)
            updates = expected_updates(config, envs.repeat, schedule)
            threads = choose_threads(config, (state or {}).get("threads"), factory, envs, updates)
            torch.set_num_threads(threads.threads)
            agent = factory.agent(envs.obs_space, envs.act_space, config)
            replay = factory.replay(config, record_spec(envs.obs_space, agent), envs.num, self.logdir / "replay")
            agent.compiler = self._compiler(agent.device, updates, state)
            evaluator = Evaluator(agent, lambda: factory.envs(config, evaluate=True), config["seed"])
            stack.callback(evaluator.close)
            pieces = {"envs": envs, "agent": agent, "replay": replay, "schedule": schedule}
            need = memory_forecast.forecast_memory(config, envs, agent, replay, free)
            print(banner(config, **pieces, threads=str(threads), memory=str(need)), flush=True)
            need.check()
            progress = Progress(config["steps"])
            stack.callback(progress.close)
            logger = self._logger(state)
            stack.callback(logger.close)
            yield {**pieces, "evaluator": evaluator, "logger": logger, "progress": progress}

    def _compiler(self, device: Any, updates: float, state: dict | None) -> Compiler | None:
        """What compiles the update. A run that goes on keeps to what it did, whatever its new length."""
        if state and "compiled" in state:
            updates = math.inf if state["compiled"] else 0
        return make_compiler(self.config["run"]["compile"], torch.device(device), updates)

    def _logger(self, state: dict | None) -> Logger:
        names = {"task": self.config["task"], "method": self.config["algo"], "seed": self.config["seed"]}
        with refuse_malformed(self.checkpoints.folder):
            return Logger(self.logdir, **names, state=state and state["logger"])


def _finished(config: dict, frames: int, wall: float) -> str:
    done, more = f"{frames:,} of {config['steps']:,} frames", "--steps"
    if frames < config["steps"]:
        done, more = f"{frames:,} frames in {wall:,.0f} s", "--run.max_seconds"
    return f"This run is finished: {done}. Raise {more} to go on."


def _load(checkpoints: Checkpoints, config: dict) -> dict | None:
    state = checkpoints.load()
    for message in checkpoints.messages:
        print(message, file=sys.stderr)
    trained = frames_trained(Path(config["logdir"]))
    if state is None and trained:
        raise UserError(
            f"The run in {config['logdir']} has trained for {trained:,} frames, but {checkpoints.folder} holds no "
            "checkpoint. Restore it, or start afresh in another --logdir."
        )
    if state:
        with refuse_malformed(checkpoints.folder):
            _refuse_other(state, config, checkpoints.folder)
            check_consistency(state, config, Path(config["logdir"]))
    return state


def _refuse_other(state: dict, config: dict, folder: Path) -> None:
    """Raises UserError for a checkpoint of another config."""
    if isinstance(state.get("digest"), str) and state["digest"] != config_digest(config):
        differing = (
            refused_changes(config_changes(state["config"], config)) if isinstance(state.get("config"), dict) else {}
        )
        raise UserError(
            f"The checkpoints in {folder} belong to another config than config.yaml beside them"
            f"{format_changes(differing)}\nPut the right files back, or start afresh in another --logdir."
        )
