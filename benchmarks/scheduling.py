"""Measure what scheduling costs and what a second worker brings, on loopback: reports/scheduling.csv."""

import argparse
import itertools
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
from distributed import Client

from benchmarks import write
from descent import paths
from descent.data import Dataset, Split
from descent.engine.settings import RunSettings
from descent.engine.training import TensorData, train_run
from descent.parallel import connect, run_all
from descent.sweep import SweepData, plane_of, train_sweep_run
from tests.support import dask_cluster

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have this package

TABLE = paths.REPORTS / "scheduling.csv"
ROUNDS = 3
RUN = RunSettings(128, 0.1, "sgd", (), (128, 64), "relu", 3, 0)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduling", description=__doc__)
    parser.add_argument(
        "runs", type=int, nargs="?", default=10_000, help="the largest number of runs (default: 10000)"
    )
    most = parser.parse_args().runs
    counts = [count for count in (10, 100, 1_000, 10_000, 100_000) if count <= most]
    with joined() as client:
        rows = [overhead("threads", client, count) for count in counts]
    with cluster_of(2) as client:
        rows += [overhead("2 processes", client, count) for count in counts]
    table = pd.DataFrame(rows + throughput(_dataset()))
    write(TABLE, table)
    print(table.to_string(index=False))


@contextmanager
def joined(address: str | None = None) -> Iterator[Client]:
    """Connect to the cluster at `address`, or to threads of this process."""
    os.environ.pop("DASK_SCHEDULER_ADDRESS", None)
    if address:
        os.environ["DASK_SCHEDULER_ADDRESS"] = address
    with connect() as client:
        yield client


@contextmanager
def cluster_of(workers: int) -> Iterator[Client]:
    """Start a cluster of single-threaded worker processes and connect to it."""
    with tempfile.TemporaryDirectory() as folder, dask_cluster.running(Path(folder), workers) as cluster:
        with joined(cluster.address) as client:
            client.wait_for_workers(workers, timeout=dask_cluster.SECONDS_TO_START)
            yield client


def overhead(workers: str, client: Client, runs: int) -> dict[str, Any]:
    """Time runs that do nothing, the shipping of code included."""
    started = time.perf_counter()
    run_all(client, nothing, range(runs), None)
    return {"measured": "overhead", "workers": workers, **_row(runs, time.perf_counter() - started)}


def throughput(dataset: Dataset) -> list[dict[str, Any]]:
    """Time runs that wait, runs as in the sweep, runs as in train, with one worker and with two.

    One cluster after the other, in turn, because an idle worker also takes some of a processor. The
    median of all rounds; sending code and data is included.
    """
    data, seeds = TensorData(dataset), range(24)
    plane = plane_of(train_run(RUN, data).trajectory)
    work = {
        "waiting": (waiting, range(8), None),
        "throughput, 3 epochs": (
            train_sweep_run,
            [RUN._replace(seed=seed) for seed in seeds],
            SweepData(data, planes=dict.fromkeys(seeds, plane)),
        ),
        "throughput, 20 epochs": (train_run, [RUN._replace(epochs=20, seed=s) for s in range(8)], data),
    }
    seconds: dict[tuple[str, int], list[float]] = {}
    for _, workers in itertools.product(range(ROUNDS), (1, 2)):
        with cluster_of(workers) as client:
            compiling = [RUN._replace(epochs=1, seed=seed) for seed in range(2 * workers)]
            run_all(client, train_run, compiling, data)
            for measured, task in work.items():
                started = time.perf_counter()
                run_all(client, *task)
                seconds.setdefault((measured, workers), []).append(time.perf_counter() - started)
    rows = []
    for measured, workers in itertools.product(work, (1, 2)):
        one, median = (statistics.median(seconds[measured, number]) for number in (1, workers))
        name = "1 process" if workers == 1 else f"{workers} processes"
        row = _row(len(work[measured][1]), median)
        rows.append({"measured": measured, "workers": name, **row, "times_one_worker": one / median})
    return rows


def waiting(task, shared, emit):
    """Sleep: shows what a second worker brings where other programs keep the machine busy."""
    time.sleep(0.5)


def nothing(task, shared, emit):
    """Do nothing."""


def _row(runs: int, seconds: float) -> dict[str, Any]:
    """`memory_mb` is the peak of this process so far, with the scheduler where that is threads."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = 1000 * seconds / runs
    return {"runs": runs, "seconds": seconds, "milliseconds_per_run": each, "memory_mb": memory}


def _dataset() -> Dataset:
    """Noise of MNIST's size: the time of an epoch does not depend on the images."""
    random = np.random.default_rng(0)

    def split(count: int) -> Split:
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        return Split(images, random.integers(0, 10, count, dtype=np.uint8))

    return Dataset(split(50_000), split(10_000), split(10_000))


if __name__ == "__main__":
    main()
