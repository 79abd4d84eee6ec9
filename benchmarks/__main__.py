"""Compare the speed of training engines: write reports/benchmark.csv and print a table in Markdown.

The engines take turns, each in a process of its own, so that a disturbance of the machine affects all
of them: two epochs a turn, of which the second counts. The median is reported. Takes six minutes.
"""

import argparse
import platform
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context
from typing import Any

import pandas as pd
from dask.system import CPU_COUNT

from benchmarks import engines, write
from benchmarks.worker import prepare, train
from descent import paths
from descent.data import load_dataset
from descent.format import counted
from descent.timings import processor

ROUNDS = {8: 3, 128: 9, "full": 9}
"""The number of turns of each engine, by batch size."""

FLOATING_POINT_OPERATIONS = 2 * (2 * 784 * 128 + 3 * (128 * 64 + 64 * 10))
"""Per image: two per weight for the forward pass, the gradient, and the backward pass except in layer 1."""

TABLE = paths.REPORTS / "benchmark.csv"


def main() -> None:
    """Run the benchmark."""
    argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__).parse_args()
    images = len(load_dataset().train.labels)
    table = pd.concat([compare_engines(batch_size, images) for batch_size in ROUNDS], ignore_index=True)
    write(TABLE, table)
    print(section(table, images))


def compare_engines(batch_size: int | str, images: int) -> pd.DataFrame:
    """Measure all engines at one batch size."""
    installed = [name for name in engines.ENGINES if find_spec(engines.REQUIRED.get(name, "numpy"))]
    size, rounds = images if batch_size == "full" else batch_size, ROUNDS[batch_size]
    measured = measure(["matrix product", *installed], size, rounds)
    seconds, _ = measured.pop("matrix product")
    peak = 2 * engines.MATRIX_SIDE**3 * engines.MATRIX_PRODUCTS / seconds
    rows = []
    for engine, (seconds, megabytes) in measured.items():
        runs = 2 if "two" in engine else 1
        speed = runs * images / seconds
        rows.append(
            {
                "batch_size": size,
                "engine": engine,
                "seconds_per_epoch": seconds,
                "images_per_second": speed,
                "times_keras_fit": speed * measured["keras fit"][0] / images,
                "share_of_peak": speed / runs * FLOATING_POINT_OPERATIONS / peak,
                "peak_memory_mb": megabytes,
            }
        )
    return pd.DataFrame(rows)


def measure(names: list[str], batch_size: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the median seconds of an epoch and the peak memory in MB of each engine."""
    found, fresh = {name: [] for name in names}, get_context("spawn")
    with ExitStack() as stack:
        workers = {}
        for name in names:
            worker = ProcessPoolExecutor(1, fresh, prepare, (name, batch_size))
            workers[name] = stack.enter_context(worker)
            worker.submit(train).result()  # its warm-up, before the next one starts
        for turn, name in product(range(rounds), names):
            shown = f"batch size {batch_size}, round {turn + 1} of {rounds}: {name:<40}"
            print(f"\r{shown}", end="", file=sys.stderr)
            workers[name].submit(train).result()  # after the turns of the others its data left the caches
            found[name].append(workers[name].submit(train).result())
    print(file=sys.stderr)
    return {
        name: (statistics.median(seconds for seconds, _ in pairs), max(memory for _, memory in pairs))
        for name, pairs in found.items()
    }


def section(table: pd.DataFrame, images: int) -> str:
    """Render the table in Markdown: a row per engine, a column per batch size."""
    libraries = [name for name in ("tensorflow", "keras", "numpy", "torch", "jax") if find_spec(name)]
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    sizes = list(dict.fromkeys(table.batch_size))
    cells = {(row.engine, row.batch_size): _cell(row) for row in table.itertuples()}
    lines = [
        f"Seconds per epoch of {images:,} images (median) on {counted(CPU_COUNT, 'core')}, and images per",
        "second relative to `keras.Model.fit`. One thread per run unless stated otherwise.",
        "",
        "| engine | " + " | ".join(f"batch size {size:,}" for size in sizes) + " |",
        "|---" + "|---:" * len(sizes) + "|",
        *(
            f"| {engine} | " + " | ".join(cells[engine, size] for size in sizes) + " |"
            for engine in dict.fromkeys(table.engine)
        ),
        "",
        f"{processor()}, Python {platform.python_version()}, {versions}.",
    ]
    return "\n".join(lines)


def _cell(row: Any) -> str:
    return f"{row.seconds_per_epoch:.2f} s, {row.times_keras_fit:.1f} ×"


if __name__ == "__main__":
    main()
