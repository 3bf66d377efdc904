"""Checkpoints that are whole and that no run has written: refused with the file's name, and nothing is changed."""

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
from common.storage.checkpoint_schema import OPTIONAL, first_mismatch
from common.storage.checkpoints import Checkpoints
from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, config, newest, put


def spoilt(state, place, value):
    """A copy of a state with another value at a dotted place."""
    state = copy.deepcopy(state)
    put(state, place.split("."), value)
    return state


def tree(folder):
    ours = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.read_bytes() for path in ours}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A run of 60 frames."""
    logdir = tmp_path_factory.mktemp("base") / "run"
    train(config(logdir, steps=60), FakeFactory())
    return logdir


ODD = {
    "counters.pending": 2**40,
    "counters.updates": -1,
    "counters.agent_steps": 31,
    "counters.pretrained": "x",
    "skipped": "x",
    "doubt": 0,
    "wall": float("nan"),
    "frames": 64,
    "clocks.log": 2**40,
    "clocks.eval": "x",
    "schedule.debt": [2**60, 1],
    "schedule.last": 2**40,
    "schedule": {"last": 24, "debt": [1, 0]},
    "logger.offset": 0,
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
    "health": {"rows": [{"updates": 1, "train/return": 1.0}], "told": []},
    "health.rows": [torch.zeros(2)],
    "config": [],
}


@pytest.mark.parametrize("place", ODD)
def test_training_refuses_what_no_run_has_written(base, tmp_path, place):
    logdir = tmp_path / "run"
    shutil.copytree(base, logdir)
    path = Checkpoints(logdir / "checkpoints").save(spoilt(newest(logdir), place, ODD[place]))
    before = tree(logdir)
    with pytest.raises(UserError) as error:
        train(config(logdir), FakeFactory())
    assert place == "agent.weight" or str(error.value).startswith(f"{path} is not one of a training run (")
    assert tree(logdir) == before


def test_a_line_of_metrics_that_is_none_is_named():
    """Evaluation looks at it, too."""
    rows = {"health": {"rows": [torch.zeros(2)], "told": []}}
    assert first_mismatch({"health": OPTIONAL["health"]}, rows) == "health is a dict"


def test_what_a_run_has_written_is_accepted(base, tmp_path):
    logdir = tmp_path / "run"
    shutil.copytree(base, logdir)
    Checkpoints(logdir / "checkpoints").save(newest(logdir))
    train(config(logdir, steps=80), FakeFactory())
    assert newest(logdir)["frames"] == 80


def test_the_file_that_was_read_is_the_one_that_is_named(base, tmp_path):
    """Not a newer one that is damaged."""
    logdir = tmp_path / "run"
    shutil.copytree(base, logdir)
    path = Checkpoints(logdir / "checkpoints").save(spoilt(newest(logdir), "skipped", "x"))
    path.with_name("checkpoint-00000099.pt").write_bytes(b"damaged")
    with pytest.raises(UserError, match=rf"{path} is not one of a training run \(skipped is 'x'\)"):
        train(config(logdir), FakeFactory())


TINY = {
    "task": "dummy_point_10", "steps": 24, "batch_size": 2, "batch_length": 6, "run.threads": 1, "run.device": "cpu",
    "run.prefill": 16, "run.pretrain": 0, "run.envs": 1, "run.parallel": "none", "run.eval_episodes": 1,
    "run.eval_every": 0, "run.video_every": 0, "run.compile": "off", "replay.capacity": 400, "schedule.ratio": 4.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Config of a run of a real agent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.nn.compile.has_fast_bfloat16", lambda device: False)
        given = dreamer.resolve("v3", ["debug"], TINY | {"logdir": str(tmp_path_factory.mktemp("real") / "run")})
        train(given)
    return given


@pytest.mark.parametrize("place", ["agent.optim._extra_state.model.t", "agent.optim._extra_state", "wall", "agent"])
@pytest.mark.parametrize("command", ["train", "eval"])
def test_every_command_refuses_odd_moments(real, tmp_path, place, command):
    logdir = tmp_path / "run"
    shutil.copytree(real["logdir"], logdir)
    state = newest(logdir)
    odd = copy.deepcopy(state)
    if "optim" in place:
        odd["agent"]["optim._extra_state"] = {"model": {"t": "x"}} if place.endswith("t") else "x"
    else:
        odd[place] = "x"
    Checkpoints(logdir / "checkpoints").save(odd)
    before = tree(logdir)
    with pytest.raises(UserError, match=r"is not one of a training run|does not fit this agent"):
        {"train": train, "eval": evaluate}[command]({**real, "logdir": str(logdir), "steps": 40})
    assert tree(logdir) == before


def test_load_refuses_what_is_no_agent(real, tmp_path):
    logdir = tmp_path / "run"
    shutil.copytree(real["logdir"], logdir)
    Checkpoints(logdir / "checkpoints").save({**newest(logdir), "agent": {1: 2}})
    with pytest.raises(UserError, match="is not one of a training run"):
        dreamer.load(logdir)


@pytest.mark.parametrize(
    "odd", [{"rng": 1}, {"agent": [1]}, {"config": {}}, {"spaces": []}, {"frames": "x"}, {"batch": 1}]
)
def test_debug_batch_refuses_what_no_run_keeps(real, tmp_path, capsys, odd):
    logdir = tmp_path
    stored = json.loads((Path(real["logdir"]) / "spaces.json").read_text())
    seen = [stored["observation"], stored["action"]]
    state = newest(real["logdir"])
    whole = {
        "config": real,
        "spaces": seen,
        "agent": state["agent"],
        "names": ["x"],
        "frames": 1,
        "updates": 1,
        "step": 1,
    }
    whole |= {"batch": {}, "rng": state["rng"]} | odd
    checkpoint_file.write(logdir / "first.pt", whole)
    assert set(nonfinite_dump.load(logdir / "first.pt")) >= {"config"}
    assert dreamer.main(["debug-batch", str(logdir / "first.pt")]) == 2
    assert f"Error: {logdir / 'first.pt'}" in capsys.readouterr().err
