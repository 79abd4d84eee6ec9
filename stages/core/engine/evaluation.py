"""What a network's weights are worth: loss, accuracy, probabilities and the gradient's norm, compiled."""

from collections.abc import Sequence

import numpy as np

from stages.core.engine import chunks, gradients, network
from stages.core.engine.backend import tf

SAMPLE = 10_000
"""Training images on which loss and accuracy are taken: as many as MNIST's validation and test images."""

PROBE = 1_000
"""Training images on which the gradient's norm is taken."""


def loss_and_accuracy(
    weights: Sequence[tf.Tensor], images, labels, activation: str
) -> tuple[np.float32, float]:
    """Mean cross-entropy and share of images recognised; the loss may be infinite or not a number."""
    loss, right = _sums(weights, images, labels, activation)
    count = images.shape[0]
    return loss.numpy() / np.float32(count), int(right) / count


@tf.function(jit_compile=True, autograph=False)
def _sums(weights: Sequence[tf.Tensor], images, labels, activation: str) -> list[tf.Tensor]:
    """Cross-entropy of all images together, float32, and how many of them are recognised, int32."""

    def summed(images, labels):
        loss, logits = gradients.summed_loss(weights, images, labels, activation)
        right = tf.argmax(logits, axis=1, output_type=tf.int32) == tf.cast(labels, tf.int32)
        return [loss, tf.reduce_sum(tf.cast(right, tf.int32))]

    return chunks.total(summed, images, labels)


@tf.function(jit_compile=True, autograph=False)
def gradient_norm(weights: Sequence[tf.Tensor], images, labels, activation: str):
    """The L2 norm, over all weights together, of the gradient of the mean cross-entropy."""
    rows = tf.range(images.shape[0])
    return tf.linalg.global_norm(
        gradients.mean_gradients(weights, images, labels, rows, activation, tf.constant(1.0))
    )


@tf.function(jit_compile=True, autograph=False)
def probabilities(weights: Sequence[tf.Tensor], images, activation: str):
    """The softmax of the logits, (n, 10) float32."""
    return tf.nn.softmax(network.logits(weights, images, activation))
