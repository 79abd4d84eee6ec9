"""Solve the assignment in a notebook: data/arrays, reports/comparison.csv -> reports/solutions.ipynb."""

import json
import sys

from nbclient.exceptions import CellExecutionError, DeadKernelError

from descent import paths, process
from descent.config import read_params, with_tuned
from descent.errors import in_one_line
from descent.files import write_text
from descent.notebook import solutions

NOTEBOOK = paths.REPORTS / "solutions.ipynb"


@in_one_line()
def main() -> None:
    """Run the stage."""
    params = with_tuned(read_params())
    files = (paths.ARRAYS / "summary.json", paths.DATASET)
    try:
        summary, dataset = (json.loads(path.read_text(encoding="utf-8")) for path in files)
    except ValueError:
        sys.exit(f"{files[0]} or {files[1]}: is damaged; `dvc repro preprocess` makes it again")
    try:
        with process.interruptible():
            write_text(NOTEBOOK, solutions.render(params, summary | dataset))
    except CellExecutionError as error:
        sys.exit(f"{error}\n{NOTEBOOK}: not written, a cell failed: {error.ename}: {error.evalue}")
    except DeadKernelError as error:
        sys.exit(f"{NOTEBOOK}: not written, its kernel ended: {error}; memory may have run out")


if __name__ == "__main__":
    main()
