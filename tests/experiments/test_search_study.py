"""`sweep` with the real Optuna and fake runs. `make extras` installs Optuna."""

import json

import pytest

import dreamer
from common.errors import UserError
from tests.helpers.grid_fakes import FAKE, rows

pytest.importorskip("optuna")

SWEEP = ["sweep", "--algo", "v3", "--configs", "debug", "--task", "dummy_point", "--steps", "100", "--jobs", "2"]
SWEEP += ["--space", "space.yaml", "--logdir", "here", "--startup", "3", "--warmup", "0"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Run in a folder with a space; runs are those of fake_dreamer."""
    monkeypatch.setattr("common.experiments.grid.process.ROOT", FAKE)
    monkeypatch.setattr("common.experiments.search.runner.LOOK_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text("kl.free: {low: 0.0, high: 4.0}\nbatch_size: {choices: [2, 4]}\n")


def report(tmp_path):
    return json.loads((tmp_path / "here/report.json").read_text())


def test_a_search_ends_with_a_report_and_continues_with_more_trials(tmp_path, capsys):
    assert dreamer.main([*SWEEP, "--trials", "4"]) == 0
    said = capsys.readouterr().out
    first = report(tmp_path)
    assert [one["state"] for one in first["trials"]] == ["done"] * 4
    assert all(one["value"] == pytest.approx(100 * one["params"]["kl.free"]) for one in first["trials"])
    best = max(first["trials"], key=lambda one: one["value"])
    assert first["best"]["number"] == best["number"]
    assert f"--kl.free {best['params']['kl.free']}" in said
    assert dreamer.main([*SWEEP, "--trials", "8"]) == 0
    more = report(tmp_path)
    assert more["trials"][:4] == first["trials"]
    assert len(more["trials"]) == 8
    values = [one["params"]["kl.free"] for one in more["trials"]]
    assert len(set(values)) == 8  # a resumed search does not draw the same values again
    assert set(more["importances"]) == {"kl.free", "batch_size"}
    assert len(rows(tmp_path / "here")) == 8


def test_the_mean_over_seeds_counts(tmp_path):
    assert dreamer.main([*SWEEP, "--trials", "2", "--seeds", "2"]) == 0
    for one in report(tmp_path)["trials"]:
        assert one["value"] == pytest.approx(100 * one["params"]["kl.free"] + 0.5)
    assert set(rows(tmp_path / "here")) == {
        f"trial {number}/dummy_point/{seed}" for number in (0, 1) for seed in (0, 1)
    }


def test_a_bad_trial_is_pruned_and_its_run_stopped(tmp_path):
    """Later trials have lower values than all before, and wait for a signal after the first tenths."""
    assert dreamer.main([*SWEEP, "--trials", "7", "--run.prefill", "77"]) == 0
    found = report(tmp_path)["trials"]
    states = [one["state"] for one in found]
    assert states[:3] == ["done"] * 3
    assert "pruned" in states
    pruned = next(one for one in found if one["state"] == "pruned")
    assert rows(tmp_path / "here")[f"trial {pruned['number']}/dummy_point/0"]["status"] == "pruned"
    assert set(pruned["rungs"]) == {"1", "2", "3"}


def test_an_interrupted_trial_continues_and_counts_once(tmp_path, monkeypatch):
    from common.experiments.search.runner import SearchRunner

    original = SearchRunner._judge

    def interrupted(self, trial):
        if trial.number == 1:
            self.stop.signal = 2
        else:
            original(self, trial)

    with monkeypatch.context() as patch:
        patch.setattr(SearchRunner, "_judge", interrupted)
        with pytest.raises(SystemExit) as end:
            dreamer.main([*SWEEP, "--trials", "3"])
        assert end.value.code == 130
    before = rows(tmp_path / "here")
    assert dreamer.main([*SWEEP, "--trials", "3"]) == 0
    found = report(tmp_path)["trials"]
    assert [one["number"] for one in found] == [0, 1, 2]
    assert [one["state"] for one in found] == ["done"] * 3
    after = rows(tmp_path / "here")
    for name, row in before.items():
        assert after[name]["words"] == row["words"]


def test_failed_trials_are_counted_and_a_search_of_failures_ends(tmp_path, capsys):
    assert dreamer.main([*SWEEP, "--trials", "9", "--run.prefill", "13"]) == 2
    said = capsys.readouterr().err
    assert "No trial is done, so there is no report." in said
    assert "the motor is on fire." in said
    assert len(rows(tmp_path / "here")) < 9


def test_another_space_or_metric_is_refused(tmp_path, capsys):
    assert dreamer.main([*SWEEP, "--trials", "1"]) == 0
    assert dreamer.main([*SWEEP, "--trials", "1", "--metric", "loss/reward"]) == 2
    assert "here contains another sweep (stored -> given):" in capsys.readouterr().err
    (tmp_path / "space.yaml").write_text("kl.free: {low: 0.0, high: 5.0}\n")
    with pytest.raises(UserError, match=r"space: kl\.free: 0 to 4"):
        dreamer.main([*SWEEP, "--trials", "1", "--debug"])
