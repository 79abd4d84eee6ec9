"""Each optimizer against Keras's own, step by step; whole runs are compared in test_epoch.py."""

import numpy as np
import pytest

from descent.engine.backend import keras, tf
from descent.engine.optimizers import OPTIMIZERS

KERAS = {
    "sgd": keras.optimizers.SGD,
    "momentum": keras.optimizers.SGD,
    "nesterov": lambda **constants: keras.optimizers.SGD(nesterov=True, **constants),
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": lambda initial_accumulator, **constants: keras.optimizers.Adagrad(
        initial_accumulator_value=initial_accumulator, **constants
    ),
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
}
"""Keras's optimizer for each of OPTIMIZERS, by its constants."""

KERAS_NAMES = {"initial_accumulator": "initial_accumulator_value"}
"""Constants that Keras calls by another name."""

OTHER_VALUES = {
    "momentum": 0.5,
    "rho": 0.7,
    "beta_1": 0.5,
    "beta_2": 0.9,
    "initial_accumulator": 0.0,
    "epsilon": 1e-3,
    "weight_decay": 0.1,
}
"""A value besides the default for each constant."""

RATE = 0.05
CASES = [(name, {}) for name in OPTIMIZERS] + [
    (name, {constant: OTHER_VALUES[constant]})
    for name, optimizer in OPTIMIZERS.items()
    for constant in optimizer.constants
]


def gradients(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Draw ten gradients that grow from 0 over nine powers of ten."""
    random = np.random.default_rng(0)
    drawn = [random.normal(size=shape) * 10.0**power for power in range(-5, 4)]
    return [np.zeros(shape, np.float32), *(gradient.astype(np.float32) for gradient in drawn)]


@pytest.mark.parametrize(("name", "changed"), CASES, ids=lambda value: str(value))
def test_ten_steps_are_those_of_keras(name, changed):
    """To float32's rounding."""
    optimizer = OPTIMIZERS[name]
    constants = optimizer.constants | changed
    weight = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    variable, expected = keras.Variable(weight), KERAS[name](learning_rate=RATE, **constants)
    fill = np.float32(constants.get("initial_accumulator", 0))
    slots = [np.full_like(weight, fill) for _ in range(optimizer.slots)]
    for step, gradient in enumerate(gradients(weight.shape), start=1):
        expected.apply([tf.constant(gradient)], [variable])
        weight, slots = optimizer.update(
            weight, gradient, slots, np.float32(RATE), np.float32(step), **constants
        )
        np.testing.assert_allclose(weight, variable.numpy(), rtol=1e-5, atol=1e-6)
        assert len(slots) == optimizer.slots


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_default_constants_are_those_of_keras(name):
    config = KERAS[name](**OPTIMIZERS[name].constants).get_config()
    defaults = type(KERAS[name](**OPTIMIZERS[name].constants))().get_config()
    for constant in set(OPTIMIZERS[name].constants) - {"momentum"}:  # Keras's default is none
        key = KERAS_NAMES.get(constant, constant)
        assert config[key] == defaults[key]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_tensors_and_numpy_arrays_give_the_same_numbers(name):
    optimizer = OPTIMIZERS[name]
    results = []
    for array in (np.asarray, tf.constant):
        weight, gradient = (array(np.float32(values)) for values in ([1, -2, 3], [0.5, 0, -0.1]))
        slots = [array(np.float32([0.1, 0.2, 0.3])) for _ in range(optimizer.slots)]
        results.append(np.stack(optimizer.update(weight, gradient, slots, 0.1, array(np.float32(3)))[0]))
    np.testing.assert_allclose(*results, rtol=1e-6)
