"""The report's run in MLflow: the report and the comparison, as artifacts of a run of their own."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stages.core.mirror import artifacts, lockfile, runs
from stages.core.mirror.store import Store
from stages.core.params import Study

STAGE = "report"
FOLDER = "reports"
SHOWN = ("report.html", "report.md", "solutions.ipynb", "comparison.csv", "metrics.json", "figures")


class Report(NamedTuple):
    """What MLflow shows of the report in `folder`: what is there, the md5 of each file, the run's tags."""

    folder: Path
    shown: list[str]
    files: dict[str, str]
    tags: dict[str, str]


def read(root: Path | str, studies: Mapping[str, Study]) -> Report:
    """The report under `root`, for MLflow. Raises OSError or ValueError if its metrics.json is not there."""
    folder = Path(root, FOLDER)
    shown = [name for name in SHOWN if (folder / name).exists()]
    best = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["best"]
    digests = [[name, lockfile.digest(folder / name)] for name in shown]
    if unknown := sorted(best.keys() - studies.keys()):
        raise ValueError(f"{FOLDER}/metrics.json is of the study {unknown[0]!r}, which params.yaml has not")
    answers = [f"{studies[study].question} {model}." for study, model in best.items()]
    tags = {
        "report": "true",
        "dvc.outputs": hashlib.md5(json.dumps(digests).encode()).hexdigest(),
        "mlflow.note.content": " ".join(answers),
    }
    tags |= {f"best.{study}": model for study, model in best.items()}
    files = {name: md5 for name, md5 in lockfile.digests(folder).items() if name.partition("/")[0] in shown}
    return Report(folder, shown, files, tags)


def faults(store: Store, run: str, report: Report) -> list[str]:
    """Which artifacts the report's run lacks or has with other bytes, with the word for it."""
    return artifacts.faults(store, run, report.files, _in_repository(report))


def _in_repository(report: Report) -> dict[str, str]:
    return {f"{FOLDER}/{name}": md5 for name, md5 in report.files.items()}


def log(store: Store, report: Report, origin: Mapping[str, str], state: str) -> str:
    """Make a run that shows the report; its id."""
    from mlflow.entities import RunTag

    run = runs.start(store, STAGE, {"report": "true", **origin}, runs.now())
    store.client.log_batch(run, tags=[RunTag(key, value) for key, value in report.tags.items()])
    with tempfile.TemporaryDirectory() as temporary:
        for name in report.shown:
            source, copy = report.folder / name, Path(temporary, name)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
        artifacts.write_files(Path(temporary), _in_repository(report))
        store.client.log_artifacts(run, temporary)
    runs.finish(store, run, "FINISHED", state, runs.now())
    return run
