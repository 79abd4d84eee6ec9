"""The sentences on how it was measured follow params.yaml and the rule for a status."""

import re

from stages.core import outcome
from stages.core.report import method
from tests.model_folders import DEFAULT, make_params


def test_the_network_is_told_from_its_settings():
    assert method.network(make_params()) == (
        "Gradient descent on MNIST: a multilayer perceptron 784 → 6 → 5 → 10 (relu, softmax at the end), "
        "4 models with 3 seeds each, 12 runs of 4 epochs."
    )


def test_one_of_a_kind_is_told_in_the_singular():
    said = method.network(make_params({"alone": "learned"}, seeds=[0], epochs=1))
    assert said.endswith("1 model with 1 seed each, 1 run of 1 epoch.")


def test_networks_of_several_shapes_are_called_so():
    models = {name: model.model_dump(exclude_none=True) for name, model in make_params().models.items()}
    models["baseline"]["activation"] = "tanh"
    params = make_params(models=models)
    assert not method.one_shape(list(params.models.values()))
    assert "networks of several shapes" in method.network(params)


def test_the_statuses_and_the_split_are_told_with_their_numbers():
    said = " ".join(method.sentences(make_params()))
    assert all(f"`{status}`" in said for status in outcome.STATUSES)
    assert re.search(r"stalled` fell by less than 1\s% of its start", said)
    assert "50,000 images to learn from and 10,000 to choose by" in said


def test_all_layers_have_their_width():
    assert method.layers(make_params(DEFAULT).models["baseline"]) == (784, 6, 5, 10)
