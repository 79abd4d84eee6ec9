"""The engine's gradient against calculus: backpropagation by hand, and finite differences in float64."""

import numpy as np
import pytest
from scipy.special import erf, expit

from stages.core.engine import gradients, network
from stages.core.engine.backend import tf
from stages.core.settings import Model

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": expit,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "silu": lambda x: x * expit(x),
}

COUNTS = [1, 8, gradients.FEW, gradients.FEW + 1, 300]
"""On both sides of where a small batch ends."""


def drawn_weights(activation: str) -> list[np.ndarray]:
    model = network.build(Model(batch_size=8, learning_rate=0.1, activation=activation), 3)
    random = np.random.default_rng(0)
    return [
        weight + random.normal(0, 0.05, weight.shape).astype(np.float32) for weight in model.get_weights()
    ]


def engine_gradients(weights, images, labels, activation):
    @tf.function(jit_compile=True, autograph=False)
    def compiled(weights, one):
        rows = tf.range(len(labels))
        return gradients.mean_gradients(weights, images, labels, rows, activation, one)

    return [
        array.numpy() for array in compiled([tf.constant(weight) for weight in weights], tf.constant(1.0))
    ]


def loss(weights, images, labels, activation) -> float:
    """The mean cross-entropy in float64."""
    values = images.reshape(len(images), -1) / 255
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        values = ACTIVATIONS[activation](values @ kernel + bias)
    logits = values @ weights[-2] + weights[-1]
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])


def backpropagated(weights, images, labels):
    """The gradient of `loss` for two hidden layers of ReLU, by the chain rule."""
    kernel_1, bias_1, kernel_2, bias_2, kernel_3, bias_3 = weights
    pixels = images.reshape(len(images), -1) / 255
    hidden_1 = np.maximum(pixels @ kernel_1 + bias_1, 0)
    hidden_2 = np.maximum(hidden_1 @ kernel_2 + bias_2, 0)
    exponentials = np.exp(hidden_2 @ kernel_3 + bias_3)
    error_3 = exponentials / exponentials.sum(axis=1, keepdims=True)
    error_3[np.arange(len(labels)), labels] -= 1
    error_3 /= len(labels)
    error_2 = error_3 @ kernel_3.T * (hidden_2 > 0)
    error_1 = error_2 @ kernel_2.T * (hidden_1 > 0)
    return [
        pixels.T @ error_1,
        error_1.sum(axis=0),
        hidden_1.T @ error_2,
        error_2.sum(axis=0),
        hidden_2.T @ error_3,
        error_3.sum(axis=0),
    ]


@pytest.mark.parametrize("count", COUNTS)
def test_gradients_are_those_of_backpropagation_by_hand(count, digits):
    """To 1e-5 of each array's largest entry: float32 keeps 6e-8 of each of the sums' terms."""
    images, labels = digits.train.images[:count], digits.train.labels[:count]
    weights = drawn_weights("relu")
    expected = backpropagated([weight.astype(np.float64) for weight in weights], images, labels)
    for array, by_hand in zip(engine_gradients(weights, images, labels, "relu"), expected, strict=True):
        np.testing.assert_allclose(array, by_hand, rtol=0, atol=1e-5 * np.abs(by_hand).max())


@pytest.mark.parametrize("count", [8, 50])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_the_slopes_of_the_loss(activation, count, digits):
    """Along five random directions, by central differences in float64."""
    images, labels = digits.train.images[:count], digits.train.labels[:count]
    weights = drawn_weights(activation)
    slopes = engine_gradients(weights, images, labels, activation)
    random = np.random.default_rng(1)
    for _ in range(5):
        direction = [random.normal(size=weight.shape) for weight in weights]
        step = 1e-7
        after, before = (
            loss(
                [w + side * step * d for w, d in zip(weights, direction, strict=True)],
                images,
                labels,
                activation,
            )
            for side in (1, -1)
        )
        along = sum((slope * d).sum() for slope, d in zip(slopes, direction, strict=True))
        assert along == pytest.approx((after - before) / (2 * step), rel=1e-4, abs=1e-5)
