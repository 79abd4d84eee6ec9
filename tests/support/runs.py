"""Training runs with made-up numbers, as far as files are written from them; no TensorFlow."""

from typing import Any, NamedTuple

import numpy as np

from descent.metrics import EPOCH_METRICS


def epoch(number: int, **metrics: float) -> dict[str, Any]:
    """Make the state after an epoch of 5 updates; `metrics` override its numbers."""
    changed = {
        "train_loss": 2.3,
        "train_accuracy": 0.5,
        "validation_loss": 2.3,
        "validation_accuracy": 0.5,
        "distance": 0.0,
    }
    given = {metric.key: 1.0 for metric in EPOCH_METRICS} | changed | metrics
    return {"epoch": number, "updates": 5 * number} | given


class Run(NamedTuple):
    """The fields of `training.TrainedRun` that hold numbers and times."""

    history: list[dict[str, Any]]
    test_probabilities: np.ndarray = np.full((4, 10), 0.1)
    test_loss: float = 2.3
    test_accuracy: float = 0.5
    compile_seconds: float = 0.5
    epoch_seconds: tuple[float, ...] = (0.25,)
