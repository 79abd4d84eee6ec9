"""TensorFlow runs one thread per device, and each run has a device of its own."""

import subprocess
import sys
import threading

import pytest
from dask.system import CPU_COUNT

from descent.engine import backend
from descent.engine.backend import tf
from tests.support.small_params import ROOT


def test_a_device_has_one_thread():
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1


def test_runs_side_by_side_have_a_device_each():
    started, devices = threading.Barrier(CPU_COUNT, timeout=120), []

    def compute():
        with backend.exclusive_device():
            started.wait()
            devices.append(tf.constant(1.0).device)

    threads = [threading.Thread(target=compute) for _ in range(CPU_COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(devices)) == CPU_COUNT


def test_a_device_is_free_again_after_a_run_that_failed():
    for _ in range(CPU_COUNT + 1):
        try:
            with backend.exclusive_device():
                raise ArithmeticError
        except ArithmeticError:
            pass


@pytest.mark.slow  # TensorFlow is imported in a new process
def test_a_tensorflow_that_has_started_is_rejected():
    code = "import tensorflow as tf; tf.zeros(1); import descent.engine.backend"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "TensorFlow has started with all intra-op threads; accepted: 1, "
        "so import descent.engine.backend before the first operation"
    )
