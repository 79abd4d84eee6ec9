"""A model's outcome as a sentence or two, for people who browse runs."""

import math

from stages.core.report.statistics import mean_and_deviation
from stages.core.settings import Model

OUTCOMES = {
    "learned": "It learned",
    "undertrained": "It was still on its way when training ended",
    "stalled": "It learned nothing: the training loss hardly moved",
    "diverged": "It diverged: the training loss ended above its start, or was no longer a number",
}


def describe(settings: Model, metrics: dict) -> str:
    """How the model was trained and what came of it, in words that need no table beside them."""
    whole = settings.batch_size == "full"
    size = f"all {metrics['images']:,} training images" if whole else f"{metrics['batch_size']:,} images"
    return (
        f"Trained by {settings.optimizer} with batches of {size} and a learning rate of "
        f"{settings.learning_rate:g}, {metrics['updates']:,} updates in all, "
        f"from {_seeds(len(metrics['seeds']))}. {OUTCOMES[metrics['status']]}. {_test(metrics)}"
    )


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _test(metrics: dict) -> str:
    accuracies = [
        math.nan if run["test_accuracy"] is None else run["test_accuracy"] for run in metrics["seeds"]
    ]
    mean, deviation = mean_and_deviation(accuracies)
    if math.isnan(mean):
        return "Its test accuracy is not a number for every seed."
    spread = "" if math.isnan(deviation) else f" ± {deviation:.2%}"
    return f"It classifies {mean:.2%}{spread} of the test images rightly."
