"""Schedules count updates exactly over many steps, for any number of environments, without a burst after a resume."""

import math

import pytest

import dreamer
from common.errors import UserError
from dreamer_v1.schedule import Bursts
from dreamer_v2.schedule import Every
from dreamer_v3.schedule import Ratio

STEPS = 10_000
PER_UPDATE = 16 * 64


def run(schedule, start, stop, envs, repeat):
    return [schedule.due(k, repeat=repeat, replayed_per_update=PER_UPDATE) for k in range(start, stop, envs)]


def expected(schedule, steps, repeat):
    """Number of updates due `steps` agent steps after the first call."""
    if isinstance(schedule, Bursts):
        return schedule.updates * (1 + steps * repeat // schedule.every)
    if isinstance(schedule, Every):
        return schedule.updates * (1 + steps // schedule.steps)
    return 1 + math.floor(steps * round(schedule.ratio * 1000) / (1000 * PER_UPDATE))


MAKE = {
    "bursts": lambda: Bursts(every=1000, updates=100),
    "bursts often": lambda: Bursts(every=3, updates=2),
    "every": lambda: Every(steps=5),
    "every step, twice": lambda: Every(steps=1, updates=2),
    "ratio": lambda: Ratio(ratio=512),
    "ratio below one": lambda: Ratio(ratio=0.3),
    "ratio above a batch": lambda: Ratio(ratio=3000.7),
}


@pytest.mark.parametrize("envs", [1, 4])
@pytest.mark.parametrize("repeat", [1, 2, 4])
@pytest.mark.parametrize("name", sorted(MAKE))
def test_counts_are_exact_at_every_call(name, envs, repeat):
    schedule, total, first = MAKE[name](), 0, 2500
    for k, due in enumerate(run(schedule, first, first + STEPS, envs, repeat)):
        total += due
        assert total == expected(schedule, k * envs, repeat), k


@pytest.mark.parametrize("name", sorted(MAKE))
def test_nothing_is_owed_for_steps_before_the_first_call(name):
    schedule = MAKE[name]()
    assert run(schedule, 10**6, 10**6 + 1, 1, 1) == [expected(schedule, 0, 1)]


@pytest.mark.parametrize("envs", [1, 4])
@pytest.mark.parametrize("name", sorted(MAKE))
def test_a_resumed_schedule_equals_an_uninterrupted_one(name, envs):
    straight, stopped, resumed = MAKE[name](), MAKE[name](), MAKE[name]()
    one = run(straight, 0, STEPS, envs, 2)
    two = run(stopped, 0, STEPS // 2, envs, 2)
    resumed.restore(stopped.state())
    assert two + run(resumed, STEPS // 2, STEPS, envs, 2) == one


def test_a_new_ratio_applies_from_the_resume_on():
    slow, fast = Ratio(ratio=32), Ratio(ratio=1024)
    run(slow, 0, STEPS, 1, 1)
    fast.restore(slow.state())
    assert sum(run(fast, STEPS, STEPS + 100, 1, 1)) == pytest.approx(100, abs=1)


def test_ratio_zero_never_updates():
    assert sum(run(Ratio(ratio=0), 0, 100, 1, 1)) == 0


def test_a_step_seen_again_owes_nothing():
    for make in MAKE.values():
        schedule = make()
        run(schedule, 0, 100, 1, 2)
        assert schedule.due(99, repeat=2, replayed_per_update=PER_UPDATE) == 0
        assert schedule.due(50, repeat=2, replayed_per_update=PER_UPDATE) == 0


@pytest.mark.parametrize(
    ("algo", "key", "value"),
    [("v1", "every", 0), ("v1", "updates", 0), ("v2", "steps", 0), ("v2", "updates", -1), ("v3", "ratio", -1)],
)
def test_wrong_options_are_refused(algo, key, value):
    with pytest.raises(UserError, match=rf"schedule\.{key}"):
        dreamer.resolve(algo, [], {f"schedule.{key}": value})
