"""`plan` of a run that is not worth timing, or not possible to time: bounds from counts, without an agent."""

import json
import math

import pytest

import dreamer
from common.nn import machine
from common.profiling import lower_bound, speed
from common.profiling.lower_bound import LowerBound
from common.training.factory import Factory
from tests.helpers.command_line import run_in_this_process

BOUND = LowerBound(update=1.0, updates=100, parameters=10, need=10, free=100, where="")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ""),
        ({"updates": 31 * 86400}, "more than 30 days"),
        ({"need": 51}, "more than half of the free memory"),
        ({"update": 21.0}, "more than a minute"),
    ],
)
def test_reasons(changes, says):
    reason = BOUND._replace(**changes).reason()
    assert says in reason
    assert bool(reason) == bool(changes)


@pytest.fixture
def fast_measurement(monkeypatch):
    monkeypatch.setattr(machine, "MATMUL_SIDES", {"cpu": (64,)})
    monkeypatch.setattr(machine, "best_seconds", lambda work, device, seconds: 1e-5)


def test_a_hopeless_run_builds_no_agent_and_names_what_to_type(tmp_path, monkeypatch, fast_measurement):
    monkeypatch.setattr(Factory, "agent", lambda *given: pytest.fail("an agent was built"))
    words = ["plan", "--algo", "v3", "--task", "gym_CartPole-v1", "--run.device", "cpu", "--json", "plan.json"]
    done = run_in_this_process(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "takes more than 30 days" in done.stdout
    assert "python dreamer.py plan --algo v3 --configs cpu --task gym_CartPole-v1" in done.stdout
    found = json.loads((tmp_path / "plan.json").read_text())
    assert found["lower_bound"]
    assert found["total"] == pytest.approx(found["pace"]["update"] * found["counts"]["updates"])


def test_an_agent_that_needs_more_than_half_of_the_free_memory_is_not_built(tmp_path, monkeypatch, fast_measurement):
    monkeypatch.setattr(Factory, "agent", lambda *given: pytest.fail("an agent was built"))
    monkeypatch.setattr(lower_bound, "free_memory", lambda: 2**16)
    words = ["plan", "--algo", "v1", "--configs", "debug", "--task", "dummy_bandit", "--run.device", "cpu"]
    done = run_in_this_process(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "needs more than half of the free memory" in done.stdout


def test_a_gpu_is_not_bounded_by_the_cpu(monkeypatch):
    monkeypatch.setattr(machine, "resolve_device", lambda name: "cuda")
    lower_bound.check_bound(dreamer.resolve("v3"), None)


@pytest.mark.parametrize(("seconds", "least", "most"), [(math.inf, 8, 8), (0.1, 2, 3)])
def test_slow_updates_are_timed_less_often(seconds, least, most, monkeypatch):
    done = []

    def timed(work, device, calls, limit=math.inf):
        done.append(calls)
        return [0.05] * calls

    monkeypatch.setattr(speed.measure, "time_calls", timed)
    speed.time_training(lambda: None, speed.torch.device("cpu"), 5, seconds)
    assert least <= sum(done) <= most
