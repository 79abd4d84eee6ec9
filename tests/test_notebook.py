"""The solutions: run anywhere, the same each time, their words never typed."""

import os
import re

import nbformat
import pytest
from nbclient import NotebookClient

from stages.core.report import notebook
from tests.model_folders import DEFAULT, make_params, write_project
from tests.reported import run_report


@pytest.fixture(scope="module")
def project(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("solutions")
    write_project(folder, make_params(), digits)
    result = run_report(folder, make_params())
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("place", [".", "reports"])
def test_it_runs_from_top_to_bottom_in_plain_jupyter(project, place):
    written = nbformat.read(project / "reports/solutions.ipynb", as_version=4)
    before = [[output.get("data") for output in cell.get("outputs", [])] for cell in written.cells]
    for cell in written.cells:
        cell.pop("outputs", None) if cell.cell_type == "markdown" else cell.update(outputs=[])
    NotebookClient(written, resources={"metadata": {"path": str(project / place)}}).execute()
    assert [[output.get("data") for output in cell.get("outputs", [])] for cell in written.cells] == before


def test_its_prose_states_no_result_and_no_model():
    cells = notebook.build(make_params()).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert not [name for name in DEFAULT if name in prose]
    assert not re.search(r"\d+(\.\d+)? ?%", prose)


def test_cells_have_ids_that_stay():
    cells = notebook.build(make_params()).cells
    assert [cell.id for cell in cells] == [f"cell-{number}" for number in range(len(cells))]


def test_code_is_short():
    for cell in notebook.build(make_params()).cells:
        assert cell.cell_type == "markdown" or cell.source.count("\n") < 30


def test_every_study_has_its_chapter_with_its_question_as_text():
    studies = {
        name: {"question": f"{name} *or* <b>not</b>?", "models": list(DEFAULT)} for name in ("one", "two")
    }
    prose = "\n".join(cell.source for cell in notebook.build(make_params(studies=studies)).cells)
    for number, name in enumerate(studies, 4):
        assert f"## {number} · {name} \\*or\\* &lt;b&gt;not&lt;/b&gt;?" in prose


def test_a_persons_own_ipython_profile_is_left_alone(monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", "/their/own")
    with notebook._own_settings():
        assert os.environ["IPYTHONDIR"] != "/their/own"
    assert os.environ["IPYTHONDIR"] == "/their/own"
