"""Model folders as train writes them, of made-up numbers, in a moment and without TensorFlow."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from unittest.mock import MagicMock

import numpy as np

from stages.core import model_folder, process
from stages.core.files import write_array, write_json
from stages.core.mirror import tracking
from stages.core.params import Params, read_params

IMAGES = 600
TESTED = 40
STATUSES = {"batch_full": "undertrained", "rate_100": "diverged", "rate_1e-7": "stalled"}
LOSSES = {"learned": 0.1, "undertrained": 0.7, "stalled": 0.999, "diverged": np.nan}
"""What the training loss ends at, as a share of its start."""


class Epoch(NamedTuple):
    """The fields of descent.Epoch."""

    epoch: int
    updates: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    gradient_norm: float
    distance: float


class Descent(NamedTuple):
    """What descent.Descent has, as far as files are written from it."""

    history: list[Epoch]
    path: np.ndarray
    test_probabilities: np.ndarray
    test_loss: float
    test_accuracy: float


def descent(params: Params, name: str, seed: int) -> Descent:
    """A run whose numbers follow from its settings and seed; its loss goes as STATUSES has it for `name`."""
    settings, epochs = params.models[name], params.train.epochs
    random = np.random.default_rng([seed, settings.effective_batch_size(IMAGES), *name.encode()])
    random.normal(size=int(settings.learning_rate * 1e7) % 97)  # another rate, other numbers
    last = 2.3 * LOSSES[STATUSES.get(name, "learned")]
    losses = np.linspace(2.3, last, epochs + 1) + random.normal(scale=1e-4, size=epochs + 1)
    losses[0] = 2.3
    updates = settings.updates_per_epoch(IMAGES)
    history = [
        Epoch(epoch, epoch * updates, loss, *random.uniform(0.1, 1, 4), epoch * random.uniform())
        for epoch, loss in enumerate(losses)
    ]
    probabilities = random.dirichlet(np.ones(10), TESTED).astype(np.float32)
    return Descent(history, random.normal(size=(epochs + 1, 7)).astype(np.float32), probabilities, last, 0.5)


def write_model(root: Path, params: Params, name: str, started: str | None = None) -> None:
    """Write models/<name>/ under `root`; the same settings give the same files but for timing.json."""
    folder, settings, seeds = root / "models" / name, params.models[name], params.train.seeds
    descents = [descent(params, name, seed) for seed in seeds]
    metrics = model_folder.write_numbers(folder, name, settings, IMAGES, seeds, descents)
    (folder / "replicates").mkdir(exist_ok=True)
    for seed, run in zip(seeds, descents, strict=True):
        (folder / "replicates" / f"seed_{seed}.keras").write_bytes(run.path.tobytes())
    best = folder / "replicates" / f"seed_{metrics['best_seed']}.keras"
    (folder / "model.keras").write_bytes(best.read_bytes())
    write_json(folder / "timing.json", _timing(params, started or datetime.now(UTC).isoformat()))


def _timing(params: Params, started: str) -> dict:
    seconds = time.perf_counter() % 1 + 1  # another training takes another time
    seeds = [
        {"seed": seed, "compile_seconds": 0.5, "epoch_seconds": [seconds] * params.train.epochs}
        for seed in params.train.seeds
    ]
    return {
        "started": started,
        "processor": "Testing 1",
        "versions": {"python": "3.11", "keras": "3"},
        "seconds": seconds * 2,
        "images_per_second": IMAGES / seconds,
        "seeds": seeds,
    }


def write_arrays(root: Path) -> None:
    """data/arrays/ with images and labels of TESTED images a split."""
    folder = root / "data" / "arrays"
    for split in ("train", "validation", "test"):
        write_array(folder / f"{split}_images.npy", np.zeros((TESTED, 28, 28), np.uint8))
        write_array(folder / f"{split}_labels.npy", (np.arange(TESTED) % 10).astype(np.uint8))


def main() -> None:
    """`python -m tests.trained <model>`: a train stage that takes SLOWLY seconds an epoch."""
    params, name, pause = read_params(), sys.argv[1], float(os.environ.get("SLOWLY", 0))
    process.end_with_parent()
    with process.sole_writer(f"models/{name}"), process.interruptible(), tracked(params, name) as run:
        for epoch in range(params.train.epochs + 1):
            for seed in params.train.seeds:
                run.epoch(seed, descent(params, name, seed).history[epoch])
            time.sleep(pause)
        write_model(Path(), params, name)
        run.complete(f"models/{name}")


def tracked(params: Params, name: str):
    """The live run, or one that nobody sees if UNTRACKED is set."""
    return MagicMock() if os.environ.get("UNTRACKED") else tracking.live(params, name)


if __name__ == "__main__":
    main()
