"""Solve the assignment in a notebook: data/arrays, reports/comparison.csv -> reports/solutions.ipynb."""

import json
import sys

from nbclient.exceptions import CellExecutionError, DeadKernelError

from descent import paths, process
from descent.config import InvalidRates, read_params_or_exit, with_tuned
from descent.files import error_line, write_text
from descent.report import notebook

NOTEBOOK = paths.REPORTS / "solutions.ipynb"


def main() -> None:
    """Run the stage."""
    params = read_params_or_exit()
    try:
        params = with_tuned(params)
        with process.interruptible():
            facts = [
                json.loads(path.read_text(encoding="utf-8"))
                for path in (paths.ARRAYS / "summary.json", paths.DATASET)
            ]
            write_text(NOTEBOOK, notebook.render(params, facts[0] | facts[1]))
    except CellExecutionError as error:
        sys.exit(f"{error}\n{NOTEBOOK}: not written, a cell failed: {error.ename}: {error.evalue}")
    except DeadKernelError as error:
        sys.exit(f"{NOTEBOOK}: not written, its kernel ended: {error}; memory may have run out")
    except InvalidRates as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(error_line(error))


if __name__ == "__main__":
    main()
