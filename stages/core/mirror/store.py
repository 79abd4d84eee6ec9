"""Where MLflow keeps its runs, opened so that many processes may start at once and none waits for ever.

MLFLOW_TRACKING_URI says where; without it, mlflow.db and mlartifacts/ at the root of the user's
repository, also from the temporary workspace of a DVC experiment, which is deleted afterwards.
"""

import logging
import os
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.collection import uncollected
from stages.core.process import only_one

EXPERIMENT = "mnist-gradient-descent"
DESCRIPTION = (
    "How the batch size and the learning rate decide whether gradient descent works. One run per model, "
    "one nested run per seed; `tags.state = 'current'` are the runs of the models that dvc.lock holds."
)

KIND = "custom_model_development"
"""MLflow's word (mlflow.experimentKind) for experiments that are no prompts and no agents."""

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "7",  # seconds without an answer; MLflow's own 120 would be a hang
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # so a server that answers no more is given up after 15 s
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # a pickle may hold any code
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a run, with a server
    "GIT_PYTHON_REFRESH": "quiet",
}
"""The environment that MLflow's client runs in, where the user's own does not say otherwise."""


class Store(NamedTuple):
    """An open tracking store: MLflow's client, and the experiment that everything is logged to."""

    client: Any  # mlflow.MlflowClient, whose import takes two seconds
    experiment: str


def repository() -> Path:
    """The user's repository: DVC_ROOT, else the nearest folder from here up that holds .dvc or .git."""
    if root := os.environ.get("DVC_ROOT"):
        return Path(root)
    here = Path.cwd()
    return next(
        (path for path in (here, *here.parents) if any((path / mark).exists() for mark in MARKS)), here
    )


MARKS = (".dvc", ".git")


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, a relative SQLite file in it taken from the repository; else its mlflow.db."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if (file := _sqlite_file(uri)) and not file.is_absolute():
        uri = f"sqlite:///{repository() / file}"
    return uri


def open_store() -> Store:
    """Open the store that `tracking_uri` names, made first if it is a database file that is not there.

    MLflow's migrations race when several processes meet an empty database, so one goes first. May
    raise whatever MLflow, the database or the network raises.
    """
    uri = _prepared_uri()
    if file := _sqlite_file(uri):
        with only_one(file.with_name(f"{file.name}.lock"), wait=True):
            if not file.exists():
                _make_database(file)
            with sqlite3.connect(file) as database:
                database.execute("PRAGMA journal_mode=WAL")  # halves the time of a write
            database.close()
            return _open(uri, file.parent)
    return _open(uri, None if uri.startswith(("http://", "https://")) else repository())


def existing_store() -> Store | None:
    """The store as it is, with nothing made or restored; None where it, or its experiment, is not there."""
    uri = _prepared_uri()
    if (file := _sqlite_file(uri)) and not file.exists():
        return None
    client = _client(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    there = experiment is not None and experiment.lifecycle_stage == "active"
    return Store(client, experiment.experiment_id) if there else None


def _prepared_uri() -> str:
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for noisy in (
        "urllib3.connectionpool",
        "alembic",
        "mlflow.store.db.utils",
        "mlflow.store.artifact.artifact_repo",
    ):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    return tracking_uri()


def _make_database(file: Path) -> None:
    """Make MLflow's tables beside `file` and move them there: half of them would fit no later start."""
    with uncollected():
        import mlflow

        temporary = file.with_name(f".tmp-{file.name}")
        for left in (temporary, temporary.with_name(f"{temporary.name}-journal")):
            left.unlink(missing_ok=True)
        mlflow.MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)
        os.replace(temporary, file)


def _open(uri: str, folder: Path | None) -> Store:
    """`folder` is where artifacts go, in mlartifacts/, unless the server knows."""
    client, artifacts = _client(uri), folder and str(folder / "mlartifacts")
    return Store(client, named_experiment(client, EXPERIMENT, DESCRIPTION, artifacts))


def _client(uri: str) -> Any:
    with uncollected():
        import mlflow

        mlflow.set_tracking_uri(uri)  # the registry opens a client of its own, which asks for it
        client = mlflow.MlflowClient(uri, uri)
        client.get_experiment_by_name(EXPERIMENT)  # the first request imports what speaks to the store
        return client


def named_experiment(client: Any, name: str, description: str, artifacts: str | None) -> str:
    """The id of the experiment `name`, which is made or restored if need be.

    MLflow's pages open it as one of models that are trained, with its runs first.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            tags = {"mlflow.note.content": description, "mlflow.experimentKind": KIND}
            return client.create_experiment(name, artifact_location=artifacts, tags=tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
