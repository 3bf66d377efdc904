"""Records, autoreset, restore and failures, in this process and in workers."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from common.envs import make_envs
from common.errors import UserError
from common.signals import STOP_SIGNALS

FAULTY = "tests.helpers.faulty_envs"
BOTH = pytest.mark.parametrize("parallel", ["none", "process"])


def act(envs):
    return np.stack([envs.act_space.sample() for _ in range(envs.num)])


def play(envs, steps):
    """Reset and `steps` random steps: a list of records."""
    envs.act_space.seed(0)
    return [envs.reset(), *(envs.step(act(envs)) for _ in range(steps))]


def column(records, key, index=0):
    return [record[key][index].tolist() for record in records]


def equal(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left if key != "log")


@BOTH
@pytest.mark.parametrize(
    ("task", "config", "length", "terminal"),
    [
        ("Terminates", {}, 5, True),
        ("Truncates", {}, 5, False),
        ("EndsBoth", {}, 5, True),
        ("Ends", {"time_limit": 5}, 5, False),
        ("Terminates", {"time_limit": 5}, 5, True),
        ("Terminates", {"time_limit": 4}, 4, False),
        ("Terminates", {"repeat": 2}, 3, True),
    ],
)
def test_an_episode_has_one_record_more_than_steps(parallel, task, config, length, terminal):
    with make_envs(f"{FAULTY}:{task}", config, 1, parallel=parallel) as envs:
        records = play(envs, 2 * (length + 1))
    firsts = [True] + [False] * length
    assert column(records, "is_first")[:-1] == firsts * 2
    assert column(records, "is_last")[:-1] == firsts[::-1] * 2
    assert column(records, "is_terminal")[:-1] == [terminal and last for last in firsts[::-1]] * 2
    frames = config.get("time_limit", 5)
    assert sum(column(records, "reward")[: length + 1]) == frames
    assert column(records, "reward")[:: length + 1] == [0, 0, 0]
    assert records[length]["vector"][0].argmax() == frames  # the true last observation is kept
    assert records[length + 1]["vector"][0].argmax() == 0


@BOTH
def test_the_action_at_a_reset_is_ignored_and_records_are_aligned(parallel):
    with make_envs("dummy_onehot_3", None, 2, parallel=parallel) as envs:
        envs.reset()
        for step, action in enumerate([1, 2, 3, 1, 3, 2]):
            record = envs.step(np.array([action, 3 - action]))
            expected = np.eye(4)[[action, 3 - action]] if step != 3 else np.zeros((2, 4))
            assert (record["vector"] == expected).all()
            assert np.allclose(record["reward"], [action / 3, 1 - action / 3] if step != 3 else 0)


@BOTH
def test_batches_have_the_documented_shapes_and_dtypes(parallel):
    with make_envs("dummy_mixed", {"size": 32}, 3, parallel=parallel) as envs:
        record = play(envs, 1)[-1]
    types = {key: (value.shape, value.dtype.name) for key, value in record.items() if key != "log"}
    flags = {key: ((3,), "bool") for key in ("is_first", "is_last", "is_terminal")}
    images = {"image": ((3, 32, 32, 3), "uint8"), "vector": ((3, 8), "float32"), "reward": ((3,), "float32")}
    assert types == images | flags


@BOTH
def test_numbers_named_log_are_passed_on(parallel):
    with make_envs(f"{FAULTY}:Steady", None, 2, parallel=parallel) as envs:
        assert envs.reset()["log"] == {}
        assert {key: value.tolist() for key, value in envs.step(np.array([0, 1]))["log"].items()} == {
            "log_time": [1, 1]
        }


@BOTH
def test_values_named_log_that_are_not_numbers_are_left_out_with_a_message(parallel):
    with make_envs(f"{FAULTY}:LogsWords", None, 2, parallel=parallel) as envs:
        records = play(envs, 9)
        messages = envs.messages()
    assert records[-1]["log"].keys() == {"log_time"}
    assert messages == ["info['log_msg'] is left out of the logs: 'hello' is not a number. "
                    "info['log_map'] is left out of the logs: '[0. 0.]' is not a number."]  # fmt: skip


@BOTH
def test_a_step_is_made_between_send_and_receive(parallel, tmp_path, monkeypatch):
    """In a worker while the caller continues, here before `send` returns; other calls in between are refused."""
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    with make_envs(f"{FAULTY}:Marks", None, 2, parallel=parallel) as envs:
        envs.reset()
        envs.send(np.array([0, 1]))
        for _ in range(3000 if envs.processes else 0):
            if (tmp_path / "mark").exists():
                break
            time.sleep(0.01)
        assert (tmp_path / "mark").exists()
        for forbidden in (envs.state, envs.reset, lambda: envs.send(np.array([0, 0]))):
            with pytest.raises(AssertionError, match="receive first"):
                forbidden()
        assert envs.receive()["reward"].tolist() == [1, 1]
        with pytest.raises(AssertionError, match="nothing was sent"):
            envs.receive()
        assert envs.state()[0]["actions"] == [0]


def test_environments_differ_and_do_not_depend_on_processes():
    runs = []
    for parallel in ("none", "process"):
        with make_envs("dummy_bandit", None, 3, seed=5, parallel=parallel) as envs:
            runs.append(play(envs, 25))
    assert all(equal(left, right) for left, right in zip(*runs, strict=True))
    cues = np.stack([record["vector"] for record in runs[0]])
    assert not any((cues[:, a] == cues[:, b]).all() for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize(
    ("task", "config", "n", "processes"),
    [("dummy_point", {}, 4, False), ("dummy_pixels", {}, 1, False), ("dummy_pixels", {}, 2, True)],
)
def test_auto_takes_processes_for_several_environments_with_images(task, config, n, processes):
    with make_envs(task, config, n) as envs:
        assert envs.processes == processes


@pytest.mark.parametrize(
    ("task", "config", "parallel"),
    [
        ("dummy_mixed", {}, "none"),
        ("dummy_cliff_multi", {}, "process"),
        ("gym_Pendulum-v1", {}, "none"),
        ("dmc_cheetah_run", {"repeat": 2}, "none"),
        ("dmc_walker_walk", {"repeat": 2}, "process"),
        ("atari_breakout", {"repeat": 4, "sticky": 0.25, "noops": 30}, "none"),
    ],
)
@pytest.mark.parametrize("steps", [0, 17])
def test_a_restored_run_continues_like_the_uninterrupted_one(task, config, parallel, steps):
    with make_envs(task, config, 2, seed=3, parallel=parallel) as envs:
        current = play(envs, steps)[-1]
        state = envs.state()
        actions = [act(envs) for _ in range(8)]
        straight = [envs.step(action) for action in actions]
    with make_envs(task, config, 2, seed=3, parallel=parallel) as envs:
        assert equal(envs.restore(state), current)
        assert all(equal(envs.step(action), record) for action, record in zip(actions, straight, strict=True))
        assert envs.messages() == []


def test_restore_at_the_last_record_of_an_episode_continues_with_a_reset():
    with make_envs(f"{FAULTY}:Steady", None, 1) as envs:
        current = play(envs, 6)[-1]
        assert current["is_last"].all()
        restored = envs.restore(envs.state())
        assert equal(restored, current)
        assert envs.step(np.array([0]))["is_first"].all()


def test_an_environment_that_cannot_be_restored_starts_a_new_episode():
    with make_envs(f"{FAULTY}:Forgetful", None, 1) as envs:
        play(envs, 3)
        record = envs.restore(envs.state())
        assert record["is_first"].all()
        assert record["reward"] == 0
        assert "did not lead to the saved record" in envs.messages()[0]
        assert envs.messages() == []


def test_restore_refuses_another_number_of_environments():
    with make_envs("dummy", None, 1) as envs, pytest.raises(UserError, match=r"--run\.envs 2"):
        envs.restore([{}, {}])


@pytest.mark.parametrize(
    ("fault", "says", "parallel"),
    [
        (*fault, parallel)
        for fault in [
            ("Raises", "the motor is on fire"),
            ("Exits", "SystemExit: 0"),
            ("GivesNaN", "'vector' is not finite"),
            ("GivesNaNReward", "reward is nan"),
            ("WrongShape", "has shape (2,), its space says (3,)"),
            ("WrongDtype", "has dtype <U1"),
            ("Dies", "worker process died (exit code -9)"),
        ]
        for parallel in ("none", "process")
        if (fault[0], parallel) != ("Dies", "none")  # it would kill the test process
    ],
)
def test_a_failure_closes_the_episode_as_truncated_and_the_run_continues(fault, says, parallel, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULT_ONCE", str(tmp_path / "mark"))
    with make_envs(f"{FAULTY}:{fault}", None, 2, parallel=parallel) as envs:
        records = play(envs, 12)
        (message,) = envs.messages()
    broken = 0 if column(records, "is_last", 0)[3] else 1
    assert says in message
    assert message.startswith(f"Environment {broken}:")
    assert column(records, "is_first", broken)[:5] == [True, False, False, False, True]
    assert column(records, "is_last", broken) == [False] * 3 + [True] + [False] * 6 + [True] + [False] * 2
    assert not any(column(records, "is_terminal", broken))
    assert column(records, "reward", broken)[:6] == [0, 1, 2, 0, 0, 1]
    assert (records[3]["vector"][broken] == records[2]["vector"][broken]).all()  # the last valid observation
    other = 1 - broken
    assert column(records, "is_last", other) == [False] * 6 + [True] + [False] * 6


def test_a_worker_that_is_killed_from_outside_is_replaced():
    with make_envs("dummy_bandit_100", None, 2, parallel="process") as envs:
        play(envs, 3)
        os.kill(envs.slots[1].env.processes[0].pid, signal.SIGKILL)
        envs.slots[1].env.processes[0].join()
        record = envs.step(act(envs))
        assert record["is_last"].tolist() == [False, True]
        assert envs.step(act(envs))["is_first"].tolist() == [False, True]
        assert "exit code -9" in envs.messages()[0]


def test_a_broken_episode_can_be_restored_at_its_closing_record(monkeypatch, tmp_path):
    monkeypatch.setenv("FAULT_ONCE", str(tmp_path / "mark"))
    with make_envs(f"{FAULTY}:Raises", None, 1) as envs:
        current = play(envs, 3)[-1]
        assert current["is_last"].all()
        envs.messages()
        assert equal(envs.restore(envs.state()), current)
        assert envs.messages() == []
        assert envs.step(np.array([0]))["is_first"].all()


@BOTH
@pytest.mark.parametrize(
    ("task", "says"), [("Raises", "on fire"), ("NeverResets", "no such simulator"), ("EndsSentence", "went out ")]
)
def test_too_many_failures_in_a_row_stop_the_run_and_name_the_line(task, says, parallel, monkeypatch):
    monkeypatch.delenv("FAULT_ONCE", raising=False)
    envs = make_envs(f"{FAULTY}:{task}", {"max_failures": 2}, 1, parallel=parallel)
    with envs, pytest.raises(UserError, match=says) as error:
        play(envs, 20)
    assert "3 times in a row" in str(error.value)
    assert ".." not in str(error.value)
    assert "faulty_envs.py, line" in str(error.value)
    assert "Traceback" not in str(error.value)
    assert "Traceback" in str(error.value.__cause__)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_workers_ignore_signals_and_end_with_close(number):
    envs = make_envs("dummy_point", None, 2, parallel="process")
    play(envs, 2)
    workers = [slot.env.processes[0] for slot in envs.slots]
    for worker in workers:
        os.kill(worker.pid, number)
    record = envs.step(act(envs))
    assert not record["is_last"].any()
    assert envs.messages() == []
    envs.close()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert not set(workers) & set(multiprocessing.active_children())
    envs.close()  # twice is fine


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_workers_ignore_signals_while_they_start(number):
    with make_envs("dummy_point", None, 2, parallel="process") as envs:
        for slot in envs.slots:
            os.kill(slot.env.processes[0].pid, number)
        play(envs, 2)
        assert envs.messages() == []


def test_a_worker_that_hangs_ends_with_close():
    envs = make_envs(f"{FAULTY}:Sleeps", None, 1, parallel="process")
    envs.reset()
    envs.slots[0].send(np.array(0))
    worker = envs.slots[0].env.processes[0]
    envs.slots[0].env.stop(grace=0.1)
    assert worker.exitcode == -signal.SIGKILL


def test_leaving_without_close_ends_the_workers():
    code = (
        "from common.envs import make_envs\n"
        "if __name__ == '__main__':\n"
        f"    envs = make_envs('{FAULTY}:Sleeps', None, 1, parallel='process')\n"
        "    envs.reset()\n"
        "    envs.slots[0].send(__import__('numpy').array(0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
