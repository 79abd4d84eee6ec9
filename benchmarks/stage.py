"""Measure what a train stage costs besides training, and what logging adds: reports/stage.csv."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks import write
from descent import paths

ROOT = Path(__file__).parent.parent
TABLE = ROOT / paths.REPORTS / "stage.csv"
ROUNDS = 5
WAYS = {
    "logged": ["-m", "stages.train"],
    "not logged": [
        "-c",
        "import runpy, dvc_mlflow; from unittest.mock import MagicMock; dvc_mlflow.live = MagicMock(); "
        "runpy.run_module('stages.train', run_name='__main__')",
    ],
}
"""The stage as it is, and without logging; in turn, so that a disturbance affects both."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stage", description=__doc__)
    parser.add_argument("model", nargs="?", default="baseline", help="of params.yaml (default: baseline)")
    model = parser.parse_args().model
    found = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)  # with parameters and arrays, as the earlier stages leave them
        subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"], cwd=folder, check=True)
        for name in ("dvc.yaml", "params.yaml"):
            shutil.copy(ROOT / name, folder)
        (folder / "data").mkdir()
        (folder / "data/arrays").symlink_to(ROOT / "data/arrays")
        (folder / "data/dataset.json").symlink_to(ROOT / "data/dataset.json")
        train(folder, model, WAYS["logged"])  # creates the database, once
        if not (folder / "mlflow.db").exists():
            raise RuntimeError("the stage logged nothing")
        for _ in range(ROUNDS):
            for way, program in WAYS.items():
                found[way].append(train(folder, model, program))
    table = pd.DataFrame(
        {
            "model": model,
            "way": way,
            **{name: statistics.median(run[name] for run in runs) for name in runs[0]},
        }
        for way, runs in found.items()
    )
    write(TABLE, table)
    print(table.to_string(index=False))


def train(folder: Path, model: str, program: list[str]) -> dict[str, float]:
    """Run a stage; return its seconds, those outside training, and its peak memory in MB.

    Training starts when the first seeds' programs are compiled, and ends with the last epoch.
    """
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "DVC_ROOT": str(folder),
        "DVC_STAGE": f"train@{model}",  # else nothing is logged
    }
    command = [sys.executable, *program, model]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if code:
        raise RuntimeError(f"the stage ended with {code}")
    clock = json.loads((folder / paths.timing(f"train@{model}")).read_text())
    training = clock["seconds"] - max(run["compile_seconds"] for run in clock["runs"])
    return {
        "seconds": seconds,
        "seconds_outside_training": seconds - training,
        "peak_memory_mb": used.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
