"""Stream a running stage to MLflow, from a process of its own: it cannot block, fail or crash the stage.

The stage writes lines of JSON to a pipe and goes on. The process behind the pipe imports DVC and MLflow,
logs what arrives, and at the end completes the runs from the stage's files, with the function that
replays them. When the pipe closes without an end, the stage was killed, and its runs end as KILLED.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dvc_mlflow import process, provenance
from dvc_mlflow.errors import chain, redacted

REMEDY = "the results are on disk all the same, and `dvc-mlflow sync` logs them later"
LOST = "the stage did not end; runs that are left running are ended by the next `dvc-mlflow sync`"
PATIENCE_S = 60
"""Seconds that a stage waits at its end for a slow store."""
FAREWELL_S = 5
"""Seconds that a cancelled stage takes to say so: ten after SIGTERM, many systems send SIGKILL."""
PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from dvc_mlflow.stream import work; work(sys.argv[2])"
"""The process behind the pipe, with the package from wherever it was imported."""


class LiveRun:
    """The runs of the stage that this process executes; `live` makes it."""

    def __init__(self, stage: str | None):
        """Start the process that logs. `stage` is used where DVC does not run this process."""
        self._failed = False
        self._waiting = bytearray()
        self._process: subprocess.Popen[bytes] | None = None
        if not (stage or os.environ.get("DVC_STAGE")):
            return  # no stage, nothing to log
        try:
            place = provenance.find(Path.cwd())
            by_dvc = place.stage()
            if not (by_dvc or stage):
                return  # the stage of another repository, which calls this program
            begun = {
                "stage": by_dvc or stage,
                "current": bool(by_dvc) and place.workspace == place.root,  # dvc.lock will hold the results
                "process": process.fingerprint(),
                "time": round(1000 * time.time()),
            }
            self._errors = tempfile.TemporaryFile()
            package = str(Path(__file__).resolve().parent.parent)
            command = [sys.executable, "-Wignore", "-c", PROGRAM, package, json.dumps(begun)]
            said: dict[str, Any] = {"stdout": self._errors, "stderr": self._errors}
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **said)
            assert self._process.stdin
            self._pipe = self._process.stdin.fileno()
            os.set_blocking(self._pipe, False)
        except (OSError, ValueError) as error:
            self._warn(str(error), REMEDY)

    def log(
        self,
        step: int,
        metrics: Mapping[str, Any],
        child: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Show values soon; costs microseconds here, and never raises.

        Args:
            step: An epoch, or whatever the curve's step column counts.
            metrics: Numbers by the names that the stage's files have. None and NaN are left out.
            child: What identifies a child run, such as `{"seed": 0}`; without it the stage's own run.
            seconds: How long the child run has taken, if this is the first that is known of it.
        """
        if self._failed or self._process is None:
            return
        try:
            numbers = {name: float(value) for name, value in metrics.items() if value is not None}
            when = {"seconds": seconds, "time": time.time()}
            self._send({"step": int(step), "metrics": numbers, "child": child or {}, **when})
        except Exception as error:  # of whatever a framework calls a number
            self._warn(f"{type(error).__name__}: {error}", REMEDY)

    def _send(self, message: Mapping[str, Any]) -> None:
        text = json.dumps(message, default=lambda number: number.item())  # one of NumPy's
        self._waiting += text.encode() + b"\n"
        self._flush()

    def _flush(self) -> None:
        """Write what the pipe takes; the rest waits. A reader that has gone is noticed at the end."""
        with suppress(BlockingIOError, BrokenPipeError):
            while self._waiting:
                del self._waiting[: os.write(self._pipe, self._waiting)]

    def complete(self) -> None:
        """Complete the runs from the stage's files; wait a minute for them at most."""
        try:
            self._end({"complete": provenance.machine()}, PATIENCE_S, REMEDY)
        except BaseException:  # a signal: the files are complete, and so will be the runs in a moment
            self._end(None, FAREWELL_S, REMEDY)
            raise

    def abandon(self, status: str) -> None:
        """End the runs of a stage that did not end well, with MLflow's `status`."""
        self._end({"end": status}, FAREWELL_S, LOST)

    def _end(self, message: Mapping[str, Any] | None, patience: float, remedy: str) -> None:
        child = self._process
        if child is None or self._failed:
            return
        assert child.stdin
        if message:
            self._send(message)
        notice = f"waiting for MLflow to take the results, {patience:.0f} s at most"
        for _ in process.waiting(notice, patience):
            self._flush()
            if not self._waiting and not child.stdin.closed:
                child.stdin.close()
            if child.poll() is not None:
                break
        else:
            child.kill()
            child.wait()
            return self._warn(f"not done after {patience:.0f} s", remedy)
        if child.returncode:
            self._errors.seek(0)
            lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
            self._warn(lines[-1] if lines else f"its process ended with exit code {child.returncode}", remedy)

    def _warn(self, reason: str, remedy: str) -> None:
        self._failed = True
        print(f"warning: not logged to MLflow: {redacted(reason)}; {remedy}", file=sys.stderr, flush=True)


def _is_signal(error: BaseException) -> bool:
    """Return whether Ctrl-C or a signal's handler raised an exception."""
    code = error.code if isinstance(error, SystemExit) else 0
    return isinstance(error, KeyboardInterrupt) or isinstance(code, int) and code > 128


@contextmanager
def live(stage: str | None = None) -> Iterator[LiveRun]:
    """Show the stage that runs in this process in MLflow, for as long as the block lasts.

    Trouble with MLflow or DVC costs one warning on stderr. Left by an exception, the runs end as
    FAILED; by Ctrl-C or a signal, even if another exception replaced theirs, as KILLED; else they are
    completed from the stage's files, which must be written by then.

    Args:
        stage: The stage's name where it is run without DVC, such as `train@baseline`.
    """
    run = LiveRun(stage)
    try:
        yield run
    except BaseException as error:
        run.abandon("KILLED" if any(map(_is_signal, chain(error))) else "FAILED")
        raise
    run.complete()
