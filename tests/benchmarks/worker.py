"""An engine in a process of its own: `python -m tests.benchmarks.worker ENGINE BATCH_SIZE`.

Trains an epoch to warm up, then one for each line on stdin, and tells each one's seconds and the
process's peak memory so far in MB.
"""

import os
import resource
import sys
import time
from itertools import chain

THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NPROC": "1"}
"""One thread for NumPy's, PyTorch's and JAX's libraries; TensorFlow has its own setting."""


def main(engine: str, batch_size: int) -> None:
    os.environ.update({} if engine.endswith("all cores") else THREADS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    from stages.core.data.mnist import load_arrays
    from tests.benchmarks import engines

    known = engines.ENGINES | {"matrix product": engines.matrix_product}
    epoch = known[engine](load_arrays(), batch_size)
    for _ in chain([""], sys.stdin):
        began = time.perf_counter()
        epoch()
        seconds = time.perf_counter() - began
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
