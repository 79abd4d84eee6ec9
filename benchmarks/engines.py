"""The engines that are compared: the same network and SGD, each written in the fast way of its users.

Each function takes the dataset and the batch size and returns a function that trains for one epoch,
shuffled. Engines that hold float32 images convert them beforehand.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count

import numpy as np

from descent.data import Dataset

RATE = 0.01
WIDTHS = (784, 128, 64, 10)


def descent(dataset: Dataset, batch_size: int, seeds: int = 1):
    """Runs of this project's engine side by side."""
    from descent.engine.backend import tf
    from descent.engine.settings import RunSettings
    from descent.engine.training import TensorData, epoch_function, initial_state

    data = TensorData(dataset)
    states, functions, threads, numbers = {}, {}, ThreadPoolExecutor(seeds), count(1)

    def train(seed: int, number: int):
        with tf.device(f"CPU:{seed}"):
            if number == 1:
                settings = RunSettings(batch_size, RATE, "sgd", (), WIDTHS[1:-1], "relu", 1, seed)
                states[seed], functions[seed] = initial_state(settings, data), epoch_function(settings, data)
            states[seed] = functions[seed](states[seed], number)

    def epoch():
        number = next(numbers)
        list(threads.map(lambda seed: train(seed, number), range(seeds)))

    return epoch


def keras_fit(dataset: Dataset, batch_size: int, threads: int = 1, steps_per_execution: int = 1):
    """Keras's fit; 0 threads are all cores."""
    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    layers, steps = keras.layers, min(steps_per_execution, -(-len(dataset.train.labels) // batch_size))
    dense = [layers.Dense(128, "relu"), layers.Dense(64, "relu"), layers.Dense(10, "softmax")]
    model = keras.Sequential([layers.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten(), *dense])
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(RATE), loss, steps_per_execution=steps)
    return lambda: model.fit(*dataset.train, batch_size=batch_size, verbose=0)


def starting_weights() -> list[list[np.ndarray]]:
    """Return kernel and bias, float32, of each layer."""
    random = np.random.default_rng(0)
    weights = []
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:], strict=False):
        limit = np.sqrt(6 / (inputs + outputs))
        kernel = random.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
        weights.append([kernel, np.zeros(outputs, np.float32)])
    return weights


def unit_pixels(dataset: Dataset) -> np.ndarray:
    """Images (n, 784) float32 from 0 to 1."""
    return dataset.train.images.reshape(-1, 784).astype(np.float32) / 255


def numpy_loop(dataset: Dataset, batch_size: int):
    """NumPy, one update after the other."""
    images, labels, weights = unit_pixels(dataset), dataset.train.labels, starting_weights()
    random, rate = np.random.default_rng(0), np.float32(RATE)

    def update(rows):
        values = [images[rows]]
        for kernel, bias in weights[:-1]:
            values.append(np.maximum(values[-1] @ kernel + bias, 0))
        logits = values[-1] @ weights[-1][0] + weights[-1][1]
        error = np.exp(logits - logits.max(axis=1, keepdims=True))
        error /= error.sum(axis=1, keepdims=True)
        error[np.arange(len(rows)), labels[rows]] -= 1
        error /= np.float32(len(rows))
        for layer in (2, 1, 0):
            kernel, bias = weights[layer]
            gradient = values[layer].T @ error
            bias -= rate * error.sum(axis=0)
            if layer:
                error = error @ kernel.T * (values[layer] > 0)
            kernel -= rate * gradient

    def epoch():
        order = random.permutation(len(labels))
        for first in range(0, len(labels), batch_size):
            update(order[first : first + batch_size])

    return epoch


def pytorch(dataset: Dataset, batch_size: int):
    """PyTorch's usual loop."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    images = torch.from_numpy(unit_pixels(dataset))
    labels = torch.from_numpy(dataset.train.labels.astype(np.int64))
    layers = [nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)]
    model, loss = nn.Sequential(*layers), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), RATE)

    def epoch():
        for rows in torch.randperm(len(labels)).split(batch_size):
            optimizer.zero_grad()
            loss(model(images[rows]), labels[rows]).backward()
            optimizer.step()

    return epoch


def jax_scan(dataset: Dataset, batch_size: int):
    """JAX, an epoch as one scan."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    images, labels = jnp.asarray(unit_pixels(dataset)), jnp.asarray(dataset.train.labels)
    weights, random = jax.tree.map(jnp.asarray, starting_weights()), np.random.default_rng(0)

    def loss(weights, rows):
        values = images[rows]
        for kernel, bias in weights[:-1]:
            values = jax.nn.relu(values @ kernel + bias)
        logarithms = jax.nn.log_softmax(values @ weights[-1][0] + weights[-1][1])
        return -jnp.take_along_axis(logarithms, labels[rows, None], axis=1).mean()

    def update(weights, rows):
        gradients = jax.grad(loss)(weights, rows)
        return jax.tree.map(lambda weight, gradient: weight - RATE * gradient, weights, gradients), None

    @jax.jit
    def one_epoch(weights, order):
        whole = len(order) // batch_size * batch_size
        weights, _ = lax.scan(update, weights, order[:whole].reshape(-1, batch_size))
        return update(weights, order[whole:])[0] if whole < len(order) else weights

    def epoch():
        nonlocal weights
        order = random.permutation(len(labels)).astype(np.int32)
        weights = jax.block_until_ready(one_epoch(weights, order))

    return epoch


def matrix_product(dataset: Dataset, batch_size: int):
    """Multiply square float32 matrices MATRIX_PRODUCTS times: the yardstick of `share_of_peak`."""
    left, right = np.random.default_rng(0).random((2, MATRIX_SIDE, MATRIX_SIDE), np.float32)

    def epoch():
        for _ in range(MATRIX_PRODUCTS):
            left @ right

    return epoch


MATRIX_SIDE = 1024
MATRIX_PRODUCTS = 20

ENGINES = {
    "descent": descent,
    "descent, two seeds at once": partial(descent, seeds=2),
    "keras fit": keras_fit,
    "keras fit, all cores": partial(keras_fit, threads=0),
    "keras fit, 100 steps per execution": partial(keras_fit, steps_per_execution=100),
    "numpy": numpy_loop,
    "pytorch": pytorch,
    "jax": jax_scan,
}
"""In the order of the table; the last two only where they are installed."""

REQUIRED = {"pytorch": "torch", "jax": "jax"}
"""What an engine needs besides the project's requirements."""
