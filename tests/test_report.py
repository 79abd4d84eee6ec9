"""The report stage as a whole: every file it leaves, twice the same, for whatever params.yaml asks."""

import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import nbformat
import numpy as np
import pandas as pd
import pytest
from small_disk import small_disk

from stages import report
from stages.core.params import read_params
from stages.core.report import notebook, page
from stages.core.report.comparison import read_table
from tests.model_folders import DEFAULT, make_params, write_project
from tests.reported import ROOT, run_report, write_params

TABLES = ["comparison", "history", "differences", "paths", "surface", "confusion", "mistakes", "timing"]


@pytest.fixture(scope="module")
def project(digits, tmp_path_factory):
    """A folder after its report: four models, three seeds, one study whose question has odd characters."""
    folder = tmp_path_factory.mktemp("project")
    question = "Is <b>8</b> | *best* & `=1+1`?"
    params = make_params(studies={"batch_size": {"question": question, "models": list(DEFAULT)}})
    write_project(folder, params, digits)
    result = run_report(folder, params)
    assert result.returncode == 0, result.stderr
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in (folder / "reports").rglob("*.*")}


def test_all_files_are_written(project):
    names = {path.name for path in (project / "reports").iterdir()}
    pages = {"report.md", "report.html", "solutions.ipynb", "metrics.json", "figures"}
    assert names == pages | {f"{table}.csv" for table in TABLES} | {"timing.svg", "timing-dark.svg"}


@pytest.mark.slow
def test_a_second_report_has_the_same_bytes(project):
    before = contents(project)
    assert run_report(project, read_params(project / "params.yaml")).returncode == 0
    assert contents(project) == before


def test_only_the_timing_files_tell_of_a_clock(digits, project, tmp_path):
    params = read_params(project / "params.yaml")
    write_project(tmp_path, params, digits)
    for path in (tmp_path / "models").glob("*/timing.json"):
        path.write_text(path.read_text().replace("0.5", "0.7").replace("A processor", "Another"))
    assert run_report(tmp_path, params).returncode == 0
    mine, theirs = contents(project), contents(tmp_path)
    assert {str(name) for name in mine if mine[name] != theirs[name]} == {
        "reports/timing.csv",
        "reports/timing.svg",
        "reports/timing-dark.svg",
    }


def test_neither_tensorflow_nor_mlflow_is_imported():
    code = "import sys, stages.report; print({'tensorflow', 'keras', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_metrics_are_strict_json_and_small(project):
    def refuse(word):
        raise AssertionError(word)

    metrics = json.loads((project / "reports/metrics.json").read_text(), parse_constant=refuse)
    assert metrics["best"] == {"batch_size": "batch_8"}
    assert metrics["status"]["rate_100"] == "diverged"
    assert len(metrics["test_accuracy"]) == 4


def test_what_params_yaml_asks_is_shown_as_text_everywhere(project):
    page = (project / "reports/report.html").read_text()
    assert "Is &lt;b&gt;8&lt;/b&gt; | *best* &amp; `=1+1`?" in page and "<b>8" not in page
    said = (project / "reports/report.md").read_text()
    assert r"Is &lt;b&gt;8&lt;/b&gt; \| \*best\* &amp; \`\=1\+1\`?" in said and "<b>8" not in said


def test_no_field_of_a_table_begins_as_a_formula(project):
    for path in (project / "reports").glob("*.csv"):
        for field in re.split(r"[,\n]", path.read_text()):
            assert not field.startswith(("=", "+", "@")), (path, field)
            assert not field.startswith("-") or float(field) < 0


def test_every_picture_is_whole_and_named_in_the_report(project):
    said = (project / "reports/report.md").read_text()
    pictures = sorted((project / "reports/figures").iterdir())
    assert len(pictures) == 2 * 4
    for path in pictures:
        ElementTree.fromstring(path.read_text())
        assert f"figures/{path.name}" in said


def test_the_notebook_was_run_from_top_to_bottom(project):
    notebook = nbformat.read(project / "reports/solutions.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert all(cell.outputs for cell in code[1:])  # the first only finds the repository's root
    assert "execution" not in json.dumps([cell.metadata for cell in code])


@pytest.fixture
def report_quickly(tmp_path, monkeypatch):
    """The stage in this process, without what takes long: the kernel, the page's library, MLflow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report.process, "end_with_parent", lambda: None)
    monkeypatch.setattr(report.tracking, "report", lambda params: None)
    monkeypatch.setattr(notebook, "render", lambda params, sweep: "{}")
    monkeypatch.setattr(page.vl_convert, "javascript_bundle", lambda script: script)

    def run(params):
        write_params(tmp_path, params)
        report.main()
        return (tmp_path / "reports/report.md").read_text()

    return run


@pytest.mark.parametrize(
    ("courses", "seeds"),
    [
        ({"alone": "learned"}, [0]),
        ({f"model-{number}": "learned" for number in range(10)}, range(10)),
        ({"lost": "diverged", "gone": "not finite", "asleep": "stalled"}, [0, 1]),
        ({"lost": "diverged", "gone": "not finite"}, [3]),
        ({"12": "learned", "NA": "undertrained", "1e-5": "learned"}, [0, 1]),
    ],
    ids=["one model, one seed", "ten models, ten seeds", "nothing learned", "all diverged", "odd names"],
)
def test_every_shape_of_experiment_renders(courses, seeds, digits, tmp_path, report_quickly):
    params = make_params(courses, seeds=list(seeds), epochs=2)
    write_project(tmp_path, params, digits, courses)
    said = report_quickly(params)
    assert read_table(tmp_path / "reports/comparison.csv").model.tolist() == list(courses)
    assert all(f"`{name}`" in said for name in courses)
    assert ("nothing learned" in said) == (not set(courses.values()) & {"learned", "undertrained"})
    assert not re.search(r"\bnan\b", said)


def test_networks_of_different_shapes_have_no_map_and_it_is_said(digits, tmp_path, report_quickly):
    courses = {"wide": "learned", "deep": "learned"}
    models = {
        name: model.model_dump(exclude_none=True) for name, model in make_params(courses).models.items()
    }
    models["deep"]["hidden_layers"] = [5, 4, 3]
    params = make_params(courses, models=models)
    write_project(tmp_path, params, digits, courses)
    assert "different shapes" in report_quickly(params)
    assert not list((tmp_path / "reports/figures").glob("*descent*"))


def test_a_model_that_is_not_there_is_one_clear_line(digits, tmp_path):
    params = make_params()
    write_project(tmp_path, params, digits)
    (tmp_path / "models/baseline/history.csv").unlink()
    result = run_report(tmp_path, params)
    assert result.returncode == 1
    assert result.stderr.startswith("models/baseline: cannot be read") and result.stderr.count("\n") == 1
    assert not (tmp_path / "reports").exists()


def test_a_full_disk_is_one_line_and_exit_1(digits, tmp_path):
    write_project(tmp_path, make_params(), digits)
    with small_disk(tmp_path / "reports", kilobytes=200):
        result = run_report(tmp_path, make_params())
    assert result.returncode == 1
    assert re.fullmatch(r"reports/\S+: No space left on device\n", result.stderr)


def test_results_of_other_seeds_are_refused(digits, tmp_path):
    write_project(tmp_path, make_params(seeds=[0]), digits)
    result = run_report(tmp_path, make_params(seeds=[0, 1]))
    assert result.returncode == 1 and "was trained with the seeds [0]" in result.stderr


def test_a_removed_model_leaves_the_report_and_its_pictures_go(digits, tmp_path, report_quickly):
    write_project(tmp_path, make_params(), digits)
    assert "batch_8" in report_quickly(make_params())
    kept = {name: course for name, course in DEFAULT.items() if name != "batch_8"}
    models = {name: make_params().models[name].model_dump(exclude_none=True) for name in kept}
    assert "batch_8" not in report_quickly(make_params(kept, models=models))
    assert "batch_8" not in (tmp_path / "reports/report.html").read_text()
    assert not list((tmp_path / "reports/figures").glob("batch_8*"))


def test_paths_of_astronomical_weights_do_not_break_the_map(project):
    paths = pd.read_csv(project / "reports/paths.csv")
    assert np.isfinite(paths[paths.model == "batch_8"][["x", "y"]]).all(axis=None)
    assert paths[paths.model == "rate_100"].x.abs().max() > 1e6
