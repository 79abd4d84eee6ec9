"""The multilayer perceptron: a Keras model that takes raw pixels, its logits as a function, its file."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.core.data.mnist import CLASSES, HEIGHT, WIDTH
from stages.core.engine.backend import keras, tf
from stages.core.files import replacing
from stages.core.settings import Model

SCALE = 1 / 255
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The earliest moment that a zip archive can name."""


def build(model: Model, seed: int) -> keras.Model:
    """The untrained network for images (n, 28, 28) uint8, giving ten class probabilities (n, 10) float32.

    Kernels start Glorot uniform, as is Keras's default, each drawn from a seed of its own that
    follows from `seed` and its place; biases start at zero. Nothing global is drawn from or set.
    """
    widths = [*model.hidden_layers, CLASSES]
    seeds = np.random.SeedSequence(seed).generate_state(len(widths)) >> 1  # Keras takes 31 bits
    names = [f"hidden_{place}" for place in range(1, len(widths))] + ["classes"]
    activations = [model.activation] * len(model.hidden_layers) + ["softmax"]
    dense = [
        keras.layers.Dense(
            width,
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=int(kernel_seed)),
            name=name,
        )
        for width, activation, kernel_seed, name in zip(widths, activations, seeds, names, strict=True)
    ]
    pixels = keras.layers.Input((HEIGHT, WIDTH), dtype="uint8", name="pixels")
    scaled = keras.layers.Rescaling(SCALE, name="scaled")
    return keras.Sequential([pixels, scaled, keras.layers.Flatten(name="flat"), *dense], name="perceptron")


def dense(values: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """A layer before its activation."""
    return values @ kernel + bias


def logits(weights: Sequence[tf.Tensor], images: tf.Tensor, activation: str, dense=dense) -> tf.Tensor:
    """What `build`'s network holds before its softmax, (n, 10) float32, for images (n, 28, 28) uint8.

    `weights` are kernel and bias of each layer in turn, as `keras.Model.get_weights` gives them.
    """
    activate = keras.activations.get(activation)
    values = tf.cast(tf.reshape(images, (images.shape[0], -1)), tf.float32) * np.float32(SCALE)
    *hidden, last = zip(weights[::2], weights[1::2], strict=True)
    for kernel, bias in hidden:
        values = activate(dense(values, kernel, bias))
    return dense(values, *last)


def save(model: keras.Model, path: Path | str) -> None:
    """Write `model` as a .keras archive that is the same to the byte for the same model."""
    with replacing(path) as temporary:
        keras.saving.save_model(model, temporary)
        with zipfile.ZipFile(temporary) as archive:
            members = {name: archive.read(name) for name in sorted(archive.namelist())}
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, content in members.items():
                entry = zipfile.ZipInfo(name, EARLIEST)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, _canonical(name, content))


def load(path: Path | str) -> keras.Model:
    """The model in a .keras archive; code that the archive may hold is refused."""
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def _canonical(name: str, content: bytes) -> bytes:
    """A member without the moment of saving and without addresses of objects in memory."""
    if not name.endswith(".json"):
        return content
    value = _without(json.loads(content), {"date_saved", "shared_object_id"})
    return json.dumps(value, indent=1).encode()


def _without(value, keys: set[str]):
    if isinstance(value, dict):
        return {key: _without(entry, keys) for key, entry in value.items() if key not in keys}
    return [_without(entry, keys) for entry in value] if isinstance(value, list) else value
