"""Runs with non-finite updates or actions: skips, dumps, messages, end of the run, resume."""

import json

import numpy as np
import pytest
import torch

import dreamer
from common.agent.agent import Agent
from common.agent.update_guard import named_float_tensors, nonfinite_names
from common.errors import NonFiniteError, UserError
from common.storage import checkpoint_file, nonfinite_dump
from common.training.train import train
from tests.helpers.run_fakes import FakeAgent, FakeFactory, config, lines, newest

TINY = {
    "task": "dummy_point_10", "steps": 60, "batch_size": 2, "batch_length": 6, "run.threads": 1, "run.device": "cpu",
    "run.prefill": 20, "run.pretrain": 0, "run.envs": 1, "run.parallel": "none", "run.log_every": 20,
    "run.eval_every": 0, "run.video_every": 0, "run.compile": "off", "run.max_skips": 1, "replay.capacity": 400,
}  # fmt: skip


class Sick(FakeAgent):
    """An agent with some non-finite updates."""

    bad: tuple = ()

    def update(self, batch, step=0):
        self.calls.append(step)
        if len(self.calls) in self.bad:
            raise NonFiniteError(["loss/data"])
        metrics, latents = super().update(batch, step)
        self.calls.pop()
        return metrics, latents


def sick(*bad):
    return FakeFactory(type("Sick", (Sick,), {"bad": bad}))


def test_nonfinite_updates_are_skipped_and_counted(tmp_path, capsys):
    train(config(tmp_path / "run"), sick(5, 9, 10))
    said = capsys.readouterr().err
    assert said.count("not finite: loss/data") == 3
    assert "debug-batch" in said
    files = [nonfinite_dump.load(tmp_path / "run/nonfinite" / name) for name in nonfinite_dump.FILE_NAMES]
    assert [state["updates"] for state in files] == [4, 7]
    straight = newest(tmp_path / "run")
    assert lines(tmp_path / "run")[-1]["train/skipped"] == straight["skipped"] == 3
    assert straight["counters"]["pending"] == 0


def test_too_many_skips_in_a_row_stop_a_run_that_can_resume(tmp_path):
    with pytest.raises(UserError, match=r"3 updates in a row .* not finite: loss/data") as error:
        train(config(tmp_path / "run"), sick(10, 11, 12))
    assert not isinstance(error.value, NonFiniteError)
    state = newest(tmp_path / "run")
    assert (state["counters"]["updates"], state["skipped"]) == (9, 3)
    train(config(tmp_path / "run"), FakeFactory())
    assert newest(tmp_path / "run")["frames"] == 200


def test_a_skipped_update_writes_no_latents(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr("common.replay.Replay.write_back", lambda self, index, latents: written.append(1))
    train(config(tmp_path / "run"), sick(5, 9, 10))
    assert len(written) == newest(tmp_path / "run")["counters"]["updates"]


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """Return the folder of two runs of real agents that stopped because of a reward or a weight."""
    folder = tmp_path_factory.mktemp("poisoned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.nn.compile.has_fast_bfloat16", lambda device: False)
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


def test_debug_batch_names_the_loss_and_its_position(poisoned, capsys):
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


def test_nonfinite_actions_are_traced_to_a_weight(poisoned, capsys):
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


def test_debug_batch_refuses_other_files(poisoned, tmp_path, capsys):
    (tmp_path / "x.pt").write_bytes(b"nothing")
    checkpoint = next((poisoned / "reward/checkpoints").glob("*.pt"))
    for path, text in ((tmp_path / "x.pt", "cannot be used"), (checkpoint, "is a checkpoint"), (tmp_path, "cannot be")):
        assert dreamer.main(["debug-batch", str(path)]) == 2
        assert text in capsys.readouterr().err
    assert dreamer.main(["debug-batch"]) == 2


@pytest.fixture(scope="module")
def overflown(tmp_path_factory):
    """Return a run directory, checkpoints and messages of two sessions whose critic overflows."""
    logdir, seen, said = tmp_path_factory.mktemp("overflown") / "run", [], []
    given = flags("v3") | {"run.prefill": 30, "run.save_every": 10, "optim.lr.critic": 1e30, "logdir": str(logdir)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.nn.compile.has_fast_bfloat16", lambda device: False)
        for _ in range(2):
            with pytest.raises(UserError) as error:
                train(dreamer.resolve("v3", ["debug"], given))
            said.append(str(error.value))
            seen.append({path.name: path.read_bytes() for path in (logdir / "checkpoints").glob("checkpoint-*")})
    return logdir, seen, said


def test_nonfinite_weights_never_replace_a_checkpoint(overflown):
    logdir, seen, _ = overflown
    assert seen[0] == seen[1] != {}
    state = newest(logdir)
    assert all(x.abs().max() < 1e6 for _, x in named_float_tensors(state["agent"]))


def test_a_refused_save_names_group_checkpoint_and_remedy(overflown):
    logdir, seen, said = overflown
    for text in said:
        assert "weights or moments have become infinite in critic (behavior.critic." in text
        assert f"Last good checkpoint: {logdir}/checkpoints/{max(seen[0])}." in text
        assert "--optim.lr.*" in text
    assert "model (" not in said[0]


def test_nonfinite_moments_stop_a_run(tmp_path, monkeypatch):
    """An infinite moment stops a run at its next save, although its losses are finite."""
    update = Agent.update

    def spoilt(self, *args, **kwargs):
        found = update(self, *args, **kwargs)
        self.optim.slots["model"]["nu"][0].view(-1)[0] = torch.inf
        return found

    monkeypatch.setattr(Agent, "update", spoilt)
    given = flags("v3") | {"run.save_every": 10, "logdir": str(tmp_path / "run")}
    with pytest.raises(UserError, match=r"infinite in model \(optim\._extra_state\.model\.nu\.0\), so nothing"):
        train(dreamer.resolve("v3", ["debug"], given))


def test_no_checkpoint_is_written_between_skips(tmp_path):
    """Weights without a finite update never replace the checkpoint before them, also after many reruns."""
    quiet = {"run__save_every": 4, "run__max_skips": 30, "schedule": {"use": "Every", "steps": 2, "updates": 1}}
    kept = lambda: {path.name for path in (tmp_path / "run/checkpoints").glob("checkpoint-*")}
    seen = []
    for bad in (range(10, 100), range(100), range(100)):
        with pytest.raises(UserError, match="31 updates in a row"):
            train(config(tmp_path / "run", steps=400, run__eval_every=0, **quiet), sick(*bad))
        seen.append(kept())
    assert seen[0] == seen[1] == seen[2]
    stored = [checkpoint_file.read(tmp_path / "run/checkpoints" / name) for name in sorted(seen[0])]
    assert [state["counters"]["updates"] for state in stored] == [8, 9]
    assert [state["skipped"] for state in stored] == [0, 0]


class Extra(torch.nn.Linear):
    extra: object = None

    def get_extra_state(self):
        return self.extra


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf, 2e19, -2e19])
def test_one_nonfinite_number_is_found(bad):
    """Other numbers are finite; moments may be large."""
    module = Extra(30, 50)
    assert nonfinite_names(module) == []
    with torch.no_grad():
        module.weight[20, 7] = bad
    assert nonfinite_names(module) == ["weight"]
    module.extra = {"model": {"t": 1, "nu": [torch.full((3,), bad), torch.zeros(0)]}}
    finite = np.isfinite(bad)
    assert nonfinite_names(module) == ["weight"] + ["_extra_state.model.nu.0"] * (not finite)
