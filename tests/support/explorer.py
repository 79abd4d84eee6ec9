"""A finished experiment for the explorer: sweep, models and tables with made-up numbers; no TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from sklearn.neural_network import MLPClassifier

from descent import sweep
from descent.config import Params
from descent.data import Dataset, Split
from descent.engine.settings import RunSettings
from descent.explorer.content import class_probabilities, content, pixels
from descent.explorer.page import page
from descent.report import tables
from tests.support.results import OUTCOMES, SWEEP, make_params, run_history, write_model

GRID = {"batch_sizes": [2, 8, "full"], "learning_rates": [1.0e-7, 0.1, 10.0], "seeds": [0], "epochs": 3}
ENDS = {1e-7: "stalled", 0.1: "learned", 10.0: "diverged"}
"""What runs of the sweep end with, by their learning rate; other rates learn."""


class Experiment(NamedTuple):
    """All that `content.content` takes."""

    params: Params
    dataset: Dataset
    comparison: pd.DataFrame
    cache: sweep.SweepCache
    models: Path

    def content(self) -> dict:
        """Return the content of the page."""
        return content(*self)

    def page(self) -> str:
        """Return the page."""
        return page(self.content())


def experiment(
    folder: Path,
    dataset: Dataset,
    outcomes: dict[str, str] | None = None,
    grid: dict | None = None,
    layers: Sequence[int] = (3,),
    networks: Mapping[str, list] | None = None,
    **sections,
) -> Experiment:
    """Write an experiment.

    Args:
        folder: Where to write.
        dataset: Its images.
        outcomes: What each model ends with, a key of results.OUTCOMES.
        grid: The section sweep, where it differs from GRID.
        layers: The hidden layers of every network.
        networks: Kernels and biases of models; other networks are random.
        sections: Other sections of params.yaml.
    """
    outcomes = outcomes or {"batch_2": "learned", "middle": "learned", "rate_10": "diverged"}
    params = make_params(
        {
            name: {"batch_size": 2 * place, "learning_rate": 0.1 if end == "learned" else 10.0}
            for place, (name, end) in enumerate(outcomes.items(), start=1)
        },
        **{
            "network": {"hidden_layers": list(layers)},
            "sweep": GRID | (grid or {}),
            "preprocess": {
                "training_images": len(dataset.train.labels),
                "validation_images": len(dataset.validation.labels),
                "seed": 0,
            },
        }
        | sections,
    )
    models = {
        name: model.model_copy(update={"hidden_layers": tuple(layers)})
        for name, model in params.models.items()
    }
    params = params.model_copy(update={"models": models})
    for place, (name, end) in enumerate(outcomes.items()):
        best = OUTCOMES[end][1] + 0.001 * place
        write_model(folder / "models" / name, params, name, end, [best] * len(params.train.seeds))
        shape = widths(dataset, params.models[name].hidden_layers)
        made = random_layers(shape, np.random.default_rng(place), scale=1e18 if end == "diverged" else 1)
        write_network(folder / "models" / name, params, dataset, (networks or {}).get(name, made))
    cache = sweep.open_cache(dataset, folder)
    for run in params.sweep_runs():
        write_run(run, dataset, cache)
    results = tables.read_results(params, folder / "models")
    comparison = tables.compute(params, results, dataset, SWEEP).comparison
    return Experiment(params, dataset, comparison, cache, folder / "models")


def widths(dataset: Dataset, layers: Sequence[int]) -> list[int]:
    """Return the widths of all layers."""
    return [dataset.train.images[0].size, *layers, dataset.classes]


def write_network(folder: Path, params: Params, dataset: Dataset, layers: list) -> None:
    """Write a model's trajectory to these layers, and what they answer."""
    start, end = flat_start(dataset, [len(bias) for _, bias in layers[:-1]]), flat(layers)
    with np.errstate(over="ignore"):
        shares = np.linspace(0, 1, params.train.epochs + 1)[:, None]
        np.save(folder / "trajectory.npy", ((1 - shares) * start + shares * end).astype(np.float32))
    answers = class_probabilities(layers, pixels(dataset.test.images), params.network.activation)
    np.save(folder / "test_probabilities.npy", np.stack([answers] * len(params.train.seeds)))


def flat(layers: list) -> np.ndarray:
    """Return all weights in a row."""
    return np.concatenate([part.ravel() for pair in layers for part in pair])


def flat_start(dataset: Dataset, hidden: Sequence[int]) -> np.ndarray:
    """Return the weights from which every run starts."""
    return flat(random_layers(widths(dataset, hidden), np.random.default_rng(7)))


def random_layers(shape: Sequence[int], random: np.random.Generator, scale: float = 1) -> list:
    """Make kernels and biases of random numbers."""
    return [
        (
            (random.normal(0, a**-0.5, (a, b)) * scale).astype(np.float32),
            random.normal(0, 0.1, b).astype(np.float32),
        )
        for a, b in zip(shape, shape[1:], strict=False)
    ]


def write_run(run: RunSettings, dataset: Dataset, cache: sweep.SweepCache) -> None:
    """Write a finished run of the sweep, and its plane."""
    end = ENDS.get(run.learning_rate, "learned")
    _, accuracy, distance = OUTCOMES[end]
    epochs, random = sweep.view_epochs(run.epochs), np.random.default_rng(run.batch_size)
    updates = run.updates_per_epoch(len(dataset.train.labels))
    history = run_history(end, run.epochs, updates, dataset.classes).to_dict("records")
    labels = dataset.test.labels[sweep.view_rows(len(dataset.test.labels))].astype(int)
    guesses = random.integers(0, dataset.classes, (len(epochs), len(labels)))
    known = random.random((len(epochs), len(labels))) < np.linspace(0.2, accuracy, len(epochs))[:, None]
    predicted = np.where(known, labels, guesses).tolist()
    points = [
        [distance * place / len(epochs), 0.2 * distance * place**0.5 / len(epochs)]
        for place in range(len(epochs))
    ]
    percent = random.integers(20, 101, (len(epochs), len(labels))).tolist()
    cache.write(run, history, sweep.RunView(points, 0.5, predicted, percent))
    start = flat_start(dataset, run.hidden_layers)
    directions = np.linalg.qr(np.random.default_rng(run.seed).normal(size=(len(start), 2)))[0].T
    cache.write_plane(run, np.vstack([start, directions]).astype(np.float32))


# Images of digits, as someone draws them

GLYPHS = {
    0: [[(0.5, 0.1), (0.25, 0.3), (0.2, 0.6), (0.4, 0.9), (0.7, 0.8), (0.8, 0.5), (0.7, 0.2), (0.5, 0.1)]],
    1: [[(0.5, 0.1), (0.5, 0.9)]],
    2: [[(0.22, 0.3), (0.5, 0.1), (0.75, 0.28), (0.6, 0.55), (0.2, 0.9), (0.8, 0.9)]],
    3: [[(0.25, 0.15), (0.7, 0.2), (0.45, 0.48), (0.75, 0.7), (0.5, 0.9), (0.22, 0.82)]],
    4: [[(0.65, 0.9), (0.65, 0.1), (0.2, 0.62), (0.85, 0.62)]],
    5: [[(0.75, 0.1), (0.3, 0.1), (0.28, 0.45), (0.65, 0.45), (0.72, 0.75), (0.25, 0.9)]],
    6: [[(0.65, 0.1), (0.3, 0.5), (0.3, 0.85), (0.6, 0.9), (0.7, 0.65), (0.35, 0.58)]],
    7: [[(0.2, 0.12), (0.8, 0.12), (0.4, 0.9)]],
    8: [[(0.7, 0.2), (0.45, 0.1), (0.3, 0.3), (0.7, 0.68), (0.5, 0.9), (0.28, 0.7), (0.68, 0.33), (0.7, 0.2)]],
    9: [[(0.7, 0.3), (0.5, 0.12), (0.3, 0.3), (0.45, 0.5), (0.68, 0.32), (0.65, 0.6), (0.55, 0.9)]],
}  # fmt: skip
"""Strokes of the digits, coordinates from 0 to 1."""


def drawn_digits(images: int, seed: int) -> Split:
    """Draw the digits of GLYPHS with a shaky hand, scaled and centered as MNIST's were."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % len(GLYPHS)
    return Split(np.stack([_drawn(GLYPHS[int(label)], random) for label in labels]), labels.astype(np.uint8))


def _drawn(strokes: list, random: np.random.Generator) -> np.ndarray:
    turned = np.eye(2) + random.normal(0, 0.1, (2, 2))
    parts = [(np.array(stroke) + random.normal(0, 0.02, (len(stroke), 2))) @ turned for stroke in strokes]
    points = np.concatenate(parts)
    low, high = points.min(axis=0), points.max(axis=0)
    scale, middle = 17.5 / max(high - low), (low + high) / 2
    picture = Image.new("L", (280, 280))
    pen = ImageDraw.Draw(picture)
    for part in parts:
        line = [tuple(140 + 10 * scale * (point - middle)) for point in part]
        pen.line(line, fill=255, width=int(random.integers(19, 28)), joint="curve")
    image = np.asarray(picture.resize((28, 28), Image.Resampling.BOX))
    rows, columns = np.indices(image.shape)
    shift = [round(13.5 - (axis * image.astype(float)).sum() / image.sum()) for axis in (rows, columns)]
    return np.roll(image, shift, axis=(0, 1))


def trained_layers(split: Split) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train a small perceptron; return kernels and biases."""
    inputs = split.images.reshape(len(split.labels), -1) / 255
    trained = MLPClassifier((24,), solver="lbfgs", max_iter=1000, random_state=0).fit(inputs, split.labels)
    layers = zip(trained.coefs_, trained.intercepts_, strict=True)
    return [(kernel.astype(np.float32), bias.astype(np.float32)) for kernel, bias in layers]


def digits_dataset() -> Dataset:
    """Return drawn digits."""
    splits = (drawn_digits(count, seed) for count, seed in ((320, 1), (40, 2), (40, 3)))
    return Dataset(*splits, class_names=tuple(map(str, GLYPHS)), title="Digits")
