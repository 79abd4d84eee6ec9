"""What came of a run is a word, by a rule on its training loss."""

import math

import pytest

from stages.core import outcome


@pytest.mark.parametrize(
    ("losses", "word"),
    [
        ([2.35, 0.2], "learned"),
        ([2.35, 2.35 * 0.5], "learned"),
        ([2.35, 2.35 * 0.51], "undertrained"),
        ([2.35, 2.15], "undertrained"),
        ([2.35, 2.349], "stalled"),
        ([2.35, 2.35], "stalled"),
        ([2.35, 2.36], "diverged"),
        ([2.35, 34.0], "diverged"),
        ([2.35, 0.1, 34.0], "diverged"),
        ([2.35, 34.0, 0.1], "learned"),
        ([2.35, math.nan], "diverged"),
        ([2.35, math.inf], "diverged"),
        ([2.35, None], "diverged"),
    ],
)
def test_the_first_and_the_last_loss_decide(losses, word):
    assert outcome.status(losses) == word


def test_a_model_is_as_good_as_the_worst_of_its_seeds():
    assert outcome.of_model(["learned", "learned"]) == "learned"
    assert outcome.of_model(["learned", "stalled", "undertrained"]) == "stalled"
    assert outcome.of_model(["stalled", "diverged", "learned"]) == "diverged"
