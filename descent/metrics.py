"""The metrics of training, listed once: their keys in files, their titles, units and scales."""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """A number that is measured after each epoch or at the end of a run."""

    key: str  # its name in history.csv, metrics.json and MLflow
    title: str  # its name for readers
    axis: str  # the label of an axis, with the unit
    scale: Literal["log", "error"]  # what a logarithmic axis shows: the number, or 1 - number of an accuracy


EPOCH_METRICS = (
    Metric("train_loss", "Training loss", "cross-entropy per image (log scale)", "log"),
    Metric("train_accuracy", "Training accuracy", "accuracy (log scale of the error)", "error"),
    Metric("validation_loss", "Validation loss", "cross-entropy per image (log scale)", "log"),
    Metric("validation_accuracy", "Validation accuracy", "accuracy (log scale of the error)", "error"),
    Metric("gradient_norm", "Gradient norm", "norm of the gradient (log scale)", "log"),
    Metric("distance", "Distance from the start", "distance of all weights (log scale)", "log"),
    Metric("weight_norm", "Weight norm", "norm of all weights (log scale)", "log"),
)
"""Measured before training and after each epoch, in the order of history.csv's columns."""

TEST_METRICS = (
    Metric("test_loss", "Test loss", "cross-entropy per image (log scale)", "log"),
    Metric("test_accuracy", "Test accuracy", "accuracy (log scale of the error)", "error"),
)
"""Measured once, at the end of a run; never used to select anything."""

FINAL_METRICS = EPOCH_METRICS + TEST_METRICS
"""The metrics at the end of a run."""

METRICS = {metric.key: metric for metric in FINAL_METRICS}
