"""The perceptron as a Keras model, and its file."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from stages.core.engine import network
from stages.core.engine.backend import keras, tf
from stages.core.settings import Model

SETTINGS = Model(batch_size=8, learning_rate=0.1)


def test_the_network_takes_pixels_and_gives_probabilities(digits):
    model = network.build(SETTINGS, 0)
    assert model.input_dtype == "uint8" and model.input_shape == (None, 28, 28)
    assert model.count_params() == 109_386
    given = model(digits.test.images).numpy()
    assert given.shape == (200, 10) and given.dtype == np.float32
    np.testing.assert_allclose(given.sum(axis=1), 1, rtol=1e-5)


def test_a_start_follows_from_its_seed_alone():
    keras.utils.set_random_seed(1)
    first = network.build(SETTINGS, 4).get_weights()
    keras.utils.set_random_seed(2)
    second = network.build(SETTINGS, 4).get_weights()
    other = network.build(SETTINGS, 5).get_weights()
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert all((a != b).any() for a, b in zip(first[::2], other[::2], strict=True))


def test_kernels_start_glorot_uniform_and_biases_at_zero():
    weights = network.build(SETTINGS, 0).get_weights()
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        limit = np.sqrt(6 / sum(kernel.shape))
        assert 0.95 * limit < np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
        assert not bias.any()


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "elu", "gelu", "silu"])
def test_the_logits_are_those_of_the_keras_model(activation, digits):
    model = network.build(Model(batch_size=8, learning_rate=0.1, activation=activation), 0)
    weights = [tf.constant(weight) for weight in model.get_weights()]
    logits = network.logits(weights, tf.constant(digits.test.images), activation)
    probabilities = model.predict(digits.test.images, verbose=0)
    np.testing.assert_allclose(tf.nn.softmax(logits).numpy(), probabilities, rtol=1e-4)


def test_a_reloaded_model_predicts_the_same_bits(digits, tmp_path):
    model = network.build(SETTINGS, 0)
    network.save(model, tmp_path / "model.keras")
    again = network.load(tmp_path / "model.keras")
    assert (again.predict(digits.test.images) == model.predict(digits.test.images)).all()


def test_a_saved_model_is_the_same_to_the_byte_in_every_process(tmp_path):
    code = "import sys; from tests.test_network import SETTINGS, network; "
    code += "network.build(SETTINGS, 9); network.save(network.build(SETTINGS, 0), sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, tmp_path / "other.keras"], check=True)
    network.save(network.build(SETTINGS, 0), tmp_path / "model.keras")
    assert (tmp_path / "other.keras").read_bytes() == (tmp_path / "model.keras").read_bytes()


def test_a_saved_model_holds_no_clock_and_no_address(tmp_path):
    network.save(network.build(SETTINGS, 0), tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert set(json.loads(archive.read("metadata.json"))) == {"keras_version"}
        assert b"shared_object_id" not in archive.read("config.json")
    assert os.listdir(tmp_path) == ["model.keras"]


def test_code_in_a_model_is_not_run(tmp_path):
    layers = [keras.layers.Input((28, 28)), keras.layers.Lambda(lambda x: x)]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="Lambda"):
        network.load(tmp_path / "model.keras")
