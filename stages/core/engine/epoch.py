"""An epoch of gradient descent as one program, compiled by XLA."""

import functools

import numpy as np

from stages.core.engine import gradients, optimizers
from stages.core.engine.backend import tf

TILE = 16
"""A number of pixels that this divides is faster to multiply: processors take them so many at once."""


def order_of_images(seed: int, epoch: int, images: int) -> np.ndarray:
    """The rows (images,) int32 of the training images in the order in which `epoch` sees them."""
    return np.random.default_rng([seed, epoch]).permutation(images).astype(np.int32)


def pixels_that_count(images: np.ndarray) -> np.ndarray:
    """The places (n,) int32, of the 784, of pixels that any of the images (…, 28, 28) uint8 lights.

    A pixel that is black in every training image adds nothing to any sum, and no optimizer here
    moves its weights. MNIST has 67 of them: to leave them out saves 8 % of the work and changes
    nothing. A few are kept to fill a multiple of TILE.
    """
    lit = images.reshape(len(images), -1).any(axis=0)
    wanted = min(-(-int(lit.sum()) // TILE) * TILE, lit.size)
    return np.sort(np.argsort(~lit, kind="stable")[:wanted]).astype(np.int32)


@functools.cache
def program(batch_size: int, optimizer: str, constants: tuple[tuple[str, float], ...], activation: str):
    """The compiled epoch: from (weights, slots, step, rate, images, labels, pixels, order, batches) to
    the first three.

    `images` (n, len(pixels)) uint8 hold the `pixels` alone; the weights are those of all. It makes
    `batches` whole batches of updates, then one of the images left over, if any. Start, order and
    learning rate are arguments, so that one compilation serves all seeds and rates.
    """
    update_weight = functools.partial(optimizers.UPDATES[optimizer], **dict(constants))

    @tf.function(jit_compile=True, autograph=False)
    def epoch(weights, slots, step, rate, images, labels, pixels, order, batches):
        one = tf.where(batches < 0, 0.0, 1.0)

        def update(weights, slots, step, rows):
            slopes = gradients.mean_gradients(weights, images, labels, rows, activation, one)
            updated = [
                update_weight(weight, slope, slot, rate, step + 1)
                for weight, slope, slot in zip(weights, slopes, slots, strict=True)
            ]
            return *map(list, zip(*updated, strict=True)), step + 1

        def whole_batch(batch, *state):
            rows = tf.reshape(tf.slice(order, [batch * batch_size], [batch_size]), [batch_size])
            return batch + 1, *update(*state, rows)

        start = (tf.constant(0), _narrowed(weights, pixels), _narrowed(slots, pixels), step)
        _, *state = tf.while_loop(lambda batch, *_: batch < batches, whole_batch, start)
        rest = order.shape[0] % batch_size
        narrow, narrow_slots, step = update(*state, order[-rest:]) if rest else state
        return _widened(narrow, weights, pixels), _widened(narrow_slots, slots, pixels), step

    return epoch


def _narrowed(arrays: list, pixels) -> list:
    """The arrays of all layers, of the first kernel's only the rows of `pixels`."""
    first = tf.nest.map_structure(lambda array: tf.gather(array, pixels), arrays[0])
    return [first, *arrays[1:]]


def _widened(arrays: list, before: list, pixels) -> list:
    """The reverse of `_narrowed`, the other rows as they were before."""
    first = tf.nest.map_structure(
        lambda array, whole: tf.tensor_scatter_nd_update(whole, pixels[:, None], array), arrays[0], before[0]
    )
    return [first, *arrays[1:]]
