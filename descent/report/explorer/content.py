"""What the explorer shows, as JSON: runs, loss surfaces, test images, and the networks of the models."""

import base64
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from descent import paths, sweep
from descent.config import Model, Params
from descent.data import Dataset, Split
from descent.engine.settings import RunSettings
from descent.files import finite
from descent.report import landscape
from descent.report.format import STATUS_SIGNS, counted, listed, rate
from descent.report.tables import InvalidResults, answer, best, settings_text
from descent.results import NOT_LEARNED, STATUSES, guessing_loss, read_history, status
from descent.sweep import RunView

CURVES = ("train_loss", "validation_accuracy")
"""The metrics that are drawn by epoch."""

NETWORKS_BYTES, VIEWS_BYTES, IMAGES_BYTES = 3_000_000, 1_100_000, 1_700_000
"""How much of the page each may take, in base64; with all of them the page is below 6 MB."""

MAX_DRAWN_SIDE = 64
"""Images of at most so many pixels on a side can be drawn by hand."""

MAX_PROBABILITY_ERROR = 0.005
"""Quantized weights must keep every probability of every test image within this; half of what is promised."""

INK = 25
"""Pixels above this belong to the drawn figure, not to noise around it."""

ZOOM = 6
"""Each frame of a loss surface shows a part of the last one, magnified so many times."""

FRAMES, COLUMNS = 3, 33
"""Frames of each loss surface, and points of its grid from left to right."""

STATUS_WORDS = {
    "learned": "The steps have a suitable size: the loss fell below half of guessing.",
    "undertrained": "It goes down, but needs more steps or larger ones.",
    "stalled": "The steps are so small that nothing changes.",
    "collapsed": "Its first steps were so large that it landed where nothing is left to learn: it guesses.",
    "diverged": "Each step overshoots, and the loss grew.",
}
"""What each status means, for the card of a run."""


def content(
    params: Params,
    dataset: Dataset,
    comparison: pd.DataFrame,
    mistakes: pd.DataFrame,
    runs: sweep.RunCache,
    planes: sweep.PlaneCache,
    models: Path = paths.MODELS,
) -> dict[str, Any]:
    """Make the content of the page.

    Args:
        params: The content of params.yaml.
        dataset: The images.
        comparison: tables.Tables.comparison.
        mistakes: tables.Tables.mistakes.
        runs: The finished runs of the sweep.
        planes: The planes of their trajectories.
        models: The folder of the models' results.

    Raises:
        InvalidResults: A file of a run or of a model is missing or cannot be read.
    """
    with threadpool_limits(1):  # the bits of a product of matrices depend on the number of threads
        cells, seeds = sweep_runs(params, dataset, runs)
        flat = {seed: _plane(params, planes, seed) for seed in seeds}
        studied = [model_run(params, dataset, name, flat, models / name) for name in params.models]
        networks, left_out = read_networks(params, dataset, comparison, models)
        surfaces = {
            str(seed): surface(params, dataset, plane, [run for run in cells if run["seed"] == seed])
            for seed, plane in flat.items()
        }
    wrong = {name: mistakes[mistakes.model == name] for name in networks}
    shown = sweep.view_rows(len(dataset.test.labels)).tolist()
    rows = list(dict.fromkeys([*shown, *(row for table in wrong.values() for row in table.image.tolist())]))
    pictures = images(dataset.test, rows)
    return {
        "title": dataset.title,
        "classes": list(dataset.class_names) or [str(label) for label in range(dataset.classes)],
        "answers": answers(params, comparison),
        "statuses": {
            name: {"sign": STATUS_SIGNS.get(name, ""), "words": STATUS_WORDS[name]} for name in STATUSES
        },
        "guessing": finite(guessing_loss(dataset.classes)),
        "sweep": {
            "batch_sizes": sorted({run["batch_size"] for run in cells}),
            "learning_rates": sorted({run["learning_rate"] for run in cells}),
            "optimizers": list(params.sweep.optimizers or ()),
            "seeds": seeds,
            "seeds_left_out": len(params.sweep.seeds) - len(seeds),
            "epochs": params.sweep.epochs,
            "training_images": len(dataset.train.labels),
            "not_learned": list(NOT_LEARNED),
        },
        "runs": [*cells, *studied],
        "surfaces": surfaces,
        "images": pictures,
        "viewed": len(shown),
        "networks": list(networks.values()),
        "networks_left_out": left_out,
        "drawing": drawing(dataset) if networks and pictures["factor"] == 1 else None,
        "mistakes": {
            name: [rows.index(row) for row in table.image.tolist()[:6]] for name, table in wrong.items()
        },
        "valley": valley(cells, list(params.models.values()), params.preprocess.training_images),
    }


def answers(params: Params, comparison: pd.DataFrame) -> list[dict[str, Any]]:
    """Answer each study's question; model and its validation accuracy are None where none learned."""
    found = []
    for name, study in params.studies.items():
        rows = comparison[comparison.study == name]
        winner = best(rows)
        accuracy = None if winner is None else rows[rows.model == winner].validation_accuracy_mean.iloc[0]
        found.append(
            {
                "question": study.question,
                "answer": answer(rows),
                "fixed": _fixed(rows),
                "model": winner,
                "accuracy": accuracy and finite(float(accuracy)),
            }
        )
    return found


def _fixed(rows: pd.DataFrame) -> str:
    """Name the batch size or learning rate that all models of a study share, such as `learning rate 0.01`."""
    names = [name for name in ("batch_size", "learning_rate") if rows[name].nunique() == 1]
    return settings_text(rows.iloc[0], names) if len(rows) > 1 and len(names) == 1 else ""


# Runs


def sweep_runs(
    params: Params, dataset: Dataset, cache: sweep.RunCache
) -> tuple[list[dict[str, Any]], list[int]]:
    """Describe the runs of the sweep, seed by seed while they fit into VIEWS_BYTES; return the seeds, too."""
    found: list[dict[str, Any]] = []
    used = 0
    by_seed = {seed: [run for run in params.sweep_runs() if run.seed == seed] for seed in params.sweep.seeds}
    for settings in by_seed.values():
        described = [_sweep_run(run, dataset, cache) for run in settings]
        used += sum(len(run["view"]) for run in described)
        if found and used > VIEWS_BYTES:
            break
        found += described
    return found, list(dict.fromkeys(run["seed"] for run in found))


def _sweep_run(run: RunSettings, dataset: Dataset, cache: sweep.RunCache) -> dict[str, Any]:
    found = cache.load(run)
    if found is None or found.view is None:
        raise InvalidResults(f"{cache.path(run)}: is missing; `dvc repro sweep` trains this run: {run}")
    history = [found.history[epoch] for epoch in sweep.view_epochs(run.epochs)]
    return _run(run, status(found.history, dataset.classes), history, found.view)


def _run(
    settings: RunSettings, word: str, history: Sequence[Mapping[str, Any]], view: RunView
) -> dict[str, Any]:
    last = history[-1]
    return {
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "optimizer": settings.optimizer,
        "seed": settings.seed,
        "status": word,
        "epochs": [int(entry["epoch"]) for entry in history],
        "updates": [int(entry["updates"]) for entry in history],
        "distance": _known(last["distance"]),
        **{key: [_known(entry[key]) for entry in history] for key in CURVES},
        "trajectory": view.trajectory,
        "explained": view.explained,
        "view": _encoded_view(view),
    }


def _known(value: float | None) -> float | None:
    return None if value is None else sweep.significant(float(value))


def _encoded_view(view: RunView) -> str:
    """Encode predicted classes (uint16, 65535 for none), then percents (uint8), of all epochs."""
    predicted, percent = np.array(view.predicted), np.array(view.percent)
    return _base64(predicted.astype("<u2").tobytes() + percent.astype(np.uint8).tobytes())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def model_run(
    params: Params, dataset: Dataset, name: str, planes: Mapping[int, np.ndarray], folder: Path
) -> dict[str, Any]:
    """Describe the run of a model's first seed as those of the sweep are; it has more epochs.

    Its trajectory is empty where it does not lie in the space of the sweep's weights, or has another start.
    """
    settings = params.model_runs(name)[0]
    try:
        weights, table = np.load(folder / "trajectory.npy", mmap_mode="r"), read_history(folder)
        history = table[table.seed == settings.seed].to_dict("records")
        epochs = sweep.view_epochs(settings.epochs)
        entries, trajectory = [history[epoch] for epoch in epochs], np.array(weights[epochs])
    except (OSError, ValueError, EOFError, IndexError) as error:
        raise _unreadable(folder, error) from None
    rows = sweep.view_rows(len(dataset.test.labels))
    inputs = pixels(dataset.test.images[rows])
    widths = (inputs.shape[1], *settings.hidden_layers, dataset.classes)
    found = [probabilities(landscape.layers(w, widths), inputs, settings.activation) for w in trajectory]
    points: list[list[float | None]] = []
    explained = None
    network = params.network
    if settings.seed in planes and (settings.hidden_layers, settings.activation) == (
        network.hidden_layers,
        network.activation,
    ):
        points, explained = sweep.project(planes[settings.seed], trajectory)
    view = RunView(points, explained, *sweep.predictions(found))
    return {"model": name, **_run(settings, status(history, dataset.classes), entries, view)}


def _unreadable(path: Path, error: Exception) -> InvalidResults:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return InvalidResults(f"{path}: cannot be read: {reason}; `dvc repro` trains the model again")


def pixels(images: np.ndarray) -> np.ndarray:
    """Return images (n, height, width) uint8 as the network's input (n, pixels) float32."""
    return images.reshape(len(images), -1) * np.float32(1 / 255)


def probabilities(
    layers: Sequence[tuple[np.ndarray, np.ndarray]], inputs: np.ndarray, activation: str
) -> np.ndarray:
    """Compute the class probabilities (n, classes); NaN where a weight or a sum is not finite."""
    values = inputs
    with np.errstate(all="ignore"):
        for place, (kernel, bias) in enumerate(layers):
            values = landscape.ACTIVATIONS[activation](values) if place else values
            values = values @ kernel + bias
        return softmax(values, axis=1)


# Loss surfaces


def _plane(params: Params, planes: sweep.PlaneCache, seed: int) -> np.ndarray:
    run = next(run for run in params.sweep_runs() if run.seed == seed)
    plane = planes.read(run)
    if plane is None:
        raise InvalidResults(f"{planes.path(run)}: cannot be read; `dvc repro sweep` makes it again")
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
    rows = np.linspace(0, len(training.labels), min(landscape.IMAGES, len(training.labels)), endpoint=False)
    rows = rows.astype(int)
    inputs = pixels(training.images[rows]).astype(np.float64)
    widths = (inputs.shape[1], *network.hidden_layers, dataset.classes)
    spanning = [
        point for run in runs if run["status"] not in landscape.EXCLUDED for point in run["trajectory"]
    ]
    known = [point for point in spanning if None not in point] or [[-1.0, -1.0], [1.0, 1.0]]
    largest = landscape.frame_around(np.array(known))
    place = landscape.Plane(*(part.astype(np.float64) for part in (plane[0], plane[1:])))
    found = []
    for zoom in range(FRAMES):
        frame = landscape.Frame(*(edge / ZOOM**zoom for edge in largest))
        loss = landscape.loss_surface(
            place, *frame.grid(COLUMNS), inputs, training.labels[rows], widths, network.activation
        )
        edges = {side: sweep.significant(edge) for side, edge in frame._asdict().items()}
        values = [sweep.significant(value, 4) for value in loss.ravel()]
        found.append({**edges, "columns": loss.shape[1], "loss": values})
    return found


# Images


def images(test: Split, rows: Sequence[int]) -> dict[str, Any]:
    """Encode test images; large ones are reduced by a whole factor, so that they fit into IMAGES_BYTES.

    Returns:
        height, width, factor, rows (of the test images), labels, and pixels (uint8, one image after another).
    """
    height, width = test.images.shape[1:]
    factor = max(1, math.ceil(math.sqrt(len(rows) * height * width * 4 / 3 / IMAGES_BYTES)))
    if max(height, width) > MAX_DRAWN_SIDE:
        factor = max(factor, math.ceil(max(height, width) / MAX_DRAWN_SIDE))
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


def drawing(dataset: Dataset) -> dict[str, int] | None:
    """Describe how a drawn figure becomes an image: MNIST's own way, with the size that the data have.

    Returns:
        The longer side in pixels to which a figure is scaled: the median of the test images, 20 for MNIST;
        None where images are too large or too small to be drawn.
    """
    height, width = dataset.test.images.shape[1:]
    if max(height, width) > MAX_DRAWN_SIDE or min(height, width) < 8:
        return None
    shown = dataset.test.images[sweep.view_rows(len(dataset.test.labels))] > INK
    sides = [
        max(np.ptp(np.flatnonzero(image.any(axis=axis))) + 1 for axis in (0, 1))
        for image in shown
        if image.any()
    ]
    return {"box": int(np.median(sides)) if sides else min(height, width)}


# Networks


def read_networks(
    params: Params, dataset: Dataset, comparison: pd.DataFrame, folder: Path
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Read the networks of the models, those that answer a study first, as many as fit into NETWORKS_BYTES.

    Returns:
        The networks in the order of params.yaml, and the names of the models that are left out.
    """
    winners = [best(rows) for _, rows in comparison.groupby("study", sort=False)]
    order = dict.fromkeys([*(name for name in winners if name), *params.models])
    rows, inputs = comparison.drop_duplicates("model").set_index("model"), pixels(dataset.test.images)
    found, used = {}, 0
    for name in order:
        layers = read_layers(folder / name / "model.keras")
        encoded = encode_layers(layers, inputs, params.models[name].activation)
        used += sum(len(layer["kernel"]) for layer in encoded)
        if used > NETWORKS_BYTES:
            break
        row = rows.loc[name] if name in rows.index else None
        found[name] = {
            "model": name,
            "settings": _settings(params.models[name], params.preprocess.training_images),
            "status": None if row is None else str(row.status),
            "test_accuracy": None if row is None else finite(float(row.test_accuracy_mean)),
            "activation": params.models[name].activation,
            "layers": encoded,
        }
    return {n: found[n] for n in params.models if n in found}, [n for n in params.models if n not in found]


def _settings(model: Model, images: int) -> str:
    return f"batch size {model.images_per_update(images):,}, learning rate {rate(model.learning_rate)}"


def read_layers(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read kernel and bias of each dense layer from a .keras archive, without TensorFlow.

    Raises:
        InvalidResults: It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as member:
            with h5py.File(member) as file:
                groups = [group for name, group in file["layers"].items() if name.startswith("dense")]
                # dense, dense_1, …, dense_10: in the order of the numbers
                groups.sort(key=lambda group: int(group.name.rpartition("dense")[2].lstrip("_") or 0))
                return [(group["vars"]["0"][:], group["vars"]["1"][:]) for group in groups]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from None


def encode_layers(
    layers: Sequence[tuple[np.ndarray, np.ndarray]], inputs: np.ndarray, activation: str
) -> list[dict[str, Any]]:
    """Encode the layers of a network: kernels of 16 bits, if that keeps MAX_PROBABILITY_ERROR, else of 32.

    Args:
        layers: Kernel (inputs, outputs) and bias of each layer.
        inputs: (n, pixels) of the images that decide.
        activation: A key of landscape.ACTIVATIONS.
    """
    encoded = [encode_layer(kernel, bias, bits=16) for kernel, bias in layers]
    wanted = probabilities(layers, inputs, activation)
    found = probabilities([decode_layer(layer) for layer in encoded], inputs, activation)
    with np.errstate(invalid="ignore"):
        near = np.abs(found - wanted) <= MAX_PROBABILITY_ERROR
    if near.all():
        return encoded
    return [encode_layer(kernel, bias, bits=32) for kernel, bias in layers]


def encode_layer(kernel: np.ndarray, bias: np.ndarray, bits: int) -> dict[str, Any]:
    """Encode a layer: each output's weights as whole numbers of 16 bits times a scale, or as float32."""
    parts = {"inputs": kernel.shape[0], "outputs": kernel.shape[1], "bits": bits}
    parts |= {"bias": _base64(bias.astype("<f4").tobytes())}
    if bits == 32:
        return parts | {"kernel": _base64(kernel.astype("<f4").tobytes())}
    with np.errstate(invalid="ignore", over="ignore"):
        scale = (np.abs(kernel).max(axis=0) / 32767).astype("<f4")
        scale[~(np.isfinite(scale) & (scale > 0))] = 1
        whole = np.nan_to_num(np.rint(kernel / scale)).clip(-32767, 32767).astype("<i2")
    return parts | {"scale": _base64(scale.tobytes()), "kernel": _base64(whole.tobytes())}


def decode_layer(layer: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias of a layer as the page reads them."""
    kernel = np.frombuffer(base64.b64decode(layer["kernel"]), "<i2" if layer["bits"] == 16 else "<f4")
    kernel = kernel.reshape(layer["inputs"], layer["outputs"]).astype(np.float32)
    if layer["bits"] == 16:
        kernel = kernel * np.frombuffer(base64.b64decode(layer["scale"]), "<f4")
    return kernel, np.frombuffer(base64.b64decode(layer["bias"]), "<f4")


# The valley


def valley(runs: Sequence[Mapping[str, Any]], models: Sequence[Model], images: int) -> dict[str, Any]:
    """Shape the valley after the sweep: runs of plain gradient descent with one batch size.

    Its curvature is such that steps leave it from the rate on from which the runs fail. The batch size is
    that of most models of the studies, if the sweep has it, else the middle one.

    Returns:
        curvature, batch_size, and `words`, sentences about the same in the sweep.
    """
    plain = [run for run in runs if run["optimizer"] == "sgd"] or list(runs)
    first = [
        run for run in plain if run["seed"] == plain[0]["seed"] and run["optimizer"] == plain[0]["optimizer"]
    ]

    sizes = sorted({run["batch_size"] for run in first})
    used = [model.images_per_update(images) for model in models]
    common = [size for size in sizes if size in used] or [sizes[len(sizes) // 2]]
    size = max(common, key=used.count)
    row = sorted((run for run in first if run["batch_size"] == size), key=lambda run: run["learning_rate"])
    good = [run["learning_rate"] for run in row if run["status"] == "learned"]
    far = [
        run
        for run in row
        if run["status"] in landscape.EXCLUDED and run["learning_rate"] > max(good, default=0)
    ]
    slow = [run for run in row if run["status"] not in ("learned", *landscape.EXCLUDED)]
    largest = (
        math.sqrt(good[-1] * far[0]["learning_rate"]) if good and far else 10 * good[-1] if good else 1.0
    )
    words = []
    if slow:
        words.append(f"crept at {_rates(slow)}")
    if good:
        several = f"{rate(good[0])} to {rate(good[-1])}" if len(good) > 1 else rate(good[0])
        words.append(f"learned at {several}")
    if far:
        ends = listed(list(dict.fromkeys(run["status"] for run in far)))
        words.append(f"was thrown out of the valley at {_rates(far)} ({ends})")
    epochs = row[0]["epochs"][-1]
    full = " (full)" if size == images else ""
    text = f"In the sweep, batch size {size:,}{full} {listed(words)}, within {counted(epochs, 'epoch')}."
    return {"curvature": sweep.significant(2 / largest, 3), "batch_size": size, "words": text}


def _rates(runs: Sequence[Mapping[str, Any]]) -> str:
    return listed([rate(run["learning_rate"]) for run in runs])
