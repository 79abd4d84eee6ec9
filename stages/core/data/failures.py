"""Why bytes did not come, in a few words, and whether another try is worth it."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3


class Unavailable(Exception):
    """The bytes did not come; the text is the reason, free of the secrets that a URL may hold."""


class NotThere(Unavailable):
    """The server answers, but not with this file."""


class Passing(Unavailable):
    """A reason that may pass: worth another try."""


MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
"""The statuses that say "not now": RFC 9110, RFC 6585 and RFC 8470."""


def expect_success(response: requests.Response) -> None:
    """Raise NotThere or Passing unless the status is 200."""
    if response.status_code != 200:
        kind = Passing if response.status_code in MAY_PASS else NotThere
        raise kind(f"{response.status_code} {response.reason}".strip())


@contextmanager
def reasons() -> Iterator[None]:
    """Turn what requests, urllib3 and the system raise in the block into Unavailable or Passing."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _reason(list(_causes(error))) from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(causes: list[BaseException]) -> Unavailable:
    def is_among(*kinds: type[Exception]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    words = _words(causes[-1])
    if is_among(urllib3.exceptions.NameResolutionError):
        return Unavailable("the host's name does not resolve")
    if is_among(ssl.SSLError):
        return Unavailable(f"no secure connection: {words}")
    if is_among(requests.TooManyRedirects, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
        return Unavailable(f"leads nowhere: {words}")
    if is_among(TimeoutError):
        return Passing("no answer in time")
    if is_among(http.client.IncompleteRead):
        return Passing("the body ended early")
    return Passing(f"no usable answer: {words}")


def _words(error: BaseException) -> str:
    """What the system says, never the text of an HTTP library, which may quote a URL with its secrets."""
    if type(error) is OSError and not error.strerror:
        return str(error)  # requests, of a file of certificates that is not there
    return getattr(error, "verify_message", None) or getattr(error, "strerror", None) or type(error).__name__
