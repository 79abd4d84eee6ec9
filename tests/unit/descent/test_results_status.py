"""The status of a run, from its training loss and the distance that its weights moved."""

import math

import pytest

from descent.results import NOT_LEARNED, STATUSES, status, worst_status


def run(*losses, distance=5.0, slope=1.0, updates=100):
    """Make a history with these losses; distance and updates are those of the last epoch."""
    last = len(losses) - 1
    return [
        {
            "train_loss": loss,
            "gradient_norm": slope,
            "distance": distance * epoch / last,
            "updates": updates * epoch // last,
        }
        for epoch, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("history", "word"),
    [
        # The runs of the project's own studies and sweep, of ten classes (ln 10 = 2.303).
        (run(2.38, 0.0078, distance=14.4, updates=125_000), "learned"),
        (run(2.38, 0.183, distance=5.7, updates=7820), "learned"),
        (run(2.38, 2.23, distance=0.17, updates=20), "undertrained"),
        (run(2.38, 33.9, distance=2e17, updates=7820), "diverged"),
        (run(2.38147, 2.38117, distance=4.6e-4, updates=7820), "stalled"),
        (run(2.38, 2.3118, 2.3113, 2.325, distance=145, updates=18750), "collapsed"),
        (run(2.38, 2.9, 2.6, 2.655, distance=4e11, updates=18750), "collapsed"),
        (run(2.38, 2.3571, 2.3347, 2.3143, distance=0.07, updates=75), "undertrained"),
        (run(2.38, 16.8, 707.8, 1e6, distance=4536, updates=3), "diverged"),
    ],
)
def test_status_of_measured_runs(history, word):
    assert status(history, classes=10) == word


@pytest.mark.parametrize("lost", [math.nan, math.inf, None])
def test_status_loss_not_finite_is_diverged(lost):
    assert status(run(2.3, 0.1, lost), classes=10) == "diverged"
    assert status(run(lost, lost), classes=10) == "diverged"


def test_status_two_updates_are_never_stalled():
    assert status(run(2.38, 2.38, distance=1e-7, updates=2), classes=10) == "undertrained"
    assert status(run(2.38, 2.38, distance=1e-7, updates=10), classes=10) == "stalled"


def test_status_loss_above_guessing_that_did_not_rise_is_not_diverged():
    assert status(run(9.0, 8.99, distance=1e-5), classes=10) == "stalled"


def test_status_ends_below_a_peak_decides_the_end():
    assert status(run(2.3, 34.0, 0.1), classes=10) == "learned"


@pytest.mark.parametrize("classes", [2, 5, 100])
def test_status_is_relative_to_guessing(classes):
    guessing = math.log(classes)
    assert status(run(guessing, 0.49 * guessing), classes) == "learned"
    assert status(run(guessing, 0.51 * guessing), classes) == "undertrained"
    assert status(run(guessing, 0.985 * guessing, distance=50), classes) == "collapsed"
    assert status(run(guessing, 0.985 * guessing, distance=guessing / 2), classes) == "undertrained"
    assert status(run(guessing, 2.1 * guessing), classes) == "diverged"


def test_status_distance_not_finite_is_far():
    history = run(2.38, 2.31)
    history[-1]["distance"] = None
    assert status(history, classes=10) == "collapsed"


def test_worst_status_is_that_of_the_worst_run():
    assert worst_status(["learned", "stalled", "undertrained"]) == "stalled"
    assert worst_status(["collapsed", "learned", "stalled"]) == "collapsed"
    assert set(NOT_LEARNED) < set(STATUSES) and "undertrained" not in NOT_LEARNED
