"""Run one engine in a process of its own: `python -m benchmarks.worker ENGINE BATCH_SIZE`.

Trains an epoch to warm up, then one for each line on stdin, and prints each one's seconds and the
process's peak memory so far in MB.
"""

import os
import resource
import sys
import time
from itertools import chain

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NPROC": "1"}
"""One thread for the libraries of NumPy, PyTorch and JAX; TensorFlow has a setting of its own."""


def main(engine: str, batch_size: int) -> None:
    """Answer each line on stdin with the seconds of an epoch."""
    os.environ.update({} if engine.endswith("all cores") else THREADS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    from benchmarks import engines
    from descent.data import load_dataset

    known = engines.ENGINES | {"matrix product": engines.matrix_product}
    epoch = known[engine](load_dataset(), batch_size)
    for _ in chain([""], sys.stdin):
        started = time.perf_counter()
        epoch()
        seconds = time.perf_counter() - started
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
