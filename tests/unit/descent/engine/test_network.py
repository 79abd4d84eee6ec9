"""The perceptron as a Keras model, as a function of its weights, and as a file."""

import json
import os
import zipfile

import numpy as np
import pytest

from descent.config import ACTIVATIONS
from descent.engine import network
from descent.engine.backend import keras, tf
from descent.results import write_keras
from tests.support.settings import run_settings


def build(**settings) -> keras.Model:
    return network.build(run_settings(**settings), (28, 28), 10)


def test_the_network_maps_pixels_to_probabilities(dataset):
    model = build()
    assert model.input_dtype == "uint8" and model.input_shape == (None, 28, 28)
    assert model.count_params() == 109_386
    probabilities = model(dataset.test.images).numpy()
    assert probabilities.shape == (200, 10) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_network_fits_other_images_and_classes():
    model = network.build(run_settings(hidden_layers=(5,)), (4, 6), 3)
    assert model.input_shape == (None, 4, 6)
    assert [weight.shape for weight in model.get_weights()] == [(24, 5), (5,), (5, 3), (3,)]


def test_the_initial_weights_depend_on_the_seed_alone():
    keras.utils.set_random_seed(1)
    first = build(seed=4).get_weights()
    keras.utils.set_random_seed(2)
    second = build(seed=4).get_weights()
    other = build(seed=5).get_weights()
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert all((a != b).any() for a, b in zip(first[::2], other[::2], strict=True))


def test_kernels_start_glorot_uniform_and_biases_at_zero():
    weights = build().get_weights()
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        limit = np.sqrt(6 / sum(kernel.shape))
        assert 0.95 * limit < np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
        assert not bias.any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_logits_are_those_of_the_keras_model(activation, dataset):
    model = build(activation=activation)
    weights = [tf.constant(weight) for weight in model.get_weights()]
    logits = network.logits(weights, tf.constant(dataset.test.images), activation)
    probabilities = model(dataset.test.images).numpy()
    np.testing.assert_allclose(tf.nn.softmax(logits).numpy(), probabilities, rtol=1e-4)


def test_a_loaded_model_predicts_the_same_bits(dataset, tmp_path):
    model = build()
    write_keras(tmp_path / "model.keras", model)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert (loaded(dataset.test.images).numpy() == model(dataset.test.images).numpy()).all()


def test_a_saved_model_has_no_time_and_no_address(tmp_path):
    write_keras(tmp_path / "model.keras", build())
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert set(json.loads(archive.read("metadata.json"))) == {"keras_version"}
        assert b"shared_object_id" not in archive.read("config.json")
    assert os.listdir(tmp_path) == ["model.keras"]


def test_the_same_weights_are_saved_as_the_same_bytes(tmp_path):
    """Also after Keras has counted other layers: their names do not depend on it."""
    write_keras(tmp_path / "first.keras", build())
    build(seed=9, hidden_layers=(3, 3, 3))
    write_keras(tmp_path / "second.keras", build())
    assert (tmp_path / "first.keras").read_bytes() == (tmp_path / "second.keras").read_bytes()
