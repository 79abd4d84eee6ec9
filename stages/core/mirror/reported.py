"""Whether reports/comparison.csv says what the models' files say."""

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from stages.core.mirror.disagreements import Disagreement
from stages.core.mirror.record import ModelRecord

TABLE = "reports/comparison.csv"
DIGITS = 1e-8
"""The table has nine significant digits."""


def contradictions(root: Path | str, records: Iterable[ModelRecord]) -> list[Disagreement]:
    """Each mean, deviation and status in the table under `root` that is not that of the model's files."""
    path, by_name = Path(root, TABLE), {record.name: record for record in records}
    if not path.exists():
        return []
    table = pd.read_csv(path, dtype={"model": str, "status": str}, keep_default_na=False, na_values=[""])
    rows = table.drop_duplicates("model").to_dict("records")
    return [wrong for row in rows if row["model"] in by_name for wrong in _of_row(row, by_name[row["model"]])]


def _of_row(row: dict, record: ModelRecord) -> list[Disagreement]:
    name = record.name
    last = max(point.epoch for point in record.model.points)
    finals = {point.key: point.value for point in record.model.points if point.epoch == last}
    keys = [key for key in row if key.endswith(("_mean", "_std"))]
    found = [
        Disagreement(f"{TABLE}: {name} {key}", f"{row[key]} in the table", f"{finals.get(key)} in models/")
        for key in keys
        if not _equal(row[key], finals.get(key, math.nan))
    ]
    if row["status"] != record.model.tags["status"]:
        status = record.model.tags["status"]
        found.append(Disagreement(f"{TABLE}: {name} status", f"{row['status']} in the table", status))
    return found


def _equal(ours: float, theirs: float) -> bool:
    return (math.isnan(ours) and math.isnan(theirs)) or math.isclose(
        ours, theirs, rel_tol=DIGITS, abs_tol=1e-12
    )
