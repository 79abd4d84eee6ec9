"""Vega-Lite specifications as plain dictionaries: the data of a chart, its layers, charts side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
HOVER = "hover"
NEAR = {
    "name": "near",
    "select": {"type": "point", "on": "pointerover", "clear": "pointerout", "nearest": True},
}
ZOOM = {
    "name": "zoom",
    "bind": "scales",
    "select": {
        "type": "interval",
        "zoom": "wheel![event.ctrlKey || event.metaKey]",
        "translate": "[pointerdown[event.pointerType === 'mouse'], window:pointerup] > window:pointermove!",
    },
}
OWN_FILL = {"scale": {"fill": "independent"}}
"""Each map of a loss has shades of its own: one may span four powers of ten, the next hardly a thousandth."""

Spec = dict[str, Any]
"""A chart as https://vega.github.io/vega-lite/docs/spec.html describes it."""


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as Vega-Lite's data, null where a number is not finite."""
    clean = table.replace([np.inf, -np.inf], np.nan).astype(object)
    return clean.where(clean.notna(), None).to_dict("records")


def chart(
    table: pd.DataFrame, title: str | Spec, width: float, height: float, layers: Sequence[Spec]
) -> Spec:
    """Layers over one another, all from one table unless they bring their own data."""
    return {
        "title": title,
        "width": width,
        "height": height,
        "data": {"values": records(table)},
        "layer": list(layers),
    }


def layer(
    mark: str, style: Mapping[str, Any] | None = None, filter: str | None = None, **encoding: Any
) -> Spec:
    """One kind of mark; `encoding` are its channels, `filter` which rows it is drawn for."""
    spec = {"mark": {"type": mark, **(style or {})}, "encoding": encoding}
    return spec | {"transform": [{"filter": filter}]} if filter else spec


def quantity(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel for a column of numbers."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def tip(field: str, title: str, format: str | None = None) -> Spec:
    """A line of a tooltip."""
    return {"field": field, "title": title} | ({"format": format, "type": "quantitative"} if format else {})


def hover(tooltip: Sequence[Spec], **place: Spec) -> Spec:
    """An unseen layer of points that tell their numbers where a page can be pointed at."""
    return {"name": HOVER, **layer("point", {"opacity": 0, "size": 300}, **place, tooltip=list(tooltip))}


def still(spec: Spec) -> Spec:
    """A chart without what only a page that can be pointed at has a use for."""
    return spec | {"layer": [part for part in spec["layer"] if not part.get("name", "").startswith(HOVER)]}


def arranged(charts: Sequence[Spec], beside: int = 2) -> Spec:
    """Charts as one, so many in a row; the plots stand in line, whatever the width of their labels."""
    rows = [list(charts[place : place + beside]) for place in range(0, len(charts), beside)]
    return {
        "$schema": SCHEMA,
        "vconcat": [{"hconcat": row, "spacing": 24, "resolve": OWN_FILL} for row in rows],
        "spacing": 24,
        "resolve": OWN_FILL,
    }


def pointed(spec: Spec, description: str, models: Sequence[str], fluid: bool) -> Spec:
    """A chart for a page: it tells its numbers under the pointer, zooms, and shows the models in `chosen`.

    A fluid one is as wide as its place. The wheel zooms while Ctrl is held, so that the page still
    scrolls; a finger on the chart scrolls the page as well.
    """
    has_models = any("model" in row for row in spec["data"]["values"][:1])
    chosen = {"params": [{"name": "chosen", "value": list(models)}]}
    chosen["transform"] = [{"filter": "indexof(chosen, datum.model) >= 0"}]
    first, *others = [_live(part) for part in spec["layer"]]
    zoomed = has_models and {"params": [*first.get("params", []), ZOOM]}
    size = {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}} if fluid else {}
    return (
        spec
        | {"$schema": SCHEMA, "description": description, "layer": [first | (zoomed or {}), *others]}
        | (chosen if has_models else {})
        | size
    )


def _live(part: Spec) -> Spec:
    """A layer without its legend, which the page has; the unseen points show themselves when pointed at."""
    encoding = {name: _without_key(channel) for name, channel in part["encoding"].items()}
    if part.get("name") != HOVER:
        return part | {"encoding": encoding}
    shown = {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}
    return part | {"params": [NEAR], "encoding": encoding | {"opacity": shown}}


def _without_key(channel: Any) -> Any:
    by_model = isinstance(channel, dict) and channel.get("field") == "model" and "legend" in channel
    return channel | {"legend": None} if by_model else channel
