"""The notebook: built from params.yaml, executed, the same each time, its backpropagation correct."""

import json
import re
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from descent import results
from descent.notebook import solutions

CLASSES, HEIGHT, WIDTH = 5, 14, 12
NAMES = ["bag", "<b>boot</b>", "$coat_1$", "dress", "`_egg_`"]
SUMMARY = {"height": HEIGHT, "width": WIDTH, "classes": CLASSES, "train": {"images": 600}}


def make_model(batch_size=128, learning_rate=0.01, **changes):
    defaults = {"optimizer": "sgd", "hidden_layers": (16, 8), "activation": "relu"}
    return SimpleNamespace(batch_size=batch_size, learning_rate=learning_rate, **defaults | changes)


MODELS = {
    "batch_8": make_model(8),
    "baseline": make_model(),
    "batch_full": make_model("full"),
    "rate_100": make_model(learning_rate=100.0),
    "rate_1e-7": make_model(learning_rate=1e-7),
}
STUDIES = {
    "Which batch size performed best?": ["batch_8", "baseline", "batch_full"],
    "Which learning rate performed best?": ["baseline", "rate_100", "rate_1e-7"],
}


def make_params(models=MODELS, studies=STUDIES, epochs=2, seeds=(0, 1, 2)):
    asked = [SimpleNamespace(question=question, models=names) for question, names in studies.items()]
    train = SimpleNamespace(epochs=epochs, seeds=seeds)
    tuned = SimpleNamespace(models={})
    return SimpleNamespace(models=models, studies=dict(enumerate(asked)), train=train, tuned=tuned)


def write_project(folder, params, **summary):
    """Write what the notebook reads: random images with a bright bar for each class, made-up results."""
    random, arrays = np.random.default_rng(0), folder / "data/arrays"
    arrays.mkdir(parents=True)
    for name, count in (("train", 600), ("validation", 200), ("test", 200)):
        labels = random.permutation(np.arange(count) % CLASSES).astype(np.uint8)
        images = random.integers(0, 90, (count, HEIGHT, WIDTH), dtype=np.uint8)
        images[np.arange(count), 2 * labels] = 255
        np.save(arrays / f"{name}_images.npy", images)
        np.save(arrays / f"{name}_labels.npy", labels)
    names = summary.pop("class_names", list(map(str, range(CLASSES))))
    (arrays / "summary.json").write_text(json.dumps(SUMMARY | summary))
    (folder / "data/dataset.json").write_text(json.dumps({"class_names": names}))
    rows = []
    for name, model in params.models.items():
        row = {
            "study": "a",
            "model": name,
            "batch_size": 8,
            "learning_rate": model.learning_rate,
            "updates": 9,
        }
        row |= {"optimizer": model.optimizer, "seeds": len(params.train.seeds), "status": "learned"}
        for split in ("validation", "test"):
            spread = 0.1 if len(params.train.seeds) > 1 else None
            row |= {f"{split}_accuracy_mean": 0.5, f"{split}_accuracy_std": spread}
        rows.append(row)
    (folder / "reports").mkdir()
    pd.DataFrame(rows).to_csv(folder / "reports/comparison.csv", index=False)


def code_of(cells):
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def prose_of(cells):
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def outputs_of(text):
    cells = nbformat.reads(text, as_version=4).cells
    return [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]


def answers_of(text):
    markdown = [output.get("data", {}).get("text/markdown", "") for output in outputs_of(text)]
    return [line for answer in markdown for line in answer.splitlines() if line.startswith("The best ")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    write_project(folder, make_params(), title="*Things* <i>to wear</i>", class_names=NAMES)
    return folder


@pytest.fixture(scope="module")
def executed(project):
    summary = json.loads((project / "data/arrays/summary.json").read_text())
    return solutions.render(make_params(), summary, project)


@pytest.mark.slow
def test_notebook_executed_is_valid_and_every_task_has_an_answer(executed):
    nbformat.validate(nbformat.reads(executed, as_version=4))
    assert len(answers_of(executed)) == 2
    assert answers_of(executed)[1] == "The best learning rate is **0.01** (`baseline`)."


@pytest.mark.slow
def test_notebook_executed_says_what_the_failed_trainings_would_need(executed):
    said = "".join(output.get("text", "") for output in outputs_of(executed))
    assert "Batch size 128 would need 15 epochs for 75 updates." in said
    assert "Batch size 600 would need 75 epochs for 75 updates." in said
    assert said.count("about ") == 1 and "learning rate 0.0000001: about 200,000 epochs" in said


@pytest.mark.slow
def test_notebook_outputs_hold_no_time_path_address_or_progress(project, executed):
    outputs = [dict(output, data=dict(output.get("data", {}))) for output in outputs_of(executed)]
    images = [output["data"].pop("image/png", None) for output in outputs]
    assert sum(image is not None for image in images) == 3
    assert not re.search(r"\d\d:\d\d|it/s|epoch/s|0x[0-9a-f]{6}|/tmp|/home|/root", json.dumps(outputs))
    assert str(project) not in executed
    assert not [output for output in outputs_of(executed) if output.get("name") == "stderr"]
    cells = nbformat.reads(executed, as_version=4).cells
    assert not [cell for cell in cells if cell.metadata]


@pytest.mark.slow
def test_notebook_gradients_agree_with_tensorflow_and_keras_fit_with_the_loop(executed):
    said = "".join(output.get("text", "") for output in outputs_of(executed))
    count = HEIGHT * WIDTH * 16 + 16 + 16 * 8 + 8 + 8 * CLASSES + CLASSES
    assert f"{count:,} of {count:,} gradients agree" in said
    assert int(re.search(r"differ by less than 10\^(-\d+)", said)[1]) <= -5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("models", "studies", "seeds", "epochs"),
    [
        (
            {f"m{n}": make_model(64 + n, 0.1, hidden_layers=(n,) if n % 2 else ()) for n in range(40)},
            {"Many?": [f"m{n}" for n in range(40)], "Few?": ["m1", "m3"]},
            (0, 1),
            1,
        ),
        ({"a": make_model(optimizer="adam")}, {"Adam?": ["a"]}, (0,), 3),
        (
            {"a": make_model(learning_rate=1e-7), "b": make_model(learning_rate=1e30)},
            {"None?": ["a", "b"]},
            (0, 1),
            2,
        ),
    ],
    ids=["forty models", "no plain gradient descent", "nothing learned"],
)
def test_notebook_of_unusual_params_executes(tmp_path, models, studies, seeds, epochs):
    params = make_params(models, studies, epochs, seeds)
    write_project(tmp_path, params)
    text = solutions.render(params, SUMMARY, tmp_path)
    if "None?" in studies:
        assert answers_of(text) == ["The best learning rate is **none**: no training learned anything."]


@pytest.mark.slow
def test_notebook_of_one_model_runs_in_plain_jupyter_from_its_own_folder(tmp_path):
    """And its last sections again, after the exercise has added a training."""
    params = make_params({"only": make_model(600, 0.5, activation="gelu")}, {"One?": ["only"]}, 1, (0,))
    write_project(tmp_path, params)
    notebook = solutions.assemble(params, SUMMARY)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    last = next(place for place, source in enumerate(code) if source.startswith("pipeline = "))
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in code[last:]]
    path = tmp_path / "reports/solutions.ipynb"
    path.write_text(nbformat.writes(notebook))
    command = [sys.executable, "-m", "jupyter", "execute", "--inplace", path.name]
    result = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert answers_of(path.read_text()) == ["The best batch size is **600** (`only`)."]


@pytest.mark.parametrize("activation", solutions.ACTIVATION_CODE)
def test_backpropagation_equals_tensorflow(activation):
    import tensorflow as tf

    models = {"a": make_model(activation=activation)}
    cells = solutions.assemble(make_params(models, {"One?": ["a"]}), SUMMARY).cells
    space = {"np": np, "height": HEIGHT, "width": WIDTH, "classes": CLASSES}
    exec(next(line for line in code_of(cells).splitlines() if line == "import math"), space)
    for line in code_of(cells).splitlines():
        if line.startswith("from scipy.special"):
            exec(line, space)
    for cell in cells:
        if re.search(r"^def (gradients|start)\(", cell.source, re.MULTILINE) and cell.cell_type == "code":
            exec(cell.source, space)
    random = np.random.default_rng(1)
    x = random.random((32, HEIGHT * WIDTH), np.float32)
    y = random.integers(0, CLASSES, 32)
    layers = space["start"](random)
    weights = [[tf.Variable(array) for array in layer] for layer in layers]
    with tf.GradientTape() as tape:
        h = tf.constant(x)
        for place, (kernel, bias) in enumerate(weights):
            z = h @ kernel + bias
            h = getattr(tf.nn, activation)(z) if place < len(weights) - 1 else z
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, h))
    for ours, theirs in zip(space["gradients"](layers, x, y), tape.gradient(loss, weights), strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.dtype == np.float32
            np.testing.assert_allclose(mine, other, atol=2e-6)


def test_each_item_is_one_training_and_a_shared_one_is_trained_once():
    cells = solutions.assemble(make_params(), SUMMARY).cells
    trained = re.findall(r"^runs\[(.*?)\] = (.*)$", code_of(cells), re.MULTILINE)
    assert trained[:-1] == [
        ('"batch_8"', "train(batch_size=8, learning_rate=0.01)"),
        ('"baseline"', "train(batch_size=128, learning_rate=0.01)"),
        ('"batch_full"', "train(batch_size=len(x_train), learning_rate=0.01)"),
        ('"rate_100"', "train(batch_size=128, learning_rate=100)"),
        ('"rate_1e-7"', "train(batch_size=128, learning_rate=0.0000001)"),
    ]
    assert trained[-1][0] == '"mine"'
    headings = re.findall(r"^### (.*)$", prose_of(cells), re.MULTILINE)
    assert [heading for heading in headings if heading.startswith(("Batch", "Learning"))] == [
        "Batch size 8",
        "Batch size 128",
        "Batch size 600 (the full sample)",
        "Learning rate 0.01",
        "Learning rate 100",
        "Learning rate 0.0000001",
    ]


def test_notebook_imports_nothing_of_the_project():
    code = code_of(solutions.assemble(make_params(), SUMMARY).cells)
    assert not re.search(r"^\s*(from|import) (stages|descent|dvc_mlflow)", code, re.MULTILINE)


def test_prose_states_no_result():
    prose = prose_of(solutions.assemble(make_params(), SUMMARY).cells)
    assert re.findall(r"[\d.]+ ?%", prose) == ["95 %"]


def test_text_of_params_is_shown_as_text():
    question = "Is `x` *bold*, <script>alert(1)</script>, $y$ or\n---\n```python\nimport os\n```\n?"
    params = make_params(studies={question: ["batch_8", "baseline"]})
    cells = solutions.assemble(params, SUMMARY | {"title": "<b>$t$</b>"}).cells
    assert "script" not in code_of(cells)
    assert "<" not in prose_of(cells).replace("$0 < ", "").replace("| < 1$", "")
    assert (
        "## Task 1: Is \\`x\\` \\*bold\\*, &lt;script&gt;alert\\(1\\)&lt;/script&gt;, \\$y\\$ or"
        in prose_of(cells)
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"optimizer": "adam"},
            "These trainings use adam; the NumPy code above knows plain gradient descent only.",
        ),
        ({"activation": "tanh"}, "These trainings use tanh as activation."),
    ],
)
def test_study_that_the_numpy_code_cannot_train_is_left_to_the_pipeline(changes, reason):
    models = MODELS | {"other": make_model(**changes)}
    params = make_params(models, STUDIES | {"Which other one?": ["other"]})
    cells = solutions.assemble(params, SUMMARY).cells
    assert reason in prose_of(cells)
    assert 'study = ["other"]' in code_of(cells)
    assert 'runs["other"]' not in code_of(cells)


def test_study_of_tuned_batch_sizes_stands_near_the_end_and_is_named_where_its_question_arises():
    params = make_params(MODELS | {"tuned_8": make_model(8, 0.03), "tuned_full": make_model("full", 0.3)})
    assert "exercise 3 tries it." in prose_of(solutions.assemble(params, SUMMARY).cells)
    assert "Studies that the pipeline answers" not in prose_of(solutions.assemble(params, SUMMARY).cells)
    params.tuned.models = {name: params.models[name] for name in ("tuned_8", "tuned_full")}
    params.studies["tuned"] = SimpleNamespace(question="At the best rate?", models=list(params.tuned.models))
    prose = prose_of(solutions.assemble(params, SUMMARY).cells)
    assert "the pipeline's answer stands [near the end](#Studies-that-the-pipeline-answers)." in prose
    assert prose.index("\n## Studies that the pipeline answers\n") < prose.index("\n### At the best rate?\n")
    assert "trains the networks above with 3 seeds" in prose


def test_study_with_too_many_trainings_is_left_to_the_pipeline():
    models = MODELS | {f"m{n}": make_model(16 + n) for n in range(4)}
    cells = solutions.assemble(
        make_params(models, STUDIES | {"Tuned?": [f"m{n}" for n in range(4)]}), SUMMARY
    ).cells
    assert "These trainings would take too long in a notebook." in prose_of(cells)
    assert code_of(cells).count("] = train(") == len(MODELS) + 1  # one is an exercise's


def test_other_shapes_are_passed_to_train():
    models = {"wide": make_model(), "flat": make_model(hidden_layers=())}
    code = code_of(solutions.assemble(make_params(models, {"Deep?": ["wide", "flat"]}), SUMMARY).cells)
    assert 'runs["flat"] = train(batch_size=128, learning_rate=0.01, hidden=())' in code
    assert '"hidden layers"' in code


def test_study_that_varies_two_settings_says_so():
    models = {"a": make_model(8, 0.01), "b": make_model(128, 0.1)}
    prose = prose_of(solutions.assemble(make_params(models, {"Which?": ["a", "b"]}), SUMMARY).cells)
    assert "This task varies batch size and learning rate at once." in prose
    assert "### Batch size 8 and learning rate 0.01" in prose


def test_cells_have_stable_ids_and_lines_that_fit_a_screen():
    cells = solutions.assemble(make_params(), SUMMARY).cells
    assert [cell.id for cell in cells] == [f"cell-{number}" for number in range(len(cells))]
    assert max(len(line) for line in code_of(cells).splitlines()) <= 100


@pytest.mark.parametrize("moved", [0.1, 10.0])
@pytest.mark.parametrize(
    ("losses", "updates"),
    [
        ((2.3, 0.1), 100),
        ((2.3, 2.0), 100),
        ((2.3, 2.299), 100),
        ((2.3, 2.299), 5),
        ((2.3, 2.4), 100),
        ((2.3, 4.5), 100),
        ((2.3, 5.0), 100),
        ((2.3, np.nan), 100),
        ((9.0, 5.0), 100),
    ],
)
def test_status_is_that_of_the_pipeline(losses, updates, moved):
    cells = solutions.assemble(make_params(), SUMMARY).cells
    space = {"guessing": np.log(10)}
    exec(next(cell.source for cell in cells if "def status(" in cell.source), space)
    history = pd.DataFrame({"training loss": losses, "updates": [0, updates]})
    run = SimpleNamespace(history=history, moved=moved)
    rows = [
        {"train_loss": loss, "gradient_norm": 1.0, "distance": 10 * moved * place, "updates": updates * place}
        for place, loss in enumerate(losses)
    ]
    assert space["status"](run) == results.status(rows, 10)


@pytest.mark.parametrize(
    ("names", "rate"), [(["rate_100", "baseline", "rate_1e-7"], "0.01"), (["rate_100"], "100.0")]
)
def test_the_descent_by_keras_has_a_usual_rate_as_a_float(names, rate):
    """Keras rejects a whole number."""
    params = make_params(studies={"Which?": names}, models={name: MODELS[name] for name in names})
    assert f"SGD(learning_rate={rate})" in code_of(solutions.assemble(params, SUMMARY).cells)
