"""What MLflow is to show of the runs of the map, read from its files alone.

Which runs the map has now is told by the column `run` of reports/sweep.csv: the names of files in
data/sweep/runs, which keeps the runs of earlier maps as well.
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.core import outcome
from stages.core.mirror.record import RunRecord
from stages.core.mirror.series import Point

STAGE = "sweep"
RUNS = "data/sweep/runs"
TABLE = "reports/sweep.csv"


def read(root: Path | str) -> dict[str, RunRecord]:
    """What MLflow is to show of the map whose table lies under `root`, by the names of the runs' files.

    Raises OSError, ValueError or KeyError if the files are not as the stage writes them.
    """
    with open(Path(root, TABLE), encoding="utf-8", newline="") as table:
        names = [row["run"] for row in csv.DictReader(table)]
    return {name: _record(name, Path(root, RUNS, f"{name}.json")) for name in names}


def _record(name: str, path: Path) -> RunRecord:
    kept = json.loads(path.read_text(encoding="utf-8"))
    identity, history = kept["run"], kept["history"]
    title = f"batch {identity['batch_size']}, rate {identity['learning_rate']:g}"
    tags = {"sweep.run": name, "status": outcome.status([epoch["train_loss"] for epoch in history])}
    params = {key: str(value) for key, value in _axes(identity).items()}
    return RunRecord(title, params, tags, list(_points(history)), 0, 0)


def _axes(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The settings; as powers too, because MLflow's axes are linear."""
    plain = {name: value for name, value in identity.items() if not isinstance(value, dict)}
    return plain | {
        "log2_batch_size": round(math.log2(identity["batch_size"]), 6),
        "log10_learning_rate": round(math.log10(identity["learning_rate"]), 6),
    }


def _points(history: Sequence[Mapping[str, Any]]) -> Iterator[Point]:
    for epoch in history:
        for key, value in epoch.items():
            if key not in ("epoch", "updates") and value is not None:
                yield Point(key, value, epoch["epoch"], 0)
