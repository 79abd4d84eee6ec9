"""Serve a Keras network whose inputs are integers, without cutting 0.5 to 0.

MLflow's server casts JSON to the type that a signature names, so this module, which is copied into the
model's folder, checks the values instead. It needs only what the model needs.
"""

from typing import Any

import numpy as np
from mlflow import keras
from mlflow.exceptions import MlflowException


class InvalidInput(MlflowException):
    """A rejected value. Its message stays one line: MLflow's server would put all data before it."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the message once."""
        if name != "message" or "message" not in vars(self):
            super().__setattr__(name, value)


class IntegerInput:
    """A network that takes arrays of any numeric type if their values are those of its own."""

    def __init__(self, network: Any):
        """`network` is what `mlflow.keras` loads."""
        self._network, model = network, network.get_raw_model()
        self._shape, self._type = model.input_shape[1:], np.dtype(model.inputs[0].dtype)

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:
        """Return the network's output for an array, or for nested lists."""
        values, limits = np.asarray(data), np.iinfo(self._type)
        numbers = values.dtype.kind in "iuf"
        if not numbers or values.ndim != len(self._shape) + 1:
            self._reject(f"shape {values.shape} of {values.dtype}")
        if any(size not in (None, given) for size, given in zip(self._shape, values.shape[1:], strict=True)):
            self._reject(f"shape {values.shape}")
        wrong = ~((values >= limits.min) & (values <= limits.max) & (values == np.floor(values)))
        if wrong.any():
            self._reject(f"{values[wrong][0]}")
        return self._network.predict(values.astype(self._type))

    def _reject(self, found: str) -> None:
        limits = np.iinfo(self._type)
        shape = ", ".join(str(size or "any") for size in self._shape)
        accepted = f"whole numbers from {limits.min} to {limits.max}, shape (n, {shape})"
        raise InvalidInput.invalid_parameter_value(f"input: {found}; accepted: {accepted}")


def _load_pyfunc(path: str) -> IntegerInput:
    """Load the model for `mlflow.pyfunc`."""
    return IntegerInput(keras.load._load_pyfunc(path))
