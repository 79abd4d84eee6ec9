"""Train what the map does not have yet: data/arrays -> data/sweep, reports/sweep.csv, MLflow."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.core import process, progress, timing
from stages.core.data.mnist import Digits, InvalidData, load_arrays
from stages.core.engine.descent import Epoch
from stages.core.engine.tensors import Tensors
from stages.core.files import error_line, write_json, write_table
from stages.core.mirror import sweep_mirror
from stages.core.parallel import cluster, run_store
from stages.core.parallel.dispatch import Failure, run_each
from stages.core.parallel.replicates import Run
from stages.core.params import read_params_or_exit
from stages.core.report import sweep_map

FOLDER = Path("data/sweep")
TABLE = Path("reports/sweep.csv")


def main() -> None:
    """`python -m stages.sweep`."""
    process.end_with_parent()
    params = read_params_or_exit()
    runs, started = sweep_map.combinations(params.sweep), datetime.now(UTC)
    try:
        digits = load_arrays()
        store = run_store.opened(FOLDER / "runs", digits)
        new = [run for run in runs if store.find(*run) is None]
        with process.interruptible(), process.sole_writer(FOLDER):
            courses, failures = train(new, digits, store) if new else ({}, [])
            write_json(FOLDER / "timing.json", clock(courses, started))
            if not failures:
                names = [store.path(*run).stem for run in runs]
                write_table(TABLE, sweep_map.table(runs, store).assign(run=names))
    except (InvalidData, run_store.DamagedRun, process.Busy, cluster.ClusterUnavailable) as error:
        sys.exit(str(error))
    except OSError as error:  # a full disk, say; the runs that were kept before it stay
        sys.exit(error_line(error))
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        sys.exit(f"sweep: {len(failures)} of {len(runs)} runs failed; the others are kept in {store.folder}")
    sweep_mirror.show()
    seconds = (datetime.now(UTC) - started).total_seconds()
    print(f"sweep: {len(runs)} runs, {len(new)} of them trained now, in {seconds:.0f} s")


def train(
    runs: Sequence[Run], digits: Digits, store: run_store.RunStore
) -> tuple[dict[Run, sweep_map.Course], list[Failure]]:
    """Compute the runs and keep each in the store as it ends; what came of them, and what failed."""
    runs, courses, failures = sweep_map.longest_first(runs, store.images), {}, []
    epochs = sum(run.epochs for run in runs)
    with cluster.connect() as client, progress.bar("sweep", epochs, store.images) as bar:
        for index, ended in run_each(client, sweep_map.course, runs, Tensors(digits), _shown_in(bar)):
            if isinstance(ended, Failure):
                failures.append(ended)
                continue
            store.keep(*runs[index], ended.history)
            courses[runs[index]] = ended
            bar.set_postfix_str(f"{len(courses)} of {len(runs)} runs", refresh=False)
    return courses, failures


def clock(courses: dict[Run, sweep_map.Course], started: datetime) -> dict[str, Any]:
    """timing.json: the machine, and the seconds of the runs that were trained this time."""
    return timing.clock(started) | {
        "runs": [
            {
                "run": str(run),
                "compile_seconds": course.compile_seconds,
                "epoch_seconds": list(course.epoch_seconds),
            }
            for run, course in courses.items()
        ],
    }


def _shown_in(bar: tqdm) -> Callable[[int, Epoch], None]:
    return lambda index, epoch: bar.update(min(epoch.epoch, 1))  # nothing has been learned from in epoch 0


if __name__ == "__main__":
    main()
    process.leave()
