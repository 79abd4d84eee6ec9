"""Paths and URLs as sources of data: which are accepted, and how they are shown without their secrets."""

import ipaddress
import re
from urllib.parse import urlsplit

SOURCE = "a path, or an https URL (http on this machine alone)"
PUBLIC_SOURCE = f"{SOURCE}, without user and password, which the variable DATA_SOURCE may have"


def public_url(url: str) -> str:
    """Return a URL without user, password, query and fragment."""
    return re.sub(r"(?s)(?<=://).*@", "", url).partition("?")[0].partition("#")[0]


def is_source(source: str) -> bool:
    """Return whether a dataset can be read from this: a path, or a URL that is secure."""
    return "://" not in source or is_secure(source)


def is_public_source(source: str) -> bool:
    """Return whether this is a source that may be committed: it has no user and no password."""
    return is_source(source) and ("://" not in source or "@" not in urlsplit(source).netloc)


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
