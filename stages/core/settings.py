"""The settings of a run, beside its seed and epochs: the network's shape, the descent's constants."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.core.refusals import refusal
from stages.core.section import Number, Section, Whole

OPTIMIZER_CONSTANTS = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9},
    "rmsprop": {"rho": 0.9, "epsilon": 1e-7},
    "adagrad": {"initial_accumulator": 0.1, "epsilon": 1e-7},
    "adam": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
}
"""The constants of each variant of gradient descent, with the defaults of Keras 3."""

SHARE = "a number from 0 up to, but not, 1"


class Model(Section):
    """One model of params.yaml, or one combination of the sweep."""

    batch_size: Literal["full"] | Annotated[Whole, Field(ge=1)] = Field(
        description="a whole number from 1 to preprocess.training_images, or full"
    )
    learning_rate: Number = Field(gt=0, description="a finite number above 0")
    optimizer: Literal["sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam"] = Field(
        "sgd", description="one of " + ", ".join(OPTIMIZER_CONSTANTS)
    )
    momentum: Number | None = Field(None, ge=0, lt=1, description=SHARE)
    rho: Number | None = Field(None, ge=0, lt=1, description=SHARE)
    beta_1: Number | None = Field(None, ge=0, lt=1, description=SHARE)
    beta_2: Number | None = Field(None, ge=0, lt=1, description=SHARE)
    initial_accumulator: Number | None = Field(None, ge=0, description="a finite number from 0 up")
    epsilon: Number | None = Field(None, gt=0, description="a finite number above 0")
    hidden_layers: tuple[Annotated[Whole, Field(ge=1, le=65_536)], ...] = Field(
        (128, 64), description="a list of layer widths, whole numbers from 1 to 65536"
    )
    activation: Literal["relu", "tanh", "sigmoid", "elu", "gelu", "silu"] = Field(
        "relu", description="one of relu, tanh, sigmoid, elu, gelu, silu"
    )

    @model_validator(mode="after")
    def _constants_belong_to_the_optimizer(self):
        known = OPTIMIZER_CONSTANTS[self.optimizer]
        for name in set().union(*OPTIMIZER_CONSTANTS.values()) - set(known):
            if getattr(self, name) is not None:
                takes = ", ".join(known) or "no constant"
                raise refusal(name, getattr(self, name), f"nothing here: {self.optimizer} takes {takes}")
        return self

    def constants(self) -> dict[str, float]:
        """The optimizer's constants beside the learning rate, the defaults filled in."""
        defaults = OPTIMIZER_CONSTANTS[self.optimizer]
        given = {name: getattr(self, name) for name in defaults}
        return {name: defaults[name] if value is None else value for name, value in given.items()}

    def effective_batch_size(self, images: int) -> int:
        """How many of `images` training images a step sees: `full` means all of them."""
        return images if self.batch_size == "full" else self.batch_size

    def updates_per_epoch(self, images: int) -> int:
        """Steps in one pass over `images` training images, the last, smaller one included."""
        return math.ceil(images / self.effective_batch_size(images))
