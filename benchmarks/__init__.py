"""Benchmarks, run by `make bench`: the engine beside others, scheduling, and the cost of a stage."""

from pathlib import Path
from typing import Any


def write(path: Path, table: Any) -> None:
    """Write a pandas.DataFrame with the four digits that a clock is good for."""
    from descent.files import replacing  # imports NumPy, for which a worker sets the threads first

    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g", lineterminator="\n")
