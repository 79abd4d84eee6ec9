"""A PostgreSQL of one's own in a folder, reached through a socket alone: no port, no password."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ACCOUNT = "postgres"
"""Debian's account, which the server runs as where we are root: it refuses to run as root itself."""
DATABASE = "mlflow"
LISTING = "SELECT datname FROM pg_database"


class Absent(RuntimeError):
    """PostgreSQL is not installed; one line that says how to."""


def programs() -> Path:
    """The folder with initdb and pg_ctl, the newest. Raises Absent if there is none."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = [*debian[::-1], *(Path(path).resolve().parent for path in [shutil.which("pg_ctl")] if path)]
    if not found:
        raise Absent("PostgreSQL is not installed: apt-get install postgresql")
    return found[0]


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run PostgreSQL on the data in `folder`, made if need be; the address of the database `mlflow`.

    Raises Absent, or subprocess.CalledProcessError with PostgreSQL's own words.
    """
    binaries = programs()
    with tempfile.TemporaryDirectory(prefix="postgres-") as sockets:  # a socket's path has 107 bytes at most
        for path in (folder, Path(sockets)):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o700)
            if os.geteuid() == 0:
                shutil.chown(path, ACCOUNT, ACCOUNT)
        if not (folder / "PG_VERSION").exists():
            _run([binaries / "initdb", "-D", folder, "--auth=trust", "-U", DATABASE, "--no-instructions"])
        if (folder / "postmaster.pid").exists():  # that of a start that was killed: the folder is ours alone
            with suppress(subprocess.CalledProcessError):  # it does not run any more
                _run([binaries / "pg_ctl", "-D", folder, "-w", "-m", "fast", "stop"])
        options = f"-k {sockets} -c listen_addresses='' -c unix_socket_permissions=0700"
        _run([binaries / "pg_ctl", "-D", folder, "-l", folder / "log", "-w", "-o", options, "start"])
        try:
            _make_database(binaries, sockets)
            yield f"postgresql+psycopg2://{DATABASE}@/{DATABASE}?host={sockets}"
        finally:
            _run([binaries / "pg_ctl", "-D", folder, "-w", "-m", "fast", "stop"])


def _make_database(binaries: Path, sockets: str) -> None:
    found = _run([binaries / "psql", "-h", sockets, "-U", DATABASE, "-d", "postgres", "-Atc", LISTING])
    if DATABASE not in found.split():
        _run([binaries / "createdb", "-h", sockets, "-U", DATABASE, DATABASE])


def _run(command: Sequence) -> str:
    """Run one of PostgreSQL's programs, as its account if we are root; what it printed."""
    account = pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else None
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run([str(part) for part in command], cwd="/", **output, **who)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command[0], done.stdout)
    return done.stdout
