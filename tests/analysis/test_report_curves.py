"""Curves on a common axis."""

from pathlib import Path

import numpy as np
import pytest

from common.analysis.reference.binning import bin_means
from common.analysis.report import curves
from common.analysis.report.curves import metric_value
from common.analysis.report.run_data import Run
from common.errors import UserError

NAN = float("nan")


def run(xs, ys, *, variant="a", seed=0, frames=100, updates=50, wall=10.0, prefill=0, metrics=()):
    """Return a run with regular updates after `prefill` frames."""
    counts = {
        "frames": np.array([0.0, prefill, frames]),
        "updates": np.array([0.0, 0, updates]),
        "replayed": np.array([0.0, 0, 8 * updates]),
        "wall": np.array([0.0, 0, wall]),
    }
    points = {"train": (np.array(xs, float), np.array(ys, float)), "eval": (np.array([]), np.array([]))}
    return Run(variant, "task", seed, Path(f"{variant}{seed}"), {}, points, list(metrics), counts, {}, None)


def test_means_in_bins():
    edges = np.array([10.0, 20, 30, 40, 50])
    x, y = np.array([11, 20, 20.5, 41, 50]), np.array([1.0, 3, 5, 7, 9])
    np.testing.assert_array_equal(bin_means(x, y, edges, extend=True), [NAN, 2, 5, 5, 8])


def test_points_beyond_the_last_edge_are_ignored():
    np.testing.assert_array_equal(bin_means([5, 21], [1.0, 9], np.array([10.0, 20]), extend=True), [1, 1])


def test_curves_end_with_the_shortest_run():
    runs = [run([50, 100], [1, 2], frames=100), run([50, 100, 200], [3, 4, 9], variant="b", frames=200)]
    lines, cut = curves.mean_curves(runs, "score", "frames")
    assert cut == (100, "a, seed 0", 200)
    assert cut.uneven
    assert lines["b"].x[-1] == 100
    assert lines["b"].mean.tolist() == [3, 4]


@pytest.mark.parametrize(("shortest", "uneven"), [(99.5, False), (98, True)])
def test_lengths_within_a_hundredth_count_as_equal(shortest, uneven):
    assert curves.cut_off([run([1], [1], frames=shortest), run([1], [1], frames=100)], "frames").uneven == uneven


@pytest.mark.parametrize(("axis", "expected"), [
    ("frames", [30, 60, 100]), ("updates", [5, 20, 40]), ("replayed", [40, 160, 320]), ("wall", [1.25, 5, 10])
])  # fmt: skip
def test_positions_on_every_axis(axis, expected):
    one = run([], [], updates=40, prefill=20)
    np.testing.assert_allclose(curves.axis_positions(one, axis, np.array([30.0, 60, 100])), expected)


def test_the_shortest_run_depends_on_the_axis():
    """The run with fewer frames has more updates."""
    runs = [run([100], [1], frames=100, updates=90), run([200], [2], variant="b", frames=200, updates=60)]
    assert curves.cut_off(runs, "frames").by == "a, seed 0"
    assert curves.cut_off(runs, "updates").by == "b, seed 0"


def test_mean_and_band_over_seeds():
    runs = [run([50, 100], [seed, 10 * seed], seed=seed) for seed in range(3)]
    (line,) = curves.mean_curves(runs, "score", "frames")[0].values()
    assert line.mean.tolist() == [1, 10]
    assert line.single.tolist() == [[0, 0], [1, 10], [2, 20]]
    assert (line.low <= line.mean).all()
    assert (line.mean <= line.high).all()


def test_bins_that_a_seed_has_not_reached_are_not_drawn():
    runs = [run([10, 20, 30, 100], [1, 1, 1, 1]), run([60, 70, 80, 100], [3, 3, 3, 3], seed=1)]
    (line,) = curves.mean_curves(runs, "score", "frames")[0].values()
    assert (line.x.tolist(), line.mean.tolist()) == ([100], [2])


def test_metrics_can_be_plotted():
    rows = [{"frames": 50, "loss/dyn": 4.0}, {"frames": 60, "fps/env": 1.0}, {"frames": 100, "loss/dyn": 2.0}]
    (line,) = curves.mean_curves([run([], [], metrics=rows)], "loss/dyn", "updates")[0].values()
    assert (line.x.tolist(), line.mean.tolist()) == ([25, 50], [4, 2])


def test_an_unknown_metric_gets_a_suggestion():
    with pytest.raises(UserError, match=r"Unknown quantity 'los/dyn'. Did you mean loss/dyn"):
        curves.quantity_points(run([], [], metrics=[{"frames": 1, "loss/dyn": 1.0}]), "los/dyn")


def test_numbers_of_the_environment_are_found_in_older_runs_too():
    old = {"episode/speed": 1.0, "episode/speed_max": 2.0, "episode/score": 3.0}
    new = {"env/speed": 1.0, "env/speed/max": 2.0, "episode/score": 3.0}
    for row in (old, new):
        for names, value in ((("env/speed", "episode/speed"), 1.0), (("env/speed/max", "episode/speed_max"), 2.0)):
            assert [metric_value(row, name) for name in names] == [value, value]
        assert metric_value(row, "episode/score") == 3.0
        assert metric_value(row, "env/score") is None
    assert metric_value({"env/score": 1.0}, "episode/score") is None
