"""The answers follow the numbers: turn a number, and the sentence turns."""

import numpy as np
import pandas as pd
import pytest

from stages.core.report.answers import answer
from stages.core.report.differences import COLUMNS


def rows(**changes):
    """Two models that learned, `a` the better; changes are columns, each a pair of values."""
    table = {
        "study": "batch_size",
        "model": ["a", "b"],
        "batch_size": [8, 128],
        "learning_rate": 0.01,
        "updates": [1000, 100],
        "seeds": 3,
        "status": "learned",
        "images": 1000,
        "train_loss_mean": 0.1,
        "gradient_norm_mean": 0.2,
        "distance_mean": [5.0, 2.0],
        "validation_accuracy_mean": [0.95, 0.90],
        "validation_accuracy_low": 0.89,
        "validation_accuracy_high": 0.96,
        "validation_loss_mean": 0.2,
        "test_accuracy_mean": [0.94, 0.91],
        "test_accuracy_low": 0.88,
        "test_accuracy_high": 0.97,
    }
    return pd.DataFrame(table | changes)


def history(last_loss=0.1):
    table = {"seed": 0, "epoch": [0, 1], "train_loss": [2.3, last_loss], "gradient_norm": [1.0, 0.2]}
    return pd.concat([pd.DataFrame(table | {"model": name, "distance": [0, 3.0]}) for name in "ab"])


def difference(**changes):
    row = ["batch_size", "a", "b", 3, 0.05, 0.04, 0.06, 20.0, 0.001, 1000, 60, 20, 1e-5]
    return pd.DataFrame([dict(zip(COLUMNS, row, strict=True)) | changes])


def told(table=None, tests=None, losses=0.1):
    return answer(
        "batch_size",
        "?",
        rows() if table is None else table,
        history(losses),
        difference() if tests is None else tests,
    )


def test_the_headline_names_the_best_with_its_accuracies():
    said = told()
    assert said.best == "a" and said.headline.startswith("`a` performed best")
    assert "95.00\xa0%" in said.headline and "94.00\xa0%" in said.headline


def test_other_numbers_give_another_answer():
    assert told(rows(validation_accuracy_mean=[0.90, 0.95])).best == "b"


def test_a_test_accuracy_changes_no_winner():
    assert told(rows(test_accuracy_mean=[0.1, 0.99])).best == "a"


def test_where_nothing_learned_no_one_is_best():
    said = told(rows(status=["stalled", "diverged"]), difference().iloc[:0])
    assert said.best is None and "nothing learned (`a` stalled, `b` diverged)" in said.headline
    assert said.evidence == []


@pytest.mark.parametrize(
    ("p", "words"), [(0.001, "is more than chance"), (0.2, "is not to be told from chance")]
)
def test_the_lead_over_the_seeds_is_judged_by_its_p_value(p, words):
    assert any(
        "Over the seeds that lead " + words in sentence
        for sentence in told(tests=difference(p_seeds=p)).evidence
    )


@pytest.mark.parametrize(
    ("p", "alone", "words"),
    [
        (1e-5, (60, 20), "it is more than chance"),
        (0.3, (30, 25), "not to be told"),
        (1e-5, (20, 60), "turned round"),
    ],
)
def test_the_lead_on_the_images_is_judged_by_its_p_value_and_direction(p, alone, words):
    tests = difference(p_images=p, best_alone_right=alone[0], other_alone_right=alone[1])
    assert words in told(tests=tests).evidence[-1]


def test_one_seed_gives_no_interval_and_no_test_over_seeds_and_says_so():
    tests = difference(pairs=1, p_seeds=np.nan, difference_low=np.nan, difference_high=np.nan)
    said = " ".join(told(rows(seeds=1), tests).evidence)
    assert "no interval is given" in said and "no test over seeds" in said and "nan" not in said


def test_one_model_is_the_best_of_none_other():
    said = told(rows().iloc[:1], difference().iloc[:0])
    assert "the only model of this study" in said.headline and len(said.evidence) == 1
