"""Verdicts of the study next to the official agents, with made-up scores."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from benchmarks.learning import analysis, equivalence, report, study
from benchmarks.learning.page import page
from benchmarks.learning.score_files import Run, find_runs, write_run

EPISODE_LIMITS = {"gym_CartPole-v1": 500, "gym_Pendulum-v1": 200, "dummy_point_50": 50}  # frames
COMMITTED = Path(__file__).resolve().parents[2] / "results" / "official"


def test_two_one_sided_tests_agree_with_two_tests_of_scipy():
    one, two, margin = np.array([3.0, 5.0, 4.0, 6.5]), np.array([4.0, 4.5, 3.0, 5.0, 6.0]), 2.5
    found = equivalence.compare(one, two, margin)
    below = scipy_stats.ttest_ind(one + margin, two, equal_var=False, alternative="greater").pvalue
    above = scipy_stats.ttest_ind(one - margin, two, equal_var=False, alternative="less").pvalue
    assert found.p_equal == pytest.approx(max(below, above))
    assert found.p_zero == pytest.approx(scipy_stats.ttest_ind(one, two, equal_var=False).pvalue)
    assert found.difference == pytest.approx(one.mean() - two.mean())
    assert found.low < found.difference < found.high
    at_smallest = equivalence.compare(one, two, found.smallest_margin)
    assert at_smallest.p_equal == pytest.approx(equivalence.LEVEL)


def test_holm_multiplies_by_the_number_of_tests_that_are_left():
    assert equivalence.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert equivalence.holm([math.nan, 0.02]) == pytest.approx([1.0, 0.04])


@pytest.mark.parametrize(
    ("quantities", "task"),
    [
        (["equal", "equal"], "equal"),
        (["equal", "undecided"], "undecided"),
        (["equal", "different"], "different"),
        (["undecided", "different"], "different"),
    ],
)
def test_task_is_equal_only_in_all_quantities(quantities, task):
    assert equivalence.join_verdicts(quantities) == task


def test_difference_inside_the_margin_is_equal_even_if_it_is_not_zero():
    assert equivalence.verdict(0.01, 0.01, 0.05) == "equal"
    assert equivalence.verdict(0.2, 0.01, 0.05) == "different"
    assert equivalence.verdict(0.2, 0.2, 0.05) == "undecided"


def test_seeds_needed_give_the_verdict_in_simulated_studies():
    one, two, margin, level = [8.0, 12.0, 10.0], [9.0, 11.5, 10.0], 2.0, 0.05
    found = equivalence.compare(one, two, margin)
    seeds = equivalence.seeds_needed(found, margin, level)
    rng = np.random.default_rng(0)
    first, second = (rng.normal(np.mean(x), np.std(x, ddof=1), (2000, seeds)) for x in (one, two))
    options = {"axis": 1, "equal_var": False}
    test = lambda shift, side: scipy_stats.ttest_ind(first + shift, second, alternative=side, **options).pvalue
    p_values = np.maximum(test(margin, "greater"), test(-margin, "less"))
    assert np.mean(p_values < level) == pytest.approx(equivalence.POWER, abs=0.05)
    assert equivalence.seeds_needed(equivalence.compare([1.0], [1.0], margin), margin, level) is None
    on_the_margin = found._replace(difference=margin * 0.5, spread=50.0)
    assert equivalence.seeds_needed(on_the_margin, margin, level) == equivalence.MOST_SEEDS


def write_scores(out, side, version, task, level, spread, seeds):
    """Write runs with one score per 500 frames: random in the first tenth, then about `level` above it, in margins."""
    for seed in range(seeds):
        rng = np.random.default_rng([seed, side == "ours"])
        learned = task.random + task.margin * (level + spread * rng.normal())
        scores = np.where(np.arange(20) < 2, task.random, learned).tolist()
        content = {"frames": list(range(500, 10_001, 500)), "scores": scores, "budget": study.FRAMES}
        content |= {
            "updates": 1,
            "parameters": 2,
            "cpu_seconds": 3.0,
            "revision": "abc",
            "date": "2026-11-30",
            "metrics": [],
        }
        write_run(out, Run(side, version, task.name, 10 + seed), content)


def test_report_says_equal_different_and_undecided(tmp_path):
    made_up = {"v1": (0.1, 0.1, 6), "v2": (3.0, 0.1, 6), "v3": (0.5, 1.0, 3)}  # difference, spread, seeds
    for version, (difference, spread, seeds) in made_up.items():
        task = study.TASKS[version][1]
        write_scores(tmp_path, "official", version, task, 1 + difference, spread, seeds)
        write_scores(tmp_path, "ours", version, task, 1.0, spread, seeds)
    assert report.main([str(tmp_path)]) == 0
    text = (tmp_path / "report.md").read_text()
    line = lambda cell: next(line for line in text.splitlines() if line.startswith(f"| {cell}"))
    assert "**equal**" in line("V1 | dummy")
    assert "**different**" in line("V2 | gym_Pend")
    assert "**undecided**" in line("V3 | gym_Pend")
    assert "unknown before two seeds" in line("V3 | gym_Cart")
    rows = json.loads((tmp_path / "report.json").read_text())
    assert len(rows) == 12
    assert (tmp_path / "curves.png").stat().st_size > 1000
    different = next(row for row in rows if (row["version"], row["task"]) == ("v2", "gym_Pendulum-v1"))
    assert different["found"]["difference"] == pytest.approx(3 * different["margin"], rel=0.2)


def test_committed_report_follows_from_the_score_files():
    found, stored = find_runs(COMMITTED), COMMITTED / "report.md"
    assert stored.exists() == bool(found)
    cells = analysis.make_cells(found)
    assert not found or stored.read_text() == page(cells, analysis.make_rows(cells), found)


def test_committed_runs_are_complete_and_both_sides_have_the_same_parameters():
    found = find_runs(COMMITTED)
    for run, content in found.items():
        assert content["budget"] == study.FRAMES
        longest = EPISODE_LIMITS[run.task]
        assert content["frames"][-1] > study.FRAMES - longest, run  # the last episode may not have ended
        assert content["metrics"][-1]["frames"] == pytest.approx(study.FRAMES, abs=500)  # lines are that far apart
        assert max(np.diff([0, *content["frames"]])) <= longest, run  # no episode is missing
        assert "dirty" not in content["revision"], run
        same = {other["parameters"] for key, other in found.items() if key[1:3] == run[1:3]}
        assert same == {content["parameters"]}, run


def test_report_of_an_empty_folder_says_what_makes_runs(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        report.main([str(tmp_path)])
    assert "`python -m benchmarks.learning` makes them" in capsys.readouterr().err


def test_metrics_are_averaged_over_the_last_fifth_if_both_sides_have_them():
    lines = [{"frames": 8000, "train/kl": 9.0}, {"frames": 9000, "train/kl": 1.0}, {"frames": 10_000, "train/kl": 3.0}]
    content = {"budget": study.FRAMES, "metrics": lines}
    found = {Run(side, "v2", "gym_CartPole-v1", 1): content for side in ("official", "ours")}
    found[Run("ours", "v2", "gym_CartPole-v1", 2)] = content | {"metrics": [{"frames": 9500, "train/value": 4.0}]}
    cell = analysis.Cell("v2", study.CARTPOLE, {})
    assert analysis.late_metrics(found, cell) == {"train/kl": {"official": [2.0], "ours": [2.0]}}


def test_first_tenth_is_not_part_of_the_area():
    content = {"budget": 100, "frames": [5, 15, 95], "scores": [-1000.0, 10.0, 20.0]}
    curve = analysis.tenths(content)
    np.testing.assert_allclose(curve, [-1000, *[10] * 8, 20])
    assert curve[analysis.QUANTITIES["area"]].mean() == pytest.approx(100 / 9)
    assert curve[analysis.QUANTITIES["last fifth"]].mean() == pytest.approx(15)
