"""Intervals and tests for a handful of repeated runs."""

import bisect
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
SIGNIFICANT = 1 - CONFIDENCE
"""A p-value below this excludes chance, by convention."""

POWER = 0.8
MOST_PAIRS = 10_000
"""The search for a number of pairs ends here."""


class Interval(NamedTuple):
    """A mean and the bounds of its 95 % confidence interval; NaN where unknown."""

    mean: float
    low: float
    high: float


class PairedTest(NamedTuple):
    """The result of a paired t-test; t and p are NaN where there is no spread to compare with."""

    difference: Interval  # of the mean difference
    t: float
    p: float  # two-sided
    pairs_needed: float  # what the function finds for this difference and spread


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and sample standard deviation (n - 1).

    Both are NaN if a value is not finite; the deviation also for a single value.
    """
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        return math.nan, math.nan
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else math.nan


def interval(values: Sequence[float]) -> Interval:
    """Compute the 95 % confidence interval of the mean by Student's t; no bounds for one value."""
    mean, deviation = mean_and_deviation(values)
    if math.isnan(deviation) or deviation == 0:
        bound = mean if deviation == 0 else math.nan
        return Interval(mean, bound, bound)
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, mean, deviation / math.sqrt(len(values)))
    return Interval(mean, float(low), float(high))


def paired_t(ours: Sequence[float], theirs: Sequence[float]) -> PairedTest:
    """Test `ours` minus `theirs`, pair by pair.

    Fewer than two pairs, a value that is not finite, and equal differences leave t and p unknown.
    """
    differences = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    mean, deviation = mean_and_deviation(differences)
    if math.isnan(deviation) or deviation <= 1e-12:
        return PairedTest(interval(differences), math.nan, math.nan, math.nan)
    result = stats.ttest_1samp(differences, 0)
    needed = pairs_needed(mean, deviation)
    return PairedTest(interval(differences), float(result.statistic), float(result.pvalue), needed)


def power(difference: float, deviation: float, pairs: int) -> float:
    """Compute the probability that a two-sided paired t-test finds a true mean difference significant."""
    freedom, shift = pairs - 1, difference / deviation * math.sqrt(pairs)
    critical = stats.t.ppf((1 + CONFIDENCE) / 2, freedom)
    wrong_side = stats.nct.cdf(-critical, freedom, shift)  # SciPy gives NaN where this is next to nothing
    return float(stats.nct.sf(critical, freedom, shift) + np.nan_to_num(wrong_side))


def pairs_needed(difference: float, deviation: float) -> float:
    """Find the smallest number of pairs with which `power` reaches 80 %; infinite beyond MOST_PAIRS."""
    difference, pairs = abs(difference), range(2, MOST_PAIRS + 1)
    if difference <= 1e-12 or power(difference, deviation, MOST_PAIRS) < POWER:
        return math.inf
    # power grows with the number of pairs
    return pairs[bisect.bisect_left(pairs, POWER, key=lambda number: power(difference, deviation, number))]


def exact_mcnemar(ours_alone: int, theirs_alone: int) -> float:
    """Return the two-sided p-value of McNemar's exact test (1947, doi:10.1007/BF02295996).

    It takes the numbers of images that only one model, and only the other, classifies correctly.
    """
    disagreements = ours_alone + theirs_alone
    return float(stats.binomtest(ours_alone, disagreements).pvalue) if disagreements else 1.0
