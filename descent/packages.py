"""Run pip or uv with the index, certificates and proxy that pip is configured with, and no other setting.

uv reads neither pip.conf nor the PIP_ variables. This asks pip for its settings and hands those of the
connection to both, in the variables that each reads. The lock alone decides the versions, and .venv the
place. Standard library only: it runs before anything else is installed. Data come by the same settings.

    .venv/bin/python -I descent/packages.py uv pip sync requirements.txt
"""

import contextlib
import functools
import importlib.util
import itertools
import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping

PRECEDENCE = tuple(itertools.product(("global", "install"), ("global", "user", "site", "env")))
"""Sections and files of pip's configuration: a later one takes precedence, as in pip."""
CONNECTION = """
    index-url extra-index-url no-index find-links trusted-host proxy cert client-cert keyring-provider
    timeout default-timeout retries cache-dir no-cache-dir use-feature use-deprecated
""".split()
TRUE = ("1", "true", "t", "yes", "y", "on")


def pip_settings() -> dict[str, str]:
    """Merge the configuration files and variables of pip as `pip install` does; those of the connection."""
    files: dict[str, dict[str, str]] = {}
    for line in _pip_files().splitlines():
        name, colon, text = line[4:].partition(": ")
        if not line.startswith(" "):
            values = files.setdefault(line.rstrip(":"), {})
        elif line.startswith("    ") and colon:
            last, values[name] = name, text
        elif line.startswith("    "):  # a value of several lines
            values[last] += f" {name}"
    settings = {}
    for option in CONNECTION:
        found = [files.get(file, {}).get(f"{section}.{option}", "") for section, file in PRECEDENCE]
        for text in filter(str.strip, [*found, os.environ.get(_variable(option), "")]):
            settings[option] = text
    return settings


@functools.cache
def _pip_files() -> str:
    """Return pip's configuration files; `pip config list` does not say which of two values is used."""
    if not importlib.util.find_spec("pip"):
        return ""
    command = [sys.executable, "-m", "pip", "config", "debug"]
    whole = os.environ | {"PIP_QUIET": "0", "PIP_USER": "0"}  # else nothing, or the user's file alone
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=whole)
    if listed.returncode:
        sys.exit(listed.stdout.strip() or listed.returncode)  # pip says some errors here, others on stderr
    return listed.stdout


def _variable(option: str) -> str:
    return f"PIP_{option.replace('-', '_').upper()}"


def pip_variables(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Write pip's settings as the environment variables that pip reads."""
    variables = {_variable(option): text for option, text in pip.items()}
    variables |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if bundle := certificates(pip, environment) or environment.get("SSL_CERT_FILE"):
        variables["PIP_CERT"] = bundle  # the pip of Python 3.11 does not read SSL_CERT_FILE, later ones do
    return variables


def uv_variables(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Translate pip's settings into the environment variables that uv reads."""
    links = map(os.path.expanduser, pip.get("find-links", "").split())
    timeout = pip.get("timeout") or pip.get("default-timeout")
    variables = {
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": writable_cache(environment),
        "UV_NO_CACHE": "1" if pip.get("no-cache-dir", "").lower() in TRUE else None,
        "UV_DEFAULT_INDEX": pip.get("index-url"),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").split()),
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # pip takes the best version of all indexes
        "UV_FIND_LINKS": ",".join(links),
        "UV_INSECURE_HOST": " ".join(pip.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": str(math.ceil(float(timeout))) if timeout else None,
        "UV_HTTP_RETRIES": pip.get("retries"),
        "SSL_CLIENT_CERT": os.path.expanduser(pip.get("client-cert", "")),
    }
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        variables |= {name: proxy_url(pip), name.lower(): proxy_url(pip)}
    if bundle := certificates(pip, environment):
        variables["SSL_CERT_DIR" if os.path.isdir(bundle) else "SSL_CERT_FILE"] = bundle
    elif not environment.get("SSL_CERT_FILE") and not environment.get("SSL_CERT_DIR"):
        variables["UV_SYSTEM_CERTS"] = "1"
    return {name: text for name, text in variables.items() if text}


def proxy_url(pip: Mapping[str, str]) -> str | None:
    """Return the proxy that pip is configured with, None for those of the environment."""
    return re.sub(r"^(?!\w+://)", "http://", pip["proxy"]) if "proxy" in pip else None


def certificates(pip: Mapping[str, str], environment: Mapping[str, str]) -> str | None:
    """Return the certificates that pip trusts, None for those of the system."""
    bundle = pip.get("cert") or environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE")
    return os.path.expanduser(bundle) if bundle else None


def writable_cache(environment: Mapping[str, str]) -> str:
    """Return uv's cache folder, or one in .venv where the home directory cannot be written."""
    home = environment.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = environment.get("UV_CACHE_DIR") or os.path.join(home, "uv")
    with contextlib.suppress(OSError):
        os.makedirs(cache, exist_ok=True)
        if os.access(cache, os.W_OK):
            return cache
    return os.path.join(sys.prefix, "cache")


def main() -> None:
    """Replace this process by pip or uv."""
    tool, *arguments = sys.argv[1:]
    pip = pip_settings()
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    if tool == "pip":
        environment |= pip_variables(pip, os.environ)
    else:
        environment |= uv_variables(pip, os.environ)
        arguments += ["--no-index"] * (pip.get("no-index", "").lower() in TRUE)  # uv has no variable for it
    program = [os.path.join(os.path.dirname(sys.executable), "uv")]
    if tool == "pip":
        program = [sys.executable, "-m", "pip"]  # its script fails in a folder with a $ or a quotation mark
    try:
        os.execve(program[0], [*program, *arguments], environment)
    except OSError as error:  # a file system mounted with noexec
        sys.exit(f"{program[0]}: {error.strerror}; .venv may be a link to a folder where programs may run")


if __name__ == "__main__":
    main()
