"""What MLflow is to show of a trained model, read from its files alone, be it live, replayed or checked."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from stages.core import model_folder
from stages.core.mirror import lockfile, series
from stages.core.mirror.description import describe
from stages.core.mirror.series import Point
from stages.core.settings import Model


class RunRecord(NamedTuple):
    """One MLflow run: its name, the text that describes it, and when it went, in ms since 1970."""

    name: str
    params: dict[str, str]
    tags: dict[str, str]
    points: list[Point]
    start: int
    end: int


class ModelRecord(NamedTuple):
    """A model's own run and its seeds' runs; the folder they were read from, its files' md5, its data's."""

    name: str
    model: RunRecord
    seeds: dict[int, RunRecord]
    folder: Path
    files: dict[str, str]
    data: str


def read(root: Path | str, name: str, settings: Model, studies: Sequence[str], data: str) -> ModelRecord:
    """The record of models/<name>/ under `root`, trained with `settings` on arrays whose md5 is `data`.

    Raises OSError, ValueError or KeyError if the files are not as train writes them.
    """
    folder = Path(root, "models", name)
    metrics, history = model_folder.read_metrics(folder), model_folder.read_history(folder)
    timing = json.loads((folder / "timing.json").read_text(encoding="utf-8"))
    files, params = lockfile.digests(folder), _params(name, settings, metrics, history)
    shared = {"model": name, "studies": ", ".join(studies), "dvc.outputs": outputs(name, settings, files)}
    clocks = {entry["seed"]: series.clock(timing, entry) for entry in timing["seeds"]}
    start, end = series.started(timing), max(clock[-1] for clock in clocks.values())
    own = RunRecord(
        titled(name, metrics["status"]),
        params | {"seeds": _text(list(clocks))},
        shared | _model_tags(settings, metrics, timing, files),
        [*series.of_model(metrics, history, next(iter(clocks.values()))), *series.speed(timing, end)],
        start,
        end,
    )
    seeds = {
        run["seed"]: RunRecord(
            titled(f"{name}, seed {run['seed']}", run["status"]),
            params | {"seed": _text(run["seed"])},
            shared | _seed_tags(run, files),
            list(series.of_seed(history[history.seed == run["seed"]], run, clocks[run["seed"]])),
            start,
            clocks[run["seed"]][-1],
        )
        for run in metrics["seeds"]
    }
    return ModelRecord(name, own, seeds, folder, files, data)


def titled(name: str, status: str) -> str:
    """A run's name, with its status where it is not what one expects: the list of runs shows no tags."""
    return name if status == "learned" else f"{name} ({status})"


def outputs(name: str, settings: Model, files: dict[str, str]) -> str:
    """What tells one training from all others: an md5 over the model's name, settings and files' md5.

    The model's bytes alone would not do: two models may end in the same bytes, and one that is
    trained again does, but its timing.json is another.
    """
    identity = [name, settings.model_dump(mode="json"), sorted(files.items())]
    return hashlib.md5(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _params(name: str, settings: Model, metrics: dict, history: pd.DataFrame) -> dict[str, str]:
    values = {
        "model": name,
        "batch_size": settings.batch_size,
        "effective_batch_size": metrics["batch_size"],
        "learning_rate": settings.learning_rate,
        "optimizer": settings.optimizer,
        **settings.constants(),
        "hidden_layers": list(settings.hidden_layers),
        "activation": settings.activation,
        "epochs": int(history.epoch.max()),
        "updates_per_epoch": metrics["updates_per_epoch"],
        "updates": metrics["updates"],
        "training_images": metrics["images"],
        "parameters": metrics["parameters"],
    }
    return {key: _text(value) for key, value in values.items()}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _model_tags(settings: Model, metrics: dict, timing: dict, files: dict[str, str]) -> dict[str, str]:
    versions = {f"version.{library}": version for library, version in timing["versions"].items()}
    return {
        "status": metrics["status"],
        "best_seed": str(metrics["best_seed"]),
        "dvc.md5": files["model.keras"],
        "processor": timing["processor"],
        "mlflow.note.content": describe(settings, metrics),
    } | versions


def _seed_tags(run: dict, files: dict[str, str]) -> dict[str, str]:
    return {
        "seed": str(run["seed"]),
        "status": run["status"],
        "dvc.md5": files[f"replicates/seed_{run['seed']}.keras"],
    }
