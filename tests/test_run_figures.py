"""The pictures in a model's run: counts that an oracle agrees with, and what is drawn of them."""

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from stages.core.mirror import run_figures


def test_the_counts_are_scikit_learns():
    random = np.random.default_rng(0)
    probabilities, labels = random.dirichlet(np.ones(10), 500), random.integers(0, 10, 500, dtype=np.uint8)
    expected = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(10))
    np.testing.assert_array_equal(run_figures.confusion(probabilities, labels), expected)


def test_an_answer_that_is_no_number_counts_as_0():
    counts = run_figures.confusion(np.full((3, 10), np.nan), np.array([4, 4, 7], np.uint8))
    assert counts[4, 0] == 2 and counts[7, 0] == 1 and counts.sum() == 3


def test_each_count_is_written_in_its_cell_and_zeros_are_left_blank():
    counts = np.diag(np.arange(10))
    (axes,) = run_figures.draw_confusion(counts, "model").axes
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(digit, digit): str(digit) for digit in range(1, 10)}


def test_a_seed_is_a_line_of_training_and_one_of_validation():
    rows = {name: [2.0, 1.0] * 3 for name in ("train_loss", "validation_loss")}
    rows |= {name: [0.1, 0.5] * 3 for name in ("train_accuracy", "validation_accuracy")}
    history = pd.DataFrame({"seed": [0, 0, 1, 1, 2, 2], "epoch": [0, 1] * 3} | rows)
    loss, accuracy = run_figures.draw_curves(history, "model").axes
    assert len(loss.lines) == len(accuracy.lines) == 2 * 3
    assert [text.get_text() for text in accuracy.get_legend().get_texts()] == ["train", "validation"]
