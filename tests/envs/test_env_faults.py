"""Environments that hang, change, or cannot begin again: contained, or the end of a run that can be saved."""

import signal
import time

import numpy as np
import pytest

from common.envs import make_envs
from common.envs.vector import env_slot
from common.envs.vector.episode_position import TooManyEnvFailures
from common.envs.vector.workers import deadline
from common.signals import Interrupted, pass_on_interrupt
from common.training.stop import Stop

FAULTY = "tests.helpers.faulty_envs"
BOTH = pytest.mark.parametrize("parallel", ["none", "process"])


def steps(envs, count):
    """`count` records after a reset."""
    return [envs.reset(), *(envs.step(np.zeros(envs.num, int)) for _ in range(count))]


@pytest.fixture
def once(tmp_path, monkeypatch):
    """Faulty environments break once."""
    monkeypatch.setenv("FAULT_ONCE", str(tmp_path / "mark"))


@BOTH
def test_a_hanging_environment_is_broken_off_where_it_hangs(parallel, once):
    with make_envs(f"{FAULTY}:Hangs", {"timeout": 1.0}, 1, parallel=parallel) as envs:
        records = steps(envs, 4)
        (message,) = envs.messages()
    assert [bool(record["is_last"][0]) for record in records] == [False, False, False, True, False]
    assert records[4]["is_first"].all()
    assert "no answer within 1 seconds (env.timeout) (" in message.splitlines()[0]
    assert "in fault" in message.splitlines()[0]  # the place
    assert "time.sleep(1000)" in message  # its traceback


def test_an_alarm_of_the_caller_waits_for_the_block_and_then_comes():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append("alarm"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with deadline(60):
            time.sleep(0.1)
            assert not heard
        time.sleep(0.05)
        assert heard == ["alarm"]
        signal.setitimer(signal.ITIMER_REAL, 60)
        with deadline(30):
            pass
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 50 < left <= 60
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_limit_that_nothing_can_keep_is_a_failure_and_no_hang(monkeypatch):
    alarms, set_alarm = [], signal.setitimer
    noted = lambda which, *times: alarms.append(times) or set_alarm(which, *times)
    monkeypatch.setattr(signal, "setitimer", noted)
    with pytest.raises(TimeoutError), deadline(1e-9):
        time.sleep(10)
    first, again = alarms[0]
    assert first >= 1e-3  # else it comes before the block
    assert again >= 1  # else nothing but alarms happens


def test_a_worker_that_cannot_be_broken_off_is_killed(once, monkeypatch):
    monkeypatch.setattr(env_slot, "WORKER_GRACE_SECONDS", 100)
    with make_envs(f"{FAULTY}:HangsDeaf", {"timeout": 1.0}, 1, parallel="process") as envs:
        steps(envs, 2)
        envs.slots[0].patience = 1.5
        assert envs.step(np.zeros(1, int))["is_last"].all()
        envs.slots[0].patience = 100
        assert envs.step(np.zeros(1, int))["is_first"].all()
        (message,) = envs.messages()
    assert "gave no answer within 1.5 seconds" in message


@BOTH
def test_an_environment_that_comes_back_with_other_spaces_is_a_failure(parallel, once):
    with make_envs(f"{FAULTY}:Changes", {"max_failures": 1}, 1, parallel=parallel) as envs:
        records = steps(envs, 3)
        assert records[3]["is_last"].all()
        with pytest.raises(
            TooManyEnvFailures, match=r"broke 2 times in a row.*observation_space changed from .*\(3,\).*\(4,\)"
        ):
            envs.step(np.zeros(1, int))
        assert [seat_.broken is not None for seat_ in envs.slots] == [True]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("GivesNone", "has shape (), its space says (3,)"),
        ("ShortAnswer", "returned 3 values"),
        ("RewardOfTwo", "must be one number"),
        ("EndsMaybe", "truth value"),
        ("InfoOfNone", "The info that step returned is None, not a dict"),
        ("RewardOfNone", "The reward is None, not a number"),
        ("GivesObjects", "has dtype object"),
    ],
)
def test_wrong_answers_close_the_episode(fault, says, once):
    with make_envs(f"{FAULTY}:{fault}", None, 1) as envs:
        records = steps(envs, 5)
        (message,) = envs.messages()
    assert says in message
    assert "Traceback" in message
    assert records[3]["is_last"].all()
    assert not records[3]["is_terminal"].any()
    assert records[4]["is_first"].all()


def test_what_is_left_of_a_broken_environment_can_be_saved_and_restored(monkeypatch):
    """The record that a step led to is there before the run ends; so is a blank one where no episode begins."""
    monkeypatch.delenv("FAULT_ONCE", raising=False)
    with make_envs(f"{FAULTY}:Raises", {"max_failures": 0}, 1) as envs:
        steps(envs, 2)
        envs.send(np.zeros(1, int))
        assert envs.receive()["is_last"].all()
        with pytest.raises(TooManyEnvFailures):
            envs.check()
        state = envs.state()
    with make_envs(f"{FAULTY}:Raises", None, 1) as envs:
        assert envs.restore(state)["is_last"].all()
        assert envs.messages() == []


@BOTH
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("Panics", "failed with Panic: index out of bounds ("),
        ("Interrupts", "failed with KeyboardInterrupt ("),
        ("Wordless", "failed with Error: (the error has no readable text)"),
        ("HalfCharacter", r"failed with OSError: no such level: \udcff ("),
    ],
)
def test_whatever_is_raised_is_contained(fault, says, parallel, once):
    with Stop().listening(), make_envs(f"{FAULTY}:{fault}", None, 1, parallel=parallel) as envs:
        records = steps(envs, 4)
        (message,) = envs.messages()
    assert says in message.splitlines()[0]
    assert "Traceback" in message
    message.encode()
    assert records[3]["is_last"].all()
    assert records[4]["is_first"].all()


def test_ctrl_c_is_passed_on():
    with pytest.raises(KeyboardInterrupt):
        pass_on_interrupt(KeyboardInterrupt())  # nobody else listens
    with Stop().listening():
        pass_on_interrupt(KeyboardInterrupt())
        with pytest.raises(Interrupted):
            pass_on_interrupt(Interrupted())


def test_numbers_for_the_logs_that_are_too_large_are_left_out():
    with make_envs(f"{FAULTY}:LogsOdd", None, 1) as envs:
        log = steps(envs, 1)[1]["log"]
        (message,) = envs.messages()
    assert set(log) == {"log_time", r"log_\udcff"}
    assert "info['log_large'] is left out of the logs" in message


@pytest.mark.parametrize(("fault", "code"), [("ForksItself", 1), ("StopsChild", -signal.SIGTERM)])
@BOTH
def test_processes_that_an_environment_forks_can_end(fault, code, parallel, once):
    with Stop().listening(), make_envs(f"{FAULTY}:{fault}", None, 1, parallel=parallel) as envs:
        assert steps(envs, 3)[3]["reward"] == [code]
        assert envs.messages() == []
