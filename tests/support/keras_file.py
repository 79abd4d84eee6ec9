"""A small Keras network in a file."""

from pathlib import Path


def write_keras_file(path: Path, dtype: str) -> None:
    """Write an untrained network from 4 x 4 values of type `dtype` to three classes."""
    from descent.engine.backend import keras

    given = keras.layers.Input((4, 4), dtype=dtype)
    layers = [given, keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")]).save(path)
