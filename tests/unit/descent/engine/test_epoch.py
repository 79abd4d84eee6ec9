"""The compiled epoch against Keras's `fit`; its gradients against calculus; every image once."""

import numpy as np
import pytest

from descent.config import ACTIVATIONS
from descent.data import Dataset, Split
from descent.engine import epoch, network
from descent.engine.backend import keras, tf
from descent.engine.rows import image_order
from descent.engine.training import TensorData, epoch_function, initial_state
from tests.support.images import draw_split
from tests.support.reference import backpropagated, loss
from tests.support.settings import run_settings

TOLERANCE = 1e-3
"""Of the distance that the weights moved. A float32 keeps 6e-8 of a value; sums over 784 pixels and up to
15 updates in another order lose up to a few thousand times that, most where an optimizer divides by small
gradients. A wrong constant or a lost image shows at 1e-2."""

# The epoch


KERAS = {"sgd": keras.optimizers.SGD, "adagrad": keras.optimizers.Adagrad, "adam": keras.optimizers.Adam}


def flat(weights) -> np.ndarray:
    return np.concatenate([np.ravel(weight) for weight in weights])


def assert_epochs_are_those_of_fit(settings, epochs: int, dataset: Dataset) -> None:
    """Compare the weights after each epoch with those of a Keras model that is fitted in the same order."""
    data, (images, labels) = TensorData(dataset), dataset.train
    model = network.build(settings, data.image_shape, data.classes)
    optimizer = KERAS[settings.optimizer](settings.learning_rate)
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    start, state, run_epoch = (
        flat(model.get_weights()),
        initial_state(settings, data),
        epoch_function(settings, data),
    )
    for number in range(1, epochs + 1):
        order = image_order(settings.seed, number, len(labels))
        model.fit(images[order], labels[order], batch_size=settings.batch_size, shuffle=False, verbose=0)
        state = run_epoch(state, number)
        expected = flat(model.get_weights())
        difference = np.linalg.norm(flat(state[0]) - expected)
        assert difference < TOLERANCE * np.linalg.norm(expected - start)


SLOW = pytest.mark.slow  # seconds of compilation for one fact more


@pytest.mark.parametrize("optimizer", [pytest.param("adagrad", marks=SLOW), "adam"])
def test_two_epochs_are_those_of_keras_fit(optimizer, dataset):
    """600 images are no multiple of 128. The two differ in the slots, their initial values, and the step.

    The updates of all optimizers are compared in test_optimizers.py, epochs of sgd below.
    """
    rate = 0.001 if optimizer == "adam" else 0.01
    settings = run_settings(128, learning_rate=rate, optimizer=optimizer, seed=5)
    assert_epochs_are_those_of_fit(settings, 2, dataset)


def test_an_epoch_of_small_batches_is_that_of_keras_fit(dataset):
    """Kernel gradients are sums of outer products here; 100 images are no multiple of 7."""
    assert 7 <= epoch.OUTER_PRODUCT_IMAGES < 128
    few = dataset._replace(train=Split(*(array[:100] for array in dataset.train)))
    assert_epochs_are_those_of_fit(run_settings(7, learning_rate=0.01, seed=5, images=100), 1, few)


def test_a_full_batch_is_that_of_keras_fit():
    """In chunks of 1000 images and a remainder."""
    dataset = Dataset(draw_split(2300, 4), draw_split(50, 5), draw_split(50, 6), tuple("0123456789"))
    assert_epochs_are_those_of_fit(run_settings("full", learning_rate=0.1, images=2300), 1, dataset)


@pytest.mark.parametrize("batch_size", [16, 17])  # as sums of outer products, and as matrix products
def test_every_image_is_used_exactly_once_per_epoch(batch_size):
    """Only pixel i of image i is set, so without hidden layers it alone moves row i of the kernel."""
    images = np.zeros((600, 784), np.uint8)
    images[np.arange(600), np.arange(600)] = 255
    split = Split(images.reshape(-1, 28, 28), (np.arange(600) % 10).astype(np.uint8))
    rate = 1e-3
    compiled = epoch.compiled_epoch(batch_size, "sgd", (), "relu")
    state = [tf.zeros((784, 10)), tf.zeros(10)], [[], []], tf.constant(0.0)
    order = image_order(0, 1, 600)
    data = (*map(tf.constant, split), tf.constant(order))
    moved, _, step = compiled(*state, tf.constant(rate), *data, tf.constant(600 // batch_size))
    shares = np.full(600, rate / batch_size)
    shares[order[600 - 600 % batch_size :]] = rate / (600 % batch_size or 1)
    expected = shares[:, None] * (np.eye(10)[split.labels] - 0.1)
    np.testing.assert_allclose(moved[0].numpy()[:600], expected, rtol=0.05)
    assert int(step) == -(-600 // batch_size)


@pytest.mark.parametrize("count", [1, 600, 50_000])
def test_an_order_has_every_row_once(count):
    order = image_order(3, 4, count)
    assert order.dtype == np.int32
    assert (np.sort(order) == np.arange(count)).all()


def test_orders_depend_on_seed_and_epoch():
    orders = [image_order(seed, number, 50).tolist() for seed in range(4) for number in range(4)]
    assert len(set(map(tuple, orders))) == 16
    assert orders[6] == image_order(1, 2, 50).tolist()


# Gradients

COUNTS = [1, epoch.OUTER_PRODUCT_IMAGES, epoch.OUTER_PRODUCT_IMAGES + 1]


def drawn_weights(activation: str) -> list[np.ndarray]:
    model = network.build(run_settings(activation=activation, seed=3), (28, 28), 10)
    random = np.random.default_rng(0)
    return [
        weight + random.normal(0, 0.05, weight.shape).astype(np.float32) for weight in model.get_weights()
    ]


def engine_gradients(weights, images, labels, activation, compiled: bool) -> list[np.ndarray]:
    def gradients(weights, one):
        return epoch.mean_gradients(weights, images, labels, tf.range(len(labels)), activation, one)

    if compiled:
        gradients = tf.function(gradients, jit_compile=True, autograph=False)
    return [array.numpy() for array in gradients([*map(tf.constant, weights)], tf.constant(1.0))]


@pytest.mark.parametrize("count", COUNTS)
def test_gradients_are_those_of_backpropagation_by_hand(count, dataset):
    """To 1e-5 of each array's largest entry: float32 keeps 6e-8 of each of the sums' terms."""
    images, labels = dataset.train.images[:count], dataset.train.labels[:count]
    weights = drawn_weights("relu")
    by_hand = backpropagated(weights, images, labels)
    gradients = engine_gradients(weights, images, labels, "relu", compiled=True)
    for found, expected in zip(gradients, by_hand, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_the_slopes_of_the_loss(activation, dataset):
    """Along three random directions, by central differences in float64."""
    images, labels = dataset.train.images[:8], dataset.train.labels[:8]
    weights = drawn_weights(activation)
    gradients = engine_gradients(weights, images, labels, activation, compiled=False)
    random, step = np.random.default_rng(1), 1e-7
    for _ in range(3):
        direction = [random.normal(size=weight.shape) for weight in weights]

        def loss_at(distance, direction=direction):
            moved = [weight + distance * along for weight, along in zip(weights, direction, strict=True)]
            return loss(moved, images, labels, activation)

        slope = sum((gradient * along).sum() for gradient, along in zip(gradients, direction, strict=True))
        assert slope == pytest.approx((loss_at(step) - loss_at(-step)) / (2 * step), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("count", [1, 1000, 1001, 2500])
def test_a_chunked_sum_has_every_row_once(count):
    values = np.random.default_rng(0).integers(0, 100, (count, 3)).astype(np.int32)
    factors = np.arange(count, dtype=np.int32)

    @tf.function(jit_compile=True, autograph=False)
    def compiled(values, factors):
        return epoch.chunked_sum(
            lambda part, factor: [tf.reduce_sum(part), tf.reduce_sum(part * factor[:, None], axis=0)],
            values,
            factors,
        )

    plain, weighted = compiled(values, factors)
    assert plain.numpy() == values.sum()
    assert (weighted.numpy() == (values * factors[:, None]).sum(axis=0)).all()
