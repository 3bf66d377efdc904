"""Environments step while the agent trains: same results as in sequence, also with failures and signals."""

import os
import signal
import time

import pytest

from common.errors import UserError
from common.training.collector import Collector
from common.training.loop import Loop
from common.training.train import train
from tests.helpers.run_fakes import FakeAgent, FakeFactory, config, interrupted, lines, newest, same_run

FAULTY = "tests.helpers.faulty_envs"
QUIET = {"run__eval_every": 0, "run__video_every": 0}
BREAKS_AT = 3  # agent steps, while the first update is made
ALONE = {
    "env__repeat": 1, "run__envs": 1, "run__parallel": "process", "run__prefill": 0, "run__pretrain": 0,
    "batch_size": 1, "batch_length": 2, "replay__context": 0, "schedule__ratio": 4.0, "steps": 60, **QUIET,
}  # fmt: skip


def order_of(monkeypatch, logdir, **changes):
    """Return the calls of a run in order."""
    done = []

    def noting(owner, method, name):
        original = getattr(owner, method)
        monkeypatch.setattr(owner, method, lambda self, *args, **kw: done.append(name) or original(self, *args, **kw))

    noting(Collector, "send", "send")
    noting(Collector, "receive", "receive")
    noting(FakeAgent, "act", "act")
    noting(FakeAgent, "update", "update")
    noting(Loop, "_run_due_tasks", "publish")
    train(config(logdir, **changes), FakeFactory())
    return " ".join(done)


def test_updates_run_while_a_step_is_in_progress(tmp_path, monkeypatch):
    """Every record is received before logs and saves, and none is left at the end."""
    order = order_of(monkeypatch, tmp_path / "run", schedule__ratio=4.0, steps=80, **QUIET)
    assert "send act update receive publish" in order
    assert order.startswith("publish send act receive publish send")
    assert "update receive publish" in order
    assert "update send" not in order
    assert order.count("send") == order.count("receive") == order.count("receive publish")


@pytest.mark.parametrize("changes", [{"task": "dummy_point_9"}, {"task": f"{FAULTY}:Steady", "replay__disk": True}])
def test_worker_processes_give_the_same_run(tmp_path, changes):
    for parallel in ("none", "process"):
        train(config(tmp_path / parallel, run__parallel=parallel, **changes, **QUIET), FakeFactory())
    same_run(tmp_path / "none", tmp_path / "process")
    text = [(tmp_path / name / "scores.jsonl").read_text() for name in ("none", "process")]
    assert text[0] == text[1]


def test_stop_with_a_step_in_progress_in_workers_resumes_exactly(straight, tmp_path, monkeypatch):
    """The checkpoint holds the next record, as if the step had been received before the updates."""
    under_way, update = [], Loop._update
    monkeypatch.setattr(Loop, "_update", lambda self: under_way.append(self.collector.sent) or update(self))
    interrupted(tmp_path / "run", monkeypatch, "_update", 8, run__parallel="process")  # of updates 7, 8 and 9
    assert under_way[7]
    assert not under_way[8]  # after the resume
    assert under_way[-1]
    same_run(straight, tmp_path / "run")


def test_stop_and_resume_with_ale_vector_equals_a_straight_run_in_python(tmp_path, monkeypatch):
    protocol = {"repeat": 4, "gray": True, "sticky": 0.25, "noops": 30, "least_noops": 1, "time_limit": 80}
    changes = {"task": "atari_breakout", "env": protocol, "steps": 320, "schedule__ratio": 2.0, **QUIET}
    train(config(tmp_path / "straight", **changes), FakeFactory())
    interrupted(tmp_path / "run", monkeypatch, "_step", 27, run__parallel="native", **changes)
    same_run(tmp_path / "straight", tmp_path / "run")


@pytest.mark.parametrize("count", [13, 14, 19])
def test_resumed_metric_lines_have_the_same_order(tmp_path, monkeypatch, count):
    """The step in progress may end an episode before or after the updates."""
    train(config(tmp_path / "straight", run__log_every=4), FakeFactory())
    interrupted(tmp_path / "run", monkeypatch, "_step", count, run__log_every=4)
    names = [[list(row) for row in lines(tmp_path / path)] for path in ("straight", "run")]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("fault", "says"), [("Raises", "the motor is on fire"), ("Dies", "its worker process died (exit code -9)")]
)
def test_environment_that_fails_during_the_updates(fault, says, tmp_path, monkeypatch, capsys):
    """Its episode ends as truncated, also if the run is stopped in those updates; the resume is exact."""
    task = {"task": f"{FAULTY}:{fault}", **ALONE}
    monkeypatch.setenv("FAULT_ONCE", str(tmp_path / "first"))
    train(config(tmp_path / "straight", **task), FakeFactory())
    assert says in capsys.readouterr().err
    monkeypatch.setenv("FAULT_ONCE", str(tmp_path / "second"))
    stopped_when_broken(monkeypatch, tmp_path / "run", task)
    assert says in capsys.readouterr().err
    assert newest(tmp_path / "run")["collector"]["envs"][0]["closed"]
    train(config(tmp_path / "run", **task), FakeFactory())
    assert "did not lead to the saved record" not in capsys.readouterr().err
    same_run(tmp_path / "straight", tmp_path / "run")


def stopped_when_broken(monkeypatch, logdir, task):
    """Train until an update during the step at which the environment fails; send a signal then."""
    update = Loop._update

    def stopping(self):
        if self.agent_steps == BREAKS_AT:
            os.kill(os.getpid(), signal.SIGTERM)
            self.stop.check()
        update(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_update", stopping)
        with pytest.raises(SystemExit) as exit_:
            train(config(logdir, **task), FakeFactory())
    assert exit_.value.code == 143


@pytest.mark.parametrize(("stopped", "ends"), [(False, UserError), (True, SystemExit)])
def test_a_run_is_saved_if_an_environment_fails_too_often(tmp_path, monkeypatch, stopped, ends):
    """The same with a signal at that time."""
    monkeypatch.delenv("FAULT_ONCE", raising=False)
    task = {"task": f"{FAULTY}:Raises", "env__max_failures": 2, "run__save_every": 100, **ALONE}
    update = Loop._update

    def stopping(self):
        if stopped and self.agent_steps == 3 * BREAKS_AT:
            self.stop.signal = signal.SIGTERM
        update(self)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_update", stopping)
        with pytest.raises(ends, match="143" if stopped else "broke 3 times in a row"):
            train(config(tmp_path / "run", **task), FakeFactory())
    state = newest(tmp_path / "run")
    assert state["frames"] == 3 * BREAKS_AT
    assert state["collector"]["envs"][0]["closed"]
    log = (tmp_path / "run/failures.log").read_text()
    assert log.count("Traceback") == 3
    assert log.count("it was made again") == 2
    assert log.count("it broke 3 times in a row and is given up, because") == 1
    (tmp_path / "mark").touch()
    monkeypatch.setenv("FAULT_ONCE", str(tmp_path / "mark"))  # now it works
    train(config(tmp_path / "run", **task | {"steps": 20}), FakeFactory())
    assert lines(tmp_path / "run")[-1]["frames"] == 20


@pytest.mark.parametrize("parallel", ["none", "process"])
@pytest.mark.parametrize(("task", "says"), [("Raises", "the motor is on fire"), ("NeverResets", "no such simulator")])
def test_the_only_failure_is_logged_if_none_is_allowed(tmp_path, monkeypatch, parallel, task, says):
    """The same if no episode begins."""
    monkeypatch.delenv("FAULT_ONCE", raising=False)
    changes = ALONE | {"task": f"{FAULTY}:{task}", "env__max_failures": 0, "run__parallel": parallel}
    with pytest.raises(UserError, match="broke 1 times in a row"):
        train(config(tmp_path / "run", **changes), FakeFactory())
    log = (tmp_path / "run/failures.log").read_text()
    assert log.count("Traceback") == log.count("it broke 1 times in a row") == 1
    assert says in log.strip().splitlines()[-1]


def test_an_environment_that_takes_too_long_to_make_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"SlowToMake could not be made: .*no answer within 0\.2 seconds"):
        train(config(tmp_path / "run", task="tests.helpers.run_fakes:SlowToMake", env__timeout=0.2), FakeFactory())


def test_an_environment_that_never_closes_is_abandoned(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("tests.helpers.run_fakes.Slow.close", lambda self: None)  # of the one that is only looked at
        given = config("", task="tests.helpers.run_fakes:Slow", env__timeout=0.2)
        envs = FakeFactory().envs(given)
        envs.reset()
    begin = time.monotonic()
    envs.close()
    assert time.monotonic() - begin < 100
