"""The report stage of a scratch repository: the tables, and a report of one line."""

import os
from pathlib import Path

from stages.core.files import write_json, write_table
from stages.core.mirror import tracking
from stages.core.params import Params, read_params
from stages.core.report import comparison


def write_report(root: Path, params: Params) -> None:
    """Write reports/ under `root` from its models/."""
    table = comparison.compare(params, comparison.read_results(params, root / "models"))
    write_table(root / "reports/comparison.csv", table)
    write_json(root / "reports/metrics.json", comparison.summary(table))
    (root / "reports/report.md").write_text("Which was best?\n")


if __name__ == "__main__":
    write_report(Path(), read_params())
    if not os.environ.get("UNTRACKED"):
        tracking.report(read_params())
