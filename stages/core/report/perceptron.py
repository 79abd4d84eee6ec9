"""The multilayer perceptron in NumPy: its loss and, by backpropagation, the loss's gradient."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit, log_softmax, ndtr

ACTIVATIONS = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": (expit, lambda z: expit(z) * (1 - expit(z))),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.exp(np.minimum(z, 0)),
    ),
    "gelu": (lambda z: z * ndtr(z), lambda z: ndtr(z) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)),
    "silu": (lambda z: z * expit(z), lambda z: expit(z) * (1 + z * (1 - expit(z)))),
}
"""Each activation of params.yaml with its derivative."""


class Layer(NamedTuple):
    """A dense layer: kernel (inputs, outputs) and bias (outputs,)."""

    kernel: np.ndarray
    bias: np.ndarray


def unflatten(weights: np.ndarray, widths: Sequence[int]) -> list[Layer]:
    """The layers in a vector of weights, which has each one's kernel, row by row, and then its bias.

    `widths` are the sizes of all layers, input and output included, as 784, 128, 64, 10.
    """
    layers, position = [], 0
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        kernel, bias = np.split(weights[position : position + (inputs + 1) * outputs], [inputs * outputs])
        layers.append(Layer(kernel.reshape(inputs, outputs), bias))
        position += (inputs + 1) * outputs
    return layers


def pixels(images: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Images (n, 28, 28) uint8 as the network sees them: (n, 784), from 0 to 1."""
    return images.reshape(len(images), -1).astype(dtype) / dtype(255)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the images of -log of the probability given to the right class, in nats."""
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def forward(layers: Sequence[Layer], x: np.ndarray, activation: str) -> list[np.ndarray]:
    """The sums z of every layer, (n, outputs) each, for inputs x (n, 784); the last are the logits."""
    sums = []
    for layer in layers:
        sums.append(x @ layer.kernel + layer.bias)
        x = ACTIVATIONS[activation][0](sums[-1])
    return sums


def gradient(layers: Sequence[Layer], x: np.ndarray, labels: np.ndarray, activation: str) -> list[Layer]:
    """The gradient of the cross-entropy for a batch, by backpropagation: as the layers, from first to
    last.
    """
    function, derivative = ACTIVATIONS[activation]
    sums = forward(layers, x, activation)
    inputs = [x, *map(function, sums[:-1])]
    error = np.exp(log_softmax(sums[-1], axis=1))
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    found = []
    for layer, entering, below in zip(layers[::-1], inputs[::-1], [*sums[-2::-1], None], strict=True):
        found.append(Layer(entering.T @ error, error.sum(axis=0)))
        if below is not None:
            error = error @ layer.kernel.T * derivative(below)
    return found[::-1]
