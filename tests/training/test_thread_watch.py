"""The number of threads changes while other programs slow the updates down, and only then."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.nn import ranks
from common.training import session, thread_watch, threads
from common.training.thread_watch import ThreadWatch, watch_threads
from common.training.threads import ThreadChoice
from common.training.train import train
from tests.helpers.run_fakes import FakeAgent, FakeFactory, config, newest

QUIET = {1: 0.84, 2: 0.65, 4: 0.5}  # seconds of an update by number of threads
BUSY = {1: 0.97, 2: 3.7, 4: 8.0}


@pytest.fixture(autouse=True)
def one_thread():
    yield
    torch.set_num_threads(1)


class Machine:
    """A clock that updates move on, by the number of threads that is set. used: that number at each update."""

    def __init__(self, chosen=2, between=0.0):
        self.now, self.between, self.lines, self.used = 0.0, between, [], []
        torch.set_num_threads(chosen)
        self.watch = ThreadWatch(chosen, self.lines.append, lambda: self.now)

    def train(self, updates, seconds, noise=lambda: 1.0):
        for _ in range(updates):
            self.used.append(torch.get_num_threads())
            with self.watch:
                self.now += seconds[torch.get_num_threads()] * noise()
            self.now += self.between
        return torch.get_num_threads()


@given(st.integers(0, 2**32 - 1))
def test_nothing_changes_on_a_quiet_machine(seed):
    """Times vary by a third, and compilation and single long updates take minutes."""
    draws = np.random.default_rng(seed)
    machine = Machine()
    machine.train(1, {2: 90.0})
    for _ in range(5):
        assert machine.train(100, QUIET, noise=lambda: draws.uniform(0.75, 1.33)) == 2
        machine.train(2, {2: 30.0})
    assert set(machine.used) == {2}
    assert not machine.lines


def test_a_busy_neighbour_leaves_one_thread_within_ten_updates():
    machine = Machine()
    machine.train(50, QUIET)
    assert machine.train(9, BUSY) == 1
    assert machine.used[50:] == [2] * 3 + [1] * 4 + [2] * 1 + [1]
    assert machine.lines == [
        "Updates took 3.70 s with 2 thread(s) and take 0.97 s with 1, with which the run continues: "
        "other programs use the processor. After 10 minutes or more it compares again."
    ]


def test_the_threads_come_back_when_the_neighbour_ends():
    machine = Machine()
    machine.train(50, QUIET)
    machine.train(100, BUSY)
    before, _ = machine.now, machine.used.clear()
    assert machine.train(2000, QUIET) == 2
    assert before + 600 - 100 * BUSY[2] < machine.now
    assert machine.used.count(1) * QUIET[1] < 620
    assert machine.lines[1:] == [
        "Updates took 0.84 s with 1 thread(s) and take 0.65 s with 2, with which the run continues again."
    ]


def test_a_lasting_neighbour_costs_few_slow_updates():
    """Comparisons take at most a twentieth of the time after the first one."""
    machine = Machine()
    machine.train(50, QUIET)
    machine.train(20, BUSY)
    machine.used.clear()
    machine.train(10_000, BUSY)
    slow = machine.used.count(2)
    assert 0 < slow * BUSY[2] < 0.05 * 10_000 * BUSY[1]
    assert len(machine.lines) == 1


def test_fewer_threads_that_do_not_help_are_not_used():
    """The line comes once. The next comparison waits."""
    machine = Machine()
    machine.train(50, QUIET)
    slow = {1: 4.0, 2: 3.0}
    assert machine.train(1000, slow) == 2
    assert machine.lines == [
        "Updates take 3.00 s instead of 0.65 s: other programs use the processor. Fewer threads are not faster."
    ]
    assert machine.used.count(1) * slow[1] < 0.05 * machine.now


def test_the_best_of_many_threads_is_found():
    machine = Machine(chosen=4)
    machine.train(20, QUIET)
    half_busy = {1: 2.4, 2: 1.2, 4: 6.0}
    assert machine.train(30, half_busy) == 2
    assert machine.train(2000, QUIET) == 4


def test_a_slowly_growing_time_is_compared_with_the_shortest():
    machine = Machine()
    for factor in np.linspace(1, 6, 100):
        machine.train(1, {1: 0.9, 2: 0.65 * factor})
    assert torch.get_num_threads() == 1


def test_a_failed_update_is_not_counted():
    machine = Machine()
    machine.train(10, QUIET)
    for _ in range(10):
        with contextlib.suppress(ArithmeticError), machine.watch:
            machine.now += 50.0
            raise ArithmeticError
    machine.train(10, QUIET)
    assert set(machine.used) == {2}


@pytest.mark.parametrize(
    ("run", "chosen", "size", "watched"),
    [
        ({"threads": 0, "device": "cpu"}, 2, 1, True),
        ({"threads": 2, "device": "cpu"}, 2, 1, False),
        ({"threads": 0, "device": "cpu"}, 1, 1, False),
        ({"threads": 0, "device": "cuda"}, 2, 1, False),
        ({"threads": 0, "device": "cpu"}, 2, 2, False),  # all ranks must round alike
    ],
)
def test_only_a_chosen_number_of_threads_changes(monkeypatch, run, chosen, size, watched):
    monkeypatch.setattr(thread_watch, "resolve_device", lambda device: device)
    monkeypatch.setattr(ranks, "current", lambda: SimpleNamespace(size=size))
    assert isinstance(watch_threads(run, ThreadChoice(chosen, ""), print), ThreadWatch) == watched


def test_a_run_takes_over_the_number_and_its_checkpoint_keeps_the_first(tmp_path, monkeypatch, capsys):
    """The updates of the run themselves are timed: it makes no more of them and continues."""
    machine = SimpleNamespace(now=0.0, updates=[])

    class LoadedAgent(FakeAgent):
        def update(self, batch, step=0):
            machine.updates.append(torch.get_num_threads())
            machine.now += (QUIET if len(machine.updates) < 20 else BUSY)[torch.get_num_threads()]
            return super().update(batch, step)

    def watch(run, choice, show):
        machine.updates.clear()
        return ThreadWatch(choice.threads, show, lambda: machine.now)

    monkeypatch.setattr(threads, "available_threads", lambda: 2)
    monkeypatch.setattr(threads, "fastest_threads", lambda update, most, patience: (2, {1: 0.2, 2: 0.1}))
    monkeypatch.setattr(session, "watch_threads", watch)
    train(config(tmp_path, run__threads=0), FakeFactory(LoadedAgent))
    assert machine.updates[:22] == [2] * 22
    assert machine.updates[-1] == 1
    assert "Updates took 3.70 s with 2 thread(s) and take 0.97 s with 1" in "".join(capsys.readouterr())
    assert newest(tmp_path)["threads"] == 2
    assert newest(tmp_path)["counters"]["updates"] == len(machine.updates)
