"""The loop with real environments, real replay and a fake agent: counters, records, updates, messages."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

from common.config.render_mode import renderer_description
from common.errors import NonFiniteError, UserError
from common.storage import nonfinite_dump
from common.training.banner import updates_per_step
from common.training.clock import Clock
from common.training.loop import Loop
from common.training.stop import Stopped
from common.training.train import train
from tests.helpers.run_fakes import FakeAgent, FakeFactory, config, interrupted, lines, newest, same_run, scores


def test_evaluation_and_videos_do_not_change_training(straight, tmp_path):
    train(config(tmp_path / "run", run__eval_every=0, run__video_every=0), FakeFactory())
    quiet = [row for row in lines(straight) if not any(key.startswith(("eval/", "openloop/")) for key in row)]
    assert lines(tmp_path / "run") == quiet


def test_banner_names_the_renderer(tmp_path, capsys):
    pixels = {"task": "dmc_cartpole_balance", "env__obs": "image", "env__render": "ray", "env__time_limit": 20}
    train(
        config(tmp_path / "run", steps=20, run__envs=1, run__eval_every=0, run__video_every=0, **pixels), FakeFactory()
    )
    assert "renderer  env.render ray: MuJoCo casts rays on the processor, without OpenGL\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "env", "says"),
    [
        ("dmc_walker_walk", {"obs": "image", "render": "full"}, "env.render full: OpenGL, MUJOCO_GL=egl"),
        ("dmc_walker_walk", {"obs": "both", "render": "fast"}, "env.render fast: OpenGL, MUJOCO_GL=egl"),
        ("dmc_walker_walk", {"obs": "vector", "render": "full"}, ""),
        ("atari_pong", {"obs": "image", "render": "full"}, ""),
    ],
)
def test_renderer_description(task, env, says, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "egl")
    assert renderer_description({"task": task, "env": env}) == says


@pytest.mark.parametrize("envs", [1, 2, 4])
@pytest.mark.parametrize("repeat", [1, 2, 4])
def test_frames_match_the_environments_own_count(tmp_path, monkeypatch, envs, repeat):
    counted = []
    monkeypatch.setattr("common.envs.suites.dummy.Counter.step", counting(counted))
    changes = {"task": "dummy_counter_8", "env__repeat": repeat, "run__envs": envs, "run__eval_every": 0}
    train(config(tmp_path / "run", steps=320, **changes), FakeFactory())
    state = newest(tmp_path / "run")
    assert state["frames"] == len(counted) == state["counters"]["agent_steps"] * repeat
    assert 320 <= state["frames"] < 320 + envs * repeat
    assert state["counters"]["episodes"] == sum(counted)


def counting(counted):
    from common.envs.suites.dummy import Counter

    step = Counter.step

    def counter(self, choice, force):
        result = step(self, choice, force)
        counted.append(result[2])
        return result

    return counter


def test_replay_gets_every_record_of_an_episode(tmp_path):
    """Check length + 1 records, each action against the next observation, and rewards against the logged score."""
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
    """Keep every record that the replay gets, by environment."""

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
def test_update_count_is_exact_over_many_steps(tmp_path, envs):
    """Expect the extra updates, one update at the first call, then the ratio, exact to one update."""
    quiet = {"run__eval_every": 0, "run__video_every": 0, "run__log_every": 1000, "run__save_every": 0}
    train(config(tmp_path / "run", steps=2000, run__envs=envs, run__prefill=100, **quiet), FakeFactory())
    counters = newest(tmp_path / "run")["counters"]
    assert counters["updates"] == 3 + 1 + (counters["agent_steps"] - 100) * 10 // 8


def test_updates_begin_after_the_prefill(tmp_path):
    factory = FakeFactory()
    train(config(tmp_path / "run", run__prefill=60), factory)
    assert min(factory.made[0].calls) == 60
    assert lines(tmp_path / "run")[4]["updates"] == 0


def test_message_explains_why_no_update_was_made(tmp_path, capsys):
    train(config(tmp_path / "run", task="dummy_onehot_500", sampler={"use": "Episodes"}, run__prefill=0), FakeFactory())
    assert "No updates yet: " in capsys.readouterr().err
    assert newest(tmp_path / "run")["counters"]["updates"] == 0


def test_scores_file_has_the_published_format(straight):
    training, evaluation = scores(straight)
    assert set(training) == {"task", "method", "seed", "kind", "xs", "ys"}
    assert (training["task"], training["method"], training["seed"]) == ("dummy_onehot_7", "fake", 0)
    assert len(training["xs"]) == len(training["ys"]) == newest(straight)["counters"]["episodes"]
    assert evaluation["kind"] == "eval"
    assert evaluation["xs"] == [60, 120, 180]


def test_lines_have_counters_and_shared_metric_names(straight):
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


def test_a_run_without_its_checkpoints_is_refused(tmp_path):
    train(config(tmp_path / "run"), FakeFactory())
    before = (tmp_path / "run/metrics.jsonl").read_text()
    for path in (tmp_path / "run/checkpoints").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"has trained for [\d,]+ frames, but .* holds no checkpoint"):
        train(config(tmp_path / "run"), FakeFactory())
    assert (tmp_path / "run/metrics.jsonl").read_text() == before


def test_a_nonfinite_metric_is_dropped_and_named_once(tmp_path, capsys):
    train(config(tmp_path / "run"), FakeFactory(DivergingAgent))
    assert newest(tmp_path / "run")["frames"] == 200
    rows = lines(tmp_path / "run")
    assert all(np.isfinite(v) for row in rows for v in row.values())
    learned = [row for row in rows if "loss/data" in row]
    assert ["loss/weight" in row for row in (learned[0], learned[-1])] == [True, False]
    assert capsys.readouterr().err.count("Dropping non-finite metrics: loss/weight.") == 1


class Sick(FakeAgent):
    """An agent whose evaluation actions are not finite."""

    def act(self, record, state, mode="train", step=0):
        action, *rest = super().act(record, state, mode, step)
        return (action * np.nan if mode == "eval" else action), *rest


def test_nonfinite_actions_of_an_evaluation_are_dumped(tmp_path, capsys):
    with pytest.raises(UserError, match=r"diverged at frame 60, .*not finite: the actions of the policy") as error:
        train(config(tmp_path / "run", run__save_every=20), FakeFactory(Sick))
    assert isinstance(error.value.__cause__, NonFiniteError)
    state = nonfinite_dump.load(tmp_path / "run/nonfinite/first.pt")
    assert (state["mode"], state["frames"]) == ("eval", 60)
    assert set(state["record"]) >= {"vector", "is_first"}
    assert set(state["acting"]) == {"deter", "action"}
    assert "debug-batch" in capsys.readouterr().err
    assert newest(tmp_path / "run")["frames"] == 40


class Alone(FakeFactory):
    """A factory without evaluation environments."""

    def envs(self, config, *, evaluate=False):
        if evaluate:
            raise UserError("The evaluation environment cannot be made.")
        return super().envs(config)


def test_a_run_is_saved_if_evaluation_fails_and_resumes_later(straight, tmp_path, capsys):
    with pytest.raises(UserError, match="The evaluation environment cannot be made"):
        train(config(tmp_path / "run", run__save_every=0), Alone())
    assert newest(tmp_path / "run")["frames"] == 60
    assert "Saved at frame 60." in capsys.readouterr().err
    train(config(tmp_path / "run"), FakeFactory())
    same_run(straight, tmp_path / "run")


def test_interrupt_at_once_saves_nothing(tmp_path, monkeypatch):
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


def test_announced_update_rate_matches_the_schedule(tmp_path):
    schedule = FakeFactory().schedule({"schedule": {"use": "Every", "steps": 5, "updates": 2}})
    assert updates_per_step(schedule, repeat=2, batch=8) == pytest.approx(0.4)
    assert schedule.last is None


def test_stopped_is_not_swallowed():
    assert not issubclass(Stopped, (UserError, KeyboardInterrupt))


class Ticking(FakeAgent):
    """An agent whose update takes a second of the loop's clock; nothing else takes time."""

    now = 0.0

    def update(self, batch, step=0):
        Ticking.now += 1
        return super().update(batch, step)


@pytest.fixture
def ticking(monkeypatch):
    """Return a factory of agents that advance the clock."""
    monkeypatch.setattr(Ticking, "now", 0.0)
    monkeypatch.setattr("common.training.loop.time.monotonic", lambda: Ticking.now)
    return FakeFactory(Ticking)


def stands(logdir):
    """Return updates made, updates still due, and the progress in run.json."""
    counters, info = newest(logdir)["counters"], json.loads((logdir / "run.json").read_text())
    return counters["updates"], counters["pending"], (info["frames"], info["updates"], info["wall"])


BURSTS = {"schedule": {"use": "Bursts", "every": 100, "updates": 20}, "run__save_every": 0}


def test_max_seconds_end_a_run_within_a_burst(tmp_path, ticking, capsys):
    train(config(tmp_path / "run", run__max_seconds=30, **BURSTS), ticking)
    assert "at most 30 s" in capsys.readouterr().out
    assert stands(tmp_path / "run") == (30, 13, (148, 30, 30.0))
    before = (tmp_path / "run/run.json").read_bytes()
    train(config(tmp_path / "run", run__max_seconds=30, **BURSTS), ticking)
    assert "This run is finished: 148 frames in 30 s. Raise --run.max_seconds to continue." in capsys.readouterr().out
    assert (tmp_path / "run/run.json").read_bytes() == before


def test_max_seconds_count_all_sessions_and_can_be_raised(tmp_path, ticking, monkeypatch):
    interrupted(tmp_path / "run", monkeypatch, "_update", 17, factory=ticking, run__max_seconds=30, **BURSTS)
    assert stands(tmp_path / "run") == (30, 13, (148, 30, 30.0))
    train(config(tmp_path / "run", run__max_seconds=1000, **BURSTS), ticking)
    train(config(tmp_path / "straight", **BURSTS), FakeFactory())
    assert lines(tmp_path / "run") == lines(tmp_path / "straight")


@pytest.mark.parametrize("fails", ["envs", "agent"])
def test_nothing_is_written_before_environment_and_agent_are_made(fails, tmp_path):
    class Failing(FakeFactory):
        def envs(self, config, *, evaluate=False):
            assert not (tmp_path / "run").exists()
            if fails == "envs":
                raise UserError("no such task")
            return super().envs(config, evaluate=evaluate)

        def agent(self, obs_space, act_space, config):
            raise UserError("no such size")

    with pytest.raises(UserError, match="no such"):
        train(config(tmp_path / "run"), Failing())
    assert not (tmp_path / "run").exists()
