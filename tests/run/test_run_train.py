"""The loop on real environments and replay with a fake agent: exact counters, exact records, exact resume."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from run_fakes import FakeAgent, FakeFactory, config

from common.checkpoint import Checkpoints
from common.errors import UserError
from common.logger import NonFinite
from common.run.banner import updates_per_step
from common.run.clock import Clock
from common.run.loop import Loop
from common.run.stop import Stop, Stopped
from common.run.train import train


@pytest.fixture(autouse=True, scope="module")
def fast_disk():
    """Hundreds of checkpoints need not survive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def lines(logdir):
    """Metric lines without what depends on the clock."""
    rows = [json.loads(line) for line in (Path(logdir) / "metrics.jsonl").read_text().splitlines()]
    clock = ("wall", "time/", "fps/")
    return [{key: value for key, value in row.items() if not key.startswith(clock)} for row in rows]


def scores(logdir):
    return [json.loads(line) for line in (Path(logdir) / "scores.jsonl").read_text().splitlines()]


def newest(logdir):
    return Checkpoints(Path(logdir) / "checkpoints").load()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run without interruption."""
    logdir = tmp_path_factory.mktemp("straight") / "run"
    train(config(logdir), FakeFactory())
    return logdir


def interrupted(logdir, monkeypatch, method, count, **changes):
    """Trains until the `count`-th call of Loop's or the agent's `method`, where a signal comes; then goes on."""
    owner = Loop if hasattr(Loop, method) else FakeAgent
    original, calls = getattr(owner, method), []

    def counting(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            stopper[0].signal = 2
        return original(self, *args, **kwargs)

    stopper = []
    monkeypatch.setattr("common.run.train.Stop", lambda: stopper.append(Stop()) or stopper[-1])
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, counting)
        with pytest.raises(SystemExit) as exit_:
            train(config(logdir, **changes), FakeFactory())
    assert exit_.value.code == 130
    train(config(logdir, **changes), FakeFactory())


def same_run(one, other):
    assert lines(one) == lines(other)
    assert scores(one) == scores(other)
    first, second = newest(one)["agent"], newest(other)["agent"]
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 11, 30, 61])
def test_stopped_before_any_update_and_resumed_equals_straight(straight, tmp_path, monkeypatch, count):
    interrupted(tmp_path / "run", monkeypatch, "_update", count)
    same_run(straight, tmp_path / "run")


@pytest.mark.parametrize("count", [1, 2, 6, 12, 13, 14, 20, 33, 47])
def test_stopped_at_any_step_and_resumed_equals_straight(straight, tmp_path, monkeypatch, count):
    interrupted(tmp_path / "run", monkeypatch, "_step", count)
    same_run(straight, tmp_path / "run")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_stopped_in_an_evaluation_and_resumed_equals_straight(straight, tmp_path, monkeypatch, count):
    interrupted(tmp_path / "run", monkeypatch, "_evaluate", count)
    same_run(straight, tmp_path / "run")


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": {"use": "Bursts", "every": 60, "updates": 7}, "sampler": {"use": "Episodes"}},
        {"schedule": {"use": "Every", "steps": 3, "updates": 2}, "replay__context": 0, "replay__disk": True},
        {"task": "dummy_point_30", "run__envs": 3, "replay__capacity": 60},
    ],
    ids=["bursts", "every-disk", "point-small"],
)
def test_resume_equals_straight_for_other_schedules_and_tasks(tmp_path, monkeypatch, changes):
    train(config(tmp_path / "straight", **changes), FakeFactory())
    interrupted(tmp_path / "stopped", monkeypatch, "_update", 17, **changes)
    same_run(tmp_path / "straight", tmp_path / "stopped")


def test_same_seed_same_run_and_other_seed_another(straight, tmp_path):
    train(config(tmp_path / "same"), FakeFactory())
    train(config(tmp_path / "other", seed=1), FakeFactory())
    assert lines(tmp_path / "same") == lines(straight)
    assert lines(tmp_path / "other") != lines(straight)


def test_a_killed_run_goes_on_from_its_checkpoint(straight, tmp_path, monkeypatch):
    """Lines and replay records after the checkpoint are forgotten, then made again."""
    crash = lambda self: (_ for _ in ()).throw(MemoryError()) if self.frames == 140 else step(self)
    step = Loop._step
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", crash)
        with pytest.raises(MemoryError):
            train(config(tmp_path / "run"), FakeFactory())
    assert newest(tmp_path / "run")["frames"] == 100
    assert lines(tmp_path / "run")[-1]["frames"] == 140
    train(config(tmp_path / "run"), FakeFactory())
    same_run(straight, tmp_path / "run")


def test_a_run_killed_before_its_first_checkpoint_starts_afresh(straight, tmp_path, monkeypatch):
    crash = lambda self: (_ for _ in ()).throw(MemoryError()) if self.frames == 40 else step(self)
    step = Loop._step
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", crash)
        with pytest.raises(MemoryError):
            train(config(tmp_path / "run"), FakeFactory())
    train(config(tmp_path / "run"), FakeFactory())
    same_run(straight, tmp_path / "run")


def test_evaluation_and_videos_leave_training_alone(straight, tmp_path):
    train(config(tmp_path / "run", run__eval_every=0, run__video_every=0), FakeFactory())
    quiet = [row for row in lines(straight) if not any(key.startswith(("eval/", "openloop/")) for key in row)]
    assert lines(tmp_path / "run") == quiet


def test_a_finished_run_says_so_and_more_steps_go_on(straight, tmp_path, capsys):
    logdir = tmp_path / "run"
    train(config(logdir, steps=120), FakeFactory())
    before = lines(logdir)
    capsys.readouterr()
    train(config(logdir, steps=120), FakeFactory())
    assert "finished: 120 of 120 frames. Raise --steps" in capsys.readouterr().out
    assert lines(logdir) == before
    train(config(logdir), FakeFactory())
    assert "steps: 120 -> 200" in capsys.readouterr().err
    same_run(straight, logdir)


@pytest.mark.parametrize("envs", [1, 2, 4])
@pytest.mark.parametrize("repeat", [1, 2, 4])
def test_frames_are_what_the_environments_counted(tmp_path, monkeypatch, envs, repeat):
    counted = []
    monkeypatch.setattr("common.envs.dummy.Counter.step", counting(counted))
    changes = {"task": "dummy_counter_8", "env__repeat": repeat, "run__envs": envs, "run__eval_every": 0}
    train(config(tmp_path / "run", steps=320, **changes), FakeFactory())
    state = newest(tmp_path / "run")
    assert state["frames"] == len(counted) == state["counters"]["agent_steps"] * repeat
    assert 320 <= state["frames"] < 320 + envs * repeat
    assert state["counters"]["episodes"] == sum(counted)


def counting(counted):
    from common.envs.dummy import Counter

    step = Counter.step

    def counter(self, choice, force):
        result = step(self, choice, force)
        counted.append(result[2])
        return result

    return counter


def test_records_of_an_episode_are_complete(tmp_path):
    """Length + 1 records, their action shown by the next observation, rewards that sum to the logged score."""
    train(config(tmp_path / "run", task="dummy_onehot_7", env__repeat=1, steps=160), RecordingFactory())
    for env in range(2):
        records = RecordingFactory.streams[env]
        starts = [i for i, record in enumerate(records) if record["is_first"]]
        ends = [i for i, record in enumerate(records) if record["is_last"]]
        assert starts[0] == 0
        assert [end + 1 for end in ends] == starts[1 : len(ends) + 1]
        for start, end in zip(starts, ends, strict=False):
            assert end - start == 7
            assert not records[end]["is_terminal"]
            assert not records[end]["action"].any()
            for i in range(start, end):
                np.testing.assert_array_equal(records[i]["action"], records[i + 1]["vector"])
    stored = [
        sum(float(record["reward"]) for record in stream[end - 6 : end + 1])
        for stream in RecordingFactory.streams
        for end in (i for i, record in enumerate(stream) if record["is_last"])
    ]
    logged = Counter(round(score, 4) for score in scores(tmp_path / "run")[0]["ys"])
    unstored = logged - Counter(round(score, 4) for score in stored)
    assert unstored.total() == logged.total() - len(stored) <= 2  # the last records are stored with the next step


class RecordingFactory(FakeFactory):
    """Keeps every record that goes to the replay, by environment."""

    streams: list = []  # noqa: RUF012

    def replay(self, *args):
        replay = super().replay(*args)
        add, streams = replay.add, [[] for _ in range(replay.streams)]

        def recording(record):
            for env, stream in enumerate(streams):
                stream.append({key: np.array(value[env]) for key, value in record.items()})
            add(record)

        replay.add = recording
        RecordingFactory.streams = streams
        return replay


@pytest.mark.parametrize("envs", [1, 4])
def test_updates_are_exact_over_many_steps(tmp_path, envs):
    """Prefill, extra updates once, then one update at the first call and the ratio kept to a single update."""
    quiet = {"run__eval_every": 0, "run__video_every": 0, "run__log_every": 1000, "run__save_every": 0}
    train(config(tmp_path / "run", steps=2000, run__envs=envs, run__prefill=100, **quiet), FakeFactory())
    counters = newest(tmp_path / "run")["counters"]
    assert counters["updates"] == 3 + 1 + (counters["agent_steps"] - 100) * 10 // 8


def test_prefill_is_random_and_updates_wait_for_it(tmp_path):
    factory = FakeFactory()
    train(config(tmp_path / "run", run__prefill=60), factory)
    assert min(factory.made[0].calls) == 60
    assert lines(tmp_path / "run")[4]["updates"] == 0


def test_scores_file_looks_like_the_published_ones(straight):
    training, evaluation = scores(straight)
    assert set(training) == {"task", "method", "seed", "kind", "xs", "ys"}
    assert (training["task"], training["method"], training["seed"]) == ("dummy_onehot_7", "fake", 0)
    assert len(training["xs"]) == len(training["ys"]) == newest(straight)["counters"]["episodes"]
    assert evaluation["kind"] == "eval"
    assert evaluation["xs"] == [60, 120, 180]


def test_lines_have_counters_and_the_shared_names(straight):
    row = next(
        row for row in map(json.loads, (straight / "metrics.jsonl").read_text().splitlines()) if "loss/data" in row
    )
    assert list(row)[:5] == ["frames", "agent_steps", "updates", "episodes", "wall"]
    assert {"episode/score", "episode/length", "replay/size", "replay/gib", "fps/env", "fps/train"} <= set(row)
    assert {"time/env", "time/policy", "time/replay", "time/train"} <= set(row)


class DivergingAgent(FakeAgent):
    def update(self, batch, step=0):
        metrics, latents = super().update(batch, step)
        if len(self.calls) > 60:
            metrics["loss/weight"] = metrics["loss/weight"] * torch.inf
        return metrics, latents


def test_divergence_names_the_term_and_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(
        UserError, match=r"diverged at frame \d+.*not finite: loss/weight\.\nLast good.*000002\.pt"
    ) as e:
        train(config(tmp_path / "run"), FakeFactory(DivergingAgent))
    assert isinstance(e.value.__cause__, NonFinite)
    assert newest(tmp_path / "run")["frames"] == 100
    assert all(np.isfinite(v) for row in lines(tmp_path / "run") for v in row.values())


def test_a_damaged_checkpoint_is_named_and_the_older_one_used(straight, tmp_path, capsys):
    logdir = tmp_path / "run"
    shutil.copytree(straight, logdir)
    path = Checkpoints(logdir / "checkpoints").paths()[0]
    path.write_bytes(path.read_bytes()[:-10])
    train(config(logdir), FakeFactory())
    printed = capsys.readouterr().err
    assert f"{path.name} cannot be used" in printed
    assert "Resumed at frame 152" in printed
    same_run(straight, logdir)


def test_stop_at_once_saves_nothing(tmp_path, monkeypatch):
    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_update", interrupt)
    with pytest.raises(SystemExit) as exit_:
        train(config(tmp_path / "run"), FakeFactory())
    assert exit_.value.code == 130
    assert newest(tmp_path / "run") is None


def test_clock_is_due_once_per_multiple():
    clock, due = Clock(10), []
    for frames in range(0, 64, 4):
        if clock.due(frames):
            due.append(frames)
            clock.mark(frames)
    assert due == [12, 20, 32, 40, 52, 60]
    assert not Clock(0).due(10**9)


def test_announced_rate_is_what_the_schedule_does(tmp_path):
    schedule = FakeFactory().schedule({"schedule": {"use": "Every", "steps": 5, "updates": 2}})
    assert updates_per_step(schedule, repeat=2, batch=8) == pytest.approx(0.4)
    assert schedule.last is None


def test_stopped_is_not_swallowed():
    assert not issubclass(Stopped, (UserError, KeyboardInterrupt))
