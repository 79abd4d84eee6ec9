"""The picture of the map: accuracy by batch size and learning rate, where it fails, and the ridge."""

import pandas as pd

from stages.core import outcome
from stages.core.report.vega import Spec, chart, layer, quantity, tip
from stages.core.report.wording import count, setting

CELL = 52
MARKS = {"diverged": "✕", "stalled": "–"}
"""What is written in a cell in place of an accuracy that says nothing."""


def cells(table: pd.DataFrame, ridge: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of the map: the mean over the seeds, the worst status, and what lies there.

    `ridge` is ridge.best_rates' table; `models` has model, batch_size and learning_rate, and those
    that lie on a cell are named in it.
    """
    by = ["batch_size", "learning_rate"]
    groups = table.groupby(by)
    found = groups[["validation_accuracy"]].mean()
    found["status"] = groups.status.agg(lambda statuses: outcome.of_model(list(statuses)))
    found = found.reset_index()
    best = set(zip(ridge.batch_size, ridge.learning_rate, strict=True))
    named = models.groupby(by).model.agg(", ".join)
    places = list(zip(found.batch_size, found.learning_rate, strict=True))
    return found.assign(
        best=[place in best for place in places],
        models=[named.get(place, "") for place in places],
        size=[count(size) for size, _ in places],
        rate=[setting(rate) for _, rate in places],
        words=[
            MARKS.get(status, f"{100 * accuracy:.1f}")
            for status, accuracy in zip(found.status, found.validation_accuracy, strict=True)
        ],
    )


def sweep_chart(table: pd.DataFrame, ridge: pd.DataFrame, models: pd.DataFrame) -> Spec:
    """The heat map, of one optimizer; each batch size's best rate is framed, a model has a dot."""
    shown = cells(table, ridge, models)
    sizes, rates = (list(dict.fromkeys(shown.sort_values(by)[name])) for by, name in AXES)
    place = {"x": _axis("rate", "learning rate", rates), "y": _axis("size", "batch size", sizes)}
    shade = quantity("validation_accuracy", scale={"domain": [0, 1]}, legend=None)
    lines = [
        tip("size", "batch size"),
        tip("rate", "learning rate"),
        tip("status", "status"),
    ]
    lines += [
        tip("validation_accuracy", "validation accuracy", ".2%"),
        tip("models", "models"),
    ]
    # From here on a cell is shaded so strongly that its number needs the paper's colour.
    dark = "datum.validation_accuracy > 0.85"
    words, dot = {"text": {"field": "words"}}, {"dy": 17, "fontSize": 14, "text": "●"}
    layers = [
        layer("rect", None, **place, color=shade, tooltip=lines),
        layer("rect", {"filled": False, "strokeWidth": 3, "style": "frame"}, "datum.best", **place),
        layer("text", None, f"!({dark})", **place, **words),
        layer("text", {"style": "on_ramp"}, dark, **place, **words),
        layer("text", dot, f"datum.models && !({dark})", **place),
        layer("text", dot | {"style": "on_ramp"}, f"datum.models && {dark}", **place),
    ]
    return chart(shown, "Validation accuracy in percent", CELL * len(rates), CELL * len(sizes), layers)


AXES = (("batch_size", "size"), ("learning_rate", "rate"))


def _axis(field: str, title: str, order: list[str]) -> Spec:
    look = {"labelAngle": 0, "grid": False, "ticks": False, "domain": False}
    return {"field": field, "type": "ordinal", "title": title, "sort": order, "axis": look}
