"""The command `train`: trains an agent in a run directory; the same command resumes the run."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from common.distributed.checkpoints import RankCheckpoints, check_number_of_ranks, folder_of_rank
from common.distributed.shares import add_notice, rows_of_ranks, share_of_config
from common.distributed.torchrun import find_place
from common.errors import UserError
from common.files import remove_temporary_files
from common.nn import ranks
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
from common.storage.loggers.choice import check_loggers
from common.storage.runinfo import frames_trained, is_finished
from common.storage.saved_agent import check_log_offset, check_progress, check_replay, read_number, refuse_malformed
from common.training.callbacks import Callbacks
from common.training.core import build_core
from common.training.factory import Factory
from common.training.offline import offline_config
from common.training.session import FollowerSession, Session
from common.training.stop import Stop
from common.training.training_errors import report_disk_errors


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
    with stop.listening(), joined_ranks(config, stop) as share:
        if not ranks.current().leads:
            follow(config, share, logdir, stop, factory)
            return
        with contextlib.ExitStack() as stack:
            built = None
            if not (logdir / CONFIG_FILE).exists():  # a wrong task or setting must not leave a run directory behind
                check_directory(logdir)
                built = stack.enter_context(build_core(share, None, factory))
            stack.enter_context(report_disk_errors(logdir))
            stack.enter_context(lock_logdir(logdir))
            remove_temporary_files(logdir, logdir / "checkpoints", logdir / "replay")
            check_config(logdir, config)
            checkpoints = checkpoints_of(logdir)
            state = _load(checkpoints, config, logdir)
            if state is not None and is_finished(config, state["frames"], state["wall"]):
                store_config(logdir, config)
                print(_finished_message(config, state["frames"], state["wall"]))
                return
            if built is None or state is not None:  # another process may have made the run in the meantime
                built = stack.enter_context(build_core(share, state, factory))
            if state is None:  # a resumed run stores its config once the checkpoint is restored
                store_config(logdir, config)
            Session(config, logdir, checkpoints, stop, built, callbacks, share=share).run(state)


def follow(config: dict[str, Any], share: dict[str, Any], logdir: Path, stop: Stop, factory: Factory | None) -> None:
    """Train as another rank than the first: it checks the run directory, writes its config and says how it ends."""
    own = folder_of_rank(logdir, ranks.current().rank)
    with contextlib.ExitStack() as stack:
        stack.enter_context(report_disk_errors(own))
        checkpoints = checkpoints_of(logdir)
        state = checkpoints.load()
        if state is not None and is_finished(config, state["frames"], state["wall"]):
            return
        remove_temporary_files(own, own / "checkpoints", own / "replay")
        built = stack.enter_context(build_core(share, state, factory))
        FollowerSession(config, own, checkpoints, stop, built, share=share).run(state)


def checkpoints_of(logdir: Path) -> Checkpoints:
    """Return the checkpoints of this rank."""
    group = ranks.current()
    return Checkpoints(logdir / "checkpoints") if group.size == 1 else RankCheckpoints(logdir, group)


@contextlib.contextmanager
def joined_ranks(config: dict[str, Any], stop: Stop) -> Iterator[dict[str, Any]]:
    """Train with the other processes that torchrun started, if it did; yields the share of this one in the config."""
    place = find_place()
    if place is None:
        yield config
        return
    from common.distributed.launch import joined_group  # only here: it loads torch's compiler, which takes a second

    stop.patient = True
    gpu = config["run"]["device"] != "cpu" and torch.cuda.is_available()
    with joined_group(place, lambda size: rows_of_ranks(config, size), gpu) as group, ranks.joined(group):
        if group.leads:
            add_notice(config, group.rows)
        yield share_of_config(config, group, group.rows, place.local)


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
            check_number_of_ranks(state, ranks.current().size)
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
