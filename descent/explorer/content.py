"""The content of the explorer as JSON: runs, loss surfaces, test images, and the networks of the models."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from descent import paths, sweep
from descent.config import Params
from descent.data import Dataset, Split
from descent.engine.settings import RunSettings
from descent.files import finite
from descent.format import STATUS_SIGNS
from descent.report import landscape, tables
from descent.results import NOT_LEARNED, read_history, status
from descent.sweep import RunView

CURVES = ("train_loss", "validation_accuracy")
"""The metrics that are drawn by epoch."""

PAGE_BYTES, VIEWS_BYTES, IMAGES_BYTES = 5_700_000, 1_100_000, 2_300_000
"""Limits of the page in base64: all in all, of the sweep's predictions, and of test images. Networks
take what is left; with code and loss surfaces the page is below 6 MB."""

MAX_DRAWN_SIDE = 64
"""Images of at most so many pixels on a side can be drawn by hand."""

MAX_PROBABILITY_ERROR = 0.01
"""The largest difference that quantized weights may make to a probability of any test image."""

MISTAKES = 6
"""Misclassified images of each model that are shown in place of a drawing."""

FRAMES, ZOOM, GRID_POINTS = 3, 6, 33
"""Frames of a loss surface, the magnification from one to the next, and points of a row of its grid."""


def content(
    params: Params,
    dataset: Dataset,
    comparison: pd.DataFrame,
    cache: sweep.SweepCache,
    models: Path = paths.MODELS,
) -> dict[str, Any]:
    """Make the content of the page; `params` has the tuned models among the models.

    Raises:
        InvalidResults: A file of a run or of a model is missing or cannot be read.
    """
    with threadpool_limits(1):  # the bits of a product of matrices depend on the number of threads
        cells = sweep_runs(params, dataset, cache)
        flat = {seed: _plane(params, cache, seed) for seed in dict.fromkeys(run["seed"] for run in cells)}
        surfaces = {
            str(seed): surface(params, dataset, plane, [run for run in cells if run["seed"] == seed])
            for seed, plane in flat.items()
        }
        models_of = [
            read_model(params, dataset, name, flat, models / params.results_folder(name))
            for name in dict.fromkeys(comparison.model)
        ]
    studied, networks = [run for run, _ in models_of], [network for _, network in models_of if network]
    viewed = sweep.view_rows(len(dataset.test.labels)).tolist()
    mistakes = [row for network in networks for row in network["mistakes"]]
    pictures = images(dataset.test, list(dict.fromkeys([*viewed, *mistakes])))
    room = PAGE_BYTES - len(pictures["pixels"]) - sum(len(run["view"]) for run in [*cells, *studied])
    answered = answers(params, comparison)
    shown = fitting_networks(networks, [answer["model"] for answer in answered], room)
    return {
        "title": dataset.title,
        "classes": list(dataset.class_names),
        "answers": answered,
        "signs": STATUS_SIGNS,
        "not_learned": list(NOT_LEARNED),
        "sweep": {
            "optimizers": list(params.sweep.optimizers or ()),
            "seeds": list(flat),
            "seeds_left_out": len(params.sweep.seeds) - len(flat),
            "epochs": params.sweep.epochs,
            "training_images": len(dataset.train.labels),
        },
        "runs": [*cells, *studied],
        "surfaces": surfaces,
        "images": pictures,
        "viewed": len(viewed),
        "networks": shown,
        "networks_left_out": len(studied) - len(shown),
    }


def answers(params: Params, comparison: pd.DataFrame) -> list[dict[str, Any]]:
    """Answer each study's question; model and its validation accuracy are None where none learned."""
    found = []
    for name, study in params.studies.items():
        rows = comparison[comparison.study == name]
        winner = tables.best(rows)
        found.append(
            {
                "question": study.question,
                "answer": tables.answer(rows),
                "fixed": _fixed(rows),
                "model": None if winner is None else winner.model,
                "tie": len(tables.tied(rows)) > 1,
                "accuracy": None if winner is None else float(winner.validation_accuracy_mean),
            }
        )
    return found


def _fixed(rows: pd.DataFrame) -> str:
    """Name the batch size or learning rate that all models of a study share, such as `learning rate 0.01`."""
    names = [name for name in ("batch_size", "learning_rate") if rows[name].nunique() == 1]
    return tables.settings_text(rows.iloc[0], names) if len(rows) > 1 and len(names) == 1 else ""


# Runs


def sweep_runs(params: Params, dataset: Dataset, cache: sweep.SweepCache) -> list[dict[str, Any]]:
    """Describe the runs of the sweep: those of the first seed, and of more seeds while VIEWS_BYTES last."""
    found: list[dict[str, Any]] = []
    for seed in params.sweep.seeds:
        more = [_sweep_run(run, dataset, cache) for run in params.sweep_runs() if run.seed == seed]
        if found and sum(len(run["view"]) for run in [*found, *more]) > VIEWS_BYTES:
            break
        found += more
    return found


def _sweep_run(run: RunSettings, dataset: Dataset, cache: sweep.SweepCache) -> dict[str, Any]:
    found = cache.load(run)
    if found is None:
        raise tables.InvalidResults(
            f"{cache.path(run)}: is missing or damaged; `dvc repro sweep` trains this run: {run}"
        )
    return _run(run, found.history, found.view, dataset.classes)


def _run(
    settings: RunSettings, history: Sequence[Mapping[str, Any]], view: RunView, classes: int
) -> dict[str, Any]:
    """Describe a run at the epochs of a view.

    `view` holds the predicted classes (uint16, 65535 for none), then the percents (uint8), of all epochs.
    """
    predicted, percent = np.array(view.predicted), np.array(view.percent)
    entries = [history[epoch] for epoch in sweep.view_epochs(settings.epochs)]
    return {
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "optimizer": settings.optimizer,
        "seed": settings.seed,
        "status": status(history, classes),
        "epochs": [int(entry["epoch"]) for entry in entries],
        "updates": [int(entry["updates"]) for entry in entries],
        "distance": _known(history[-1]["distance"]),
        **{key: [_known(entry[key]) for entry in entries] for key in CURVES},
        "trajectory": view.trajectory,
        "explained": view.explained,
        "view": _base64(predicted.astype("<u2").tobytes() + percent.astype("u1").tobytes()),
    }


def _known(value: float | None) -> float | None:
    return None if value is None else finite(float(value), 6)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def read_model(
    params: Params, dataset: Dataset, name: str, planes: Mapping[int, np.ndarray], folder: Path
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Read the run of a model's first seed, with more epochs than those of the sweep, and its network.

    Returns:
        The run, whose trajectory is empty where the plane is of another network or start; and its final
        network, None where its quantized weights would answer otherwise.
    """
    settings, labels = params.model_runs(name)[0], dataset.test.labels
    table = read_history(folder)
    history = table[table.seed == settings.seed].to_dict("records")
    trajectory = tables.read_array(folder / "trajectory.npy")[sweep.view_epochs(settings.epochs)]
    answered = tables.read_array(folder / "test_probabilities.npy")[0]
    inputs = pixels(dataset.test.images)
    widths = (inputs.shape[1], *settings.hidden_layers, dataset.classes)
    networks = [landscape.layers(weights, widths) for weights in trajectory]
    viewed = inputs[sweep.view_rows(len(labels))]
    predictions = sweep.predictions([class_probabilities(n, viewed, settings.activation) for n in networks])

    shape = (params.network.hidden_layers, params.network.activation)
    plane = planes.get(settings.seed) if (settings.hidden_layers, settings.activation) == shape else None
    points, explained = ([], None) if plane is None else sweep.project(plane, trajectory)
    view = RunView(points, explained, *predictions)
    run = {"model": name, **_run(settings, history, view, dataset.classes)}

    layers = encode_network(networks[-1], inputs, settings.activation, answered)
    network = {
        "model": name,
        "activation": settings.activation,
        "test_accuracy": float((answered.argmax(axis=1) == labels).mean()),
        "mistakes": tables.mistakes(answered, labels).image.tolist()[:MISTAKES],
        "layers": layers,
    }
    return run, network if layers else None


def pixels(images: np.ndarray) -> np.ndarray:
    """Return images (n, height, width) uint8 as the network's input (n, pixels) float32."""
    return images.reshape(len(images), -1) * np.float32(1 / 255)


def class_probabilities(
    layers: Sequence[tuple[np.ndarray, np.ndarray]], inputs: np.ndarray, activation: str
) -> np.ndarray:
    """Compute the class probabilities (n, classes); NaN where a weight or a sum is not finite."""
    values = inputs
    with np.errstate(all="ignore"):
        for place, (kernel, bias) in enumerate(layers):
            values = landscape.ACTIVATION_FUNCTIONS[activation](values) if place else values
            values = values @ kernel + bias
        return softmax(values, axis=1)


# Loss surfaces


def _plane(params: Params, cache: sweep.SweepCache, seed: int) -> np.ndarray:
    run = next(run for run in params.sweep_runs() if run.seed == seed)
    plane = cache.read_plane(run)
    if plane is None:
        raise tables.InvalidResults(
            f"{cache.plane_path(run)}: cannot be read; `dvc repro sweep` makes it again"
        )
    return plane


def surface(
    params: Params, dataset: Dataset, plane: np.ndarray, runs: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Compute the loss over the plane of a seed, in FRAMES frames, the first of which shows all runs.

    Runs that diverged or collapsed went so far that nothing else would be seen; they leave the frame.

    Returns:
        For each frame left, right, bottom, top, columns, and the loss row by row from the bottom; None
        for a loss that is not finite. Nothing if the plane has no direction.
    """
    if not plane[1].any():
        return []
    training, network = dataset.train, params.network
    widths = (training.images[0].size, *network.hidden_layers, dataset.classes)
    near = [run for run in runs if run["status"] not in landscape.EXCLUDED]
    points = [point for run in near for point in run["trajectory"] if None not in point]
    largest = landscape.frame_around(np.array(points or [[-1, -1], [1, 1]]))
    place = landscape.Plane(plane[0].astype(np.float64), plane[1:].astype(np.float64))
    found = []
    for zoom in range(FRAMES):
        frame = landscape.Frame(*(edge / ZOOM**zoom for edge in largest))
        loss = landscape.loss_surface(place, frame, GRID_POINTS, training, widths, network.activation)
        edges = {side: finite(edge, 6) for side, edge in frame._asdict().items()}
        values = [finite(value, 4) for value in loss.ravel()]
        found.append({**edges, "columns": loss.shape[1], "loss": values})
    return found


# Images


def images(test: Split, rows: Sequence[int]) -> dict[str, Any]:
    """Encode test images; large ones are reduced by a whole factor, so that they fit into IMAGES_BYTES.

    Returns:
        height, width, factor, rows (of the test images), labels, and pixels (uint8, one image after another).
    """
    height, width = test.images.shape[1:]
    largest = max(height, width) / MAX_DRAWN_SIDE
    factor = math.ceil(max(1, largest, math.sqrt(len(rows) * height * width * 4 / 3 / IMAGES_BYTES)))
    factor = min(factor, height, width)
    high, wide = height // factor, width // factor
    chosen = test.images[list(rows), : high * factor, : wide * factor]
    reduced = chosen.reshape(len(rows), high, factor, wide, factor).mean(axis=(2, 4))
    return {
        "height": high,
        "width": wide,
        "factor": factor,
        "rows": list(rows),
        "labels": test.labels[list(rows)].tolist(),
        "pixels": _base64(np.rint(reduced).astype(np.uint8).tobytes()),
    }


# Networks


def fitting_networks(networks: Sequence[dict[str, Any]], first: Sequence[str], room: int) -> list[dict]:
    """Choose the networks that fit into `room` bytes, those of the models in `first` before others."""
    chosen = []
    for network in sorted(networks, key=lambda network: network["model"] not in first):
        size = len(json.dumps(network))
        if size <= room:
            chosen.append(network["model"])
            room -= size
    return [network for network in networks if network["model"] in chosen]


def encode_network(
    layers: Sequence[tuple[np.ndarray, np.ndarray]],
    inputs: np.ndarray,
    activation: str,
    answers: np.ndarray,
) -> list[dict[str, Any]] | None:
    """Encode the layers of a network: each output's weights as whole numbers of 16 bits times a scale.

    Returns:
        None if a probability for `inputs` would differ from the model's `answers`, (n, classes), by more than
        MAX_PROBABILITY_ERROR.
    """
    encoded = []
    for kernel, bias in layers:
        with np.errstate(invalid="ignore", over="ignore"):
            scale = (np.abs(kernel).max(axis=0) / 32767).astype("<f4")  # not finite where a weight is not
            whole = np.nan_to_num(np.rint(kernel / np.where(scale == 0, 1, scale))).astype("<i2")
        parts = {"scale": scale, "kernel": whole, "bias": bias.astype("<f4")}
        encoded.append({name: _base64(array.tobytes()) for name, array in parts.items()})
    found = class_probabilities([decode_layer(layer) for layer in encoded], inputs, activation)
    same = np.allclose(found, answers, rtol=0, atol=MAX_PROBABILITY_ERROR, equal_nan=True)
    return encoded if same else None


def decode_layer(layer: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias of a layer as the page reads them."""
    types = {"scale": "<f4", "kernel": "<i2", "bias": "<f4"}
    scale, kernel, bias = (np.frombuffer(base64.b64decode(layer[name]), types[name]) for name in types)
    with np.errstate(invalid="ignore"):
        return kernel.reshape(-1, len(scale)) * scale, bias
