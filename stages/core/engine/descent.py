"""One run of gradient descent: arrays and settings in, what came of it out.

A run is pure: the same settings, seed and arrays give the same bits on the same kind of processor,
alone or beside others in the same process.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stages.core.engine import backend, epoch, evaluation, network, optimizers
from stages.core.engine.backend import tf
from stages.core.engine.tensors import Tensors
from stages.core.settings import Model


class Epoch(NamedTuple):
    """Where a run stands after `epoch` passes over the images; a loss may be infinite or not a number.

    `train_*` are taken on `evaluation.SAMPLE` training images, `gradient_norm` on
    `evaluation.PROBE`; `distance` is the L2 distance of all weights from their start.
    """

    epoch: int
    updates: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    gradient_norm: float
    distance: float


class Descent(NamedTuple):
    """All that came of a run.

    `history` and `path` begin before the first step, so they have one entry more than there were
    epochs; `path` (epochs + 1, n) float32 holds all weights in a row, in Keras's order, and
    `weights` the last of them as arrays. `test_probabilities` are (n, 10) float32. `epoch_seconds`
    are those of the steps alone; `compile_seconds` all before them.
    """

    history: list[Epoch]
    weights: list[np.ndarray]
    path: np.ndarray
    test_probabilities: np.ndarray
    test_loss: float
    test_accuracy: float
    compile_seconds: float
    epoch_seconds: list[float]


_building = threading.Lock()


def descend(
    settings: Model,
    epochs: int,
    seed: int,
    digits: Tensors,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Descent:
    """Train the network on `digits.train` and tell what came of it.

    `seed` decides the start and the order of the images. `on_epoch` is called with each Epoch as
    it ends, and with epoch 0 before the first step. May run in several threads at once: each run
    has a device, so a thread, of its own, and waits until one is free.
    """
    with backend.own_device():
        return _descend(settings, epochs, seed, digits, on_epoch)


def _descend(
    settings: Model, epochs: int, seed: int, digits: Tensors, on_epoch: Callable[[Epoch], None]
) -> Descent:
    began = time.perf_counter()
    state = start(settings, seed)
    run_epoch = epoch_function(settings, seed, digits)
    measure = _measure(settings, state[0], digits)
    run_epoch(state, 1, compile_only=True)
    history = [measure(0, state)]
    compile_seconds = time.perf_counter() - began
    on_epoch(history[0])

    path, epoch_seconds = [_flat(state[0])], []
    for number in range(1, epochs + 1):
        began = time.perf_counter()
        state = run_epoch(state, number)
        epoch_seconds.append(time.perf_counter() - began)
        history.append(measure(number, state))
        path.append(_flat(state[0]))
        on_epoch(history[-1])

    loss, accuracy = evaluation.loss_and_accuracy(state[0], *digits.test, settings.activation)
    likely = evaluation.probabilities(state[0], digits.test.images, settings.activation)
    return Descent(
        history=history,
        weights=[weight.numpy() for weight in state[0]],
        path=np.stack(path),
        test_probabilities=likely.numpy(),
        test_loss=float(loss),
        test_accuracy=accuracy,
        compile_seconds=compile_seconds,
        epoch_seconds=epoch_seconds,
    )


def start(settings: Model, seed: int):
    """Weights, the optimizer's slots, and the number of steps made so far."""
    with _building:  # Keras counts and names its layers in one place for all threads
        first = network.build(settings, seed).get_weights()
    weights = [tf.constant(weight) for weight in first]
    return weights, optimizers.start(settings.optimizer, settings.constants(), weights), tf.constant(0.0)


def epoch_function(settings: Model, seed: int, digits: Tensors) -> Callable:
    """A function (state, number of the epoch) -> the state after it, as `start` gives the first."""
    count = digits.train.labels.shape[0]
    batch_size = settings.effective_batch_size(count)
    constants = tuple(settings.constants().items())
    program = epoch.program(batch_size, settings.optimizer, constants, settings.activation)
    rate = tf.constant(settings.learning_rate, tf.float32)

    def run_epoch(state, number: int, compile_only: bool = False):
        order = tf.constant(epoch.order_of_images(seed, number, count))
        batches = tf.constant(0 if compile_only else count // batch_size)
        state = program(*state, rate, *digits.train, digits.pixels, order, batches)
        state[-1].numpy()  # wait for it
        return state

    return run_epoch


def _measure(settings: Model, start: list[tf.Tensor], digits: Tensors) -> Callable:
    """A function that makes an Epoch of an epoch's number and the state after it."""
    updates = settings.updates_per_epoch(digits.train.labels.shape[0])
    origin = _flat(start)

    def measure(number: int, state) -> Epoch:
        weights, activation = state[0], settings.activation
        known = evaluation.loss_and_accuracy(weights, *digits.sample, activation)
        unseen = evaluation.loss_and_accuracy(weights, *digits.validation, activation)
        norm = evaluation.gradient_norm(weights, *digits.probe, activation)
        distance = _length(_flat(weights).astype(np.float64) - origin)
        return Epoch(number, number * updates, *map(float, (*known, *unseen, norm)), distance)

    return measure


def _flat(weights: list[tf.Tensor]) -> np.ndarray:
    return np.concatenate([weight.numpy().ravel() for weight in weights])


def _length(vector: np.ndarray) -> float:
    """Summed without BLAS, whose last bits depend on its threads."""
    return float(np.sqrt(np.sum(np.square(vector))))
