"""Capacity of the replay: limits in records and GiB, in memory and on disk."""

import numpy as np
import pytest

from common.errors import UserError
from common.replay import Replay, capacity, forecast
from dreamer_v1.sampler import Episodes
from dreamer_v3.sampler import Windows
from tests.helpers.replay import PLAIN, SPEC, build, filled, records

EACH = 48 + 16 + 4 + 3 + 8 + 12 + 8


def test_forecast_is_exact_and_allocates_nothing(monkeypatch):
    monkeypatch.setattr(capacity, "free_memory", lambda: 10 * 2**30)
    size = forecast(SPEC, 4, capacity=1002)
    assert (size.records, size.slots, size.record_bytes) == (1000, 250, EACH)
    assert size.gib == pytest.approx(1000 * EACH / 2**30)
    assert "1,000 records" in str(size)
    assert build(capacity=10**6)._ring is None


def test_the_smaller_limit_wins(monkeypatch):
    monkeypatch.setattr(capacity, "free_memory", lambda: 10 * 2**30)
    assert forecast(SPEC, 1, capacity=500, max_gib=1).records == 500
    assert forecast(SPEC, 1, capacity=10**9, max_gib=1).records == 2**30 // EACH
    half = forecast(SPEC, 1, capacity=10**9)
    assert half.records == 5 * 2**30 // EACH
    assert "half of the 10.0 GiB of free memory" in str(half)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_gib": 11}, "does not fit: 10.00 GiB of memory free"),
        ({"capacity": 1}, "less than two records"),
        ({"capacity": -1}, "must not be negative"),
    ],
)
def test_impossible_limits_are_refused_before_allocation(monkeypatch, options, message):
    monkeypatch.setattr(capacity, "free_memory", lambda: 10 * 2**30)
    with pytest.raises(UserError, match=message):
        forecast(SPEC, 1, **options)


def test_disk_limits_count_the_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 2**30}))
    assert "free disk" in str(forecast(SPEC, 1, directory=tmp_path / "new"))
    with pytest.raises(UserError, match="disk free"):
        forecast(SPEC, 1, max_gib=2, directory=tmp_path)


def test_this_machine_has_memory():
    assert 2**20 < capacity.free_memory() < 2**50


@pytest.mark.parametrize("disk", [False, True])
def test_capacity_holds_while_adding(tmp_path, disk):
    replay = filled(count=300, streams=3, capacity=300, directory=tmp_path if disk else None)
    assert len(replay) == 300
    assert replay.gib == pytest.approx(300 * EACH / 2**30)
    assert sum(array.nbytes for array in replay.ring.arrays.values()) == 300 * EACH


def test_capacity_holds_when_loading(tmp_path):
    large = filled(Episodes(), count=200)
    state = large.save(tmp_path)
    small = build(Episodes(), capacity=64)
    small.load(tmp_path, state)
    assert len(small) == 64
    np.testing.assert_array_equal(small.ring.block("id", 136, 200), large.ring.block("id", 136, 200))
    assert small.sample(64, 9)["id"][..., 1].min() >= 136


def test_overhead_is_below_five_percent():
    cartpole = {key: value for key, value in PLAIN.items() if key != "image" and key != "id"} | {
        "obs": ((4,), np.float32)
    }
    sampler = Episodes()
    replay = Replay(cartpole, 1, sampler=sampler, capacity=5000, max_gib=0.1)
    for record in records([20], 20000):
        replay.add({key: record[key] for key in cartpole if key != "obs"} | {"obs": np.zeros((1, 4), np.float32)})
    stored = sum(array.nbytes for array in replay.ring.arrays.values())
    table = len(sampler.finished) * 24
    assert stored + table <= 1.05 * 5000 * replay.forecast().record_bytes
    assert len(sampler.finished.values) < 3 * 4 * 1024


def test_a_window_longer_than_the_ring_is_refused():
    with pytest.raises(UserError, match=r"Raise replay\.capacity or lower batch_length"):
        filled(Windows(), streams=4, capacity=40, count=20).ready(4, 11)


def test_resume_keeps_the_size_that_free_memory_gave(monkeypatch, tmp_path):
    monkeypatch.setattr(capacity, "free_memory", lambda: 200 * EACH)
    replay = Replay(SPEC, 1, sampler=Windows())
    for record in records([10], 150):
        replay.add(record)
    state = replay.save(tmp_path)
    for free in (3 * 100 * EACH, 110 * EACH):
        monkeypatch.setattr(capacity, "free_memory", lambda free=free: free)
        again = Replay(SPEC, 1, sampler=Windows())
        again.load(tmp_path, state)
        assert len(again) == again.forecast().records == 100
        assert again.messages == []
    monkeypatch.setattr(capacity, "free_memory", lambda: 80 * EACH)
    with pytest.raises(UserError, match=r"needs 100 records.*--replay\.max_gib"):
        Replay(SPEC, 1, sampler=Windows()).load(tmp_path, state)
    smaller = Replay(SPEC, 1, sampler=Windows(), max_gib=40 * EACH / capacity.GIB)
    smaller.load(tmp_path, state)
    assert len(smaller) == 40
    assert "60 of the oldest records" in smaller.messages[0]


@pytest.mark.parametrize("names", [("max", "current", "stat"), ("limit_in_bytes", "usage_in_bytes", "stat")])
def test_cached_files_count_as_free_memory(monkeypatch, tmp_path, names):
    paths = [tmp_path / name for name in names]
    total = "total_" if names[0] != "max" else ""
    stat = f"anon 1\ninactive_file 7\nactive_file 7\n{total}inactive_file 300\n{total}active_file 50\n"
    for path, text in zip(paths, ("1000\n", "900\n", stat), strict=True):
        path.write_text(text)
    monkeypatch.setattr(capacity, "CGROUP_FILES", [list(map(str, paths))])
    assert capacity.free_memory() == 1000 - 900 + 350


def test_a_replay_has_no_more_room_than_the_run_can_fill(monkeypatch, tmp_path):
    monkeypatch.setattr(capacity, "free_memory", lambda: 10 * 2**30)
    size = forecast(SPEC, 2, capacity=10**6, fill=30)
    assert (size.records, size.limit) == (60, capacity.RUN_LIMIT)
    assert forecast(SPEC, 2, max_gib=50, fill=30).records == 60  # refused before, though it never needs 50 GiB
    assert forecast(SPEC, 2, capacity=20, fill=30).records == 20
    assert forecast(SPEC, 2, capacity=10**6, fill=30, directory=tmp_path).records == 10**6  # files cannot grow later


@pytest.mark.parametrize(("steps", "streams"), [(1, 1), (10, 1), (11, 4), (100, 3)])
def test_the_shortest_episodes_fill_no_more_than_the_forecast(steps, streams):
    stored = taken = 0
    last = np.zeros(streams, bool)
    while taken < steps:  # episodes of one step: every second record of a stream ends one
        stored, taken, last = stored + 1, taken + int((~last).sum()), ~last
    assert stored + 1 <= capacity.fillable_slots(steps, streams, 0)
    assert capacity.fillable_slots(1, 1, 65) == 66


def saved(folder, monkeypatch, free, count, **options):
    """Return the state of a replay that was started with `free` records of free memory and saved with `count`."""
    monkeypatch.setattr(capacity, "free_memory", lambda: free * EACH)
    replay = Replay(SPEC, 1, sampler=Windows(), **options)
    for record in records([10], count):
        replay.add(record)
    return replay.save(folder)


def resumed(folder, monkeypatch, state, free, **options):
    monkeypatch.setattr(capacity, "free_memory", lambda: free * EACH)
    monkeypatch.setattr(capacity, "free_disk", lambda _: free * EACH)
    replay = Replay(SPEC, 1, sampler=Windows(), **options)
    replay.load(folder, state)
    return replay


@pytest.mark.parametrize("capacity_", [0, 10**6])
def test_less_free_memory_shrinks_only_the_unused_part(monkeypatch, tmp_path, capacity_):
    state = saved(tmp_path, monkeypatch, 2000, 60, capacity=capacity_)
    assert state["slots"] == 1000
    for free, slots in ((900, 450), (70, 60)):
        again = resumed(tmp_path, monkeypatch, state, free, capacity=capacity_)
        assert (len(again), again.forecast().records, again.messages) == (60, slots, [])
    with pytest.raises(UserError, match=r"needs 60 records = .* Free some memory, or resume with its newest"):
        resumed(tmp_path, monkeypatch, state, 50, capacity=capacity_)


def test_a_replay_saved_before_it_was_limited_by_its_run_resumes(monkeypatch, tmp_path):
    state = saved(tmp_path, monkeypatch, 2000, 60)
    del state["run_limit"]
    assert resumed(tmp_path, monkeypatch, state, 300, fill=80).forecast().records == 80


def test_a_longer_run_has_more_room(monkeypatch, tmp_path):
    for options in ({}, {"capacity": 10**6}):
        state = saved(tmp_path, monkeypatch, 2000, 60, fill=80, **options)
        assert state["slots"] == 80
        assert resumed(tmp_path, monkeypatch, state, 2000, fill=200, **options).forecast().records == 200


def test_mapped_files_keep_their_size_with_more_and_with_less_free_disk(monkeypatch, tmp_path):
    options = {"directory": tmp_path, "capacity": 10**6, "fill": 80}
    monkeypatch.setattr(capacity, "free_disk", lambda _: 2000 * EACH)
    state = saved(tmp_path, monkeypatch, 2000, 60, **options)
    assert state["slots"] == 1000
    for free in (90, 4000):
        again = resumed(tmp_path, monkeypatch, state, free, **options)
        assert (len(again), again.forecast().records) == (60, 1000)
        again.ring.arrays.clear()
    with pytest.raises(UserError, match=r"needs 80 records .* Free some disk\.$"):
        resumed(tmp_path, monkeypatch, state, 70, **options)
