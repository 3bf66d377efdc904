"""The loop with real agents: exact resume; evaluation and reports have no effect."""

import pytest
import torch

import dreamer
from common.agent.agent import Agent
from common.commands.eval import evaluate
from common.replay.metadata import stored_keys
from common.training.loop import Loop
from common.training.train import train
from tests.helpers.run_fakes import lines, newest


def config(logdir, algo, **flags):
    tiny = {
        "task": "dummy_mixed_10", "steps": 90, "batch_size": 2, "batch_length": 6, "run.threads": 1,
        "run.device": "cpu", "run.prefill": 30, "run.pretrain": 1, "run.envs": 2, "run.parallel": "none",
        "run.log_every": 10, "run.save_every": 40, "run.eval_every": 40, "run.video_every": 50, "replay.capacity": 400,
    }  # fmt: skip
    return dreamer.resolve(algo, ["debug"], {**tiny, **flags, "logdir": str(logdir)})


def stop_at_update(monkeypatch, count):
    """Stop a run by SIGTERM before an update."""
    update = Loop._update

    def stopping(self):
        if self.updates == count:
            self.stop.signal = 15
            self.stop.check()
        update(self)

    monkeypatch.setattr(Loop, "_update", stopping)


@pytest.mark.parametrize("algo", list(dreamer.ALGOS))
def test_real_agents_resume_exactly_and_evaluation_has_no_effect(tmp_path, monkeypatch, algo):
    rate = {"v1": {"schedule.every": 20, "schedule.updates": 2}, "v2": {"schedule.steps": 10}}.get(algo, {})
    train(config(tmp_path / "straight", algo, **rate))
    with monkeypatch.context() as patch:
        stop_at_update(patch, 3)
        with pytest.raises(SystemExit) as exit_:
            train(config(tmp_path / "run", algo, **rate))
    assert exit_.value.code == 143
    train(config(tmp_path / "run", algo, **rate, **{"run.eval_every": 0, "run.video_every": 0}))
    extra = ("eval/", "openloop/")
    quiet = [row for row in lines(tmp_path / "straight") if not any(key.startswith(extra) for key in row)]
    assert [row for row in lines(tmp_path / "run") if not any(key.startswith(extra) for key in row)] == quiet
    assert quiet[-1]["updates"] > 5
    one, other = newest(tmp_path / "straight")["agent"], newest(tmp_path / "run")["agent"]
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one if isinstance(one[key], torch.Tensor))
    assert evaluate(config(tmp_path / "run", algo, **rate))["n"] == 1


@pytest.mark.parametrize("disk", [False, True])
def test_unread_observations_are_not_stored_and_earlier_runs_keep_the_form_of_their_files(tmp_path, monkeypatch, disk):
    """A run whose replay has an observation that nothing reads resumes with it; its numbers are those of a new run."""
    flags = {"encoder.keys": "vector", "decoder.keys": "vector", "replay.disk": disk, "run.video_every": 0}
    flags |= {"run.eval_every": 0, "replay.max_gib": 0.002, "replay.capacity": 0} if disk else {"run.eval_every": 0}
    train(config(tmp_path / "new", "v3", **flags))
    with monkeypatch.context() as patch:
        patch.setattr(Agent, "read_keys", {"image", "vector"})
        stop_at_update(patch, 3)
        with pytest.raises(SystemExit):
            train(config(tmp_path / "earlier", "v3", **flags))
    train(config(tmp_path / "earlier", "v3", **flags))
    found = {}
    for run in ("new", "earlier"):
        state = newest(tmp_path / run)["replay"]
        found[run] = stored_keys(tmp_path / run / "replay", state)
    assert found["earlier"] == found["new"] | {"image"}
    assert "image" not in found["new"]
    sizes = ("replay/gib",)
    plain = lambda run: [{k: v for k, v in row.items() if k not in sizes} for row in lines(tmp_path / run)]
    assert plain("earlier") == plain("new")
