"""Replays whose records carry their stream and number."""

import numpy as np

from common.replay import Replay
from dreamer_v1.sampler import Episodes
from dreamer_v3.sampler import Windows

SPEC = {
    "image": ((4, 4, 3), np.uint8),
    "id": ((2,), np.int64),  # stream and record number
    "reward": ((), np.float32),
    "is_first": ((), bool),
    "is_last": ((), bool),
    "is_terminal": ((), bool),
    "action": ((2,), np.float32),
    "deter": ((3,), np.float32),
    "stoch": ((2, 2), np.float16),
}
PLAIN = {key: value for key, value in SPEC.items() if key not in ("deter", "stoch")}


def records(lengths, count, streams=1, *, start=0):
    """Yield records [start, count); `lengths` = records of each episode, repeated; streams are shifted by one."""
    first, last = flags(lengths, count + streams)
    for k in range(start, count):
        at = k + np.arange(streams)
        is_first = first[at] | (k == 0)
        yield {
            "image": np.full((streams, 4, 4, 3), k % 256, np.uint8),
            "id": np.stack([np.arange(streams), np.full(streams, k)], 1),
            "reward": np.float32(at),
            "is_first": is_first,
            "is_last": last[at],
            "is_terminal": last[at],
            "action": np.where(last[at], 0, at + 1)[:, None].repeat(2, 1).astype(np.float32),
            "deter": np.full((streams, 3), k, np.float32),
            "stoch": np.full((streams, 2, 2), k % 100, np.float16),
        }


def flags(lengths, count):
    first, last = np.zeros(count, bool), np.zeros(count, bool)
    ends = np.cumsum(np.resize(lengths, count))
    last[ends[ends <= count] - 1] = True
    first[0], first[1:] = True, last[:-1]
    return first, last


def build(sampler=None, *, streams=1, capacity=1000, max_gib=0.5, spec=SPEC, **options):
    return Replay(spec, streams, sampler=sampler or Windows(), capacity=capacity, max_gib=max_gib, **options)


def filled(sampler=None, *, lengths=(10,), count=100, streams=1, **options):
    replay = build(sampler, streams=streams, **options)
    for record in records(lengths, count, streams):
        replay.add(record)
    return replay


def starts(replay, batch, length, draws):
    """Return the numbers of the first records of many sampled rows."""
    return np.concatenate([replay.sample(batch, length)["id"][:, 0, 1] for _ in range(draws)])


def same(one, two):
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], two[key], err_msg=key)
        assert one[key].dtype == two[key].dtype


SAMPLERS = {"episodes": lambda: Episodes(ends=5), "windows": Windows}
