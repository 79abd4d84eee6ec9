"""The network in NumPy and float64: its loss, and backpropagation by hand."""

from collections.abc import Sequence

import numpy as np
from scipy.special import erf, expit

ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": expit,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "silu": lambda x: x * expit(x),
}


def loss(weights: Sequence[np.ndarray], images: np.ndarray, labels: np.ndarray, activation: str) -> float:
    """Compute the mean cross-entropy in nats."""
    values = images.reshape(len(images), -1) / 255
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        values = ACTIVATIONS[activation](values @ kernel + bias)
    logits = values @ weights[-2] + weights[-1]
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])


def backpropagated(weights: Sequence[np.ndarray], images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Compute the gradient of `loss` for two hidden layers of ReLU by the chain rule."""
    kernel_1, bias_1, kernel_2, bias_2, kernel_3, bias_3 = (weight.astype(np.float64) for weight in weights)
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
