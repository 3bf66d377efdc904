"""Checkpoints: round trip, the two that are kept, and messages about damaged files."""

import collections
import errno
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import UserError
from common.files import atomic_write
from common.nn import rng
from common.storage.checkpoint_file import HEADER_BYTES, pack, unpack
from common.storage.checkpoints import Checkpoints


def state(number=0):
    return {
        "number": number,
        "tensor": torch.arange(5.0),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "array": np.arange(6, dtype=np.uint32).reshape(2, 3),
        "scalar": np.float64(0.1),
        "big": np.random.default_rng(0).bit_generator.state,
        "nested": collections.OrderedDict(a=[(1, None, "x"), {"b": np.zeros(0, bool)}]),
    }


def test_round_trip_keeps_values_types_and_shapes(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(state(3), frames=12)
    loaded = store.load()
    assert loaded["number"] == 3
    assert loaded["big"] == state()["big"]
    assert loaded["scalar"] == 0.1
    assert loaded["nested"]["a"][0] == (1, None, "x")
    assert loaded["nested"]["a"][1]["b"].dtype == bool
    np.testing.assert_array_equal(loaded["array"], state()["array"])
    assert loaded["array"].dtype == np.uint32
    assert torch.equal(loaded["half"], state()["half"])
    assert loaded["half"].dtype == torch.bfloat16
    assert b'"frames": 12' in store.paths()[0].read_bytes()[:HEADER_BYTES]


def test_pack_copies_arrays():
    array = np.arange(3)
    packed = pack({"a": array})
    array[:] = 9
    np.testing.assert_array_equal(unpack(packed)["a"], [0, 1, 2])


def test_two_newest_are_kept_without_temporary_files(tmp_path):
    store = Checkpoints(tmp_path)
    for number in range(5):
        store.save(state(number))
    assert [path.name for path in store.paths()] == ["checkpoint-00000005.pt", "checkpoint-00000004.pt"]
    assert len(list(tmp_path.iterdir())) == 2
    assert store.load()["number"] == 4


def test_load_without_checkpoints_returns_none(tmp_path):
    assert Checkpoints(tmp_path / "none").load() is None


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = bytearray()
    elif how == "longer":
        data += b"x"
    else:
        data[how] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "empty", "longer", 3, 30, HEADER_BYTES, HEADER_BYTES + 700, -1])
def test_damaged_newest_is_reported_and_the_older_one_used(tmp_path, how):
    store = Checkpoints(tmp_path)
    store.save(state(1), frames=100)
    damage(store.save(state(2), frames=200), how)
    again = Checkpoints(tmp_path)
    assert again.load()["number"] == 1
    assert len(again.messages) == 1
    assert "checkpoint-00000002.pt cannot be used" in again.messages[0]
    again.save(state(3))
    again.save(state(4))
    assert Checkpoints(tmp_path).load()["number"] == 4


def test_a_save_after_a_fallback_keeps_an_intact_older_file(tmp_path):
    store = Checkpoints(tmp_path)
    store.save(state(1))
    damage(store.save(state(2)), "truncated")
    again = Checkpoints(tmp_path)
    again.load()
    damage(again.save(state(3)), "truncated")
    assert Checkpoints(tmp_path).load()["number"] == 1


def test_an_error_about_two_damaged_files_changes_nothing(tmp_path):
    store = Checkpoints(tmp_path)
    for number in (1, 2):
        store.save(state(number))
    for path in store.paths():
        damage(path, "truncated")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"No checkpoint(.|\n)*00000002(.|\n)*00000001(.|\n)*Nothing was changed"):
        Checkpoints(tmp_path).load()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class Evil:
    def __reduce__(self):
        return (print, ("evil",))


def test_values_that_cannot_be_loaded_are_not_saved(tmp_path):
    with pytest.raises(TypeError, match="not Evil"):
        Checkpoints(tmp_path).save({"evil": Evil()})
    assert not list(tmp_path.iterdir())


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("common.storage.checkpoint_file.pack", lambda tree: tree)
    store = Checkpoints(tmp_path)
    store.save({"evil": Evil()})
    with pytest.raises(UserError, match=r"00000001\.pt holds more than tensors"):
        store.load()
    assert "evil" not in capsys.readouterr().out


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_read_error_does_not_count_as_damage(tmp_path, monkeypatch, number):
    store, opened = Checkpoints(tmp_path), Path.open
    store.save(state(1))
    newest = store.save(state(2))

    def hiccup(path, *arguments):
        if path == newest:
            raise OSError(number, os.strerror(number))
        return opened(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", hiccup)
        with pytest.raises(UserError, match=rf"00000002\.pt cannot be read: {os.strerror(number)}.*rerun the same"):
            Checkpoints(tmp_path).load()
    assert store.load()["number"] == 2


@pytest.mark.parametrize("error", [RuntimeError("can't allocate memory"), MemoryError()])
def test_an_intact_file_that_cannot_be_loaded_is_not_replaced_by_an_older_one(tmp_path, monkeypatch, error):
    def without_memory(*_, **__):
        raise error

    store = Checkpoints(tmp_path)
    for number in (1, 2):
        store.save(state(number))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", without_memory)
        with pytest.raises(UserError, match=r"00000002\.pt is intact, but .*enough memory"):
            store.load()
    assert store.load()["number"] == 2


def test_only_plain_digits_number_a_checkpoint(tmp_path):
    store = Checkpoints(tmp_path)
    (tmp_path / "checkpoint-²9.pt").touch()
    (tmp_path / "checkpoint-٣.pt").touch()
    assert store.save(state(1)).name == "checkpoint-00000001.pt"
    assert store.load()["number"] == 1


def test_a_copy_under_another_name_is_kept(tmp_path):
    store, copy = Checkpoints(tmp_path), tmp_path / "checkpoint-before-the-change.pt"
    copy.write_bytes(store.save(state(0)).read_bytes())
    for number in (1, 2, 3):
        store.save(state(number))
    assert copy.exists()
    assert copy not in store.paths()


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TypeError), atomic_write(path) as file:
        file.write([b"n", file.write(b"new")])
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"Cannot write .*file: No space left"), atomic_write(tmp_path / "file"):
        raise OSError(28, "No space left on device")


def test_random_states_survive_a_checkpoint(tmp_path):
    rng.seed_all(3)
    store = Checkpoints(tmp_path)
    store.save({"rng": rng.get_state()})
    draw = lambda: (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002
    expected = draw()
    rng.seed_all(4)
    rng.set_state(store.load()["rng"])
    assert draw() == expected


def test_isolated_draws_are_reproducible_and_change_no_generator():
    draw = lambda: (random.random(), np.random.rand(), torch.rand(()).item())  # noqa: NPY002
    rng.seed_all(0)
    expected = draw()
    rng.seed_all(0)
    with rng.isolated_rng(1, 2):
        first = draw()
    assert draw() == expected
    with rng.isolated_rng(1, 2):
        assert draw() == first
    with rng.isolated_rng(1, 3):
        assert draw() != first
