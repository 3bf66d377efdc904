"""A full disk, by the system's limit of file sizes: every writer ends with one message, and the run can resume."""

import contextlib
import resource
import threading

import numpy as np
import pytest
import torch

import dreamer
from common.commands.eval import evaluate
from common.errors import UserError
from common.files import atomic_write, write_bytes
from common.replay import chunked_ring, journal
from common.storage import checkpoint_file, checkpoints, outputs
from common.storage import logdir as folders
from common.storage.logger import Logger
from common.storage.runinfo import RunInfo
from common.training.train import train
from tests.helpers.run_fakes import FakeAgent, FakeFactory, config, same_run

pytestmark = pytest.mark.xdist_group("run_full_disk")  # their shared run is made once


@contextlib.contextmanager
def full(size=10):
    """Limit files to `size` bytes; Python ignores the signal that the limit sends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class LargeAgent(FakeAgent):
    """An agent whose checkpoint is larger than file buffers."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.register_buffer("ballast", torch.ones(10_000))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that always had space."""
    logdir = tmp_path_factory.mktemp("whole") / "run"
    train(config(logdir), FakeFactory(LargeAgent))
    return logdir


def from_call(number, function, stack):
    """Return `function`; from its call `number` on the disk is full, until `stack` is closed."""
    calls = []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            stack.enter_context(full())
        return function(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize(
    ("owner", "name", "number"),
    [
        (checkpoint_file, "_write", 5),
        (checkpoints.Checkpoints, "save_best", 2),
        (chunked_ring.ChunkedRing, "_write", 4),
        (journal.UndoJournal, "_write", 9),
        (folders, "write_text", 1),
        (RunInfo, "update", 3),
        (Logger, "save_video", 2),
        (outputs.TensorBoard, "_add", 9),
        (outputs.JsonLines, "write", 8),
        (outputs.ScoreFile, "write", 4),
    ],
    ids=["checkpoint", "best", "chunk", "journal", "config", "run.json", "gif", "events", "metrics", "scores"],
)
def test_a_full_disk_is_one_message_and_the_run_resumes_later(
    whole, tmp_path, monkeypatch, capsys, owner, name, number
):
    given = config(tmp_path / "run", replay__disk=owner is journal.UndoJournal)
    monkeypatch.setattr(dreamer, "command_function", lambda command: lambda _: train(given, FakeFactory(LargeAgent)))
    monkeypatch.setattr(threading, "excepthook", lambda failure: pytest.fail(f"a thread died: {failure}"))
    with contextlib.ExitStack() as stack, monkeypatch.context() as patch:
        patch.setattr(owner, name, from_call(number, getattr(owner, name), stack))
        code = dreamer.main(["config"])
    said = capsys.readouterr().err
    assert code == 2, said
    assert said.count("Error: ") == 1
    assert "File too large" in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*.tmp"))
    train(given, FakeFactory(LargeAgent))
    same_run(whole, tmp_path / "run")


def test_a_video_is_complete_or_absent(whole):
    film = whole / "videos/x.gif"
    write_bytes(film, b"old")
    with full(), pytest.raises(UserError, match=r"Cannot write .*x\.gif: File too large"):
        write_bytes(film, bytes(20_000))
    assert film.read_bytes() == b"old"
    film.unlink()
    assert evaluate(config(whole), FakeFactory(LargeAgent))["n"] == 3


@pytest.mark.parametrize("save", [torch.save, lambda data, file: np.savez(file, data=data)], ids=["torch", "numpy"])
def test_the_reason_of_a_failed_save_is_reported(tmp_path, save):
    """torch.save raises its own RuntimeError if its file cannot be written."""
    with full(100_000), pytest.raises(UserError, match=r"Cannot write .*: File too"), atomic_write(tmp_path / "x") as f:
        save(torch.ones(100_000), f)
    assert not list(tmp_path.iterdir())
