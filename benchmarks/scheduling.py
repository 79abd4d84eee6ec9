"""Measure what scheduling costs and what a second worker brings, on loopback: reports/scheduling.csv."""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
from distributed import Client

from benchmarks import write
from descent import paths
from descent.data import load_dataset
from descent.engine.settings import RunSettings
from descent.engine.training import TensorData, train_run
from descent.parallel import connect, run_all
from tests.support import dask_cluster

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not have this package

TABLE = paths.REPORTS / "scheduling.csv"
ROUNDS = 3
RUNS = [RunSettings(128, 0.1, "sgd", (), (128, 64), "relu", 3, seed) for seed in range(24)]
"""As in the sweep."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduling", description=__doc__)
    parser.add_argument(
        "runs", type=int, nargs="?", default=10_000, help="the largest number of runs (default: 10000)"
    )
    most = parser.parse_args().runs
    counts = [count for count in (10, 100, 1_000, 10_000, 100_000) if count <= most]
    with joined() as client:
        rows = [timed("overhead", "threads", client, nothing, range(count), None) for count in counts]
    with cluster_of(2) as client:
        rows += [timed("overhead", "2 processes", client, nothing, range(count), None) for count in counts]
    table = pd.DataFrame(rows + throughput())
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


def timed(measured: str, workers: str, client: Client, function, runs: Sequence, shared) -> dict[str, Any]:
    """Time runs, the shipping of code and data included.

    `memory_mb` is the peak of this process so far, with the scheduler where that is threads.
    """
    started = time.perf_counter()
    run_all(client, function, runs, shared)
    seconds = time.perf_counter() - started
    return {
        "measured": measured,
        "workers": workers,
        "runs": len(runs),
        "seconds": seconds,
        "milliseconds_per_run": 1000 * seconds / len(runs),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def nothing(task, shared, emit):
    """Do nothing."""


def throughput() -> list[dict[str, Any]]:
    """Time runs of three epochs with one worker and with two, in turn; the median round of each.

    One cluster after the other, because an idle worker also takes some of a processor.
    """
    data = TensorData(load_dataset())
    found: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for workers, rows in found.items():
            with cluster_of(workers) as client:
                run_all(client, train_run, RUNS[: 2 * workers], data)  # compiles
                name = "1 process" if workers == 1 else f"{workers} processes"
                rows.append(timed("throughput", name, client, train_run, RUNS, data))
    medians = [sorted(rows, key=lambda row: row["seconds"])[ROUNDS // 2] for rows in found.values()]
    return [row | {"times_one_worker": medians[0]["seconds"] / row["seconds"]} for row in medians]


if __name__ == "__main__":
    main()
