"""Final scores, comparisons, aggregates and config differences of fake runs."""

import math

import numpy as np
import pytest

from common.analysis import stats
from common.analysis.report import score_normalization, scores, summary, tables
from common.analysis.report.analysis import analyse
from common.analysis.report.run_collection import load_runs
from tests.helpers.fake_runs import ablation, comparison, ladder, write_grid, write_run


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Numbers of a comparison in which the third variant is the best by construction."""
    return analyse(load_runs([comparison(tmp_path_factory.mktemp("grid"))]))


def test_the_final_score_is_the_last_tenth_before_the_shortest_run_ends(tmp_path):
    write_run(tmp_path / "a", "v2", frames=3000, length=100)
    write_run(tmp_path / "b", "v3", frames=4000, length=100)
    runs = load_runs([tmp_path])
    values = scores.final_scores(runs, "frames")["dmc_walker_walk"]
    for run in runs.runs:
        assert values[run.variant] == pytest.approx([run.scores["train"][1][27:30].mean()])


def test_the_best_variant_is_significant_and_equal_variants_are_not(compared):
    verdicts = {(row["task"], row["one"], row["two"]): row["verdict"] for row in compared["comparisons"]}
    assert len(verdicts) == 9
    for task in compared["tasks"]:
        assert verdicts[task, "v3", "v1"] == verdicts[task, "v3", "v2"] == "better"
        assert verdicts[task, "v2", "v1"] == "open"
    overall = {(row["one"], row["two"]): row["verdict"] for row in compared["aggregates"]["comparisons"]}
    assert overall[("v3", "v1")] == "better"


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_have_no_statistics_anywhere(tmp_path, seeds):
    report = analyse(load_runs([comparison(tmp_path, seeds=seeds)]))
    part = report["aggregates"]
    rows = [*report["comparisons"], *part["comparisons"]]
    missing = [row[key] for row in rows for key in ("verdict", "p", "low", "high")]
    missing += [value for row in rows for value in row["improvement"].values()]
    missing += [row[key] for row in [*report["scores"], *part["values"]] for key in ("low", "high")]
    missing += [value for line in part["profiles"].values() for value in line["low"]]
    for tasks in report["curves"].values():
        missing += [value for task in tasks.values() for line in task["curves"].values() for value in line["low"]]
    assert set(missing) == {None}
    assert all(row["value"] is not None for row in rows)
    verdicts = [(row[-4], *row[-2:]) for row in tables.comparisons(rows).rows]
    assert set(verdicts) == {("–", "–", "–")}
    assert "fewer than 3 seeds" in tables.comparisons(rows).note
    assert "[–] (" + str(seeds) in tables.scores(report).rows[0][-1]


def test_compared_pairs():
    assert scores.compared_pairs("compare", ["a", "b", "c"], None) == [("b", "a"), ("c", "a"), ("c", "b")]
    assert scores.compared_pairs("compare", list("abcde"), None) == [(v, "a") for v in "bcde"]
    assert scores.compared_pairs("ablate", ["a", "b", "c"], "b") == [("a", "b"), ("c", "b")]
    assert scores.compared_pairs("ladder", ["a", "b", "c"], None) == [("b", "a"), ("c", "b"), ("c", "a")]
    assert scores.compared_pairs("ladder", ["a", "b"], None) == [("b", "a")]
    assert scores.compared_pairs("compare", ["a"], None) == []


def test_the_first_variant_replaces_a_missing_baseline():
    assert scores.compared_pairs("ablate", list("abcde"), "gone") == [(v, "a") for v in "bcde"]


def test_scales_are_published_or_from_this_report(compared):
    assert compared["scales"]["dmc_walker_walk"] == {"zero": 0, "one": 1000, "name": "score / 1000"}
    own = compared["scales"]["gym_Pendulum-v1"]
    means = [row["value"] for row in compared["scores"] if row["task"] == "gym_Pendulum-v1"]
    assert own["one"] == max(means)
    assert own["zero"] < min(means)


@pytest.mark.parametrize(("renders", "curves"), [(["full"], 1), (["full", "ray"], 0), (["ray"], 0)])
def test_published_curves_are_omitted_for_other_render_modes(tmp_path, renders, curves):
    for render in renders:
        write_run(tmp_path / render, env__obs="image", env__render=render, frames=50_000, length=1000)
    report = analyse(load_runs([tmp_path]))
    assert len(report["published"]) == curves
    warned = "env.render ray" in summary.overview(report)
    assert warned == ("ray" in renders)


def test_games_are_normalised_by_random_and_human_scores():
    assert score_normalization.accepted_scale("atari100k_pong")(np.array([-20.7, 14.6])).tolist() == [0, 1]
    assert score_normalization.accepted_scale("atari_pong") == score_normalization.accepted_scale("atari100k_pong")
    assert score_normalization.accepted_scale("gym_CartPole-v1") is None


def test_frames_to_a_score(tmp_path):
    for seed, frames in enumerate((1000, 1000, 1000)):
        write_run(tmp_path / str(seed), seed=seed, frames=frames, length=50, best=100, worst=0, noise=0.01, speed=50)
    runs = load_runs([tmp_path])
    rows = analyse(runs, levels=[50.0, 200.0])["reach"]
    assert [(row["level"], row["frames"], row["reached"], row["seeds"]) for row in rows] == [
        (50, 100, 3, 3),
        (200, None, 0, 3),
    ]


def test_a_seed_that_never_reaches_a_score_counts_as_infinite():
    line = np.array([[0.0, 1, 2], [0, 0, 0]])
    frames = [stats.first_reached(np.array([1.0, 2, 3]), seed, 2) for seed in line]
    assert frames == [3, math.inf]


def test_the_grid_sets_the_axis_of_equal_budgets(tmp_path):
    """With equal updates, only half of the frames count for the run with twice the updates per frame."""
    jobs = [("slow", "dmc_walker_walk", s, {"rate": 0.1}) for s in range(3)]
    jobs += [("fast", "dmc_walker_walk", s, {"rate": 0.2, "loss__con": "2"}) for s in range(3)]
    report = analyse(load_runs([write_grid(tmp_path, "compare", jobs, match="updates")]))
    assert report["axis"] == "updates"
    assert report["cuts"]["dmc_walker_walk"] == {"at": 2000, "by": "slow, seed 0", "longest": 4000, "uneven": True}
    values = {row["variant"]: row["value"] for row in report["scores"]}
    assert values["fast"] < values["slow"] - 50


def test_ablations_compare_with_the_baseline_and_ladders_with_the_rung_before(tmp_path):
    ablated = analyse(load_runs([ablation(tmp_path / "a")]))
    assert {row["two"] for row in ablated["comparisons"]} == {"v3"}
    worst = min(ablated["comparisons"], key=lambda row: row["value"])
    assert (worst["one"], worst["verdict"]) == ("without retnorm", "worse")
    climbed = analyse(load_runs([ladder(tmp_path / "l", rungs=4)]))
    levels = {row["variant"]: row["value"] for row in climbed["scores"]}
    for row in climbed["comparisons"]:
        assert row["value"] == pytest.approx(levels[row["one"]] - levels[row["two"]], rel=1e-3)


def test_the_record_of_a_run(compared):
    record = next(run for run in compared["runs"] if run["variant"] == "v3")
    assert (record["frames"], record["updates"], record["parameters"]) == (20_000, 2000, 1_234_567)
    assert record["replayed_per_frame"] == pytest.approx(25.6)
    assert record["evaluation"]["n"] == 10
    assert (record["git"], record["packages"], record["hardware"]["cores"]) == (
        "0123456789abcdef", {"torch": "2.13.0"}, 2
    )  # fmt: skip


def test_config_differences_by_concept(tmp_path):
    report = analyse(load_runs([ablation(tmp_path, seeds=1)]))
    groups = {group["concept"]: {row["key"]: row["values"] for row in group["rows"]} for group in report["config"]}
    assert groups["Scale of advantages"]["advantage.use"]["without retnorm"] == "Unscaled"
    assert groups["Scale of advantages"]["advantage.rate"]["without retnorm"] is None
    assert set(groups["Symlog of vector inputs and targets"]) == {"encoder.symlog"}
    assert "seed" not in {key for keys in groups.values() for key in keys}
    assert groups["Stochastic state"]["latent.unimix"] == {v: 0.01 for v in report["variants"]} | {"without unimix": 0}
