"""Processes: their fingerprints, locks between them, signals, and a deadline for what a server may take."""

import os
import resource
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

REQUEST_S = 45
"""Seconds after which a tracking store that has not answered is given up."""
NOTICE_S = 8
"""Seconds of silence after which the user reads what is waited for."""
END_WITHIN_S = 8
"""Seconds from a signal to the end of the process: ten after SIGTERM, many systems send SIGKILL."""
ANSWER_MB = 512
"""Memory that one answer may take."""


class Unanswered(BaseException):
    """The tracking store broke a limit. No library may catch this as its own error."""


class Stopped(SystemExit):
    """A signal asked this process to stop; its code is 128 plus the signal's number."""


def open_standard_streams() -> None:
    """Open closed standard streams on the null device, or a database would get what is printed."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)


def fingerprint(number: int | None = None) -> str:
    """Describe a process uniquely: boot, PID namespace, process id, and its start in ticks since boot.

    None of these changes when the clock is set or the host is renamed.
    """
    number = number or os.getpid()
    if sys.platform == "linux":
        start = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    else:
        start = f"{psutil.Process(number).create_time():.0f}"
    return f"{_machine()}/{number}@{start}"


def _machine() -> str:
    """Name the running kernel and the PID namespace."""
    if sys.platform == "linux":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    else:
        return f"{uuid.getnode():x}/{psutil.boot_time():.0f}"


def has_ended(claim: str) -> bool:
    """Return whether the process described by `claim` has certainly ended; False for another machine's."""
    machine, _, process = claim.rpartition("/")
    number = process.partition("@")[0]
    if not number.isdigit() or machine != _machine():
        return False
    try:
        return (
            fingerprint(int(number)) != claim or psutil.Process(int(number)).status() == psutil.STATUS_ZOMBIE
        )
    except (psutil.Error, OSError):
        return True


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold a lock on the file `path` for the block; wait for another holder, and say so after a while."""
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=NOTICE_S)
    except Timeout:
        print(f"waiting for another process, which holds {path}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def end_with_parent() -> None:
    """Let this process, a child that begins, end when its parent dies (Linux; nothing elsewhere)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does. Signals that were ignored stay ignored.

    The code that is interrupted may catch `Stopped`, as destructors do, or turn it into another exception,
    as C++ modules do that are being imported: the block ends with Stopped all the same, and the process
    after `END_WITHIN_S`.
    """
    stopped: list[Stopped] = []

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.append(Stopped(128 + number))
        for later in before:  # a closed terminal sends two: the second must not interrupt the clean-up
            signal.signal(later, signal.SIG_IGN)
        sys.unraisablehook = lambda _: None  # a destructor's traceback
        last = threading.Timer(END_WITHIN_S, os._exit, [stopped[0].code])
        last.daemon = True
        last.start()
        raise stopped[0]

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if stopped:
            raise stopped[0] from None


def waiting(notice: str, seconds: float) -> Iterator[None]:
    """Yield again and again for `seconds` at most; print `notice` after NOTICE_S."""
    begin, noticed = time.monotonic(), False
    while (waited := time.monotonic() - begin) < seconds:
        if waited > NOTICE_S and not noticed:
            noticed = True
            print(notice, file=sys.stderr, flush=True)
        yield
        time.sleep(0.05)


@contextmanager
def deadline(what: str, seconds: float = REQUEST_S) -> Iterator[Callable[[], None]]:
    """Limit the block's time and memory; yield a function that starts the time anew after progress.

    A timer in the main thread raises Unanswered, whatever the block waits in: a socket, a retry's pause,
    a database. `what` is waited for, in a notice after a few seconds and in the error.
    """
    begin, noticed, memory = time.monotonic(), False, _memory_mb()

    def tick(number: int, frame: FrameType | None) -> None:
        nonlocal noticed
        waited = time.monotonic() - begin
        if waited > seconds:
            raise Unanswered(f"no answer after {seconds:.0f} s: {what}")
        if _memory_mb() - memory > ANSWER_MB:
            raise Unanswered(f"the answer is larger than {ANSWER_MB} MB: {what}")
        if waited > NOTICE_S and not noticed:
            noticed = True
            print(f"waiting for an answer: {what}", file=sys.stderr, flush=True)

    def progress() -> None:
        nonlocal begin
        begin = time.monotonic()

    before = signal.signal(signal.SIGALRM, tick)
    timer = signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        yield progress
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def _memory_mb() -> float:
    """Return the largest memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
