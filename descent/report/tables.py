"""The tables in reports/: everything that is said or drawn is read from them."""

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from descent import format, paths
from descent.config import Model, Params
from descent.data import Dataset
from descent.engine.optimizers import OPTIMIZERS
from descent.errors import UserError
from descent.files import write_json, write_table
from descent.metrics import METRICS
from descent.report import landscape
from descent.results import NOT_LEARNED, read_history, read_metrics
from descent.statistics import SIGNIFICANT, exact_mcnemar, interval, mean_and_deviation, paired_t

CONSTANTS = tuple(dict.fromkeys(name for optimizer in OPTIMIZERS.values() for name in optimizer.constants))
SETTINGS = ("batch_size", "optimizer", "hidden_layers", "activation", "learning_rate", *CONSTANTS)
"""The settings of a model, as columns; a constant that no model has gets no column."""

INTERVALS = ("validation_accuracy", "test_accuracy")
"""The metrics with a confidence interval."""

DIFFERENCES = (
    "study best other pairs difference difference_low difference_high t p_seeds seeds_needed images "
    "best_alone_correct other_alone_correct p_images"
).split()

WORST_MISTAKES = 12
"""The number of misclassified images that are listed for each model."""


class InvalidResults(UserError):
    """The results in models/ do not fit params.yaml; one line: the file, what was found, what is accepted."""


class Result(NamedTuple):
    """A trained model's results: its settings, the folder, and metrics.json and history.csv in it."""

    name: str
    settings: Model
    folder: Path
    metrics: dict[str, Any]
    history: pd.DataFrame

    @property
    def seeds(self) -> list[int]:
        """The seeds of its runs."""
        return [run["seed"] for run in self.metrics["seeds"]]

    def final(self, key: str) -> list[float]:
        """Return a metric at the end of each run; NaN where it was not finite."""
        return [math.nan if run[key] is None else run[key] for run in self.metrics["seeds"]]


class Tables(NamedTuple):
    """The tables, each in the file of its name.

    Attributes:
        comparison: A row per study and model: study, model, SETTINGS, updates, seeds, status; for each
            of METRICS `<key>_mean` and `<key>_std` over the seeds, empty where a seed's value was
            not finite; `<key>_low` and `<key>_high`, the 95 % interval of the mean, for INTERVALS;
            best_seed; images (for training), pixels (per image), classes; p_lead, the p-value of the
            study's best model's lead over this one (`differences.p_seeds`).
        history: A row per model, seed and epoch: model, seed, epoch, updates, EPOCH_METRICS.
        differences: DIFFERENCES: the best model of a study compared with each other model, the
            runner-up first; no test with a model that learned nothing.
        trajectories: landscape.TRAJECTORY_COLUMNS.
        surface: landscape.SURFACE_COLUMNS.
        confusion: model, true, predicted, images: the test images by true and predicted class.
        mistakes: model, image (row of the test images), true, predicted, probability: the misclassified
            images whose true class got the lowest probability; probability is the predicted class's.
        sweep: A row per run of the sweep.
    """

    comparison: pd.DataFrame
    history: pd.DataFrame
    differences: pd.DataFrame
    trajectories: pd.DataFrame
    surface: pd.DataFrame
    confusion: pd.DataFrame
    mistakes: pd.DataFrame
    sweep: pd.DataFrame


def read_results(params: Params, folder: Path = paths.MODELS) -> dict[str, Result]:
    """Read the results of the models in params.yaml, in its order.

    Raises:
        InvalidResults: A folder is missing, damaged, or was trained with other seeds.
    """
    return {name: _read_result(name, params, folder / params.results_folder(name)) for name in params.models}


def remove_other_results(params: Params, folder: Path = paths.MODELS) -> list[Path]:
    """Remove the results of models that are not in params.yaml; return their folders.

    The report depends on the whole of models/, so that what is left there would make it out of date in
    every clone, where `dvc checkout` puts no such folder. DVC's cache keeps the results, and
    `dvc checkout` in an earlier commit brings them back.
    """
    kept = [folder / params.results_folder(model) for model in params.models]
    others = [path.parent for path in sorted(folder.glob("*/metrics.json")) if path.parent not in kept]
    for path in others:
        shutil.rmtree(path)
    return others


def _read_result(name: str, params: Params, folder: Path) -> Result:
    try:
        result = Result(name, params.models[name], folder, read_metrics(folder), read_history(folder))
        seeds = result.seeds
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, error) from None
    accepted = list(params.seeds(name))
    if seeds != accepted:
        raise InvalidResults(f"{folder}: trained with the seeds {seeds}; accepted: {accepted} (params.yaml)")
    return result


def _unreadable(path: Path, error: Exception) -> InvalidResults:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return InvalidResults(f"{path}: cannot be read: {reason}; `dvc repro` trains the model again")


def read_array(path: Path) -> np.ndarray:
    """Read an array of a model's results.

    Raises:
        InvalidResults: It is missing or cannot be read.
    """
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from None


def compute(params: Params, results: Mapping[str, Result], dataset: Dataset, sweep: pd.DataFrame) -> Tables:
    """Compute all tables but the sweep's, which is given.

    Raises:
        InvalidResults: A model's predictions or trajectory cannot be read.
    """
    labels = dataset.test.labels
    predictions = {name: _best_predictions(result) for name, result in results.items()}
    comparison = compare(params, results, dataset)
    tested = differences(comparison, results, predictions, labels)
    leads = tested.rename(columns={"other": "model", "p_seeds": "p_lead"})[["study", "model", "p_lead"]]
    trajectories, surface = _landscapes(params, results, dataset)
    return Tables(
        comparison.merge(leads, how="left", on=["study", "model"]),
        _stacked("model", {name: result.history for name, result in results.items()}),
        tested,
        trajectories,
        surface,
        _stacked("model", {name: confusion(found, labels) for name, found in predictions.items()}),
        _stacked("model", {name: mistakes(found, labels) for name, found in predictions.items()}),
        sweep,
    )


def write_tables(tables: Tables, folder: Path = paths.REPORTS) -> None:
    """Write the CSV files and metrics.json; sweep.csv is not written, it belongs to another stage."""
    for name, table in tables._asdict().items():
        if name != "sweep":
            write_table(folder / f"{name}.csv", table)
    write_json(folder / "metrics.json", summary(read_table(folder / "comparison.csv")))


def read_tables(folder: Path = paths.REPORTS) -> Tables:
    """Read the tables back; rendering reads files, so it says nothing that they do not hold."""
    return Tables(*(read_table(folder / f"{name}.csv") for name in Tables._fields))


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file of the report; a model may be called `12`, `NA` or `null`."""
    words = ("study", "model", "best", "other", "status", "optimizer", "hidden_layers", "activation")
    return pd.read_csv(path, dtype=dict.fromkeys(words, str), keep_default_na=False, na_values=[""])


def _stacked(by: str, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Stack tables, with their names as the first column, `by`."""
    return pd.concat(tables, names=[by]).reset_index(by).reset_index(drop=True)


# Comparison


def compare(params: Params, results: Mapping[str, Result], dataset: Dataset) -> pd.DataFrame:
    """Make `Tables.comparison`, without p_lead."""
    used = {name for model in params.models.values() for name in model.constants()}
    constants = [name for name in CONSTANTS if name in used]
    rows = []
    for study, members in params.studies.items():
        for result in (results[model] for model in members.models):
            settings, metrics = result.settings, result.metrics
            row = {
                "study": study,
                "model": result.name,
                "batch_size": metrics["batch_size"],
                "optimizer": settings.optimizer,
                "hidden_layers": "-".join(map(str, settings.hidden_layers)) or "none",
                "activation": settings.activation,
                "learning_rate": settings.learning_rate,
                **{name: settings.constants().get(name, math.nan) for name in constants},
                "updates": metrics["updates"],
                "seeds": len(result.seeds),
                "status": metrics["status"],
            }
            for key in METRICS:
                row[f"{key}_mean"], row[f"{key}_std"] = mean_and_deviation(result.final(key))
            for key in INTERVALS:
                _, low, high = interval(result.final(key))
                row[f"{key}_low"], row[f"{key}_high"] = np.clip((low, high), 0, 1)
            row |= {"best_seed": metrics["best_seed"], "images": metrics["images"]}
            rows.append(row | {"pixels": dataset.train.images[0].size, "classes": dataset.classes})
    return pd.DataFrame(rows)


def best(rows: pd.DataFrame) -> pd.Series | None:
    """Return the row of the best model among rows of the comparison; None if none learned anything.

    The rule for models: the highest mean validation accuracy; a tie goes to the lower mean
    validation loss, then to the earlier row. A model with a status in NOT_LEARNED is never the best.
    """
    fit = rows[~rows.status.isin(NOT_LEARNED) & rows.validation_accuracy_mean.notna()]
    # Files hold nine digits, so a tie in memory and in the file are the same.
    order = fit.assign(accuracy=fit.validation_accuracy_mean.round(9)).sort_values(
        ["accuracy", "validation_loss_mean"], ascending=[False, True], kind="stable"
    )
    return None if order.empty else order.iloc[0]


def tied(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the best model and of those that chance may have put behind it.

    These have the same mean validation accuracy, or `p_lead` says that the lead may be chance.
    """
    winner = best(rows)
    if winner is None:
        return rows.iloc[:0]
    same = rows.validation_accuracy_mean.round(9) == round(winner.validation_accuracy_mean, 9)
    return rows[(same | (rows.p_lead >= SIGNIFICANT)) & ~rows.status.isin(NOT_LEARNED)]


def varying(rows: pd.DataFrame) -> list[str]:
    """Return the settings that differ between rows of the comparison, in the order of SETTINGS.

    A constant differs if two models that have it differ in it.
    """
    return [name for name in SETTINGS if name in rows and rows[name].dropna().nunique() > 1]


def shown_settings(rows: pd.DataFrame) -> list[str]:
    """Return the settings that name a model of these rows: those that vary, or the usual ones."""
    return varying(rows) or ["batch_size", "learning_rate"]


def settings_text(row: Any, names: Sequence[str]) -> str:
    """Describe settings of a row of the comparison: `batch size 8 and learning rate 0.1`."""
    known = [(name, getattr(row, name)) for name in names if pd.notna(getattr(row, name))]
    return format.listed(
        [f"{format.setting_title(name)} {format.setting(name, value, row.images)}" for name, value in known]
    )


def setting_texts(rows: pd.DataFrame, name: str) -> list[str]:
    """Return the value of a setting in each row of the comparison."""
    return [format.setting(name, row[name], row.images) for _, row in rows.iterrows()]


def answer(rows: pd.DataFrame) -> str:
    """Return the best value of what a study varies, from its rows: `batch size 8`; a tie is called a tie."""
    models, names = tied(rows), shown_settings(rows)
    if models.empty:
        return "none"
    others = [name for name in names if name != "learning_rate"]
    if len(models) > 1 and others and not models.duplicated(others).any():  # the rate goes without saying
        names = others
    if len(models) > 1 and len(names) == 1:
        values = format.listed(list(dict.fromkeys(setting_texts(models, names[0]))))
        return f"a tie of {format.setting_titles(names[0])} {values}"
    texts = [settings_text(row, names) for row in models.itertuples()]
    return texts[0] if len(texts) == 1 else f"a tie of {format.listed(texts)}"


def summary(comparison: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Make metrics.json: each study's answer and best model, each model's test accuracy and status.

    It is small because `dvc exp show` makes a column of every entry. An accuracy that is not finite is
    left out.
    """
    models = comparison.drop_duplicates("model").set_index("model")
    studies = dict(iter(comparison.groupby("study", sort=False)))
    winners = {study: best(rows) for study, rows in studies.items()}
    accuracy = models.test_accuracy_mean.dropna().round(5)
    return {
        "answer": {study: answer(rows) for study, rows in studies.items()},
        "best": {study: "none" if row is None else row.model for study, row in winners.items()},
        "test_accuracy": {model: float(value) for model, value in accuracy.items()},
        "status": models.status.to_dict(),
    }


# Differences between the best model and the others


def differences(
    comparison: pd.DataFrame,
    results: Mapping[str, Result],
    predictions: Mapping[str, np.ndarray],
    labels: np.ndarray,
) -> pd.DataFrame:
    """Test whether the best model of each study is better by more than chance.

    Over the seeds: a paired t-test on the final validation accuracies, since runs of the same seed start
    from the same weights. Over the test images: McNemar's exact test between the best seeds,
    whose class probabilities are `predictions`, (images, classes).
    """
    rows = []
    for study, members in comparison.groupby("study", sort=False):
        winner = best(members)
        if winner is None:
            continue
        others = members[members.model != winner.model]
        order = others.assign(failed=others.status.isin(NOT_LEARNED)).sort_values(
            ["failed", "validation_accuracy_mean"], ascending=[True, False], kind="stable"
        )
        for other, failed in zip(order.model, order.failed, strict=True):
            row = {"study": study, "best": winner.model, "other": other}
            row |= _over_seeds(results[winner.model], results[other])
            correct = (predictions[name].argmax(axis=1) == labels for name in (winner.model, other))
            row |= _over_images(*correct)
            if failed:  # that it is behind needs no test
                row |= dict.fromkeys(("t", "p_seeds", "seeds_needed", "p_images"), math.nan)
            rows.append(row)
    return pd.DataFrame(rows, columns=DIFFERENCES)


def _over_seeds(ours: Result, theirs: Result) -> dict[str, Any]:
    """Compare the final validation accuracies of runs of the same seed."""
    us, them = (pd.Series(result.final("validation_accuracy"), result.seeds) for result in (ours, theirs))
    pairs = pd.concat([us, them], axis=1, join="inner")
    if pairs.empty:
        return {"pairs": 0}
    found = paired_t(pairs[0], pairs[1])
    difference, low, high = found.difference
    return {
        "pairs": len(pairs),
        "difference": difference,
        "difference_low": low,
        "difference_high": high,
        "t": found.t,
        "p_seeds": found.p,
        "seeds_needed": found.pairs_needed,
    }


def _over_images(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Compare which images (images,) are classified correctly."""
    alone, other = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    counts = {"images": len(ours), "best_alone_correct": alone, "other_alone_correct": other}
    return counts | {"p_images": exact_mcnemar(alone, other)}


def _best_predictions(result: Result) -> np.ndarray:
    """Read the test probabilities (images, classes) of a model's best seed."""
    probabilities = read_array(result.folder / "test_probabilities.npy")
    return probabilities[result.seeds.index(result.metrics["best_seed"])]


# Mistakes


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Count the images by true and predicted class: a row for each pair of classes."""
    classes = probabilities.shape[1]
    pairs = labels.astype(int) * classes + probabilities.argmax(axis=1)
    true, predicted = np.divmod(np.arange(classes**2), classes)
    counts = np.bincount(pairs, minlength=classes**2)
    return pd.DataFrame({"true": true, "predicted": predicted, "images": counts})


def mistakes(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """List the misclassified images whose true class got the lowest probability, lowest first."""
    of_truth, predicted = probabilities[np.arange(len(labels)), labels], probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    rows = wrong[np.argsort(of_truth[wrong], kind="stable")][:WORST_MISTAKES]
    return pd.DataFrame(
        {
            "image": rows,
            "true": labels[rows],
            "predicted": predicted[rows],
            "probability": probabilities[rows, predicted[rows]].astype(float).round(4),
        }
    )


# Trajectories and loss surfaces


def _landscapes(
    params: Params, results: Mapping[str, Result], dataset: Dataset
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make `Tables.trajectories` and `Tables.surface`.

    A study has none if its models have weights of their own shape or start from weights of their own, or if
    all of them went so far that nothing else would be seen.
    """
    trajectories, surface = {}, {}
    for study, members in params.studies.items():
        found = {model: results[model] for model in members.models}
        starts = {(r.settings.hidden_layers, r.settings.activation, r.seeds[0]) for r in found.values()}
        near = [m for m, result in found.items() if result.metrics["status"] not in landscape.EXCLUDED]
        if len(starts) > 1 or not near:
            continue
        [(hidden_layers, activation, _)] = starts
        weights = {model: read_array(result.folder / "trajectory.npy") for model, result in found.items()}
        widths = (dataset.train.images[0].size, *hidden_layers, dataset.classes)
        trajectories[study], surface[study] = landscape.study_landscape(
            weights, near, dataset.train, widths, activation
        )
    if not surface:
        return pd.DataFrame(columns=landscape.TRAJECTORY_COLUMNS), pd.DataFrame(
            columns=landscape.SURFACE_COLUMNS
        )
    return _stacked("study", trajectories), _stacked("study", surface)
