"""The numbers of the comparison: what training left of each model, as tables for people and programs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stages.core import model_folder, outcome
from stages.core.params import Params
from stages.core.report.statistics import interval, mean_and_deviation
from stages.core.settings import Model

SPLITS = ("train", "validation", "test")
MEASURES = tuple(f"{split}_{measure}" for split in SPLITS for measure in ("loss", "accuracy"))
MOVEMENT = ("gradient_norm", "distance")


class InvalidResults(ValueError):
    """What lies in models/ is not what params.yaml asks for; one line: the file, what it says, what is
    due.
    """


class Result(NamedTuple):
    """One trained model: its settings, its final numbers (metrics.json) and its history."""

    name: str
    settings: Model
    metrics: dict[str, Any]
    history: pd.DataFrame

    def final(self, number: str) -> list[float]:
        """A number that each run ends with, seed by seed; NaN where it was not finite."""
        return [np.nan if run[number] is None else run[number] for run in self.metrics["seeds"]]


def read_results(params: Params, folder: Path | str = "models") -> dict[str, Result]:
    """The models that params.yaml names, in its order; what else lies in `folder` is not looked at.

    Raises InvalidResults for a folder that is missing or was trained with other seeds.
    """
    return {
        name: _read(name, settings, params, Path(folder) / name) for name, settings in params.models.items()
    }


def _read(name: str, settings: Model, params: Params, folder: Path) -> Result:
    try:
        result = Result(name, settings, model_folder.read_metrics(folder), model_folder.read_history(folder))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidResults(f"{folder}: cannot be read: {reason}; `dvc repro` trains {name} again") from None
    seeds = [run["seed"] for run in result.metrics["seeds"]]
    if seeds != list(params.train.seeds):
        due = list(params.train.seeds)
        raise InvalidResults(f"{folder}: was trained with the seeds {seeds}; accepted: {due} (train.seeds)")
    return result


def compare(params: Params, results: Mapping[str, Result]) -> pd.DataFrame:
    """One row per study and model: settings, counts, status, each measure's mean and deviation.

    Losses are in nats, accuracies are shares from 0 to 1. A mean is empty where a seed's value was
    not finite, a deviation also where there is only one seed. The bounds `_low` and `_high` are
    those of the 95 % interval of the mean.
    """
    rows = [
        {"study": study, **_row(results[model])}
        for study, members in params.studies.items()
        for model in members.models
    ]
    return pd.DataFrame(rows)


def _row(result: Result) -> dict[str, Any]:
    metrics = result.metrics
    row = {
        "model": result.name,
        "batch_size": metrics["batch_size"],
        "learning_rate": result.settings.learning_rate,
        "updates": metrics["updates"],
        "seeds": len(metrics["seeds"]),
        "status": metrics["status"],
    }
    for number in (*MEASURES, *MOVEMENT):
        row[f"{number}_mean"], row[f"{number}_std"] = mean_and_deviation(result.final(number))
    for number in ("validation_accuracy", "test_accuracy"):
        _, low, high = interval(result.final(number))
        row[f"{number}_low"], row[f"{number}_high"] = np.clip((low, high), 0, 1)
    settings = {
        "best_seed": metrics["best_seed"],
        "images": metrics["images"],
        "optimizer": result.settings.optimizer,
    }
    return row | settings


def histories(results: Mapping[str, Result]) -> pd.DataFrame:
    """All models' histories under one another, in the order of params.yaml."""
    tables = [result.history.assign(model=result.name) for result in results.values()]
    table = pd.concat(tables, ignore_index=True)
    return table[["model", *table.columns.drop("model")]]


def best(rows: pd.DataFrame) -> str | None:
    """The model of a study with the highest mean validation accuracy; None if none of them learned.

    Equal accuracies: the lower validation loss wins, then the earlier row.
    """
    fit = rows[~rows.status.isin(outcome.UNFIT) & rows.validation_accuracy_mean.notna()]
    if fit.empty:
        return None
    order = {"validation_accuracy_mean": False, "validation_loss_mean": True}
    return fit.sort_values(list(order), ascending=list(order.values()), kind="stable").model.iloc[0]


def summary(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """What `dvc exp show` prints: the best model of each study, each model's test accuracy and status.

    Small on purpose, as every entry is a column. An accuracy that is not finite is left out.
    """
    models = table.drop_duplicates("model").set_index("model")
    accuracy = models.test_accuracy_mean.dropna().round(5)
    return {
        "best": {study: best(rows) or "none" for study, rows in table.groupby("study", sort=False)},
        "test_accuracy": {model: float(value) for model, value in accuracy.items()},
        "status": models.status.to_dict(),
    }


def read_table(path: Path | str) -> pd.DataFrame:
    """A table as files.write_table wrote it; a model may be called `12`, `NA` or `null` and stays so."""
    names = ("study", "model", "best", "other", "status", "optimizer")
    return pd.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False, na_values=[""])
