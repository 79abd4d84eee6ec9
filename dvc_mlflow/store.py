"""A tracking store, opened so that many processes may start at once and no file of others is changed."""

import json
import logging
import os
import re
import shlex
import shutil
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from dvc_mlflow import provenance
from dvc_mlflow.errors import Unusable, in_a_line, redacted
from dvc_mlflow.process import REQUEST_S, deadline, file_lock

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds; MLflow's own 120 would be a hang
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 2 processes instead of 10
    "PGCONNECT_TIMEOUT": "10",  # seconds; PostgreSQL's library waits for ever, and no signal ends it
    "GIT_PYTHON_REFRESH": "quiet",
}
"""The environment of MLflow's client and server, where the user's own does not say otherwise."""
UPLOAD_S = 600
"""Seconds that files may take."""
REQUESTS = 8
"""Requests that a server answers side by side."""
ABSOLUTE = ("//", "/:memory:", "/file:")
"""What follows `sqlite://` where the file is not taken from the repository."""
IN_MEMORY = re.compile(r"sqlite[^:]*://(/(file:)?:memory:.*)?")
"""Addresses of a database without a file."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""The beginnings of addresses that MLflow opens itself; a server does so for all others."""
PAGE = 1000
"""Runs that are asked for at once: an answer stays below a few megabytes."""

ACCEPTED = "accepted: http(s)://… of a server, sqlite:///file.db, postgresql://…, or nothing for mlflow.db"
REMEDIES = {
    "malformed|not a database|no such table|more than one head": (
        "`mv FILE FILE.damaged`, then `dvc-mlflow sync` makes it anew"
    ),
    "database is locked": "`fuser FILE` shows which process writes it; try again when that has ended",
    "unrecognized token": "no path with both kinds of quotes can be used: rename the folder",
    "readonly database|unable to open database": "`ls -ld FILE*` shows who may write it, and its folder",
    "No module named 'psycopg'": "`pip install 'psycopg[binary]'`, or postgresql+psycopg2:// in the address",
    r"No module named '(\w+)'": r"`pip install` the driver \1 (MySQLdb: mysqlclient)",
    "CERTIFICATE_VERIFY": "MLFLOW_TRACKING_SERVER_CERT_PATH names the certificates to trust",
    "connect timeout to|max_retries|backoff_factor": "`env | grep MLFLOW_HTTP_REQUEST` shows it",
    r"refused|not known|timed? ?out|no answer|aborted|reset|redirects|code 407|\[SSL|Invalid .*(url|URL)": (
        "check server, address and HTTPS_PROXY"
    ),
    "Host header": "the server accepts other names of itself with --allowed-hosts",
    "error code 40[13]": "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD log in",
    "ENDPOINT_NOT_FOUND|logged-models failed .* 404": "the server has an older MLflow: update it",
    "error code 404|valid JSON|INTERNAL_ERROR: Response": "another service than MLflow answers there",
    "5[0-9][0-9] error": "its log says why",
}
"""What helps, by what an error says."""


class _Client:
    """MLflow's client, with a deadline for each request; SIGALRM serves the main thread alone."""

    def __init__(self, client: Any, what: str):
        self._client, self._what = client, what

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def request(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return method(*arguments, **options)
            with deadline(self._what, UPLOAD_S if "artifact" in name else REQUEST_S):
                return method(*arguments, **options)

        return request


@dataclass
class Store:
    """An open tracking store.

    Its client wraps MlflowClient, whose import takes two seconds, with a deadline per request.
    """

    client: Any
    uri: str
    artifacts: Path
    """The folder where new experiments keep artifacts, unless a server decides."""
    experiments: dict[str, str] = field(default_factory=dict)

    @property
    def remote(self) -> bool:
        """True if requests go over HTTP, which answers several at once."""
        return self.uri.startswith(("http://", "https://"))

    def experiment(self, name: str) -> str:
        """Return the id of the experiment `name`, which is made or restored if need be."""
        from mlflow.exceptions import MlflowException

        if name not in self.experiments:
            found = self.client.get_experiment_by_name(name)
            if found is None:
                with suppress(MlflowException):  # another process made it meanwhile
                    tags = {"mlflow.experimentKind": "custom_model_development"}  # runs, not prompts
                    place = None if self.remote else self.artifacts.as_uri()
                    self.client.create_experiment(name, artifact_location=place, tags=tags)
                found = self.client.get_experiment_by_name(name)
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            self.experiments[name] = found.experiment_id
        return self.experiments[name]

    def runs(self, experiments: Sequence[str], condition: str = "") -> list[Any]:
        """Return all active runs of the experiments that MLflow's filter finds, the newest first."""
        from mlflow.utils import get_results_from_paginated_fn

        def page(number: int, token: str | None) -> Any:
            return self.client.search_runs(experiments, condition, max_results=number, page_token=token)

        return list(get_results_from_paginated_fn(page, PAGE)) if experiments else []

    def each(self, calls: Iterable[Callable[[], Any]]) -> None:
        """Make calls, several at once with a server, one after the other with a database."""
        if not self.remote:
            for call in calls:
                call()
            return
        pool = ThreadPoolExecutor(REQUESTS)
        try:
            with self.deadline() as progress:
                for one in as_completed([pool.submit(call) for call in calls]):
                    one.result()  # the first error ends the others
                    progress()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def deadline(self, seconds: float = REQUEST_S) -> Any:
        """Limit what is asked of this store otherwise than through its client."""
        return deadline(f"MLflow at {redacted(self.uri)}", seconds)


def prepare_environment() -> None:
    """Set what MLflow reads from the environment; for a process without other threads."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("LOGNAME", provenance.user())  # DVC fails for an account without a name
    warnings.formatwarning = lambda message, *_: f"warning: {redacted(' '.join(str(message).split()))}\n"
    stores = ("mlflow.store.db.utils", "mlflow.store.artifact", "mlflow.store.model_registry")
    for noisy in ("urllib3.connectionpool", "alembic", *stores):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # tracebacks, which the one line replaces
    warnings.filterwarnings("ignore", "flock not supported")


def tracking_uri(root: Path, given: str | None = None) -> str:
    """Return the address in use: `given`, MLFLOW_TRACKING_URI, or mlflow.db in the repository `root`.

    It is read as SQLAlchemy and MLflow read it; a relative SQLite file is taken from the repository.
    """
    uri = (given or os.environ.get("MLFLOW_TRACKING_URI") or "").strip() or "sqlite:///mlflow.db"
    scheme, colon, rest = uri.partition("://")
    if not colon:
        return uri
    scheme = scheme.lower()
    relative = scheme.startswith("sqlite") and rest[:1] == "/" and not rest.startswith(ABSOLUTE)
    return f"{scheme}:///{quote(str(root))}{rest}" if relative else scheme + colon + rest


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite address, None for any other."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    file = None
    with suppress(ArgumentError, ValueError):  # which MLflow raises again
        file = make_url(uri).database if uri.startswith("sqlite") else None
    return Path(file) if file and not file.startswith((":memory:", "file:")) else None


def open_store(root: Path, uri: str, create: bool = True) -> Store:
    """Open the tracking store of the repository `root` at an address that `tracking_uri` has read.

    `create` makes a database that is not there. Raises whatever MLflow, the database or the network does, and
    Unusable for a database that is not there or cannot be used with this MLflow.
    """
    missing = Unusable(f"{redacted(uri)}: there is no database; `dvc-mlflow sync` makes it")
    file = sqlite_file(uri)
    if IN_MEMORY.fullmatch(uri):
        raise Unusable(f"{redacted(uri)}: a database in memory ends with the command; {ACCEPTED}")
    if file and file.exists() and not file.is_file():
        raise Unusable(f"{redacted(uri)}: {file} is not a file; {ACCEPTED}")
    if file and _is_missing(file):
        if not create:
            raise missing
        with file_lock(file.with_name(f"{file.name}.lock")):
            if _is_missing(file):
                make_database(file)
    artifacts = (file.parent if file else root) / "mlartifacts"
    if file == root / "mlflow.db" and create:
        follow_move(file, artifacts)
    import mlflow  # noqa: F401  (takes seconds that the deadline below is not for)

    what = f"MLflow at {redacted(uri)}"
    try:
        with deadline(what):
            if uri.startswith(DATABASES) and not _has_schema(uri, file) and not create:
                raise missing
            client = _Client(_connect(uri), what)
        found = client.get_experiment_by_name("Default")  # the first request imports what speaks to the store
        if found and found.name != "Default":
            raise Unusable(f"another service than MLflow answers at {redacted(uri)}")
        return Store(client, uri, artifacts)
    except Exception as error:
        if re.search("filesystem tracking backend|unsupported URI|SQLAlchemy URL|load plugin", str(error)):
            text = f"{redacted(uri)}: is not the address of a server or database; {ACCEPTED}"
            raise Unusable(text) from None
        raise


def _is_missing(file: Path) -> bool:
    return not file.exists() or file.stat().st_size == 0


def _connect(uri: str) -> Any:
    import mlflow

    mlflow.set_tracking_uri(uri)  # artifacts and registry open clients of their own, which ask for it
    return mlflow.MlflowClient(uri, uri)


def make_database(file: Path) -> None:
    """Make MLflow's tables in a folder beside `file`, and move them there when they are complete.

    The write-ahead log halves the time of a write. Some file systems cannot share memory, which it needs.
    """
    file = file.resolve()  # a link is followed, not replaced
    folder = file.with_name(f"{file.name}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    temporary = folder / "made.db"
    temporary.touch()  # as the umask says; what SQLite makes is never writable for a group
    sqlite3.connect(temporary).close()  # where SQLite can open no file, MLflow would try for two minutes
    with deadline(f"making {file}", 120):
        _connect(f"sqlite:///{quote(str(temporary))}").search_experiments(max_results=1)
    with suppress(sqlite3.Error), closing(sqlite3.connect(folder / "mlflow.db")) as probe:
        probe.execute("PRAGMA journal_mode=WAL")
        probe.execute("CREATE TABLE probe (number)")
        with closing(sqlite3.connect(temporary)) as database:
            database.execute("PRAGMA journal_mode=WAL")
    for left in ("-journal", "-wal", "-shm"):  # of a database that was removed or moved away
        file.with_name(file.name + left).unlink(missing_ok=True)
    os.replace(temporary, file)
    shutil.rmtree(folder)


def follow_move(file: Path, artifacts: Path) -> None:
    """Let the repository's own database find its artifacts after the folder was moved or copied."""
    columns = "experiments.artifact_location runs.artifact_uri logged_models.artifact_location"
    columns += " model_versions.source model_versions.storage_location"
    with closing(sqlite3.connect(file, timeout=20)) as database, suppress(sqlite3.Error):
        # an error: no database of MLflow's, as opening it will say
        for (place,) in database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall():
            local = place and place.endswith("/mlartifacts") and ":" not in place.removeprefix("file:")
            if local and Path(unquote(urlsplit(place).path)) != artifacts:
                for table, column in (one.split(".") for one in columns.split()):
                    change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
                    database.execute(change, (place, artifacts.as_uri()))
        database.commit()


def _has_schema(uri: str, file: Path | None) -> bool:
    """Return whether a database has MLflow's tables; False if it is empty.

    MLflow itself makes its tables among those of another program, and migrates those of an older MLflow,
    which others may use.

    Raises:
        Unusable: The tables are those of another program or another MLflow.
    """
    import sqlalchemy
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine(uri)
    try:
        tables = set(sqlalchemy.inspect(engine).get_table_names())
        if not tables:
            return False
        version = utils._get_schema_version(engine)
    finally:
        engine.dispose()
    head = utils._get_latest_schema_revision()
    if version == head:
        return True
    shown, some = redacted(uri), ", ".join(sorted(tables)[:3])
    if not {"experiments", "runs"} <= tables:
        raise Unusable(f"the database is of another program: {shown} has {some}; {ACCEPTED}")
    versions = Path(utils.__file__).parents[1] / "db_migrations/versions"
    if version and any(path.name.startswith(version) for path in versions.glob("*.py")):
        typed = shlex.quote(uri) if shown == uri else '"$MLFLOW_TRACKING_URI"'
        raise Unusable(f"the database is of an older MLflow: {shown}; `mlflow db upgrade {typed}`")
    old, new = (shlex.quote(f"{file}{end}") for end in ("", ".newer"))
    aside = f", or `mv {old} {new}`, then `dvc-mlflow sync`" if file else ""
    raise Unusable(f"the database is of a newer MLflow: {shown}; `pip install -U mlflow`{aside}")


def described(error: BaseException, uri: str) -> str:
    """Describe an error of a store on one line: the cause, where, and what helps."""
    if isinstance(error, Unusable):
        return str(error)
    with suppress(ValueError, KeyError, AttributeError, TypeError):
        error = type(error)(json.loads(str(error))["message"])
    line = in_a_line(error)
    if not uri:
        return line
    if redacted(uri) not in line:
        line += f" (MLflow at {redacted(uri)})"
    file = sqlite_file(uri)
    for cause, remedy in REMEDIES.items():
        if (found := re.search(cause, line)) and (file or "FILE" not in remedy):
            return f"{line}; {found.expand(remedy).replace('FILE', shlex.quote(str(file)))}"
    return line
