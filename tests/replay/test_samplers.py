"""Samplers: the windows that are drawn, and how often."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from dreamer_v1.sampler import Episodes
from dreamer_v3.sampler import Windows
from tests.helpers.replay import build, filled, records, starts


def matches(drawn, expected):
    """Check that exactly the expected values are drawn, with a chi-square within 5 sigma."""
    values, counts = np.unique(drawn, return_counts=True)
    assert set(values.tolist()) == set(expected)
    wanted = np.array([expected[v] for v in values.tolist()]) * len(drawn)
    chi, freedom = ((counts - wanted) ** 2 / wanted).sum(), len(wanted) - 1
    assert chi < freedom + 5 * np.sqrt(2 * max(freedom, 1)), (chi, freedom)


def episode(begin, total, length, weight, *, balance=False, ends=0, inclusive=True):
    """Return the specified probability of each start in one episode."""
    upper = total if balance else total - length + int(inclusive) + ends
    result = {}
    for draw in range(upper):
        start = begin + min(draw, total - length)
        result[start] = result.get(start, 0) + weight / upper
    return result


@pytest.mark.parametrize("options", [{}, {"ends": 5}, {"inclusive": False}, {"balance": True}])
def test_episodes_are_uniform_and_starts_as_specified(options):
    replay = filled(Episodes(**options), lengths=[20, 8], count=56)
    expected = {}
    for begin, total in ((0, 20), (20, 8), (28, 20), (48, 8)):
        expected |= episode(begin, total, 5, 0.25, **options)
    matches(starts(replay, 50, 5, 400), expected)


def test_every_record_is_drawn_including_the_last():
    replay = filled(Episodes(), lengths=[13], count=39)
    seen = {n for _ in range(60) for n in replay.sample(16, 5)["id"][..., 1].ravel().tolist()}
    assert seen == set(range(39))


def test_short_episodes_are_joined_and_equally_likely():
    replay = filled(Episodes(), lengths=[3, 4, 12], count=38)
    expected = {0: 1 / 6, 3: 1 / 6, 19: 1 / 6, 22: 1 / 6}
    expected |= episode(7, 12, 8, 1 / 6) | episode(26, 12, 8, 1 / 6)
    matches(starts(replay, 50, 8, 300), expected)


def test_a_short_last_episode_is_complete_in_its_row():
    replay = filled(Episodes(), lengths=[10, 3], count=26)
    data = replay.sample(200, 8)
    assert {0, 10, 18} <= set(data["id"][:, 0, 1].tolist())
    rows = data["id"][data["id"][:, 0, 1] == 18, :, 1]
    assert (rows[0] == np.arange(18, 26)).all()
    assert data["is_first"][data["id"][:, 0, 1] == 18][0].tolist() == [False] * 5 + [True, False, False]


def test_minimum_excludes_short_episodes():
    replay = filled(Episodes(minimum=8), lengths=[3, 4, 12], count=38)
    matches(starts(replay, 50, 8, 100), episode(7, 12, 8, 0.5) | episode(26, 12, 8, 0.5))


def test_training_starts_with_short_episodes_alone():
    replay = build(Episodes())
    ready = []
    for record in records([3], 60):
        replay.add(record)
        ready.append(replay.ready(4, 50))
    assert ready == [False] * 49 + [True] * 11
    assert replay.sample(4, 50)["is_first"].sum(1).min() >= 16


def test_waiting_reason_names_what_is_missing():
    assert "sampler.ongoing and env.time_limit" in filled(Episodes(), lengths=[500]).waiting_reason(4, 10)
    assert "of 30 or more records" in filled(Episodes(minimum=30)).waiting_reason(4, 10)
    assert filled(Episodes(), count=20).waiting_reason(4, 50) == "20 of 50 records of each environment are stored"
    assert build().waiting_reason(4, 50) == "nothing is stored yet"
    with pytest.raises(UserError, match="cannot be sampled: 0 of 1 windows"):
        filled(count=20).sample(8, 30)


def test_ongoing_episodes_can_be_drawn():
    replay = filled(Episodes(ongoing=True), lengths=[20], count=30)
    matches(starts(replay, 50, 5, 200), episode(0, 20, 5, 0.5) | episode(20, 10, 5, 0.5))


@pytest.mark.parametrize("context", [0, 1])
def test_the_rest_of_an_evicted_episode_can_be_drawn(context):
    replay = filled(Episodes(), lengths=[20], count=60, capacity=50, context=context)  # 10 .. 59 are stored
    low = 10 + context
    expected = episode(low, 20 - low, 5, 1 / 3) | episode(20, 20, 5, 1 / 3) | episode(40, 20, 5, 1 / 3)
    matches(starts(replay, 50, 5, 300), expected)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    streams=st.integers(1, 3),
    minimum=st.integers(1, 12),
    count=st.integers(1, 150),
)
def test_the_table_of_episodes_equals_one_made_from_scratch(lengths, streams, minimum, count):
    replay = filled(Episodes(minimum=minimum), lengths=lengths, streams=streams, count=count, capacity=40 * streams)
    ring, table = replay.ring, replay.sampler.finished
    fresh = Episodes(minimum=minimum)
    fresh.rebuild(ring)

    def clipped(table):
        return [(s, max(begin, ring.oldest - 1), stop) for s, begin, stop in (table[i] for i in range(len(table)))]

    assert clipped(table) == clipped(fresh.finished)
    stops = [table[i][2] for i in range(len(table))]
    assert stops == sorted(stops)


@pytest.mark.parametrize(("context", "count", "slots"), [(0, 40, 100), (1, 40, 100), (1, 170, 50)])
def test_windows_are_uniform_over_streams_and_starts(context, count, slots):
    replay = filled(Windows(online=False), count=count, streams=2, capacity=2 * slots, context=context)
    rows = np.concatenate([replay.sample(50, 5)["id"][:, 0] for _ in range(400)])
    low, high = max(0, count - slots) + context, count - 5
    total = 2 * (high - low + 1)
    matches(rows[:, 0] * 1000 + rows[:, 1], {s * 1000 + k: 1 / total for s in (0, 1) for k in range(low, high + 1)})


def test_training_starts_at_batch_times_length_windows():
    replay = build(Windows(), context=1)
    ready = []
    for record in records([10], 60):
        replay.add(record)
        ready.append(replay.ready(4, 9))
    assert ready.index(True) + 1 - 9 == 4 * 9
    assert filled(Windows(), capacity=30, count=30).ready(16, 10)  # 160 windows never fit into this one


@pytest.mark.parametrize("context", [0, 1])
def test_the_queue_serves_each_window_once_and_first(context):
    replay, size = build(streams=2, context=context), 6 + context
    served = []
    for k, record in enumerate(records([10], 300, 2), 1):
        replay.add(record)
        if k >= 60:
            complete = 2 * ((k - 1) // size)
            rows = replay.sample(4, 6)["id"][: min(4, complete - len(served)), 0]
            served += rows.tolist()
    assert served == [[s, 1 + context + w * size] for w in range(299 // size) for s in range(2)]


def test_reports_do_not_change_the_draws():
    one, two = filled(seed=3), filled(seed=3)
    report = two.sample(8, 5, report=True)
    assert report["id"].shape == (8, 5, 2)
    for _ in range(3):
        np.testing.assert_array_equal(one.sample(8, 5)["index"], two.sample(8, 5)["index"])


def test_evicted_windows_in_the_queue_are_skipped():
    replay = filled(Windows(), count=200, capacity=50)
    first = replay.sample(6, 5)["id"][:, 0, 1]
    assert first.tolist() == [151 + 5 * w for w in range(6)]
    assert replay.sample(6, 5)["id"][:3, 0, 1].tolist() == [181, 186, 191]


def test_a_new_length_starts_a_new_queue():
    replay = filled(Windows(), count=100)
    replay.sample(4, 5)
    before = replay.sampler.state()
    replay.sample(4, 7)
    assert (before, replay.sampler.state()) == ({"size": 5, "served": 4}, {"size": 7, "served": 15})
    for record in itertools.islice(records([10], 120, start=100), 20):
        replay.add(record)
    assert replay.sample(4, 7)["id"][:2, 0, 1].tolist() == [106, 113]


def test_seeds_differ_and_repeat():
    a, b, c = (filled(seed=s).sample(16, 5)["index"] for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    a, c = (filled(Windows(online=False), seed=s).sample(16, 5)["index"] for s in (1, 2))
    assert (a != c).any()


@pytest.mark.parametrize("options", [{"ends": -1}, {"minimum": 0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(UserError, match=r"sampler\.ends must be >= 0"):
        Episodes(**options)
