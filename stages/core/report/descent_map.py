"""The picture of a study's descents: paths from one start, drawn over the loss in the plane they span."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from stages.core.report.appearance import by_colour, by_dash, by_shape
from stages.core.report.frames import ASPECT, Frame, leaving
from stages.core.report.vega import Spec, chart, hover, layer, quantity, records, tip
from stages.core.report.wording import number

WIDTH = 290
TICKS = [part * 10.0**power for power in range(-6, 7) for part in (1, 2, 5)]


def panels(
    paths: pd.DataFrame, surface: pd.DataFrame, models: Sequence[str], labels: Mapping[str, str]
) -> list[Spec]:
    """One chart for each frame of a study, from its rows of paths.csv and surface.csv."""
    charts, width = [], None
    for place, regions in surface.groupby("frame", sort=False):
        frame = Frame(regions.x.min(), regions.x.max(), regions.y.min(), regions.y.max())
        width = width or frame.right - frame.left
        magnified = number(width / (frame.right - frame.left), 2)
        title = f"Around the start, {magnified} times as large" if charts else "The paths over the loss"
        charts.append(_panel(title, frame, regions, paths[paths.frame == place], models, labels))
    return charts


def _panel(
    title: str,
    frame: Frame,
    regions: pd.DataFrame,
    paths: pd.DataFrame,
    models: Sequence[str],
    labels: Mapping[str, str],
) -> Spec:
    inside = pd.concat([_drawn(frame, path) for _, path in paths.groupby("model", sort=False)])
    x, y = _axis("x", frame.left, frame.right), _axis("y", frame.bottom, frame.top)
    order, color = quantity("epoch"), by_colour(models, labels)
    draw = partial(layer, x=x, y=y)
    clip = {"clip": True}
    layers = [
        _ground(regions, x, y),
        draw("line", clip | {"style": "casing"}, detail={"field": "model"}, order=order),
        draw(
            "line", clip | {"strokeWidth": 2.2}, color=color, strokeDash=by_dash(models, labels), order=order
        ),
        draw("point", clip | {"size": 32, "opacity": 1}, color=color, shape=by_shape(models, labels)),
        draw("point", {"style": "ring"}) | {"data": {"values": [{"x": 0, "y": 0}]}},
        hover([tip("model", "model"), tip("epoch", "epoch", "d")], x=x, y=y),
    ]
    return chart(inside, title, WIDTH, WIDTH * ASPECT, layers)


def _axis(name: str, low: float, high: float) -> Spec:
    title = f"{'first' if name == 'x' else 'second'} principal direction"
    scale = {"domain": [low, high], "nice": False, "zero": False}
    return quantity(name, title, scale=scale, axis={"grid": False, "tickCount": 5})


def _ground(regions: pd.DataFrame, x: Spec, y: Spec) -> Spec:
    low, high = regions.loss.min(), regions.loss.max()
    wide = high > 3 * low
    legend = {"orient": "right", "gradientLength": WIDTH * 0.8, "format": "~g"}
    if wide:
        legend["values"] = [tick for tick in TICKS if low < tick < high]
    fill = quantity("loss", "loss", scale={"type": "log" if wide else "linear"}, legend=legend)
    style = {"interpolate": "linear-closed", "filled": True, "strokeWidth": 0, "clip": True}
    ground = layer("line", style, x=x, y=y, fill=fill, detail={"field": "region"}, order=quantity("corner"))
    return ground | {"data": {"values": records(regions[["region", "corner", "loss", "x", "y"]])}}


def _drawn(frame: Frame, path: pd.DataFrame) -> pd.DataFrame:
    """A path as far as it can be drawn: one that leaps far out of the frame ends at its edge."""
    points = path[["x", "y"]].to_numpy(float)
    far = 100 * (frame.right - frame.left)
    if np.isfinite(points).all() and np.abs(points[1]).max() < far:
        return path
    crossing = leaving(frame, points)
    if crossing is None:
        return path.iloc[:1]
    return path.iloc[:2].assign(x=crossing[:, 0], y=crossing[:, 1])
