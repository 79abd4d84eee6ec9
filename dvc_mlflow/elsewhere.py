"""Run a function of this package in another Python process: DVC's and MLflow's imports take seconds each."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from dvc_mlflow.lock import Unusable

PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from dvc_mlflow.{module} import {function}; {function}()"
)


def command(module: str, function: str) -> list[str]:
    """Return the command that calls a function of this package, from wherever it was imported."""
    program = PROGRAM.format(module=module, function=function)
    return [sys.executable, "-c", program, str(Path(__file__).resolve().parent.parent)]


def call(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """Begin calling `function` in another process; return a function that waits for its result.

    The process is in a session of its own, so that Ctrl-C in a terminal ends only this one: it then fails
    to write its result, and ends.
    """
    options: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    child = subprocess.Popen(command("elsewhere", "serve"), **options)
    assert child.stdin and child.stdout
    answer: IO[bytes] = child.stdout
    with child.stdin as pipe:
        pickle.dump((function, arguments), pipe)

    def result() -> Any:
        with child:
            try:
                kind, value = pickle.load(answer)
            except EOFError:
                raise Unusable(f"reading the repository ended with exit code {child.wait()}") from None
        if kind == "raised":
            raise value
        return value

    return result


def serve() -> None:
    """Call the function that is pickled on stdin, and write its result to what was stdout."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no part of the answer
    function, arguments = pickle.load(sys.stdin.buffer)
    try:
        outcome = "returned", function(*arguments)
    except Exception as error:
        outcome = (
            "raised",
            error if isinstance(error, ValueError) else Unusable(f"{type(error).__name__}: {error}"),
        )
    with answer:
        pickle.dump(outcome, answer)
