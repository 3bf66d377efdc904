"""Output of runs: evaluation, videos, TensorBoard, progress and the banner."""

import io
import json

import gymnasium
import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from common.commands.eval import evaluate, summarize
from common.errors import NonFiniteError, UserError
from common.storage import video
from common.storage.logdir import store_config
from common.storage.logger import FiniteMetrics, Logger, RunningMeans
from common.storage.outputs import JsonLines
from common.storage.progress import Progress
from common.training.collector import Episode
from common.training.evaluator import EvalResult, Evaluator
from common.training.offline import find_records
from common.training.train import train
from tests.helpers.faulty_envs import Steady
from tests.helpers.run_fakes import FakeAgent, FakeFactory, config, newest

pytestmark = pytest.mark.xdist_group("run_output")  # their shared run is made once


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A run with images and vectors."""
    logdir = tmp_path_factory.mktemp("pictures") / "run"
    train(config(logdir, task="dummy_mixed_12"), FakeFactory(ImageAgent))
    return logdir


class ImageAgent(FakeAgent):
    """Also predicts images."""

    def report(self, batch, context):
        truth = batch["image"] / np.float32(255)
        return {"image": (truth, 1 - truth), **super().report(batch, context)}


def test_evaluate_prints_and_writes_the_result(pictures, capsys):
    given = config(pictures, task="dummy_mixed_12", run__eval_episodes=5)
    summary = evaluate(given, FakeFactory(ImageAgent))
    assert summary == json.loads((pictures / "eval.json").read_text())
    assert (summary["n"], summary["frames"], summary["mode"]) == (5, 200, "sample")
    assert summary["mean"] == pytest.approx(np.mean(summary["scores"]))
    assert summary["std"] == pytest.approx(np.std(summary["scores"]))
    assert summary["lengths"] == [6] * 5
    assert "(mean ± std, n = 5)" in capsys.readouterr().out
    assert (pictures / "videos/eval_000000200.gif").exists()
    assert evaluate(given, FakeFactory(ImageAgent)) == summary


def test_evaluate_repeats_the_score_that_training_logged(tmp_path):
    given = config(tmp_path / "run", task="dummy_point", steps=180, run__eval_every=180)
    train(given, FakeFactory())
    during = [json.loads(line) for line in (tmp_path / "run/scores.jsonl").read_text().splitlines()][1]
    assert during["xs"] == [180]
    assert evaluate(given, FakeFactory())["mean"] == during["ys"][0]


def test_evaluate_needs_a_run_and_a_checkpoint(tmp_path):
    with pytest.raises(UserError, match="is not a run directory"):
        evaluate(config(tmp_path), FakeFactory())
    store_config(tmp_path, config(tmp_path))
    with pytest.raises(UserError, match="no checkpoint yet"):
        evaluate(config(tmp_path), FakeFactory())
    with pytest.raises(UserError, match="give --logdir"):
        evaluate(config(""), FakeFactory())


class Uneven:
    """Two environments: the first has episodes of one step, the second of ten."""

    num, repeat, obs_space, lengths = 2, 1, {}, np.array([1, 10])

    def reset(self):
        self.time = np.zeros(2, int)
        return self._record()

    def step(self, actions):
        self.time = np.where(self.time >= self.lengths, 0, self.time + 1)
        return self._record()

    def state(self):
        return []

    def messages(self):
        return []

    def closed(self):
        return np.zeros(2, bool)

    def _record(self):
        first, last = self.time == 0, self.time >= self.lengths
        zeros = np.zeros(2, np.float32)
        return {"reward": zeros, "is_first": first, "is_last": last, "is_terminal": last, "vector": zeros[:, None]}


@pytest.mark.parametrize(("episodes", "lengths"), [(1, [1]), (2, [1, 10]), (5, [1, 1, 1, 10, 10])])
def test_episodes_are_spread_so_that_short_ones_are_not_favoured(episodes, lengths):
    spaces = gymnasium.spaces
    agent = FakeAgent({"vector": spaces.Box(-1, 1, (1,))}, spaces.Discrete(3), {})
    result = Evaluator(agent, Uneven, 0).run(episodes, 0)
    assert sorted(episode.length for episode in result.episodes) == lengths


def test_an_evaluation_without_ends_reports_the_reason(capsys, monkeypatch):
    spaces, left = gymnasium.spaces, iter(range(8))
    monkeypatch.setattr("common.training.evaluator.MAX_STEPS_WITHOUT_END", 5)
    monkeypatch.setattr(Uneven, "lengths", np.array([100, 100]))
    agent = FakeAgent({"vector": spaces.Box(-1, 1, (1,))}, spaces.Discrete(3), {})
    with pytest.raises(StopIteration):
        Evaluator(agent, Uneven, 0).run(1, 0, check=lambda: next(left))
    said = capsys.readouterr().err
    assert said.count("no episode has ended within 5 steps") == 1
    assert "--env.time_limit" in said


def test_evaluation_environments_differ_from_training_ones():
    factory = FakeFactory()
    given = config("", task="dummy_point", run__eval_envs=2)
    first = [factory.envs(given, evaluate=which).reset()["vector"] for which in (False, True)]
    assert not np.isclose(first[0], first[1]).any()


def test_videos_are_gifs_in_the_logdir(pictures):
    names = sorted(path.name for path in (pictures / "videos").iterdir() if not path.name.startswith("eval_0"))
    assert "eval_episode_000000120.gif" in names
    assert "openloop_image_000000080.gif" in names
    assert "openloop_vector_000000080.gif" in names
    with Image.open(pictures / "videos/eval_episode_000000120.gif") as image:
        assert (image.format, image.size, image.n_frames) == ("GIF", (64, 64), 7)
    with Image.open(pictures / "videos/openloop_image_000000080.gif") as image:
        assert image.size == (2 * 64, 3 * 64)


def test_training_episodes_are_recorded_without_evaluation(tmp_path):
    train(config(tmp_path / "run", task="dummy_pixels_12_both", run__eval_every=0), FakeFactory())
    films = sorted((tmp_path / "run/videos").glob("train_episode_*.gif"))
    assert len(films) == 2
    with Image.open(films[0]) as image:
        assert 1 < image.n_frames <= 7  # one for each record; equal pictures in a row are stored once


def test_tensorboard_holds_scalars_over_frames_and_gifs(pictures):
    events = EventAccumulator(str(pictures), size_guidance={"images": 0}).Reload()
    rows = [json.loads(line) for line in (pictures / "metrics.jsonl").read_text().splitlines()]
    curve = {row["frames"]: row["episode/score"] for row in rows if "episode/score" in row}
    assert {event.step: event.value for event in events.Scalars("episode/score")} == pytest.approx(curve)
    tags = events.Tags()
    assert {f"film/{name}" for name in ("openloop/image", "openloop/vector", "eval/episode")} == set(tags["images"])
    assert not set(tags["images"]) & set(tags["scalars"])
    assert "openloop/image" in tags["scalars"]
    assert events.Images("film/openloop/image")[0].encoded_image_string.startswith(b"GIF89a")


class LogsOurNames(Steady):
    """Reports numbers under names of metrics."""

    def step(self, action):
        *answer, info = super().step(action)
        names = ("score", "length", "score_mean", "speed", "speed_max", "speed/max", "frames", "wall", "a/b")
        return *answer, info | {f"log_{name}": -1000.0 + self.time for name in names}


def test_numbers_of_the_environment_never_replace_metrics(tmp_path):
    train(config(tmp_path / "run", task="tests.storage.test_output:LogsOurNames", env__repeat=1), FakeFactory())
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    for row in [row for row in rows if "episode/score" in row]:
        own = {name.removeprefix("env/"): value for name, value in row.items() if name.startswith("env/")}
        assert (row["episode/score"], row["episode/length"]) == (21.0, 6.0)  # rewards 1 to 6
        names = {"episode/length", "episode/score", *(f"episode/score_{kind}" for kind in ("min", "max", "std"))}
        assert {name for name in row if name.startswith("episode/")} == names
        assert own["score"] == own["speed"] == own["a.b"] == own["speed_max"] == own["speed/max"] == -994.0
        assert own["speed/sum"] == pytest.approx(sum(range(-999, -993)))
        assert own["score/mean"] == pytest.approx(-996.5)
        assert row["frames"] > 0 < row["wall"]
    tags = EventAccumulator(str(tmp_path / "run")).Reload().Tags()["scalars"]
    shown = sorted(tags)  # as TensorBoard sorts them
    assert shown[0] == "Score/eval"
    assert shown[1] == "Score/train"
    assert all(tag.startswith("env/") for tag in tags if "speed" in tag)
    health = newest(tmp_path / "run")["health"]["rows"]
    assert not any(key.startswith("env/") for row in health for key in row)


def test_tensorboard_hides_points_after_the_checkpoint(tmp_path):
    for state in (None, {"offset": 0, "frames": 10, "means": [], "scores": None}):
        logger = Logger(tmp_path, task="t", method="m", seed=0, state=state)
        for frames in (5, 10, 15) if state is None else (12,):
            logger.write({"frames": frames}, {"x": float(frames)})
        logger.close()
    assert [event.step for event in EventAccumulator(str(tmp_path)).Reload().Scalars("x")] == [5, 10, 12]


def test_open_loop_strip_shows_truth_model_and_error():
    truth, model = np.full((2, 6, 4, 4, 1), 0.25), np.full((2, 6, 4, 4, 1), 0.75)
    strip = video.open_loop_frames(truth, model, 2)
    assert (strip.shape, strip.dtype) == ((6, 12, 8, 3), np.uint8)
    assert [strip[5, row, 0, 0] for row in (0, 4, 8)] == [64, 191, 191]
    assert (strip[0, 4, 0] == (0, 200, 0)).all()
    assert (strip[2, 4] == 191).all()


def test_open_loop_of_vectors_is_a_growing_plot():
    truth = np.linspace(0, 1, 12).reshape(1, 6, 2)
    plot = video.open_loop_frames(truth, truth[:, ::-1], 2)
    assert (plot.shape, plot.dtype) == ((6, 142, 320, 3), np.uint8)
    ink = [(picture[video.LEGEND_HEIGHT :] == video.COLORS[0]).all(-1).sum() for picture in plot]
    assert ink == sorted(ink)
    assert ink[0] < ink[-1]
    constant = video.open_loop_frames(np.zeros((1, 6)), np.zeros((1, 6)), 2)
    assert constant.shape == (6, 78, 320, 3)


def test_no_picture_of_vectors_is_blank():
    """The first picture has a legend, the names of the rows, and all of the curves in pale colors."""
    truth = np.linspace(0, 1, 12).reshape(1, 6, 2)
    first = video.open_loop_frames(truth, truth[:, ::-1], 2)[0]
    for color in video.COLORS:
        assert (first[: video.LEGEND_HEIGHT] == color).all(-1).any()
        columns = (first[video.LEGEND_HEIGHT :] == video._pale(color)).all(-1).any(0)
        assert np.flatnonzero(columns)[-1] > 300
    for row in range(2):
        top = video.LEGEND_HEIGHT + 64 * row
        assert (first[top + 2 : top + 16, 4:12] < 200).all(-1).any()


def test_error_curve_is_per_time_step():
    truth, model = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
    model[:, 1], model[:, 2] = 1, 2
    np.testing.assert_allclose(video.error_curve(truth, model), [0, 1, 4])


def test_running_means_survive_a_checkpoint():
    means = RunningMeans()
    means.add({"a": torch.tensor(1.0), "b": torch.tensor(2.0)})
    means.add({"a": 4.0})
    again = RunningMeans()
    again.restore(means.state())
    again.add({"a": 4.0})
    assert again.take() == {"a": 3.0, "b": 2.0}
    assert again.take() == {}


def test_a_line_has_the_spread_of_its_episodes_also_after_a_resume(tmp_path):
    def logger(folder, state=None):
        (tmp_path / folder).mkdir()
        return Logger(tmp_path / folder, task="dummy", method="v3", seed=0, state=state)

    first = logger("first")
    for frames, score in enumerate([7.0, 1.0, 4.0]):
        first.log_episode(frames, score, 5, {})
        if frames == 0:
            assert first.take_means()["episode/score_std"] == 0
    assert "episode/score_min" not in logger("other").take_means()
    again = logger("again", {**first.state(3), "offset": 0})
    expected = {"episode/score": 2.5, "episode/score_min": 1.0, "episode/score_max": 4.0, "episode/score_std": 1.5}
    for each in (first, again):
        means = each.take_means()
        assert {name: means[name] for name in expected} == expected
        assert list(means) == sorted(means)
        assert each.take_means() == {}


def test_non_finite_metrics_are_not_written(tmp_path):
    logger = Logger(tmp_path, task="t", method="m", seed=0)
    logger.add({"loss/a": torch.tensor(1.0), "loss/b": torch.tensor(torch.nan), "grad/c": torch.tensor(torch.inf)})
    metrics = logger.means.take()
    with pytest.raises(NonFiniteError, match=r"not finite: loss/b, grad/c$"):
        logger.write({"frames": 1}, metrics)
    assert not (tmp_path / "metrics.jsonl").exists()
    logger.close()
    messages = []
    keep_finite = FiniteMetrics(messages.append)
    assert keep_finite(metrics) == keep_finite(metrics) == {"loss/a": 1.0}
    assert messages == ["Dropping non-finite metrics: loss/b, grad/c."]


def test_json_lines_after_the_checkpoint_are_cut(tmp_path):
    rows = JsonLines(tmp_path / "x.jsonl")
    rows.write({"a": 1})
    offset = rows.sync()
    rows.write({"a": 2})
    rows.close()
    again = JsonLines(tmp_path / "x.jsonl", offset)
    again.write({"a": 3})
    again.close()
    assert [json.loads(x)["a"] for x in (tmp_path / "x.jsonl").read_text().splitlines()] == [1, 3]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere():
    for stream in (Terminal(), io.StringIO()):
        progress = Progress(1000, stream)
        progress.start_at(100, 5)
        progress.update(250, 20)
        rates = progress.line(score=12.34, eval=None)
        progress.message("hello")
        progress.close()
        text = stream.getvalue()
        assert "score 12.3" in text
        assert "updates/s" in text
        assert "eval" not in text
        assert "hello\n" in text
        assert ("\r" in text) == stream.isatty()
        assert rates["fps/env"] / rates["fps/train"] == pytest.approx(10)
    assert "250/1,000 frames (25%)" in text


def test_progress_beyond_the_last_frame_is_complete():
    """The last episodes of several environments end beyond the budget."""
    for stream in (Terminal(), io.StringIO()):
        progress = Progress(1000, stream)
        progress.start_at(990, 5)
        progress.update(1012, 20)
        progress.line(due=0)
        progress.close()
        text = stream.getvalue()
        assert "100%" in text
        assert "101%" not in text
        assert "-" not in text.rpartition("]")[0]
    assert "1,012/1,000 frames (100%)" in text
    assert text.endswith("00:00 left\n")


def test_the_banner_describes_the_run(tmp_path, capsys):
    changes = {"steps": 40, "schedule": {"use": "Every", "steps": 5, "updates": 1}}
    train(config(tmp_path / "run", **changes), FakeFactory())
    block = capsys.readouterr().out
    for text in (
        "fake, seed 0", "dummy_onehot_7, 2 environment(s)", "cpu, fp32, eager, 1 CPU thread(s)", "vector float32 (4,)",
        "Discrete(4)", "weight 4", "1 agent step = 2 frame(s)", "Every (steps 5, updates 1): 0.1 updates and "
        "0.8 replayed steps per frame", "at most 44 records", "the most that this run can fill",
        "40 frames = 20 agent steps",
    ):  # fmt: skip
        assert text in block


def test_images_of_another_renderer_are_labelled(tmp_path, capsys):
    env = {"repeat": 2, "obs": "image", "render": "ray", "size": 16}
    given = config(tmp_path, task="dmc_cartpole_swingup", env=env, steps=8, run__prefill=1, run__eval_episodes=1)
    train(given | {"run": given["run"] | {"eval_every": 0, "envs": 1}}, FakeFactory())
    assert "beware  Images are drawn with env.render ray: do not compare the scores" in capsys.readouterr().out
    assert json.loads((tmp_path / "run.json").read_text())["render"] == "ray"
    played = EvalResult([Episode(1.0, 2, {})], None)
    assert summarize(given, 8, played)["render"] == "ray"
    assert "render" not in summarize({**given, "task": "atari_pong"}, 8, played)


class Drawn(FakeFactory):
    """Makes environments that render with `ray`, also if the config asks for another renderer."""

    def envs(self, config, **kwargs):
        return super().envs({**config, "env": config["env"] | {"render": "ray"}}, **kwargs)


def test_the_renderer_of_the_run_labels_its_evaluation(tmp_path, capsys):
    env = {"repeat": 2, "obs": "image", "render": "ray", "size": 16}
    given = config(tmp_path, task="dmc_cartpole_swingup", env=env, steps=8, run__prefill=1, run__eval_episodes=1)
    given["run"] |= {"eval_every": 0, "envs": 1, "video_every": 0}
    train(given, FakeFactory())
    given["env"] = env | {"time_limit": 8}
    assert evaluate(given | {"env": given["env"] | {"render": "full"}}, Drawn())["render"] == "ray"
    assert json.loads((tmp_path / "eval.json").read_text())["render"] == "ray"
    with pytest.raises(UserError, match=r"were drawn with env\.render ray: give --env\.render ray"):
        find_records({**given, "env": env | {"render": "full"}, "run": given["run"] | {"offline": str(tmp_path)}})
    assert find_records(given | {"run": given["run"] | {"offline": str(tmp_path)}}).streams == 1


def test_messages_of_environments_are_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("common.envs.vector.vector_env.Envs.messages", lambda self: ["environment 1 was made again"])
    train(config(tmp_path / "run", steps=8), FakeFactory())
    assert "environment 1 was made again" in capsys.readouterr().err
