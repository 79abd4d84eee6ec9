"""Who may use the MLflow server: an account `admin`, its password made at random and kept in a file."""

import os
import secrets
from pathlib import Path

ADMIN = "admin"
SETTINGS = """[mlflow]
default_permission = EDIT
database_uri = sqlite:///{users}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""
"""For MLflow's app basic-auth: who has an account may log. Without the cache each request costs a hash."""


class Lost(RuntimeError):
    """There are accounts but no password to enter with; one line that says what to do."""


def environment(folder: Path) -> dict[str, str]:
    """What MLflow's server is to be told so that it asks for a password; its files in `folder` are made."""
    users, settings = folder / "users.db", folder / "auth.ini"
    key = password(folder, users)
    settings.write_text(SETTINGS.format(users=str(users.resolve()).replace("%", "%%")))
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": key,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),  # forms do not outlive the server
    }


def password(folder: Path, users: Path) -> str:
    """The password in the file `password`, which only its owner may read; made if need be. Raises Lost."""
    path = folder / "password"
    if not path.exists():
        if users.exists():
            raise Lost(f"{path}: is gone; `rm {users}` forgets all accounts, and a new one is made")
        temporary = folder / ".tmp-password"
        with open(temporary, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        os.replace(temporary, path)
    return path.read_text().strip()
