"""The number of threads: chosen by timing, without effect on the run, and kept by it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import dreamer
from common.commands.eval import evaluate
from common.nn import rng
from common.profiling.measure import fill_replay
from common.training import threads
from common.training.factory import Factory, record_spec
from common.training.train import train
from tests.helpers.fakes import action_space, obs_space
from tests.helpers.run_fakes import FakeAgent, FakeFactory, config, lines, newest


@pytest.fixture(autouse=True)
def one_thread():
    yield
    torch.set_num_threads(1)


@pytest.fixture
def two_cores(monkeypatch):
    """Two cores, both of which are chosen."""
    monkeypatch.setattr(threads, "available_threads", lambda: 2)
    monkeypatch.setattr(
        threads, "fastest_threads", lambda update, most, patience: update() and (most, {1: 0.2, 2: 0.1})
    )


def pretend(monkeypatch, seconds):
    """Let updates take `seconds[threads]`; return the numbers of threads tried, in order."""
    tried = []
    monkeypatch.setattr(threads, "timed", lambda update, count: tried.append(count) or seconds[count])
    return tried


@pytest.mark.parametrize(
    ("seconds", "most", "best"),
    [
        ({1: 0.1, 2: 0.08, 4: 0.06, 8: 0.055}, 8, 4),
        ({1: 0.1, 2: 0.09, 4: 0.01}, 4, 1),  # not clearly faster: no further
        ({1: 0.1, 2: 0.15}, 2, 1),
        ({1: 0.1, 2: 0.06, 3: 0.05}, 3, 3),
        ({1: 0.1}, 1, 1),
    ],
)
def test_more_threads_are_used_only_if_clearly_faster(monkeypatch, seconds, most, best):
    pretend(monkeypatch, seconds)
    found, shown = threads.fastest_threads(None, most)
    assert found == best
    assert shown == {count: seconds[count] for count in shown}
    assert best in shown or most == 1


def test_timing_stops_early_on_a_busy_machine(monkeypatch):
    tried = pretend(monkeypatch, {1: 0.1, 2: 5.0})
    assert threads.fastest_threads(None, 8) == (1, {1: 0.1, 2: 5.0})
    assert tried == [1, 2, 2]


def test_thread_counts():
    assert [list(threads.thread_counts(most)) for most in (1, 2, 3, 8, 12)] == [
        [],
        [2],
        [2, 3],
        [2, 4, 8],
        [2, 4, 8, 12],
    ]


def test_the_cpu_limit_of_a_container_is_used(monkeypatch, tmp_path):
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "CGROUP_CPU_QUOTA", tmp_path / "cpu.max")
    assert threads.available_threads() == 2
    for text, most in {"max 100000": 2, "400000 100000": 2, "150000 100000": 1, "50000 100000": 1}.items():
        (tmp_path / "cpu.max").write_text(text + "\n")
        assert threads.available_threads() == most


def test_the_timing_does_not_change_the_run(tmp_path, monkeypatch):
    """The run equals one with that number set, random generators included."""
    train(config(tmp_path / "set", run__threads=1), FakeFactory())
    monkeypatch.setattr(threads, "available_threads", lambda: 2)
    monkeypatch.setattr(threads, "fastest_threads", lambda update, most, patience: update() and (1, {1: 0.1, 2: 0.2}))
    factory = FakeFactory()
    train(config(tmp_path / "chosen", run__threads=0), factory)
    timed, trained = factory.made
    assert timed.calls == [0] * 3
    assert 0 not in trained.calls
    assert lines(tmp_path / "chosen") == lines(tmp_path / "set")
    one, other = newest(tmp_path / "set"), newest(tmp_path / "chosen")
    assert torch.equal(one["rng"]["torch"], other["rng"]["torch"])
    assert torch.equal(one["agent"]["weight"], other["agent"]["weight"])


def test_the_choice_is_printed_kept_and_reused(tmp_path, two_cores, monkeypatch, capsys):
    logdir = tmp_path / "run"
    train(config(logdir, run__threads=0, steps=100), FakeFactory())
    figures = "2 CPU thread(s) (1: 200 ms, 2: 100 ms for an update on 2 x 4 steps)"
    assert f"cpu, fp32, eager, {figures}" in capsys.readouterr().out
    assert newest(logdir)["threads"] == torch.get_num_threads() == 2
    monkeypatch.setattr(threads, "fastest_threads", None)  # not asked again
    for use in (lambda: train(config(logdir, run__threads=0), FakeFactory()), lambda: evaluate_run(logdir)):
        torch.set_num_threads(1)
        use()
        assert torch.get_num_threads() == 2
    assert "2 CPU thread(s) (as before)" in capsys.readouterr().out
    assert [entry["threads"] for entry in json.loads((logdir / "run.json").read_text())["sessions"]] == [2, 2]


def evaluate_run(logdir):
    return evaluate(config(logdir, run__threads=0), FakeFactory())


def choice(before=None, factory=None, **changes):
    envs = SimpleNamespace(obs_space=obs_space(image=False), act_space=action_space("discrete"))
    return threads.choose_threads(config("", **{"run__threads": 0, **changes}), before, factory or FakeFactory(), envs)


def test_no_timing_without_a_choice(monkeypatch):
    monkeypatch.setattr(threads, "_measured", None)
    monkeypatch.setattr(threads, "available_threads", lambda: 4)
    assert str(choice(run__threads=3)) == "3 CPU thread(s)"
    assert str(choice(before=2)) == "2 CPU thread(s) (as before)"
    assert str(choice(before=8)) == "4 CPU thread(s) (of 8 before)"
    monkeypatch.setattr(threads, "available_threads", lambda: 1)
    assert str(choice()) == "1 CPU thread(s)"


def test_updates_are_timed_where_compilation_depends_on_it(monkeypatch):
    """Also with a number of threads that is set, but not in short, resumed, compiled or uncompiled runs."""
    envs = SimpleNamespace(obs_space=obs_space(image=False), act_space=action_space("discrete"))
    tried = pretend(monkeypatch, dict.fromkeys(range(1, 9), 0.5))

    def seconds(updates, before=None, **changes):
        given = config("", **{"run__threads": 3, **changes})
        return threads.choose_threads(given, before, FakeFactory(), envs, updates).update_seconds

    auto = {"run__compile": "auto"}
    assert seconds(100, **auto) == 0.5
    assert tried[-1] == 3
    tried.clear()
    assert [seconds(99, **auto), seconds(100, before=3, **auto), seconds(100), seconds(100, run__compile="on")] == [
        0
    ] * 4
    assert not tried
    monkeypatch.setattr(threads, "available_threads", lambda: 1)
    assert seconds(100, **auto, run__threads=0) == 0.5


def test_the_time_of_training_decides_with_the_limit_of_the_run():
    choice = threads.ThreadChoice(2, "", update_seconds=0.5)
    assert choice.training_seconds(4000) == 2000.0
    assert choice.training_seconds(4000, limit=300) == 300
    assert threads.ThreadChoice(2, "").training_seconds(4000) == 0.0


@pytest.mark.parametrize(
    ("updates", "patience", "length"), [(0, 1.5, 4), (10, 1.5, 4), (100, 8.0, 4), (200, 16.0, 8), (10_000, 20.0, 10)]
)
def test_long_runs_time_longer_sequences(monkeypatch, updates, patience, length):
    """Four steps take a second, the whole batch eight; eight timed updates get 1 % of the run."""
    monkeypatch.setattr(threads, "timed", lambda update, count: 1.0)
    envs = SimpleNamespace(obs_space=obs_space(image=False), act_space=action_space("discrete"))
    given = config("") | {"batch_length": 32}
    assert threads.short_update(given, FakeFactory(), envs, updates)[1:] == (length, patience)


class Untimed(FakeAgent):
    def update(self, batch, step=0):
        raise NotImplementedError


def test_an_agent_that_cannot_be_timed_keeps_the_default(monkeypatch):
    monkeypatch.setattr(threads, "available_threads", lambda: 2)
    state = rng.get_state()["torch"]
    expected = "1 CPU thread(s) (updates could not be timed: NotImplementedError)"
    assert str(choice(factory=FakeFactory(Untimed))) == expected
    assert torch.equal(rng.get_state()["torch"], state)


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_the_timed_batch_has_the_replays_entries(algo, two_cores):
    """Real agents train on it, and its entries are the replay's."""
    given = dreamer.resolve(algo, ["debug"], {"run.envs": 2, "replay.capacity": 3000, "run.device": "cpu"})
    envs = SimpleNamespace(obs_space=obs_space(), act_space=action_space("box"))
    assert threads.choose_threads(given, None, Factory(), envs).threads == 2
    agent = Factory().agent(envs.obs_space, envs.act_space, given)
    spec, size = record_spec(envs.obs_space, agent), (given["batch_size"], given["batch_length"])
    replay = Factory().replay(given, spec, 2, None)
    fill_replay(replay, agent, envs.obs_space, *size)
    drawn, random = replay.sample(*size), threads.random_batch(spec, *size)
    kinds = [{key: (np.shape(x), x.dtype) for key, x in batch.items()} for batch in (drawn, random)]
    assert kinds[0].keys() - kinds[1].keys() == set()
    assert all(kinds[1][key] == kind for key, kind in kinds[0].items())
