"""An epoch of gradient descent as one program, compiled by XLA."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from descent.engine import network
from descent.engine.backend import compiled, tf
from descent.engine.optimizers import OPTIMIZERS

CHUNK_IMAGES = 1_000
"""Sums over many images are taken this many at a time: as float32 they are 3 MB and stay in the cache,
where 50,000 would be 157 MB."""

OUTER_PRODUCT_IMAGES = 16
"""Up to this batch size a kernel's gradient is faster as a sum of outer products than as a matrix
product. Measured on an AMD EPYC (Zen 3): an epoch at batch size 8 takes two thirds of the time."""


@functools.cache
def compiled_epoch(
    batch_size: int, optimizer: str, constants: tuple[tuple[str, float], ...], activation: str
) -> Callable:
    """Return the compiled epoch for these settings.

    Initial weights, order and learning rate are arguments, so that one compilation serves all seeds and
    learning rates.

    Returns:
        A function (weights, slots, step, rate, images, labels, order, batches) -> (weights, slots, step).
        It makes `batches` updates of `batch_size` images in the given `order` (images,) int32, then one
        update with the remaining images, if any. `step` counts updates, as float32.
    """
    update_weight = functools.partial(OPTIMIZERS[optimizer].update, **dict(constants))

    @compiled
    def epoch(weights, slots, step, rate, images, labels, order, batches):
        one = tf.where(batches < 0, 0.0, 1.0)  # see outer_product_dense

        def update(weights, slots, step, rows):
            gradients = mean_gradients(weights, images, labels, rows, activation, one)
            updated = [
                update_weight(weight, gradient, slot, rate, step + 1)
                for weight, gradient, slot in zip(weights, gradients, slots, strict=True)
            ]
            return *map(list, zip(*updated, strict=True)), step + 1

        def full_batch(batch, *state):
            rows = tf.reshape(tf.slice(order, [batch * batch_size], [batch_size]), [batch_size])
            return batch + 1, *update(*state, rows)

        start = (tf.constant(0), weights, slots, step)
        _, *state = tf.while_loop(lambda batch, *_: batch < batches, full_batch, start)
        remaining = order.shape[0] % batch_size
        return update(*state, order[-remaining:]) if remaining else tuple(state)

    return epoch


def summed_loss(weights: Sequence[tf.Tensor], images, labels, activation: str, dense=network.dense):
    """Return the cross-entropy summed over the images (float32, nats) and the logits."""
    logits = network.logits(weights, images, activation, dense)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int32), logits)
    return tf.reduce_sum(losses), logits


def mean_gradients(
    weights: Sequence[tf.Tensor], images, labels, rows, activation: str, one: tf.Tensor
) -> list[tf.Tensor]:
    """Compute each weight array's gradient of the mean cross-entropy on the images at `rows` (n,) int32.

    `one` is the number 1.0, unknown when the program is compiled; see `outer_product_dense`.
    """
    count = rows.shape[0]
    dense = outer_product_dense(one) if count <= OUTER_PRODUCT_IMAGES else network.dense

    def summed_gradients(rows):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss, _ = summed_loss(
                weights, tf.gather(images, rows), tf.gather(labels, rows), activation, dense
            )
        return tape.gradient(loss, weights)

    return [gradient / np.float32(count) for gradient in chunked_sum(summed_gradients, rows)]


def outer_product_dense(one: tf.Tensor) -> Callable:
    """Return `network.dense` with its kernel's gradient written as a sum of one outer product per image.

    XLA fuses that sum with the optimizer's update into one pass over the kernel, and the gradient is
    never stored. XLA would also repeat the activation's derivative for each row of the kernel; it does
    not repeat a division, so dividing by a `one` that it cannot see through prevents that and changes
    no bit.
    """

    @tf.custom_gradient
    def dense(values, kernel, bias):
        def gradient(upstream):
            upstream /= one
            products = [values[i][:, None] * upstream[i][None, :] for i in range(values.shape[0])]
            return upstream @ tf.transpose(kernel), sum(products[1:], products[0]), tf.reduce_sum(upstream, 0)

        return network.dense(values, kernel, bias), gradient

    return dense


def chunked_sum(function: Callable, *arrays: tf.Tensor):
    """Sum `function(*chunks)`, a tensor or a list of them, over chunks of the arrays' first axis.

    The remainder after full chunks comes first; all sizes are known when the program is traced.
    """
    count = arrays[0].shape[0]
    first = count % CHUNK_IMAGES or min(count, CHUNK_IMAGES)
    start = function(*(array[:first] for array in arrays))
    if first == count:
        return start

    def add(row, total):
        chunks = [
            tf.slice(array, [row] + [0] * (array.shape.rank - 1), [CHUNK_IMAGES, *array.shape[1:]])
            for array in arrays
        ]
        return row + CHUNK_IMAGES, tf.nest.map_structure(tf.add, total, function(*chunks))

    return tf.while_loop(lambda row, _: row < count, add, (tf.constant(first), start))[1]
