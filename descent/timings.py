"""The times of a stage and of its runs, with the processor and the versions of libraries."""

import platform
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from descent.files import write_json

LIBRARIES = ("tensorflow", "keras", "numpy", "dask", "dvc", "mlflow")
"""Their versions are recorded with each training."""


def processor() -> str:
    """Return the kind of processor, such as `AMD EPYC, family 25, model 17`.

    A virtual machine may call it `AMD EPYC` alone; family and model tell its generation.
    """
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    facts = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.*?)\s*$", text, re.M))
    name = facts.get("model name", platform.processor() or platform.machine())
    numbers = [f"{key.split()[-1]} {facts[key]}" for key in ("cpu family", "model") if key in facts]
    return ", ".join([name, *numbers])


def versions() -> dict[str, str]:
    """Return the versions of Python and of LIBRARIES."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def write_timing(path: Path, started: datetime, runs: Mapping[str, Any]) -> float:
    """Write how long a stage and each of its runs took; return the seconds since `started`."""
    seconds = (datetime.now(UTC) - started).total_seconds()
    times = [
        {"run": name, "compile_seconds": run.compile_seconds, "epoch_seconds": list(run.epoch_seconds)}
        for name, run in runs.items()
    ]
    machine = {"processor": processor(), "versions": versions()}
    begun = {"started": started.isoformat(timespec="milliseconds"), "seconds": seconds}
    write_json(path, machine | begun | {"runs": times})
    return seconds
