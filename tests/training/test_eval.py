"""`eval`: videos, the interval, and messages about unsuitable runs."""

import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from common.envs import FILM_VARIABLES
from common.storage import video
from tests.helpers.saved_runs import say, untrained


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    """Return a run on a task with vector observations that can be drawn."""
    folder = tmp_path_factory.mktemp("eval") / "run"
    untrained(folder, "v1", "dummy_point_7")
    return folder


def test_whole_episodes_are_recorded_also_without_image_observations(logdir, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert say("eval", "--logdir", logdir, "--video", 2, "--episodes", 3) == 0
    said = capsys.readouterr().out
    films = sorted(path.name for path in (logdir / "videos").iterdir())
    assert films == ["eval_000000070_0.gif", "eval_000000070_1.gif"]
    assert all(str(logdir / "videos" / name) in said for name in films)
    assert said.count("pip install imageio-ffmpeg") == 1
    with Image.open(logdir / "videos" / films[1]) as film:
        assert (film.n_frames, film.size) == (8, (256, 256))  # the reset and seven steps, enlarged
    found = json.loads((logdir / "eval.json").read_text())
    assert found["n"] == 3
    low, high = found["interval"]
    assert min(found["scores"]) <= low < found["mean"] < high <= max(found["scores"])
    assert f"95 % interval of the mean {low:.2f} to {high:.2f}" in said
    assert "not finished: the checkpoint is of 70 of 1,000 frames" in said


def test_mp4(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = np.random.default_rng(0).integers(0, 256, (9, 66, 50, 3), np.uint8)
    video.write_mp4(tmp_path / "film.mp4", frames)
    about = next(ffmpeg.read_frames(str(tmp_path / "film.mp4")))
    assert about["size"] == (50, 66)
    assert ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4"))[0] == 9


SIZES = [((64, 64), (256, 256)), ((401, 601), (200, 300)), ((33, 21), (264, 168))]


@pytest.mark.parametrize(("size", "expected"), SIZES)
def test_videos_have_an_even_size(size, expected):
    assert video.scale_frames(np.zeros((1, *size, 3), np.uint8)).shape == (1, *expected, 3)


def test_a_reused_drawing_of_changing_size_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    untrained(tmp_path / "run", "v3", "tests.helpers.drawn_envs:Reused")
    assert say("eval", "--logdir", tmp_path / "run", "--video", 1, "--episodes", 1) == 0
    with Image.open(tmp_path / "run" / "videos" / "eval_000000070_0.gif") as film:
        assert (film.n_frames, film.size) == (8, (288, 256))
        assert film.convert("RGB").getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(("words", "n"), [((), 10), (("--episodes", 2), 2)])
def test_ten_episodes_are_played_by_default_and_one_seed_is_mentioned(words, n, logdir, capsys):
    assert say("eval", "--logdir", logdir, *words) == 0
    said = capsys.readouterr().out
    assert f"(mean ± std, n = {n})" in said
    assert "This is the score of one seed." in said
    assert len(json.loads((logdir / "eval.json").read_text())["scores"]) == n


def test_the_task_of_the_demo_is_filmed_without_a_screen(tmp_path, monkeypatch, capfd):
    for name in (*FILM_VARIABLES, "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    untrained(tmp_path / "run", "v3", "gym_CartPole-v1")
    assert say("eval", "--logdir", tmp_path / "run", "--video", 1, "--episodes", 1) == 0
    assert os.environ["SDL_VIDEODRIVER"] == "dummy"
    assert "No video" not in capfd.readouterr().out
    with Image.open(next((tmp_path / "run" / "videos").glob("*.gif"))) as film:
        assert film.n_frames > 5
        assert len(film.convert("RGB").getcolors(2**16)) > 2


def test_no_images_and_no_run(logdir, tmp_path, capsys, monkeypatch):
    monkeypatch.delattr("common.envs.suites.dummy.Dummy.render")
    assert say("eval", "--logdir", logdir, "--video", 1) == 0
    assert "No video: this task" in capsys.readouterr().out
    assert say("eval", "--logdir", logdir, "--video", -1) == 2
    assert "--video takes the number of episodes" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text("defaults: {task: other}\n")
    assert say("eval", "--logdir", tmp_path) == 2
    assert "lacks algo, steps, run" in capsys.readouterr().err
    (tmp_path / "config.yaml").write_text((logdir / "config.yaml").read_text())
    assert say("eval", "--logdir", tmp_path) == 2
    assert "has no checkpoint yet" in capsys.readouterr().err


def test_a_read_only_run_is_evaluated_into_another_folder(tmp_path, capsys, monkeypatch):
    logdir, out = tmp_path / "run", tmp_path / "mine/run"
    untrained(logdir, "v1", "dummy_point_7")
    before = {path: path.stat().st_mtime_ns for path in logdir.rglob("*")}
    access = os.access  # root, who may run the tests, may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode, **more: path != logdir and access(path, mode, **more))
    assert say("eval", "--logdir", logdir, "--episodes", 1) == 2
    assert f"{logdir} is read-only. Give another folder" in capsys.readouterr().err
    assert say("eval", "--logdir", logdir, "--episodes", 1, "--video", 1, "--out", out) == 0
    assert json.loads((out / "eval.json").read_text())["n"] == 1
    assert (out / "videos/eval_000000070_0.gif").exists()
    assert {path: path.stat().st_mtime_ns for path in logdir.rglob("*")} == before
