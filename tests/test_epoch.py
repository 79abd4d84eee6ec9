"""The compiled epoch against Keras's own `fit`, and every image once."""

import numpy as np
import pytest

from stages.core.data.mnist import Digits, Split
from stages.core.engine import epoch, network, optimizers
from stages.core.engine.backend import keras, tf
from stages.core.engine.descent import descend
from stages.core.engine.tensors import Tensors
from stages.core.settings import Model
from tests.conftest import draw_digits

RATES = {"sgd": 0.01, "momentum": 0.01, "nesterov": 0.01, "rmsprop": 0.001, "adagrad": 0.01, "adam": 0.001}

TOLERANCE = 1e-3
"""Of the distance that the weights went. A float32 keeps 6e-8 of a value; sums over 784 pixels and up to
258 steps in another order lose up to a few thousand times that, most where an optimizer divides by small
gradients (Adagrad: 3e-4). A wrong constant or a lost image shows at 1e-2."""


def keras_optimizer(name: str) -> keras.optimizers.Optimizer:
    return {
        "sgd": lambda rate: keras.optimizers.SGD(rate),
        "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "nesterov": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
        "rmsprop": keras.optimizers.RMSprop,
        "adagrad": keras.optimizers.Adagrad,
        "adam": keras.optimizers.Adam,
    }[name](RATES[name])


def fitted(settings: Model, epochs: int, seed: int, digits: Digits):
    """Keras's weights after each epoch of `fit`, in a row, and its validation losses."""
    images, labels = digits.train
    model = network.build(settings, seed)
    model.compile(keras_optimizer(settings.optimizer), "sparse_categorical_crossentropy", jit_compile=False)
    batch_size = settings.effective_batch_size(len(labels))
    path, losses = [], []
    for number in range(1, epochs + 1):
        order = epoch.order_of_images(seed, number, len(labels))
        model.fit(images[order], labels[order], batch_size=batch_size, shuffle=False, verbose=0)
        path.append(np.concatenate([weight.ravel() for weight in model.get_weights()]))
        losses.append(model.evaluate(*digits.validation, verbose=0))
    return path, losses


@pytest.mark.parametrize("batch_size", [7, 8, 128, "full"])
@pytest.mark.parametrize("optimizer", RATES)
def test_weights_and_losses_are_those_of_keras_fit(optimizer, batch_size, digits):
    """After one and after three epochs; 600 images are no multiple of 7 or 128."""
    settings = Model(batch_size=batch_size, learning_rate=RATES[optimizer], optimizer=optimizer)
    run = descend(settings, 3, 5, Tensors(digits))
    path, losses = fitted(settings, 3, 5, digits)
    for number in (1, 3):
        apart = np.linalg.norm(run.path[number] - path[number - 1])
        assert apart < TOLERANCE * np.linalg.norm(path[number - 1] - run.path[0])
        assert run.history[number].validation_loss == pytest.approx(
            losses[number - 1], rel=TOLERANCE, abs=1e-6
        )


@pytest.mark.parametrize("count", [2000, 2300])
def test_a_batch_in_chunks_is_that_of_keras_fit(count):
    digits = Digits(draw_digits(count, 4), draw_digits(50, 5), draw_digits(50, 6))
    settings = Model(batch_size="full", learning_rate=0.1)
    run = descend(settings, 1, 0, Tensors(digits))
    images, labels = digits.train
    model = network.build(settings, 0)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=count, verbose=0)
    final = np.concatenate([weight.ravel() for weight in model.get_weights()])
    assert np.linalg.norm(run.path[1] - final) < TOLERANCE * np.linalg.norm(final - run.path[0])


@pytest.mark.parametrize("batch_size", [1, 7, 16, 17, 128, 600])
def test_every_image_is_seen_exactly_once_an_epoch(batch_size):
    """Image i is lit at pixel i alone, so without hidden layers it alone moves row i of the kernel."""
    images = np.zeros((600, 784), np.uint8)
    images[np.arange(600), np.arange(600)] = 255
    split = Split(images.reshape(-1, 28, 28), (np.arange(600) % 10).astype(np.uint8))
    rate = 1e-3
    program = epoch.program(batch_size, "sgd", (), "relu")
    weights = [tf.zeros((784, 10)), tf.zeros(10)]
    state = (weights, optimizers.start("sgd", {}, weights), tf.constant(0.0))
    order = epoch.order_of_images(0, 1, 600)
    seen = (*map(tf.constant, (images, split.labels)), tf.range(784), tf.constant(order))
    moved, _, step = program(*state, tf.constant(rate), *seen, tf.constant(600 // batch_size))
    shares = np.full(600, rate / batch_size)
    shares[order[600 - 600 % batch_size :]] = rate / (600 % batch_size or 1)
    expected = shares[:, None] * (np.eye(10)[split.labels] - 0.1)
    np.testing.assert_allclose(moved[0].numpy()[:600], expected, rtol=0.05)
    assert int(step) == -(-600 // batch_size)


@pytest.fixture(scope="module")
def framed(digits):
    """The digits in a black frame, as MNIST's are: 304 pixels are never lit."""
    inside = np.zeros((28, 28), bool)
    inside[2:22, 2:26] = True
    return Digits(*(Split(part.images * inside, part.labels) for part in digits))


@pytest.mark.parametrize("optimizer", RATES)
def test_pixels_that_are_never_lit_change_nothing(optimizer, framed):
    """Their weights stay where they were, in Keras's `fit` and here."""
    settings = Model(batch_size=8, learning_rate=RATES[optimizer], optimizer=optimizer)
    run = descend(settings, 1, 5, Tensors(framed))
    [path], _ = fitted(settings, 1, 5, framed)
    assert np.linalg.norm(run.path[1] - path) < TOLERANCE * np.linalg.norm(path - run.path[0])
    first = run.path[:, : 784 * 128].reshape(2, 28, 28, 128)
    assert (first[0, 22:] == first[1, 22:]).all() and (first[0, 2:22, 2:26] != first[1, 2:22, 2:26]).any()


@pytest.mark.parametrize(("lit", "kept"), [(0, 0), (1, 16), (16, 16), (717, 720), (784, 784)])
def test_every_lit_pixel_counts_and_a_few_fill_a_tile(lit, kept):
    places = np.random.default_rng(lit).permutation(784)[:lit]
    images = np.zeros((max(lit, 1), 784), np.uint8)
    images[np.arange(lit), places] = 255
    pixels = epoch.pixels_that_count(images.reshape(-1, 28, 28))
    assert len(pixels) == kept and set(places) <= set(pixels) and (np.diff(pixels) > 0).all()


@pytest.mark.parametrize("count", [1, 600, 50_000])
def test_an_order_holds_every_row_once(count):
    order = epoch.order_of_images(3, 4, count)
    assert order.dtype == np.int32
    assert (np.sort(order) == np.arange(count)).all()


def test_orders_follow_from_seed_and_epoch():
    orders = [epoch.order_of_images(seed, number, 50).tolist() for seed in range(4) for number in range(4)]
    assert len(set(map(tuple, orders))) == 16
    assert orders[6] == epoch.order_of_images(1, 2, 50).tolist()
