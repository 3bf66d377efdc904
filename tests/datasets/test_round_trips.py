"""Formats of arrays alone: what is written is read again, byte by byte, and the official programs' conventions hold."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.datasets.convert import convert
from common.datasets.formats import open_dataset
from common.datasets.npz import CHUNK_ROWS
from tests.datasets.tools import about, assert_same, content, episode, own_episodes, three_episodes

NUMPY_FORMATS = ["replay", "npz-v1", "npz-v2", "npz-v3"]
few = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def to(source, folder, kind):
    return convert(source, str(folder), kind, fps=10, video=False)


@few
@given(data=st.data())
@pytest.mark.parametrize("kind", NUMPY_FORMATS)
def test_a_conversion_and_back_gives_the_same_bytes(kind, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("round")
    form = about(data.draw(st.sampled_from(["box", "discrete", "multi"])), data.draw(st.sampled_from([1, 3])))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    lengths = data.draw(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=4))
    source = own_episodes(folder / "a", form, [episode(rng, form, n, terminal=end) for n, end in lengths])
    done = to(source, folder / "b", kind)
    assert (done.episodes, done.notes) == (len(lengths), [])
    back = to(open_dataset(str(folder / "b")), folder / "c", "episodes")
    assert all("not observations: stepid." in note for note in back.notes)  # an identifier of V3
    assert content(folder / "c") == content(folder / "a")
    to(open_dataset(str(folder / "c")), folder / "d", kind)
    assert content(folder / "d") == content(folder / "b")


@pytest.mark.parametrize("kind", NUMPY_FORMATS)
def test_actions_that_v3_sampled_beyond_the_bounds_are_kept_or_clipped(kind, tmp_path):
    """Formats of V3 hold them as they are; others get what the environment got, and say this."""
    form = about()
    records = episode(np.random.default_rng(0), form, 5)
    records["action"][1:3, 0] = 1.5, -2
    done = to(own_episodes(tmp_path / "a", form, [records]), tmp_path / "b", kind)
    keeps = kind in ("replay", "npz-v3")
    assert any("Actions beyond [-1, 1]" in note for note in done.notes) != keeps
    action = next(open_dataset(str(tmp_path / "b")).episodes())["action"]
    np.testing.assert_array_equal(action, records["action"] if keeps else records["action"].clip(-1, 1))


def files(folder):
    return [dict(np.load(path)) for path in sorted(folder.glob("*.npz"))]


def test_files_of_v1_have_the_action_that_led_to_each_row_and_a_discount(tmp_path):
    source = three_episodes(tmp_path / "a", action="discrete")
    to(source, tmp_path / "b", "npz-v1")
    first, records = files(tmp_path / "b")[0], next(source.episodes())
    assert set(first) == {"image", "vector", "height", "action", "reward", "discount"}
    np.testing.assert_array_equal(first["action"], np.concatenate([np.zeros((1, 3)), records["action"][:-1]]))
    assert first["discount"].tolist() == [1, 1, 1, 1, 1, 0]
    assert [path.stem.split("-")[2] for path in sorted((tmp_path / "b").glob("*.npz"))] == ["6", "2", "9"]


def test_files_of_v2_have_flags_and_their_names_count_steps(tmp_path):
    to(three_episodes(tmp_path / "a"), tmp_path / "b", "npz-v2")
    first = files(tmp_path / "b")[0]
    assert first["is_terminal"].tolist() == first["is_last"].tolist() == [False] * 5 + [True]
    assert not first["action"][0].any()
    assert first["action"][-1].any()
    assert [path.stem.split("-")[2] for path in sorted((tmp_path / "b").glob("*.npz"))] == ["5", "1", "8"]


def test_files_of_v3_are_chunks_of_one_stream_that_name_their_successors(tmp_path):
    form, rng = about(), np.random.default_rng(0)
    source = own_episodes(tmp_path / "a", form, [episode(rng, form, 1500), episode(rng, form, 900, terminal=True)])
    to(source, tmp_path / "b", "npz-v3")
    names = [path.stem.split("-") for path in sorted((tmp_path / "b").glob("*.npz"))]
    assert [name[3] for name in names] == [str(CHUNK_ROWS), str(CHUNK_ROWS), str(1501 + 901 - 2 * CHUNK_ROWS)]
    assert [name[2] for name in names] == [names[1][1], names[2][1], "0" * 22]
    chunks = files(tmp_path / "b")
    action = np.concatenate([chunk["action"] for chunk in chunks])
    np.testing.assert_array_equal(action, np.concatenate([records["action"] for records in source.episodes()]))
    assert chunks[1]["stepid"].shape == (CHUNK_ROWS, 20)
    assert chunks[1]["stepid"][7, 16:].tolist() == [0, 0, 0, 7]
    assert_same(open_dataset(str(tmp_path / "b")).episodes(), source.episodes())


def test_what_a_format_cannot_hold_is_named(tmp_path):
    form, rng = about(), np.random.default_rng(0)
    whole, part = episode(rng, form, 4), episode(rng, form, 4)
    part = {key: value[2:] for key, value in part.items()}
    source = own_episodes(tmp_path / "a", form, [part, whole])
    for kind in ("npz-v1", "npz-v2", "npz-v3"):
        assert to(source, tmp_path / kind, kind).notes == ["Parts of episodes count as whole ones."]
    assert to(source, tmp_path / "replay", "replay").notes == []
    assert_same(open_dataset(str(tmp_path / "replay")).episodes(), source.episodes())
