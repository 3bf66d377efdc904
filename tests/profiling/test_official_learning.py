"""The study next to the official agents: settings, environment, score files, order of runs, and its driver."""

import json
import sys
import types
from unittest.mock import Mock

import numpy as np
import pytest

from benchmarks.learning import __main__ as driver
from benchmarks.learning import runs, settings, start, study
from benchmarks.learning.agents import dreamer_v2, dreamer_v3
from benchmarks.learning.episodes import BudgetSpent, Episodes
from benchmarks.learning.score_files import Run, find_runs, read_run, write_run
from common.errors import UserError

RUN = Run("official", "v3", "gym_CartPole-v1", 10)
CONTENT = {"frames": [20, 45], "scores": [20.0, 25.0], "budget": 100, "revision": "abc", "cpu_seconds": 1.5}
CONTENT |= {"updates": 3, "parameters": 7, "date": "2026-11-30"}


@pytest.fixture(scope="module")
def official():
    return {version: settings.official_settings(version, study.TASKS[version][0].name) for version in study.TASKS}


def test_official_sizes_rates_and_schedules_are_those_of_the_cpu_block(official):
    v1, v2, v3 = (official[version]["flags"] for version in ("v1", "v2", "v3"))
    assert [v1[key] for key in ("batch_size", "batch_length", "deter_size", "stoch_size")] == [8, 32, 128, 30]
    assert [v1[key] for key in ("model_lr", "actor_lr", "value_lr", "kl_scale")] == [1e-3, 1e-4, 3e-4, 0.1]
    assert [v1[key] for key in ("train_every", "train_steps", "pretrain", "prefill")] == [100, 12, 12, 1000]
    assert v1["expl"] == "additive_gaussian"
    assert v2["rssm"] == {"deter": 128, "hidden": 128, "stoch": 16, "discrete": 16}
    assert v2["kl"]["balance"] == pytest.approx(0.8)
    assert v2["loss_scales"]["kl"] == pytest.approx(0.1)
    assert v2["encoder"]["mlp_layers"] == [128, 128]
    assert v2["replay"] == {"minlen": 1, "maxlen": 32, "prioritize_ends": True}
    assert official["v2"]["patches"] == {"ends": 50}
    assert [v3[f"agent.dyn.rssm.{key}"] for key in ("deter", "hidden", "stoch", "classes")] == [256, 64, 16, 16]
    assert [v3[f"agent.{key}"] for key in ("horizon", "opt.warmup", "rewhead.layers")] == [333, 100, 1]
    assert official["v3"]["patches"] == {"prefill": 1000, "rates": pytest.approx({"pol": 0.6, "val": 0.6})}


def test_our_command_has_the_settings_that_the_official_ones_come_from():
    words = settings.our_words("v1", "gym_Pendulum-v1", 10, 5000)
    pairs = words[words.index("--task") :]
    given = dict(zip(pairs[::2], pairs[1::2], strict=True))
    assert given["--sampler.inclusive"] == "false"
    assert (given["--steps"], given["--seed"], given["--run.threads"]) == ("5000", "10", "1")
    assert settings.our_config("v1", "gym_Pendulum-v1")["sampler.inclusive"] is False
    assert settings.our_config("v3", "gym_CartPole-v1")["policy_disc.unimix"] == 0


def test_settings_that_the_official_agent_has_only_once_must_agree():
    assert settings.same({"a": 1, "b": 1}, "a", "b") == 1
    with pytest.raises(ValueError, match=r"one number for a, b, we have \[1, 2\]"):
        settings.same({"a": 1, "b": 2}, "a", "b")


def play(episodes, steps):
    """Start an episode and make some steps. Return the sum of their rewards."""
    assert episodes.reset().shape == episodes.observation.shape == (2,)
    results = [episodes.step(np.zeros(1, np.float32)) for _ in range(steps)]
    assert not any(terminated for _, _, terminated, _ in results)
    return sum(reward for _, reward, _, _ in results)


def test_environment_records_scores_by_frames_and_ends_the_run_after_its_budget():
    episodes = Episodes("dummy_point_5", {}, seed=1, budget=12)
    rewards = [play(episodes, 5), play(episodes, 5), play(episodes, 2)]
    with pytest.raises(BudgetSpent):
        play(episodes, 1)
    assert episodes.frames == 12
    assert episodes.finished == [(5, pytest.approx(rewards[0])), (10, pytest.approx(rewards[1]))]


def test_start_script_reports_episodes_and_refuses_a_program_that_ends_early(monkeypatch):
    def train(job, logdir, episodes):
        assert logdir.is_dir()
        episodes.reset()
        for _ in range(job.settings["patches"]["steps"]):
            episodes.step(np.zeros(1, np.float32))
        return {"updates": 4}

    monkeypatch.setitem(sys.modules, "benchmarks.learning.agents.dreamer_fake", types.SimpleNamespace(train=train))
    job = start.Job("fake", "", "dummy_point_5", 1, 5, {"env": {}, "patches": {"steps": 5}}, "")
    found = start.run(job)
    assert (found["frames"], found["updates"], len(found["scores"])) == ((5,), 4, 1)
    assert "numpy" in found["packages"]
    job.settings["patches"]["steps"] = 3
    with pytest.raises(RuntimeError, match="ended after 3 of 5 frames"):
        start.run(job)


class StoredEpisodes:
    """Stands for the official V2 replay: complete episodes and the length of a window."""

    def __init__(self, lengths, maxlen):
        self._maxlen = maxlen
        self._complete_eps = {
            str(i): {"action": np.arange(length) + 100 * i, "is_first": np.zeros(length, bool)}
            for i, length in enumerate(lengths)
        }


def test_rows_of_v2_begin_with_a_new_sequence_also_if_episodes_are_short():
    replay = dreamer_v2.make_replay_class(StoredEpisodes, 0, 0)([5, 9, 40], 8)
    rows = replay._generate_chunks(8)
    for row in (next(rows) for _ in range(50)):
        assert row["action"].shape == (8,)
        assert row["is_first"][0]
        jumps = np.flatnonzero(np.diff(row["action"]) != 1) + 1
        assert (np.flatnonzero(row["is_first"])[1:] == jumps).all()


@pytest.mark.parametrize(("ends", "share"), [(0, 1 / 11), (10, 11 / 21)])
def test_last_window_of_v2_has_its_extra_chances(ends, share):
    replay = dreamer_v2.make_replay_class(StoredEpisodes, ends, 0)([18], 8)
    begins = [replay._sample_sequence()["action"][0] for _ in range(2000)]
    assert np.mean(np.array(begins) == 10) == pytest.approx(share, abs=0.04)


def test_modules_of_the_same_name_are_ours_again_after_the_import(tmp_path, monkeypatch):
    (tmp_path / "common.py").write_text("name = 'theirs'")
    (tmp_path / "api_of_test.py").write_text("import common")
    monkeypatch.syspath_prepend(str(tmp_path))
    ours = sys.modules["common"]
    with dreamer_v2.modules_aside(("common",)):
        import api_of_test

        assert api_of_test.common.name == "theirs"
    assert sys.modules["common"] is ours
    assert "common.errors" in sys.modules


def test_metrics_of_v3_are_averaged_over_frames():
    episodes = types.SimpleNamespace(frames=400)
    log = dreamer_v3.MetricLog(episodes)
    log.add({"val": 1.0, "unknown": 9.0})
    log.add({"val": 3.0})
    episodes.frames = 510
    log.add({"val": 7.0})
    assert log.lines == [{"frames": 500, "train/value": 2.0}]
    assert log.finish() == [{"frames": 500, "train/value": 2.0}, {"frames": 1000, "train/value": 7.0}]


def test_replay_of_v3_seems_empty_until_the_prefill_is_over():
    class Replay(list):
        pass

    episodes = types.SimpleNamespace(frames=9)
    dreamer_v3.train_after(Replay, episodes, 10)
    replay = Replay([1, 2])
    assert len(replay) == 0
    episodes.frames = 10
    assert len(replay) == 2


def test_runs_are_seed_major_with_both_sides_next_to_each_other():
    wanted = study.order(("v1", "v3"), 2)
    assert [run.seed for run in wanted] == [10] * 8 + [11] * 8
    assert wanted[0]._replace(side="ours") == wanted[1]
    assert len(set(wanted)) == 16


def test_score_files_are_read_back_and_damaged_ones_are_named(tmp_path):
    assert read_run(tmp_path, RUN) is None
    write_run(tmp_path, RUN, CONTENT)
    assert read_run(tmp_path, RUN)["scores"] == [20.0, 25.0]
    assert list(find_runs(tmp_path)) == [RUN]
    other = RUN._replace(seed=11)
    other.path(tmp_path).write_bytes(RUN.path(tmp_path).read_bytes())
    with pytest.raises(UserError, match="is not the score file of official/v3/gym_CartPole-v1/11"):
        read_run(tmp_path, other)
    RUN.path(tmp_path).write_text("{")
    with pytest.raises(UserError, match=r"is not a score file.*Delete it"):
        read_run(tmp_path, RUN)


def test_driver_skips_runs_that_are_done_and_reports_failures(tmp_path, monkeypatch, capsys):
    def make_ours(run, frames):
        assert frames == 50
        return CONTENT

    def make_official(run, frames, where):
        assert where == runs.Official(tmp_path, "py")
        raise runs.RunFailed("exit code 3\nthe last line")

    monkeypatch.setattr(runs, "make_ours", make_ours)
    monkeypatch.setattr(runs, "make_official", make_official)
    words = ["--versions", "v2", "--seeds", "1", "--frames", "50", "--out", str(tmp_path)]
    where = ["--checkout-v2", str(tmp_path), "--python-v2", "py"]
    assert driver.main([*words, *where]) == 1
    output = capsys.readouterr()
    assert "4 of 4 runs to make" in output.out
    assert output.err.count("the last line") == 2
    assert driver.main([*words, "--sides", "ours"]) == 0
    assert "0 of 2 runs to make" in capsys.readouterr().out
    assert driver.main([*words, "--list"]) == 0
    assert "2 of 4 done" in capsys.readouterr().out


def test_interrupted_driver_ends_its_runs_and_says_how_to_continue(tmp_path, monkeypatch, capsys):
    def make_ours(run, frames):
        raise KeyboardInterrupt

    child = Mock()
    monkeypatch.setattr(runs, "make_ours", make_ours)
    monkeypatch.setattr(runs, "CHILDREN", {child})
    assert driver.main(["--versions", "v2", "--sides", "ours", "--out", str(tmp_path)]) == driver.INTERRUPTED
    child.terminate.assert_called_once_with()
    assert "Rerun the same command to continue" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--versions", "v1,v4"], "v4: choose from v1, v2, v3"),
        (["--versions", "v1"], "needs --checkout-v1 DIR and --python-v1 PYTHON"),
        (["--versions", "v1", "--checkout-v1", "/no/folder", "--python-v1", "p"], "the folder does not exist"),
    ],
)
def test_driver_says_what_is_missing(words, message, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        driver.main([*words, "--out", str(tmp_path)])
    assert message in capsys.readouterr().err


def test_run_is_executed_on_one_thread_and_its_last_lines_are_reported(tmp_path):
    script = "import os, sys; print(os.environ['OMP_NUM_THREADS']); sys.exit(int(sys.argv[1]))"
    used = runs.execute([sys.executable, "-S", "-c", script, "0"], tmp_path / "output.txt")
    assert (tmp_path / "output.txt").read_text() == "1\n"
    assert used["cpu_seconds"] >= 0
    with pytest.raises(runs.RunFailed, match=r"exit code 4\n1"):
        runs.execute([sys.executable, "-S", "-c", script, "4"], tmp_path / "output.txt")


def test_our_run_directory_becomes_a_score_file(tmp_path):
    lines = [{"kind": "train", "xs": [5], "ys": [1.0]}, {"kind": "eval", "xs": [], "ys": []}]
    (tmp_path / "scores.jsonl").write_text("\n".join(map(json.dumps, lines)))
    about = {"parameters": 9, "updates": 2, "sessions": [{"python": "3.11", "packages": {"torch": "2"}}]}
    (tmp_path / "run.json").write_text(json.dumps(about))
    (tmp_path / "metrics.jsonl").write_text('{"frames": 5, "loss/vector": 2.0, "wall": 1}\n{"frames": 9, "wall": 2}\n')
    found = runs.read_our_run(tmp_path)
    assert (found["frames"], found["scores"], found["parameters"], found["updates"]) == ([5], [1.0], 9, 2)
    assert found["metrics"] == [{"frames": 5, "loss/observation": 2.0}]
