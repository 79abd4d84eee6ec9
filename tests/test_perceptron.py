"""The perceptron in NumPy: its gradient against finite differences, its activations as defined."""

import math

import numpy as np
import pytest

from stages.core.report import perceptron

WIDTHS = (12, 7, 5, 10)


@pytest.fixture
def network():
    random = np.random.default_rng(0)
    size = sum((a + 1) * b for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))
    x, labels = random.normal(size=(9, 12)), random.integers(0, 10, 9)
    return random.normal(0, 0.5, size), x, labels


def loss(weights, x, labels, activation):
    layers = perceptron.unflatten(weights, WIDTHS)
    return perceptron.cross_entropy(perceptron.forward(layers, x, activation)[-1], labels)


@pytest.mark.parametrize("activation", perceptron.ACTIVATIONS)
def test_backpropagation_is_the_derivative(activation, network):
    weights, x, labels = network
    found = perceptron.gradient(perceptron.unflatten(weights, WIDTHS), x, labels, activation)
    flat = np.concatenate([part.ravel() for layer in found for part in layer])
    for place in range(0, len(weights), 7):
        nudge = np.zeros_like(weights)
        nudge[place] = 1e-6
        above, below = (loss(weights + sign * nudge, x, labels, activation) for sign in (1, -1))
        assert flat[place] == pytest.approx((above - below) / 2e-6, abs=1e-7)


@pytest.mark.parametrize(
    ("activation", "definition"),
    [
        ("relu", lambda z: max(z, 0)),
        ("tanh", math.tanh),
        ("sigmoid", lambda z: 1 / (1 + math.exp(-z))),
        ("elu", lambda z: z if z > 0 else math.exp(z) - 1),
        ("gelu", lambda z: z * (1 + math.erf(z / math.sqrt(2))) / 2),
        ("silu", lambda z: z / (1 + math.exp(-z))),
    ],
)
def test_activations_are_what_their_names_say(activation, definition):
    z = np.array([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert perceptron.ACTIVATIONS[activation][0](z) == pytest.approx([definition(value) for value in z])


def test_a_network_that_knows_nothing_has_the_loss_log_10():
    assert perceptron.cross_entropy(np.zeros((4, 10)), np.arange(4)) == pytest.approx(math.log(10))


def test_weights_are_taken_apart_row_by_row_kernel_before_bias():
    first, *_, last = perceptron.unflatten(np.arange(12 * 7 + 7 + 7 * 5 + 5 + 5 * 10 + 10), WIDTHS)
    assert first.kernel[1, 0] == 7 and first.bias[0] == 84 and last.bias.tolist()[-1] == 190


def test_pixels_run_from_0_to_1():
    assert perceptron.pixels(np.array([[[0, 255]]], dtype=np.uint8)).tolist() == [[0.0, 1.0]]
