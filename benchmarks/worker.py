"""Run one engine in a process of its own."""

import os
import resource
import time
from collections.abc import Callable

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NPROC": "1"}
"""One thread for the libraries of NumPy, PyTorch and JAX; TensorFlow has a setting of its own."""

epoch: Callable[[], None]


def prepare(engine: str, batch_size: int) -> None:
    """Make the engine of this process, before anything imports NumPy."""
    os.environ.update({} if engine.endswith("all cores") else THREADS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    from benchmarks import engines
    from descent.data import load_dataset

    global epoch
    known = engines.ENGINES | {"matrix product": engines.matrix_product}
    epoch = known[engine](load_dataset(), batch_size)


def train() -> tuple[float, float]:
    """Train for an epoch; return its seconds, and the peak memory of this process so far in MB."""
    started = time.perf_counter()
    epoch()
    seconds = time.perf_counter() - started
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
