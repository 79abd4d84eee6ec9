"""What a train stage costs beside the training itself, and what logging adds to it -> reports/stage.csv.

python -m tests.benchmarks.stage [a model of params.yaml, baseline if not given]
"""

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

from stages.core.files import replacing

ROOT = Path(__file__).parent.parent.parent
TABLE = ROOT / "reports/stage.csv"
ROUNDS = 5
WAYS = {
    "logged": ["-m", "stages.train"],
    "not logged": [
        "-c",
        "import runpy; from unittest.mock import MagicMock; from stages.core.mirror import tracking; "
        "tracking.live = MagicMock(); runpy.run_module('stages.train', run_name='__main__')",
    ],
}
"""The stage as it is, and with nobody to log to; both in turn, so that a disturbance meets both."""


def main() -> None:
    """`python -m tests.benchmarks.stage`."""
    model = sys.argv[1] if len(sys.argv) > 1 else "baseline"
    found = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as place:
        folder = prepared(Path(place))
        train(folder, model, WAYS["logged"])  # makes the database, which happens once
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
    with replacing(TABLE) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g", lineterminator="\n")
    print(table.to_string(index=False))


def prepared(folder: Path) -> Path:
    """A repository with parameters and arrays, as the stages before leave them, and no commit."""
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "data").mkdir()
    (folder / "data/arrays").symlink_to(ROOT / "data/arrays")
    return folder


def train(folder: Path, model: str, program: list[str]) -> dict[str, float]:
    """One stage in a process of its own: its seconds, those outside training, and its peak memory in MB.

    Training begins when all that the first seeds need is compiled, and ends with the last epoch.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    environment.pop("DVC_ROOT", None)
    command = [sys.executable, *program, model]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if code:
        raise RuntimeError(f"the stage ended with {code}")
    clock = json.loads((folder / "models" / model / "timing.json").read_text())
    training = clock["seconds"] - max(seed["compile_seconds"] for seed in clock["seeds"])
    return {
        "seconds": seconds,
        "seconds_outside_training": seconds - training,
        "peak_memory_mb": used.ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
