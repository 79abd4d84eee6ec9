"""Why a model came out as it did, and what its study cannot say, sentence by sentence."""

import numpy as np
import pytest

from stages.core.report import reasons
from tests.test_answers import history, rows


def reason(status, last_loss=0.1, **changes):
    """What is told of model `b`, the worse of two."""
    table = rows(status=["learned", status], **changes).set_index("model", drop=False)
    course = history(last_loss)
    return reasons.of_model(next(table.iloc[1:].itertuples()), course[course.model == "b"], table, "a")


def test_updates_are_told_beside_the_best_models():
    assert "10 times fewer updates than the best model" in reason("learned")
    assert "as many updates as the best model" in reason("learned", updates=[100, 100])
    assert "2 times as many updates" in reason("learned", updates=[50, 100])


@pytest.mark.parametrize(
    ("status", "last_loss", "words"),
    [
        ("learned", 0.1, "fell from 2.30 by 95.7\xa0%, to 0.100"),
        ("undertrained", 2.0, "under way when the epochs ended"),
        ("stalled", 2.2997, "by 0.013\xa0%"),
        ("diverged", 34.0, "ended at 34.0: its steps were too large"),
        ("diverged", np.nan, "ended without a finite value"),
    ],
)
def test_each_status_is_told_by_its_numbers(status, last_loss, words):
    said = reason(status, last_loss)
    assert said.startswith(f"`b` ({status}") and words in said and "nan" not in said


def test_a_lost_distance_is_told_by_the_farthest_known():
    assert "carried 3.00 away" in reason("diverged", np.nan, distance_mean=[5.0, np.nan])


def limits(winner="a", **changes):
    return " ".join(reasons.limits(rows(**changes).set_index("model", drop=False), winner))


def test_unequal_updates_are_a_limit_and_equal_ones_are_none():
    assert "did not make equally many updates: `b` 100, `a` 1,000" in limits()
    assert "equally many updates" not in limits(updates=[100, 100])


def test_what_was_held_fixed_is_named():
    assert "Every batch size ran at the learning rate 0.01" in limits()
    assert "Every learning rate ran at the batch size 8" in limits(batch_size=8, learning_rate=[0.01, 1e-7])
    assert "no difference is due to one of them alone" in limits(learning_rate=[0.01, 0.1])


def test_a_best_value_at_the_edge_of_what_was_tried_is_said_to_be():
    assert "is the smallest of the 2 that were tried" in limits("a")
    assert "is the largest of the 2 that were tried" in limits("b")
    assert "that were tried" not in limits(None)
