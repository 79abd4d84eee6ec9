"""Trained models as folders of made-up numbers, and the params.yaml and digits that belong to them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from stages.core.data.mnist import Digits
from stages.core.files import write_table
from stages.core.model_folder import FINALS
from stages.core.outcome import of_model, status
from stages.core.params import Params
from stages.core.report import method

COURSES = {"learned": 0.05, "undertrained": 0.8, "stalled": 0.9995, "diverged": 15.0, "not finite": np.nan}
"""What the training loss ends at, as a multiple of its start."""

DEFAULT = {"batch_8": "learned", "baseline": "learned", "rate_100": "diverged", "rate_1e-7": "stalled"}


def make_params(
    courses: Mapping[str, str] = DEFAULT, seeds: Sequence[int] = (0, 1, 2), epochs: int = 4, **changes
) -> Params:
    """Parameters for these models, all in the one study `batch_size` unless `studies` are given."""
    models = {
        name: {"batch_size": 8 * 2**place, "learning_rate": 0.01, "hidden_layers": [6, 5]}
        for place, name in enumerate(courses)
    }
    study = {"batch_size": {"question": "Which batch size performed best?", "models": list(courses)}}
    project = yaml.safe_load((Path(__file__).parent.parent / "params.yaml").read_text())
    return Params.model_validate(
        project
        | {
            "train": {"epochs": epochs, "seeds": list(seeds)},
            "models": models,
            "studies": study,
            **changes,
        }
    )


def write_project(folder: Path, params: Params, digits: Digits, courses: Mapping[str, str] = DEFAULT) -> None:
    """Write models/ and data/arrays under `folder` as the stages before `report` do."""
    arrays = folder / "data" / "arrays"
    arrays.mkdir(parents=True)
    for name, split in digits._asdict().items():
        np.save(arrays / f"{name}_images.npy", split.images)
        np.save(arrays / f"{name}_labels.npy", split.labels)
    for place, name in enumerate(params.models):
        write_model(folder / "models" / name, params, name, courses[name], place, digits)


def write_model(folder: Path, params: Params, name: str, course: str, place: int, digits: Digits) -> None:
    """Write one model's folder; of equal courses, an earlier place is a better model."""
    folder.mkdir(parents=True)
    settings, random = params.models[name], np.random.default_rng(place)
    per_epoch = settings.updates_per_epoch(600)
    history = pd.concat([_run(params, seed, course, place, per_epoch, random) for seed in params.train.seeds])
    write_table(folder / "history.csv", history)
    runs = [_final(seed, run) for seed, run in history.groupby("seed", sort=False)]
    best = max(runs, key=lambda run: run["validation_accuracy"])["seed"]
    metrics = {"model": name, "status": of_model([run["status"] for run in runs]), "best_seed": best}
    batch = settings.effective_batch_size(600)
    metrics |= {"parameters": 1, "images": 600, "batch_size": batch, "updates_per_epoch": per_epoch}
    metrics |= {"updates": per_epoch * params.train.epochs, "seeds": runs}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    np.save(folder / "path.npy", _path(settings, params.train.epochs, course, random))
    right = {"learned": 0.9 - place / 50, "undertrained": 0.3}.get(course, 0.1)
    np.save(folder / "test_probabilities.npy", _probabilities(len(runs), digits.test.labels, right, random))
    seconds = [
        {"seed": seed, "compile_seconds": 1.0, "epoch_seconds": [0.5] * params.train.epochs}
        for seed in params.train.seeds
    ]
    timing = {"processor": "A processor", "threads": 1, "versions": {}, "seeds": seconds, "seconds": 9.0}
    (folder / "timing.json").write_text(json.dumps(timing | {"images_per_second": 1.0}))


def _run(params, seed, course, place, per_epoch, random) -> pd.DataFrame:
    epochs = np.arange(params.train.epochs + 1)
    share = epochs / params.train.epochs
    loss = 2.3 * COURSES[course] ** share if course != "not finite" else np.where(share > 0.5, np.nan, 2.3)
    accuracy = 0.1 + share * {"learned": 0.85 - place / 50, "undertrained": 0.2}.get(course, 0.01)
    accuracy = accuracy + random.uniform(0, 0.005, len(epochs))
    distance = share * {"diverged": 1e12, "stalled": 1e-4, "undertrained": 0.2}.get(course, 8.0)
    columns = {"epoch": epochs, "updates": epochs * per_epoch, "train_loss": loss, "train_accuracy": accuracy}
    columns |= {"validation_loss": loss * 1.1, "validation_accuracy": accuracy - 0.01}
    norm = np.where(np.isnan(loss), np.nan, 1 - share / 2)
    return pd.DataFrame({"seed": seed, **columns, "gradient_norm": norm, "distance": distance})


def _final(seed: int, run: pd.DataFrame) -> dict:
    last = run.iloc[-1].to_dict()
    last |= {"test_loss": last["validation_loss"], "test_accuracy": last["validation_accuracy"] - 0.001}
    finite = {name: float(last[name]) if np.isfinite(last[name]) else None for name in FINALS}
    return {"seed": int(seed), "status": status([*run.train_loss]), **finite}


def _path(settings, epochs: int, course: str, random) -> np.ndarray:
    widths = method.layers(settings)
    size = sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False))
    start = np.random.default_rng(7).normal(0, 0.1, size)
    stride = {"diverged": 1e11, "stalled": 1e-6}.get(course, 0.05)
    steps = random.normal(0, 1, (epochs, size)) * stride
    if course == "not finite":
        steps = np.full((epochs, size), np.inf)
    return np.vstack([start, start + np.cumsum(steps, axis=0)]).astype(np.float32)


def _probabilities(seeds: int, labels: np.ndarray, right: float, random) -> np.ndarray:
    raw = random.uniform(0, 0.1, (seeds, len(labels), 10))
    hits = random.random((seeds, len(labels))) < right
    said = np.where(hits, labels, (labels + 1 + random.integers(0, 8, hits.shape)) % 10)
    np.put_along_axis(raw, said[..., None], 1.0, axis=2)
    return (raw / raw.sum(axis=2, keepdims=True)).astype(np.float32)
