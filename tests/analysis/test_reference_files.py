"""Score files of users: read in every official format; other files give one message."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.analysis.reference import data, score_files
from common.errors import UserError
from tests.helpers.reference import score_file

TWO = [
    ("dmc_ball_in_cup_catch", "dreamerv3", 0, [1000, 2000, 3000, 500_000], [0, None, 2, 10]),
    ("dmc_ball_in_cup_catch", "dreamerv3", "seed_1", [1000.0, 500_000.0], [4, 20.5]),
]


@pytest.mark.parametrize("name", ["dmc_proprio-a.json", "dmc_proprio-a.json.gz", "dmc-proprio.jsonl", "dmc_proprio"])
def test_all_formats_give_the_same_curve(tmp_path, name):
    (curve,) = score_files.curves(score_file(tmp_path / name, TWO))
    assert (curve.task, curve.benchmark) == ("dmc_cup_catch", "dmc_proprio")
    assert (curve.method, curve.algo) == ("dreamerv3", "v3")
    assert (curve.x[0], curve.x[-1], len(curve.x)) == (10_000, 500_000, 50)
    assert (curve.mean[0], curve.std[0], curve.n[0]) == (2.5, 1.5, 2)  # bins: (0 + 2) / 2 and 4
    assert (curve.mean[-1], curve.seeds) == (15.25, 2)
    assert str(tmp_path / name) in curve.source


@pytest.mark.parametrize(("name", "task", "place"), [
    ("atari100k-x.json", "atari_james_bond", ("atari100k", "atari_jamesbond")),
    ("atari57-x.json", "atari_pong", ("atari", "atari_pong")),
    ("scores.json", "atari_pong", ("atari", "atari_pong")),
    ("dmc-vision-x.json", "dmc_walker_walk", ("dmc_vision", "dmc_walker_walk")),
    ("scores.json", "crafter_reward", ("crafter", "crafter_reward")),
    ("scores.json", "my_task", ("my", "my_task")),
])  # fmt: skip
def test_the_file_name_or_the_task_selects_the_benchmark(tmp_path, name, task, place):
    (curve,) = score_files.curves(score_file(tmp_path / name, [(task, "m", 0, [1, 2], [1, 2])]))
    assert (curve.benchmark, curve.task) == place


def test_an_ambiguous_benchmark_needs_a_flag(tmp_path):
    path = score_file(tmp_path / "dreamer.json", [("dmc_walker_walk", "dreamer", "0", [5000, 105_000], [1, 2])])
    with pytest.raises(UserError, match="--benchmark dmc_vision or dmc_proprio or dmc_states"):
        score_files.curves(path)
    (curve,) = score_files.curves(path, "dmc_vision")
    assert (curve.method, curve.algo, curve.episodes) == ("dreamerv1", "v1", "eval")


def test_score_files_of_runs_can_be_read(tmp_path):
    rows = [{"task": "dmc_walker_walk", "method": "v2", "seed": 1, "kind": kind, "xs": [10, 20], "ys": [1, 2]}
            for kind in ("train", "eval")]  # fmt: skip
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = score_files.curves(tmp_path / "scores.jsonl", "dmc_proprio")
    assert [(curve.episodes, curve.algo) for curve in found] == [("train", "v2"), ("eval", "v2")]


@pytest.mark.parametrize(("name", "method", "algo"), [
    ("dmc_proprio-dreamerv3.json.gz", "dreamerv3_2023", "v3-2023"),  # holds the runs of 2023
    ("dmcproprio_dreamerv3.json.gz", "dreamerv3_2023", "v3-2023"),
    ("dmc_proprio-mine.json", "dreamerv3", "v3"),
])  # fmt: skip
def test_official_files_of_2023_are_recognised_by_name(tmp_path, name, method, algo):
    (curve,) = score_files.curves(score_file(tmp_path / name, TWO))
    assert (curve.method, curve.algo, curve.benchmark, curve.blocks) == (method, algo, "dmc_proprio", ("dmc_proprio",))


def test_methods_and_tasks_have_separate_curves(tmp_path):
    rows = [(f"atari_{game}", method, 0, [1, 2], [1, 2]) for game in ("pong", "boxing") for method in ("a", "b")]
    found = score_files.curves(score_file(tmp_path / "scores.json", rows))
    assert {(curve.task, curve.method) for curve in found} == {(task, method) for task, method, *_ in rows}


GOOD = json.dumps([dict(zip(("task", "method", "seed", "xs", "ys"), row, strict=True)) for row in TWO]).encode()
BAD = {
    "empty": b"",
    "truncated": GOOD[:-20],
    "truncated gzip": gzip.compress(GOOD)[:-20],
    "damaged gzip": gzip.compress(GOOD)[:20] + b"\0" * 20 + gzip.compress(GOOD)[40:],
    "binary": bytes(range(256)),
    "a gzip's head": b"\x1f\x8b",
    "a number": b"3",
    "null": b"null",
    "an empty list": b"[]",
    "another list": b"[1, 2, 3]",
    "another object": b'{"learning_rate": 3e-4}',
    "a config": b"algo: v3\ntask: dummy\n",
    "metrics": b'{"frames": 10, "loss": 1.5}\n{"frames": 20, "loss": 1.0}\n',
    "no scores": b'[{"task": "a", "method": "b", "seed": 0, "xs": [1, 2]}]',
    "other lengths": b'[{"task": "a", "method": "b", "xs": [1, 2], "ys": [1]}]',
    "words as scores": b'[{"task": "a", "method": "b", "xs": [1, 2], "ys": ["1", "2"]}]',
    "a word as frames": b'[{"task": "a", "method": "b", "xs": "12", "ys": "12"}]',
    "infinite frames": b'[{"task": "a", "method": "b", "xs": [1, Infinity], "ys": [1, 2]}]',
    "negative frames": b'[{"task": "a", "method": "b", "xs": [-1, 2], "ys": [1, 2]}]',
    "frame zero only": b'[{"task": "a", "method": "b", "xs": [0, 0], "ys": [1, 2]}]',
    "one score": b'[{"task": "a", "method": "b", "xs": [1], "ys": [1]}]',
    "no number": b'[{"task": "a", "method": "b", "xs": [1, 2], "ys": [null, NaN]}]',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="Expected a JSON list or JSON lines") as error:
        score_files.curves(path)
    assert str(path) in str(error.value)
    assert path.read_bytes() == content


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_random_content_gives_an_error_message(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(UserError):
        score_files.curves(path)


def test_missing_files_are_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match=r"Cannot read .* Check the path"):
            score_files.curves(path)


def test_the_builder_reproduces_the_published_files(tmp_path):
    """A source whose single run has the published means as scores gives the published means."""
    from common.analysis.reference import build

    entry = next(entry for entry in data.entries("dmc_vision") if entry["algo"] == "v2")
    xs = (np.arange(1, 51) * entry["budget"] / 50).tolist()
    rows = [(task, "dreamerv2", 0, xs, row["mean"]) for task, row in data.rows(entry).items()]
    (tmp_path / "dreamerv2/scores").mkdir(parents=True)
    score_file(tmp_path / "dreamerv2" / entry["scores"], rows)
    made = build.table(entry, tmp_path)
    assert {task: row["mean"] for task, row in made.items()} == {t: r["mean"] for t, r in data.rows(entry).items()}
    stored = (data.FOLDER / "dmc_vision.json").read_text()
    assert build.dump(json.loads(stored)) == stored


def test_copies_of_runs_are_counted_once():
    """DMLab-30 lists most runs under several seeds; runs that always score 0 are equal without being copies."""
    from common.analysis.reference import build

    xs = np.arange(1.0, 13.0)
    run = lambda seed, ys: score_files.RawScores("dmlab_a", "m", str(seed), "", xs, np.array(ys, float))
    rising, zero = run(0, xs), run(1, 0 * xs)
    runs = [rising, zero, rising._replace(seed="2"), zero._replace(seed="3"), run(4, xs + 1)]
    assert [one.seed for one in build.distinct_runs(runs)] == ["0", "1", "3", "4"]


def test_dmlab_counts_distinct_runs():
    """21 of the 30 tasks with 5 seeds each have 3 different runs, 8 have 4, and 1 has 5."""
    entry = next(entry for entry in data.entries("dmlab") if entry["algo"] == "v3")
    counts = [row["seeds"] for row in data.rows(entry).values()]
    assert [counts.count(number) for number in (3, 4, 5)] == [21, 8, 1]
    assert all(np.max(row["n"]) <= row["seeds"] for row in data.rows(entry).values())


def test_files_of_other_projects_are_read(tmp_path):
    from common.analysis.reference import build
    from common.analysis.reference.source_files import read_sources

    entry = next(entry for entry in data.entries("metaworld") if entry["method"] == "sac")
    folder = tmp_path / "tdmpc2-e9f5932/results/sac"
    folder.mkdir(parents=True)
    rows = [(0, 0.9, 1), (100_000, 0.5, 2), (100_000, 0.1, 1), (200_000, 0.3, 1), (300_000, 0.6, 2)]
    text = "step,success,seed\n" + "".join(f"{x},{y},{seed}\n" for x, y, seed in rows)
    for name in ("mw-pick-place", "walker-walk", "lift-cube"):
        (folder / f"{name}.csv").write_text(text)
    table = build.table(entry, tmp_path)
    assert list(table) == ["metaworld_pick-place"]
    row = table["metaworld_pick-place"]  # the score before training is left out, the gap repeats the score before it
    assert (row["mean"], row["n"], row["seeds"]) == ([0.3, 0.4, 0.6], [2, 2, 1], 2)
    states = next(entry for entry in data.entries("dmc_states") if entry["method"] == "sac")
    assert {run.task for run in read_sources(states, tmp_path)} == {"dmc_walker_walk"}
    harmony = next(entry for entry in data.entries("atari100k") if entry.get("format") == "harmony")
    folder = tmp_path / "HarmonyDream-0a22e33/dreamerv3-jax/scores"
    folder.mkdir(parents=True)
    (folder / "dreamerv3.json").write_text('{"steps": [20000, 40000], "score": {"james_bond": [[1, 2], [3, 4]]}}')
    row = build.table(harmony, tmp_path)["atari_jamesbond"]
    assert (row["mean"], row["seeds"]) == ([2, 3], 2)
