"""LeRobot datasets, for real: layouts 2.1 and 3.0 written by hand with pyarrow and PyAV, and those of `convert`."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from common.datasets import lerobot_files
from common.datasets.convert import convert
from common.datasets.dataset import ImageForm
from common.datasets.formats import open_dataset
from common.errors import UserError
from tests.datasets.tools import about, assert_same, content, episode, own_episodes, three_episodes
from tests.helpers.saved_runs import say

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
av = pytest.importorskip("av")

LENGTHS = [5, 3]
FPS = 10
ONE = {"dtype": "int64", "shape": [1], "names": None}
FEATURES = {
    "observation.images.front": {"dtype": "image", "shape": [16, 20, 3], "names": ["height", "width", "channels"]},
    "observation.state": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
    "observation.words": {"dtype": "string", "shape": [1], "names": None},
    "action": {"dtype": "float32", "shape": [2], "names": ["x", "y"]},
    "next.reward": {"dtype": "float32", "shape": [1], "names": None},
    "next.done": {"dtype": "bool", "shape": [1], "names": None},
    **{key: ONE for key in ("frame_index", "episode_index", "index", "task_index")},
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
}


def frame(number, side=16):
    """Returns a picture of one colour, which survives a video codec."""
    return np.full((side, side + 4, 3), 20 + 25 * number, np.uint8)


def picture(number):
    file = io.BytesIO()
    Image.fromarray(frame(number)).save(file, format="PNG")
    return {"bytes": file.getvalue(), "path": f"frame_{number:06d}.png"}


def rows(number, *, images=True):
    length, before = LENGTHS[number], sum(LENGTHS[:number])
    index = np.arange(before, before + length)
    columns = {
        "observation.state": pa.array([[float(i), -float(i)] for i in index], pa.list_(pa.float32(), 2)),
        "observation.words": [f"row {i}" for i in index],
        "action": pa.array([[50.0 * i, 1.0] for i in index], pa.list_(pa.float32())),
        "next.reward": pa.array(index / 10, pa.float32()),
        "next.done": np.arange(length) == length - 1,
        "timestamp": pa.array(np.arange(length) / FPS, pa.float32()),
        "frame_index": np.arange(length),
        "episode_index": np.full(length, number),
        "index": index,
        "task_index": np.zeros(length, np.int64),
    }
    if images:
        columns["observation.images.front"] = [picture(i) for i in index]
    return pa.table(columns)


def info(folder, layout, features, **more):
    content = {"codebase_version": layout, "total_episodes": 2, "total_frames": sum(LENGTHS), "fps": FPS}
    content |= {"chunks_size": 1000, "features": features, "video_path": None, **more}
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    (folder / "meta/info.json").write_text(json.dumps(content))


def layout_2(folder, **changes):
    """Writes a dataset of layout 2.1, a file per episode."""
    (folder / "data/chunk-000").mkdir(parents=True)
    info(folder, "v2.1", FEATURES | changes)
    for number in range(2):
        pq.write_table(rows(number), folder / f"data/chunk-000/episode_{number:06d}.parquet")
    listed = [{"episode_index": i, "tasks": ["push"], "length": length} for i, length in enumerate(LENGTHS)]
    (folder / "meta/episodes.jsonl").write_text("\n".join(map(json.dumps, listed)))
    return folder


def layout_3(folder):
    """Writes a dataset of layout 3.0: all episodes in one parquet file and one video."""
    (folder / "data/chunk-000").mkdir(parents=True)
    key = "observation.images.front"
    template = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    info(folder, "v3.0", FEATURES | {key: FEATURES[key] | {"dtype": "video"}}, video_path=template)
    pq.write_table(
        pa.concat_tables([rows(n, images=False) for n in range(2)]), folder / "data/chunk-000/file-000.parquet"
    )
    starts = [0.0, LENGTHS[0] / FPS]
    table = {"episode_index": [0, 1], "length": LENGTHS, "stats/action/min": [[0.0], [0.0]]}
    table |= {f"videos/{key}/{name}": [0, 0] for name in ("chunk_index", "file_index")}
    table[f"videos/{key}/from_timestamp"] = starts
    (folder / "meta/episodes/chunk-000").mkdir(parents=True)
    pq.write_table(pa.table(table), folder / "meta/episodes/chunk-000/file-000.parquet")
    frames = np.stack([frame(i) for i in range(sum(LENGTHS))])
    lerobot_files.write_video(folder / f"videos/{key}/chunk-000/file-000.mp4", frames, FPS)
    return folder


def test_a_dataset_of_layout_2_becomes_records(tmp_path):
    dataset = open_dataset(str(layout_2(tmp_path / "a")))
    one, two = dataset.episodes()
    assert set(one) == {"images_front", "state", "action", "reward", "is_first", "is_last", "is_terminal"}
    np.testing.assert_array_equal(one["images_front"], np.stack([frame(i) for i in (0, 1, 2, 3, 4, 4)]))
    np.testing.assert_array_equal(two["state"][:, 0], np.float32([5, 6, 7, 7]))
    np.testing.assert_allclose(two["action"][:, 0], [3 / 7, 5 / 7, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(two["reward"], np.float32([0, 0.5, 0.6, 0.7]))
    assert not two["is_terminal"].any()
    assert two["is_last"].tolist() == [False, False, False, True]
    notes = "\n".join(dataset.notes())
    assert "Left out of" in notes
    assert "observation.words" in notes
    assert "no observation after the last action" in notes
    assert "No end is terminal" in notes
    assert "stores no bounds of actions. Those of its data are used: Box([0. 1.], [350.   2.]" in notes
    small = next(open_dataset(str(tmp_path / "a"), ImageForm(size=8)).episodes())
    assert small["images_front"].shape == (6, 8, 8, 3)


def test_layout_3_has_the_same_records_with_frames_from_a_video(tmp_path):
    expected = list(open_dataset(str(layout_2(tmp_path / "a"))).episodes())
    found = list(open_dataset(str(layout_3(tmp_path / "b"))).episodes())
    for records in [*expected, *found]:
        records["images_front"] = np.rint((records["images_front"].astype(float).mean((1, 2, 3)) - 20) / 25)
    assert_same(found, expected)


@pytest.mark.parametrize("action", ["box", "discrete", "multi"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_conversion_to_lerobot_and_back_gives_the_same_bytes(tmp_path, action, channels):
    source = three_episodes(tmp_path / "a", action=action, channels=channels)
    assert convert(source, str(tmp_path / "b"), "lerobot", fps=5, video=False).notes == []
    convert(open_dataset(str(tmp_path / "b")), str(tmp_path / "c"), "episodes", fps=5, video=False)
    assert content(tmp_path / "c") == content(tmp_path / "a")
    convert(open_dataset(str(tmp_path / "c")), str(tmp_path / "d"), "lerobot", fps=5, video=False)
    assert content(tmp_path / "d") == content(tmp_path / "b")
    table = pq.read_table(tmp_path / "b/data/chunk-000/episode_000000.parquet")
    assert table.num_rows == 5
    assert table["next.done"].to_pylist() == table["next.terminated"].to_pylist() == [False] * 4 + [True]
    stats = json.loads((tmp_path / "b/meta/episodes_stats.jsonl").read_text().splitlines()[0])["stats"]
    assert np.shape(stats["observation.image"]["mean"]) == (channels, 1, 1)
    assert stats["observation.vector"]["count"] == [5]


def test_videos_are_lossy_and_the_command_says_it(tmp_path, capsys):
    form = about()
    records = episode(np.random.default_rng(0), form, 4, terminal=True)
    records["image"] = np.stack([frame(i)[:, :18] for i in range(5)])
    own_episodes(tmp_path / "a", form, [records])
    assert say("convert", tmp_path / "a", tmp_path / "b", "--to", "lerobot", "--video", "--fps", 5) == 0
    assert "Videos are lossy: the frames observation.image differ slightly." in capsys.readouterr().out
    assert (tmp_path / "b/videos/chunk-000/observation.image/episode_000000.mp4").is_file()
    found = next(open_dataset(str(tmp_path / "b")).episodes())
    assert np.abs(found.pop("image").astype(int) - records.pop("image")).max() < 12
    assert_same([found], [records])


def damaged(folder, name):
    info_path = folder / "meta/info.json"
    about = json.loads(info_path.read_text())
    first = folder / "data/chunk-000/episode_000000.parquet"
    match name:
        case "rows":
            first.unlink()
        case "layout":
            about["codebase_version"] = "v1.6"
        case "length":
            path = folder / "meta/episodes.jsonl"
            path.write_text(path.read_text().replace('"length": 3', '"length": 4'))
        case "column":
            pq.write_table(pq.read_table(first).drop_columns(["action"]), first)
        case "parquet":
            first.write_bytes(b"nothing")
        case "image":
            table = pq.read_table(first)
            index = table.column_names.index("observation.images.front")
            pictures = [{"bytes": b"nothing", "path": None}] * 5
            pq.write_table(table.set_column(index, "observation.images.front", [pictures]), first)
        case "outside":
            table = pq.read_table(first)
            index = table.column_names.index("observation.images.front")
            pictures = [{"bytes": None, "path": "../../secret.png"}] * 5
            pq.write_table(table.set_column(index, "observation.images.front", [pictures]), first)
        case "reward":
            table = pq.read_table(first)
            values = pa.array([0, 1, None, 2, 3], pa.float32())
            pq.write_table(table.set_column(table.column_names.index("next.reward"), "next.reward", values), first)
        case "action":
            del about["features"]["action"]
    info_path.write_text(json.dumps(about))


FAULTS = {
    "rows": "has 3 rows, meta/info.json says 8",
    "layout": "has the layout 1.6. Layouts that can be read: 2.0, 2.1, 3.0",
    "length": "Episode 1 of .* has 3 rows, the list of episodes says 4",
    "column": "episode_000000.parquet has no action, which meta/info.json lists",
    "parquet": "episode_000000.parquet is damaged",
    "image": "Episode 0 of .* has an image that cannot be read",
    "outside": "names a file outside itself: ../../secret.png",
    "reward": "Episode 0 of .* it has missing values",
    "action": "It needs action, and numbers or images named observation.NAME",
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named(tmp_path, name):
    folder = layout_2(tmp_path / "a")
    damaged(folder, name)
    with pytest.raises(UserError, match=FAULTS[name]):
        list(open_dataset(str(folder)).episodes())


def test_a_video_that_is_missing_or_short_is_named(tmp_path):
    folder = layout_3(tmp_path / "a")
    path = folder / "videos/observation.images.front/chunk-000/file-000.mp4"
    lerobot_files.write_video(path, np.stack([frame(i) for i in range(6)]), FPS)
    with pytest.raises(UserError, match=r"Episode 1 of .* has 3 rows, but .* has 1 frames of it"):
        list(open_dataset(str(folder)).episodes())
    path.unlink()
    with pytest.raises(UserError, match=r"file-000.mp4 is missing or damaged"):
        list(open_dataset(str(folder)).episodes())


def test_offline_training_reads_a_dataset_and_scales_its_actions(tmp_path, capsys):
    folder = layout_2(tmp_path / "a")
    words = ["--algo", "v3", "--configs", "debug", "--task", "my:Robot", "--threads", 1, "--compile", "off"]
    words += ["--run.video_every", 0, "--run.eval_every", 0, "--steps", 2, "--batch_length", 4, "--batch_size", 2]
    assert say(*words, "--run.offline", folder, "--logdir", tmp_path / "run") == 0
    said = capsys.readouterr()
    assert f"10 records of {folder}" in said.err
    assert "images_front uint8 (64, 64, 3)" in said.out
    assert "stores no bounds of actions" in said.err
    shutil.rmtree(folder)
