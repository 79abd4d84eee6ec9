"""`python -m stages.trace`: from a file to its run, from a run to its files, and how to get them back."""

import shutil

import pytest

from tests import mirrored
from tests.mirrored import current, current_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A trained repository that MLflow mirrors."""
    project = mirrored.trained(tmp_path_factory.mktemp("trace") / "project")
    project.run("python", "-m", "stages.sync")
    return project


def trace(project, what: str) -> dict[str, str]:
    """What `stages.trace` tells of a file or a run, by the word at the line's beginning."""
    told = project.run("python", "-m", "stages.trace", what).stdout
    return {line[:12].strip(): line[12:] for line in told.splitlines()}


def test_a_file_leads_to_its_run_and_the_run_back_to_its_files(project):
    model, run = "models/baseline/model.keras", current(project, "baseline").info.run_id
    told = trace(project, model)
    assert told["run"].startswith(run) and told["get back"].startswith("not needed")
    shutil.rmtree(project.folder / "models/baseline")
    project.run(*trace(project, run)["get back"].split())
    assert (project.folder / model).exists()
    assert trace(project, model)["run"] == told["run"]


def test_a_report_that_is_not_committed_is_not_to_be_overwritten(project):
    told = trace(project, "reports/report.md")
    assert told["get back"].startswith("not needed")
    (project.folder / "reports/report.md").unlink()
    assert trace(project, current_report(project).info.run_id)["get back"] == "dvc repro report"


def test_what_no_run_made_is_told_in_a_line(project):
    (project.folder / "other.keras").write_bytes(b"another model")
    assert project.run("python", "-m", "stages.trace", "other.keras", expect=1).stdout.count("\n") == 1
    assert "0123" in project.run("python", "-m", "stages.trace", "0123", expect=1).stdout
