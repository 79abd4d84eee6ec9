"""What a trained model leaves on disk: exact numbers, strict JSON, no number that is not finite."""

import json
import math

import numpy as np
import pytest

from stages.core import model_folder
from stages.core.settings import Model
from tests.trained import Descent, Epoch


def descent(last_loss: float, accuracy: float = 0.9) -> Descent:
    """Two epochs of a network with three weights."""
    history = [
        Epoch(0, 0, 2.3, 0.1, 2.3, 0.1, 1.0, 0.0),
        Epoch(1, 5, last_loss, accuracy, last_loss, accuracy, math.inf, float(np.float32(1 / 3))),
    ]
    return Descent(
        history, np.zeros((2, 3), np.float32), np.full((4, 10), 0.1, np.float32), last_loss, accuracy
    )


def write(folder, *descents):
    settings = Model(batch_size=128, learning_rate=0.01)
    return model_folder.write_numbers(folder, "m", settings, 600, list(range(len(descents))), descents)


def test_the_history_gives_every_float32_back(tmp_path):
    write(tmp_path, descent(float(np.float32(0.1))))
    history = model_folder.read_history(tmp_path)
    assert np.float32(history.train_loss.iloc[1]) == np.float32(0.1)
    assert np.float32(history.distance.iloc[1]) == np.float32(1 / 3)


def test_the_history_has_a_row_per_seed_and_epoch(tmp_path):
    write(tmp_path, descent(0.5), descent(0.4))
    history = model_folder.read_history(tmp_path)
    assert history[["seed", "epoch", "updates"]].values.tolist() == [
        [0, 0, 0],
        [0, 1, 5],
        [1, 0, 0],
        [1, 1, 5],
    ]


def test_what_is_not_finite_is_an_empty_field_and_null(tmp_path):
    write(tmp_path, descent(math.nan))
    assert (tmp_path / "history.csv").read_text().splitlines()[2] == "0,1,5,,0.9,,0.9,,0.333333343"

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    run = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)["seeds"][0]
    assert (run["train_loss"], run["gradient_norm"], run["status"]) == (None, None, "diverged")


def test_the_metrics_count_the_batches(tmp_path):
    metrics = write(tmp_path, descent(0.5))
    assert {name: metrics[name] for name in ("images", "batch_size", "updates_per_epoch", "updates")} == {
        "images": 600,
        "batch_size": 128,
        "updates_per_epoch": 5,
        "updates": 5,
    }


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        ([(0.5, 0.8), (0.5, 0.9)], 1),
        ([(0.5, 0.9), (0.4, 0.9)], 1),
        ([(0.4, 0.9), (0.4, 0.9)], 0),
        ([(math.nan, 0.9), (0.4, 0.9)], 1),
    ],
)
def test_the_best_seed_has_the_highest_accuracy_then_the_lowest_loss_then_the_first_place(
    tmp_path, runs, best
):
    assert write(tmp_path, *(descent(loss, accuracy) for loss, accuracy in runs))["best_seed"] == best
