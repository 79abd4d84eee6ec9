"""The optimizers: gradient descent and its variants, each a pure function of one weight array.

The functions use arithmetic operators and `_root` alone, so they work on TensorFlow tensors and NumPy
arrays alike. Their formulas and default constants are those of Keras 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple


def _root(values):
    """Return the square root.

    XLA computes a division by `values ** 0.5` as a power, which doubles the time of an epoch.
    """
    from keras import ops  # imports TensorFlow, which reading params.yaml does not need

    return ops.sqrt(values)


def sgd(weight, gradient, slots, rate, step):
    """Plain gradient descent; the gradient is that of one batch."""
    return weight - rate * gradient, []


def momentum(weight, gradient, slots, rate, step, *, momentum=0.9):
    """Heavy ball: earlier steps carry on (Polyak 1964, doi:10.1016/0041-5553(64)90137-5)."""
    velocity = momentum * slots[0] - rate * gradient
    return weight + velocity, [velocity]


def nesterov(weight, gradient, slots, rate, step, *, momentum=0.9):
    """Momentum that looks ahead (Nesterov 1983), in the form of Sutskever et al. 2013 for networks."""
    velocity = momentum * slots[0] - rate * gradient
    return weight + momentum * velocity - rate * gradient, [velocity]


def rmsprop(weight, gradient, slots, rate, step, *, rho=0.9, epsilon=1e-7):
    """Divide each step by the root of the recent mean square (Tieleman and Hinton 2012, lecture 6.5)."""
    mean_square = rho * slots[0] + (1 - rho) * gradient**2
    return weight - rate * gradient / _root(mean_square + epsilon), [mean_square]


def adagrad(weight, gradient, slots, rate, step, *, initial_accumulator=0.1, epsilon=1e-7):
    """Divide each step by the root of the sum of squares (Duchi et al. 2011, JMLR 12:2121)."""
    # initial_accumulator is what the slot begins with: see training.initial_state
    sum_of_squares = slots[0] + gradient**2
    return weight - rate * gradient / _root(sum_of_squares + epsilon), [sum_of_squares]


def adam(weight, gradient, slots, rate, step, *, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Bias-corrected running means of gradient and square (Kingma and Ba 2015, arXiv:1412.6980)."""
    mean = slots[0] + (gradient - slots[0]) * (1 - beta_1)
    mean_square = slots[1] + (gradient**2 - slots[1]) * (1 - beta_2)
    corrected = rate * (1 - beta_2**step) ** 0.5 / (1 - beta_1**step)
    return weight - corrected * mean / (_root(mean_square) + epsilon), [mean, mean_square]


def adamw(weight, gradient, slots, rate, step, *, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Adam after the weight has shrunk a little (Loshchilov and Hutter 2019, arXiv:1711.05101)."""
    shrunk = weight - rate * weight_decay * weight
    return adam(shrunk, gradient, slots, rate, step, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)


class Optimizer(NamedTuple):
    """An optimizer; `step` counts updates from 1."""

    update: Callable[..., tuple[Any, list]]  # (weight, gradient, slots, rate, step, **constants)
    slots: int  # arrays of a weight array's shape that are carried from step to step

    @property
    def constants(self) -> dict[str, float]:
        """The constants besides the learning rate, with their defaults."""
        return dict(self.update.__kwdefaults__ or {})


OPTIMIZERS = {
    "sgd": Optimizer(sgd, slots=0),
    "momentum": Optimizer(momentum, slots=1),
    "nesterov": Optimizer(nesterov, slots=1),
    "rmsprop": Optimizer(rmsprop, slots=1),
    "adagrad": Optimizer(adagrad, slots=1),
    "adam": Optimizer(adam, slots=2),
    "adamw": Optimizer(adamw, slots=2),
}
