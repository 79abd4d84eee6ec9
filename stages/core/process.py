"""A process that ends with the one that started it, leaves nothing running, and writes alone."""

import ctypes
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import psutil
from dask.system import CPU_COUNT

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: the signal that the kernel sends to this process when its parent dies."""


class Busy(RuntimeError):
    """Another process writes the same thing; one line that says which."""


def processors() -> int:
    """The number of processors that this process may use, by its affinity and its container's share."""
    return CPU_COUNT


def end_with_parent() -> None:
    """Ask the kernel to send SIGTERM to this process when its parent dies (Linux; nothing elsewhere).

    Without it a killed dvc leaves its stage running, and the next `dvc repro` would start a second.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, and the process with it, at once.

    What the block opened is closed on the way out. Then the process leaves without waiting for
    threads: one that computes for a minute more would keep a cancelled training alive. The exit
    code is 128 plus the signal's number, as a shell reports it.
    """
    before = {number: signal.signal(number, _stop) for number in STOPPING}
    try:
        yield
    except Stopped as stop:
        leave(stop.code)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(code: int = 0) -> NoReturn:
    """End this process at once, its output written.

    Python would first take TensorFlow and MLflow apart, for two seconds. Call it when all files are
    closed and nothing is to be waited for.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Stopped(SystemExit):
    """A signal asked this process to stop; its code is 128 plus the signal's number."""


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _stop(number: int, frame) -> None:
    for later in STOPPING:  # none must interrupt the clearing up: a closed terminal sends two kinds
        signal.signal(later, signal.SIG_IGN)
    raise Stopped(128 + number)


@contextmanager
def only_one(path: Path | str, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path` for the block; the kernel frees it however the process ends.

    Raises Busy at once if another process holds it, unless `wait` is true.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            file.seek(0)
            raise Busy(f"{path}: held by process {file.read().strip() or 'unknown'}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def sole_writer(folder: Path | str) -> Iterator[None]:
    """Hold the right to write `folder` for the block. Raises Busy if another process has it."""
    folder = Path(folder)
    try:
        with only_one(folder.with_name(f".{folder.name}.lock")):
            yield
    except Busy as busy:
        holder = str(busy).partition(": ")[2]
        raise Busy(f"{folder}: is being written already, {holder}; wait for it or end it") from None


def identity() -> str:
    """This process, told from every other one: host, process id and the second it started."""
    return f"{socket.gethostname()}/{os.getpid()}/{psutil.Process().create_time():.2f}"


def has_ended(identity: str) -> bool:
    """Whether the process that `identity` names is known to have ended: False for another host's."""
    host, number, started = identity.split("/")
    if host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(int(number)).create_time() - float(started)) > 1
    except psutil.NoSuchProcess:
        return True
