"""Waiting for another process or thread."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_for(condition: Callable[[], Found], seconds: float = 120) -> Found:
    """Return what `condition` gives as soon as it is true; fail after so many seconds.

    The limit ends a test that hangs. It is far above what a busy machine takes: no fact depends on it.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still false after {seconds} s"
        time.sleep(0.01)
    return found
