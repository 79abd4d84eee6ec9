"""A small pipeline under each environment of `matrix.py` gives the usual bytes, or the one promised line."""

import re
import shlex
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.environments.matrix import ENVIRONMENTS, FILES, Environment, document
from tests.support.project import Project, clone
from tests.support.small_params import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RUNS = 6
"""Runs of MLflow: train, its seed, sweep, its run, tune, report."""


def small(params: dict) -> None:
    """Reduce params.yaml to one model of one seed and epoch, and a sweep of one run."""
    params["network"]["hidden_layers"] = [16]
    params["train"] |= {"epochs": 1, "seeds": [0]}
    params["models"] = {"baseline": params["models"]["baseline"]}
    params["studies"] = {"batch_size": {"question": "Which?", "models": ["baseline"]}}
    params["tuned"]["models"] = {}
    params["sweep"] |= {"batch_sizes": ["full"], "learning_rates": [0.1]}


@pytest.fixture(scope="module")
def template(idx_folder, tmp_path_factory) -> Project:
    """The repository that is cloned: dvc.lock and reports/ as the usual environment makes them."""
    project = clone(tmp_path_factory.mktemp("matrix") / "template", idx_folder)
    project.edit(small)
    project.run("dvc", "repro", "-q")
    project.commit("Run")
    return project


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """The folder {files}."""
    folder = tmp_path_factory.mktemp("files")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def run(project: Project, command: str, row: Environment | None = None, expect: int | None = 0) -> str:
    """Run a shell command in the project, as `row` says, and return what it printed."""
    words = ["sh", "-c", command]
    if row:
        words = [*shlex.split(row.prefix), "sh", "-c", f"{row.before or ':'}; {command}"]
    done = subprocess.run(
        words, cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    text = done.stdout.decode("utf-8", "replace")
    assert expect is None or done.returncode == expect, f"{command} exited with {done.returncode}:\n{text}"
    return text


def logged(project: Project) -> tuple[int, set[str]]:
    """Return how many runs mlflow.db has, and the commits that they name."""
    with sqlite3.connect(f"{project.folder.as_uri()}/mlflow.db?mode=ro", uri=True) as database:
        ((runs,),) = database.execute("SELECT count(*) FROM runs")
        commits = {
            commit for (commit,) in database.execute("SELECT value FROM tags WHERE key = 'git.commit'")
        }
    database.close()
    return runs, commits


@pytest.mark.parametrize("row", ENVIRONMENTS, ids=lambda row: row.name)
def test_environment(row: Environment, template, files, tmp_path):
    if row.prefix and subprocess.run([*shlex.split(row.prefix), "true"], capture_output=True).returncode:
        pytest.skip(f"{row.prefix.split()[0]} does not work here")
    project = Project(tmp_path / row.folder)
    project.folder.parent.mkdir(parents=True, exist_ok=True)
    places = {"template": template.folder, "clone": project.folder, "files": files, "root": ROOT}
    run(template, row.clone.format(**{name: shlex.quote(str(path)) for name, path in places.items()}))
    usual = dict(project.environment)
    run(project, f"dvc cache dir --local {shlex.quote(str(template.folder / '.dvc/cache'))}")
    for name, value in (("user.name", "Test"), ("user.email", "test@example.org")):
        run(project, f"git config {name} {value}")
    for command in row.prepare:
        run(project, command)

    project.environment |= {name: value.format(**places) for name, value in row.variables.items()}
    project.environment = {name: value for name, value in project.environment.items() if value}
    *first, last = row.commands
    for command in first:
        run(project, command, row)
    text = run(project, last, row, expect=None if row.line else 0)
    if row.line:
        assert re.search(row.line, text) and "Traceback" not in text, text
        return
    project.environment = usual
    assert run(project, "git status --porcelain .") == ""
    run(project, row.after)
    if "dvc_mlflow sync" in row.commands[-1]:
        assert logged(project) == (RUNS, {run(project, "git rev-parse HEAD").strip()})


def test_the_document_is_written_from_the_table():
    command = "python -m tests.environments.matrix > docs/environments.md"
    assert (ROOT / "docs/environments.md").read_text(encoding="utf-8") == document(), command
