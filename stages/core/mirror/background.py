"""Logging beside a training that must not notice: a thread that may be slow, fail or never answer."""

import queue
import sys
import threading
from collections.abc import Callable

from stages.core.redaction import redacted

LONGEST = 300
"""As many characters of an error as a warning repeats."""


class Unreachable(TimeoutError):
    """The tracking store has not answered in time."""


class BackgroundLogger:
    """Work done one piece after the other in a thread of its own, until a piece fails; then no more is.

    A failure is told on stderr, once, and never raised: whoever hands in work can go on without it.
    """

    def __init__(self, remedy: str):
        """`remedy` ends the warning, what to do about work that was not done; it may change meanwhile."""
        self.remedy = remedy
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._failed = threading.Event()
        self._ended = threading.Event()  # a join that a signal interrupts takes the thread for ended, in 3.11
        threading.Thread(target=self._run, name="tracking", daemon=True).start()

    def do(self, piece: Callable[[], None]) -> None:
        """Have `piece` called when all that was handed in before it is done."""
        self._work.put(piece)

    def close(self, patience: float) -> bool:
        """Wait until all is done, at most `patience` seconds; whether it was. Nothing is done afterwards."""
        self._work.put(None)
        if not self._ended.wait(patience):
            self._fail(Unreachable(f"not done after {patience:.0f} seconds"))
        return not self._failed.is_set()

    def _run(self) -> None:
        while (piece := self._work.get()) and not self._failed.is_set():
            try:
                piece()
            except Exception as error:  # MLflow, its database and the network raise without limit
                self._fail(error)
        self._ended.set()

    def _fail(self, error: Exception) -> None:
        if not self._failed.is_set():
            self._failed.set()
            warning = f"warning: not logged to MLflow: {in_a_line(error)}; {self.remedy}"
            print(warning, file=sys.stderr, flush=True)


def in_a_line(error: Exception) -> str:
    """What kind of error it is and what it says, on one line, without credentials."""
    reason = " ".join(redacted(error).split())
    return f"{type(error).__name__}: {reason}"[:LONGEST]
