"""A model's results on disk, models/<name>/: history, final metrics, status and weights.

history.csv has a row per seed and epoch, metrics.json what each run ended with, test_probabilities.npy
(seeds, test images, classes) and trajectory.npy (epochs + 1, weights) of the first seed are float32,
replicates/ has each seed's Keras model, and model.keras is the best one of them.
"""

import json
import math
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from descent.engine.settings import RunSettings
from descent.files import finite, replacing, write_array, write_json, write_table, zipped
from descent.metrics import EPOCH_METRICS, FINAL_METRICS, TEST_METRICS

STATUSES = ("diverged", "collapsed", "stalled", "undertrained", "learned")
"""From the worst to the best."""

NOT_LEARNED = STATUSES[:3]
"""A model with one of these statuses has learned nothing; it is never the best one."""

DIVERGED_FROM = 2.0  # runs of the sweep that fail end either at 1.0 to 1.3 times or at 4 times and more
COLLAPSED_FROM = 0.98
STALLED_BELOW = 0.01
STALLED_UPDATES = 10  # a run that made fewer had no time to show progress
LEARNED_BELOW = 0.5
"""The bounds of the statuses as `status` explains them: losses as multiples of that of guessing."""

IDENTITY = ("model", "batch_size", "learning_rate", "optimizer", "seed")
"""The columns that tell the runs of several models apart."""

VOLATILE = ("date_saved", "shared_object_id")
"""What Keras writes into an archive besides the model: the date, and addresses in memory."""


def guessing_loss(classes: int) -> float:
    """Return the cross-entropy of giving every class the same probability: log(classes), in nats."""
    return math.log(classes)


def status(history: Sequence[Mapping[str, Any]], classes: int) -> str:
    """Classify a run by its training loss and by how far its weights moved.

    The thresholds are conventions of this experiment, relative to the loss of guessing. The weights
    moved far if the slope at the start, kept up over the distance that they moved, would have lowered
    the loss by as much as guessing costs. A number that is not finite may be None in `history`.

    Returns:
        The first of these that holds:

        - `diverged`: the last loss is not finite, or above twice guessing and above the first loss.
        - `collapsed`: the last loss is at least 98 % of guessing, and the weights moved far.
        - `stalled`: the loss fell by less than 1 % of guessing, in ten updates or more.
        - `learned`: the last loss is below half of guessing.
        - `undertrained`: all else.
    """
    guessing = guessing_loss(classes)
    first, last = (_number(history[place], "train_loss") for place in (0, -1))
    gradient_norm, distance = _number(history[0], "gradient_norm"), _number(history[-1], "distance")
    if not math.isfinite(last) or last > max(first, DIVERGED_FROM * guessing):
        return "diverged"
    moved_far = not distance * gradient_norm < guessing  # so that a distance that is not finite is far
    if last >= COLLAPSED_FROM * guessing and moved_far:
        return "collapsed"
    if first - last < STALLED_BELOW * guessing and history[-1]["updates"] >= STALLED_UPDATES:
        return "stalled"
    return "learned" if last < LEARNED_BELOW * guessing else "undertrained"


def _number(epoch: Mapping[str, Any], key: str) -> float:
    return math.nan if epoch[key] is None else float(epoch[key])


def worst_status(statuses: Sequence[str]) -> str:
    """Return the status of a model: the worst of its runs' statuses."""
    return min(statuses, key=STATUSES.index)


def history_table(
    names: Sequence[Mapping[str, Any]], runs: Sequence[Any], columns: Sequence[str] = ("seed",)
) -> pd.DataFrame:
    """Make a table with a row per `training.TrainedRun` and epoch, named by `columns` of `names`."""
    epochs = [{**name, **epoch} for name, run in zip(names, runs, strict=True) for epoch in run.history]
    metrics = [metric.key for metric in EPOCH_METRICS]
    return pd.DataFrame(epochs, columns=[*columns, "epoch", "updates", *metrics])


def final_metrics(seed: int, run: Any) -> dict[str, Any]:
    """Return what a `training.TrainedRun` ended with: seed, status and FINAL_METRICS; None if not finite."""
    numbers = run.history[-1] | {"test_loss": run.test_loss, "test_accuracy": run.test_accuracy}
    found = status(run.history, classes=run.test_probabilities.shape[1])
    return {"seed": seed, "status": found} | {m.key: finite(numbers[m.key]) for m in FINAL_METRICS}


def model_metrics(
    name: str, settings: RunSettings, images: int, runs: Sequence[dict], parameters: int
) -> dict:
    """Make the content of metrics.json from the `final_metrics` of a model's runs on `images` images."""
    updates = settings.updates_per_epoch(images)
    return {
        "model": name,
        "status": worst_status([run["status"] for run in runs]),
        "best_seed": best_seed(runs),
        "parameters": parameters,
        "images": images,
        "batch_size": settings.batch_size,
        "updates_per_epoch": updates,
        "updates": updates * settings.epochs,
        "seeds": list(runs),
    }


def best_seed(runs: Sequence[dict[str, Any]]) -> int:
    """Return the seed with the highest validation accuracy.

    A tie goes to the lower validation loss, then to the earlier seed.
    """

    def rank(run: dict[str, Any]) -> tuple[float, float]:
        loss = run["validation_loss"]
        return run["validation_accuracy"], -math.inf if loss is None else -loss

    return max(runs, key=rank)["seed"]


def write_results(
    folder: Path, name: str, runs: Sequence[RunSettings], trained: Sequence[Any], dataset: Any
) -> dict:
    """Write all of models/<name>/ from the `training.TrainedRun` of each seed; return metrics.json."""
    from descent.engine import network  # imports TensorFlow, which readers of results do not need

    seeds, images = [run.seed for run in runs], len(dataset.train.labels)
    finals = [final_metrics(seed, run) for seed, run in zip(seeds, trained, strict=True)]
    metrics = model_metrics(name, runs[0], images, finals, parameters=trained[0].trajectory.shape[1])
    write_table(folder / "history.csv", history_table([{"seed": seed} for seed in seeds], trained))
    write_json(folder / "metrics.json", metrics)
    write_array(folder / "test_probabilities.npy", np.stack([run.test_probabilities for run in trained]))
    write_array(folder / "trajectory.npy", trained[0].trajectory)
    for settings, run in zip(runs, trained, strict=True):
        model = network.build(settings, dataset.train.images.shape[1:], dataset.classes)
        model.set_weights(run.weights)
        write_keras(replicate(folder, settings.seed), model)
    with replacing(folder / "model.keras") as temporary:
        shutil.copyfile(replicate(folder, metrics["best_seed"]), temporary)
    return metrics


def write_keras(path: Path, model: Any) -> None:
    """Write a Keras archive whose bytes depend on the model alone."""
    with replacing(path) as temporary:
        model.save(temporary)
        with zipfile.ZipFile(temporary) as archive:
            members = {name: archive.read(name) for name in sorted(archive.namelist())}
        for name in filter(lambda name: name.endswith(".json"), members):
            members[name] = json.dumps(json.loads(members[name], object_hook=_lasting), indent=1).encode()
        temporary.write_bytes(zipped(members))


def _lasting(entries: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if key not in VOLATILE}


def identity(model: str, run: RunSettings) -> dict[str, Any]:
    """Return IDENTITY of a run."""
    return {"model": model, **{name: getattr(run, name) for name in IDENTITY[1:]}}


def write_run_tables(folder: Path, names: Sequence[dict[str, Any]], trained: Sequence[Any]) -> None:
    """Write the runs of several models, named by `identity`: runs.csv, how each ended, and history.csv."""
    ends = [name | final_metrics(name["seed"], run) for name, run in zip(names, trained, strict=True)]
    columns = [*IDENTITY, "status", *(metric.key for metric in TEST_METRICS)]
    write_table(folder / "runs.csv", pd.DataFrame(ends, columns=columns))
    write_table(folder / "history.csv", history_table(names, trained, IDENTITY))


def replicate(folder: Path, seed: int) -> Path:
    """Return the file of one seed's Keras model."""
    return folder / "replicates" / f"seed_{seed}.keras"


def read_history(folder: Path | str) -> pd.DataFrame:
    """Read a model's history; what was not finite is NaN."""
    return pd.read_csv(Path(folder) / "history.csv")


def read_metrics(folder: Path | str) -> dict[str, Any]:
    """Read a model's final metrics; what was not finite is None."""
    return json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
