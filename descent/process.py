"""Processes: signals, deadlines, exclusive writers, progress bars."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from descent.errors import UserError

if TYPE_CHECKING:
    from tqdm import tqdm

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: the signal that the kernel sends to this process when its parent dies."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_WITHIN_S = 8
"""Seconds from a signal to the end of the process: ten after SIGTERM, many systems send SIGKILL."""

NOTICE_S = 8
"""Seconds of silence after which the user reads what is waited for."""


class _Late(BaseException):
    """A deadline has passed. No library may catch this as its own error."""


@contextmanager
def deadline(what: str, seconds: float) -> Iterator[None]:
    """Raise TimeoutError where a block of the main thread takes longer; say after a while that it waits."""
    begin, noticed = time.monotonic(), False

    def ring(number: int, frame) -> None:
        nonlocal noticed
        if time.monotonic() - begin > seconds:
            raise _Late
        if not noticed:
            print(f"waiting for {what}, {seconds:g} s at most", file=sys.stderr, flush=True)
        noticed = True

    handler = signal.signal(signal.SIGALRM, ring)
    timer = signal.setitimer(signal.ITIMER_REAL, min(seconds, NOTICE_S) + 0.01, 1)
    try:
        yield
    except _Late:
        raise TimeoutError(f"not complete after {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def end_with_parent() -> None:
    """Ask the kernel to send SIGTERM to this process when its parent dies (Linux; nothing elsewhere).

    Without it a killed dvc leaves its stage running, and the next `dvc repro` starts a second one.
    """
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the kernel was asked
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the block, and then the process, with 128 plus the signal's number.

    The block's context managers exit normally; threads are not waited for: one that computes for a minute
    more would keep a cancelled training alive. A signal that was ignored stays ignored, as under nohup.

    The code that is interrupted may catch the SystemExit, or turn it into another exception, as C++ modules
    do that are being imported. However the block then ends, so does the process; after `END_WITHIN_S` it
    ends in any case.
    """
    handlers = {n: signal.getsignal(n) for n in STOP_SIGNALS if signal.getsignal(n) is not signal.SIG_IGN}
    stopped: list[int] = []

    def stop(number: int, frame) -> None:
        stopped.append(128 + number)
        for later in STOP_SIGNALS:  # none may interrupt the clean-up: a closed terminal sends two of them
            signal.signal(later, signal.SIG_IGN)
        end = threading.Timer(END_WITHIN_S, os._exit, [128 + number])
        end.daemon = True
        end.start()
        sys.unraisablehook = lambda _: None  # a destructor's traceback
        raise SystemExit(128 + number)

    for number in handlers:
        signal.signal(number, stop)
    try:
        yield
    except BaseException:
        if not stopped:
            raise
    finally:
        if stopped:
            leave(stopped[0])
        for number, handler in handlers.items():
            signal.signal(number, handler)


def leave(code: int = 0) -> NoReturn:
    """End this process at once, with its output written.

    A normal exit would first take two seconds to tear TensorFlow down. Call this when all files are
    closed and no thread is to be waited for.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:  # None where the process was started without it
                stream.flush()
        except OSError:  # a terminal that was closed, a full disk
            code = code or 1
    os._exit(code)


@contextmanager
def exclusive_writer(folder: Path | str) -> Iterator[None]:
    """Hold the right to write `folder` for the block; it is released however the process ends."""
    from filelock import FileLock, Timeout

    folder = Path(folder)
    path = folder.with_name(f".{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)  # where there is no flock, filelock uses a marker file
    try:
        lock.acquire()
    except Timeout:
        holder = path.read_text(errors="replace").partition("\n")[0] or "unknown"
        raise UserError(f"{folder}: process {holder} is writing it; wait until it ends, or end it") from None
    try:
        if path.read_text(errors="replace").partition("\n")[0] != str(os.getpid()):
            path.write_text(f"{os.getpid()}\n")
        yield
    finally:
        lock.release()


def progress_bar(title: str, epochs: int) -> "tqdm":
    """Return a progress bar that counts epochs; silent where there is no terminal."""
    from tqdm import tqdm

    line = "{desc}: |{bar}| {n_fmt} of {total_fmt} epochs [{elapsed}<{remaining}{postfix}]"
    return tqdm(desc=title, total=epochs, bar_format=line, disable=None)
