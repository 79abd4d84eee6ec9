"""TensorFlow is set up once, for one thread a run, or not at all."""

import subprocess
import sys
import threading

from stages.core.engine import backend
from stages.core.engine.backend import tf
from stages.core.process import processors


def test_a_run_has_one_thread():
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1


def test_runs_side_by_side_have_a_device_each():
    met, devices = threading.Barrier(processors(), timeout=30), []

    def run():
        with backend.own_device():
            met.wait()
            devices.append(tf.constant(1.0).device)

    threads = [threading.Thread(target=run) for _ in range(processors())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(devices)) == processors()


def test_a_device_is_free_again_after_a_run_that_failed():
    for _ in range(processors() + 1):
        try:
            with backend.own_device():
                raise ArithmeticError
        except ArithmeticError:
            pass


def test_a_tensorflow_that_was_started_otherwise_is_refused():
    code = "import tensorflow as tf; tf.zeros(1); import stages.core.engine.backend"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.strip().endswith(
        "TensorFlow was started with all intra-op threads; accepted: 1, "
        "so import stages.core.engine.backend before the first operation"
    )


def test_setting_up_says_nothing():
    code = "from stages.core.engine.backend import tf; tf.zeros(1)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == run.stderr == ""
