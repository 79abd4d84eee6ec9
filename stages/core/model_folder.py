"""What a trained model is on disk, models/<model>/: written by train, read by all that comes after it."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.core import outcome
from stages.core.files import strict, write_array, write_json, write_table
from stages.core.settings import Model

FINALS = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "gradient_norm",
    "distance",
)
"""The numbers that a run ends with."""


def write_numbers(
    folder: Path,
    name: str,
    settings: Model,
    images: int,
    seeds: Sequence[int],
    descents: Sequence[Any],
) -> dict[str, Any]:
    """Write history.csv, metrics.json, test_probabilities.npy and path.npy; the metrics are returned.

    `descents` are the runs in the order of `seeds`; `images` is the number of training images.
    """
    history = history_table(seeds, [descent.history for descent in descents])
    metrics = _metrics(name, settings, images, seeds, descents)
    write_table(folder / "history.csv", history)
    write_json(folder / "metrics.json", metrics)
    write_array(folder / "test_probabilities.npy", np.stack([d.test_probabilities for d in descents]))
    write_array(folder / "path.npy", descents[0].path)
    return metrics


def history_table(seeds: Sequence[int], histories: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """One row per seed and epoch: the seed, then the fields of that epoch."""
    tables = [pd.DataFrame(history).assign(seed=seed) for seed, history in zip(seeds, histories, strict=True)]
    table = pd.concat(tables, ignore_index=True)
    return table[["seed", *table.columns.drop("seed")]]


def read_history(folder: Path | str) -> pd.DataFrame:
    """The history of a model; what was not finite is NaN."""
    return pd.read_csv(Path(folder) / "history.csv")


def read_metrics(folder: Path | str) -> dict[str, Any]:
    """The final numbers of a model; what was not finite is None."""
    return json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))


def _metrics(
    name: str, settings: Model, images: int, seeds: Sequence[int], descents: Sequence[Any]
) -> dict[str, Any]:
    runs = [finals(seed, descent) for seed, descent in zip(seeds, descents, strict=True)]
    return {
        "model": name,
        "status": outcome.of_model([run["status"] for run in runs]),
        "best_seed": best_seed(runs),
        "parameters": descents[0].path.shape[1],
        "images": images,
        "batch_size": settings.effective_batch_size(images),
        "updates_per_epoch": settings.updates_per_epoch(images),
        "updates": descents[0].history[-1].updates,
        "seeds": runs,
    }


def finals(seed: int, descent: Any) -> dict[str, Any]:
    """What a run ended with, fit for strict JSON: its status, and FINALS, None where not finite."""
    numbers = descent.history[-1]._asdict() | {
        "test_loss": descent.test_loss,
        "test_accuracy": descent.test_accuracy,
    }
    status = outcome.status([epoch.train_loss for epoch in descent.history])
    return {"seed": seed, "status": status} | {name: strict(numbers[name]) for name in FINALS}


def best_seed(runs: Sequence[dict[str, Any]]) -> int:
    """The seed with the highest validation accuracy; a tie goes to the lower loss, then to the earlier."""

    def rank(run: dict[str, Any]) -> tuple[float, float]:
        loss = run["validation_loss"]
        return run["validation_accuracy"], -math.inf if loss is None else -loss

    return max(runs, key=rank)["seed"]
