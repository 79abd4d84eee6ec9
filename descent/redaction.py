"""Addresses and errors without the secrets in them."""

import re


def public_url(url: str) -> str:
    """Return a URL without user, password, query and fragment."""
    return re.sub(r"(?<=://).*@", "", url).partition("?")[0].partition("#")[0]


def redacted(text: object) -> str:
    """Replace by stars what `public_url` removes from each URL in a text."""
    text = re.sub(r"(?<=://)\S*@", "***@", str(text))
    return re.sub(r"(://[^\s?#]*[?#])[^\s'\")]*", r"\1***", text)
