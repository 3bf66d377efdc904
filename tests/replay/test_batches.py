"""Content of batches of every sampler: alignment, flags, indices of records, latents."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.replay import pinned
from common.training.factory import Factory
from dreamer_v1.sampler import Episodes
from dreamer_v3.sampler import Windows
from tests.helpers.replay import PLAIN, SAMPLERS, SPEC, build, filled, records, same


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SAMPLERS)),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    count=st.integers(30, 90),
    streams=st.integers(1, 3),
    slots=st.integers(20, 40),
    context=st.integers(0, 1),
)
def test_rows_are_consecutive_records_with_their_true_neighbours(name, lengths, count, streams, slots, context):
    sampler = SAMPLERS[name]()
    replay = filled(sampler, lengths=lengths, count=count, streams=streams, capacity=slots * streams, context=context)
    truth = list(records(lengths, count, streams))
    assert len(replay) == min(count, slots) * streams
    data = replay.sample(8, 7)
    number, stream = np.divmod(data["index"], streams)
    np.testing.assert_array_equal(data["id"], np.stack([stream, number], -1))
    np.testing.assert_array_equal(number - number[:, :1], np.tile(np.arange(7), (8, 1)))
    assert (stream == stream[:, :1]).all()
    assert number.max() < count
    assert number.min() >= max(0, count - slots)
    for b, t in np.ndindex(8, 7):
        record = {key: value[stream[b, t]] for key, value in truth[number[b, t]].items()}
        assert (data["action"][b, t] == record["action"]).all()
        assert data["is_first"][b, t] == record["is_first"]
        check_previous(data["prev_action"][b, t], number[b, t], stream[b, t], record, truth, max(0, count - slots))
        if context and t == 0 and not record["is_first"]:
            assert (data["context_deter"][b] == number[b, 0] - 1).all()


def check_previous(action, number, stream, record, truth, oldest):
    known = number > oldest and not record["is_first"]
    np.testing.assert_array_equal(action, truth[number - 1]["action"][stream] if known else np.zeros(2))


def test_shapes_and_dtypes_are_those_of_the_spec():
    data = filled(context=1, capacity=200).sample(3, 5)
    for key, (shape, dtype) in SPEC.items():
        assert data[key].shape == (3, 5, *shape)
        assert data[key].dtype == dtype
    assert data["prev_action"].shape == (3, 5, 2)
    assert data["index"].dtype == np.int64
    assert data["context_stoch"].shape == (3, 2, 2)


def test_force_first_cuts_off_the_past():
    free, forced = (filled(Episodes(), lengths=[50], force_first=f).sample(16, 5) for f in (False, True))
    assert forced["is_first"][:, 0].all()
    assert not forced["is_first"][:, 1:].any()
    assert (forced["prev_action"][:, 0] == 0).all()
    assert (free["prev_action"][:, 0] != 0).any()
    np.testing.assert_array_equal(free["prev_action"][:, 1:], forced["prev_action"][:, 1:])


def test_abandoned_episodes_are_closed_within_the_row():
    replay = build(Windows(online=False))
    for k, record in enumerate(records([1000], 60)):
        replay.add(record | {"is_first": np.array([k % 7 == 0])})
    data = replay.sample(16, 10)
    np.testing.assert_array_equal(data["is_last"][:, :-1], data["is_first"][:, 1:])
    assert data["is_last"].any()
    assert not data["is_terminal"].any()


def test_batches_are_new_arrays():
    replay = filled()
    first = replay.sample(4, 5)
    kept = {key: value.copy() for key, value in first.items()}
    replay.sample(4, 5)
    for key in first:
        np.testing.assert_array_equal(first[key], kept[key])
        first[key][:] = 0
    assert replay.sample(50, 5)["reward"].any()


def test_latents_are_written_back_unless_overwritten():
    replay = filled(capacity=50, count=60, context=1)
    index = np.array([[10, 11], [30, 31], [59, 60]])  # 10 .. 59 are stored
    replay.add(next(records([10], 61, start=60)))  # now 11 .. 60
    values = np.arange(6.0, dtype=np.float32).reshape(3, 2, 1) + 1000
    replay.write_back(index, {"deter": values.repeat(3, -1), "stoch": np.zeros((3, 2, 2, 2), np.float16)})
    stored = replay.ring.block("deter", 11, 61)[0, :, 0]
    expected = np.arange(11.0, 61)
    expected[[0, 19, 20, 48, 49]] = [1001, 1002, 1003, 1004, 1005]
    np.testing.assert_array_equal(stored, expected)
    assert (replay.ring.block("stoch", 30, 32) == 0).all()


def test_records_without_latents_store_zeros():
    replay = build(context=1)
    for record in records([10], 60):
        replay.add({key: record[key] for key in PLAIN})
    assert (replay.sample(4, 5)["context_deter"] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((1, 4, 4, 3), np.float32)}, "'image' must be uint8 .*got float32"),
        ({"reward": np.zeros((2,), np.float32)}, r"'reward' must be float32 \(1,\)"),
        ({"action": None}, "needs the key 'action'"),
    ],
)
def test_malformed_records_are_not_stored(change, message):
    replay = filled(count=20)
    record = {k: v for k, v in (next(records([10], 1)) | change).items() if v is not None}
    with pytest.raises(UserError, match=message):
        replay.add(record)
    assert len(replay) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 1, "spec": PLAIN}, "--replay.context 0"),
        ({"context": 1, "force_first": True}, "excludes replay.force_first"),
        ({"context": 2}, "0 or 1"),
        ({"spec": {"reward": ((), np.float32)}}, "needs the keys"),
        ({"spec": PLAIN | {"is_last": ((), np.float32)}}, "is_last must be one bool"),
    ],
)
def test_contradicting_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        build(**options)


def test_batches_use_the_given_array_factory():
    made = []

    def empty(shape, dtype):
        made.append(np.full(shape, 1, dtype))
        return made[-1]

    plain, special = filled(context=1).sample(4, 6), filled(context=1, empty=empty).sample(4, 6)
    same(plain, special)
    assert [id(special[key]) for key in SPEC] == [id(array) for array in made]


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_batches_for_a_gpu_are_page_locked(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    options = {"capacity": 100, "max_gib": 0.1, "disk": False, "context": 0, "force_first": False}
    config = {"seed": 0, "run": {"device": name}, "replay": options, "sampler": {"use": "Windows"}}
    assert Factory().replay(config, SPEC, 1, None).empty is (pinned if name == "cuda" else np.empty)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float16, np.int64, bool])
def test_page_locked_arrays_have_shape_and_dtype(dtype):
    array = pinned((2, 3), np.dtype(dtype))
    assert (array.shape, array.dtype) == ((2, 3), np.dtype(dtype))
    assert torch.as_tensor(array).is_pinned()
