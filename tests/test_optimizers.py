"""Each optimizer's rule against Keras's, step by step; whole runs are compared in test_epoch.py."""

import numpy as np
import pytest

from stages.core.engine import optimizers
from stages.core.engine.backend import keras, tf
from stages.core.settings import OPTIMIZER_CONSTANTS

KERAS = {
    "sgd": keras.optimizers.SGD,
    "momentum": keras.optimizers.SGD,
    "nesterov": lambda **constants: keras.optimizers.SGD(nesterov=True, **constants),
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": lambda initial_accumulator, **constants: keras.optimizers.Adagrad(
        initial_accumulator_value=initial_accumulator, **constants
    ),
    "adam": keras.optimizers.Adam,
}
OTHERS = {
    "momentum": {"momentum": 0.5},
    "nesterov": {"momentum": 0.5},
    "rmsprop": {"rho": 0.7, "epsilon": 1e-3},
    "adagrad": {"initial_accumulator": 0.0, "epsilon": 1e-3},
    "adam": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
}


@pytest.mark.parametrize(
    ("name", "constants"), [*OPTIMIZER_CONSTANTS.items(), *OTHERS.items()], ids=lambda value: str(value)
)
def test_ten_steps_are_those_of_keras(name, constants):
    """To float32's rounding, for gradients that grow from 0 over six powers of ten."""
    random = np.random.default_rng(0)
    weight = random.normal(size=(5, 4)).astype(np.float32)
    slopes = [(random.normal(size=(5, 4)) * 10.0**power).astype(np.float32) for power in range(-5, 4)]
    variable, optimizer = keras.Variable(weight), KERAS[name](learning_rate=0.05, **constants)
    ours = tf.constant(weight)
    [slots] = optimizers.start(name, constants, [ours])
    for step, slope in enumerate([np.zeros_like(weight), *slopes], start=1):
        optimizer.apply([tf.constant(slope)], [variable])
        ours, slots = optimizers.UPDATES[name](
            ours, slope, slots, 0.05, tf.constant(float(step)), **constants
        )
        np.testing.assert_allclose(ours.numpy(), variable.numpy(), rtol=1e-5, atol=1e-6)
        assert len(slots) == optimizers.SLOTS[name]


def test_every_optimizer_that_may_be_chosen_is_there():
    assert set(optimizers.UPDATES) == set(optimizers.SLOTS) == set(OPTIMIZER_CONSTANTS)
