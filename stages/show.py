"""Print the comparison that lies in reports/, and where to look further. A command, not a stage."""

import sys
from pathlib import Path

import pandas as pd

from stages.core.params import Params, read_params_or_exit
from stages.core.report import tables
from stages.core.report.comparison import best, read_table

COMPARISON = Path("reports/comparison.csv")


def main() -> None:
    """`python -m stages.show`."""
    params = read_params_or_exit()
    if not COMPARISON.exists():
        sys.exit(f"{COMPARISON}: is not there; `dvc repro` makes it")
    print(shown(params, read_table(COMPARISON)))


def shown(params: Params, table: pd.DataFrame) -> str:
    """A table per study with its question and its answer, then the places, as text for a terminal."""
    studies = [_study(study.question, table[table.study == name]) for name, study in params.studies.items()]
    places = (
        "report      reports/report.html (reports/report.md, reports/solutions.ipynb)\n"
        "runs        make ui, then http://127.0.0.1:5000\n"
        "experiments dvc exp show --only-changed --drop '.*/|models$'"
    )
    return "\n\n".join([*studies, places])


def _study(question: str, rows: pd.DataFrame) -> str:
    cells = pd.DataFrame(tables.rows(rows), columns=tables.HEADINGS)
    return f"{question} {best(rows) or 'None of them learned.'}\n\n{cells.to_string(index=False)}"


if __name__ == "__main__":
    main()
