"""A folder of images becomes a report; docs/your-own-experiment.md is right in what it says to type."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from descent.config import Params, load_yaml
from tests.support.project import clone
from tests.support.small_params import ROOT, read_yaml

TEXT = (ROOT / "docs/your-own-experiment.md").read_text()
NAMES = ("bar", "circle", "cross", "square", "wave")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


def test_the_entry_of_a_dataset_in_the_documentation_is_accepted():
    (printed,) = [block for block in blocks("") if "descent checksum" in block]
    entry = load_yaml(printed.partition("\n")[2])
    params = read_yaml(ROOT / "params.yaml") | entry
    params["preprocess"] |= {"training_images": 600, "validation_images": 200}
    params["sweep"]["batch_sizes"].remove(2048)
    assert Params.model_validate(params).dataset.title == "Shapes"


def test_the_studies_in_the_documentation_are_accepted():
    (studies,) = blocks("yaml")
    assert Params.model_validate(read_yaml(ROOT / "params.yaml") | load_yaml(studies))


@pytest.mark.slow
def test_a_folder_of_images_becomes_a_report_without_a_word_of_mnist(tmp_path, idx_folder):
    random = np.random.default_rng(0)
    shapes = random.integers(0, 2, (5, 14, 14)) * 200
    for number in range(200):
        image = np.clip(shapes[number % 5] + random.integers(-50, 50, (14, 14)), 0, 255).astype(np.uint8)
        path = tmp_path / "shapes" / NAMES[number % 5] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    project = clone(tmp_path / "project", idx_folder)
    printed = project.run("python", "-m", "descent", "checksum", str(tmp_path / "shapes")).stdout
    settings = {"batch_size": 8, "learning_rate": 0.05}

    def change(params):
        params |= load_yaml(printed)
        params["preprocess"] |= {"training_images": 100, "validation_images": 50}
        params["train"] = {"epochs": 2, "seeds": [0, 1]}
        params["models"] = {"small": settings, "large": settings | {"batch_size": 50}}
        params["studies"] = {"size": {"models": ["small", "large"], "question": "Which batch size?"}}
        params["sweep"] = {"batch_sizes": [8, "full"], "learning_rates": [0.1], "seeds": [0], "epochs": 1}

    project.edit(change)
    project.run("dvc", "repro", "report")
    assert json.loads((project.folder / "data/arrays/summary.json").read_text())["classes"] == 5
    text = (project.folder / "reports/report.md").read_text()
    assert "Shapes" in text and all(name in text for name in NAMES)
    written = [*(project.folder / "reports").rglob("*"), *(project.folder / "models").rglob("*.json")]
    for path in [project.folder / "data/dataset.json", *written]:
        if path.suffix in (".md", ".csv", ".json", ".svg"):
            assert not re.search(r"mnist|\bdigits?\b", path.read_text(), re.I), path

    # A misspelt model is rejected while the report is still there.
    project.edit(lambda params: params["studies"]["size"].update(models=["small", "larg"]))
    done = project.run("dvc", "repro", expect=255)
    assert "studies.size.models: 'larg' is not accepted; accepted: one of small, large" in done.stderr
    assert (project.folder / "reports/report.md").read_text() == text
