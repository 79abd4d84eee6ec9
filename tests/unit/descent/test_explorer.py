"""The explorer's data are those of the experiment, and nothing in them becomes live HTML."""

import base64
import json
import re

import numpy as np
import pytest

from descent.engine import network
from descent.engine.settings import RunSettings
from descent.explorer import content, page
from descent.report.tables import InvalidResults
from descent.results import STATUSES
from tests.support import explorer
from tests.support.results import noise_dataset

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return explorer.experiment(tmp_path_factory.mktemp("experiment"), noise_dataset())


@pytest.fixture(scope="module")
def found(experiment):
    return experiment.content()


def test_answers_are_values_with_the_setting_that_was_kept(found):
    (answer,) = found["answers"]
    assert answer["question"] == "Which?" and answer["model"] == "middle"
    assert answer["answer"].startswith("batch size 4") and 0.8 < answer["accuracy"] < 1


def test_every_run_of_the_sweep_and_every_model_is_there_with_its_numbers(experiment, found):
    cells = [run for run in found["runs"] if "model" not in run]
    assert len(cells) == 9 and {run["batch_size"] for run in cells} == {2, 8, 40}
    for run, settings in zip(cells, experiment.params.sweep_runs(), strict=True):
        kept = experiment.cache.load(settings)
        assert (run["batch_size"], run["learning_rate"]) == (settings.batch_size, settings.learning_rate)
        few = run["updates"][-1] < 10  # too few to be called stalled
        assert run["status"] in (explorer.ENDS[settings.learning_rate], *["undertrained"] * few)
        assert run["train_loss"] == pytest.approx([epoch["train_loss"] for epoch in kept.history], rel=1e-5)
        assert run["trajectory"] == kept.view.trajectory
        content_bytes = base64.b64decode(run["view"])
        predicted = np.frombuffer(content_bytes, "<u2", 4 * found["viewed"]).reshape(4, -1)
        np.testing.assert_array_equal(predicted, kept.view.predicted)
    studied = [run for run in found["runs"] if "model" in run]
    assert [run["model"] for run in studied] == ["batch_2", "middle", "rate_10"]
    assert {len(run["epochs"]) for run in studied} == {5}


def test_a_model_is_followed_by_the_first_seed_of_its_trajectory(experiment, found):
    run = next(run for run in found["runs"] if run.get("model") == "middle")
    weights = np.load(experiment.models / "middle" / "trajectory.npy")
    plane = experiment.cache.read_plane(experiment.params.sweep_runs()[0]).astype(float)
    np.testing.assert_allclose(run["trajectory"], (weights - plane[0]) @ plane[1:].T, rtol=1e-4, atol=1e-4)
    last = np.frombuffer(base64.b64decode(run["view"]), "<u2", 5 * found["viewed"]).reshape(5, -1)[-1]
    answers = np.load(experiment.models / "middle" / "test_probabilities.npy")[0]
    np.testing.assert_array_equal(last, answers.argmax(axis=1))


def test_a_model_of_another_network_has_no_trajectory_in_the_plane(tmp_path):
    made = explorer.experiment(tmp_path, noise_dataset(), network={"hidden_layers": [4]})
    assert all(run["trajectory"] == [] for run in made.content()["runs"] if "model" in run)


def test_the_loss_surface_is_the_loss_of_the_network(experiment, found):
    (frames,) = found["surfaces"].values()
    assert len(frames) == content.FRAMES
    frame = frames[0]
    rows = len(frame["loss"]) // frame["columns"]
    for column, row in ((0, 0), (5, rows - 1)):
        x = frame["left"] + (frame["right"] - frame["left"]) * column / (frame["columns"] - 1)
        y = frame["bottom"] + (frame["top"] - frame["bottom"]) * row / (rows - 1)
        plane = experiment.cache.read_plane(experiment.params.sweep_runs()[0]).astype(float)
        weights, train = plane[0] + x * plane[1] + y * plane[2], experiment.dataset.train
        layers = content.landscape.layers(weights, (24, 3, 5))
        p = content.class_probabilities(layers, content.pixels(train.images), "relu")
        loss = -np.log(p[np.arange(40), train.labels]).mean()
        assert frame["loss"][row * frame["columns"] + column] == pytest.approx(loss, rel=1e-2)


def test_only_what_is_readable_is_drawn(experiment, tmp_path):
    (experiment.models / "middle" / "trajectory.npy").rename(tmp_path / "kept")
    try:
        with pytest.raises(InvalidResults, match=r"middle/trajectory.npy: cannot be read: .*; `dvc repro`"):
            experiment.content()
    finally:
        (tmp_path / "kept").rename(experiment.models / "middle" / "trajectory.npy")
    with pytest.raises(
        InvalidResults, match="is missing or damaged; `dvc repro sweep` trains this run: batch_size 2"
    ):
        experiment._replace(cache=experiment.cache._replace(data="other")).content()


# Networks


def decoded(encoded):
    return [content.decode_layer(layer) for layer in encoded]


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_quantized_weights_answer_as_keras_does(dataset, activation):
    settings = RunSettings(8, 0.1, "sgd", (), (32, 16), activation, epochs=1, seed=0)
    model = network.build(settings, (28, 28), 10)
    model.set_weights([2.5 * weight for weight in model.get_weights()])  # as decided as a trained one
    weights, inputs = model.get_weights(), content.pixels(dataset.test.images)
    wanted = model.predict(dataset.test.images, verbose=0)
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    encoded = content.encode_network(layers, inputs, activation, wanted)
    assert len(wanted) == 200 and wanted.max(axis=1).mean() > 0.3
    assert np.abs(content.class_probabilities(decoded(encoded), inputs, activation) - wanted).max() < 1e-2


def test_a_network_that_sixteen_bits_cannot_hold_is_left_out():
    kernel = np.array([[1e6, 1e6], [1.0, -1.0]], np.float32)  # what decides is lost beside what cancels
    layers, inputs = [(kernel, np.zeros(2, np.float32))], np.array([[0.0, 3.0]], np.float32)
    answers = content.class_probabilities(layers, inputs, "relu")
    assert content.encode_network(layers, inputs, "relu", answers) is None


def test_weights_that_are_not_finite_answer_nothing():
    kernel = np.array([[np.nan, np.inf, 1]], np.float32)
    layers, inputs = [(kernel, np.zeros(3, np.float32))], np.ones((1, 1), np.float32)
    encoded = content.encode_network(layers, inputs, "relu", np.full((1, 3), np.nan))
    assert np.isnan(content.class_probabilities(decoded(encoded), inputs, "relu")).all()


# The page


def test_texts_of_params_are_never_live(tmp_path):
    names = [HOSTILE, "<b>bold", "a & b", '"quoted"', "'"]
    studies = {"a": {"question": HOSTILE, "models": ["batch_2", "middle", "rate_10"]}}
    made = explorer.experiment(tmp_path, noise_dataset(names=names), studies=studies)
    text = page.page(made.content() | {"title": HOSTILE})
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text and "<b>bold" not in text
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(inside)["classes"] == names


def test_the_page_asks_for_nothing_from_a_network(experiment):
    text = experiment.page()
    assert "default-src 'none'" in text
    assert not re.findall(r"(?:src|href)=\"(?!report\.html|#|data:)", text)
    assert set(re.findall(r"https?://[^\"'\s]+", text)) == {"http://www.w3.org/2000/svg"}


def test_modules_import_what_others_before_them_export():
    exports: dict[str, set[str]] = {}
    for name in page.MODULES:
        text = (page.FOLDER / f"{name}.js").read_text()
        for names, module in page.IMPORT.findall(text):
            wanted = {entry.strip() for entry in names.strip("{}").split(",")}
            assert wanted <= exports[module], (name, module)
            for entry in wanted:
                assert len(re.findall(rf"\b{entry}\b", text)) > 1, (
                    f"{name} imports {entry} and does not use it"
                )
        exports[name] = set(page.EXPORT.findall(text))
    assert set(page.MODULES) == {path.stem for path in page.FOLDER.glob("*.js")}
    assert not re.search(r"^(import|export) ", page.script(), re.MULTILINE)


def test_statuses_are_those_of_the_report():
    described = re.search(r"const STATUSES = \{(.*?)\n\};", page.script(), re.DOTALL)[1]
    assert set(re.findall(r"^  (\w+): \".+\.\",$", described, re.MULTILINE)) == set(STATUSES)


@pytest.mark.parametrize(
    "outcomes",
    [
        {"only": "learned"},
        {"a": "stalled", "b": "collapsed", "c": "diverged"},
        {f"model_{n}": "learned" for n in range(10)},
    ],
    ids=["one model", "nothing learned", "ten models"],
)
def test_any_number_of_models_with_any_result(tmp_path, outcomes):
    made = explorer.experiment(tmp_path, noise_dataset(), outcomes)
    found = made.content()
    assert len(found["networks"]) == len(outcomes)
    assert (found["answers"][0]["model"] is None) == ("learned" not in outcomes.values())
    assert len(made.page()) < 6e6


@pytest.mark.slow  # 300 classes of 10,800 pixels: the answers of six networks
@pytest.mark.slow  # the loss and the answers of six networks of 10,800 inputs
def test_large_images_and_many_classes_fit(tmp_path):
    data = noise_dataset(120, 90, classes=300, images=300)
    made = explorer.experiment(tmp_path, data, grid={"learning_rates": [0.1]})
    found = made.content()
    assert found["images"]["factor"] == 2 and found["images"]["height"] == 60
    assert len(made.page()) < 6e6


def test_networks_that_do_not_fit_are_left_out_but_for_those_that_answer(tmp_path, monkeypatch):
    made = explorer.experiment(tmp_path, noise_dataset(), {f"model_{n}": "learned" for n in range(4)})
    found = made.content()
    others = len(found["images"]["pixels"]) + sum(len(run["view"]) for run in found["runs"])
    size = max(len(json.dumps(entry)) for entry in found["networks"])
    monkeypatch.setattr(content, "PAGE_BYTES", others + 2 * size)
    found = made.content()
    winner = found["answers"][0]["model"]
    assert len(found["networks"]) == 2 and winner in [entry["model"] for entry in found["networks"]]
    assert found["networks_left_out"] == 2


def test_seeds_and_optimizers_of_the_sweep(tmp_path, monkeypatch):
    grid = {"seeds": [0, 1, 2], "optimizers": ["adam", "sgd"], "learning_rates": [0.1], "batch_sizes": [8]}
    made = explorer.experiment(tmp_path, noise_dataset(), grid=grid)
    found = made.content()
    assert found["sweep"]["seeds"] == [0, 1, 2] == [int(seed) for seed in found["surfaces"]]
    assert len([run for run in found["runs"] if "model" not in run]) == 6
    monkeypatch.setattr(content, "VIEWS_BYTES", 2 * len(found["runs"][0]["view"]))
    found = made.content()
    assert (found["sweep"]["seeds"], found["sweep"]["seeds_left_out"]) == ([0], 2)
