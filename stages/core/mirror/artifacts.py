"""What a model's run shows beside its numbers: its data, its small files and figures."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages.core import model_folder
from stages.core.mirror import lockfile, run_figures
from stages.core.mirror.record import ModelRecord
from stages.core.mirror.store import Store

FILES = "files.json"
"""The artifact that tells which files a run made: their md5 by their path in the repository."""

SHOWN = ("history.csv", "metrics.json", "timing.json")
"""The small files of a model that its run shows beside the pictures."""

PICTURES = ("confusion.png", "curves.png")


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write FILES into `folder`, to be logged with the rest."""
    (folder / FILES).write_text(_listing(files))


def _listing(files: Mapping[str, str]) -> str:
    return json.dumps(files, indent=2)


def faults(store: Store, run: str, wanted: Mapping[str, str | None], files: Mapping[str, str]) -> list[str]:
    """Which artifacts the run lacks or has with other bytes, with the word for it.

    `wanted` has their md5 by their path, None where any bytes will do; `files` is what FILES is to tell.
    """
    wanted = {**wanted, FILES: hashlib.md5(_listing(files).encode()).hexdigest()}
    with tempfile.TemporaryDirectory() as temporary:
        store.client.download_artifacts(run, "", temporary)
        held = lockfile.digests(temporary)
    missing = [f"{path} missing" for path in sorted(wanted.keys() - held.keys())]
    common = sorted(wanted.keys() & held.keys())
    return missing + [f"{path} changed" for path in common if wanted[path] not in (None, held[path])]


def faults_of_model(store: Store, run: str, record: ModelRecord) -> list[str]:
    """The `faults` of a model's run. Its pictures are drawn, and no file of DVC's says how they should be."""
    wanted = {name: record.files[name] for name in SHOWN} | dict.fromkeys(PICTURES)
    return faults(store, run, wanted, _in_repository(record))


def _in_repository(record: ModelRecord) -> dict[str, str]:
    return {f"models/{record.name}/{name}": md5 for name, md5 in record.files.items()}


def datasets(record: ModelRecord) -> list:
    """The three splits, each under DVC's md5 of the folder that they lie in."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    splits = {"train": "training", "validation": "validation", "test": "test"}
    return [
        DatasetInput(
            Dataset(
                name=context,
                digest=record.data,
                source_type="local",
                source=json.dumps({"uri": f"data/arrays/{split}_images.npy"}),
            ),
            [InputTag("mlflow.data.context", context)],
        )
        for split, context in splits.items()
    ]


def log(store: Store, run: str, record: ModelRecord, labels: np.ndarray) -> None:
    """Log a model's small files, its figures and FILES; `labels` (n,) are those of the test images."""
    best = list(record.seeds).index(int(record.model.tags["best_seed"]))
    probabilities = np.load(record.folder / "test_probabilities.npy", mmap_mode="r")[best]
    counts = run_figures.confusion(probabilities, labels)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in SHOWN:
            (folder / name).write_bytes((record.folder / name).read_bytes())
        write_files(folder, _in_repository(record))
        run_figures.write_figures(folder, model_folder.read_history(record.folder), counts, record.name)
        store.client.log_artifacts(run, temporary)
