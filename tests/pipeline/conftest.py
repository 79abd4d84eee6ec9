"""A project whose pipeline has run, made once for all processes of pytest."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.project import Project, clone


@pytest.fixture(scope="session")
def template(idx_folder, tmp_path_factory) -> Path:
    """The folder of the project after its first `dvc repro`, committed; whoever needs it first makes it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, complete = shared / "template", shared / "template-is-complete"
    with FileLock(shared / "template.lock"):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            project = clone(folder, idx_folder)
            project.run(
                "dvc", "repro", "train", "sweep", "explorer"
            )  # `dvc checkout` needs outputs that were made
            project.commit("Run")
            complete.touch()
    return folder


@pytest.fixture(scope="module")
def project(template, tmp_path_factory) -> Project:
    """A copy of the template for the tests of a module."""
    folder = tmp_path_factory.mktemp("pipeline") / "project"
    shutil.copytree(template, folder, symlinks=True)
    return Project(folder)
