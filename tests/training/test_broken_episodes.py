"""Episodes that a failure of the environment cuts short: counted apart, never scored."""

import json

import numpy as np
import pytest

from common.commands.eval import evaluate, result_line
from common.storage.checkpoints import BEST_FILE
from common.storage.video import EpisodeRecorder, EvaluationRecorder
from common.training.collector import Episode
from common.training.evaluator import Share
from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, config, interrupted, lines, newest, same_run, scores

TASK = "tests.helpers.faulty_envs:"


def given(logdir, task, **changes):
    return config(logdir, task=TASK + task, env__repeat=1, env__max_failures=1000, run__video_every=0, **changes)


def test_broken_training_episodes_are_counted_and_not_scored(tmp_path):
    train(given(tmp_path / "run", "OftenLost"), FakeFactory())
    train_scores, eval_scores = (row["ys"] for row in scores(tmp_path / "run"))
    assert set(train_scores) == set(eval_scores) == {21.0}
    rows = lines(tmp_path / "run")
    last = [row for row in rows if "train/broken" in row][-1]
    assert last["episodes"] == len(train_scores)
    assert last["train/broken"] > 5
    assert {row["episode/score"] for row in rows if "episode/score" in row} == {21.0}
    assert any(row["eval/broken"] > 0 for row in rows if "eval/score" in row)


def test_the_count_survives_a_resume(tmp_path, monkeypatch):
    changes = {"task": TASK + "OftenLost", "env__max_failures": 1000, "env__repeat": 1, "run__video_every": 0}
    train(config(tmp_path / "straight", **changes), FakeFactory())
    interrupted(tmp_path / "twice", monkeypatch, "_step", 60, **changes)
    same_run(tmp_path / "straight", tmp_path / "twice")
    assert newest(tmp_path / "twice")["broken"] > 5


def test_a_run_without_a_whole_episode_has_no_score(tmp_path, capsys):
    run = given(tmp_path / "run", "NeverWhole")
    train(run, FakeFactory())
    assert [row["ys"] for row in scores(tmp_path / "run")] == [[], []]
    assert not (tmp_path / "run/checkpoints" / BEST_FILE).exists()
    assert "No evaluation score: failures cut all 9 episodes short." in capsys.readouterr().err
    summary = evaluate(run, FakeFactory())
    assert summary == json.loads((tmp_path / "run/eval.json").read_text())
    assert {summary[key] for key in ("mean", "std", "interval")} == {None}
    assert (summary["n"], summary["scores"], summary["broken"]) == (0, [], 9)
    assert "no score, because failures of the environment cut all 9 episodes short" in capsys.readouterr().out


def test_eval_replaces_broken_episodes_and_names_their_number(tmp_path, capsys):
    run = given(tmp_path / "run", "OftenLost")
    train(run, FakeFactory())
    summary = evaluate(run, FakeFactory())
    assert (summary["n"], summary["mean"], summary["requested"]) == (3, 21.0, 3)
    assert summary["broken"] > 0
    assert f"not counted: {summary['broken']} episode(s) that failures cut short" in capsys.readouterr().out
    assert "not counted" not in result_line(summary | {"broken": 0})


RECORDERS = [EpisodeRecorder("image"), EvaluationRecorder(1, lambda record: record["image"][0])]


@pytest.mark.parametrize("recorder", RECORDERS)
def test_films_show_whole_episodes(recorder):
    for time, closes in [(0, False), (1, False), (2, True), (0, False), (5, False), (6, False)]:
        flags = {"is_first": np.array([time == 0]), "is_last": np.array([closes or time == 6])}
        recorder.see({"image": np.full((1, 4, 4, 3), time, np.uint8), **flags}, closes)
    film = np.concatenate([recorder.pictures()]).reshape(-1, 4 * 4 * 3)
    assert film.mean(1).tolist() == [0, 5, 6]
    assert EpisodeRecorder("image").pictures() is None


def test_a_share_ends_after_three_tries_for_each_episode():
    share = Share(2)
    for _ in range(9):
        share.add(Episode(0.0, 1, {}, broken=True))
    assert (share.over, share.broken, share.episodes) == (True, 6, [])
    assert Share(0).over
