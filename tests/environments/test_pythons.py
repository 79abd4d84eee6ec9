"""`make run` on every supported Python that is found: set-up, pipeline, MLflow, the tables at the end."""

import os
import subprocess
import sys

import pytest

from tests.support.project import clone

VERSIONS = ["3.11", "3.12", "3.13"]


def find(version: str) -> str | None:
    """Return the path of a Python that runs, or None. A shim of pyenv runs what PYENV_VERSION names."""
    command = [f"python{version}", "-c", "import ensurepip, sys, venv; print(sys.executable)"]
    try:
        found = subprocess.run(
            command, env=os.environ | {"PYENV_VERSION": version}, capture_output=True, text=True
        )
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


@pytest.mark.slow
@pytest.mark.timeout(1200)  # installing takes half a minute, the small pipeline one and a half
@pytest.mark.parametrize("version", VERSIONS)
def test_make_run(version, idx_folder, tmp_path):
    python = sys._base_executable if sys.version.startswith(f"{version}.") else find(version)
    if not python:
        pytest.skip(f"no python{version} that runs")
    project = clone(tmp_path / "project", idx_folder)
    project.edit(lambda params: params["train"].update(seeds=[0]))
    done = project.run("make", f"PYTHON={python}", "run")
    assert "Which learning rate performed best?" in done.stdout
    assert project.run(".venv/bin/python", "-V").stdout.startswith(f"Python {version}.")
    assert project.run("git", "status", "--porcelain", "--", "stages", "descent").stdout == ""
