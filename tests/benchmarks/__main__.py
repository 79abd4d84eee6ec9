"""The speed of `descent` beside others: writes reports/benchmark.csv and prints the README's section.

Engines take turns, each in a process of its own, so that a disturbance of the machine meets all of
them: two epochs a turn, of which the second counts, and of these the median. About six minutes.
"""

import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import pandas as pd

from stages.core.data.mnist import load_arrays
from stages.core.files import replacing
from stages.core.timing import processor
from tests.benchmarks import engines

ROUNDS = {8: 3, 128: 9, "full": 9}
"""Turns of each engine, by batch size."""

FLOATING_POINT_OPERATIONS = 2 * (2 * 784 * 128 + 3 * (128 * 64 + 64 * 10))
"""For an image: two for each weight forward, for its gradient, and back to the layer before but the first."""

FILE = "reports/benchmark.csv"


def main() -> None:
    images = len(load_arrays().train.labels)
    table = pd.concat([compared(batch_size, images) for batch_size in ROUNDS], ignore_index=True)
    with replacing(FILE) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4g", lineterminator="\n")
    print(section(table, images))


def compared(batch_size: int | str, images: int) -> pd.DataFrame:
    """The table's rows for a batch size."""
    installed = [name for name in engines.ENGINES if find_spec(engines.LIBRARIES.get(name, "numpy"))]
    measured = measure(
        ["matrix product", *installed], images if batch_size == "full" else batch_size, ROUNDS[batch_size]
    )
    product, _ = measured.pop("matrix product")
    peak = 2 * engines.MATRIX_SIDE**3 * engines.MATRIX_PRODUCTS / product
    rows = []
    for engine, (seconds, megabytes) in measured.items():
        runs = 2 if "two" in engine else 1
        speed = runs * images / seconds
        rows.append(
            {
                "batch_size": images if batch_size == "full" else batch_size,
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
    """The median seconds of an epoch, and the peak memory in MB, of each engine."""
    workers = {}
    try:
        for name in names:
            workers[name] = start(name, batch_size)
            answer(workers[name])  # it has warmed up before the next one starts
        found = {name: [] for name in names}
        for turn in range(rounds):
            for name, worker in workers.items():
                print(
                    f"\rbatch size {batch_size}, round {turn + 1} of {rounds}: {name:<40}",
                    end="",
                    file=sys.stderr,
                )
                ask(worker)  # after the others' turns its data are no longer in the caches
                found[name].append(ask(worker))
        print(file=sys.stderr)
        return {
            name: (statistics.median(seconds for seconds, _ in pairs), max(memory for _, memory in pairs))
            for name, pairs in found.items()
        }
    finally:
        for worker in workers.values():
            worker.kill()
            worker.communicate()


def start(name: str, batch_size: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.benchmarks.worker", name, str(batch_size)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


def ask(worker: subprocess.Popen) -> tuple[float, float]:
    """Have a worker train for an epoch: its seconds, and the peak memory so far in MB."""
    worker.stdin.write("\n")
    worker.stdin.flush()
    return answer(worker)


def answer(worker: subprocess.Popen) -> tuple[float, float]:
    line = worker.stdout.readline().split()
    if not line:
        raise RuntimeError(f"{' '.join(worker.args)} ended; run it by hand to see why")
    return float(line[0]), float(line[1])


def section(table: pd.DataFrame, images: int) -> str:
    """The README's section, in Markdown: a row for each engine, a column for each batch size."""
    libraries = [name for name in ("tensorflow", "keras", "numpy", "torch", "jax") if find_spec(name)]
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    sizes = list(dict.fromkeys(table.batch_size))
    cells = {(row.engine, row.batch_size): _cell(row) for row in table.itertuples()}
    lines = [
        f"Seconds of an epoch of {images:,} images, the median of epochs taken in turn, and how many times",
        "as many images per second as `keras.Model.fit` that is. One thread a run, unless said otherwise.",
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
