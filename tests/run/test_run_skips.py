"""Runs whose updates or actions are not finite: what is skipped, kept and said, when they stop, how they go on."""

import json

import numpy as np
import pytest
import torch
from run_fakes import FakeAgent, FakeFactory, config, lines, newest

import dreamer
from common import caught
from common.agent import Agent
from common.errors import NonFinite, UserError
from common.run.train import train

TINY = {
    "task": "dummy_point_10", "steps": 60, "batch_size": 2, "batch_length": 6, "run.threads": 1, "run.device": "cpu",
    "run.prefill": 20, "run.pretrain": 0, "run.envs": 1, "run.parallel": "none", "run.log_every": 20,
    "run.eval_every": 0, "run.video_every": 0, "run.compile": "off", "run.max_skips": 1, "replay.capacity": 400,
}  # fmt: skip


class Sick(FakeAgent):
    """Some of its updates are not finite."""

    bad: tuple = ()

    def update(self, batch, step=0):
        self.calls.append(step)
        if len(self.calls) in self.bad:
            raise NonFinite(["loss/data"])
        metrics, latents = super().update(batch, step)
        self.calls.pop()
        return metrics, latents


def sick(*bad):
    return FakeFactory(type("Sick", (Sick,), {"bad": bad}))


def test_some_updates_are_skipped_and_counted(tmp_path, capsys):
    train(config(tmp_path / "run"), sick(5, 9, 10))
    said = capsys.readouterr().err
    assert said.count("not finite: loss/data") == 3
    assert "debug-batch" in said
    files = [caught.load(tmp_path / "run/nonfinite" / name) for name in caught.FILES]
    assert [state["updates"] for state in files] == [4, 7]
    straight = newest(tmp_path / "run")
    assert lines(tmp_path / "run")[-1]["train/skipped"] == straight["skipped"] == 3
    assert straight["counters"]["pending"] == 0


def test_too_many_in_a_row_stop_the_run_where_it_can_go_on(tmp_path):
    with pytest.raises(UserError, match=r"3 updates in a row .* not finite: loss/data") as error:
        train(config(tmp_path / "run"), sick(10, 11, 12))
    assert not isinstance(error.value, NonFinite)
    state = newest(tmp_path / "run")
    assert (state["counters"]["updates"], state["skipped"]) == (9, 3)
    train(config(tmp_path / "run"), FakeFactory())
    assert newest(tmp_path / "run")["frames"] == 200


def test_skipping_writes_no_latents(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("common.replay.Replay.write_back", lambda self, index, latents: written.append(1))
    train(config(tmp_path / "run"), sick(5, 9, 10))
    assert len(written) == newest(tmp_path / "run")["counters"]["updates"]


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """Logdirs of runs of real agents that stopped: a reward or a weight was not finite."""
    folder = tmp_path_factory.mktemp("poisoned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.fast.has_bfloat16", lambda device: False)
        for name, algo in (("reward", "v2"), ("weight", "v3")):
            with patch.context() as spoilt:
                SPOIL[name](spoilt)
                with pytest.raises(UserError) as error:
                    train(dreamer.resolve(algo, ["debug"], {**flags(algo), "logdir": str(folder / name)}))
            (folder / f"{name}.txt").write_text(str(error.value))
    return folder


def flags(algo):
    return TINY | ({"schedule.ratio": 3.0} if algo == "v3" else {"schedule.steps": 5})


def spoil_reward(patch):
    from common.replay import Replay

    sample = Replay.sample

    def spoilt(self, *args, **kwargs):
        batch = sample(self, *args, **kwargs)
        batch["reward"][1, 3] = np.nan
        return batch

    patch.setattr(Replay, "sample", spoilt)


def spoil_weight(patch):
    update = Agent.update

    def spoilt(self, *args, **kwargs):
        with torch.no_grad():
            self.world.rssm.post[-1].bias[0] = torch.inf
        return update(self, *args, **kwargs)

    patch.setattr(Agent, "update", spoilt)


SPOIL = {"reward": spoil_reward, "weight": spoil_weight}


def debug(capsys, path):
    assert dreamer.main(["debug-batch", str(path)]) == 0
    return capsys.readouterr().out


def test_debug_batch_names_the_loss_and_the_place(poisoned, capsys):
    page = debug(capsys, poisoned / "reward/nonfinite/first.pt")
    assert "not finite then  loss/reward, grad/model\n" in page
    assert "not finite now   loss/reward, grad/model (on cpu" in page
    assert "no module: every output was finite" in page
    words = [line.split() for line in page.splitlines()]
    assert any(row[:1] == ["reward"] and row[-5:] == ["1", "of", "12", "(1,", "3)"] for row in words)
    assert any(row[:1] == ["reward"] and row[-3:] == ["1", "of", "12"] for row in words)
    assert any(row[:3] == ["reward", "model", "nan"] for row in words)
    assert any(row[:2] == ["vector", "model"] and row[2] != "nan" for row in words)


def test_debug_batch_names_the_module(poisoned, capsys):
    page = debug(capsys, poisoned / "weight/nonfinite/first.pt")
    assert "begins in        world.rssm.post.1, whose inputs were finite\n" in page
    assert "weights          world.rssm.post.1.bias not finite\n" in page


def test_actions_are_traced_to_a_weight(poisoned, capsys):
    text = (poisoned / "weight.txt").read_text()
    assert "not finite: the actions of the policy, weights world.rssm.post.1.bias" in text
    page = debug(capsys, poisoned / "weight/nonfinite/last.pt")
    assert "acting" in page
    assert "not finite now   the actions of the policy" in page
    assert "begins in        world.rssm.post.1, whose inputs were finite\n" in page


def test_a_stopped_run_can_be_resumed(poisoned):
    logdir = poisoned / "reward"
    assert "2 updates in a row" in (poisoned / "reward.txt").read_text()
    train(dreamer.resolve("v2", ["debug"], {**flags("v2"), "logdir": str(logdir)}))
    rows = [json.loads(line) for line in (logdir / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["train/skipped"] == 2
    assert newest(logdir)["counters"]["updates"] > 0


def test_what_is_no_such_file_is_refused(poisoned, tmp_path, capsys):
    (tmp_path / "x.pt").write_bytes(b"nothing")
    checkpoint = next((poisoned / "reward/checkpoints").glob("*.pt"))
    for path, text in ((tmp_path / "x.pt", "cannot be used"), (checkpoint, "is a checkpoint"), (tmp_path, "cannot be")):
        assert dreamer.main(["debug-batch", str(path)]) == 2
        assert text in capsys.readouterr().err
    assert dreamer.main(["debug-batch"]) == 2
