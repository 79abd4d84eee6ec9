"""How long training took, and on what: the only numbers of a run that another day changes."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stages.core.data.mnist import Digits
from stages.core.process import processors

LIBRARIES = ("tensorflow", "keras", "numpy", "dask", "dvc", "mlflow")


def processor() -> str:
    """The processor's kind as the system gives it, such as `AMD EPYC, family 25, model 17`.

    A virtual machine's may be called `AMD EPYC` alone, whichever generation it is.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name", platform.processor() or platform.machine())
    numbers = [f"{word} {facts[key]}" for word, key in WHICH if key in facts]
    return ", ".join([name, *numbers])


WHICH = (("family", "cpu family"), ("model", "model"))
"""What tells generations apart, by its key in /proc/cpuinfo."""


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that a result may depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def clock(started: datetime) -> dict:
    """The machine, and the seconds since `started`."""
    return {
        "processor": processor(),
        "processors": processors(),
        "versions": versions(),
        "started": started.isoformat(timespec="milliseconds"),
        "seconds": (datetime.now(UTC) - started).total_seconds(),
    }


def timing(seeds: Sequence[int], descents: Sequence[Any], started: datetime, digits: Digits) -> dict:
    """timing.json, written when the seeds that `started` side by side have ended: the machine, the seconds.

    `images_per_second` is that of one run on its one thread, beside the others.
    """
    images = len(digits.train.labels)
    runs = [
        {
            "seed": seed,
            "compile_seconds": descent.compile_seconds,
            "epoch_seconds": list(descent.epoch_seconds),
        }
        for seed, descent in zip(seeds, descents, strict=True)
    ]
    epochs = [second for run in runs for second in run["epoch_seconds"]]
    return clock(started) | {
        "images_per_second": images * len(epochs) / sum(epochs),
        "seeds": runs,
    }
