"""Variables that change bits or place are removed before a library is imported."""

import os
import subprocess
import sys

from tests.support.small_params import ROOT

REMOVED = {
    "DNNL_MAX_CPU_ISA": "SSE41",
    "GIT_DIR": "/nonexistent",
    "IPYTHONDIR": "/nonexistent",
    "JUPYTER_PATH": "/nonexistent",
    "NPY_DISABLE_CPU_FEATURES": "AVX2",
    "OPENBLAS_CORETYPE": "Prescott",
    "TF_DETERMINISTIC_OPS": "1",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
}
KEPT = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "0"}


def test_variables_that_change_bits_or_place_are_removed():
    code = "import os; from descent import startup; startup.prepare(); print(*sorted(os.environ))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | REMOVED | KEPT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) & (REMOVED.keys() | KEPT.keys()) == KEPT.keys()
