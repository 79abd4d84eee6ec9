"""What a model gets wrong: counted against scikit-learn, and the worst found by hand."""

import numpy as np
from sklearn.metrics import confusion_matrix

from stages.core.report import mistakes
from stages.core.report.mistakes_map import confusion_chart, worst_chart
from stages.core.report.pictures import svg
from stages.core.report.vega import arranged


def guesses(count, seed=0):
    random = np.random.default_rng(seed)
    return random.dirichlet(np.ones(10), count), random.integers(0, 10, count)


def test_the_confusion_is_scikit_learns():
    probabilities, labels = guesses(500)
    table = mistakes.confusion(probabilities, labels)
    expected = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(10))
    assert (table.pivot(index="digit", columns="read_as", values="images").to_numpy() == expected).all()


def test_the_worst_gave_the_right_digit_the_least_and_are_wrong():
    probabilities, labels = guesses(200)
    table = mistakes.worst(probabilities, labels)
    right = {
        row: probabilities[row, labels[row]]
        for row in range(200)
        if probabilities[row].argmax() != labels[row]
    }
    assert table.image.tolist() == sorted(right, key=right.get)[: mistakes.SHOWN]
    assert (table.digit != table.read_as).all()


def test_a_model_without_a_mistake_has_no_worst_and_a_matrix_all_the_same():
    labels = np.arange(10)
    assert mistakes.worst(np.eye(10), labels).empty
    assert "<svg" in svg(arranged([confusion_chart(mistakes.confusion(np.eye(10), labels))]), "dark", ["a"])


def test_the_worst_are_pictures_that_need_no_file():
    probabilities, labels = guesses(40)
    images = np.zeros((40, 28, 28), dtype=np.uint8)
    chart = worst_chart(mistakes.worst(probabilities, labels), images)
    assert all(row["url"].startswith("data:image/png;base64,") for row in chart["data"]["values"])
