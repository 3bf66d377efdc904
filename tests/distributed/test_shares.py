"""The division of a config among ranks, torchrun's variables and the exchanges of one process."""

import secrets
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

import dreamer
from common.distributed import launch, torchrun
from common.distributed.checkpoints import RankCheckpoints
from common.distributed.launch import agree_on_start
from common.distributed.shares import rows_of_ranks, seed_of_rank, share_of_config, split, steps_of_rank
from common.errors import UserError
from common.nn import compile, ranks
from common.training.stop import Stop, Stopped

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "host", "MASTER_PORT": "1234"}


class Planned(ranks.Ranks):
    def __init__(self, rank, size):
        self.rank, self.size = rank, size


@given(st.integers(0, 1000), st.integers(1, 40))
def test_split_is_even_and_complete(number, size):
    parts = split(number, size)
    assert len(parts) == size
    assert sum(parts) == number
    assert max(parts) - min(parts) <= 1


def config(**flags):
    named = {key.replace("__", "."): value for key, value in flags.items()}
    return dreamer.resolve("v3", ["cpu"], {"run.envs": 5, "batch_size": 7, "replay.capacity": 1000} | named)


def test_shares_add_up_to_the_run():
    whole = config()
    rows = rows_of_ranks(whole, 3)
    shares = [share_of_config(whole, Planned(rank, 3), rows, rank) for rank in range(3)]
    assert [share["batch_size"] for share in shares] == rows == [3, 2, 2]
    assert [share["run"]["envs"] for share in shares] == [2, 2, 1]
    assert [share["replay"]["capacity"] for share in shares] == [400, 400, 200]
    assert len({share["seed"] for share in shares}) == 3
    assert shares[0]["seed"] == whole["seed"]
    assert shares[0]["run"]["eval_every"] == shares[1]["run"]["eval_every"] == whole["run"]["eval_every"]


def test_replays_have_room_for_the_frames_of_their_environments():
    whole = config(steps=1000)
    rows = rows_of_ranks(whole, 3)
    shares = [share_of_config(whole, Planned(rank, 3), rows, rank) for rank in range(3)]
    assert [steps_of_rank(whole, share)["steps"] for share in shares] == [400, 400, 200]
    assert steps_of_rank(whole, whole) is whole


def test_each_rank_can_have_a_whole_batch():
    assert rows_of_ranks(config(run__batch="per_rank"), 4) == [7] * 4


def test_seeds_of_ranks_are_not_those_of_neighbouring_runs():
    seeds = [seed_of_rank(seed, rank) for seed in range(20) for rank in range(8)]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(("flags", "says"), [
    ({"run__envs": 2}, "run.envs is 2, too few for 3 processes: add --run.envs 3 or more, or start fewer."),
    ({"batch_size": 2}, "batch_size is 2, too few for 3 processes"),
    ({"run__offline": "data"}, "run.offline trains in one process"),
])  # fmt: skip
def test_a_run_that_cannot_be_divided_is_refused(flags, says):
    with pytest.raises(UserError, match=says):
        rows_of_ranks(config(**flags), 3)


def test_place_is_that_of_torchrun():
    assert torchrun.find_place({}) is None
    assert torchrun.find_place({"WORLD_SIZE": "4"}) is None  # another launcher's
    assert torchrun.find_place(TORCHRUN) == (1, 4, 1, 4)
    assert torchrun.find_place(TORCHRUN | {"LOCAL_WORLD_SIZE": "2"}).neighbours == 2


def test_the_first_process_of_a_machine_reports_an_error_before_they_join(monkeypatch):
    waits = []
    monkeypatch.setattr(torchrun.time, "sleep", waits.append)
    for env in ({}, TORCHRUN | {"LOCAL_RANK": "0"}, TORCHRUN):
        torchrun.leave_error_to_first(env)
    assert waits == [torchrun.SECONDS_FOR_ERROR]
    monkeypatch.setattr(torchrun, "_joined", False)
    torchrun.mark_joined()
    torchrun.leave_error_to_first(TORCHRUN)
    assert len(waits) == 1


def test_a_signal_during_the_exchange_waits_for_the_next_check():
    """The other ranks have seen none, and would continue without this one."""
    stop = Stop()

    class Interrupted(Planned):
        def largest(self, number):
            stop.signal = signal.SIGTERM
            return number

    with ranks.joined(Interrupted(1, 2)):
        stop.check()
        assert not stop.signalled
        with pytest.raises(Stopped):
            stop.check()
    assert stop.signalled


def test_unfinished_checkpoints_do_not_displace_complete_ones(tmp_path, monkeypatch):
    """A rank keeps its part of the last complete checkpoint, however often rank 0 fails to write the next one."""
    state = dict.fromkeys(("collector", "replay", "rng", "logger"), 0)

    def save(rank, number):
        monkeypatch.setattr(secrets, "token_hex", lambda size: f"token {number}")
        checkpoints = RankCheckpoints(tmp_path, Planned(rank, 2))
        checkpoints.load()
        checkpoints.save(state | {"replay": number})

    for number in range(3):
        save(1, number)
        save(0, number)
    for number in range(3, 8):
        save(1, number)
    assert RankCheckpoints(tmp_path, Planned(1, 2)).load()["replay"] == 2


def test_a_restart_agrees_on_a_new_name_in_the_same_store():
    store, size = dist.HashStore(), 3
    places = [torchrun.Place(rank, size, rank, size) for rank in range(size)]
    found = []
    for _ in range(3):
        with ThreadPoolExecutor(size) as pool:
            found.append(set(pool.map(lambda place: agree_on_start(store, place, 10), reversed(places))))
    assert [len(names) for names in found] == [1, 1, 1]
    assert len(set.union(*found)) == 3
    for place in places:  # the entries of the earlier starts do not stand for the missing processes
        with pytest.raises(UserError, match="Not all 3 processes have joined"):
            agree_on_start(store, place, 0.1)


def test_torchrun_starts_training_only():
    torchrun.refuse_command("train", TORCHRUN)
    torchrun.refuse_command("compare", {})
    with pytest.raises(UserError, match=r"`compare` is not one: start it as `python dreamer\.py compare"):
        torchrun.refuse_command("compare", TORCHRUN)


def test_one_process_exchanges_nothing():
    x = torch.rand(3, 4, requires_grad=True)
    alone = ranks.current()
    assert torch.equal(alone.mean(x), x.mean())
    assert alone.gather(x) is x
    assert (alone.total(3), alone.largest(2), alone.any(True), alone.all(False)) == (3, 2, True, False)
    assert alone.share("a") == "a"
    metrics = {"loss": torch.tensor(1.0)}
    assert ranks.average_metrics(metrics) is metrics


def test_processes_without_a_gpu_of_their_own_are_refused(monkeypatch):
    """On all of them, before they wait for each other."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for local in range(3):
        with (
            pytest.raises(UserError, match=r"has 2 GPU\(s\) for 3 processes.* --nproc-per-node 2, or add --device cpu"),
            launch.joined_group(torchrun.Place(local, 3, local, 3), lambda size: [1] * size, gpu=True),
        ):
            pass


class Pair(ranks.Ranks):
    """This rank, and another one that cannot compile."""

    size = 2

    def largest(self, number):
        return 1  # the other one has a flag set


def test_ranks_compile_together_or_not_at_all(monkeypatch):
    monkeypatch.setattr(compile, "has_cxx_compiler", lambda: True)
    cpu, enough = torch.device("cpu"), compile.REPAYING_SECONDS
    assert compile.make_compiler("auto", cpu, enough).fallback
    with ranks.joined(Pair()):
        assert compile.make_compiler("auto", cpu, enough) is None
        compiler = compile.make_compiler("on", cpu, enough)
        with pytest.raises(UserError, match=r"f cannot be compiled: too new\nUse --compile off[.]$"):
            compiler.explain_failure("f", ValueError("too new"))


class Equals(Pair):
    """Two ranks that agree."""

    def largest(self, number):
        return number


def test_a_function_that_one_rank_cannot_compile_ends_the_run(monkeypatch):
    """Run uncompiled on one rank alone, it would round differently there."""
    monkeypatch.setattr(compile, "has_cxx_compiler", lambda: True)
    with ranks.joined(Equals()):
        assert not compile.make_compiler("auto", torch.device("cpu"), compile.REPAYING_SECONDS).fallback
