"""An MLflow server for several people: PostgreSQL and artifacts in mlserver/, both behind one address.

MLFLOW_HOST and MLFLOW_PORT say where it listens (default: 127.0.0.1:5000). From another machine it
answers only under the names in MLFLOW_SERVER_ALLOWED_HOSTS. It asks for a password: that of the first
account, `admin`, is in mlserver/password, and others are added at /signup.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from stages.core import process
from stages.core.mirror import accounts, postgres
from stages.core.mirror.store import SETTINGS, repository

FOLDER = "mlserver"


def main() -> None:
    """`python -m stages.server`: runs until it is interrupted, then stops PostgreSQL as well."""
    folder = repository() / FOLDER
    folder.mkdir(exist_ok=True)
    try:
        with process.interruptible(), process.only_one(folder / "lock"):
            with postgres.running(folder / "postgres") as address:
                sys.exit(serve(address, folder))
    except (postgres.Absent, process.Busy, accounts.Lost) as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.cmd}: {' '.join(error.output.split())}")


def serve(database: str, folder: Path) -> int:
    """Run MLflow's server over `database`, handing artifacts through; its exit code."""
    settings = environment() | accounts.environment(folder) | {"MLFLOW_BACKEND_STORE_URI": database}
    print(INVITATION.format(url=address(settings), password=folder / "password"), flush=True)
    places = ["--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", *places]
    with subprocess.Popen(command, env=settings, umask=0o077, preexec_fn=process.end_with_parent) as server:
        try:
            return server.wait()
        finally:
            server.terminate()


INVITATION = f"""MLflow asks for a password. To log here:
  export MLFLOW_TRACKING_URI={{url}}
  export MLFLOW_TRACKING_USERNAME={accounts.ADMIN} MLFLOW_TRACKING_PASSWORD="$(cat '{{password}}')\""""


def address(settings: Mapping[str, str]) -> str:
    """Where the server answers."""
    return f"http://{settings.get('MLFLOW_HOST', '127.0.0.1')}:{settings.get('MLFLOW_PORT', '5000')}"


def environment() -> dict[str, str]:
    """The environment for MLflow's server: quiet, and not itself a client of another server."""
    return {**SETTINGS, **{key: value for key, value in os.environ.items() if key not in OF_A_CLIENT}}


OF_A_CLIENT = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)


if __name__ == "__main__":
    main()
