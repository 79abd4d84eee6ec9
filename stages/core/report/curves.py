"""The course of training: a measure by epoch or by updates, the median of the seeds and their spread."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stages.core.report.appearance import by_colour, by_dash, by_shape
from stages.core.report.vega import Spec, chart, hover, layer, quantity, tip
from stages.core.report.wording import number

WIDTH, HEIGHT = 300, 220
SYMBOLS = 10
"""About so many symbols a line."""

BROKEN = {"text": "✕ not finite from here on", "align": "left", "dx": 4}


class Measure(NamedTuple):
    """A column of the history and how it is drawn."""

    column: str
    title: str
    axis: str
    logarithmic: bool


LOSS = Measure("train_loss", "Training loss", "cross-entropy per image (log scale)", True)
ACCURACY = Measure("validation_accuracy", "Validation accuracy", "images classified rightly", False)
SLOPE = Measure("gradient_norm", "Steepness of the loss", "norm of the gradient (log scale)", True)
DISTANCE = Measure("distance", "Way from the start", "distance of all weights (log scale)", True)


def spread(history: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Per model and epoch the median, the lowest and the highest of the seeds' finite values.

    A value that is not finite counts as higher than all others, so that a median is missing where
    half of the seeds have none. On a logarithmic axis 0 has no place and is left out. `broken` marks
    the last epoch before the medians end, `marked` the epochs at which a symbol is drawn.
    """
    values = history[measure.column].astype(float)
    unknown = values.isna()
    if measure.logarithmic:
        values = values.where(values != 0)
    by = [history[name] for name in ("model", "epoch", "updates")]
    finite = values.groupby(by, sort=False)
    middle = values.mask(unknown, np.inf).groupby(by, sort=False).median().replace(np.inf, np.nan)
    table = pd.DataFrame({"middle": middle, "lowest": finite.min(), "highest": finite.max()}).reset_index()
    last = table.groupby("model", sort=False).epoch.transform("max")
    following = table.groupby("model", sort=False).middle.shift(-1)
    table["broken"] = table.middle.notna() & following.isna() & (table.epoch < last)
    table["marked"] = table.epoch % math.ceil(last.max() / SYMBOLS) == 0
    return table


def panel(
    history: pd.DataFrame, measure: Measure, against: str, models: Sequence[str], labels: Mapping[str, str]
) -> Spec:
    """A chart of one measure against `epoch` or `updates`, for the models that `labels` names."""
    table = spread(history[history.model.isin(labels)], measure)
    if against == "updates":
        table = table[table.updates > 0]  # a logarithmic axis has no place for the start
    x, up, color = _across(against, table), _up(measure, table), by_colour(models, labels)
    y = quantity("middle", measure.axis, **up)
    band = {"x": x, "y": quantity("lowest", measure.axis, **up), "y2": {"field": "highest"}}
    layers = [
        layer("area", {"opacity": 0.18}, **band, color=color),
        layer("line", {"strokeWidth": 2}, x=x, y=y, color=color, strokeDash=by_dash(models, labels)),
        layer("point", {"opacity": 1}, "datum.marked", x=x, y=y, color=color, shape=by_shape(models, labels)),
        hover(_tooltip(measure), x=x, y=y),
    ]
    if table.broken.any():
        layers.insert(-1, layer("text", BROKEN, "datum.broken", x=x, y=y, color=color))
    title = f"{measure.title} by {'epoch' if against == 'epoch' else 'updates'}"
    return chart(table, title, WIDTH, HEIGHT, layers)


def _across(against: str, table: pd.DataFrame) -> Spec:
    if against == "updates":
        return quantity("updates", "updates (log scale)", **logarithmic(table.updates))
    whole = {"domain": [0, int(table.epoch.max())], "nice": False, "padding": 6}
    return quantity("epoch", "epoch", scale=whole, axis={"tickMinStep": 1})


def _up(measure: Measure, table: pd.DataFrame) -> Spec:
    return logarithmic(pd.concat([table.lowest, table.highest])) if measure.logarithmic else shares()


def shares() -> Spec:
    """The scale and axis of accuracies, from 0 to 100 %."""
    return {
        "scale": {"domain": [0, 1], "nice": False, "padding": 6},
        "axis": {"format": ".0%", "tickCount": 5},
    }


def logarithmic(values: pd.Series) -> Spec:
    """The scale and axis of positive values: ticks at powers of ten, between them where there are few."""
    values = values[values > 0]
    low, high = (math.log10(value) for value in (values.min(), values.max())) if len(values) else (0, 1)
    first, last = math.floor(low), math.ceil(high)
    step = max(1, math.ceil((last - first) / 8))
    parts = (1, 2, 5) if high - low < 2 else (1,)
    ticks = [part * 10.0**power for power in range(first, last + 1, step) for part in parts]
    names = json.dumps({f"{tick:.0e}": number(tick, 1) for tick in ticks}, ensure_ascii=False)
    # Vega writes 1e+2 where Python writes 1e+02.
    label = f"{names}[replace(format(datum.value, '.0e'), /e([+-])(\\d)$/, 'e$10$2')]"
    return {
        "scale": {"type": "log", "nice": False, "padding": 6},
        "axis": {"values": ticks, "labelExpr": label},
    }


def _tooltip(measure: Measure) -> list[Spec]:
    style = ".4~g" if measure.logarithmic else ".2%"
    return [
        tip("model", "model"),
        tip("epoch", "epoch", "d"),
        tip("updates", "updates", ","),
        tip("middle", f"{measure.title.lower()}, median", style),
        tip("lowest", "lowest seed", style),
        tip("highest", "highest seed", style),
    ]
