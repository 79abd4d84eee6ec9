"""A tracking store, opened so that many processes may start at once and no file of others is changed."""

import json
import logging
import os
import re
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dvc_mlflow import provenance
from dvc_mlflow.lock import Unusable
from dvc_mlflow.process import conversation, only_one, umask
from dvc_mlflow.redaction import in_a_line, redacted

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds; MLflow's own 120 would be a hang
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 2 processes instead of 10
    "GIT_PYTHON_REFRESH": "quiet",
}
"""The environment of MLflow's client and server, where the user's own does not say otherwise."""
KIND = "custom_model_development"
"""MLflow's word (mlflow.experimentKind) for experiments with runs, not prompts."""
PAGE = 1000
"""Runs that are asked for at once: an answer stays below a few megabytes."""


@dataclass
class Store:
    """An open tracking store. The client's type is MlflowClient, whose import takes two seconds."""

    client: Any
    uri: str
    artifacts: str | None
    """Where new experiments keep artifacts; None where the server decides."""
    experiments: dict[str, str] = field(default_factory=dict)

    @property
    def remote(self) -> bool:
        """Whether requests go over HTTP, which answers several at once."""
        return self.uri.startswith(("http://", "https://"))

    def find(self, name: str) -> Any | None:
        """Return the experiment `name`, None if it is missing."""
        with self.asking():
            return self.client.get_experiment_by_name(name)

    def experiment(self, name: str) -> str:
        """Return the id of the experiment `name`, which is made or restored if need be."""
        from mlflow.exceptions import MlflowException

        if name not in self.experiments:
            with self.asking():
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    with suppress(MlflowException):  # another process made it meanwhile
                        tags = {"mlflow.experimentKind": KIND}
                        self.client.create_experiment(name, artifact_location=self.artifacts, tags=tags)
                    found = self.client.get_experiment_by_name(name)
                if found.lifecycle_stage == "deleted":
                    self.client.restore_experiment(found.experiment_id)
            self.experiments[name] = found.experiment_id
        return self.experiments[name]

    def runs(self, experiments: list[str], condition: str = "") -> list[Any]:
        """Return all active runs of the experiments that MLflow's filter finds, the newest first."""
        found: list[Any] = []
        token = None
        with self.asking() as progress:
            while experiments:
                page = self.client.search_runs(experiments, condition, max_results=PAGE, page_token=token)
                found, token = [*found, *page], page.token
                progress()
                if not token:
                    break
        return found

    def asking(self, seconds: float = 45, quiet: bool = False) -> Any:
        """Limit a conversation with this store."""
        return conversation(f"MLflow at {redacted(self.uri)}", seconds, quiet)


def prepare_environment() -> None:
    """Set what MLflow reads from the environment; for a process without other threads."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("LOGNAME", provenance.user())  # DVC fails for an account without a name
    for noisy in ("urllib3.connectionpool", "alembic", "mlflow.store.db.utils", "mlflow.store.artifact"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # tracebacks, which the one line replaces


def tracking_uri(root: Path, given: str | None = None) -> str:
    """Return the address in use: `given`, MLFLOW_TRACKING_URI, or mlflow.db in the repository `root`.

    It is read as SQLAlchemy and MLflow read it; a relative SQLite file is taken from the repository.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    relative = uri.startswith("sqlite:///") and not uri.startswith(("sqlite:////", "sqlite:///:memory:"))
    return f"sqlite:///{root}/{uri.removeprefix('sqlite:///')}" if relative else uri


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite address, None for any other."""
    from sqlalchemy.engine import make_url

    if not uri.startswith("sqlite"):
        return None
    file = make_url(uri).database
    return Path(file) if file and file != ":memory:" else None


def open_store(root: Path, given: str | None = None, create: bool = True) -> Store | None:
    """Open the tracking store of the repository `root`.

    Args:
        root: The user's repository.
        given: The address, instead of MLFLOW_TRACKING_URI.
        create: Make a database file that is not there; else return None for it.

    Raises:
        Unusable: The database cannot be used with this MLflow.
        Exception: Whatever MLflow, the database or the network raises.
    """
    uri = tracking_uri(root, given)
    own = root / "mlflow.db"
    file = own if uri == f"sqlite:///{own}" else sqlite_file(uri)
    ours = file == own
    if file and (not file.exists() or file.stat().st_size == 0):
        if not create:
            return None
        with only_one(file.with_name(f"{file.name}.lock")):
            if not file.exists() or file.stat().st_size == 0:
                _make_database(file)
    if ours and re.search("[?%#]", str(own)):  # which mean something else in an address
        os.chdir(root)
        uri = "sqlite:///mlflow.db"
    artifacts = (
        None if uri.startswith(("http:", "https:")) else (file.parent if file else root) / "mlartifacts"
    )
    if ours and create and artifacts:
        _follow_move(own, artifacts)
    try:
        store = Store(_client(uri), uri, artifacts.as_uri() if artifacts else None)
        store.find("Default")  # the first request imports what speaks to the store
    except Exception as error:
        if explained := _explained(error, uri):
            raise explained from None
        raise
    return store


def _client(uri: str) -> Any:
    import mlflow

    mlflow.set_tracking_uri(uri)  # artifacts and registry open clients of their own, which ask for it
    return mlflow.MlflowClient(uri, uri)


def _make_database(file: Path) -> None:
    """Make MLflow's tables beside `file` and move them there: half of them would fit no later start."""
    temporary = file.with_name(f".tmp-{file.name}")
    for left in ("", "-journal", "-wal", "-shm"):
        temporary.with_name(temporary.name + left).unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.getcwd()
    os.chdir(file.parent)  # the path may hold a question mark
    try:
        with conversation(f"making {file}", 120, quiet=True):
            _client(f"sqlite:///{temporary.name}").search_experiments(max_results=1)
    finally:
        os.chdir(folder)
    _use_wal(temporary)
    for left in ("-journal", "-wal", "-shm"):  # of a database that was removed or moved away
        file.with_name(file.name + left).unlink(missing_ok=True)
    temporary.chmod(0o666 & ~umask())  # SQLite's own files are never writable for a group
    os.replace(temporary, file)


def _use_wal(file: Path) -> None:
    """Switch to the write-ahead log, which halves the time of a write, where the file system allows it."""
    try:
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA journal_mode=WAL")
        with closing(sqlite3.connect(file)) as database:
            database.execute("SELECT count(*) FROM experiments").fetchall()
    except sqlite3.Error:
        content = bytearray(file.read_bytes())
        content[18:20] = b"\x01\x01"  # the header's read and write versions: a journal that is rolled back
        file.write_bytes(content)
    for left in ("-wal", "-shm"):
        file.with_name(file.name + left).unlink(missing_ok=True)


COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def _follow_move(file: Path, artifacts: Path) -> None:
    """Let the repository's own database find its artifacts after the folder was moved or copied."""
    with closing(sqlite3.connect(file, timeout=20)) as database:
        with suppress(sqlite3.Error):  # no database of MLflow's: opening it says so
            places = [row[0] for row in database.execute("SELECT artifact_location FROM experiments")]
            for place in {one for one in places if one and one.endswith("/mlartifacts")}:
                if Path(unquote(urlsplit(place).path)) == artifacts or ":" in place.removeprefix("file:"):
                    continue
                for table, column in COLUMNS:
                    database.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE substr({column}, 1, ?) = ?",
                        (artifacts.as_uri(), len(place) + 1, len(place), place),
                    )
            database.commit()


def _explained(error: Exception, uri: str) -> Unusable | None:
    """Return a remedy that works where the database is of another MLflow."""
    found = re.search(r"found version (\w*)", str(error))
    file = sqlite_file(uri)
    if not found or "database schema" not in str(error):
        return None
    import mlflow

    versions = Path(mlflow.__file__).parent / "store/db_migrations/versions"
    if any(path.name.startswith(found[1]) for path in versions.glob("*.py")):
        return Unusable(
            f"the database is of an older MLflow: {redacted(uri)}; `mlflow db upgrade {redacted(uri)}`"
        )
    aside = f", or `mv {file} {file}.newer`, then `dvc-mlflow sync`" if file else ""
    return Unusable(f"the database is of a newer MLflow: {redacted(uri)}; `pip install -U mlflow`{aside}")


def described(error: BaseException, uri: str) -> str:
    """Describe an error of a store on one line: the cause, where, and what helps."""
    if isinstance(error, Unusable):
        return str(error)
    with suppress(ValueError, AttributeError):
        error = type(error)(json.loads(str(error))["message"])
    return f"{in_a_line(error)} (MLflow at {redacted(uri)})"
