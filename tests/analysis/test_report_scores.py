"""Final scores, comparisons, aggregates and config differences of fake runs."""

import json
import math

import numpy as np
import pytest

from common.analysis import stats
from common.analysis.report import aggregates, formatting, score_levels, score_normalization, scores, summary, tables
from common.analysis.report.analysis import analyse
from common.analysis.report.run_collection import load_runs
from tests.helpers import fake_runs
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
    (part,) = compared["aggregates"]
    overall = {(row["one"], row["two"]): row["verdict"] for row in part["comparisons"]}
    assert overall[("v3", "v1")] == "better"


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_have_no_statistics_anywhere(tmp_path, seeds):
    report = analyse(load_runs([comparison(tmp_path, seeds=seeds)]))
    (part,) = report["aggregates"]
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


def test_only_tasks_with_a_published_scale_are_aggregated(compared):
    assert compared["scales"]["dmc_walker_walk"] == {"zero": 0, "one": 1000, "name": "score / 1000"}
    assert "gym_Pendulum-v1" not in compared["scales"]
    (part,) = compared["aggregates"]
    assert part["tasks"] == ["dmc_walker_walk", "dmc_cartpole_swingup"]
    means = [row["value"] for row in compared["scores"] if (row["variant"], row["task"][:3]) == ("v3", "dmc")]
    value = next(row for row in part["values"] if (row["variant"], row["statistic"]) == ("v3", "mean"))["value"]
    assert value == pytest.approx(np.mean(means) / 1000)
    assert summary.left_out_of_aggregates(compared) == (
        "1 of 3 tasks is not aggregated: gym_Pendulum-v1 (no published scores of a random policy and of a human, and "
        "no fixed largest return)."
    )


def test_tasks_of_different_scales_are_aggregated_apart(tmp_path):
    tasks = ["dmc_walker_walk", "dmc_walker_run", "atari_pong", "atari_boxing", "gym_Pendulum-v1"]
    jobs = [("v3", task, seed, {"frames": 2000}) for task in tasks for seed in range(3)]
    report = analyse(load_runs([write_grid(tmp_path, "compare", jobs)]))
    assert [part["tasks"] for part in report["aggregates"]] == [tasks[:2], tasks[2:4]]
    assert [row["task"] for row in report["not_aggregated"]] == tasks[4:]
    finals = {row["task"]: row["value"] for row in report["scores"]}
    games = np.mean([(finals["atari_pong"] + 20.7) / (14.6 + 20.7), (finals["atari_boxing"] - 0.1) / (12.1 - 0.1)])
    mean = report["aggregates"][1]["values"][0]
    assert mean["value"] == pytest.approx(games, rel=1e-4)
    assert tables.aggregates(report["aggregates"][1], ["v3"]).rows[0][1].startswith(f"{100 * games:,.1f} % [")


def test_one_task_of_a_scale_has_no_aggregate():
    scores_of_tasks = {"dmc_walker_walk": {"v3": np.ones(3)}, "atari_pong": {"v3": np.ones(3), "v1": np.ones(3)}}
    scales = aggregates.task_scales(list(scores_of_tasks))
    kept, left = aggregates.grouped_tasks(scores_of_tasks, scales, ["v3"])
    assert (kept, len(left)) == ([], 2)
    left = aggregates.grouped_tasks(scores_of_tasks, scales, ["v3", "v1"])[1]
    assert left[0] == {"task": "dmc_walker_walk", "reason": "no runs of v1"}


def test_curves_over_tasks_are_means_of_normalised_curves(compared):
    (part,) = compared["aggregates"]
    line = part["curves"]["mean"]["v3"]
    tasks = [compared["curves"]["frames"][task]["curves"]["v3"] for task in part["tasks"]]
    assert (line["x"][0], line["x"][-1]) == (max(task["x"][0] for task in tasks), 20_000)
    assert line["mean"][-1] == pytest.approx(np.mean([task["mean"][-1] for task in tasks]) / 1000, rel=1e-4)
    assert line["low"][-1] < line["mean"][-1] < line["high"][-1]
    middle = part["curves"]["median"]["v3"]["mean"]
    assert middle == pytest.approx(line["mean"])  # of two tasks


def test_the_levels_of_scores(tmp_path):
    """The fake runs act at random for 1000 frames: two episodes of 500 frames each, times three seeds."""
    jobs = [("v3", "dmc_walker_walk", seed, {}) for seed in range(3)]
    runs = load_runs([write_grid(tmp_path, "compare", jobs)])
    known = score_levels.score_levels(runs, "dmc_walker_walk")
    expected = np.mean([run.scores["train"][1][:2] for run in runs.runs])
    assert known == (pytest.approx(expected), None, None, 1000, 6)
    shown = tables.scores(analyse(runs))
    assert shown.head == ["task", "random policy", "maximum", "v3"]
    assert shown.rows[0][1:3] == [formatting.score(expected), "1,000"]
    assert "Random policy: mean return in the prefill of these runs (episodes: dmc_walker_walk 6)." in shown.note


def test_published_levels_of_a_game(tmp_path):
    report = analyse(load_runs([write_run(tmp_path / "run", task="atari_pong", frames=2000)]))
    assert report["levels"]["atari_pong"] == {
        "random": -20.7, "human": 14.6, "record": 21, "maximum": None, "episodes": 0
    }  # fmt: skip
    assert tables.scores(report).head == ["task", "random policy", "human", "human record", "v3"]


@pytest.mark.parametrize(("task", "limit", "largest"), [
    ("dmc_walker_walk", 1000, 1000), ("dmc_walker_walk", 500, None), ("gym_CartPole-v1", 0, 500),
    ("gym_CartPole-v1", 100, None), ("dummy_bandit", 0, 10), ("dummy_onehot_image", 0, 20), ("dummy_cliff_7", 0, 7),
    ("dummy_onehot_image_multi_30", 0, 30), ("dummy_point", 0, None), ("crafter_reward", 0, None),
])  # fmt: skip
def test_largest_returns(task, limit, largest):
    assert score_levels.largest_return(task, limit) == largest


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


def write_steep_runs(folder, **more):
    """Write three runs that learn a score of 100 within a few episodes, without a prefill."""
    options = {"length": 50, "best": 100, "worst": 0, "noise": 0.01, "speed": 10, "run__prefill": "0"} | more
    for seed in range(3):
        write_run(folder / str(seed), seed=seed, frames=1000, **options)


def test_frames_to_a_score(tmp_path):
    write_steep_runs(tmp_path)
    runs = load_runs([tmp_path])
    rows = analyse(runs, levels=[70.0, 200.0])["reach"]
    assert [(row["level"], row["frames"], row["reached"], row["seeds"]) for row in rows] == [
        (70, 200, 3, 3),
        (200, None, 0, 3),
    ]


def test_scores_without_learning_are_not_reached(tmp_path):
    """Random play of Pong scores -20.7. Neither noise nor a score below that is a sign of learning."""
    write_steep_runs(tmp_path, task="atari_pong", best=-20.5, worst=-20.7, noise=0.3)
    report = analyse(load_runs([tmp_path]))
    assert report["reach"] == []
    assert (
        "no final score is above that of a random policy (−20.7) by more than chance; the best is"
        in tables.reach_left_out(report)[0]
    )
    report = analyse(load_runs([tmp_path]), levels=[-21.0, 5.0])
    assert [(row["level"], row["reached"]) for row in report["reach"]] == [(5, 0)]
    assert tables.reach_left_out(report) == [
        "atari_pong: −21.0 is not above that of a random policy (−20.7) by more than chance."
    ]


@pytest.mark.parametrize(("judged", "significant", "sentence"), [
    (1, 1, "The only comparison is significant (p < 0.05)."),
    (1, 0, "The only comparison is not significant (p < 0.05). A difference that is not significant may still exist: "
           "more seeds show smaller differences."),
    (15, 1, "1 of 15 comparisons is significant (p < 0.05). If no variants differed, about 0.75 of 15 would be "
            "significant by chance. A difference that is not significant may still exist: more seeds show smaller "
            "differences."),
    (2, 0, "None of 2 comparisons are significant (p < 0.05). If no variants differed, about 0.1 of 2 would be "
           "significant by chance. A difference that is not significant may still exist: more seeds show smaller "
           "differences."),
])  # fmt: skip
def test_sentences_on_chance(judged, significant, sentence):
    assert summary._chance(judged, significant) == sentence


def test_a_final_score_is_reached(tmp_path):
    """The last bin has more episodes than the last tenth: its mean is lower than the final score."""
    xs = np.arange(100, 1001, 100)
    logdir = write_run(tmp_path / "run", frames=1000, length=100, run__prefill="0")
    scores_of_run = np.array([0.0, 0, 0, 0, 0, 1, 1, 1, 1, 2])
    fake_runs.write_scores(logdir, fake_runs.load("v3", "dmc_walker_walk") | {"seed": 0}, xs, scores_of_run)
    report = analyse(load_runs([logdir]), levels=[1.85])
    assert report["scores"][0]["value"] == 2
    assert [(row["frames"], row["reached"]) for row in report["reach"]] == [(1000, 1)]


def test_the_spread_of_episodes_is_recorded(tmp_path):
    logdir = write_run(tmp_path / "run", frames=2000, length=50)
    stored = json.loads((logdir / "eval.json").read_text())
    (logdir / "eval.json").write_text(json.dumps(stored | {"scores": [1.0, 5.0, 3.0]}))
    (record,) = analyse(load_runs([logdir]))["runs"]
    last = load_runs([logdir]).runs[0].scores["train"][1][-4:]
    assert record["episodes"] == pytest.approx(
        {"n": 4, "std": last.std(), "min": last.min(), "max": last.max()}, rel=1e-4
    )
    assert (record["evaluation"]["min"], record["evaluation"]["max"]) == (1, 5)


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
