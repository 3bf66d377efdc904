"""Statistics: cases computed by hand, properties, and error rates with known differences."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from common.analysis import stats

numbers = st.floats(-100, 100).map(lambda value: round(value, 3))
task = st.integers(3, 6).flatmap(lambda seeds: arrays(float, seeds, elements=numbers))
scores = st.lists(task, min_size=1, max_size=4)
pairs = st.integers(1, 3).flatmap(lambda n: st.tuples(*[st.lists(task, min_size=n, max_size=n)] * 2))
STATISTICS = [stats.mean, stats.median, stats.iqm]
HAND = [np.array([1.0, 3.0]), np.array([4.0, 6.0, 8.0]), np.array([0.0, 0.0, 30.0])]  # means 2, 6, 10


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 300)


def test_aggregates_by_hand():
    assert stats.mean(HAND) == 6
    assert stats.median(HAND) == 6
    assert stats.iqm(HAND) == (1 + 3 + 4 + 6) / 4  # of 0 0 1 3 4 6 8 30, the middle four
    assert stats.iqm([np.array([1.0, 2.0, 9.0])]) == 4  # a quarter of three rounds down to 0
    assert stats.median([np.array([1.0]), np.array([2.0]), np.array([5.0]), np.array([9.0])]) == 3.5


def test_profile_by_hand():
    assert stats.profile(HAND, np.array([-1.0, 0.0, 3.0, 30.0])) == pytest.approx(
        [1, (1 + 1 + 1 / 3) / 3, (0 + 1 + 1 / 3) / 3, 0]
    )


def test_improvement_by_hand():
    one, two = np.array([1.0, 5.0]), np.array([1.0, 3.0])  # a tie, a loss, two wins
    assert stats.improvement([one], [two]) == (0.5 + 0 + 1 + 1) / 4
    assert stats.improvement([one, two], [two, two]) == (2.5 / 4 + 0.5) / 2


def test_improvement_is_mann_whitney():
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 9, 7).astype(float), rng.integers(2, 9, 5).astype(float)
    statistic = scipy_stats.mannwhitneyu(one, two).statistic
    assert stats.improvement([one], [two]) == pytest.approx(statistic / 35)


def test_first_point_that_reaches_a_score():
    x, y = np.array([10.0, 20.0, 30.0]), np.array([1.0, 5.0, 4.0])
    assert [stats.first_reached(x, y, level) for level in (1, 4, 5, 6)] == [10, 20, 20, math.inf]


def test_equal_scores_differ_by_exactly_zero():
    same = [np.full(3, 0.1)]
    assert np.var(same) > 0  # because of rounding
    assert stats.welch(same, same) == 1
    assert stats.welch(same, [np.full(3, 0.2)]) == 0


def test_the_difference_of_one_task_is_welchs_test():
    one, two = np.array([3.0, 5.0, 10.0, 4.0]), np.array([1.0, 2.0, 2.5])
    expected = scipy_stats.ttest_ind(one, two, equal_var=False)
    effect = stats.difference([one], [two])
    assert (effect.value, effect.seeds) == (5.5 - 5.5 / 3, 3)
    assert effect.p == pytest.approx(expected.pvalue)


def test_variances_of_several_tasks_add_up():
    one, two = [np.array([2.0, 4.0]), np.array([10.0, 16.0])], [np.array([1.0, 1.0]), np.array([8.0, 10.0])]
    # variances of the means: 1, 9, 0, 1; degrees of freedom 11² / (1 + 81 + 1); summed difference 2 + 4
    assert stats.welch(one, two) == pytest.approx(2 * scipy_stats.t.sf(6 / 11**0.5, 121 / 83))


def test_scores_without_spread():
    same, other = [np.full(3, 7.0)], [np.full(3, 5.0)]
    assert stats.difference(same, same)[:4] == (0, 0, 0, 1)
    assert stats.difference(same, same).verdict == "open"
    assert stats.difference(same, other).verdict == "better"


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_have_no_verdict(seeds):
    many, few = [np.array([1.0, 1.1, 0.9, 1.0])], [np.full(seeds, 100.0) + np.arange(seeds)]
    for pair in ((many, few), (few, many)):
        effect = stats.difference(*pair)
        assert (effect.verdict, effect.seeds) == (None, seeds)
        assert np.isnan([effect.p, effect.low, effect.high, *stats.chance_to_beat(*pair)]).all()


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_have_no_interval(seeds):
    interval = stats.bootstrap(stats.mean, [np.array([1.0, 2.0, 3.0]), np.full(seeds, 3.0)])
    assert interval.value == 2.5
    assert np.isnan([interval.low, interval.high]).all()
    assert np.isnan(stats.curve_band(np.ones((seeds, 4))).low).all()
    assert np.isfinite(stats.curve_band(np.ones((3, 4))).low).all()


def test_a_small_bootstrap_matches_all_its_draws():
    """Means of three seeds: the 27 equally likely draws have known quantiles."""
    low, high = stats.bootstrap(stats.mean, [np.array([0.0, 3.0, 9.0])])[1:]
    assert (low, high) == (0, 9)  # each has a chance of 1/27, more than 2.5 %
    wide = stats.curve_band(np.array([[0.0, 1.0], [3.0, 1.0], [9.0, 1.0]]))
    np.testing.assert_allclose(wide, [[4, 1], [0, 1], [9, 1]])


@given(scores, st.sampled_from(STATISTICS))
@settings(max_examples=60, deadline=None)
def test_intervals_are_ordered_within_the_data_and_repeatable(tasks, statistic):
    interval = stats.bootstrap(statistic, tasks)
    smallest, largest = min(map(np.min, tasks)), max(map(np.max, tasks))
    assert smallest - 1e-9 <= interval.low <= interval.high <= largest + 1e-9
    assert stats.bootstrap(statistic, tasks) == interval


@given(scores, st.sampled_from(STATISTICS), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_seeds_and_tasks_does_not_matter(tasks, statistic, random):
    shuffled = [np.array(random.sample(list(task), len(task))) for task in random.sample(tasks, len(tasks))]
    assert statistic(shuffled) == pytest.approx(statistic(tasks))


@given(scores, st.sampled_from(STATISTICS), st.floats(0.5, 5), st.floats(-50, 50))
@settings(max_examples=60, deadline=None)
def test_statistics_scale_with_the_unit(tasks, statistic, scale, shift):
    moved = stats.bootstrap(statistic, [scale * task + shift for task in tasks])
    np.testing.assert_allclose(moved, scale * np.array(stats.bootstrap(statistic, tasks)) + shift, atol=1e-6)


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_swapping_sides_negates_the_difference(pair):
    one, two = pair
    assert stats.improvement(one, two) + stats.improvement(two, one) == pytest.approx(1)
    there, back = stats.difference(one, two), stats.difference(two, one)
    assert there.value == pytest.approx(-back.value)
    assert there.p == pytest.approx(back.p)


@given(scores)
@settings(max_examples=40, deadline=None)
def test_profiles_fall_from_one_to_zero(tasks):
    levels = np.array([-101.0, -50.0, 0.0, 50.0, 101.0])
    shares = stats.profile(tasks, levels)
    assert (shares[0], shares[-1]) == (1, 0)
    assert (np.diff(shares) <= 0).all()


def test_the_interval_covers_the_truth_in_95_percent_of_cases():
    rng = np.random.default_rng(0)
    truth, hits = 3.0, 0
    for _ in range(400):
        low, high = stats.bootstrap(stats.mean, [truth + rng.normal(size=20), truth + 2 * rng.normal(size=20)])[1:]
        hits += low <= truth <= high
    assert 0.90 <= hits / 400 <= 0.98


def verdicts(shift, seeds, tasks, times, rng):
    """Return verdicts on two variants, the first `shift` standard deviations better on every task."""
    draw = lambda mean: [rng.normal(mean, 1, seeds) for _ in range(tasks)]
    return [stats.difference(draw(shift), draw(0)).verdict for _ in range(times)]


@pytest.mark.parametrize(("seeds", "tasks"), [(3, 1), (5, 1), (3, 4), (10, 2)])
def test_equal_variants_differ_significantly_in_at_most_one_of_twenty_trials(seeds, tasks):
    """600 trials: the standard error of a rate of 5 % is 0.9 %."""
    found = verdicts(0, seeds, tasks, 600, np.random.default_rng(seeds))
    assert 0 < 600 - found.count("open") <= 600 * (0.05 + 2.5 * 0.009)


@pytest.mark.parametrize(("seeds", "tasks", "shift"), [(10, 1, 2), (3, 4, 2.5), (3, 1, 8)])
def test_a_better_variant_is_found(seeds, tasks, shift):
    found = verdicts(shift, seeds, tasks, 100, np.random.default_rng(1))
    assert found.count("better") >= 90
    assert "worse" not in found
    assert verdicts(-shift, seeds, tasks, 100, np.random.default_rng(1)).count("worse") >= 90
