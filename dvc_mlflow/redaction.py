"""Addresses and errors as they may be printed or logged: on one line, the cause first, without secrets."""

import os
import re
from collections.abc import Iterator

LONGEST = 300
"""Characters of an error that a line repeats."""
SECRET_NAMES = re.compile(r"PASSWORD|PASSWD|TOKEN|SECRET|ACCESS_KEY|API_KEY|CREDENTIAL", re.IGNORECASE)
ACCOUNT = re.compile(r"^(?:[\w+.-]+://)?([^@/\s][^@\n]*)@[^@]*$")


def _secrets() -> Iterator[str]:
    """Yield every password that the environment holds: by the variable's name, or in front of an `@`."""
    from urllib.parse import unquote

    for name, value in os.environ.items():
        if SECRET_NAMES.search(name) and len(value) > 3:
            yield value
        if ("URI" in name or "URL" in name or "ADDRESS" in name) and (found := ACCOUNT.match(value)):
            password = found[1].partition(":")[2]
            yield from {password, unquote(password)} - {""}


def redacted(text: object) -> str:
    """Put stars in place of passwords, of what precedes `@` in an address, and of its query."""
    shown = str(text)
    for secret in sorted(_secrets(), key=len, reverse=True):
        shown = shown.replace(secret, "***")
    shown = re.sub(r"(?<=://)(?:[^\n@]{0,100}@)+", "***@", shown)
    return re.sub(r"(://[^\s?#]*[?#])[^\s'\")]*", r"\1***", shown)


def in_a_line(error: BaseException) -> str:
    """Describe an error on one line, the innermost cause first."""
    cause: BaseException | None = error
    inner = error
    for _ in range(20):  # a chain may be a ring
        if cause is not None:
            inner, cause = cause, cause.__cause__ or cause.__context__
    reason = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner)
    outer = str(error)
    if isinstance(inner, OSError) and inner.filename:
        reason = f"{inner.filename}: {reason}"
    lines = [reason] if reason in outer and inner is not error and len(reason) > 8 else [outer or reason]
    text = redacted(" ".join(lines[0][: 10 * LONGEST].split())) or type(error).__name__
    return text[:LONGEST]
