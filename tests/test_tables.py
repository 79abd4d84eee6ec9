"""The cells of the tables people read."""

import numpy as np

from stages.core.report import tables
from tests.test_answers import rows

COLUMNS = {"train_accuracy_mean": 0.99, "train_accuracy_std": 0.001, "test_loss_mean": [0.1, np.nan]}
COLUMNS |= {"validation_accuracy_std": [0.002, np.nan], "test_accuracy_std": 0.003}


def cells():
    return [dict(zip(tables.HEADINGS, row, strict=True)) for row in tables.rows(rows(**COLUMNS, images=128))]


def test_an_accuracy_has_its_deviation_where_there_is_one():
    assert [row["validation accuracy"] for row in cells()] == ["95.00 ± 0.20\xa0%", "90.00\xa0%"]


def test_a_loss_that_is_not_finite_is_called_so():
    assert cells()[1]["test loss"] == "not finite"


def test_a_batch_of_all_images_is_called_full():
    assert [row["batch size"] for row in cells()] == ["8", "128 (full)"]
