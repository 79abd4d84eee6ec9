"""A training run gives the same bits in every process, whatever configuration it finds."""

import hashlib
import subprocess
import sys

import pytest

from descent.engine import network
from descent.engine.training import TensorData, train_run
from descent.results import write_keras
from tests.support.settings import run_settings
from tests.support.small_params import ROOT

pytestmark = pytest.mark.slow  # TensorFlow is imported in a new process

SIZES = (8, 128, "full")

IN_A_NEW_PROCESS = """
import sys
from tests.pipeline.test_processes import *
from tests.support.images import small_dataset

network.build(run_settings(seed=9), (28, 28), 10)  # Keras counts its layers
write_keras(sys.argv[1], network.build(run_settings(), (28, 28), 10))
print(digests(small_dataset()), keras.config.floatx(), keras.backend.backend())
"""


def digests(dataset) -> list[str]:
    data = TensorData(dataset)
    runs = [train_run(run_settings(size, epochs=2, seed=1), data) for size in SIZES]
    return [hashlib.sha256(run.trajectory.tobytes()).hexdigest() for run in runs]


def test_a_new_process_with_another_keras_configuration_gives_the_same_bits(dataset, tmp_path):
    (tmp_path / "keras.json").write_text('{"floatx": "float64", "backend": "jax"}')
    code = f"import os; os.environ['KERAS_HOME'] = {str(tmp_path)!r}\n"
    code += "from descent.engine.backend import keras" + IN_A_NEW_PROCESS
    command = [sys.executable, "-c", code, tmp_path / "other.keras"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"{digests(dataset)} float32 tensorflow\n", done.stderr
    write_keras(tmp_path / "model.keras", network.build(run_settings(), (28, 28), 10))
    assert (tmp_path / "other.keras").read_bytes() == (tmp_path / "model.keras").read_bytes()


def test_a_tensorflow_that_has_started_is_rejected():
    code = "import tensorflow as tf; tf.zeros(1); import descent.engine.backend"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "TensorFlow has started with all intra-op threads; accepted: 1, "
        "so import descent.engine.backend before the first operation"
    )
