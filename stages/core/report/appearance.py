"""One look for every picture: a colour, a dash and a shape for each model, a theme for light and one for
dark.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stages.core.report.vega import Spec

FONT = "Liberation Sans, Arimo, Arial, Helvetica, sans-serif"
"""Liberation Sans comes with vl-convert, so that a picture is laid out alike on every machine."""

# After Okabe and Ito's palette for all kinds of colour vision (https://jfly.uni-koeln.de/color/), each hue
# darkened or lightened until it stands out from its background by 3 : 1 (WCAG 2.2, 1.4.11).
LIGHT = ("#0072b2", "#d55e00", "#00835f", "#a8488a", "#4d4d4d", "#8a6d00", "#2b8cbe", "#b2182b")
DARK = ("#4fb3f0", "#ff8a3d", "#2fc79a", "#e58bc9", "#c9c9c9", "#e3bb33", "#9cd3f7", "#ff7b84")
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")

THEMES = {
    "light": {"paper": "#ffffff", "ink": "#1f2328", "faint": "#59636e", "grid": "#e4e7eb", "models": LIGHT},
    "dark": {"paper": "#0d1117", "ink": "#e6edf3", "faint": "#9aa4ae", "grid": "#2a313a", "models": DARK},
}
RAMPS = {
    "light": ["#f7f8fa", "#dde2e8", "#b7c0cb", "#8b98a8", "#5d6b7d"],
    "dark": ["#10151c", "#232c37", "#3b4858", "#5a6b80", "#8496ad"],
}


def cycled(values: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """One of `values` for each of `names`, from the first again when they run out."""
    return [values[place % len(values)] for place, _ in enumerate(names)]


def colours(names: Sequence[str], theme: str) -> dict[str, str]:
    """The colour of each model, by its place among all models of params.yaml."""
    return dict(zip(names, cycled(THEMES[theme]["models"], names), strict=True))


def by_colour(models: Sequence[str], labels: Mapping[str, str]) -> Spec:
    """The channel of a model's colour; the legend has the models that `labels` names.

    The colours themselves come from the theme: a chart is the same in light and in dark.
    """
    return _by_model({"domain": list(models)}, labels)


def by_dash(models: Sequence[str], labels: Mapping[str, str]) -> Spec:
    """The channel of a model's dash, for lines."""
    return _by_model({"domain": list(models), "range": cycled(DASHES, models)}, labels)


def by_shape(models: Sequence[str], labels: Mapping[str, str]) -> Spec:
    """The channel of a model's shape, for points."""
    return _by_model({"domain": list(models), "range": cycled(SHAPES, models)}, labels)


def _by_model(scale: Spec, labels: Mapping[str, str]) -> Spec:
    words = f"{json.dumps(dict(labels), ensure_ascii=False)}[datum.label]"
    legend = {"title": None, "values": list(labels), "labelExpr": words, "symbolOpacity": 1}
    return {
        "field": "model",
        "type": "nominal",
        "scale": scale,
        "legend": legend | {"symbolStrokeWidth": 0, "symbolSize": 110},
    }


def config(theme: str, models: Sequence[str]) -> dict[str, Any]:
    """The Vega-Lite configuration of a theme."""
    look = THEMES[theme]
    words = {"labelColor": look["faint"], "titleColor": look["ink"], "labelFontSize": 12, "titleFontSize": 12}
    lines = {"gridColor": look["grid"], "domainColor": look["faint"], "tickColor": look["faint"]}
    return {
        "background": look["paper"],
        "font": FONT,
        "view": {"stroke": None},
        "axis": words | lines | {"titleFontWeight": "normal", "titlePadding": 8, "labelFlush": False},
        "axisY": {"minExtent": 44},  # plots under one another stand in line, however long their labels
        "legend": words | {"orient": "bottom", "symbolSize": 220, "labelLimit": 400, "columnPadding": 24},
        "title": {
            "color": look["ink"],
            "subtitleColor": look["faint"],
            "fontSize": 14,
            "subtitleFontSize": 12,
            "anchor": "start",
            "offset": 10,
            "frame": "group",
        },
        "text": {"color": look["ink"], "fontSize": 12},
        "rule": {"color": look["faint"]},
        "point": {"filled": True, "size": 36},
        "style": {
            "casing": {"color": look["paper"], "strokeWidth": 5, "opacity": 0.8},
            "ring": {
                "shape": "circle",
                "size": 150,
                "filled": False,
                "color": look["ink"],
                "strokeWidth": 1.5,
            },
            "on_ramp": {"color": look["paper"]},
            "frame": {"color": look["ink"]},
        },
        "range": {"category": cycled(look["models"], models), "ramp": RAMPS[theme], "heatmap": RAMPS[theme]},
    }
