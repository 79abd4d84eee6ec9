"""The sweep: its finished runs on disk, and its table.

A finished run is a file named after the run's settings and data. It also holds a digest of the engine
and the versions of the libraries that computed it; a run of another engine is trained again and
replaced.

Beside its numbers a run keeps a view for reports/explorer.html: its trajectory in a plane that all runs of a
seed share, and its predictions for some test images after each epoch.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from descent import paths
from descent.engine.rows import evenly_spaced
from descent.engine.settings import RunSettings
from descent.files import finite, write_array, write_json
from descent.metrics import EPOCH_METRICS
from descent.results import status

ENGINE = Path(__file__).parent / "engine"
ENGINE_LIBRARIES = ("tensorflow", "keras", "numpy")
"""Libraries of which another version may give other numbers."""

VIEW_IMAGES = 300
"""A run keeps its predictions for so many test images."""

VIEW_EPOCHS = 20
"""A view has at most so many epochs after the start; of a longer run they are evenly spaced."""

PLANE_BATCH_SIZE, PLANE_LEARNING_RATE = 128, 0.05
"""The run of plain gradient descent whose movement spans the plane; on MNIST it learns well."""


class SweepRun(NamedTuple):
    """A `training.TrainedRun` without its weights, which are forty times as large."""

    history: list[dict[str, Any]]
    view: "RunView"
    compile_seconds: float
    epoch_seconds: list[float]


class RunView(NamedTuple):
    """The view of a run in the explorer, at the epochs of `view_epochs`.

    `explained` is the share of the squared distance from the start that lies in the plane, at the end.
    """

    trajectory: list[list[float | None]]  # [x, y] in the plane, None if not finite; empty without a plane
    explained: float | None  # None if it is not finite
    predicted: list[list[int]]  # the classes of the images of `view_rows`; -1 where a probability is NaN
    percent: list[list[int]]  # the probabilities of those classes


class SweepData(NamedTuple):
    """The data of all runs of a sweep: a `training.TensorData`, and the plane of each seed."""

    tensors: Any
    planes: dict[int, np.ndarray]


def train_sweep_run(settings: RunSettings, data: SweepData, emit: Callable[[dict], None]) -> SweepRun:
    """Train one run of the sweep; see `training.train_run`."""
    from descent.engine import backend, training  # imports TensorFlow, on the worker that computes

    run = training.train_run(settings, data.tensors, emit)
    epochs = view_epochs(settings.epochs)
    images = backend.tf.gather(data.tensors.test.images, view_rows(data.tensors.test.labels.shape[0]))
    with backend.exclusive_device():
        found = [
            training.probabilities(weights, images, settings.activation).numpy()
            for weights in (layer_weights(run.trajectory[epoch], run.weights) for epoch in epochs)
        ]
    points, explained = project(data.planes[settings.seed], run.trajectory[epochs])
    view = RunView(points, explained, *predictions(found))
    return SweepRun(run.history, view, run.compile_seconds, run.epoch_seconds)


def reference_run(run: RunSettings, images: int) -> RunSettings:
    """Return the settings of the run that spans the plane of a run's seed and network."""
    return run._replace(
        batch_size=min(PLANE_BATCH_SIZE, images),
        learning_rate=PLANE_LEARNING_RATE,
        optimizer="sgd",
        constants=(),
    )


def plane_of(trajectory: np.ndarray) -> np.ndarray:
    """Compute the plane through the start of a trajectory that explains most of its movement.

    Products are summed without BLAS, whose last bits depend on its threads.

    Returns:
        (3, weights) float32: the start and two orthonormal directions. The second one is zero where all
        points lie on a line, and both are where the trajectory is not finite.
    """
    steps = trajectory[1:].astype(np.float64) - trajectory[0]
    if not np.isfinite(steps).all():
        steps = np.zeros_like(steps)
    _, vectors = np.linalg.eigh([[np.sum(one * other) for other in steps] for one in steps])
    directions: list[np.ndarray] = []
    for vector in vectors.T[::-1][:2]:
        direction = np.sum(vector[:, None] * steps, axis=0)
        for other in directions:
            direction -= np.sum(direction * other) * other
        length = np.sqrt(np.sum(direction**2))
        sign = 1 if np.sum(direction * steps[-1]) >= 0 else -1
        directions.append(sign * direction / length if length > 1e-6 * np.abs(steps).max() else 0 * direction)
    while len(directions) < 2:
        directions.append(np.zeros_like(steps[0]))
    return np.array([trajectory[0], *directions], dtype=np.float32)


def project(plane: np.ndarray, trajectory: np.ndarray) -> tuple[list[list[float | None]], float | None]:
    """Project a trajectory onto a plane; `RunView.trajectory` of all epochs, and `RunView.explained`."""
    origin, *directions = plane.astype(np.float64)
    points, distance = [], 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        for weights in trajectory:
            step = weights.astype(np.float64) - origin
            points.append([float(np.sum(step * direction)) for direction in directions])
            distance = float(np.sum(step**2))
    inside = points[-1][0] ** 2 + points[-1][1] ** 2
    explained = finite(inside / distance, 4) if distance else None
    return [[finite(value, 6) for value in point] for point in points], explained


def predictions(probabilities: Sequence[np.ndarray]) -> tuple[list[list[int]], list[list[int]]]:
    """Return `RunView.predicted` and `RunView.percent` for (images, classes) of each epoch."""
    predicted, percent = [], []
    for found in probabilities:
        known = np.isfinite(found).all(axis=1)
        predicted.append(np.where(known, found.argmax(axis=1), -1).tolist())
        percent.append(np.where(known, np.rint(100 * found.max(axis=1)), 0).astype(int).tolist())
    return predicted, percent


def layer_weights(row: np.ndarray, like: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Split all weights in a row into arrays of the shapes of `like`."""
    ends = np.cumsum([array.size for array in like])[:-1]
    return [part.reshape(array.shape) for part, array in zip(np.split(row, ends), like, strict=True)]


def view_epochs(epochs: int) -> list[int]:
    """Choose the epochs of a view: the start, the end, and others evenly spaced."""
    return sorted(set(np.linspace(0, epochs, min(epochs, VIEW_EPOCHS) + 1).round().astype(int).tolist()))


def view_rows(images: int) -> np.ndarray:
    """Choose the test images of a view, evenly spaced."""
    return evenly_spaced(images, VIEW_IMAGES)


def longest_first(runs: Sequence[RunSettings], images: int) -> list[RunSettings]:
    """Sort runs by falling number of updates, so that no processor waits long at the end."""
    return sorted(runs, key=lambda run: -run.epochs * run.updates_per_epoch(images))


class FinishedRun(NamedTuple):
    """A finished run as its file holds it; in its history a number that was not finite is None."""

    history: list[dict[str, Any]]
    view: RunView
    current: bool  # computed by this engine, with a view of these images


class SweepCache(NamedTuple):
    """A folder with finished runs, a JSON file each, and a plane for each seed and network, an .npy file.

    The kind of processor is not part of a run's identity, though it may change last bits: runs that
    were pulled from a colleague are used as they are. Nor is the engine part of a plane's: a plane is
    computed again with all runs of its seed.
    """

    folder: Path
    data: str  # the digest of the data
    images: int  # to train on
    engine: dict[str, str]  # the digest of the engine and the versions of its libraries
    view_digest: str  # of what the views depend on

    @property
    def runs(self) -> Path:
        """The folder of the finished runs."""
        return self.folder / "runs"

    def path(self, run: RunSettings) -> Path:
        """Return the file of a run, named after its settings and data."""
        return self.runs / f"{self._name(run)}.json"

    def plane_path(self, run: RunSettings) -> Path:
        """Return the file with the plane of a run, named after the run that spans it."""
        return self.folder / "planes" / f"{self._name(reference_run(run, self.images))}.npy"

    def _name(self, run: RunSettings) -> str:
        identity = json.dumps({**run._asdict(), "data": self.data}, sort_keys=True)
        return hashlib.sha256(identity.encode()).hexdigest()[:32]

    def write(self, run: RunSettings, history: Sequence[dict[str, Any]], view: RunView) -> None:
        """Write a finished run."""
        epochs = [{name: finite(value) for name, value in epoch.items()} for epoch in history]
        content = {"settings": run._asdict(), "data": self.data, "engine": self.engine, "history": epochs}
        lines = {
            "predicted": [" ".join(map(str, row)) for row in view.predicted],  # a line per epoch
            "percent": [" ".join(map(str, row)) for row in view.percent],
        }
        write_json(self.path(run), content | {"view": {"digest": self.view_digest} | view._asdict() | lines})

    def load(self, run: RunSettings) -> FinishedRun | None:
        """Return a finished run, whichever engine computed it; None if there is none, or no complete one."""
        try:
            content = json.loads(self.path(run).read_text(encoding="utf-8"))
            view = content["view"]
            lines = ([[int(n) for n in row.split()] for row in view[key]] for key in ("predicted", "percent"))
            shown = RunView(view["trajectory"], view["explained"], *lines)
            current = (content["engine"], view["digest"]) == (self.engine, self.view_digest)
            return FinishedRun(content["history"], shown, current)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def read(self, run: RunSettings) -> list[dict[str, Any]] | None:
        """Return the history of a finished run; None if there is none by this engine with these images."""
        found = self.load(run)
        return found.history if found and found.current else None

    def write_plane(self, run: RunSettings, plane: np.ndarray) -> None:
        """Write the plane of a run."""
        write_array(self.plane_path(run), plane)

    def read_plane(self, run: RunSettings) -> np.ndarray | None:
        """Return the plane of a run, (3, weights) float32; None if there is none, or no complete one."""
        try:
            return np.load(self.plane_path(run), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def keep_only(self, runs: Sequence[RunSettings]) -> None:
        """Remove the files of other runs, so that what is there follows from params.yaml alone."""
        kept = {path for run in runs for path in (self.path(run), self.plane_path(run))}
        for path in set(self.folder.glob("*/*.*")) - kept:
            if path.is_file():
                path.unlink()


def open_cache(dataset: Any, folder: Path = paths.SWEEP) -> SweepCache:
    """Return the cache for runs on a `data.Dataset` by the engine and libraries of this process."""
    engine = {"code": engine_digest()} | {name: version(name) for name in ENGINE_LIBRARIES}
    images, views = len(dataset.train.labels), view_digest(dataset.test.images)
    return SweepCache(folder, dataset_digest(dataset), images, engine, views)


def dataset_digest(dataset: Any) -> str:
    """Return the SHA-256 of what a history depends on: training and validation images, and the classes."""
    digest = hashlib.sha256(f"{dataset.classes} classes ".encode())
    for split in (dataset.train, dataset.validation):
        for array in split:
            digest.update(f"{array.dtype} {array.shape} ".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def view_digest(images: np.ndarray) -> str:
    """Return the SHA-256 of what a view depends on besides the run: its test images, and the plane."""
    plane = f"{PLANE_BATCH_SIZE} {PLANE_LEARNING_RATE} {VIEW_EPOCHS} {images.shape} "
    shown = np.ascontiguousarray(images[view_rows(len(images))])
    return hashlib.sha256(plane.encode() + shown.tobytes()).hexdigest()


def engine_digest() -> str:
    """Return the SHA-256 of the engine's files in the order of their names."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(ENGINE.glob("*.py")))).hexdigest()


def table(runs: Sequence[RunSettings], cache: SweepCache, classes: int) -> pd.DataFrame:
    """Make the sweep's table from the cache, one row per run; all runs must be in it."""
    rows = []
    for run in runs:
        history = cache.read(run)
        assert history is not None, f"{run}: is not in {cache.runs}"
        settings = ("batch_size", "learning_rate", "optimizer", "seed", "epochs")
        rows.append(
            {name: getattr(run, name) for name in settings}
            | {"updates": run.epochs * run.updates_per_epoch(cache.images)}
            | {metric.key: history[-1][metric.key] for metric in EPOCH_METRICS}
            | {"status": status(history, classes)}
        )
    return pd.DataFrame(rows)
