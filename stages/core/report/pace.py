"""Accuracy against time: a measurement of a machine, not a result, and kept apart from the results."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.core.report import curves, vega
from stages.core.report.appearance import by_colour, by_dash, by_shape
from stages.core.report.vega import Spec, layer, quantity


def read_timings(models: Iterable[str], folder: Path | str = "models") -> dict[str, dict[str, Any]]:
    """Each model's timing.json."""
    return {
        name: json.loads((Path(folder) / name / "timing.json").read_text(encoding="utf-8")) for name in models
    }


def seconds_table(timings: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per model, seed and epoch: seconds since the first step, compilation left out, and on what."""
    rows = [
        pd.DataFrame({"epoch": np.arange(len(seconds)), "seconds": seconds}).assign(
            model=model, seed=run["seed"], processor=timing["processor"]
        )
        for model, timing in timings.items()
        for run in timing["seeds"]
        for seconds in [np.cumsum([0, *run["epoch_seconds"]])]
    ]
    return pd.concat(rows, ignore_index=True)[["model", "seed", "epoch", "seconds", "processor"]]


def chart(
    seconds: pd.DataFrame,
    history: pd.DataFrame,
    processor: str,
    models: Sequence[str],
    labels: Mapping[str, str],
) -> Spec:
    """Validation accuracy against the seconds that the updates took, medians over the seeds."""
    table = history.merge(seconds, on=["model", "seed", "epoch"])
    middle = table.groupby(["model", "epoch"], sort=False)[["seconds", "validation_accuracy"]].median()
    middle = middle.reset_index().query("epoch > 0")
    x = quantity("seconds", "seconds of computing (log scale)", **curves.logarithmic(middle.seconds))
    y = quantity("validation_accuracy", curves.ACCURACY.axis, **curves.shares())
    place = {"x": x, "y": y, "color": by_colour(models, labels)}
    layers = [
        layer("line", {"strokeWidth": 2}, **place, strokeDash=by_dash(models, labels)),
        layer("point", {"opacity": 1}, **place, shape=by_shape(models, labels)),
    ]
    title = {
        "text": "Validation accuracy by time",
        "subtitle": f"one thread of {processor}; one mark an epoch",
    }
    return vega.chart(middle, title, 560, 260, layers)
