"""The charts of the report, in Altair.

Each function takes tables of descent.report.tables and returns a chart. Lines are still, with a legend, for
an SVG file, or live, with zoom and a choice of models, for the page. Charts name neither the colours of
models nor those of most ramps: these come from `theme`, so that one specification serves light and dark.
`classes` are the names of the classes.
"""

import base64
import io
import json
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
import pandas as pd
from PIL import Image

from descent.colors import THEMES
from descent.format import STATUS_SIGNS, count, number, rate
from descent.metrics import Metric
from descent.report.landscape import ASPECT

FONT = "Liberation Sans, Arimo, Arial, Helvetica, sans-serif"
"""Liberation Sans comes with vl-convert, so that a chart is laid out alike on every machine."""

DASHES = ([1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2])
SHAPES = {
    "circle": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0",
    "square": "M-4.5,-4.5h9v9h-9z",
    "triangle-up": "M0,-5L5.5,4.5h-11z",
    "diamond": "M0,-6L5,0L0,6L-5,0z",
    "cross": "M-2,-5.5h4v3.5h3.5v4h-3.5v3.5h-4v-3.5h-3.5v-4h3.5z",
    "triangle-down": "M0,5L5.5,-4.5h-11z",
    "triangle-right": "M5,0L-4.5,-5.5v11z",
}
"""Vega's symbols, as SVG paths for the legends of the page."""
# 8 colours, 5 dashes and 7 shapes have no common divisor: 40 lines and 56 points differ.

CURVE_WIDTH, CURVE_HEIGHT = 300, 220
SYMBOLS_PER_LINE = 10
SURFACE_WIDTH = 290
CELL_WIDTH, CELL_HEIGHT = 64, 46
MAX_NUMBERED_CLASSES = 20
"""With more classes the cells of a confusion matrix are too small for numbers."""


def theme(name: str) -> dict[str, Any]:
    """Return the Vega-Lite configuration of the theme `light` or `dark`."""
    look = THEMES[name]
    ink, faint, paper = look["ink"], look["faint"], look["paper"]
    text = {"labelColor": faint, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 0}
    symbols = {"symbolOpacity": 1, "symbolStrokeWidth": 0, "symbolSize": 110}
    lines = {"gridColor": look["grid"], "domainColor": faint, "tickColor": faint}
    title = {"color": ink, "fontSize": 14, "limit": 0, "anchor": "start", "offset": 10, "frame": "group"}
    return {
        "background": paper,
        "font": FONT,
        # Room for a font that is wider than the one that the chart was laid out with.
        "padding": {"left": 14, "right": 14, "top": 4, "bottom": 4},
        "view": {"stroke": None},
        "axis": text | lines | {"titleFontWeight": "normal", "titlePadding": 8, "labelFlush": False},
        "axisY": {"minExtent": 44},  # aligns plots one above another, however long their labels are
        "legend": text | {"orient": "bottom", "columnPadding": 24} | symbols,
        "title": title,
        "text": {"color": ink, "fontSize": 12},
        "point": {"filled": True, "size": 36},
        "style": {
            "casing": {"color": paper, "strokeWidth": 5, "opacity": 0.8},
            "ring": {"shape": "circle", "size": 150, "filled": False, "color": ink, "strokeWidth": 1.5},
            "empty": {"color": look["empty"]},
            "diagonal": {"color": look["diagonal"]},
            "guessing": {"color": faint},
        },
        "range": {"category": look["model"], "ramp": look["surface"], "heatmap": look["mistakes"]},
    }


class Models(NamedTuple):
    """The models of a chart.

    Attributes:
        names: All models of params.yaml; a model's place decides its colour, dash and shape. Vega starts
            over where they run out.
        labels: What the legend calls each model that is drawn.
        live: Whether the chart is for the page, which has a legend of its own.
        legend_width: The legend wraps at this width in pixels, so that it does not widen a figure.
    """

    names: Sequence[str]
    labels: Mapping[str, str]
    live: bool = False
    legend_width: int = 720

    def encode(self, channel: type, values: Sequence[Any] | None = None) -> Any:
        """Encode the model as a colour of the theme, or as one of `values`: dashes, shapes."""
        scale = alt.Scale(domain=list(self.names), range=alt.Undefined if values is None else list(values))
        return channel("model:N", scale=scale, legend=self._legend())

    def _legend(self) -> alt.Legend | None:
        if self.live:
            return None
        longest = max(map(len, self.labels.values()), default=1)
        return alt.Legend(
            title=None,
            values=list(self.labels),
            labelExpr=f"{json.dumps(dict(self.labels), ensure_ascii=False)}[datum.label]",
            symbolLimit=max(1, len(self.labels)),  # Vega leaves out what is beyond the thirtieth
            columns=max(1, min(len(self.labels), self.legend_width // (7 * longest + 45))),
        )

    def layer(self, layers: list[alt.Chart], points: alt.Chart, tooltip: list[alt.Tooltip]) -> alt.LayerChart:
        """Layer marks; a live chart has tooltips at `points`, zoom and a choice of models."""
        if not self.live:
            return alt.LayerChart(layer=layers)
        near = alt.selection_point(name="near", on="pointerover", clear="pointerout", nearest=True)
        zoom = alt.selection_interval(
            name="zoom",
            bind="scales",
            zoom="wheel![event.ctrlKey || event.metaKey]",  # so that the wheel alone scrolls the page
            translate="[pointerdown[event.pointerType === 'mouse'], window:pointerup] > window:pointermove!",
        )
        visible = alt.when(near, empty=False).then(alt.value(1)).otherwise(alt.value(0))
        points = points.mark_point(size=110, clip=True).encode(tooltip=tooltip, opacity=visible)
        # Without names, Altair numbers the views, and a second rendering in one process would differ.
        first, last = layers[0].properties(name="first"), points.properties(name="points")
        layers = [first.add_params(zoom), *layers[1:], last.add_params(near)]
        chosen = alt.param(name="chosen", value=list(self.names))
        known = "!isDefined(datum.model) || indexof(chosen, datum.model) >= 0"
        # In each layer: a filter of the whole is not applied to layers that have data of their own.
        return alt.LayerChart(layer=[one.transform_filter(known) for one in layers]).add_params(chosen)


def _tooltip(*lines: tuple[str, str, str]) -> list[alt.Tooltip]:
    """Show fields; each line is a field, its title and its number format, which is empty for a word."""
    # Without an empty format, a chart with a nearest-point selection shows a word as `undefined`.
    return [
        alt.Tooltip(field, type="quantitative" if format else "nominal", title=title, format=format)
        for field, title, format in lines
    ]


def learning_curve(
    history: pd.DataFrame, metric: Metric, by: str, models: Models, guessing: float | None = None
) -> alt.LayerChart:
    """Chart a metric by epoch or by updates: the median of the seeds, and their range as a band.

    `guessing` is the value of a network that guesses: a dotted line. The axis of an accuracy is logarithmic
    in the error, which separates 97 from 98 % as clearly as 30 from 55 %.
    """
    table = seed_range(history[history.model.isin(list(models.labels))], metric)
    x = {"scale": alt.Scale(domain=[0, max(1, int(table.epoch.max()))], nice=False, padding=6)}
    x |= {"title": "epoch", "axis": alt.Axis(tickMinStep=1, format="d")}
    if by == "updates":
        table = table[table.updates > 0]  # a logarithmic axis has no place for 0
        x = {"title": "updates (log scale)", **_log_axis(table.updates)}
    middle, low, high = ends = ["median", "lowest", "highest"]
    if metric.scale == "log":
        axis = _log_axis(table[ends].stack())
    else:
        errors = (1 - table[ends]).round(9)
        least = errors.where(errors > 0).min().min()
        errors = errors.clip(lower=least / 2 if least > 0 else 0.001)  # the axis has no place for 0
        middle, low, high = ends = [f"{end}_error" for end in ends]
        table[ends] = errors
        guessing = None if guessing is None else 1 - guessing
        axis = _log_axis(errors.stack(), lambda error: f"{100 * (1 - error):.6g} %")
        axis["scale"].reverse = True
    y = {"title": metric.axis, **axis}
    base = alt.Chart(table).encode(x=alt.X(f"{by}:Q", **x), color=models.encode(alt.Color))
    lines = base.encode(y=alt.Y(f"{middle}:Q", **y))
    marked, lost = (lines.transform_filter(f"datum.{name}") for name in ("marked", "not_finite_after"))
    layers = [
        base.mark_area(opacity=0.18, clip=True).encode(y=alt.Y(f"{low}:Q", **y), y2=f"{high}:Q"),
        lines.mark_line(strokeWidth=2, clip=True).encode(strokeDash=models.encode(alt.StrokeDash, DASHES)),
        marked.mark_point(opacity=1, clip=True).encode(shape=models.encode(alt.Shape, list(SHAPES))),
    ]
    if table.not_finite_after.any():
        # On the side where there is room.
        beside = alt.expr("datum.epoch <= max(1, datum.last_epoch / 4) ? 'left' : 'right'")
        layers.append(lost.mark_text(text="× not finite", align=beside, baseline="top", dy=6))
    if guessing is not None:
        line = alt.Chart(pd.DataFrame({"guessing": [guessing]})).encode(y=alt.Y("guessing:Q", **y))
        baseline, dy = ("top", 5) if metric.scale == "log" else ("bottom", -7)  # where there is room
        layers += [
            line.mark_rule(style="guessing", strokeDash=[1, 3], strokeWidth=1.5),
            line.mark_text(style="guessing", text="guessing", baseline=baseline, dy=dy),
        ]
    number_format = ".4~g" if metric.scale == "log" else ".2%"
    tooltip = _tooltip(
        ("model", "model", ""),
        ("epoch", "epoch", "d"),
        ("updates", "updates", ","),
        ("median", f"{metric.title.lower()} (median)", number_format),
        ("lowest", "lowest seed", number_format),
        ("highest", "highest seed", number_format),
    )
    return models.layer(layers, lines, tooltip).properties(
        title=f"{metric.title} by {by}", width=CURVE_WIDTH, height=CURVE_HEIGHT
    )


def seed_range(history: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Compute the median, lowest and highest value of the seeds per model and epoch.

    A value that is not finite counts as higher than all others, so that the median is missing where half
    of the seeds have none. On a logarithmic axis 0 has no place and is left out. `not_finite_after` marks
    the last epoch before the medians end, `marked` the epochs at which a symbol is drawn.
    """
    values = history[metric.key].astype(float)
    finite = values.where(np.isfinite(values))
    if metric.scale == "log":
        finite = finite.where(finite > 0)
    median = finite.where(np.isfinite(values), np.inf)
    columns = {"median": "median", "lowest": "min", "highest": "max"}
    table = history.assign(median=median, lowest=finite, highest=finite)
    table = table.groupby(["model", "epoch", "updates"], sort=False, as_index=False).agg(columns)
    table["median"] = table["median"].replace(np.inf, np.nan)
    last = table.groupby("model", sort=False).epoch.transform("max")
    following = table.groupby("model", sort=False)["median"].shift(-1)
    table["last_epoch"] = last
    table["not_finite_after"] = table["median"].notna() & following.isna() & (table.epoch < last)
    table["marked"] = table.epoch % np.ceil(last.max() / SYMBOLS_PER_LINE).clip(min=1) == 0
    return table


def _log_axis(
    values: pd.Series, name: Callable[[float], str] = lambda tick: number(tick, 1)
) -> dict[str, Any]:
    """Return scale and axis of positive values, with ticks at powers of ten, and between if they span few."""
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if len(values) else (1.0, 10.0)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = range(first, last + 1, max(1, math.ceil((last - first) / 8)))
    ticks = [
        float(f"{part}e{power}") for power in powers for part in ((1, 2, 5) if high < 100 * low else (1,))
    ]
    # Vega computes the key of a label from the tick: a hundred times its decimal logarithm.
    names = {round(100 * math.log10(tick)): name(tick) for tick in ticks}
    label = f"{json.dumps(names, ensure_ascii=False)}[round(100 * log(datum.value) / LN10)]"
    scale = alt.Scale(type="log", nice=False, padding=6)
    return {"scale": scale, "axis": alt.Axis(values=ticks, labelExpr=label)}


def trajectories(paths: pd.DataFrame, regions: pd.DataFrame, models: Models) -> alt.LayerChart:
    """Chart the trajectories of a study over the loss surface."""
    models = models._replace(legend_width=SURFACE_WIDTH)
    width = regions.x.max() - regions.x.min()
    paths = pd.concat([_drawable(path, width) for _, path in paths.groupby("model", sort=False)])
    x = _direction(alt.X, "x", "first principal direction", regions.x)
    y = _direction(alt.Y, "y", "second principal direction", regions.y)
    length = 200 if models.live else SURFACE_WIDTH
    legend = alt.Legend(
        direction="horizontal", gradientLength=length, gradientThickness=10, format="~g", tickCount=5
    )
    fill = alt.Fill("loss:Q", title="loss", legend=legend, scale=alt.Scale(type="log"))
    ground = alt.Chart(regions[["region", "corner", "loss", "x", "y"]]).encode(x=x, y=y, fill=fill)
    start = alt.Chart(pd.DataFrame({"x": [0], "y": [0]})).encode(x=x, y=y)
    base = alt.Chart(paths).encode(x=x, y=y)
    lines, order = base.encode(color=models.encode(alt.Color)), alt.Order("epoch:Q")
    layers = [
        ground.mark_line(interpolate="linear-closed", filled=True, strokeWidth=0, clip=True).encode(
            detail="region:N", order="corner:Q"
        ),
        base.mark_line(clip=True, style="casing").encode(detail="model:N", order=order),
        lines.mark_line(clip=True, strokeWidth=2.2).encode(
            strokeDash=models.encode(alt.StrokeDash, DASHES), order=order
        ),
        lines.mark_point(clip=True, size=32, opacity=1).encode(shape=models.encode(alt.Shape, list(SHAPES))),
        start.mark_point(style="ring"),
    ]
    tooltip = _tooltip(
        ("model", "model", ""),
        ("epoch", "epoch", "d"),
        ("explained", "variance explained by the plane", ".1%"),
    )
    chart = models.layer(layers, lines, tooltip).properties(title="Loss surface")
    return _with_height(chart, SURFACE_WIDTH, ASPECT)


def _direction(channel: type, field: str, title: str, values: pd.Series) -> Any:
    scale = alt.Scale(domain=[float(values.min()), float(values.max())], nice=False, zero=False)
    axis = alt.Axis(grid=False, tickCount=4, format=".4~g", labelOverlap=True, labelSeparation=8)
    return channel(f"{field}:Q", title=title, scale=scale, axis=axis)


def _drawable(path: pd.DataFrame, width: float) -> pd.DataFrame:
    """Return a trajectory up to the first point that is far outside, brought near in its direction."""
    far = path[["x", "y"]].abs().max(axis=1, skipna=False) / (3 * width)
    path = path.assign(x=path.x / far.clip(lower=1), y=path.y / far.clip(lower=1))
    return path[~(~(far <= 1)).shift(fill_value=False).cummax()].dropna(subset=["x", "y"])


def _with_height(chart: alt.LayerChart, width: float, aspect: float, extra: float = 0) -> alt.LayerChart:
    """Set a width and the height that goes with it, which the page computes anew from `usermeta`."""
    rule = {"aspect": aspect, "extra": extra}
    return chart.properties(width=width, height=aspect * width + extra, usermeta=rule)


def sweep_heat_map(cells: pd.DataFrame, comparison: pd.DataFrame, models: Models) -> alt.LayerChart:
    """Chart the validation accuracy by batch size and learning rate; by optimizer if there are several.

    The colour is the validation error on a logarithmic scale, which separates 84 from 97 % as clearly as
    20 from 84 %. The best learning rate of each row is framed; a symbol marks a model of a study.
    """
    cells = _described(cells, comparison)
    columns = [rate(value) for value in sorted(cells.learning_rate.unique())]
    rows, shared = [count(size) for size in sorted(cells.batch_size.unique())], cells.optimizer.iloc[0]
    field, title = "size", "batch size"
    if cells.optimizer.nunique() > 1:
        shared = f"batch size {rows[0]}"
        field, title, rows = "optimizer", "optimizer", list(cells.optimizer.unique())
    axes = (("rate", "learning rate", columns), (field, title, rows))
    tooltip = _tooltip(
        ("size", "batch size", ""),
        ("rate", "learning rate", ""),
        ("optimizer", "optimizer", ""),
        ("validation_accuracy", "validation accuracy", ".2%"),
        ("status", "status", ""),
        ("names", "models", ""),
    )
    base = _heat_map(cells.drop(columns="models"), *axes, tooltip)
    failed, learned = base.transform_filter("datum.sign"), base.transform_filter("!datum.sign")
    low, high = domain = _error_domain(cells)
    error = alt.Scale(type="log", scheme="viridis", reverse=True, domain=domain, clamp=True)
    fits = alt.expr(f"min(12, 0.36 * width / {len(columns)})")
    # Beyond this share of viridis, black has more contrast than white.
    bright = f"datum.error < {high * (low / high) ** 0.45}"
    contrast = alt.when(bright).then(alt.value("#000000")).otherwise(alt.value("#ffffff"))
    layers = [
        failed.mark_rect(style="empty"),
        failed.mark_text().encode(text="sign:N"),
        learned.mark_rect().encode(fill=alt.Fill("error:Q", scale=error, legend=None)),
        learned.transform_filter("datum.best")
        .mark_rect(filled=False, strokeWidth=2, width={"band": 0.9}, height={"band": 0.88})
        .encode(stroke=contrast),
        learned.mark_text(fontSize=fits).encode(text="words:N", color=contrast),
    ]
    marked = cells.explode("models").dropna(subset="models").rename(columns={"models": "model"})
    if len(marked):
        groups = marked.groupby([field, "rate"]).model
        marked["others"] = groups.transform("count") - 1
        marked["share"] = (groups.cumcount() - marked.others / 2) / marked.others.clip(lower=1)
        beside = alt.expr(f"datum.share * min(13 * datum.others, width / {len(columns)} - 14)")
        models = models._replace(legend_width=max(360, CELL_WIDTH * len(columns)))
        layers.append(
            _heat_map(marked, *axes, tooltip)
            .mark_point(size=60, opacity=1, stroke="#ffffff", strokeWidth=1.2, yOffset=14, xOffset=beside)
            .encode(color=models.encode(alt.Color), shape=models.encode(alt.Shape, list(SHAPES)))
        )
    return alt.LayerChart(layer=layers).properties(
        title=f"Validation accuracy in %, {shared}",
        width=CELL_WIDTH * len(columns),
        height=CELL_HEIGHT * len(rows),
    )


def _described(cells: pd.DataFrame, comparison: pd.DataFrame) -> pd.DataFrame:
    """Add to each cell of the sweep what is written in it and the models that have its settings."""
    by = ["optimizer", "batch_size", "learning_rate"]
    models = comparison.drop_duplicates("model").groupby(by).model.agg(list).rename("models")
    cells = cells.join(models, on=by)
    return cells.assign(
        size=cells.batch_size.map(count),
        rate=cells.learning_rate.map(rate),
        names=cells.models.str.join(", ").fillna("–"),
        error=1 - cells.validation_accuracy,
        sign=cells.status.map(STATUS_SIGNS).fillna(""),
        words=[f"{100 * accuracy:.1f}" for accuracy in cells.validation_accuracy],
    )


def _error_domain(cells: pd.DataFrame) -> list[float]:
    """Return the lowest and highest error of what learned, apart by a factor of two at least."""
    errors = cells.error[cells.sign == ""].dropna()
    high = min(1.0, max(errors.max(), 0.01)) if len(errors) else 1.0
    low = max(errors.min(), 0.001) if len(errors) else 0.5
    return [float(min(low, high / 2)), float(high)]


HeatAxis = tuple[str, str, list[str]]
"""Of a heat map: its field, its title, and the words along it."""


def _heat_map(
    table: pd.DataFrame, columns: HeatAxis, rows: HeatAxis, tooltip: list[alt.Tooltip]
) -> alt.Chart:
    """Prepare a heat map; labels that are wider than a column stand upright."""
    upright = f"width / {len(columns[2])} < {7 * max(map(len, columns[2]))}"
    turned = {"Angle": (-90, 0), "Align": ("'right'", "'center'"), "Baseline": ("'middle'", "'top'")}
    labels = {f"label{key}": alt.expr(f"{upright} ? {a} : {b}") for key, (a, b) in turned.items()}
    plain = {"grid": False, "ticks": False, "domain": False}
    (column, x, across), (row, y, down) = columns, rows
    return alt.Chart(table).encode(
        x=alt.X(f"{column}:N", title=x, sort=across, axis=alt.Axis(**plain, **labels)),
        y=alt.Y(f"{row}:N", title=y, sort=down, axis=alt.Axis(**plain)),
        tooltip=tooltip,
    )


def confusion_matrix(table: pd.DataFrame, classes: Sequence[str]) -> alt.LayerChart:
    """Chart how many test images of each class were predicted as which; misclassified ones are shaded."""
    correct, names = table.true == table.predicted, [classes[label] for label in table.true.unique()]
    most = max(1, int(table.images.where(~correct, 0).max()))
    tooltip = _tooltip(
        ("true", "true class", ""), ("predicted", "predicted class", ""), ("images", "images", ",")
    )
    table = _with_names(table, classes).assign(correct=correct)
    axes = (("predicted", "predicted class", names), ("true", "true class", names))
    base = _heat_map(table, *axes, tooltip)
    shade = alt.Color("images:Q", scale=alt.Scale(type="sqrt", domain=[0, most]), legend=None)
    layers = [
        base.transform_filter("!datum.correct").mark_rect().encode(color=shade),
        base.transform_filter("datum.correct").mark_rect(style="diagonal"),
    ]
    if len(names) <= MAX_NUMBERED_CLASSES:
        numbers = base.transform_filter("datum.images > 0")
        layers.append(numbers.mark_text(fontSize=11).encode(text="images:Q"))
    height = max(240, min(30 * len(names), 600))
    return alt.LayerChart(layer=layers).properties(
        title="Confusion matrix", width=round(1.1 * height), height=height
    )


def _with_names(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Replace the classes of a table by their names."""
    return table.assign(**table[["true", "predicted"]].map(lambda label: classes[label]))


def worst_mistakes(table: pd.DataFrame, images: np.ndarray, classes: Sequence[str]) -> alt.LayerChart:
    """Show the misclassified images whose true class got the lowest probability."""
    table = _with_names(table, classes)
    words = [f"{true} → {predicted}" for true, predicted in zip(table.true, table.predicted, strict=True)]
    tooltip = _tooltip(
        ("true", "true class", ""),
        ("predicted", "predicted class", ""),
        ("probability", "probability of the predicted class", ".1%"),
        ("image", "row in the test images", "d"),
    )
    chart = _images_chart(table, images, words, 4, 88, tooltip)
    return chart.properties(title="Worst mistakes: true → predicted class")


def sample_images(images: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> alt.LayerChart:
    """Show the first image of each class."""
    found, first = np.unique(labels, return_index=True)
    names = [classes[label] for label in found]
    table = pd.DataFrame({"image": first, "label": names})
    tooltip = _tooltip(("label", "class", ""), ("image", "row in the training images", "d"))
    columns, tile = (10, 64) if max(map(len, names)) < 4 else (5, 96)  # so that words fit on a phone
    return _images_chart(table, images, names, columns, tile, tooltip)


def _images_chart(
    table: pd.DataFrame,
    images: np.ndarray,
    words: Sequence[str],
    columns: int,
    tile: int,
    tooltip: list[alt.Tooltip],
) -> alt.LayerChart:
    """Lay the rows of `images` that a table names out in tiles, each with words below it."""
    places, lines = np.arange(len(table)), [textwrap.wrap(text, min(tile // 6, 12)) for text in words]
    table = table.assign(
        column=places % columns,
        row=places // columns,
        words=pd.Series(lines, table.index),
        url=[_png(images[image]) for image in table.image],
    )
    rows = -(-len(table) // columns)
    x = alt.X("column:Q", axis=None, scale=alt.Scale(domain=[-0.5, columns - 0.5], nice=False, zero=False))
    y = alt.Y("row:Q", axis=None, scale=alt.Scale(domain=[rows, 0], nice=False, zero=False))
    base, side = alt.Chart(table).encode(x=x, y=y, tooltip=tooltip), alt.expr(f"width / {columns} - 8")
    below = alt.expr(f"width / {columns} - 4")
    layers = [
        base.mark_image(width=side, height=side, baseline="top", smooth=False).encode(url="url:N"),
        base.mark_text(fontSize=11, baseline="top", dy=below, lineHeight=14).encode(text="words:N"),
    ]
    chart = alt.LayerChart(layer=layers)
    return _with_height(chart, columns * tile, rows / columns, rows * (14 * max(map(len, lines)) + 12))


def _png(image: np.ndarray) -> str:
    """Encode an image as a PNG in a data URL, dark ink on white paper in either theme."""
    buffer = io.BytesIO()
    Image.fromarray(255 - image).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
