"""What a handful of repetitions can tell: intervals, and tests of a difference between two models."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, stdtr, stdtrit

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean and the bounds that hold it with 95 % confidence; NaN where they cannot be known."""

    mean: float
    low: float
    high: float


class PairedTest(NamedTuple):
    """The mean difference over pairs with its interval, Student's t and the two-sided p-value."""

    difference: Interval
    t: float
    p: float


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the sample's standard deviation (n - 1); NaN if a value is not finite, or for one
    value.
    """
    values = np.asarray(values, dtype=float)
    if not np.isfinite(values).all():
        return math.nan, math.nan
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan


def interval(values: Sequence[float]) -> Interval:
    """The 95 % confidence interval of the mean by Student's t.

    A handful of runs does not tell the deviation well; t, unlike the normal distribution, allows
    for that: with five values the interval is 1.4 times as wide. One value gives no bounds.
    """
    mean, deviation = mean_and_deviation(values)
    if math.isnan(deviation):
        return Interval(mean, math.nan, math.nan)
    half = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def paired_t(ours: Sequence[float], theirs: Sequence[float]) -> PairedTest:
    """Student's paired t-test on `ours` minus `theirs`, pair by pair.

    Fewer than two pairs, a value that is not finite, or differences that are all alike leave t and
    p unknown (NaN): there is no spread to hold the difference against.
    """
    differences = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    mean, deviation = mean_and_deviation(differences)
    if math.isnan(deviation) or deviation <= 1e-12:
        return PairedTest(interval(differences), math.nan, math.nan)
    t = mean / (deviation / math.sqrt(len(differences)))
    return PairedTest(interval(differences), t, float(2 * stdtr(len(differences) - 1, -abs(t))))


def exact_mcnemar(ours_alone: int, theirs_alone: int) -> float:
    """The two-sided p-value of McNemar's exact test.

    Of the images that only one of two models gets right, chance would give each model half:
    McNemar 1947, doi:10.1007/BF02295996, with the binomial distribution instead of chi-squared.
    """
    disagreements = ours_alone + theirs_alone
    if disagreements == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(ours_alone, theirs_alone), disagreements, 0.5)))
