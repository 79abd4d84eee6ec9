"""The settings of one training run."""

import math
from typing import NamedTuple

OPTIMIZER = "sgd"
HIDDEN_LAYERS = (128, 64)
ACTIVATION = "relu"
"""The defaults of a model, unless params.yaml says otherwise."""


class RunSettings(NamedTuple):
    """Settings of a training run; the same settings and data give the same run."""

    batch_size: int  # images per update, from 1 to the number of training images
    learning_rate: float  # above 0
    optimizer: str  # a key of `optimizers.OPTIMIZERS`
    constants: tuple[tuple[str, float], ...]  # names and values, in the optimizer's order
    hidden_layers: tuple[int, ...]  # widths
    activation: str  # the name of a Keras activation, used after each hidden layer
    epochs: int  # passes over the training images
    seed: int  # decides the initial weights and the order of the images

    def updates_per_epoch(self, images: int) -> int:
        """Count the updates in one pass over `images` training images, a smaller last batch included."""
        return math.ceil(images / self.batch_size)

    def __str__(self) -> str:
        """Name all settings in one line."""
        constants = "".join(f", {name} {value:g}" for name, value in self.constants)
        layers = "-".join(map(str, self.hidden_layers)) or "none"
        return (
            f"batch_size {self.batch_size}, learning_rate {self.learning_rate:g}, optimizer {self.optimizer}"
            f"{constants}, hidden_layers {layers}, activation {self.activation}, epochs {self.epochs}, "
            f"seed {self.seed}"
        )
