"""Training runs: the data as tensors, the loop over epochs, and what is measured after each."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from descent.engine import backend, network
from descent.engine.backend import compiled, tf
from descent.engine.epoch import chunked_sum, compiled_epoch, mean_gradients, summed_loss
from descent.engine.optimizers import OPTIMIZERS
from descent.engine.rows import evenly_spaced, image_order
from descent.engine.settings import RunSettings

EVALUATION_IMAGES = 10_000
"""Training loss and accuracy are taken on this many training images: as many as MNIST has test images."""

GRADIENT_IMAGES = 1_000
"""The gradient norm is taken on this many training images."""

Epoch = dict[str, Any]
"""The state of a run after an epoch: `epoch`, `updates`, and a float for each of metrics.EPOCH_METRICS.
A loss may be infinite or NaN."""


class TrainedRun(NamedTuple):
    """The result of a training run."""

    history: list[Epoch]  # one entry per epoch, the first before any update, so epochs + 1 in all
    weights: list[np.ndarray]  # the final ones, in the order of `keras.Model.get_weights`
    trajectory: np.ndarray  # (epochs + 1, weights) float32: all weights before and after each epoch
    test_probabilities: np.ndarray  # (test images, classes) float32
    test_loss: float  # mean cross-entropy in nats
    test_accuracy: float  # from 0 to 1
    compile_seconds: float  # before the first update
    epoch_seconds: list[float]  # of each epoch's updates, without evaluation


class Images(NamedTuple):
    """Images (n, height, width) uint8 and labels (n,) uint8 as tensors."""

    images: tf.Tensor
    labels: tf.Tensor


class TensorData:
    """A dataset as tensors, made once for all runs of a process.

    Pickled, it is the dataset; unpickling makes new tensors.
    """

    def __init__(self, dataset: Any):
        """Make the tensors of a `data.Dataset`."""
        self._dataset = dataset
        self.image_shape = dataset.train.images.shape[1:]
        self.classes = dataset.classes
        self.train, self.validation, self.test = (
            Images(tf.constant(split.images), tf.constant(split.labels))
            for split in (dataset.train, dataset.validation, dataset.test)
        )
        self.evaluation = self._evenly_spaced(EVALUATION_IMAGES)
        self.gradient = self._evenly_spaced(GRADIENT_IMAGES)

    def __reduce__(self):
        """Pickle the dataset alone."""
        return TensorData, (self._dataset,)

    def _evenly_spaced(self, count: int) -> Images:
        train = self._dataset.train
        rows = evenly_spaced(len(train.labels), count)
        return Images(tf.constant(train.images[rows]), tf.constant(train.labels[rows]))


def train_run(
    settings: RunSettings, data: TensorData, on_epoch: Callable[[Epoch], None] = lambda _: None
) -> TrainedRun:
    """Train the network.

    May run in several threads at once; each run waits for a device of its own. `on_epoch` is called with the
    state before the first update and after each epoch.

    Raises MemoryError if the network does not fit into memory.
    """
    try:
        with backend.exclusive_device():
            return _train_run(settings, data, on_epoch)
    except tf.errors.ResourceExhaustedError:
        raise MemoryError("the network does not fit into memory; use narrower hidden_layers") from None


def _train_run(settings: RunSettings, data: TensorData, on_epoch: Callable[[Epoch], None]) -> TrainedRun:
    started = time.perf_counter()
    state = initial_state(settings, data)
    run_epoch = epoch_function(settings, data)
    measure = _measurement(settings, state[0], data)
    run_epoch(state, 1, compile_only=True)
    history = [measure(0, state[0])]
    compile_seconds = time.perf_counter() - started
    on_epoch(history[0])

    trajectory, epoch_seconds = [_flat(state[0])], []
    for number in range(1, settings.epochs + 1):
        started = time.perf_counter()
        state = run_epoch(state, number)
        epoch_seconds.append(time.perf_counter() - started)
        history.append(measure(number, state[0]))
        trajectory.append(_flat(state[0]))
        on_epoch(history[-1])

    weights = state[0]
    test_loss, test_accuracy = loss_and_accuracy(weights, *data.test, settings.activation)
    return TrainedRun(
        history=history,
        weights=[weight.numpy() for weight in weights],
        trajectory=np.stack(trajectory),
        test_probabilities=probabilities(weights, data.test.images, settings.activation).numpy(),
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        compile_seconds=compile_seconds,
        epoch_seconds=epoch_seconds,
    )


_building = threading.Lock()


def initial_state(settings: RunSettings, data: TensorData):
    """Return the initial weights, the optimizer's slots and the number of updates made, 0.0."""
    with _building:  # Keras counts and names layers in one place for all threads
        initial = network.build(settings, data.image_shape, data.classes).get_weights()
    weights = [tf.constant(weight) for weight in initial]
    fill = dict(settings.constants).get("initial_accumulator", 0.0)
    slots = OPTIMIZERS[settings.optimizer].slots
    return (
        weights,
        [[tf.fill(weight.shape, fill) for _ in range(slots)] for weight in weights],
        tf.constant(0.0),
    )


def epoch_function(settings: RunSettings, data: TensorData) -> Callable:
    """Return a function (state, number of the epoch) -> state, as `initial_state` gives the first."""
    images = data.train.labels.shape[0]
    epoch = compiled_epoch(settings.batch_size, settings.optimizer, settings.constants, settings.activation)
    rate = tf.constant(settings.learning_rate, tf.float32)

    def run_epoch(state, number: int, compile_only: bool = False):
        order = tf.constant(image_order(settings.seed, number, images))
        batches = tf.constant(0 if compile_only else images // settings.batch_size)
        state = epoch(*state, rate, *data.train, order, batches)
        state[-1].numpy()  # wait until it is computed
        return state

    return run_epoch


def _measurement(settings: RunSettings, initial: list[tf.Tensor], data: TensorData) -> Callable:
    """Return a function (number of the epoch, weights) -> Epoch."""
    updates = settings.updates_per_epoch(data.train.labels.shape[0])
    activation, origin = settings.activation, _flat(initial)

    def measure(number: int, weights: list[tf.Tensor]) -> Epoch:
        train_loss, train_accuracy = loss_and_accuracy(weights, *data.evaluation, activation)
        validation_loss, validation_accuracy = loss_and_accuracy(weights, *data.validation, activation)
        flat = _flat(weights).astype(np.float64)
        return {
            "epoch": number,
            "updates": number * updates,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "validation_loss": validation_loss,
            "validation_accuracy": validation_accuracy,
            "gradient_norm": float(gradient_norm(weights, *data.gradient, activation)),
            "distance": _norm(flat - origin),
            "weight_norm": _norm(flat),
        }

    return measure


def loss_and_accuracy(weights: Sequence[tf.Tensor], images, labels, activation: str) -> tuple[float, float]:
    """Return the mean cross-entropy in nats and the share of correctly classified images.

    The loss may be infinite or NaN.
    """
    loss, correct = _summed_loss_and_correct(weights, images, labels, activation)
    count = images.shape[0]
    return float(loss.numpy() / np.float32(count)), int(correct) / count


@compiled
def _summed_loss_and_correct(
    weights: Sequence[tf.Tensor], images, labels, activation: str
) -> list[tf.Tensor]:
    def summed(images, labels):
        loss, logits = summed_loss(weights, images, labels, activation)
        correct = tf.argmax(logits, axis=1, output_type=tf.int32) == tf.cast(labels, tf.int32)
        return [loss, tf.reduce_sum(tf.cast(correct, tf.int32))]

    return chunked_sum(summed, images, labels)


@compiled
def gradient_norm(weights: Sequence[tf.Tensor], images, labels, activation: str):
    """Compute the L2 norm, over all weights together, of the gradient of the mean cross-entropy."""
    rows = tf.range(images.shape[0])
    return tf.linalg.global_norm(mean_gradients(weights, images, labels, rows, activation, tf.constant(1.0)))


@compiled
def probabilities(weights: Sequence[tf.Tensor], images, activation: str):
    """Compute the class probabilities (n, classes) float32."""
    return tf.nn.softmax(network.logits(weights, images, activation))


def _flat(weights: list[tf.Tensor]) -> np.ndarray:
    return np.concatenate([weight.numpy().ravel() for weight in weights])


def _norm(vector: np.ndarray) -> float:
    """Compute the L2 norm without BLAS, whose last bits depend on its threads."""
    return float(np.sqrt(np.sum(np.square(vector))))
