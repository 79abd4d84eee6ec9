"""The numbers that MLflow shows of a training, each with its epoch and the time at which it was so."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple

import pandas as pd

from stages.core.report.statistics import mean_and_deviation

CURVES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "gradient_norm",
    "distance",
)
"""The numbers that a seed's run has for every epoch."""


class Point(NamedTuple):
    """A finite number, the epoch after which it was so, and when that was in ms since 1970."""

    key: str
    value: float
    epoch: int
    time: int


def streamed(epoch: Any, time: int) -> list[Point]:
    """The points of an epoch (descent.Epoch) as train streams them, to nine digits as in history.csv."""
    numbers = {key: float(f"{getattr(epoch, key):.9g}") for key in CURVES}
    return [Point(key, value, epoch.epoch, time) for key, value in numbers.items() if math.isfinite(value)]


def of_seed(history: pd.DataFrame, run: dict, clock: Sequence[int]) -> Iterator[Point]:
    """A seed's curves from its rows of history.csv, and its test from its entry in metrics.json.

    `clock` has the time at which each epoch was over.
    """
    for row, time in zip(history.to_dict("records"), clock, strict=True):
        for key in CURVES:
            if math.isfinite(row[key]):
                yield Point(key, row[key], row["epoch"], time)
    for key in ("test_loss", "test_accuracy"):
        if run[key] is not None:
            yield Point(key, run[key], row["epoch"], clock[-1])


def of_model(metrics: dict, history: pd.DataFrame, clock: Sequence[int]) -> Iterator[Point]:
    """Mean and deviation over the seeds, by epoch, and of the test at the end."""
    for (epoch, rows), time in zip(history.groupby("epoch"), clock, strict=True):
        for key in CURVES:
            yield from _mean_points(key, rows[key], epoch, time)
    for key in ("test_loss", "test_accuracy"):
        values = [math.nan if run[key] is None else run[key] for run in metrics["seeds"]]
        yield from _mean_points(key, values, epoch, clock[-1])


def _mean_points(key: str, values: Sequence[float], epoch: int, time: int) -> Iterator[Point]:
    for suffix, value in zip(("mean", "std"), mean_and_deviation(values), strict=True):
        if math.isfinite(value):
            yield Point(f"{key}_{suffix}", value, int(epoch), time)


def speed(timing: dict, time: int) -> list[Point]:
    """How long a training took and how fast it went, known at `time`."""
    return [Point(key, float(timing[key]), 0, time) for key in ("seconds", "images_per_second")]


def started(timing: dict) -> int:
    """When a training began, in ms since 1970, by its timing.json."""
    return int(datetime.fromisoformat(timing["started"]).timestamp() * 1000)


def clock(timing: dict, seed: dict) -> list[int]:
    """When each epoch of a seed was over, epoch 0 first, as if the seeds had all started at once."""
    seconds = accumulate(seed["epoch_seconds"], initial=seed["compile_seconds"])
    return [started(timing) + round(second * 1000) for second in seconds]


def is_final(point: Point) -> bool:
    """Whether a point is known only when training is over, and so never streamed."""
    return point.key.startswith("test_")
