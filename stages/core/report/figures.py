"""The pictures of the report: for each its charts, its title, its caption and its words for who cannot see
it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stages.core.params import Params
from stages.core.report import captions, curves, descent_map, mistakes_map, ridge
from stages.core.report.comparison import best, read_table
from stages.core.report.sweep_chart import sweep_chart
from stages.core.report.vega import Spec


class Numbers(NamedTuple):
    """The tables in reports/ that everything is rendered from, each named as its file."""

    comparison: pd.DataFrame
    history: pd.DataFrame
    differences: pd.DataFrame
    paths: pd.DataFrame
    surface: pd.DataFrame
    confusion: pd.DataFrame
    mistakes: pd.DataFrame


def read_numbers(folder: Path | str = "reports") -> Numbers:
    """The tables as they lie in `folder`."""
    return Numbers(*(read_table(Path(folder) / f"{name}.csv") for name in Numbers._fields))


class Figure(NamedTuple):
    """A picture: its charts, two beside one another, and what is said of it.

    `study` is the study it belongs to, or empty; `name` that of its files; `alternative` describes it.
    """

    study: str
    name: str
    title: str
    caption: str
    alternative: str
    charts: list[Spec]
    legend: Mapping[str, str]


def labels(rows: pd.DataFrame) -> dict[str, str]:
    """What each model of a study is called in a legend: its name, and its status unless it learned."""
    return {
        row.model: row.model if row.status == "learned" else f"{row.model} ({row.status})"
        for row in rows.itertuples()
    }


def of_study(params: Params, numbers: Numbers, study: str) -> list[Figure]:
    """The pictures of one study, in the order they are shown."""
    rows = numbers.comparison[numbers.comparison.study == study]
    models, shown = list(params.models), labels(rows)
    history = numbers.history[numbers.history.model.isin(rows.model)]
    course = [
        curves.panel(history, measure, against, models, shown)
        for against in ("epoch", "updates")
        for measure in (curves.LOSS, curves.ACCURACY)
    ]
    movement = [
        curves.panel(history, measure, "epoch", models, shown) for measure in (curves.SLOPE, curves.DISTANCE)
    ]
    found = [
        Figure(study, f"{study}-curves", "How they learn", *captions.course(params, rows), course, shown),
        Figure(
            study, f"{study}-movement", "How they move", *captions.movement(params, rows), movement, shown
        ),
    ]
    paths, surface = (table[table.study == study] for table in (numbers.paths, numbers.surface))
    if surface.empty:
        return found
    charts = descent_map.panels(paths, surface, models, shown)
    words = captions.descent(params, rows, paths, history)
    return [*found, Figure(study, f"{study}-descent", "Where they go", *words, charts, shown)]


def of_the_best(numbers: Numbers, images: np.ndarray) -> list[Figure]:
    """The mistakes of each study's best model, from the test images (n, 28, 28) uint8."""
    rows = numbers.comparison
    winners = [best(members) for _, members in rows.groupby("study", sort=False)]
    found = []
    for model in dict.fromkeys(filter(None, winners)):
        matrix, worst = (
            table[table.model == model].drop(columns="model")
            for table in (numbers.confusion, numbers.mistakes)
        )
        charts = [mistakes_map.confusion_chart(matrix)]
        if len(worst):
            charts.append(mistakes_map.worst_chart(worst, images))
        seed = rows[rows.model == model].best_seed.iloc[0]
        words = captions.mistakes(model, seed, matrix)
        found.append(Figure("", f"{model}-mistakes", f"What {model} gets wrong", *words, charts, {}))
    return found


def of_the_sweep(comparison: pd.DataFrame, sweep: pd.DataFrame) -> list[Figure]:
    """The map of batch sizes and learning rates, from the rows of sweep.csv: a chart for each optimizer."""
    models, charts = comparison.drop_duplicates("model"), []
    for optimizer, table in sweep.groupby("optimizer", sort=False):
        chart = sweep_chart(table, ridge.best_rates(table), models[models.optimizer == optimizer])
        charts.append(chart | {"title": f"{chart['title']}, {optimizer}"})
    title = "Every batch size at every learning rate"
    return [Figure("", "sweep", title, *captions.sweep(sweep), charts, {})]


def by_study(
    params: Params, numbers: Numbers, images: np.ndarray, sweep: pd.DataFrame | None
) -> dict[str, Sequence[Figure]]:
    """All pictures: those of each study by its name, and those that belong to none under ""."""
    studies = {study: of_study(params, numbers, study) for study in params.studies}
    others = [] if sweep is None else of_the_sweep(numbers.comparison, sweep)
    return {**studies, "": [*others, *of_the_best(numbers, images)]}
