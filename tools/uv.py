"""Run uv with the index, certificates and proxy that pip is configured with.

uv reads neither pip.conf nor the PIP_ variables. This asks pip for its settings and hands them to uv in the
variables that uv reads. Standard library only: it runs before anything else is installed.

    .venv/bin/python -I tools/uv.py pip sync requirements.txt
"""

import ast
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping

SECTIONS = ("global", "install", ":env:")  # a later one takes precedence, as in pip
TRUE = ("1", "true", "t", "yes", "y", "on")


def pip_settings() -> dict[str, str]:
    """Merge the configuration files and variables of pip as `pip install` does."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout
    settings: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in settings and (text := str(ast.literal_eval(value))).strip():
            settings[section][option] = text
    return {option: text for section in SECTIONS for option, text in settings[section].items()}


def uv_variables(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Translate pip's settings into the environment variables that uv reads."""
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # pip takes the best version of all indexes
    if "index-url" in pip:
        variables["UV_DEFAULT_INDEX"] = pip["index-url"]
    if "extra-index-url" in pip:
        variables["UV_INDEX"] = " ".join(pip["extra-index-url"].split())
    if "find-links" in pip:
        variables["UV_FIND_LINKS"] = ",".join(os.path.expanduser(link) for link in pip["find-links"].split())
    if "trusted-host" in pip:
        variables["UV_INSECURE_HOST"] = " ".join(pip["trusted-host"].split())
    if "proxy" in pip:
        proxy = pip["proxy"] if "://" in pip["proxy"] else f"http://{pip['proxy']}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            variables |= {name: proxy, name.lower(): proxy}
    bundle = pip.get("cert") or environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE")
    if bundle:
        bundle = os.path.expanduser(bundle)
        variables["SSL_CERT_DIR" if os.path.isdir(bundle) else "SSL_CERT_FILE"] = bundle
    elif not environment.get("SSL_CERT_FILE") and not environment.get("SSL_CERT_DIR"):
        variables["UV_SYSTEM_CERTS"] = "1"
    if "client-cert" in pip:
        variables["SSL_CLIENT_CERT"] = os.path.expanduser(pip["client-cert"])
    if timeout := pip.get("timeout") or pip.get("default-timeout"):
        variables["UV_HTTP_TIMEOUT"] = timeout
    return variables


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
    """Replace this process by uv."""
    uv = os.path.join(os.path.dirname(sys.executable), "uv")
    environment = {name: value for name, value in os.environ.items() if name != "UV_SYSTEM_PYTHON"}
    pip = pip_settings()
    environment |= uv_variables(pip, environment) | {"UV_CACHE_DIR": writable_cache(environment)}
    no_index = pip.get("no-index", "").lower() in TRUE  # uv has no variable for it
    os.execve(uv, [uv, *sys.argv[1:], *["--no-index"] * no_index], environment)


if __name__ == "__main__":
    main()
