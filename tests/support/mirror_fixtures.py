"""Repositories that tests mirror, each made once and copied."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from dvc_mlflow.__main__ import main
from dvc_mlflow.store import follow_move, make_database
from tests.support import dvc_repositories as repositories
from tests.support.dvc_repositories import MISLEADING, Repository


def _shape(name: str) -> Any:
    @pytest.fixture(scope="session", name=f"{name.lower()}_template")
    def template(tmp_path_factory: pytest.TempPathFactory) -> Repository:
        return repositories.make(tmp_path_factory.mktemp(name) / "project", getattr(repositories, name))

    @pytest.fixture(name=name.lower())
    def copy(
        request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
    ) -> Repository:
        made = request.getfixturevalue(f"{name.lower()}_template").copied(tmp_path / "project")
        _forget(made.folder)
        shutil.copy(empty_database, made.folder / "mlflow.db")
        return entered(made, monkeypatch)

    return template, copy


get_started_template, get_started = _shape("GET_STARTED")
matrix_template, matrix = _shape("MATRIX")
subfolders_template, subfolders = _shape("SUBFOLDERS")
plain_template, plain = _shape("PLAIN")
example_template, example = _shape("EXAMPLE")


def entered(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Make the repository the working directory, and its environment this process's."""
    for name in os.environ:
        if name.startswith(MISLEADING):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", repository.environment["DVC_SITE_CACHE_DIR"])
    monkeypatch.setenv("HOME", repository.environment["HOME"])
    monkeypatch.chdir(repository.folder)
    return repository


@pytest.fixture(scope="session")
def synced_template(
    example_template: Repository, tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Repository:
    """The example with all that it holds in MLflow."""
    made = example_template.copied(tmp_path_factory.mktemp("synced") / "project")
    _forget(made.folder)
    shutil.copy(empty_database, made.folder / "mlflow.db")
    made.mirror("sync")
    return made


@pytest.fixture
def synced(synced_template: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """The example, committed, and in MLflow."""
    made = synced_template.copied(tmp_path / "project")
    follow_move(made.folder / "mlflow.db", made.folder / "mlartifacts")
    return entered(made, monkeypatch)


def _forget(folder: Path) -> None:
    """Remove what stages logged live."""
    for path in folder.glob("mlflow.db*"):
        path.unlink()
    shutil.rmtree(folder / "mlartifacts", ignore_errors=True)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take seconds to make."""
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    make_database(file)
    return file


class Command:
    """`dvc-mlflow` in this process: exit code, stdout and stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]):
        """`capsys` takes what is printed."""
        self._capsys = capsys

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        """Run it; what it printed on both streams."""
        self._capsys.readouterr()
        code = 0
        try:
            main(list(arguments))
        except SystemExit as error:
            code = int(error.code or 0)
        out, err = self._capsys.readouterr()
        assert code == expect, out + err
        return out + err


@pytest.fixture
def mirror(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run dvc-mlflow in this process."""
    return Command(capsys)
