"""The published scores are consistent, and give the aggregates that the papers report.

Precision: two decimals, or three digits, of the aggregates in the README of the scores.
"""

import numpy as np
import pytest

import dreamer
from common.analysis.reference import curves, data, task_names
from common.analysis.reference.aggregate import scoreboard, summarise


def board(benchmark):
    return scoreboard(benchmark, task_names.tasks(benchmark))


def last_bins(benchmark, method):
    """Return task -> score in the last interval of a method's curve."""
    found = [curve for task in task_names.tasks(benchmark) for curve in curves(task, benchmark)]
    return {curve.task: curve.mean[-1] for curve in found if curve.method == method}


@pytest.mark.parametrize(("method", "tasks", "median", "mean", "record", "clipped"), [
    ("dreamerv2", 55, 2.23, 11.4, 0.44, 0.28),
    ("dreamerv2_schedules", 55, 2.58, 11.1, 0.43, 0.29),
    ("iqn at 2e8", 55, 1.29, 8.87, 0.21, 0.21),
    ("rainbow at 2e8", 55, 1.47, 9.12, 0.17, 0.17),
    ("c51 at 2e8", 55, 1.09, 7.70, 0.15, 0.15),
    ("dqn at 2e8", 55, 0.65, 2.84, 0.12, 0.12),
])  # fmt: skip
def test_atari_in_the_v2_paper(method, tasks, median, mean, record, clipped):
    found = summarise(board("atari")[method])
    assert found.tasks == tasks
    assert found.median == pytest.approx(median, abs=0.006)
    assert found.mean == pytest.approx(mean, abs=0.06 if mean > 10 else 0.006)
    assert found.record == pytest.approx(record, abs=0.006)
    assert found.clipped == pytest.approx(clipped, abs=0.006)


@pytest.mark.parametrize(("method", "median", "mean"), [
    ("dreamerv3", 8.29, 34.0), ("muzero", 6.72, 28.5), ("ppo", 1.87, 9.0),
])  # fmt: skip
def test_atari_in_the_v3_paper(method, median, mean):
    found = summarise(board("atari")[method])
    assert found.tasks == 57
    assert found.median == pytest.approx(median, abs=0.006)
    assert found.mean == pytest.approx(mean, abs=0.06)


def test_atari_with_400k_frames():
    found = summarise(last_bins("atari100k", "dreamerv3"))
    assert found.tasks == 26
    assert (found.mean, found.median) == pytest.approx((1.25, 0.49), abs=0.006)


def test_independent_implementation_matches_its_own_table():
    """Its README once stated 114.2 %."""
    found = summarise(board("atari100k")["burchim at 4e5"])
    assert found.tasks == 26
    assert (found.mean, found.median) == pytest.approx((1.099, 0.574), abs=0.0006)


@pytest.mark.parametrize(("benchmark", "method", "mean", "median"), [
    ("dmc_proprio", "dreamerv3", 754, 871), ("dmc_proprio", "d4pg", 732, 791), ("dmc_proprio", "dmpo", 703, 798),
    ("dmc_proprio", "mpo", 668, 805), ("dmc_proprio", "ddpg", 689, 767), ("dmc_proprio", "ppo", 215, 100),
    ("dmc_vision", "dreamerv3", 785, 854), ("dmc_vision", "dreamerv2", 786, 846), ("dmc_vision", "dreamerv1", 807, 866),
    ("dmc_vision", "burchim at 1e6", 787.3, 858.7), ("dmc_vision", "burchim at 5e6", 854.0, 917.2),
])  # fmt: skip
def test_control(benchmark, method, mean, median):
    found = summarise(board(benchmark)[method])
    precision = 0.06 if isinstance(mean, float) else 0.6
    assert found.tasks == (18 if benchmark == "dmc_proprio" else 20)
    assert 1000 * found.mean == pytest.approx(mean, abs=precision)
    assert 1000 * found.median == pytest.approx(median, abs=precision)


@pytest.mark.parametrize(("method", "mean", "median"), [
    ("dreamerv3", 787, 864), ("drqv2", 705, 771), ("curl", 530, 500), ("sac", 224, 74),
])  # fmt: skip
def test_control_from_pixels_in_the_last_interval(method, mean, median):
    found = summarise(last_bins("dmc_vision", method))
    assert (1000 * found.mean, 1000 * found.median) == pytest.approx((mean, median), abs=0.8)


def test_control_from_pixels_after_a_million_frames():
    at = lambda curve: curve.mean[np.searchsorted(curve.x, 1e6 * (1 - 0.02))]
    for method, mean, median in (("dreamerv1", 679, 711), ("dreamerv2", 745, 805)):
        found = [c for t in task_names.tasks("dmc_vision") for c in curves(t, "dmc_vision") if c.method == method]
        values = [at(curve) for curve in found]
        assert (np.mean(values), np.median(values)) == pytest.approx((mean, median), abs=0.6)


def test_tasks_without_constants_have_no_aggregate():
    assert summarise({"procgen_bigfish": 5.0}) is None
    assert summarise({}) is None


EVERY = [
    pytest.param(entry, id=f"{entry['benchmark']}-{entry['scores']}")
    for benchmark in data.benchmarks()
    for entry in data.entries(benchmark)
]


@pytest.mark.parametrize("entry", EVERY)
def test_every_curve_is_consistent(entry):
    """Ascending frames within the budget, finite scores of equal number; existing versions and config blocks."""
    for task in data.rows(entry):
        found = [c for c in curves(task, entry["benchmark"]) if c.method == entry["method"]]
        assert len(found) == 1
        curve = found[0]
        assert len(curve.x) == len(curve.mean) == len(curve.std) == len(curve.n) > 1
        assert (np.diff(curve.x) > 0).all()
        assert 0 < curve.x[0] <= curve.x[-1] <= curve.budget
        assert np.isfinite(curve.mean).all()
        assert (curve.std >= 0).all()
        assert (curve.n >= 1).all()
        assert curve.n.max() <= curve.seeds
        assert 1 <= curve.final[2] <= curve.seeds
        assert entry["repository"] in curve.source
        assert f"{curve.seeds} runs" in curve.protocol
    if entry["algo"]:
        assert entry["algo"] in dreamer.ALGOS
        assert dreamer.resolve(entry["algo"], entry["blocks"])["algo"] == entry["algo"]


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in data.FOLDER.glob("*.json")) < 700_000
