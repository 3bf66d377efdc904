"""Replays that are saved, killed and resumed return the same batches, or end with one clear message."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.replay import chunked_ring, mapped_ring
from common.storage.checkpoint_file import pack, unpack
from dreamer_v1.sampler import Episodes
from dreamer_v3.sampler import Windows
from tests.helpers.replay import PLAIN, SAMPLERS, SPEC, build, filled, records, same

LENGTHS = [7, 30, 2]


@pytest.fixture(autouse=True)
def small_chunks_without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(chunked_ring, "CHUNK_BYTES", 16 * 200)  # 16 records of two streams
    monkeypatch.setattr(os, "fsync", lambda _: None)


def through_a_checkpoint(state):
    """Return `state` as it comes back from a checkpoint: plain Python, read without running code."""
    buffer = io.BytesIO()
    torch.save(pack(state), buffer)
    buffer.seek(0)
    return unpack(torch.load(buffer, weights_only=True))


def work(replay, start, stop, *, train=True):
    """Add records and train as the loop does; return the batches."""
    batches = []
    for k, record in enumerate(records(LENGTHS, stop, replay.streams, start=start), start):
        replay.add(record)
        if train and k % 5 == 4 and replay.ready(2, 9):
            batches.append(replay.sample(2, 9))
            fresh = {key: batches[-1][key] + batches[-1]["reward"].mean().astype(np.float16) for key in ("deter",)}
            replay.write_back(batches[-1]["index"], fresh)
    return batches


def options(name, folder, disk, **other):
    directory = {"directory": folder} if disk else {}
    return {"sampler": SAMPLERS[name](), "streams": 2, "context": 1, "capacity": 160, **directory, **other}


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(SAMPLERS)),
    disk=st.booleans(),
    saves=st.lists(st.integers(1, 220), min_size=1, max_size=4, unique=True),
    lost=st.integers(0, 200),
    unsaved=st.booleans(),
)
def test_a_resumed_replay_equals_an_uninterrupted_one(tmp_path_factory, name, disk, saves, lost, unsaved):
    """Stop `lost` records after the last save, load and continue: bit for bit the uninterrupted run."""
    folder, saves = tmp_path_factory.mktemp("replay"), sorted(saves)
    straight, stopped = build(**options(name, None, False)), build(**options(name, folder, disk))
    for begin, end in zip([0, *saves], saves, strict=False):
        work(straight, begin, end)
        work(stopped, begin, end)
        state = through_a_checkpoint(stopped.save(folder))
    work(stopped, saves[-1], saves[-1] + lost)
    if unsaved:
        stopped.save(folder)  # the checkpoint after this save was never written
        work(stopped, saves[-1] + lost, saves[-1] + 2 * lost)
    resumed = build(**options(name, folder, disk))
    resumed.load(folder, state)
    assert len(resumed) == len(straight)
    one, two = (work(replay, saves[-1], saves[-1] + 100) for replay in (straight, resumed))
    assert len(one) == len(two) >= 15
    for a, b in zip(one, two, strict=True):
        same(a, b)
    resumed.save(folder)
    again = build(**options(name, folder, disk))
    again.load(folder, resumed.state())
    same(again.sample(4, 9), straight.sample(4, 9))


def test_a_mapped_replay_equals_one_in_memory(tmp_path):
    one, two = build(**options("windows", None, False)), build(**options("windows", tmp_path, True))
    for a, b in zip(work(one, 0, 300), work(two, 0, 300), strict=True):
        same(a, b)


def test_only_changes_are_written(tmp_path):
    replay = build(**options("windows", None, False))
    work(replay, 0, 64, train=False)
    replay.save(tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    replay.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before
    replay.write_back(np.array([[3 * 2]]), {"deter": np.ones((1, 1, 3), np.float32)})
    work(replay, 64, 65, train=False)
    replay.save(tmp_path)
    length = replay._chunks.length
    new = {f"chunk-{number:08d}-{part}-000003.npz" for number, part in [(0, "latents"), (64 // length, "latents")]}
    new |= {f"chunk-{64 // length:08d}-data-000003.npz"}
    assert {path.name for path in tmp_path.iterdir()} - before == new


def test_files_are_bounded_by_the_capacity(tmp_path):
    replay = build(**options("windows", None, False))
    sizes = []
    for begin in range(0, 2000, 50):
        work(replay, begin, begin + 50)
        replay.save(tmp_path)
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert max(sizes[10:]) < 1.3 * min(sizes[10:])


def test_both_of_two_checkpoints_can_be_loaded(tmp_path):
    replay, states, rings = build(**options("episodes", None, False)), [], []
    for begin in (0, 100, 200):
        work(replay, begin, begin + 100)
        states.append(replay.save(tmp_path))
        rings.append({key: replay.ring.block(key, replay.ring.oldest, begin + 100) for key in SPEC})
    for state, expected in list(zip(states, rings, strict=True))[1:]:
        loaded = build(**options("episodes", None, False))
        loaded.load(tmp_path, state)
        same({key: loaded.ring.block(key, state["oldest"], state["count"]) for key in SPEC}, expected)


def test_files_of_an_abandoned_save_are_never_read(tmp_path):
    replay = filled(count=100)
    state = replay.save(tmp_path)
    replay.write_back(np.array([[3]]), {"deter": np.full((1, 1, 3), 99, np.float32)})
    replay.save(tmp_path)  # killed before the checkpoint that would describe this
    resumed, again = build(), build()
    resumed.load(tmp_path, state)
    again.load(tmp_path, resumed.save(tmp_path))
    assert again.ring.block("deter", 3, 4).tolist() == [[[3, 3, 3]]]


CHILD = """
import os, sys
sys.path[:0] = sys.argv[3:]
from tests.helpers.replay import build, records
from dreamer_v1.sampler import Episodes
replay = build(Episodes(), capacity=64, directory=sys.argv[1] if sys.argv[2] == "disk" else None)
for k, record in enumerate(records([10], 100)):
    if k == 80:
        import torch; torch.save(replay.save(sys.argv[1]), sys.argv[1] + "/../state.pt")
    replay.add(record)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_a_killed_run_goes_back_to_its_checkpoint(tmp_path, kind):
    here = Path(__file__).parents[1] / "helpers"
    arguments = [str(tmp_path / "replay"), kind, str(here.parents[1])]
    (tmp_path / "replay").mkdir()
    assert subprocess.run([sys.executable, "-c", CHILD, *arguments], check=False).returncode == -9
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    replay = build(Episodes(), capacity=64, directory=tmp_path / "replay" if kind == "disk" else None)
    replay.load(tmp_path / "replay", state)
    low = 16  # 20 later records took the slots of 16 .. 35; a journal brought them back
    assert (replay.ring.oldest, replay.ring.count) == (low, 80)
    np.testing.assert_array_equal(replay.ring.block("id", low, 80)[0, :, 1], np.arange(low, 80))
    assert replay.sample(64, 5)["id"][..., 1].min() >= low
    assert replay.messages == []
    for record in records([10], 200, start=80):
        replay.add(record)
    assert replay.ring.oldest == 136


def test_without_its_journal_a_mapped_replay_loses_overwritten_records(tmp_path):
    replay = build(Episodes(), capacity=64, directory=tmp_path)
    for record in records([10], 80):
        replay.add(record)
    state = replay.save(tmp_path)
    for record in records([10], 100, start=80):
        replay.add(record)
    for path in tmp_path.glob("undo-*.log"):
        path.unlink()
    again = build(Episodes(), capacity=64, directory=tmp_path)
    again.load(tmp_path, state)
    assert (again.ring.oldest, again.ring.count) == (36, 80)  # 20 later records took the slots of 16 .. 35
    assert "overwritten after the checkpoint" in again.messages[0]


def test_an_incomplete_journal_is_read_up_to_its_end(tmp_path):
    replay = filled(directory=tmp_path, capacity=64, count=60)
    state = replay.save(tmp_path)
    for number in (5, 6):
        replay.write_back(np.array([[number]]), {"deter": np.full((1, 1, 3), 99, np.float32)})
    (log,) = tmp_path.glob("undo-*.log")
    cut = log.stat().st_size - 1
    os.truncate(log, cut)
    again = build(directory=tmp_path, capacity=64)
    again.load(tmp_path, state)
    assert again.ring.block("deter", 5, 7)[0, :, 0].tolist() == [5, 99]


def test_the_last_but_one_checkpoint_is_exact(tmp_path):
    options = {"capacity": 64, "directory": tmp_path}
    replay, states, held = build(**options), [], []
    for begin in (0, 40, 90):
        work(replay, begin, begin + 50)
        states.append(replay.save(tmp_path))
        held.append({key: replay.ring.block(key, replay.ring.oldest, replay.ring.count) for key in SPEC})
    work(replay, 140, 160)
    for path in tmp_path.glob("undo-*.log"):
        with path.open("ab") as file:
            file.write(b'{"keys": 3, "rows": 1}\nnot an entry')
    again = build(**options)
    again.load(tmp_path, states[-2])
    same({key: again.ring.block(key, again.ring.oldest, again.ring.count) for key in SPEC}, held[-2])


def test_a_replay_cannot_be_loaded_twice(tmp_path):
    replay = filled(count=80)
    state = replay.save(tmp_path)
    again = build()
    again.load(tmp_path, state)
    with pytest.raises(RuntimeError, match="already has records"):
        again.load(tmp_path, state)
    assert len(again) == 80
    assert len(np.unique(again.ring.block("id", 0, 80)[0, :, 1])) == 80


def test_an_empty_replay_can_be_saved_and_loaded(tmp_path):
    state = build().save(tmp_path)
    again = build()
    again.load(tmp_path, state)
    assert len(again) == 0
    assert not again.ready(1, 1)


@pytest.mark.parametrize("disk", [False, True])
def test_replays_with_and_without_latents_read_each_other(tmp_path, disk):
    folders = [tmp_path / "a", tmp_path / "b"]
    rich = filled(directory=folders[0] if disk else None)
    state = rich.save(folders[0])
    plain = build(spec=PLAIN, directory=folders[1] if disk else None)
    plain.load(folders[0], state)
    assert plain.messages == []
    np.testing.assert_array_equal(plain.sample(4, 5)["image"], rich.sample(4, 5)["image"])
    again = build(context=1)
    again.load(folders[1], plain.save(folders[1]))
    assert "has no deter and stoch: zeros" in again.messages[0]
    assert (again.sample(4, 5)["context_deter"] == 0).all()


@pytest.mark.parametrize("kinds", [(False, True), (True, False)])
def test_memory_and_disk_read_each_others_files(tmp_path, kinds):
    was, now = (tmp_path if disk else None for disk in kinds)
    first = filled(directory=was, capacity=64)
    second = build(directory=now, capacity=64)
    second.load(tmp_path, first.save(tmp_path))
    same(first.sample(8, 5), second.sample(8, 5))
    third = build(directory=now, capacity=64)
    third.load(tmp_path, second.save(tmp_path))
    same(third.sample(8, 5), second.sample(8, 5))


def test_latents_that_are_added_later_are_saved(tmp_path):
    plain = filled(spec=PLAIN, directory=tmp_path)
    rich = build(directory=tmp_path)
    rich.load(tmp_path, plain.save(tmp_path))
    rich.write_back(np.array([[5]]), {"deter": np.full((1, 1, 3), 7, np.float32)})
    again = build(directory=tmp_path)
    again.load(tmp_path, rich.save(tmp_path))
    assert again.messages == []
    assert again.ring.block("deter", 5, 6).tolist() == [[[7, 7, 7]]]


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["chunk-00000001-data-000001.npz", "chunk-00000001-latents-000001.npz"])
def test_damaged_chunks_are_reported(tmp_path, harm, name):
    state = filled(count=100).save(tmp_path)
    harm(tmp_path / name)
    with pytest.raises(UserError, match=r"chunk-00000001-\w+-.*(damaged|missing).*--logdir"):
        build().load(tmp_path, state)


@pytest.mark.parametrize("harm", [cut, Path.unlink])
@pytest.mark.parametrize("name", ["image.ring", "claimed", "ring.json"])
def test_damaged_maps_are_reported(tmp_path, harm, name):
    state = filled(directory=tmp_path).save(tmp_path)
    harm(tmp_path / name)
    with pytest.raises(UserError, match=rf"{name} .*--logdir"):
        build(directory=tmp_path).load(tmp_path, state)


@pytest.mark.parametrize("disk", [False, True])
def test_files_of_another_run_are_refused(tmp_path, disk):
    folder = tmp_path if disk else None
    state = filled(directory=folder).save(tmp_path)
    filled(directory=folder).save(tmp_path)
    with pytest.raises(UserError, match=r"\.json belongs to another run.*ident"):
        build(directory=folder).load(tmp_path, state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"streams": 2}, "Use --run.envs 1"),
        ({"spec": SPEC | {"image": ((8, 8, 3), np.uint8)}}, r"key 'image' should be \[\[8, 8, 3\], 'uint8'\]"),
        (
            {"spec": SPEC | {"depth": ((), np.float32)}},
            r"no key 'depth': it is not stored.* read id, image\.",
        ),
    ],
)
def test_other_tasks_are_refused(tmp_path, change, message):
    state = filled().save(tmp_path)
    with pytest.raises(UserError, match=message):
        build(**change).load(tmp_path, state)


def test_a_mapped_replay_keeps_its_capacity(tmp_path):
    state = filled(directory=tmp_path, capacity=64).save(tmp_path)
    with pytest.raises(UserError, match=r"give --replay\.max_gib \S+, and") as error:
        build(directory=tmp_path, capacity=65).load(tmp_path, state)
    advice = float(str(error.value).partition("max_gib ")[2].partition(",")[0])
    build(directory=tmp_path, capacity=65, max_gib=advice).load(tmp_path, state)


def test_a_full_disk_is_reported_and_damages_nothing(tmp_path, monkeypatch):
    replay = filled(count=40)
    state = replay.save(tmp_path)
    work(replay, 40, 80)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(chunked_ring.np, "savez", full)
        with pytest.raises(UserError, match="No space left on device"):
            replay.save(tmp_path)
    build().load(tmp_path, state)
    again = build()
    again.load(tmp_path, replay.save(tmp_path))
    assert len(again) == 80
    disk = build(directory=tmp_path / "disk")
    monkeypatch.setattr(mapped_ring.os, "posix_fallocate", full)
    with pytest.raises(UserError, match="No space for the replay"):
        disk.add(next(records([10], 1)))


def test_a_file_in_place_of_the_folder_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write to"):
        filled(Windows()).save(tmp_path / "file" / "replay")
