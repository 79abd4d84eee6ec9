"""The variants of gradient descent, as pure functions of one weight array, in the forms that Keras 3 uses."""

from collections.abc import Sequence

from stages.core.engine.backend import tf

SLOTS = {"sgd": 0, "momentum": 1, "nesterov": 1, "rmsprop": 1, "adagrad": 1, "adam": 2}
"""How many arrays of each weight array's shape an optimizer carries from step to step."""


def start(optimizer: str, constants: dict[str, float], weights: Sequence[tf.Tensor]) -> list[list[tf.Tensor]]:
    """The state before the first step: each weight array's slots."""
    first = constants.get("initial_accumulator", 0.0)
    return [[tf.fill(weight.shape, first) for _ in range(SLOTS[optimizer])] for weight in weights]


def sgd(weight, gradient, slots, rate, step):
    """Plain gradient descent; the gradient is that of a mini-batch."""
    return weight - rate * gradient, []


def momentum(weight, gradient, slots, rate, step, momentum):
    """Heavy ball: the steps before carry on (Polyak 1964, doi:10.1016/0041-5553(64)90137-5)."""
    velocity = momentum * slots[0] - rate * gradient
    return weight + velocity, [velocity]


def nesterov(weight, gradient, slots, rate, step, momentum):
    """Momentum that looks ahead: Nesterov 1983, as Sutskever et al. 2013 write it for networks."""
    velocity = momentum * slots[0] - rate * gradient
    return weight + momentum * velocity - rate * gradient, [velocity]


def rmsprop(weight, gradient, slots, rate, step, rho, epsilon):
    """Each weight's step over the root of its recent mean square: Tieleman and Hinton 2012, lecture 6.5."""
    mean_square = rho * slots[0] + (1 - rho) * tf.square(gradient)
    return weight - rate * gradient / tf.sqrt(mean_square + epsilon), [mean_square]


def adagrad(weight, gradient, slots, rate, step, initial_accumulator, epsilon):
    """Each weight's step over the root of its sum of squares: Duchi et al. 2011, JMLR 12."""
    sum_of_squares = slots[0] + tf.square(gradient)
    return weight - rate * gradient / tf.sqrt(sum_of_squares + epsilon), [sum_of_squares]


def adam(weight, gradient, slots, rate, step, beta_1, beta_2, epsilon):
    """Running means of gradient and square, freed of their start: Kingma and Ba 2015, arXiv:1412.6980."""
    mean = slots[0] + (gradient - slots[0]) * (1 - beta_1)
    mean_square = slots[1] + (tf.square(gradient) - slots[1]) * (1 - beta_2)
    corrected = rate * tf.sqrt(1 - tf.pow(beta_2, step)) / (1 - tf.pow(beta_1, step))
    return weight - corrected * mean / (tf.sqrt(mean_square) + epsilon), [mean, mean_square]


UPDATES = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "adam": adam,
}
"""(weight, gradient, slots, rate, step, **constants) -> (weight, slots); `step` counts from 1, as float32."""
