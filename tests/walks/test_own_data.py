"""The three walks of docs/your-own-experiment.md, typed as they stand there."""

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from descent.config import Params
from descent.datasets import KNOWN
from descent.validation import load_yaml
from tests.support.project import Project, clone
from tests.support.small_params import ROOT, read_yaml

DATASET, NETWORK, EXPERIMENT = re.split(
    r"^## ", (ROOT / "docs/your-own-experiment.md").read_text(), flags=re.M
)[1:]
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
NAMES = ("bar", "circle", "cross", "square", "wave")


def blocks(text: str, language: str) -> list[str]:
    """Return the contents of the fenced blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)
    return [content for name, content in found if name == language]


(PRINTED,) = [
    block for block in blocks(DATASET, "") if block.startswith("$ python -m descent checksum shapes\n")
]
(STUDIES,) = blocks(NETWORK, "yaml")


def drop_tuned(params: dict) -> None:
    """Leave out the models whose learning rates the sweep chooses, as their studies go."""
    if "tuned" in params:
        params["tuned"]["models"] = {}


def test_every_known_dataset_is_in_the_table_and_no_other():
    assert re.findall(r"^\| `(\w+)` \|", DATASET, re.M) == ["data", *KNOWN]
    (chosen,) = re.findall(r"-S data=(\w+)", DATASET)
    assert chosen in KNOWN


def test_the_studies_are_accepted_on_the_project_itself():
    params = read_yaml(ROOT / "params.yaml")
    drop_tuned(params)
    assert Params.model_validate(params | load_yaml(STUDIES))


def write_photos(folder: Path) -> None:
    """Write 200 images for each of five classes as people have them: several sizes, kinds and strangers."""
    random = np.random.default_rng(0)
    shapes = random.integers(0, 2, (5, 14, 14)) * 200
    for number in range(1000):
        pixels = np.clip(shapes[number % 5] + random.integers(-50, 50, (14, 14)), 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels)
        if number < 30:
            image = image.resize((20, 15)).convert(("RGB", "LA", "P", "1")[number % 4])
        path = folder / NAMES[number % 5] / f"image {number}.{'gif' if number == 7 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    for stranger in (".DS_Store", "bar/.DS_Store", "bar/notes.txt"):
        (folder / stranger).write_bytes(b"\0\0\0\1Bud1")


WORDS = re.compile(
    r"mnist|handwritten|(?<!four )(?<!\()\bdigits?\b(?!\()|\b784\b|\b28 ?[x×] ?28\b|\b0 ?(?:to|–|-) ?9\b|\bten (?!times)",
    re.I,
)


def words_of_mnist(folder: Path, right: str = "$.") -> list[str]:
    """Search all that the pipeline wrote for a reader, and all names in MLflow, for what is true of MNIST alone.

    What matches `right` is true of these data too.
    """
    texts = {
        path: path.read_text()
        for path in [*folder.glob("reports/**/*"), *folder.glob("data/*.json")]
        if path.is_file()
    }
    for path in texts:
        if path.suffix in (".csv", ".svg"):  # numbers, in which 784 may occur
            texts[path] = re.sub(r"[\d.]+", "", texts[path])
        elif path.suffix == ".html":  # what is read, and not the libraries of the charts
            texts[path] = re.sub(r"<(script|style)\b.*?</\1>", "", texts[path], flags=re.S)
        elif path.suffix == ".ipynb":
            cells = json.loads(texts[path])["cells"]
            texts[path] = json.dumps(
                [[cell["source"], [o for o in cell.get("outputs", []) if "text" in o]] for cell in cells]
            )
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = database.execute(f"SELECT * FROM {table}").fetchall()
            texts[folder / table] = "\n".join(
                value
                for row in rows
                for value in row
                if isinstance(value, str) and not re.search("[0-9a-f]{32}", value)
            )
    searched = {path.name: re.sub(right, "", text, flags=re.I) for path, text in texts.items()}
    return [
        f"{name}: {text[max(0, m.start() - 40) : m.end() + 40]!r}"
        for name, text in searched.items()
        for m in WORDS.finditer(text)
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_photos_become_a_report_without_a_word_of_mnist(tmp_path, idx_folder):
    project = clone(tmp_path / "project", idx_folder)
    params = project.folder / "params.yaml"
    shutil.copy(ROOT / "params.yaml", params)
    write_photos(tmp_path / "photos")

    # Another dataset
    (script,) = blocks(DATASET, "python")
    outside = Project(tmp_path)
    outside.run("python", "-c", script)
    printed = project.run("python", "-m", "descent", "checksum", "../shapes").stdout
    entry = r"sha256: \w+|source:\s+\S+"
    assert re.sub(entry, "", printed) == re.sub(entry, "", PRINTED.partition("\n")[2])
    text = params.read_text().replace("data: mnist\n", printed)
    assert "here 600 and 200" in DATASET and "here 2048" in DATASET
    text = re.sub(r"(training_images: )\d+", r"\g<1>600", text)
    text = re.sub(r"(validation_images: )\d+", r"\g<1>200", text)
    params.write_text(text.replace("  - 2048\n", ""))
    project.run("dvc", "repro", "download")
    project.commit("Shapes")

    # Another network, another optimizer
    tried = [line for line in blocks(NETWORK, "")[0].splitlines() if "exp run" in line]
    assert len(tried) == 3
    for line in tried:  # valid, and found by DVC: to train with them takes too long here
        project.run("sh", "-c", f"{line} download")
        project.run("git", "checkout", "-q", "params.yaml", "dvc.lock")

    def reduce(params):
        params |= load_yaml(STUDIES)
        drop_tuned(params)
        params["train"] = {"epochs": 1, "seeds": [0]}
        params["sweep"] = {"batch_sizes": [128], "learning_rates": [0.1], "seeds": [0], "epochs": 1}

    project.edit(reduce)
    project.run("dvc", "repro")
    project.run("python", "-m", "dvc_mlflow", "sync")
    assert json.loads((project.folder / "data/arrays/summary.json").read_text())["classes"] == 5
    report = (project.folder / "reports/report.md").read_text()
    assert "Shapes" in report and all(name in report for name in NAMES)
    assert words_of_mnist(project.folder) == []

    # What cannot work is rejected while the report is still there, by the first stage or by DVC itself.
    right = params.read_text()
    for old, new, line in (
        (
            "- sgd\n    - wide",
            "- sgd\n    - wied",
            "studies.network.models: 'wied' is not accepted; accepted: one of sgd,",
        ),
        ("  wide:", "  w/de:", "models: 'w/de' is not accepted"),
        ("  wide:", "  sgd:", 'found duplicate key "sgd"'),
        ("data: shapes", "data:", "data: None is not accepted"),
    ):
        assert old in right
        params.write_text(right.replace(old, new, 1))
        failed = project.run("dvc", "repro", expect=255)
        assert line in failed.stderr and "Traceback" not in failed.stderr
        assert (project.folder / "reports/report.md").read_text() == report


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_is_a_report_without_another_word_of_mnist(tmp_path, idx_folder):
    project = clone(tmp_path / "project", idx_folder)
    settings = {"batch_size": 50, "learning_rate": 0.1}

    def choose(params):
        params |= {"data": "fashion_mnist", "datasets": {}}
        drop_tuned(params)
        params["preprocess"] |= {"training_images": 300, "validation_images": 100}
        params["train"] = {"epochs": 1, "seeds": [0]}
        params["models"] = {"fast": settings, "slow": settings | {"learning_rate": 0.001}}
        params["studies"] = {"rate": {"models": ["fast", "slow"], "question": "Which learning rate?"}}
        params["sweep"] = {"batch_sizes": [50], "learning_rates": [0.1], "seeds": [0], "epochs": 1}

    project.edit(choose)
    project.run("dvc", "repro")
    project.run("python", "-m", "dvc_mlflow", "sync")
    report = (project.folder / "reports/report.md").read_text()
    assert "Fashion\\-MNIST" in report and "Ankle boot" in report
    assert words_of_mnist(project.folder, r"fashion\\*.mnist|\b784\b|\b28 ?[x×] ?28\b") == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_skeleton_is_a_repository_of_its_own(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "project/examples")
    begin, change = blocks(EXPERIMENT, "")
    project, wine = Project(tmp_path / "project"), Project(tmp_path / "wine")
    project.environment |= {
        f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    wine.environment = project.environment = project.environment | {"PYTHONPATH": str(ROOT)}
    out = project.run("bash", "-ec", begin).stdout
    assert "train@slow: logged with 3 child runs" in out
    assert wine.run("git", "status", "--short").stdout == ""
    assert "Stage 'train@fast' didn't change, skipping" in wine.run("bash", "-ec", change).stdout
    report = (wine.folder / "reports/report.md").read_text()
    assert re.search(r"^\| slow \| 0\.05 \| \d\d\.\d% \|$", report, re.M)
    with closing(sqlite3.connect(wine.folder / "mlflow.db")) as database:
        steps = database.execute("SELECT MAX(step) FROM metrics WHERE key = 'accuracy'").fetchone()
        assert steps == (30,)
        assert ("wine",) in database.execute("SELECT name FROM experiments").fetchall()
    wine.run("python", "-m", "dvc_mlflow", "check")
