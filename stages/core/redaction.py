"""Addresses and errors as they may be shown: without the secrets that they or the environment hold."""

import os
import re

SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables of the environment whose values are never shown, wherever they turn up."""


def shown(url: str) -> str:
    """A URL without user, password, query and fragment."""
    return re.sub(r"(?<=://).*@", "", url).partition("?")[0].partition("#")[0]


def redacted(text: object) -> str:
    """A text with stars in place of what `shown` leaves out of each URL in it, and of SECRETS."""
    text = re.sub(r"(?<=://)\S*@", "***@", str(text))
    text = re.sub(r"(://[^\s?#]*[?#])[^\s'\")]*", r"\1***", text)
    for name in SECRETS:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return text
