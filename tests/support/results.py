"""Trained models with made-up numbers, of 5 classes of 6 x 4 pixels; no TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from descent.config import Params, images_per_update
from descent.data import Dataset, Split
from descent.files import finite, write_array, write_json, write_table
from descent.metrics import EPOCH_METRICS, FINAL_METRICS
from descent.results import best_seed, status, worst_status
from tests.support.small_params import ROOT

CLASSES, HEIGHT, WIDTH, IMAGES = 5, 6, 4, 40

OUTCOMES = {
    # final training loss relative to guessing, final accuracy, distance from the start
    "learned": (0.1, 0.9, 8.0),
    "undertrained": (0.8, 0.4, 0.5),
    "stalled": (1.029, 0.2, 1e-5),
    "collapsed": (1.0, 0.2, 200.0),
    "diverged": (20.0, 0.2, 1e12),
}
"""What a run of each status ends with; all start at 1.03 times guessing."""


def noise_dataset(
    height: int = HEIGHT,
    width: int = WIDTH,
    classes: int = CLASSES,
    images: int = IMAGES,
    names: Sequence[str] = (),
) -> Dataset:
    """Return three splits of random images."""
    random = np.random.default_rng(0)
    labels = (np.arange(images) % classes).astype(np.uint8 if classes <= 256 else np.uint16)
    splits = [Split(random.integers(0, 256, (images, height, width), np.uint8), labels) for _ in range(3)]
    return Dataset(*splits, tuple(names or map(str, range(classes))), "Small")


def make_params(
    models: Mapping[str, Mapping], seeds: Sequence[int] = (0, 1, 2), epochs: int = 4, **sections
) -> Params:
    """Make the project's params with other models, in one study `a` unless `studies` are given."""
    given = yaml.safe_load((ROOT / "params.yaml").read_text())
    given["preprocess"] |= {"training_images": IMAGES, "validation_images": IMAGES}
    given["sweep"] = {"batch_sizes": [8], "learning_rates": [0.1], "seeds": [0], "epochs": 1}
    given["tuned"] = {"seeds": [0], "models": {}}
    given["train"] = {"epochs": epochs, "seeds": list(seeds)}
    defaults = {"batch_size": 8, "learning_rate": 0.01, "hidden_layers": [3]}
    given["models"] = {name: defaults | dict(settings) for name, settings in models.items()}
    given["studies"] = {"a": {"question": "Which?", "models": list(models)}}
    return Params.model_validate(given | sections)


def run_history(
    outcome: str, epochs: int, updates: int, classes: int = CLASSES, accuracy: float | None = None
) -> pd.DataFrame:
    """Make the history of a run of so many updates an epoch that ends with an outcome."""
    loss, usual, distance = OUTCOMES[outcome]
    history = pd.DataFrame({metric.key: 1.0 for metric in EPOCH_METRICS}, index=range(epochs + 1))
    history.insert(0, "epoch", history.index)
    share = history.epoch / epochs
    history["updates"] = history.epoch * updates
    for key in ("train", "validation"):
        history[f"{key}_loss"] = np.log(classes) * (1.03 + (loss - 1.03) * share)
        history[f"{key}_accuracy"] = 0.2 + ((usual if accuracy is None else accuracy) - 0.2) * share
    return history.assign(distance=distance * share)


def write_model(
    folder: Path, params: Params, name: str, outcome: str, accuracies: Sequence[float] | None = None
) -> None:
    """Write the results of a model whose runs all have this outcome; `accuracies` has one for each seed."""
    settings, epochs, seeds = params.models[name], params.train.epochs, params.seeds(name)
    batch_size = images_per_update(settings.batch_size, IMAGES)
    updates = -(-IMAGES // batch_size)
    loss, accuracy, distance = OUTCOMES[outcome]
    runs, tables = [], []
    for place, seed in enumerate(seeds):
        end = accuracies[place] if accuracies else accuracy + place / 1000
        history = run_history(outcome, epochs, updates, accuracy=end)
        tables.append(history.assign(seed=seed))
        last = history.iloc[-1].to_dict() | {"test_loss": loss, "test_accuracy": end}
        word = status(history.to_dict("records"), CLASSES)
        runs.append({"seed": seed, "status": word} | {m.key: finite(last[m.key]) for m in FINAL_METRICS})
    columns = ["seed", "epoch", "updates", *(metric.key for metric in EPOCH_METRICS)]
    write_table(folder / "history.csv", pd.concat(tables)[columns])
    metrics = {
        "model": name,
        "status": worst_status([run["status"] for run in runs]),
        "best_seed": best_seed(runs),
    }
    metrics |= {"images": IMAGES, "batch_size": batch_size, "updates": updates * epochs}
    write_json(folder / "metrics.json", metrics | {"seeds": runs})
    random = np.random.default_rng(len(name))
    probabilities = random.dirichlet(np.ones(CLASSES), (len(seeds), IMAGES)).astype(np.float32)
    write_array(folder / "test_probabilities.npy", probabilities)
    widths = (HEIGHT * WIDTH, *settings.hidden_layers, CLASSES)
    size = sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False))
    start, direction = np.random.default_rng(7).normal(0, 0.3, size), random.normal(0, 1, (epochs, size))
    path = start + np.cumsum(direction / np.linalg.norm(direction) * distance, axis=0)
    write_array(folder / "trajectory.npy", np.vstack([start, path]).astype(np.float32))


def sweep_table(
    accuracies: Mapping[tuple[int, float], float], seeds: Sequence[int] = (0,), **columns
) -> pd.DataFrame:
    """Make a sweep's table, of 1000 images, from accuracies by batch size and learning rate."""
    rows = [
        {"batch_size": size, "learning_rate": rate, "optimizer": "sgd", "seed": seed, "epochs": 3}
        | {"updates": 3 * -(-1000 // size)}
        | {metric.key: 0.3 for metric in EPOCH_METRICS}
        | {"validation_accuracy": accuracy, "status": "learned"}
        for (size, rate), accuracy in accuracies.items()
        for seed in seeds
    ]
    return pd.DataFrame(rows).assign(**columns)


SWEEP = sweep_table({(8, 0.5): 0.5}, optimizer="ftrl")
"""A sweep of an optimizer that no model has."""
