"""Compare the models: models/<model>/ and data/arrays -> reports/: tables, and what is rendered of them."""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from stages.core import process
from stages.core.data.mnist import Digits, InvalidData, load_arrays
from stages.core.files import error_line, replacing, write_json, write_table
from stages.core.mirror import tracking
from stages.core.params import Params, read_params_or_exit
from stages.core.report import (
    comparison,
    differences,
    figures,
    markdown,
    mistakes,
    notebook,
    pace,
    page,
    pictures,
    survey,
)
from stages.core.report.comparison import Result
from stages.core.report.contents import contents

REPORTS = Path("reports")
SWEEP = REPORTS / "sweep.csv"
"""The sweep's table, a stage's of its own: without it the report has no map of settings."""


def main() -> None:
    """`python -m stages.report`."""
    process.end_with_parent()
    params = read_params_or_exit()
    try:
        digits, results = load_arrays(), comparison.read_results(params)
        with process.interruptible():
            write(params, results, digits)
            tracking.report(params)
    except (InvalidData, comparison.InvalidResults) as error:
        sys.exit(str(error))
    except OSError as error:  # a full disk, say
        sys.exit(error_line(error))


def write(params: Params, results: Mapping[str, Result], digits: Digits) -> None:
    """Write all of reports/ that this stage makes."""
    for name, table in measure(params, results, digits).items():
        write_table(REPORTS / f"{name}.csv", table)
    # What is rendered reads the files back: nothing is said that they do not hold.
    numbers = figures.read_numbers(REPORTS)
    write_json(REPORTS / "metrics.json", comparison.summary(numbers.comparison))
    render(params, numbers, digits)
    render_timing(params, numbers)


def measure(params: Params, results: Mapping[str, Result], digits: Digits) -> dict[str, pd.DataFrame]:
    """The tables of reports/, each under its file's name."""
    probabilities, paths = (
        {name: np.load(f"models/{name}/{file}.npy", allow_pickle=False) for name in results}
        for file in ("test_probabilities", "path")
    )
    table = comparison.compare(params, results)
    best = {name: differences.best_predictions(results[name], probabilities[name]) for name in results}
    ways, surface = survey.survey(params, results, paths, digits.train)
    return {
        "comparison": table,
        "history": comparison.histories(results),
        "differences": differences.tests(table, results, best, digits.test.labels),
        "paths": ways,
        "surface": surface,
        "confusion": mistakes.of_each(mistakes.confusion, best, digits.test.labels),
        "mistakes": mistakes.of_each(mistakes.worst, best, digits.test.labels),
    }


def render(params: Params, numbers: figures.Numbers, digits: Digits) -> None:
    """Write what people read."""
    sweep = comparison.read_table(SWEEP) if SWEEP.exists() else None
    drawn = figures.by_study(params, numbers, digits.test.images, sweep)
    pictures.write_all(REPORTS / "figures", drawn, list(params.models))
    said = contents(params, numbers, drawn)
    with ThreadPoolExecutor() as pool:  # the notebook runs in a process of its own: no need to wait for it
        solutions = pool.submit(notebook.render, params, sweep is not None)
        _write(REPORTS / "report.md", markdown.render(said))
        _write(REPORTS / "report.html", page.render(said, list(params.models)))
        _write(REPORTS / "solutions.ipynb", solutions.result())


def render_timing(params: Params, numbers: figures.Numbers) -> None:
    """Write the only files of reports/ in which a clock shows."""
    timings = pace.read_timings(params.models)
    seconds = pace.seconds_table(timings)
    write_table(REPORTS / "timing.csv", seconds)
    names = figures.labels(numbers.comparison.drop_duplicates("model"))
    processor = " / ".join(sorted({timing["processor"] for timing in timings.values()}))
    chart = pace.chart(seconds, numbers.history, processor, list(params.models), names)
    pictures.write(REPORTS / "timing", [chart], list(params.models))


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
