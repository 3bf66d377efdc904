"""Raw scores become curves as the README of the published scores describes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.analysis.reference.binning import average_of_ends, bin_edges, bin_means, pool_runs

EDGES = np.array([10.0, 20.0, 30.0, 40.0])


def test_a_score_on_an_edge_is_in_the_bin_that_ends_there():
    assert bin_means([5, 10, 10.5, 20], [1, 3, 4, 6], EDGES)[:2].tolist() == [2, 5]


def test_empty_bins_repeat_only_inside_the_range():
    means = bin_means([15, 35], [1, 2], EDGES)
    assert means[1:].tolist() == [1, 1, 2]
    assert np.isnan(means[0])
    assert np.isnan(bin_means([5], [1], EDGES)[1:]).all()


def test_missing_scores_and_scores_beyond_the_last_edge_are_dropped():
    means = bin_means([0, 5, 6, 50], [2, None, float("nan"), 9], EDGES)
    assert means[0] == 2
    assert np.isnan(means[1:]).all()
    assert np.isnan(bin_means([], [], EDGES)).all()


@pytest.mark.parametrize("bins", [25, 40, 50])
@pytest.mark.parametrize("limit", [400_000, 500_000, 1_000_000, 200_000_000])
def test_rounding_does_not_move_a_score_over_an_edge(bins, limit):
    """Scores on the edges: one in each bin."""
    edges = np.arange(1, bins + 1) * (limit / bins)
    xs = [limit // bins * i for i in range(1, bins + 1)]
    assert bin_means(xs, range(bins), edges).tolist() == list(range(bins))


def test_mean_deviation_and_number_over_runs():
    mean, std, n = pool_runs(np.array([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]]))
    assert mean[:2].tolist() == [2, 2]
    assert std[:2].tolist() == [1, 0]
    assert n.tolist() == [2, 1, 0]


def test_the_final_score_averages_the_ends_of_long_runs():
    xs = np.arange(1.0, 101.0)
    full, other, short = (xs, xs), (xs, xs + 2), (xs[:80], 0 * xs[:80])
    assert average_of_ends([full, other, short], 100) == (98.5, 1.0, 2)  # scores of frames 95 to 100: mean 97.5, 99.5
    assert average_of_ends([full, other, short], 100, reach=0.6)[2] == 3


@given(st.floats(1, 1e10), st.integers(1, 60))
def test_bins_cover_the_limit_and_little_more(limit, bins):
    edges = bin_edges(limit, bins)
    assert len(edges) == bins
    assert limit * (1 - 1e-6) <= edges[-1] <= limit * 1.1001
    assert np.allclose(np.diff(edges), edges[0])


@given(st.lists(st.tuples(st.floats(0, 40), st.floats(-1e3, 1e3)), min_size=1, max_size=30))
def test_means_stay_within_the_scores(points):
    xs, ys = zip(*points, strict=True)
    means = bin_means(xs, ys, EDGES)
    known = means[~np.isnan(means)]
    assert len(known)
    assert min(ys) - 1e-9 <= known.min() <= known.max() <= max(ys) + 1e-9
