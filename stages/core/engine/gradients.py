"""The loss and its gradient, to be traced into compiled programs."""

from collections.abc import Callable, Sequence

import numpy as np

from stages.core.engine import chunks, network
from stages.core.engine.backend import tf

FEW = 16
"""Up to this many images a kernel's gradient is faster as a sum of outer products than as a matrix
product: measured on an AMD EPYC (Zen 3), an epoch at batch size 8 in two thirds of the time."""


def summed_loss(weights: Sequence[tf.Tensor], images, labels, activation: str, dense=network.dense):
    """The cross-entropy summed over images (n, 28, 28) uint8 with labels (n,) uint8, and their logits."""
    logits = network.logits(weights, images, activation, dense)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int32), logits)
    return tf.reduce_sum(losses), logits


def mean_gradients(
    weights: Sequence[tf.Tensor], images, labels, rows, activation: str, one: tf.Tensor
) -> list[tf.Tensor]:
    """The gradient, for each weight array, of the mean cross-entropy on the images at `rows` (n,) int32.

    `one` is 1.0, known only when the program runs; see `few_images_dense`.
    """
    count = rows.shape[0]
    dense = few_images_dense(one) if count <= FEW else network.dense

    def summed(rows):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            seen, expected = tf.gather(images, rows), tf.gather(labels, rows)
            loss, _ = summed_loss(weights, seen, expected, activation, dense)
        return tape.gradient(loss, weights)

    return [gradient / np.float32(count) for gradient in chunks.total(summed, rows)]


def few_images_dense(one: tf.Tensor) -> Callable:
    """`network.dense` with its kernel's gradient written as a sum of one outer product per image.

    XLA fuses that sum with the optimizer's update into one pass over the kernel, and the gradient
    is never stored. XLA would also repeat the activation's derivative for each row of the kernel;
    dividing by a `one` that it cannot see through prevents it (it repeats no division) and leaves
    every bit as it was.
    """

    @tf.custom_gradient
    def dense(values, kernel, bias):
        def gradient(upstream):
            upstream /= one
            products = [values[i][:, None] * upstream[i][None, :] for i in range(values.shape[0])]
            return upstream @ tf.transpose(kernel), sum(products[1:], products[0]), tf.reduce_sum(upstream, 0)

        return network.dense(values, kernel, bias), gradient

    return dense
