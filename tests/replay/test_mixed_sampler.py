"""Windows drawn by priority and by recency: how often, after what, and the same after a restart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.storage.saved_agent import check_replay
from dreamer_v3.mixed_sampler import MixedWindows
from dreamer_v3.sampler import Windows
from tests.helpers.replay import build, filled, records, same
from tests.replay.test_samplers import matches

SHAPES = {
    "streams": st.integers(1, 3), "slots": st.integers(12, 30), "count": st.integers(10, 70),
    "length": st.integers(1, 6), "context": st.integers(0, 1),
}  # fmt: skip


def make(streams, slots, count, context, **options):
    sampler = MixedWindows(**{"online": False, "priority": 1.0, "recency": 0.0} | options)
    return filled(sampler, count=count, streams=streams, capacity=slots * streams, context=context)


def train_on_all(replay, priority):
    """Set the priorities of all stored records; (streams, all records ever added)."""
    numbers = np.arange(replay.ring.oldest, replay.ring.count)
    index = numbers * replay.streams + np.arange(replay.streams)[:, None]
    replay.write_back(index, {"priority": priority[:, numbers]})


def drawn(replay, length, draws):
    """Return stream and first record of many windows, one number for both; the priorities stay as they are."""
    return replay.sample(draws, length, report=True)["index"][:, 0]


def expected(replay, priority, length, context, exponent, maximum):
    """Return the definition of the probability of each window."""
    values, weights = priority**exponent, {}
    for stream in range(replay.streams):
        for first in range(replay.ring.oldest + context, replay.ring.count - length + 1):
            row = values[stream, first : first + length]
            weights[first * replay.streams + stream] = maximum * row.max() + (1 - maximum) * row.mean()
    total = sum(weights.values())
    return {window: weight / total for window, weight in weights.items() if weight}


@settings(max_examples=15, deadline=None)
@given(
    **SHAPES,
    exponent=st.sampled_from([0.5, 0.8, 1.0]),
    maximum=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_windows_are_drawn_in_proportion_to_their_priorities(
    streams, slots, count, length, context, exponent, maximum, seed
):
    replay = make(streams, slots, count, context, exponent=exponent, maximum=maximum)
    priority = np.random.default_rng(seed).exponential(size=(streams, count)).astype(np.float32) + 0.1
    train_on_all(replay, priority)
    matches(drawn(replay, length, 3000), expected(replay, priority, length, context, exponent, maximum))


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("count", [20, 90])
def test_newer_windows_are_drawn_more_often(exponent, count):
    replay = make(2, 40, count, 1, priority=0.0, recency=1.0, recency_exponent=exponent)
    numbers = drawn(replay, 5, 20_000) // 2
    ages, weights = count - 5 - numbers, 1 / np.arange(1, 36) ** exponent
    windows = min(count, 40) - 5
    odds = np.bincount(np.arange(35) * windows // 35, weights) / weights.sum()
    matches(ages, dict(enumerate(odds)))


def test_the_three_kinds_are_mixed_by_their_shares():
    replay = make(1, 200, 200, 0, priority=0.5, recency=0.25, exponent=1.0, maximum=0.0, recency_exponent=50.0)
    priority = np.zeros((1, 200), np.float32)
    priority[0, 50] = 1.0
    train_on_all(replay, priority)
    numbers = drawn(replay, 1, 8000)
    uniform = 0.25 / 200
    assert np.mean(numbers == 50) == pytest.approx(0.5 + uniform, abs=0.03)
    assert np.mean(numbers == 199) == pytest.approx(0.25 + uniform, abs=0.03)
    assert len(set(numbers)) > 190


def test_new_records_come_first_and_a_drawn_window_waits_for_its_loss():
    replay = make(1, 50, 45, 0)
    train_on_all(replay, np.ones((1, 45), np.float32))
    for record in records([10], 47, start=45):
        replay.add(record)
    first = [replay.sample(1, 5) for _ in range(3)]
    assert first[0]["index"].max() >= 45
    assert {45, 46} <= {n for data in first for n in data["index"].ravel().tolist()}
    for data in first:
        replay.write_back(data["index"], {"priority": np.full((1, 5), 9.0, np.float32)})
    assert not replay.sampler.priorities.sums["fresh"].any()
    row = replay.sample(1, 5)["index"]
    again = [replay.sample(1, 5, report=True)["index"][0, 0] for _ in range(200)]
    assert row[0, 0] not in again
    replay.write_back(row, {"priority": np.full((1, 5), 1000.0, np.float32)})
    assert row[0, 0] in [replay.sample(1, 5, report=True)["index"][0, 0] for _ in range(50)]


def test_windows_without_any_priority_are_drawn_uniformly():
    replay = make(2, 30, 25, 0)
    train_on_all(replay, np.zeros((2, 25), np.float32))
    assert set(drawn(replay, 5, 2000).tolist()) == set(range(2 * 21))


def work(replay, random, steps, start):
    """Add records, draw and write back, in random order; return all that was drawn."""
    found, stream = [], records([7], 10_000, replay.streams, start=start)
    for _ in range(steps):
        for _ in range(int(random.integers(0, 4))):
            replay.add(next(stream))
        data = replay.sample(3, 4)
        found.append(data["index"])
        if random.random() < 0.9:
            priority = random.exponential(size=(3, 4)).astype(np.float32)
            replay.write_back(data["index"], {"priority": priority})
    return np.array(found)


@settings(max_examples=8, deadline=None)
@given(streams=st.integers(1, 3), slots=st.integers(12, 40), steps=st.integers(1, 30), online=st.booleans(),
       disk=st.booleans(), seed=st.integers(0, 99))  # fmt: skip
def test_a_resumed_replay_draws_as_if_it_had_not_stopped(tmp_path_factory, streams, slots, steps, online, disk, seed):
    folder = tmp_path_factory.mktemp("replay")
    options = {"streams": streams, "capacity": slots * streams, "directory": folder if disk else None}
    sampler = lambda: MixedWindows(online=online, priority=0.5, recency=0.25)
    replay = filled(sampler(), lengths=[7], count=10, **options)
    work(replay, np.random.default_rng(seed), steps, 10)
    state, count = replay.save(folder), replay.ring.count
    check_replay(state)
    expected = work(replay, np.random.default_rng(seed + 1), 20, count)
    again = build(sampler(), **options)
    again.load(folder, state)
    np.testing.assert_array_equal(work(again, np.random.default_rng(seed + 1), 20, count), expected)


@settings(max_examples=15, deadline=None)
@given(streams=st.integers(1, 3), slots=st.integers(12, 40), steps=st.integers(1, 30), seed=st.integers(0, 99))
def test_tables_that_are_kept_up_to_date_equal_new_ones(streams, slots, steps, seed):
    replay = filled(MixedWindows(priority=0.7, recency=0.0), count=10, streams=streams, capacity=slots * streams)
    work(replay, np.random.default_rng(seed), steps, 10)
    kept = replay.sampler.priorities
    kept.synchronize(replay.ring, 4, 0)
    tables = kept.weights.copy(), kept.fresh.copy(), kept.sums
    kept.window = 0, 0
    kept.synchronize(replay.ring, 4, 0)
    np.testing.assert_array_equal(tables[0], kept.weights)
    np.testing.assert_array_equal(tables[1], kept.fresh)
    same(tables[2], kept.sums)


def test_a_smaller_replay_keeps_the_newest_priorities(tmp_path):
    replay = make(2, 40, 40, 0)
    train_on_all(replay, np.arange(80, dtype=np.float32).reshape(2, 40))
    state = replay.save(tmp_path)
    small = build(MixedWindows(priority=1.0, recency=0.0), streams=2, capacity=20)
    small.load(tmp_path, state)
    values = [replay.sampler.priorities.values, small.sampler.priorities.values]
    np.testing.assert_array_equal(values[0][:, 30:], values[1])


def test_malformed_priorities_in_a_checkpoint_are_refused(tmp_path):
    state = make(2, 40, 40, 0).save(tmp_path)
    check_replay(state)
    for change in ({"values": state["sampler"]["values"][:, 1:]}, {"oldest": 3}):
        with pytest.raises(ValueError, match=r"replay\.sampler\.values has shape"):
            check_replay(state | {"sampler": state["sampler"] | change})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"priority": 0.6, "recency": 0.6}, "must sum to at most 1, got 0.6 and 0.6"),
        ({"recency": -0.1}, "must not be negative"),
        ({"maximum": 1.5}, "between 0 and 1"),
    ],
)
def test_impossible_shares_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        MixedWindows(**options)


def test_windows_draw_what_they_drew_before_there_were_mixtures():
    replay = filled(Windows(), count=60, streams=2)
    assert drawn(replay, 5, 8).tolist() == [58, 99, 111, 62, 33, 89, 25, 107]
    assert replay.sample(8, 5)["index"][:, 0].tolist() == [2, 3, 12, 13, 22, 23, 32, 33]  # the queue
