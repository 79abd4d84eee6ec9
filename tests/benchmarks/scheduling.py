"""What scheduling costs, and what a second worker brings, on loopback -> reports/scheduling.csv.

python -m tests.benchmarks.scheduling [the largest number of runs, 10000 if not given]
"""

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

from stages.core.data.mnist import Digits, Split
from stages.core.engine.tensors import Tensors
from stages.core.files import replacing
from stages.core.parallel.cluster import connect
from stages.core.parallel.dispatch import run_all
from stages.core.parallel.replicates import Run, descend_run
from stages.core.report.sweep_map import course
from stages.core.settings import Model
from tests import dask_cluster

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker does not have the benchmarks

TABLE = Path("reports/scheduling.csv")
ROUNDS = 3
SETTINGS = Model(batch_size=128, learning_rate=0.1)


def main() -> None:
    """`python -m tests.benchmarks.scheduling`."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    counts = [count for count in (10, 100, 1_000, 10_000, 100_000) if count <= most]
    with joined() as client:
        rows = [overhead("threads", client, count) for count in counts]
    with cluster_of(2) as client:
        rows += [overhead("2 processes", client, count) for count in counts]
    table = pd.DataFrame(rows + throughput(_digits()))
    with replacing(TABLE) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g", lineterminator="\n")
    print(table.to_string(index=False))


@contextmanager
def joined(address: str | None = None) -> Iterator[Client]:
    """A client of the cluster at `address`, or of threads here."""
    os.environ.pop("DASK_SCHEDULER_ADDRESS", None)
    if address:
        os.environ["DASK_SCHEDULER_ADDRESS"] = address
    with connect() as client:
        yield client


@contextmanager
def cluster_of(workers: int) -> Iterator[Client]:
    """A client of a cluster of its own with so many workers, each a process with one thread."""
    with tempfile.TemporaryDirectory() as folder, dask_cluster.running(Path(folder), workers) as cluster:
        with joined(cluster.address) as client:
            client.wait_for_workers(workers, timeout=dask_cluster.SECONDS_TO_START)
            yield client


def overhead(workers: str, client: Client, runs: int) -> dict[str, Any]:
    """Runs that do nothing, the first time included in which workers are given their code."""
    began = time.perf_counter()
    run_all(client, nothing, range(runs), None)
    return {"measured": "overhead", "workers": workers, **_row(runs, time.perf_counter() - began)}


def throughput(digits: Digits) -> list[dict[str, Any]]:
    """Runs that wait, runs as the map has them, runs as train has them, by one worker and by two.

    One cluster after the other, in turn, so that a disturbance meets both, and alone on the machine: an
    idle worker too takes some of a processor. The median; sending code and data is part of it.
    """
    data = Tensors(digits)
    work = {
        "waiting": (waiting, range(8), None),
        "throughput, 3 epochs": (course, [Run(SETTINGS, 3, seed) for seed in range(24)], data),
        "throughput, 20 epochs": (descend_run, [Run(SETTINGS, 20, seed) for seed in range(8)], data),
    }
    seconds: dict[tuple[str, int], list[float]] = {}
    for _, workers in itertools.product(range(ROUNDS), (1, 2)):
        with cluster_of(workers) as client:
            compiling = [Run(SETTINGS, 1, seed) for seed in range(2 * workers)]
            run_all(client, descend_run, compiling, data)
            for measured, task in work.items():
                began = time.perf_counter()
                run_all(client, *task)
                seconds.setdefault((measured, workers), []).append(time.perf_counter() - began)
    rows = []
    for measured, (_, runs, _) in work.items():
        one, two = (statistics.median(seconds[measured, workers]) for workers in (1, 2))
        rows += [
            {
                "measured": measured,
                "workers": workers,
                **_row(len(runs), median),
                "times_one_worker": one / median,
            }
            for workers, median in (("1 process", one), ("2 processes", two))
        ]
    return rows


def waiting(task, shared, emit):
    """A run that needs no processor: what two workers bring where others keep the machine busy."""
    time.sleep(0.5)


def nothing(task, shared, emit):
    """A run without work."""


def _row(runs: int, seconds: float) -> dict[str, Any]:
    """`memory_mb` is this process's peak so far, the scheduler's with it where that is threads."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    each = 1000 * seconds / runs
    return {"runs": runs, "seconds": seconds, "milliseconds_per_run": each, "memory_mb": memory}


def _digits() -> Digits:
    """Noise of MNIST's size: how long an epoch takes does not depend on what is in it."""
    random = np.random.default_rng(0)

    def split(count: int) -> Split:
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        return Split(images, random.integers(0, 10, count, dtype=np.uint8))

    return Digits(split(50_000), split(10_000), split(10_000))


if __name__ == "__main__":
    main()
