"""Environments step while the agent trains: same results as one after the other, whatever happens in between."""

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
    """What a run does, in order."""
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


def test_updates_are_made_while_a_step_is_under_way(tmp_path, monkeypatch):
    """Every record is taken in before anything is published, and none is left over in the end."""
    order = order_of(monkeypatch, tmp_path / "run", schedule__ratio=4.0, steps=80, **QUIET)
    assert "send act update receive publish" in order
    assert order.startswith("publish send act receive publish send")
    assert "update receive publish" in order
    assert "update send" not in order
    assert order.count("send") == order.count("receive") == order.count("receive publish")


@pytest.mark.parametrize("changes", [{"task": "dummy_point_9"}, {"task": f"{FAULTY}:Steady", "replay__disk": True}])
def test_worker_processes_change_nothing(tmp_path, changes):
    for parallel in ("none", "process"):
        train(config(tmp_path / parallel, run__parallel=parallel, **changes, **QUIET), FakeFactory())
    same_run(tmp_path / "none", tmp_path / "process")
    text = [(tmp_path / name / "scores.jsonl").read_text() for name in ("none", "process")]
    assert text[0] == text[1]


def test_stopped_with_a_step_under_way_in_workers_and_resumed_equals_straight(straight, tmp_path, monkeypatch):
    """The checkpoint holds the record that the step led to, as if it had been awaited before the updates."""
    under_way, update = [], Loop._update
    monkeypatch.setattr(Loop, "_update", lambda self: under_way.append(self.collector.sent) or update(self))
    interrupted(tmp_path / "run", monkeypatch, "_update", 8, run__parallel="process")  # of updates 7, 8 and 9
    assert under_way[7]
    assert not under_way[8]  # after the resume
    assert under_way[-1]
    same_run(straight, tmp_path / "run")


def test_stopped_and_resumed_in_the_threads_of_ale_py_equals_straight_in_python(tmp_path, monkeypatch):
    protocol = {"repeat": 4, "gray": True, "sticky": 0.25, "noops": 30, "least_noops": 1, "time_limit": 80}
    changes = {"task": "atari_breakout", "env": protocol, "steps": 320, "schedule__ratio": 2.0, **QUIET}
    train(config(tmp_path / "straight", **changes), FakeFactory())
    interrupted(tmp_path / "run", monkeypatch, "_step", 27, run__parallel="native", **changes)
    same_run(tmp_path / "straight", tmp_path / "run")


@pytest.mark.parametrize("count", [13, 14, 19])
def test_metric_lines_are_the_same_to_the_letter(tmp_path, monkeypatch, count):
    """Also their order, where the step under way ends an episode before the updates or after them."""
    train(config(tmp_path / "straight", run__log_every=4), FakeFactory())
    interrupted(tmp_path / "run", monkeypatch, "_step", count, run__log_every=4)
    names = [[list(row) for row in lines(tmp_path / path)] for path in ("straight", "run")]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("fault", "says"), [("Raises", "the motor is on fire"), ("Dies", "its worker process died (exit code -9)")]
)
def test_an_environment_that_breaks_during_the_updates(fault, says, tmp_path, monkeypatch, capsys):
    """Its episode is closed as truncated; also where the run is stopped in those updates, which is then exact."""
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
    """Trains until an update with the step under way at which the environment breaks; a signal comes then."""
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
def test_a_run_is_saved_when_an_environment_breaks_for_good_during_the_updates(tmp_path, monkeypatch, stopped, ends):
    """Also if a signal comes at the same time."""
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
    monkeypatch.setenv("FAULT_ONCE", str(tmp_path / "mark"))  # mended
    train(config(tmp_path / "run", **task | {"steps": 20}), FakeFactory())
    assert lines(tmp_path / "run")[-1]["frames"] == 20


@pytest.mark.parametrize("parallel", ["none", "process"])
@pytest.mark.parametrize(("task", "says"), [("Raises", "the motor is on fire"), ("NeverResets", "no such simulator")])
def test_the_only_failure_is_on_file_where_none_is_allowed(tmp_path, monkeypatch, parallel, task, says):
    """Also where no episode begins at all."""
    monkeypatch.delenv("FAULT_ONCE", raising=False)
    changes = ALONE | {"task": f"{FAULTY}:{task}", "env__max_failures": 0, "run__parallel": parallel}
    with pytest.raises(UserError, match="broke 1 times in a row"):
        train(config(tmp_path / "run", **changes), FakeFactory())
    log = (tmp_path / "run/failures.log").read_text()
    assert log.count("Traceback") == log.count("it broke 1 times in a row") == 1
    assert says in log.strip().splitlines()[-1]


def test_an_environment_that_is_never_made_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"SlowToMake could not be made: .*no answer within 0\.2 seconds"):
        train(config(tmp_path / "run", task="tests.helpers.run_fakes:SlowToMake", env__timeout=0.2), FakeFactory())


def test_an_environment_that_never_closes_is_left(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("tests.helpers.run_fakes.Slow.close", lambda self: None)  # of the one that is only looked at
        given = config("", task="tests.helpers.run_fakes:Slow", env__timeout=0.2)
        envs = FakeFactory().envs(given)
        envs.reset()
    begin = time.monotonic()
    envs.close()
    assert time.monotonic() - begin < 100
