"""The multilayer perceptron: as a Keras model, and as a function of its weights."""

from collections.abc import Sequence

import numpy as np

from descent.engine.backend import keras, tf
from descent.engine.settings import RunSettings

SCALE = 1 / 255


def build(settings: RunSettings, image_shape: tuple[int, int], classes: int) -> keras.Model:
    """Build the untrained network, from images (n, height, width) uint8 to class probabilities (n, classes).

    Kernels are Glorot uniform, Keras's default, each with a seed of its own derived from
    `settings.seed`; biases are zero. No global random state is read or changed.
    """
    widths = [*settings.hidden_layers, classes]
    seeds = np.random.SeedSequence(settings.seed).generate_state(len(widths)) >> 1  # Keras takes 31 bits
    names = [f"hidden_{place}" for place in range(1, len(widths))] + ["classes"]
    activations = [settings.activation] * len(settings.hidden_layers) + ["softmax"]
    layers = [
        keras.layers.Dense(
            width,
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=int(kernel_seed)),
            name=name,
        )
        for width, activation, kernel_seed, name in zip(widths, activations, seeds, names, strict=True)
    ]
    pixels = keras.layers.Input(image_shape, dtype="uint8", name="pixels")
    scaled = keras.layers.Rescaling(SCALE, name="scaled")
    return keras.Sequential([pixels, scaled, keras.layers.Flatten(name="flat"), *layers], name="perceptron")


def dense(values: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Compute a dense layer without its activation."""
    return values @ kernel + bias


def logits(weights: Sequence[tf.Tensor], images: tf.Tensor, activation: str, dense=dense) -> tf.Tensor:
    """Compute the inputs of the softmax, (n, classes) float32, for images (n, height, width) uint8.

    Weights are kernel and bias of each layer in turn, in the order of `keras.Model.get_weights`.
    """
    activate = keras.activations.get(activation)
    values = tf.cast(tf.reshape(images, (images.shape[0], -1)), tf.float32) * np.float32(SCALE)
    *hidden, last = zip(weights[::2], weights[1::2], strict=True)
    for kernel, bias in hidden:
        values = activate(dense(values, kernel, bias))
    return dense(values, *last)
