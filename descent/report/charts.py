"""The charts of the report, in Altair.

Each function takes tables of descent.report.tables and returns a chart: still, with a legend, for an SVG
file, or `live`, with tooltips and without a legend, for the page. Charts name neither the colours of models
nor those of most ramps: these come from `theme`, so that one specification serves light and dark. `classes`
are the names of the classes, if they are not their numbers.
"""

import base64
import io
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from PIL import Image

from descent.metrics import Metric
from descent.report.format import STATUS_SIGNS, count, number, rate
from descent.report.landscape import ASPECT

FONT = "Liberation Sans, Arimo, Arial, Helvetica, sans-serif"
"""Liberation Sans comes with vl-convert, so that a chart is laid out alike on every machine."""

# After Okabe and Ito's palette for all kinds of colour vision (https://jfly.uni-koeln.de/color/), each hue
# darkened or lightened until it contrasts with its background by 3:1 (WCAG 2.2, 1.4.11).
LIGHT = ("#0072b2", "#d55e00", "#00835f", "#a8488a", "#4d4d4d", "#8a6d00", "#2b8cbe", "#b2182b")
DARK = ("#4fb3f0", "#ff8a3d", "#2fc79a", "#e58bc9", "#c9c9c9", "#e3bb33", "#9cd3f7", "#ff7b84")
DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
# 8 colours, 5 dashes and 7 shapes have no common divisor: 40 lines and 56 points differ.

THEMES: dict[str, dict[str, Any]] = {
    "light": {
        **{"paper": "#ffffff", "ink": "#1f2328", "faint": "#59636e", "grid": "#e4e7eb"},
        **{"empty": "#eceff2", "diagonal": "#d9e8f7", "models": LIGHT},
        "mistakes": ["#f6f8fa", "#ffe3c7", "#ffb570", "#f98b38"],
        "surface": ["#fff3b0", "#c8e6a5", "#8fd0c4", "#86b4e0", "#9d95d3"],
    },
    "dark": {
        **{"paper": "#0d1117", "ink": "#e6edf3", "faint": "#9aa4ae", "grid": "#2a313a"},
        **{"empty": "#20262e", "diagonal": "#14304d", "models": DARK},
        "mistakes": ["#151a21", "#3f2a18", "#6f3d12", "#a0520f"],
        "surface": ["#6b6220", "#3c5f34", "#1f5457", "#24426f", "#332c63"],
    },
}

CURVE_WIDTH, CURVE_HEIGHT = 300, 220
SYMBOLS_PER_LINE = 10
SURFACE_WIDTH = 290
CELL_WIDTH, CELL_HEIGHT = 64, 46

MAX_WIDTH_BESIDE_ANOTHER = 360
"""Wider charts stand one below another."""

MISTAKES_PER_ROW, SAMPLES_PER_ROW = 4, 10
MAX_NUMBERED_CLASSES = 20
"""With more classes the cells of a confusion matrix are too small for numbers."""


class Models(NamedTuple):
    """The models of a chart.

    Attributes:
        names: All models of params.yaml; a model's place decides its colour, dash and shape.
        labels: What the legend calls each model that is drawn.
        legend_width: The legend wraps at this width in pixels, so that it does not widen a figure.
    """

    names: Sequence[str]
    labels: Mapping[str, str]
    legend_width: int = 720


def cycled(values: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Return one of `values` for each of `names`, starting over when they run out."""
    return [values[place % len(values)] for place in range(len(names))]


def theme(name: str, models: Sequence[str]) -> dict[str, Any]:
    """Return the Vega-Lite configuration of the theme `light` or `dark`."""
    look = THEMES[name]
    ink, faint, paper = look["ink"], look["faint"], look["paper"]
    text = {"labelColor": faint, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 0}
    lines = {"gridColor": look["grid"], "domainColor": faint, "tickColor": faint}
    ring = {"shape": "circle", "size": 150, "filled": False, "color": ink, "strokeWidth": 1.5}
    title = {"color": ink, "subtitleColor": faint, "fontSize": 14, "subtitleFontSize": 12, "limit": 0}
    return {
        "background": paper,
        "font": FONT,
        # Room for a font that is wider than the one that the chart was laid out with.
        "padding": {"left": 14, "right": 14, "top": 4, "bottom": 4},
        "view": {"stroke": None},
        "axis": text | lines | {"titleFontWeight": "normal", "titlePadding": 8, "labelFlush": False},
        "axisY": {"minExtent": 44},  # aligns plots one above another, however long their labels are
        "legend": text | {"orient": "bottom", "columnPadding": 24},
        "title": title | {"anchor": "start", "offset": 10, "frame": "group"},
        "text": {"color": ink, "fontSize": 12},
        "point": {"filled": True, "size": 36},
        "style": {
            "casing": {"color": paper, "strokeWidth": 5, "opacity": 0.8},
            "ring": ring,
            "empty": {"color": look["empty"]},
            "diagonal": {"color": look["diagonal"]},
        },
        "range": {
            "category": cycled(look["models"], models),
            "ramp": look["surface"],
            "heatmap": look["mistakes"],
        },
    }


def learning_curve(
    history: pd.DataFrame, metric: Metric, by: str, models: Models, live: bool = False
) -> alt.LayerChart:
    """Chart a metric by epoch or by updates: the median of the seeds, and their range as a band."""
    table = seed_range(history[history.model.isin(list(models.labels))], metric)
    if by == "updates":
        table = table[table.updates > 0]  # a logarithmic axis has no place for 0
    x, y = _progress_axis(by, table), _metric_axis(metric, table)
    lowest = alt.Y("lowest:Q", title=metric.axis, **y)
    color = _color(models, live)
    base = alt.Chart(table).encode(x=x, y=alt.Y("median:Q", title=metric.axis, **y), color=color)
    layers = [
        alt.Chart(table).mark_area(opacity=0.18).encode(x=x, y=lowest, y2="highest:Q", color=color),
        base.mark_line(strokeWidth=2).encode(strokeDash=_by_model(alt.StrokeDash, models, live, DASHES)),
        base.transform_filter("datum.marked")
        .mark_point(opacity=1)
        .encode(shape=_by_model(alt.Shape, models, live, SHAPES)),
    ]
    if table.not_finite_after.any():
        lost = base.transform_filter("datum.not_finite_after")
        # On the side where there is room.
        beside = alt.expr("datum.epoch <= max(1, datum.last_epoch / 4) ? 'left' : 'right'")
        layers.append(lost.mark_text(text="× not finite", align=beside, baseline="top", dy=6))
    number_format = ".4~g" if metric.scale == "log" else ".2%"
    tooltip = [
        _word("model", "model"),
        _number("epoch", "epoch", "d"),
        _number("updates", "updates", ","),
        _number("median", f"{metric.title.lower()} (median)", number_format),
        _number("lowest", "lowest seed", number_format),
        _number("highest", "highest seed", number_format),
    ]
    return _with_models(layers, base, tooltip, models, live).properties(
        title=f"{metric.title} by {by}", width=CURVE_WIDTH, height=CURVE_HEIGHT
    )


def seed_range(history: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Compute the median, lowest and highest value of the seeds per model and epoch.

    A value that is not finite counts as higher than all others, so that the median is missing where half
    of the seeds have none. On a logarithmic axis 0 has no place and is left out. `not_finite_after` marks
    the last epoch before the medians end, `marked` the epochs at which a symbol is drawn.
    """
    values = history[metric.key].astype(float)
    unknown = ~np.isfinite(values)
    values = values.mask(unknown)
    if metric.scale == "log":
        values = values.where(values > 0)
    by = [history[name] for name in ("model", "epoch", "updates")]
    finite = values.groupby(by, sort=False)
    median = values.mask(unknown, np.inf).groupby(by, sort=False).median().replace(np.inf, np.nan)
    table = pd.DataFrame({"median": median, "lowest": finite.min(), "highest": finite.max()}).reset_index()
    last = table.groupby("model", sort=False).epoch.transform("max")
    following = table.groupby("model", sort=False)["median"].shift(-1)
    table["last_epoch"] = last
    table["not_finite_after"] = table["median"].notna() & following.isna() & (table.epoch < last)
    table["marked"] = table.epoch % np.ceil(last.max() / SYMBOLS_PER_LINE).clip(min=1) == 0
    return table


def trajectories(
    paths: pd.DataFrame, surface: pd.DataFrame, models: Models, live: bool = False
) -> list[alt.LayerChart]:
    """Chart the trajectories of a study over the loss surface, once per frame."""
    if surface.frame.nunique() == 1:
        models = models._replace(legend_width=SURFACE_WIDTH)
    charts: list[alt.LayerChart] = []
    widths: list[float] = []
    for frame, regions in surface.groupby("frame", sort=False):
        widths.append(regions.x.max() - regions.x.min())
        magnified = number(widths[0] / widths[-1], 2)
        title = f"Around the start, {magnified} times larger" if charts else "Loss surface"
        runs = paths[paths.frame == frame].groupby("model", sort=False)
        inside = pd.concat([_drawable(path, widths[-1]) for _, path in runs])
        charts.append(_surface_chart(title, regions, inside, models, live))
    return charts


def _surface_chart(
    title: str, regions: pd.DataFrame, paths: pd.DataFrame, models: Models, live: bool
) -> alt.LayerChart:
    x = _direction(alt.X, "x", "first principal direction", regions.x)
    y = _direction(alt.Y, "y", "second principal direction", regions.y)
    low, high = regions.loss.min(), regions.loss.max()
    wide = high > 3 * low
    ticks = [tick for tick in _powers(low, high, (1, 2, 5)) if low < tick < high]
    legend = alt.Legend(
        direction="horizontal",
        gradientLength=200 if live else SURFACE_WIDTH,
        gradientThickness=10,
        format="~g",
        values=ticks if wide else alt.Undefined,
    )
    fill = alt.Fill("loss:Q", title="loss", legend=legend, scale=alt.Scale(type="log" if wide else "linear"))
    ground = (
        alt.Chart(regions[["region", "corner", "loss", "x", "y"]])
        .mark_line(interpolate="linear-closed", filled=True, strokeWidth=0, clip=True)
        .encode(x=x, y=y, fill=fill, detail="region:N", order="corner:Q")
    )
    base = alt.Chart(paths).encode(x=x, y=y)
    colored, epochs = base.encode(color=_color(models, live)), alt.Order("epoch:Q")
    layers = [
        ground,
        base.mark_line(clip=True, style="casing").encode(detail="model:N", order=epochs),
        colored.mark_line(clip=True, strokeWidth=2.2).encode(
            strokeDash=_by_model(alt.StrokeDash, models, live, DASHES), order=epochs
        ),
        colored.mark_point(clip=True, size=32, opacity=1).encode(
            shape=_by_model(alt.Shape, models, live, SHAPES)
        ),
        alt.Chart(pd.DataFrame({"x": [0], "y": [0]})).mark_point(style="ring").encode(x=x, y=y),
    ]
    tooltip = [
        _word("model", "model"),
        _number("epoch", "epoch", "d"),
        _number("explained", "variance explained by the plane", ".1%"),
    ]
    chart = _with_models(layers, colored, tooltip, models, live)
    return _square_units(chart, SURFACE_WIDTH, ASPECT, 0, live).properties(title=title)


def _drawable(path: pd.DataFrame, width: float) -> pd.DataFrame:
    """Return a trajectory up to its first step that leads far away; that one ends outside the frame."""
    points = path[["x", "y"]].to_numpy(float)
    near = np.isfinite(points).all(axis=1) & (np.abs(points) < 100 * width).all(axis=1)
    if near.all():
        return path
    leap = max(1, int(near.argmin()))
    step = points[leap] - points[leap - 1]
    if not np.isfinite(step).all():
        return path.iloc[:leap]
    end = points[leap - 1] + step / np.abs(step).max() * 3 * width
    x, y = np.vstack([points[:leap], end]).T
    return path.iloc[: leap + 1].assign(x=x, y=y)


def sweep_heat_map(
    cells: pd.DataFrame, comparison: pd.DataFrame, models: Models, live: bool = False
) -> alt.LayerChart:
    """Chart the validation accuracy by batch size and learning rate, for one optimizer.

    The colour is the validation error on a logarithmic scale, which separates 84 from 97 % as clearly as
    20 from 84 %. The best learning rate of each batch size is framed; a symbol marks a model of a study.
    """
    cells = _described(cells, comparison)
    sizes = [count(size) for size in sorted(cells.batch_size.unique())]
    rates = [rate(value) for value in sorted(cells.learning_rate.unique())]
    x, y = _columns("rate", "learning rate", rates, live), _rows("size", "batch size", sizes)
    tooltip = [
        _word("size", "batch size"),
        _word("rate", "learning rate"),
        _number("validation_accuracy", "validation accuracy", ".2%"),
        _word("status", "status"),
        _word("names", "models"),
    ]
    base = alt.Chart(cells.drop(columns="models")).encode(x=x, y=y, **_tooltip(tooltip, live))
    failed, learned = base.transform_filter("datum.sign"), base.transform_filter("!datum.sign")
    error = alt.Scale(type="log", scheme="viridis", reverse=True, domain=_error_domain(cells), clamp=True)
    contrast = alt.when("datum.bright").then(alt.value("#000000")).otherwise(alt.value("#ffffff"))
    layers = [
        failed.mark_rect(style="empty"),
        failed.mark_text().encode(text="sign:N"),
        learned.mark_rect().encode(fill=alt.Fill("error:Q", scale=error, legend=None)),
        learned.transform_filter("datum.best")
        .mark_rect(filled=False, strokeWidth=2, width={"band": 0.9}, height={"band": 0.88})
        .encode(stroke=contrast),
        learned.mark_text().encode(text="words:N", color=contrast),
    ]
    marked = cells.explode("models").dropna(subset="models").rename(columns={"models": "model"})
    if len(marked):
        groups = marked.groupby(["size", "rate"]).model
        marked["others"] = groups.transform("count") - 1
        marked["share"] = (groups.cumcount() - marked.others / 2) / marked.others.clip(lower=1)
        room = f"width / {len(rates)}" if live else CELL_WIDTH
        offset = alt.expr(f"datum.share * min(13 * datum.others, {room} - 14)")
        labels = {name: name for name in models.names if name in set(marked.model)}
        shown = Models(models.names, labels, legend_width=max(360, CELL_WIDTH * len(rates)))
        symbol: dict[str, Any] = {"stroke": "#ffffff", "strokeWidth": 1.2, "yOffset": 14}
        layers.append(
            alt.Chart(marked)
            .mark_point(size=60, opacity=1, **symbol, xOffset=offset)
            .encode(
                x=x,
                y=y,
                color=_color(shown, live),
                shape=_by_model(alt.Shape, shown, live, SHAPES),
                **_tooltip(tooltip, live),
            )
        )
    return alt.LayerChart(layer=layers).properties(
        title=f"Validation accuracy in %, {cells.optimizer.iloc[0]}",
        width=CELL_WIDTH * len(rates),
        height=CELL_HEIGHT * len(sizes),
    )


def _described(cells: pd.DataFrame, comparison: pd.DataFrame) -> pd.DataFrame:
    """Add to each cell of the sweep what is written in it and the models that have its settings."""
    by = ["batch_size", "learning_rate"]
    models = comparison.drop_duplicates("model").groupby(by).model.agg(list).to_dict()
    found = [models.get(place) for place in zip(cells.batch_size, cells.learning_rate, strict=True)]
    cells = cells.assign(
        size=cells.batch_size.map(count),
        rate=cells.learning_rate.map(rate),
        models=pd.Series(found, cells.index),
        names=[", ".join(names or "–") for names in found],
        error=1 - cells.validation_accuracy,
        sign=[STATUS_SIGNS.get(status, "") for status in cells.status],
        words=[f"{100 * accuracy:.1f}" for accuracy in cells.validation_accuracy],
    )
    low, high = np.log(_error_domain(cells))
    # Above this share of viridis, black has more contrast than white.
    return cells.assign(bright=(high - np.log(cells.error.clip(lower=1e-9))) / (high - low) > 0.45)


def _error_domain(cells: pd.DataFrame) -> list[float]:
    """Return the lowest and highest error of what learned, apart by a factor of two at least."""
    errors = cells.error[cells.sign == ""].dropna()
    high = min(1.0, max(errors.max(), 0.01)) if len(errors) else 1.0
    low = max(errors.min(), 0.001) if len(errors) else 0.5
    return [float(min(low, high / 2)), float(high)]


def confusion_matrix(
    table: pd.DataFrame, classes: Sequence[str] | None = None, live: bool = False
) -> alt.LayerChart:
    """Chart how many test images of each class were predicted as which; misclassified ones are shaded."""
    table = table.assign(correct=table.true == table.predicted)
    for side in ("true", "predicted"):
        table[side] = _class_names(table[side], classes)
    names = list(dict.fromkeys(table.true))
    most = max(1, int(table.images[~table.correct].max())) if (~table.correct).any() else 1
    tooltip = [
        _word("true", "true class"),
        _word("predicted", "predicted class"),
        _number("images", "images", ","),
    ]
    x, y = _columns("predicted", "predicted class", names, live), _rows("true", "true class", names)
    base = alt.Chart(table).encode(x=x, y=y, **_tooltip(tooltip, live))
    shade = alt.Color("images:Q", scale=alt.Scale(type="sqrt", domain=[0, most]), legend=None)
    layers = [
        base.transform_filter("!datum.correct").mark_rect().encode(color=shade),
        base.transform_filter("datum.correct").mark_rect(style="diagonal"),
    ]
    if len(names) <= MAX_NUMBERED_CLASSES:
        layers.append(
            base.transform_filter("datum.images > 0").mark_text(fontSize=11).encode(text="images:Q")
        )
    height = max(240, min(30 * len(names), 600))
    return alt.LayerChart(layer=layers).properties(
        title="Confusion matrix", width=round(1.1 * height), height=height
    )


def worst_mistakes(
    table: pd.DataFrame, images: np.ndarray, classes: Sequence[str] | None = None, live: bool = False
) -> alt.LayerChart:
    """Show the misclassified images whose true class got the lowest probability."""
    true, predicted = _class_names(table.true, classes), _class_names(table.predicted, classes)
    words = [textwrap.wrap(f"{a} → {b}", 14) for a, b in zip(true, predicted, strict=True)]
    table = table.assign(true=true, predicted=predicted, words=pd.Series(words, table.index))
    tooltip = [
        _word("true", "true class"),
        _word("predicted", "predicted class"),
        _number("probability", "probability of the predicted class", ".1%"),
        _number("image", "row in the test images", "d"),
    ]
    title = alt.Title("Most confident mistakes", subtitle="true class → predicted class")
    return _images_chart(table, images, MISTAKES_PER_ROW, 88, tooltip, live).properties(title=title)


def sample_images(
    images: np.ndarray, labels: np.ndarray, classes: Sequence[str] | None = None, live: bool = False
) -> alt.LayerChart:
    """Show the first image of each class."""
    found, first = np.unique(labels, return_index=True)
    names = _class_names(pd.Series(found), classes)
    words = [textwrap.wrap(name, 10) for name in names]
    table = pd.DataFrame({"image": first, "label": names, "words": words})
    tooltip = [
        _word("label", "class"),
        _number("image", "row in the training images", "d"),
    ]
    return _images_chart(table, images, SAMPLES_PER_ROW, 64, tooltip, live)


def _images_chart(
    table: pd.DataFrame, images: np.ndarray, columns: int, tile: int, tooltip: list[alt.Tooltip], live: bool
) -> alt.LayerChart:
    """Lay images out in rows, each with its `words`, a list of lines, below it."""
    places = np.arange(len(table))
    table = table.assign(column=places % columns, row=places // columns)
    table["url"] = [_png(images[image]) for image in table.image]
    rows, words = -(-len(table) // columns), 14 * max(map(len, table.words)) + 12
    # The page makes tiles as wide as there is room. A still chart, one of several, has no such signal.
    side = alt.expr(f"width / {columns} - 8") if live else tile - 8
    below = alt.expr(f"width / {columns} - 4") if live else tile - 4
    x = alt.X("column:Q", axis=None, scale=alt.Scale(domain=[-0.5, columns - 0.5], nice=False, zero=False))
    y = alt.Y("row:Q", axis=None, scale=alt.Scale(domain=[rows, 0], nice=False, zero=False))
    base = alt.Chart(table).encode(x=x, y=y, **_tooltip(tooltip, live))
    layers = [
        base.mark_image(width=side, height=side, baseline="top", smooth=False).encode(url="url:N"),
        base.mark_text(fontSize=11, baseline="top", dy=below, lineHeight=14).encode(text="words:N"),
    ]
    return _square_units(alt.LayerChart(layer=layers), columns * tile, rows / columns, rows * words, live)


def _square_units(
    chart: alt.LayerChart, width: float, aspect: float, extra: float, live: bool
) -> alt.LayerChart:
    """Set a width and the height that goes with it, `aspect * width + extra`, on the page too."""
    rule = {"usermeta": {"aspect": aspect, "extra": extra}} if live else {}
    return chart.properties(width=width, height=aspect * width + extra, **rule)


def _png(image: np.ndarray) -> str:
    """Encode an image as a PNG in a data URL, dark ink on white paper in either theme."""
    buffer = io.BytesIO()
    Image.fromarray(255 - image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _class_names(values: pd.Series, classes: Sequence[str] | None) -> list[str]:
    return [str(value) if classes is None else classes[int(value)] for value in values]


def _with_models(
    layers: list[alt.Chart], base: alt.Chart, tooltip: list[alt.Tooltip], models: Models, live: bool
) -> alt.LayerChart:
    """Layer the marks of several models; a live chart has tooltips at points, zoom and a choice of models."""
    if not live:
        return alt.LayerChart(layer=layers)
    near = alt.selection_point(name="near", on="pointerover", clear="pointerout", nearest=True)
    points = base.mark_point(size=110).encode(
        tooltip=tooltip, opacity=alt.when(near, empty=False).then(alt.value(1)).otherwise(alt.value(0))
    )
    zoom = alt.selection_interval(
        name="zoom",
        bind="scales",
        zoom="wheel![event.ctrlKey || event.metaKey]",  # so that the wheel alone scrolls the page
        translate="[pointerdown[event.pointerType === 'mouse'], window:pointerup] > window:pointermove!",
    )
    chosen = alt.param(name="chosen", value=list(models.names))
    # Without names, Altair numbers the views, and a second rendering in one process would differ.
    first, points = layers[0].properties(name="first"), points.properties(name="points").add_params(near)
    chart = alt.LayerChart(layer=[first.add_params(zoom), *layers[1:], points]).add_params(chosen)
    return chart.transform_filter("!isDefined(datum.model) || indexof(chosen, datum.model) >= 0")


def _word(field: str, title: str) -> alt.Tooltip:
    # Without an empty format, a chart with a nearest-point selection shows `undefined`.
    return alt.Tooltip(f"{field}:N", title=title, format="")


def _number(field: str, title: str, format: str) -> alt.Tooltip:
    return alt.Tooltip(f"{field}:Q", title=title, format=format)


def _tooltip(lines: list[alt.Tooltip], live: bool) -> dict[str, Any]:
    return {"tooltip": lines} if live else {}


def _color(models: Models, live: bool) -> alt.Color:
    return _by_model(alt.Color, models, live)


def _by_model(channel: type, models: Models, live: bool, values: Sequence[Any] | None = None) -> Any:
    """Encode the model as colour, dash or shape; the page has a legend of its own."""
    scale = alt.Scale(domain=list(models.names))
    if values is not None:
        scale = scale.copy()
        scale.range = cycled(values, models.names)
    if live:
        return channel("model:N", scale=scale, legend=None)
    labels = models.labels
    longest = max(map(len, labels.values()), default=1)
    legend = alt.Legend(
        title=None,
        values=list(labels),
        labelExpr=f"{json.dumps(dict(labels), ensure_ascii=False)}[datum.label]",
        symbolLimit=max(1, len(labels)),  # Vega leaves out what is beyond the thirtieth
        columns=max(1, min(len(labels), models.legend_width // (7 * longest + 45))),
        symbolOpacity=1,
        symbolStrokeWidth=0,
        symbolSize=110,
    )
    return channel("model:N", scale=scale, legend=legend)


def _progress_axis(by: str, table: pd.DataFrame) -> alt.X:
    if by == "updates":
        return alt.X("updates:Q", title="updates (log scale)", **_log_axis(table.updates))
    scale = alt.Scale(domain=[0, max(1, int(table.epoch.max()))], nice=False, padding=6)
    return alt.X("epoch:Q", title="epoch", scale=scale, axis=alt.Axis(tickMinStep=1, format="d"))


def _metric_axis(metric: Metric, table: pd.DataFrame) -> dict[str, Any]:
    if metric.scale == "log":
        return _log_axis(pd.concat([table.lowest, table.highest]))
    return {
        "scale": alt.Scale(domain=[0, 1], nice=False, padding=6),
        "axis": alt.Axis(format=".0%", tickCount=5),
    }


def _log_axis(values: pd.Series) -> dict[str, Any]:
    """Return scale and axis of positive values, with ticks at powers of ten, and between if they span few."""
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if len(values) else (1.0, 10.0)
    ticks = _powers(low, high, (1, 2, 5) if high < 100 * low else (1,))
    # Vega computes the key of a label from the tick: a hundred times its decimal logarithm.
    names = {round(100 * math.log10(tick)): number(tick, 1) for tick in ticks}
    label = f"{json.dumps(names, ensure_ascii=False)}[round(100 * log(datum.value) / LN10)]"
    return {
        "scale": alt.Scale(type="log", nice=False, padding=6),
        "axis": alt.Axis(values=ticks, labelExpr=label),
    }


def _powers(low: float, high: float, parts: Sequence[int]) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, math.ceil((last - first) / 8))
    return [float(f"{part}e{power}") for power in range(first, last + 1, step) for part in parts]


def _direction(channel: type, field: str, title: str, values: pd.Series) -> Any:
    scale = alt.Scale(domain=[float(values.min()), float(values.max())], nice=False, zero=False)
    axis = alt.Axis(grid=False, tickCount=4, format="~g", labelOverlap=True, labelSeparation=8)
    return channel(f"{field}:Q", title=title, scale=scale, axis=axis)


def _rows(field: str, title: str, order: list[str]) -> alt.Y:
    axis = alt.Axis(grid=False, ticks=False, domain=False)
    return alt.Y(f"{field}:N", title=title, sort=order, axis=axis)


def _columns(field: str, title: str, order: list[str], live: bool) -> alt.X:
    """Encode words as the columns of a heat map; labels that are wider than a column stand upright."""
    label_width = 7 * max(map(len, order))
    turn: dict[str, Any] = {"labelAngle": -90 if label_width > CELL_WIDTH else 0}
    if live:
        upright = f"width / {len(order)} < {label_width}"
        turn = {
            "labelAngle": alt.expr(f"{upright} ? -90 : 0"),
            "labelAlign": alt.expr(f"{upright} ? 'right' : 'center'"),
            "labelBaseline": alt.expr(f"{upright} ? 'middle' : 'top'"),
        }
    axis = alt.Axis(grid=False, ticks=False, domain=False, **turn)
    return alt.X(f"{field}:N", title=title, sort=order, axis=axis)
