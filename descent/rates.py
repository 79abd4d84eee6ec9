"""Learning rates from the sweep: the best of each batch size and optimizer, and those of the tuned models."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from descent.metrics import EPOCH_METRICS
from descent.results import NOT_LEARNED, worst_status

ROW = ["optimizer", "batch_size"]
"""The columns that name a row of the sweep's heat map."""


class Scaling(NamedTuple):
    """The best learning rate as proportional to the batch size to the power of `exponent`."""

    exponent: float  # the slope of log rate by log batch size
    error: float  # its standard error; NaN for fewer than three batch sizes
    smallest: int  # batch size used
    largest: int


def cells(sweep: pd.DataFrame) -> pd.DataFrame:
    """Average the sweep over its seeds.

    Returns:
        A row per optimizer, batch size and learning rate, sorted: optimizer, batch_size, learning_rate,
        updates, EPOCH_METRICS (means; a loss is infinite if a seed's is not finite), status (the worst
        of its runs), best (whether this is the best learning rate of its optimizer and batch size).
    """
    ranked = _ranked(sweep)
    failed = ranked.status.isin(NOT_LEARNED)
    return ranked.assign(best=~ranked.duplicated(ROW) & ~failed).sort_index()


def _ranked(sweep: pd.DataFrame) -> pd.DataFrame:
    """Sort the averages so that the best rate of a row comes first.

    That is one that learned anything, then the highest accuracy; a tie goes to the lower loss, then to
    the lower rate.
    """
    by, metrics = [*ROW, "learning_rate"], [metric.key for metric in EPOCH_METRICS]
    groups = sweep.assign(validation_loss=sweep.validation_loss.fillna(math.inf)).groupby(by)
    table = groups[["updates", *metrics]].mean()
    table["status"] = groups.status.agg(lambda found: worst_status(list(found)))
    order = table.reset_index().assign(
        failed=lambda rows: rows.status.isin(NOT_LEARNED),
        accuracy=lambda rows: rows.validation_accuracy.round(9),  # as in the file
    )
    keys = {"failed": True, "accuracy": False, "validation_loss": True, "learning_rate": True}
    ranked = order.sort_values(list(keys), ascending=list(keys.values()))
    return ranked.drop(columns=["failed", "accuracy"])


def best_rates(sweep: pd.DataFrame) -> pd.DataFrame:
    """Find the best learning rate of each optimizer and batch size.

    Returns:
        The best rows of `cells`, with `refined`: the rate at the top of a parabola through the best rate
        and its two neighbours, in the logarithm of the rate; NaN at the edge of the grid, beyond which a
        better rate may lie. A batch size of which no run learned has no row.
    """
    rows = []
    for _, group in cells(sweep).groupby(ROW):
        for place in np.flatnonzero(group.best):
            inside = 0 < place < len(group) - 1
            refined = _parabola_top(group.iloc[place - 1 : place + 2]) if inside else math.nan
            rows.append(group.iloc[place].to_dict() | {"refined": refined})
    columns = [*ROW, "learning_rate", "updates", "validation_accuracy", "status", "refined"]
    return pd.DataFrame(rows, columns=columns)


def _parabola_top(three: pd.DataFrame) -> float:
    logs, heights = np.log(three.learning_rate.to_numpy(float)), three.validation_accuracy.to_numpy(float)
    curvature, slope, _ = np.polyfit(logs - logs[1], heights, 2)
    if curvature > -1e-12:  # three alike
        return float(np.exp(logs[1]))
    return float(np.exp(logs[1] + np.clip(-slope / 2 / curvature, *(logs[[0, 2]] - logs[1]))))


def scaling(rates: pd.DataFrame) -> Scaling | None:
    """Fit a power law to the `best_rates` of one optimizer by least squares; None for fewer than two sizes.

    Only batch sizes that learned and whose best rate lies inside the grid count: with a handful of
    updates the largest rate that does no harm is the best one, whatever the batch size.
    """
    inside = rates[rates.refined.notna() & (rates.status == "learned")]
    if len(inside) < 2:
        return None
    sizes = inside.batch_size.astype(float)
    line = stats.linregress(np.log(sizes), np.log(inside.refined.astype(float)))
    error = float(np.nan_to_num(line.stderr)) if len(inside) > 2 else math.nan  # NaN for equal rates
    return Scaling(float(line.slope), error, int(sizes.min()), int(sizes.max()))


def tuned_rates(sweep: pd.DataFrame, rows: Mapping[str, tuple[str, int]]) -> dict[str, float]:
    """Choose the best learning rate of each tuned model.

    Where no run of a row learned anything, this is its rate with the highest accuracy all the same; the
    model's status will say what became of it. `rows` has optimizer and batch size of each model.
    """
    first = _ranked(sweep).drop_duplicates(ROW).set_index(ROW).learning_rate
    return {name: float(first[row]) for name, row in rows.items()}
