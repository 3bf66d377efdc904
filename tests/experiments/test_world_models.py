"""`wm-eval`: world models on the same frozen records; sound ones reach the noise floor, a faulty one is found.

The records are of dummy_onehot: the next observation is the one-hot of the action, the reward its number / 3. These
dynamics are deterministic and have no memory, so a sound model predicts any step from the actions alone.
"""

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import dreamer
from common.analysis import stats
from common.analysis.world_models import drawings, films
from common.errors import UserError
from common.experiments.world_models import calibration, clips, frozen
from common.experiments.world_models.frozen import FrozenRecords
from common.experiments.world_models.protocol import Protocol
from common.experiments.world_models.run import train_and_measure
from common.experiments.world_models.training import FrozenReplay, WorldModelFactory
from common.experiments.world_models.variants import DATA_FLAGS
from common.storage.checkpoints import load_newest
from common.training.factory import record_fields
from common.training.offline import offline_config
from tests.helpers import command_line
from tests.helpers.command_line import expect_error, run_in_this_process, snapshot

CONTEXT, HORIZON = 3, 10
LEARNING_UPDATES = 220
NOISE_FLOOR = {"vector": 0.02, "reward": 0.02}  # squared error; that of the mean of the data is about 0.19 and 0.14


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    """Write 30 episodes of dummy_onehot as files, in which each row has the action that led to it."""
    folder, draws = tmp_path_factory.mktemp("records") / "onehot", np.random.default_rng(0)
    folder.mkdir()
    for number in range(30):
        action = np.eye(4, dtype=np.float32)[draws.integers(4, size=21)]
        action[0] = 0
        reward = (action @ np.arange(4) / 3).astype(np.float32)
        np.savez(folder / f"{number:03}.npz", vector=action, action=action, reward=reward, discount=np.ones(21))
    return folder


def config_of(algo, seed, records, logdir, updates, **flags):
    keys = {"task": "stored:onehot", "run.offline": str(records), "logdir": str(logdir), "seed": seed, "steps": updates}
    keys |= {"run.threads": 1, "run.compile": "off", "run.log_every": 100, "run.save_every": 0, "batch_size": 8}
    keys |= {"batch_length": 12, "optim.lr.model": 1e-2, "optim.warmup": 0}
    return offline_config(dreamer.resolve(algo, ["debug"], DATA_FLAGS | keys | flags))


def protocol_of(records, **changes):
    return Protocol(str(records), 0.1, 0, CONTEXT, HORIZON)._replace(**changes)


def trained(folder, algo, seed, records, updates=LEARNING_UPDATES, **flags):
    """Train and measure one world model; return its measures."""
    logdir = folder / f"{algo}_{seed}"
    train_and_measure(logdir, config_of(algo, seed, records, logdir, updates, **flags), protocol_of(records))
    return json.loads((logdir / "world_model.json").read_text())


def shift_actions(monkeypatch):
    """Plant a fault: every model gets, in training and in prediction, the action of one step later."""
    build = WorldModelFactory.agent

    def shifted(self, *args):
        agent = build(self, *args)
        convert = agent.to_tensors

        def later(arrays):
            tensors = convert(arrays)
            axis = tensors["prev_action"].ndim - 2
            return tensors | {"prev_action": tensors["prev_action"].roll(-1, axis)}

        agent.to_tensors = later
        return agent

    monkeypatch.setattr(WorldModelFactory, "agent", shifted)


def mean_error(found, key):
    return float(np.mean(found["open_loop"][key]["steps"]))


# The data


def test_no_record_of_a_held_out_episode_is_ever_drawn(episodes):
    records = FrozenRecords(episodes, 0.2, 0)
    records.ring.arrays["reward"][:] = np.arange(records.ring.slots)  # the reward now names the record
    spec = record_fields(dict(records.spaces.observation.items()), (4,), {})
    replay = FrozenReplay(spec, records, seed=0)
    replay.read_records()
    drawn = {number for _ in range(200) for number in replay.sample(8, 12)["reward"].ravel().tolist()}
    held_out = {number for one in records.held_out(10**6) for number in one["reward"].tolist()}
    assert len(held_out) == 6 * 21
    assert not drawn & held_out
    assert len(drawn) == 24 * 21 == records.training_length


def test_the_split_follows_from_its_seed(episodes):
    one, same, other = (FrozenRecords(episodes, 0.2, seed).split for seed in (1, 1, 2))
    assert one == same != other
    assert len(FrozenRecords(episodes, 0.01, 0).split.held_out) == frozen.LEAST_HELD_OUT


def test_windows_after_a_held_out_episode_begin_a_new_one(episodes):
    records = FrozenRecords(episodes, 0.2, 0)
    begins = np.flatnonzero(records.training("is_first"))
    assert begins.tolist() == list(range(0, 24 * 21, 21))


def test_clips_stay_inside_their_episode():
    chosen = clips.choose_clips([0, 30, 34, 60], context=5, horizon=10)
    edges = {0: (0, 30), 2: (34, 60)}  # the second episode is too short
    assert [clip.episode for clip in chosen] == [0, 0, 0, 2, 2, 2]
    for clip in chosen:
        begin, stop = edges[clip.episode]
        assert begin <= clip.first
        assert clip.start - clip.first == 4
        assert clip.start < clip.last < stop


# Training


def test_all_versions_draw_the_same_batches_and_a_stopped_run_continues(episodes, tmp_path):
    straight = trained(tmp_path / "straight", "v1", 0, episodes, updates=6)
    other = trained(tmp_path / "other", "v3", 1, episodes, updates=6)
    for updates in (4, 6):
        found = trained(tmp_path / "twice", "v1", 0, episodes, updates=updates)
    assert straight["batches"] == other["batches"] == found["batches"] != ""
    one, two = (load_newest(tmp_path / name / "v1_0") for name in ("straight", "twice"))
    assert all(torch.equal(x, two["agent"][key]) for key, x in one["agent"].items() if torch.is_tensor(x))
    assert found["open_loop"] == straight["open_loop"]
    assert not list((tmp_path / "twice" / "v1_0").glob("replay/*"))


@pytest.mark.parametrize("algo", ["v1", "v3"])
def test_a_sound_model_predicts_to_the_noise_floor(algo, episodes, tmp_path):
    found = trained(tmp_path, algo, 5, episodes)
    for key, floor in NOISE_FLOOR.items():
        assert max(found["open_loop"][key]["steps"]) < floor < 0.3 * np.mean(found["baselines"][key]["mean"])
    assert found["open_loop"]["continue"]["steps"] == pytest.approx([0] * HORIZON, abs=0.01)


def test_a_model_with_shifted_actions_is_found_worse(episodes, tmp_path, monkeypatch):
    """The interval of the difference excludes equality, with three seeds of the cheapest version."""
    seeds, updates = range(3), 60
    sound = [trained(tmp_path / "sound", "v1", seed, episodes, updates) for seed in seeds]
    shift_actions(monkeypatch)
    faulty = [trained(tmp_path / "faulty", "v1", seed, episodes, updates) for seed in seeds]
    for key in NOISE_FLOOR:
        scores = [[np.array([mean_error(found, key) for found in group])] for group in (faulty, sound)]
        effect = stats.difference(*scores)
        assert effect.low > 0, (key, effect)
        assert effect.verdict == "better", (key, effect)  # a higher error


@pytest.mark.long
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_every_version_reaches_the_noise_floor_and_shows_the_fault(algo, episodes, tmp_path, monkeypatch):
    updates = 1_000 if algo == "v1" else 400  # one of three seeds of V1 is at 0.021 after 400, all at 0.006 after 1,000
    sound = [trained(tmp_path / "sound", algo, seed, episodes, updates) for seed in range(3)]
    for key, floor in NOISE_FLOOR.items():
        assert max(max(found["open_loop"][key]["steps"]) for found in sound) < floor
    shift_actions(monkeypatch)
    faulty = [trained(tmp_path / "faulty", algo, seed, episodes, updates) for seed in range(3)]
    for key in NOISE_FLOOR:
        scores = [[np.array([mean_error(found, key) for found in group])] for group in (faulty, sound)]
        assert stats.difference(*scores).low > 0


# Measures


def test_reliability_of_a_perfect_and_of_a_shifted_predictor():
    draws = np.random.default_rng(0)
    share = draws.random(20_000)
    truth = (draws.random(20_000) < share).astype(float)
    perfect, shifted = (calibration.reliability(share + gap, truth, 0.0, 1.0) for gap in (0.0, 0.2))
    assert perfect["error"] < 0.02
    assert shifted["error"] == pytest.approx(0.2, abs=0.02)
    assert sum(perfect["counts"]) == 20_000
    scores = calibration.bernoulli_scores(share, truth)
    assert scores["brier"] == pytest.approx(1 / 6, abs=0.01)
    assert scores["base_brier"] == pytest.approx(1 / 4, abs=0.01)


# Errors


def command(episodes, tmp_path, *more, algos="v1,v3"):
    words = ["wm-eval", "--replay", episodes, "--algos", algos, "--configs", "debug", "--updates", "2"]
    return [*words, "--logdir", tmp_path / "out", *more]


def test_wrong_commands_are_refused_before_anything_is_written(episodes, tmp_path):

    def check(says, *more, **options):
        expect_error(*command(episodes, tmp_path, "--dry-run", *more, **options), cwd=tmp_path, says=says)

    (tmp_path / "empty").mkdir()
    check("does not exist. Give the directory of a run", "--replay", tmp_path / "nowhere")
    check("is not a run directory and has no episodes", "--replay", tmp_path / "empty")
    check("matches none of the observations vector", "--encoder.keys", "image")
    check("changes nothing in the world model of v3", "--ablate", "retnorm")
    check("has no symlog to drop", "--ablate", "symlog", algos="v1")
    check("Unknown ablation 'simlog'", "--ablate", "simlog")
    check("leaves nothing to predict", "--context", "21")
    check("--seed does not apply to wm-eval. Use --seeds", "--seed", "3")
    check("--held-out is a share", "--held-out", "0.9")
    assert not (tmp_path / "out").exists()


def test_too_few_episodes_are_refused(episodes, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    for path in sorted(episodes.glob("*.npz"))[:5]:
        (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"has 5 whole episodes, wm-eval needs 6 or more"):
        FrozenRecords(folder, 0.1, 0)


def test_changed_records_are_refused(episodes, tmp_path):
    with pytest.raises(UserError, match="have changed since this comparison began"):
        protocol_of(episodes, fingerprint="another").read()


def test_runs_made_one_by_one_get_one_report_and_other_data_are_refused(episodes, tmp_path):
    flags = ["--seeds", "1", "--compile", "off", "--threads", "1"]
    for algo in ("v1", "v3"):
        name = f"{algo}/stored:onehot/0"
        done = run_in_this_process(*command(episodes, tmp_path, *flags, "--only", name), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert run_in_this_process("report", tmp_path / "out", cwd=tmp_path).returncode == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["batches"] == [report["runs"][0]["batches"]]
    assert report["keys"] == ["vector", "reward", "continue"]
    assert {(row["low"], row["verdict"]) for row in report["comparisons"]} == {(None, None)}  # one seed
    page = (tmp_path / "out" / "report.html").read_text()
    for text in (
        "Too few seeds",
        "vector: not comparable",
        "v1: the latent state is continuous",
        "No held-out episode",
    ):
        assert text in page
    assert not re.search(r"(src|href)=\"(?!#|data:)", page.replace("xlink:href", ""))
    document = (tmp_path / "out" / "report.md").read_text()
    linked = re.findall(r"\]\((\w+/[^)]+)\)", document)
    assert linked
    assert all((tmp_path / "out" / name).is_file() for name in linked)
    assert "SymlogMSE" in document
    before = snapshot(tmp_path / "out")
    expect_error(
        *command(episodes, tmp_path, *flags, "--split-seed", "1"), cwd=tmp_path, says="other data (stored -> given)"
    )
    expect_error(
        *command(episodes, tmp_path, *flags, "--updates", "1"), cwd=tmp_path, says=["steps: 2 -> 1", "--updates"]
    )
    assert snapshot(tmp_path / "out") == before


def test_films_show_truth_and_every_model_in_one_picture():
    truth = np.zeros((2, 5, 16, 16, 3), np.uint8)
    rows = {"v1": truth + np.uint8(100), "v3 no_symlog": truth + np.uint8(200)}
    made = films.frames(truth, rows, context=2)
    side, gap, left = 64, films.GAP, films.LABEL_WIDTH
    assert made.shape == (5, 3 * (side + gap) + gap, left + 2 * (side + gap), 3)
    assert [made[0, gap + row * (side + gap) + 9, left + 9].tolist() for row in range(3)] == [
        [0] * 3,
        [100] * 3,
        [200] * 3,
    ]
    bar = made[:, gap + 2 * side + gap, left + 5]  # below the first model
    assert [row.tolist() == list(films.SEEN) for row in bar] == [True, True, False, False, False]


@pytest.mark.long
def test_a_stopped_comparison_continues_and_ends_with_a_report(tmp_path):
    """Real processes: images and vectors of a run, stopped by SIGTERM, then finished by the same command."""
    task = ["--configs", "debug", "--task", "dummy_point_both_15"]
    assert (
        command_line.run_in_new_process(
            "--algo", "v3", *task, *command_line.SHORT, "--logdir", "run", cwd=tmp_path
        ).returncode
        == 0
    )
    words = [
        "wm-eval",
        "--replay",
        "run",
        "--algos",
        "v1,v2,v3",
        "--configs",
        "debug",
        "--updates",
        "60",
        "--seeds",
        "1",
    ]
    words += ["--compile", "off", "--logdir", "out", "--ablate", "symlog", "--horizon", "8"]
    start = [sys.executable, str(command_line.ROOT / "dreamer.py"), *words]
    process = subprocess.Popen(start, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not any(tmp_path.glob("out/runs/*/*/*/metrics.jsonl")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert "Rerun the same command to continue." in process.communicate(timeout=120)[0]
    assert process.returncode == 143
    done = command_line.run_in_new_process(*words, cwd=tmp_path, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "Report on 4 world models: out/report.html" in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["variants"] == ["v1", "v2", "v3", "v3 no_symlog"]
    assert len(report["batches"]) == 1
    with Image.open(tmp_path / "out" / "films" / "image.gif") as film:
        assert film.n_frames == 13
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/gif;base64,") == 1


def test_dry_run_lists_the_runs_with_their_changes(episodes, tmp_path, capsys):
    assert dreamer.main([str(word) for word in command(episodes, tmp_path, "--ablate", "symlog", "--dry-run")]) == 0
    printed = capsys.readouterr().out
    assert "9 runs" in printed
    assert "# v3 no_symlog/stored:onehot/2: 2 updates" in printed
    assert "encoder.symlog" in printed
    assert "v1 no_symlog" not in printed  # V1 has no symlog
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scale", [2e-7, 3e-3, 0.04, 500.0])
@pytest.mark.parametrize("ratio", [2, 1000])
def test_labels_of_errors_are_inside_their_figure(scale, ratio):
    values = [scale, scale / ratio, scale / 2]
    line = {"x": [1, 2, 3], "mean": values, "low": values, "high": values}
    curves = {"continue": {"baselines": {"mean": [0.9 * value for value in values]}, "variants": {"v1": line}}}
    figure = drawings.open_loop({"variants": ["v1"], "curves": curves}, "continue")
    FigureCanvasAgg(figure).draw()
    name = figure.axes[0].yaxis.label  # matplotlib draws it left of the numbers
    assert name.get_window_extent().x0 >= 0
    assert (name.get_text() == "Brier score") == (ratio > 2 or scale >= 0.01)
