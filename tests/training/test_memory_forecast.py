"""The memory forecast: printed before the first step; a run that cannot fit does not start."""

import pytest

import dreamer
from common.errors import UserError
from common.training import memory_forecast
from common.training.factory import Factory, record_spec
from common.training.memory_forecast import MemoryNeed
from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, config

GIB = 2**30


@pytest.fixture(scope="module")
def pieces():
    """Return config, environments, agent and replay of a small run on images; the replay is larger than the run."""
    flags = {"task": "dummy_pixels_20", "steps": 1000, "run.envs": 2, "run.parallel": "none", "run.device": "cpu"}
    given, factory = dreamer.resolve("v3", ["debug"], flags | {"replay.capacity": 10_000, "env.repeat": 2}), Factory()
    envs = factory.envs(given)
    agent = factory.agent(envs.obs_space, envs.act_space, given)
    return given, envs, agent, factory.replay(given, record_spec(envs.obs_space, agent), 2, None)


def test_the_forecast_counts_replay_weights_and_update(pieces):
    given, _, agent, replay = pieces
    need = memory_forecast.forecast_memory(*pieces, free=GIB)
    assert need.replay == (500 + 2) * replay.forecast().record_bytes
    assert need.weights == 16 * sum(p.numel() for p in agent.parameters() if p.requires_grad)
    twice = memory_forecast.forecast_memory(given | {"batch_size": 2 * given["batch_size"]}, *pieces[1:], free=GIB)
    assert twice.update == 2 * need.update > 2**20
    disk = memory_forecast.forecast_memory(given | {"replay": given["replay"] | {"disk": True}}, *pieces[1:], free=GIB)
    assert disk.replay == 0


def test_recomputed_activations_need_less(pieces):
    given, *rest = pieces
    recomputed = given | {"run": given["run"] | {"recompute_activations": True}}
    less, need = (memory_forecast.forecast_memory(each, *rest, free=GIB) for each in (recomputed, given))
    assert less.weights == need.weights
    assert 0 < less.update < need.update


@pytest.mark.parametrize(
    ("need", "says"),
    [
        (MemoryNeed(2 * GIB, GIB, GIB, 4 * GIB), ""),
        (MemoryNeed(2 * GIB, GIB, GIB, 4 * GIB - 1), "may not fit into memory: 3.00 to 4.00 GiB of 4.00 GiB free"),
        (MemoryNeed(2 * GIB, GIB, 0, 3 * GIB - 1), "does not fit into memory: 3.00 to 3.00 GiB"),
        (MemoryNeed(2 * GIB, GIB, GIB, 2 * GIB, "cuda", 2 * GIB), ""),
        (
            MemoryNeed(2 * GIB, GIB, GIB, 2 * GIB, "cuda", GIB),
            "may not fit into memory: replay 2.00 of 2.00 GiB free; on cuda",
        ),
        (MemoryNeed(2 * GIB, GIB, GIB, 2 * GIB - 1, "cuda", 9 * GIB), "does not fit into memory"),
        (MemoryNeed(2 * GIB, GIB, GIB, 2 * GIB, "cuda", GIB - 1), "does not fit into memory"),
    ],
)
def test_a_run_that_does_not_fit_is_refused_and_a_close_one_warned_about(need, says, capsys):
    if "does not" in says:
        with pytest.raises(UserError, match=says) as error:
            need.check()
        assert "--replay.max_gib" in str(error.value)
    else:
        need.check()
    assert (f"WARNING: this run {says}" in capsys.readouterr().err) == says.startswith("may")


def test_a_run_too_large_for_memory_ends_before_its_first_step(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.training.core.free_memory", lambda: 1000)
    with pytest.raises(UserError, match="does not fit into memory"):
        train(config(tmp_path / "run"), FakeFactory())
    assert "memory  0.00 to 0.00 GiB of 0.00 GiB free: replay 0.00, " in capsys.readouterr().out
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_a_replay_smaller_than_a_window_ends_before_the_run_starts(tmp_path):
    with pytest.raises(UserError, match=r"does not fit: .*Raise replay.capacity or lower batch_length"):
        train(config(tmp_path / "run", replay__capacity=8), FakeFactory())
    train(config(tmp_path / "run"), FakeFactory())  # not refused: the run has not started
