"""Errors and addresses as they may be printed or logged: on one line, the cause first, without secrets."""

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

MAX_ERROR_CHARACTERS = 300
"""Characters of an error that a line repeats."""
SECRET_NAMES = re.compile(r"PASSWORD|PASSWD|TOKEN|SECRET|ACCESS_KEY|API_KEY|CREDENTIAL", re.IGNORECASE)
ACCOUNT = re.compile(r"^(?:[\w+.-]+://)?([^@/\s][^@\n]*)@[^@]*$")
SECRET_ASSIGNMENT = re.compile(r"(?i)((?:password|passwd|secret|token|api_?key)['\"]?\s*[:=]\s*)\S+")


class Unusable(ValueError):
    """A repository, revision, file or store cannot be used; one line that says why and what helps."""


def _secrets() -> Iterator[str]:
    """Yield every password that the environment holds: by the variable's name, or in front of an `@`."""
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
        for form in (secret, repr(secret)[1:-1]):  # an error may quote it, with its line ends as \\n
            shown = shown.replace(form, "***")
    shown = re.sub(r"(?<=://)(?:[^\n@]{0,100}@)+", "***@", shown)
    return re.sub(r"(://[^\s?#]*[?#])[^\s'\")]*", r"\1***", shown)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, the one that it replaced, and so on."""
    inner: BaseException | None = error
    for _ in range(20):  # it may be a ring
        if inner is not None:
            yield inner
            inner = inner.__cause__ or inner.__context__


def in_a_line(error: BaseException) -> str:
    """Describe an error on one line, the innermost cause first."""
    *_, inner = chain(error)
    outer, reason = str(error), str(inner)
    if isinstance(inner, OSError) and inner.strerror:
        reason = f"{inner.filename}: {inner.strerror}" if inner.filename else inner.strerror
        outer = reason if inner is error else outer
    cause = isinstance(inner, OSError) or not isinstance(inner, ValueError)  # else a value, without its name
    chosen = reason if cause and len(reason) > 8 and reason in outer else outer or reason
    line = " ".join(redacted(chosen[: 10 * MAX_ERROR_CHARACTERS]).split())
    return line[:MAX_ERROR_CHARACTERS] or type(error).__name__
