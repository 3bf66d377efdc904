"""Environments that hang, change or cannot begin: the run continues, or ends after it is saved."""

import signal
import time

import numpy as np
import pytest

from common.envs import make_envs
from common.envs.vector import env_slot
from common.envs.vector.episode_position import TooManyEnvFailures
from common.signals import Interrupted, deadline, pass_on_interrupt
from common.training.stop import Stop

FAULTY = "tests.helpers.faulty_envs"
BOTH = pytest.mark.parametrize("parallel", ["none", "process"])


def steps(envs, count):
    """A reset record and `count` step records."""
    return [envs.reset(), *(envs.step(np.zeros(envs.num, int)) for _ in range(count))]


@pytest.fixture
def fault_once(tmp_path, monkeypatch):
    """Make faulty environments fail only once."""
    monkeypatch.setenv("FAULT_ONCE", str(tmp_path / "mark"))


@BOTH
def test_a_hanging_environment_is_interrupted(parallel, fault_once):
    with make_envs(f"{FAULTY}:Hangs", {"timeout": 1.0}, 1, parallel=parallel) as envs:
        records = steps(envs, 4)
        (message,) = envs.messages()
    assert [bool(record["is_last"][0]) for record in records] == [False, False, False, True, False]
    assert records[4]["is_first"].all()
    assert "no answer within 1 seconds (env.timeout) (" in message.splitlines()[0]
    assert "in fault" in message.splitlines()[0]  # where it hung
    assert "time.sleep(1000)" in message  # its traceback


def test_an_alarm_of_the_caller_is_postponed_until_the_block_ends():
    received = []
    before = signal.signal(signal.SIGALRM, lambda *_: received.append("alarm"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with deadline(60):
            time.sleep(0.1)
            assert not received
        time.sleep(0.05)
        assert received == ["alarm"]
        signal.setitimer(signal.ITIMER_REAL, 60)
        with deadline(30):
            pass
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 50 < left <= 60
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_impossible_timeout_fails_and_does_not_hang(monkeypatch):
    alarms, set_alarm = [], signal.setitimer
    noted = lambda which, *times: alarms.append(times) or set_alarm(which, *times)
    monkeypatch.setattr(signal, "setitimer", noted)
    with pytest.raises(TimeoutError), deadline(1e-9):
        time.sleep(10)
    first, again = alarms[0]
    assert first >= 1e-3  # an earlier alarm comes before the block
    assert again >= 1  # more frequent alarms leave no time for other code


def test_a_worker_that_cannot_be_interrupted_is_killed(fault_once, monkeypatch):
    monkeypatch.setattr(env_slot, "WORKER_GRACE_SECONDS", 100)
    with make_envs(f"{FAULTY}:HangsDeaf", {"timeout": 1.0}, 1, parallel="process") as envs:
        steps(envs, 2)
        envs.slots[0].worker_timeout = 1.5
        assert envs.step(np.zeros(1, int))["is_last"].all()
        envs.slots[0].worker_timeout = 100
        assert envs.step(np.zeros(1, int))["is_first"].all()
        (message,) = envs.messages()
    assert "gave no answer within 1.5 seconds" in message


@BOTH
def test_an_environment_made_again_with_other_spaces_fails(parallel, fault_once):
    with make_envs(f"{FAULTY}:Changes", {"max_failures": 1}, 1, parallel=parallel) as envs:
        records = steps(envs, 3)
        assert records[3]["is_last"].all()
        with pytest.raises(
            TooManyEnvFailures, match=r"broke 2 times in a row.*observation_space changed from .*\(3,\).*\(4,\)"
        ):
            envs.step(np.zeros(1, int))
        assert [slot.error is not None for slot in envs.slots] == [True]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("GivesNone", "has shape (), its space says (3,)"),
        ("ShortAnswer", "returned 3 values"),
        ("RewardOfTwo", "must be one number"),
        ("EndsMaybe", "terminated must be one bool, got array([False, False])"),
        ("InfoOfNone", "The info that step returned is None, not a dict"),
        ("RewardOfNone", "The reward is None, not a number"),
        ("GivesObjects", "has dtype object"),
    ],
)
def test_invalid_return_values_close_the_episode(fault, message, fault_once):
    with make_envs(f"{FAULTY}:{fault}", None, 1) as envs:
        records = steps(envs, 5)
        (found,) = envs.messages()
    assert message in found
    assert "Traceback" in found
    assert records[3]["is_last"].all()
    assert not records[3]["is_terminal"].any()
    assert records[4]["is_first"].all()


def test_a_broken_environment_can_be_saved_and_restored(monkeypatch):
    """The closing record of the step is received before the run ends."""
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
    ("fault", "message"),
    [
        ("Panics", "failed with Panic: index out of bounds ("),
        ("Interrupts", "failed with KeyboardInterrupt ("),
        ("Wordless", "failed with Error: (the error has no readable text)"),
        ("HalfCharacter", r"failed with OSError: no such level: \udcff ("),
    ],
)
def test_any_exception_is_contained(fault, message, parallel, fault_once):
    with Stop().listening(), make_envs(f"{FAULTY}:{fault}", None, 1, parallel=parallel) as envs:
        records = steps(envs, 4)
        (found,) = envs.messages()
    assert message in found.splitlines()[0]
    assert "Traceback" in found
    found.encode()
    assert records[3]["is_last"].all()
    assert records[4]["is_first"].all()


def test_ctrl_c_is_passed_on():
    with pytest.raises(KeyboardInterrupt):
        pass_on_interrupt(KeyboardInterrupt())  # no other handler
    with Stop().listening():
        pass_on_interrupt(KeyboardInterrupt())
        with pytest.raises(Interrupted):
            pass_on_interrupt(Interrupted())


def test_too_large_numbers_are_left_out_of_the_logs():
    with make_envs(f"{FAULTY}:LogsOdd", None, 1) as envs:
        log = steps(envs, 1)[1]["log"]
        (message,) = envs.messages()
    assert set(log) == {"log_time", r"log_\udcff"}
    assert "info['log_large'] is left out of the logs" in message


@pytest.mark.parametrize(("fault", "code"), [("ForksItself", 1), ("StopsChild", -signal.SIGTERM)])
@BOTH
def test_processes_that_an_environment_forks_can_end(fault, code, parallel, fault_once):
    with Stop().listening(), make_envs(f"{FAULTY}:{fault}", None, 1, parallel=parallel) as envs:
        assert steps(envs, 3)[3]["reward"] == [code]
        assert envs.messages() == []
