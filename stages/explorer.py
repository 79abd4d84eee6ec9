"""Make the page to play with: data/, models/, comparison.csv and rates.json -> reports/explorer.html."""

import sys

from descent import paths, process, sweep
from descent.config import InvalidRates, read_params_or_exit, with_tuned
from descent.data import InvalidData, load_dataset
from descent.files import error_line, write_text
from descent.report import tables
from descent.report.explorer.content import content
from descent.report.explorer.page import page


def main() -> None:
    """Run the stage."""
    params = read_params_or_exit()
    try:
        params, dataset = with_tuned(params), load_dataset()
        runs = sweep.open_cache(dataset, paths.SWEEP_RUNS)
        planes = sweep.PlaneCache(paths.SWEEP_PLANES, runs, len(dataset.train.labels))
        with process.interruptible():
            comparison = tables.read_table(paths.COMPARISON)
            text = page(content(params, dataset, comparison, runs, planes))
            write_text(paths.EXPLORER, text)
    except (InvalidData, InvalidRates, tables.InvalidResults, sweep.DamagedRun) as error:
        sys.exit(str(error))
    except OSError as error:  # a full disk, say
        sys.exit(error_line(error))
    print(f"{paths.EXPLORER}: {len(text.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
