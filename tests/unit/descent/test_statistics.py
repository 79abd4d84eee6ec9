"""Intervals, tests and power against SciPy's other functions, published values and simulation."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from descent.statistics import exact_mcnemar, interval, mean_and_deviation, paired_t, pairs_needed, power

VALUES = [0.94, 0.95, 0.93, 0.955, 0.941]
OTHERS = [0.91, 0.94, 0.95, 0.94, 0.90]


def test_interval_of_normal_samples_covers_the_mean_in_95_of_100():
    random = np.random.default_rng(0)
    found = [interval(random.normal(3, 2, 5)) for _ in range(2000)]
    assert 0.935 < np.mean([low <= 3 <= high for _, low, high in found]) < 0.965


def test_interval_of_one_value_has_no_bounds():
    assert interval([0.5]).mean == 0.5 and np.isnan(interval([0.5])[1:]).all()


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_mean_and_deviation_with_a_value_not_finite_are_unknown(lost):
    assert np.isnan(mean_and_deviation([1.0, lost, 2.0])).all()


def test_paired_t_agrees_with_scipy():
    expected, found = stats.ttest_rel(VALUES, OTHERS), paired_t(VALUES, OTHERS)
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.difference[1:] == pytest.approx(expected.confidence_interval())


@pytest.mark.parametrize("pairs", [([0.9], [0.8]), ([0.9, 0.8], [0.8, 0.7]), ([0.9, math.nan], [0.8, 0.7])])
def test_paired_t_without_spread_has_no_p_value(pairs):
    assert math.isnan(paired_t(*pairs).p) and math.isnan(paired_t(*pairs).pairs_needed)


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_pairs_needed_agree_with_published_sample_sizes(effect, pairs):
    # Paired t-test, two-sided, alpha 0.05, power 0.8: G*Power 3.1.
    assert pairs_needed(effect, 1) == pairs_needed(-effect * 3, 3) == pairs


def test_pairs_needed_of_extreme_effects():
    assert pairs_needed(100, 1) == 2
    assert pairs_needed(1e-6, 1) == pairs_needed(0, 1) == math.inf


def test_power_is_the_share_of_significant_tests():
    samples = np.random.default_rng(1).normal(1, 1, (4000, 6))
    assert power(1, 1, 6) == pytest.approx(
        np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05), abs=0.03
    )


def test_exact_mcnemar_counts_the_ways_chance_could_do_as_much():
    ways = [sum(flips) for flips in product([0, 1], repeat=9)]
    assert (
        exact_mcnemar(7, 2) == exact_mcnemar(2, 7) == pytest.approx(2 * np.mean([way <= 2 for way in ways]))
    )
    assert exact_mcnemar(4, 4) == exact_mcnemar(0, 0) == 1
