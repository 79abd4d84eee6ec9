"""Intervals and paired tests, against SciPy's own and against counting."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from stages.core.report.statistics import exact_mcnemar, interval, mean_and_deviation, paired_t

VALUES = [0.94, 0.95, 0.93, 0.955, 0.941]


def test_the_interval_is_that_of_students_t():
    expected = stats.t.interval(0.95, 4, np.mean(VALUES), stats.sem(VALUES))
    assert interval(VALUES) == pytest.approx((np.mean(VALUES), *expected))


def test_the_interval_holds_the_truth_in_95_of_100_samples():
    random = np.random.default_rng(0)
    found = [interval(random.normal(3, 2, 5)) for _ in range(4000)]
    assert 0.94 < np.mean([low <= 3 <= high for _, low, high in found]) < 0.96


def test_one_value_has_a_mean_and_no_interval():
    assert interval([0.5])[0] == 0.5 and all(map(math.isnan, interval([0.5])[1:]))


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_never_averaged_away(lost):
    assert all(map(math.isnan, mean_and_deviation([1.0, lost, 2.0])))


def test_the_paired_test_is_scipys():
    others = [0.91, 0.94, 0.95, 0.94, 0.90]
    expected, ours = stats.ttest_rel(VALUES, others), paired_t(VALUES, others)
    assert (ours.t, ours.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert ours.difference.mean == pytest.approx(np.mean(VALUES) - np.mean(others))


@pytest.mark.parametrize("pairs", [([0.9], [0.8]), ([0.9, 0.8], [0.8, 0.7]), ([0.9, math.nan], [0.8, 0.7])])
def test_without_spread_there_is_no_p_value(pairs):
    assert math.isnan(paired_t(*pairs).p)


def test_mcnemar_counts_the_ways_chance_could_do_as_much():
    ways = [sum(flips) for flips in product([0, 1], repeat=9)]
    assert exact_mcnemar(7, 2) == pytest.approx(2 * np.mean([way <= 2 for way in ways]))


def test_mcnemar_is_symmetric_and_at_most_one():
    assert exact_mcnemar(3, 11) == exact_mcnemar(11, 3)
    assert exact_mcnemar(4, 4) == exact_mcnemar(0, 0) == 1
