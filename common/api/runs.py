"""`train` and `evaluate`: the commands of the same names for Python programs and notebooks."""

import contextlib
import dataclasses
import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from common.api.configs import completed_config, flags_of
from common.commands import eval as eval_command
from common.commands.command_line import command_input
from common.config import notices, parts, python_objects
from common.config.versions import DEFAULT_ALGO
from common.deploy.policy import Policy, load
from common.nn import rng
from common.safe_io import read_bytes
from common.storage.logdir import resolve_logdir
from common.storage.runinfo import frames_trained, is_finished, seconds_trained, updates_made
from common.training import train as train_command
from common.training.callbacks import Callbacks

SIGNAL_EXIT = 128  # added to the number of a signal for the exit code of a command that it ended


@dataclasses.dataclass(frozen=True)
class Run:
    """A run after `train`: its directory, config, progress and scores.

    finished: whether it reached its steps or seconds; otherwise `train` with the same arguments continues it.
    """

    logdir: Path
    config: dict[str, Any] = dataclasses.field(repr=False)
    frames: int
    updates: int
    seconds: float
    finished: bool

    @property
    def scores(self) -> dict[str, dict[str, list]]:
        """`train`: every training episode, `eval`: the mean of each evaluation. Both have xs (frames), ys (returns)."""
        lines = read_bytes(self.logdir / "scores.jsonl").decode().splitlines()
        return {row["kind"]: {"xs": row["xs"], "ys": row["ys"]} for row in map(json.loads, lines)}

    def load(self, device: str = "cpu", mode: str = "") -> Policy:
        """Return the policy of the newest checkpoint, as `dreamer.load` does."""
        return load(self.logdir, device, mode)

    def evaluate(self, **options: Any) -> dict[str, Any]:
        """Play episodes with the newest checkpoint, as `dreamer.evaluate` does."""
        return evaluate(self.logdir, **options)


def train(config: str | Mapping[str, Any] = DEFAULT_ALGO, *, callbacks: Any = (), **keys: Any) -> Run:
    """Train an agent, or resume the run in `logdir`, as `python dreamer.py train` does.

    config: a version, or a config of `make_config`. callbacks: see common/training/callbacks.py. keys: the arguments
    of `make_config`.

    Ctrl-C saves the run and then raises KeyboardInterrupt; a second one ends it at once. Other signals that end a run
    save it first. Outside the main thread, signals are left alone. The caller's random generators and number of CPU
    threads of torch are restored. Raises UserError for every error that a user can fix. An exception of a callback is
    raised once the run is saved.
    """
    found = Callbacks(callbacks)
    settled = completed_config(config, keys)
    settled["logdir"] = str(resolve_logdir(settled))
    used = [settled["task"], *(settled[seam]["use"] for seam in parts.PARTS)]
    for name in filter(python_objects.is_local, used):
        notices.add(python_objects.note(name))
    with caller_settings(), passed_on_signals():
        train_command.train(settled, callbacks=found)
    return run_in(settled)


def run_in(config: dict[str, Any]) -> Run:
    """Return the run of a config, as its files describe it."""
    logdir = Path(config["logdir"]).absolute()
    frames, seconds = frames_trained(logdir), seconds_trained(logdir)
    return Run(logdir, config, frames, updates_made(logdir), seconds, is_finished(config, frames, seconds))


def evaluate(logdir: str | Path | Run, *, env: Any = None, parts: Mapping[str, Any] | None = None, **keys: Any) -> dict:
    """Play episodes with the agent of a run, as `python dreamer.py eval` does; return the content of eval.json.

    env, parts: the objects of a run that was trained with them, if this process did not do that. keys: episodes, mode,
    video, best, out, and config keys. Raises UserError if the run or its checkpoint is missing or does not fit.
    """
    folder = logdir.logdir if isinstance(logdir, Run) else logdir
    flags = flags_of("eval", {**keys, "logdir": folder}, env=env, parts=parts)
    config = command_input("eval", [], None, [], {}, flags)
    assert isinstance(config, dict)
    with caller_settings():
        return eval_command.evaluate(config)


@contextlib.contextmanager
def caller_settings() -> Iterator[None]:
    """Restore random generators and torch's number of threads after the block."""
    threads, state = torch.get_num_threads(), rng.get_state()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        rng.set_state(state)


@contextlib.contextmanager
def passed_on_signals() -> Iterator[None]:
    """Replace an exit after a signal by that signal, for the handlers of the caller: Ctrl-C is KeyboardInterrupt."""
    number = 0
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.code, int) or error.code <= SIGNAL_EXIT:
            raise
        number = error.code - SIGNAL_EXIT
    if number:
        signal.raise_signal(signal.Signals(number))
