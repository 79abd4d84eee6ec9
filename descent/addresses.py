"""Paths and URLs as sources of data: which are accepted, and how they are shown without their secrets."""

import ipaddress
import re
from urllib.parse import urlsplit


def public_url(url: str) -> str:
    """Return a URL without user, password, query and fragment."""
    return re.sub(r"(?s)(?<=://).*@", "", url).partition("?")[0].partition("#")[0]


def source_error(source: str) -> str | None:
    """Return what is wrong with a dataset's source, a path or a URL; None if it can be one."""
    if "://" not in source:
        return None
    if not is_secure(source):
        return "a path, or an https URL (http on this machine alone)"
    if "@" in urlsplit(source).netloc:
        return "a URL without user and password: this file is committed; the variable DATA_SOURCE is not"
    return None


def is_secure(url: str) -> bool:
    """Return whether a URL is https, or http on this machine, where nobody listens on the way."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # no number, as after a password with a slash
    except ValueError:
        return False
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
