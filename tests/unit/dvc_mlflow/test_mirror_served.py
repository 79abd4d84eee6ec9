"""A network with integer inputs, as MLflow loads and serves what the mirror logged."""

import json

import numpy as np
import pytest

from dvc_mlflow.models import _write_keras
from tests.support.keras_file import write_keras_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("served")
    write_keras_file(made / "network.keras", dtype="uint8")
    _write_keras(made / "model", made / "network.keras", "0" * 32, "m-" + "0" * 32)
    return made / "model"


@pytest.fixture(scope="module")
def score(folder):
    """The answer of `mlflow models serve` to a JSON body: status and text."""
    from mlflow import pyfunc
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    model = pyfunc.load_model(str(folder))

    def ask(values, key="inputs"):
        body = json.dumps({key: values})
        try:
            answer = invocations(body, "application/json", model, model.metadata.get_input_schema())
        except MlflowException as error:
            return error.get_http_status_code(), error.message
        return answer.status, answer.response

    return ask


def image(value):
    return np.full((1, 4, 4), value).tolist()


@pytest.mark.parametrize("key", ["inputs", "instances"])
def test_whole_numbers_are_answered_and_fractions_are_rejected_with_their_value(score, key):
    status, text = score(image(128), key)
    assert status == 200 and score(image(128.0), key)[1] == text != score(image(0), key)[1]
    status, text = score(image(0.5), key)
    assert status == 400
    assert text == "input: 0.5; accepted: whole numbers from 0 to 255, shape (n, 4, 4)"


@pytest.mark.parametrize("value, named", [(256, "256"), (-1, "-1"), (float("nan"), "nan"), ("x", "shape")])
def test_what_the_type_cannot_hold_is_rejected(score, value, named):
    status, text = score(image(value))
    assert status == 400 and f"input: {named}" in text


def test_another_shape_is_rejected(score):
    assert "input: shape (1, 3, 4)" in score(np.zeros((1, 3, 4)).tolist())[1]


def test_python_takes_arrays_of_the_networks_own_type(folder):
    from mlflow import pyfunc

    pixels = np.full((2, 4, 4), 7, np.uint8)
    assert pyfunc.load_model(str(folder)).predict(pixels).shape == (2, 3)
