"""Checkpoints with a correct checksum and malformed content are refused by file name, and no file changes."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch

import dreamer
from common.commands.eval import evaluate
from common.errors import UserError
from common.storage import checkpoint_file, nonfinite_dump
from common.storage.checkpoints import Checkpoints
from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, config, newest, put


def with_value(state, place, value):
    """Return a copy of a state with another value at a dotted place."""
    state = copy.deepcopy(state)
    put(state, place.split("."), value)
    return state


def files_in(folder):
    """Return the content of every file except the lock."""
    ours = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.read_bytes() for path in ours}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A run of 60 frames."""
    logdir = tmp_path_factory.mktemp("base") / "run"
    train(config(logdir, steps=60), FakeFactory())
    return logdir


MALFORMED = {
    "counters.pending": 2**40,
    "counters.updates": -1,
    "counters.agent_steps": 31,
    "counters.pretrained": "x",
    "skipped": "x",
    "doubt": 0,
    "wall": float("nan"),
    "frames": 64,
    "clocks.eval": "x",
    "schedule.debt": [2**60, 1],
    "schedule.last": -1,
    "logger.frames": "x",
    "logger.offset": -1,
    "replay.kind": "x",
    "replay.generation": "x",
    "replay.rng": [{}, {}],
    "schedule": {"last": 24, "debt": [1, 0]},
    "logger.scores": {"train": {"xs": [1], "ys": []}, "eval": {"xs": [], "ys": []}},
    "logger.means": [{"names": ["a"], "sum": torch.zeros(2), "count": 1}],
    "evaluator": [{"episode": 1}],
    "collector.envs": [{"episode": 0, "actions": [[1], [1, 2]], "closed": False, "digest": "x"}] * 2,
    "collector.scores": "x",
    "collector.state": {"deter": torch.zeros(3)},
    "collector.numbers": [1],
    "replay.oldest": 2**40,
    "replay.sampler": {"size": "x", "served": 0},
    "rng": {"python": 1},
    "agent.weight": torch.zeros(7),
    "agent.momentum": torch.tensor([0.0, torch.nan, 0.0, 0.0]),
    "agent": {1: torch.zeros(4)},
    "compiled": "x",
    "health.rows": [torch.zeros(2)],
}


@pytest.mark.parametrize(("place", "value"), [*MALFORMED.items(), ("schedule.last", 2**40)])
def test_training_refuses_a_malformed_value_and_changes_no_file(base, tmp_path, place, value):
    logdir = tmp_path / "run"
    shutil.copytree(base, logdir)
    path = Checkpoints(logdir / "checkpoints").save(with_value(newest(logdir), place, value))
    before = files_in(logdir)
    with pytest.raises(UserError) as error:
        train(config(logdir), FakeFactory())
    other_agent = place in ("agent", "agent.weight")  # those messages name the run directory and both shapes
    assert f"{logdir} does not fit" in str(error.value) or not other_agent
    assert str(error.value).startswith(f"{path} is not a checkpoint of this run (") or other_agent
    assert files_in(logdir) == before


def test_training_refuses_an_empty_checkpoint_and_changes_no_file(base, tmp_path):
    logdir = tmp_path / "run"
    shutil.copytree(base, logdir)
    path = Checkpoints(logdir / "checkpoints").save({})
    before = files_in(logdir)
    with pytest.raises(UserError, match=f"{path} is not a checkpoint of this run"):
        train(config(logdir), FakeFactory())
    assert files_in(logdir) == before


@pytest.mark.parametrize("where", ["start", "before_last_line", "inside_last_line"])
def test_a_log_offset_never_cuts_off_older_lines(base, tmp_path, where):
    logdir = tmp_path / "run"
    shutil.copytree(base, logdir)
    state, log = newest(logdir), (logdir / "metrics.jsonl").read_bytes()
    last = log.rindex(b"\n", 0, -1) + 1
    offsets = {"start": 0, "before_last_line": last, "inside_last_line": last + 3}
    path = Checkpoints(logdir / "checkpoints").save(with_value(state, "logger.offset", offsets[where]))
    (logdir / "metrics.jsonl").write_bytes(log.replace(b'"frames": 60', b'"frames": 58'))
    before = files_in(logdir)
    with pytest.raises(UserError, match=rf"{path} is not a checkpoint of this run .*offset"):
        train(config(logdir), FakeFactory())
    assert files_in(logdir) == before


def test_a_malformed_checkpoint_leaves_a_mapped_replay_alone(tmp_path):
    """Also if the malformed entry is restored late."""
    logdir = tmp_path / "run"
    train(config(logdir, steps=60, replay__disk=True), FakeFactory())
    for place, value in {"replay.kind": "x", "replay.rng": [{}, {}], "rng": {}, "collector.lengths": "x"}.items():
        Checkpoints(logdir / "checkpoints").save(with_value(newest(logdir), place, value))
        before = files_in(logdir)
        with pytest.raises(UserError, match="is not a checkpoint of this run"):
            train(config(logdir, replay__disk=True), FakeFactory())
        assert files_in(logdir) == before
        Checkpoints(logdir / "checkpoints").paths()[0].unlink()


def test_a_checkpoint_written_by_a_run_is_accepted(base, tmp_path):
    logdir = tmp_path / "run"
    shutil.copytree(base, logdir)
    Checkpoints(logdir / "checkpoints").save(newest(logdir))
    train(config(logdir, steps=80), FakeFactory())
    assert newest(logdir)["frames"] == 80


def test_the_message_names_the_file_that_was_read(base, tmp_path):
    """It does not name a newer one that is damaged."""
    logdir = tmp_path / "run"
    shutil.copytree(base, logdir)
    path = Checkpoints(logdir / "checkpoints").save(with_value(newest(logdir), "skipped", "x"))
    path.with_name("checkpoint-00000099.pt").write_bytes(b"damaged")
    with pytest.raises(UserError, match=rf"{path} is not a checkpoint of this run \(TypeError: skipped is 'x'\)"):
        train(config(logdir), FakeFactory())


TINY = {
    "task": "dummy_point_10", "steps": 24, "batch_size": 2, "batch_length": 6, "run.threads": 1, "run.device": "cpu",
    "run.prefill": 16, "run.pretrain": 0, "run.envs": 1, "run.parallel": "none", "run.eval_episodes": 1,
    "run.eval_every": 0, "run.video_every": 0, "run.compile": "off", "replay.capacity": 400, "schedule.ratio": 4.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Return the config of a run of a real agent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.nn.compile.has_fast_bfloat16", lambda device: False)
        given = dreamer.resolve("v3", ["debug"], TINY | {"logdir": str(tmp_path_factory.mktemp("real") / "run")})
        train(given)
    return given


@pytest.mark.parametrize("place", ["agent.optim._extra_state.model.t", "agent.optim._extra_state", "wall", "agent"])
@pytest.mark.parametrize("command", ["train", "eval"])
def test_train_and_eval_refuse_malformed_moments(real, tmp_path, place, command):
    logdir = tmp_path / "run"
    shutil.copytree(real["logdir"], logdir)
    state = newest(logdir)
    malformed = copy.deepcopy(state)
    if "optim" in place:
        malformed["agent"]["optim._extra_state"] = {"model": {"t": "x"}} if place.endswith("t") else "x"
    else:
        malformed[place] = "x"
    Checkpoints(logdir / "checkpoints").save(malformed)
    before = files_in(logdir)
    with pytest.raises(UserError, match=r"is not a checkpoint|is not one of a training run|does not fit this agent"):
        {"train": train, "eval": evaluate}[command]({**real, "logdir": str(logdir), "steps": 40})
    assert files_in(logdir) == before


def test_load_refuses_a_malformed_agent(real, tmp_path):
    logdir = tmp_path / "run"
    shutil.copytree(real["logdir"], logdir)
    Checkpoints(logdir / "checkpoints").save({**newest(logdir), "agent": {1: 2}})
    with pytest.raises(UserError, match="is not a checkpoint of this run"):
        dreamer.load(logdir)


@pytest.mark.parametrize(
    "malformed", [{"rng": 1}, {"agent": [1]}, {"config": {}}, {"spaces": []}, {"frames": "x"}, {"batch": 1}]
)
def test_debug_batch_refuses_a_malformed_file(real, tmp_path, capsys, malformed):
    logdir = tmp_path
    stored = json.loads((Path(real["logdir"]) / "spaces.json").read_text())
    seen = [stored["observation"], stored["action"]]
    state = newest(real["logdir"])
    content = {
        "config": real,
        "spaces": seen,
        "agent": state["agent"],
        "names": ["x"],
        "frames": 1,
        "updates": 1,
        "step": 1,
    }
    content |= {"batch": {}, "rng": state["rng"]} | malformed
    checkpoint_file.write(logdir / "first.pt", content)
    assert set(nonfinite_dump.load(logdir / "first.pt")) >= {"config"}
    assert dreamer.main(["debug-batch", str(logdir / "first.pt")]) == 2
    assert f"Error: {logdir / 'first.pt'}" in capsys.readouterr().err
