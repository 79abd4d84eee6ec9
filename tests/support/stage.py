"""Stages as processes of their own, as DVC starts them."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.small_params import ROOT

OUTSIDE = ("DVC_", "MLFLOW_", "DASK_", "DATA_", "MNIST_", "PIP_")
"""Variables of the tester's environment that a stage must not see."""


def start(folder: Path, stage: str, *arguments: str, prefix: tuple[str, ...] = (), **variables: str):
    """Start `python -m stages.<stage>` in `folder`, without a terminal.

    Args:
        folder: The working directory.
        stage: The stage.
        arguments: The stage's.
        prefix: A command that runs the stage's command, such as prlimit.
        variables: Of the environment.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", f"stages.{stage}", *arguments],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, stage: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    """Run a stage to its end; the options are those of `start`."""
    with start(folder, stage, *arguments, **options) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def without_tensorflow(stderr: str) -> str:
    """Remove the lines that TensorFlow writes when it starts: which ones depends on the machine."""
    lines = stderr.splitlines(keepends=True)
    started = re.compile(r"[WEI]\d{4} |WARNING: All log messages before absl")
    return "".join(line for line in lines if not started.match(line))
