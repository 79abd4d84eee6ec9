"""A model's results on disk: exact numbers, strict JSON, the best seed."""

import json
import math
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from descent.engine.settings import RunSettings
from descent.files import write_json, write_table
from descent.metrics import EPOCH_METRICS, FINAL_METRICS
from descent.results import (
    best_seed,
    final_metrics,
    history_table,
    identity,
    model_metrics,
    read_metrics,
    write_run_tables,
)
from descent.timings import LIBRARIES, write_timing
from tests.support.runs import Run, epoch

SETTINGS = RunSettings(128, 0.01, "sgd", (), (128, 64), "relu", epochs=1, seed=0)


def run(last_loss: float, accuracy: float = 0.9, **last) -> Run:
    """Make a run of one epoch."""
    ended = epoch(1, train_loss=last_loss, validation_loss=last_loss, validation_accuracy=accuracy) | last
    return Run([epoch(0), ended], test_loss=last_loss, test_accuracy=accuracy)


def finals(*runs: Run) -> list[dict]:
    return [final_metrics(seed, run) for seed, run in enumerate(runs)]


def test_the_history_has_a_row_per_seed_and_epoch_and_a_column_per_metric():
    table = history_table([{"seed": 7}, {"seed": 3}], [run(0.5), run(0.4)])
    assert list(table) == ["seed", "epoch", "updates", *(metric.key for metric in EPOCH_METRICS)]
    assert table[["seed", "epoch", "updates"]].values.tolist() == [[7, 0, 0], [7, 1, 5], [3, 0, 0], [3, 1, 5]]


def test_a_number_that_is_not_finite_is_an_empty_field_and_null(tmp_path):
    diverged = run(math.nan, gradient_norm=math.inf)
    write_table(tmp_path / "history.csv", history_table([{"seed": 0}], [diverged]))
    assert (tmp_path / "history.csv").read_text().splitlines()[2].startswith("0,1,5,,0.5,,0.9,,0")
    (metrics,) = finals(diverged)
    write_json(tmp_path / "metrics.json", metrics)
    assert read_metrics(tmp_path) == metrics
    assert (metrics["train_loss"], metrics["gradient_norm"], metrics["test_loss"]) == (None, None, None)


def test_final_metrics_are_the_last_epoch_and_the_test_metrics():
    (metrics,) = finals(run(0.5, distance=3.0))
    assert list(metrics) == ["seed", "status", *(metric.key for metric in FINAL_METRICS)]
    assert (metrics["train_loss"], metrics["distance"], metrics["test_accuracy"]) == (0.5, 3.0, 0.9)


def test_model_metrics_count_the_updates():
    metrics = model_metrics("m", SETTINGS._replace(epochs=3), 600, finals(run(0.5)), parameters=7)
    numbers = {name: metrics[name] for name in ("images", "batch_size", "updates_per_epoch", "updates")}
    assert numbers == {"images": 600, "batch_size": 128, "updates_per_epoch": 5, "updates": 15}


@pytest.mark.parametrize(
    ("losses_and_accuracies", "best"),
    [
        ([(0.5, 0.8), (0.5, 0.9)], 1),
        ([(0.5, 0.9), (0.4, 0.9)], 1),
        ([(0.4, 0.9), (0.4, 0.9)], 0),
        ([(math.nan, 0.9), (0.4, 0.9)], 1),
    ],
    ids=["higher accuracy", "lower loss", "earlier seed", "finite loss"],
)
def test_the_best_seed_has_the_highest_accuracy_then_the_lowest_loss(losses_and_accuracies, best):
    runs = [run(loss, accuracy) for loss, accuracy in losses_and_accuracies]
    assert best_seed(finals(*runs)) == best


def test_write_timing_records_the_machine_and_each_run(tmp_path):
    started = datetime.now(UTC) - timedelta(seconds=5)
    seconds = write_timing(tmp_path / "timing.json", started, {"seed 3": run(0.5)})
    timing = json.loads((tmp_path / "timing.json").read_text())
    assert 5 <= seconds == timing["seconds"] < 60
    assert timing["runs"] == [{"run": "seed 3", "compile_seconds": 0.5, "epoch_seconds": [0.25]}]
    assert timing["processor"] and set(timing["versions"]) == {"python", *LIBRARIES}


def test_runs_of_several_models_are_two_tables_that_tell_them_apart(tmp_path):
    other = SETTINGS._replace(batch_size=8, optimizer="adam", seed=3)
    names = [identity("a", SETTINGS), identity("b", other)]
    write_run_tables(tmp_path, names, [run(0.5), run(math.inf, accuracy=0.1)])
    ends, history = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("runs", "history"))
    who = ["model", "batch_size", "learning_rate", "optimizer", "seed"]
    assert ends[who].values.tolist() == [["a", 128, 0.01, "sgd", 0], ["b", 8, 0.01, "adam", 3]]
    assert ends.status.tolist() == ["learned", "diverged"] and ends.test_loss.isna().tolist() == [False, True]
    assert history[[*who, "epoch"]].drop_duplicates().shape[0] == len(history) == 4
    write_run_tables(tmp_path, [], [])
    assert (tmp_path / "runs.csv").read_text() == ",".join(
        [*who, "status", "test_loss", "test_accuracy"]
    ) + "\n"
