"""The ridge of the map: the best learning rate for each batch size, and how it grows with the batch size."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from stages.core import outcome
from stages.core.report.wording import count, number, setting


class Scaling(NamedTuple):
    """The best rate taken as proportional to the batch size to the power of `exponent`.

    `error` is the exponent's standard error, NaN for fewer than three batch sizes; `smallest` and
    `largest` are the batch sizes that it was taken from.
    """

    exponent: float
    error: float
    smallest: int
    largest: int


def best_rates(table: pd.DataFrame) -> pd.DataFrame:
    """One row per batch size: learning_rate, validation_accuracy (the mean over the seeds), status, between.

    The best rate has the highest accuracy, a tie goes to the lower loss, then to the lower rate.
    `between` refines it to where a parabola through it and its two neighbours, in the logarithm of
    the rate, is highest; it is NaN for a rate at the edge of the map, beyond which a better may lie.
    """
    means = _means(table)
    rows = [_best(size, rates.reset_index(drop=True)) for size, rates in means.groupby("batch_size")]
    return pd.DataFrame(rows)


def scaling(ridge: pd.DataFrame) -> Scaling | None:
    """The least-squares line of log rate by log batch size through `best_rates`.

    Only where the best rate lies inside the map and its runs have learned: with a handful of updates
    the largest rate that does no harm is best, whatever the batch size. None if that leaves fewer
    than two batch sizes.
    """
    inner = ridge[ridge.between.notna() & (ridge.status == "learned")]
    if len(inner) < 2:
        return None
    sizes, rates = np.log(inner.batch_size.astype(float)), np.log(inner.between)
    exponent, offset = np.polyfit(sizes, rates, 1)
    spread, freedom = float(((sizes - sizes.mean()) ** 2).sum()), len(inner) - 2
    residue = float(((rates - exponent * sizes - offset) ** 2).sum())
    error = math.sqrt(residue / freedom / spread) if freedom else math.nan
    return Scaling(float(exponent), error, int(inner.batch_size.min()), int(inner.batch_size.max()))


def sentence(table: pd.DataFrame) -> str:
    """How the best learning rate moves with the batch size, in words derived from the map."""
    ridge = best_rates(table)
    law = scaling(ridge)
    if law is None:
        return (
            "The map does not show how the best learning rate moves with the batch size: it lies at its edge."
        )
    of_few, of_many = (ridge.set_index("batch_size").loc[size] for size in (law.smallest, law.largest))
    margin = "" if math.isnan(law.error) else f" ± {number(law.error, 2)} (standard error)"
    return (
        f"From batch size {count(law.smallest)} to {count(law.largest)} the map's best learning rate goes "
        f"from {setting(of_few.learning_rate)} to {setting(of_many.learning_rate)}: it {_moves(law)}, as the "
        f"batch size to the power of {_signed(law.exponent)}{margin}."
    )


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """Over the seeds; a loss that is not finite is worse than all others."""
    losses = table.validation_loss.astype(float).fillna(math.inf)
    by = ["batch_size", "learning_rate"]
    cells = table.assign(validation_loss=losses).groupby(by)
    means = cells[["validation_accuracy", "validation_loss"]].mean()
    return means.assign(status=cells.status.agg(lambda found: outcome.of_model(list(found)))).reset_index()


def _best(size: int, rates: pd.DataFrame) -> dict[str, float]:
    order = rates.sort_values(
        ["validation_accuracy", "validation_loss", "learning_rate"], ascending=[False, True, True]
    )
    place = int(order.index[0])
    best = rates.loc[place]
    return {
        "batch_size": size,
        "learning_rate": best.learning_rate,
        "validation_accuracy": best.validation_accuracy,
        "status": best.status,
        "between": _summit(rates.iloc[place - 1 : place + 2]) if 0 < place < len(rates) - 1 else math.nan,
    }


def _summit(three: pd.DataFrame) -> float:
    """Where the parabola through three points, the middle one the highest, has its top."""
    logs, heights = np.log(three.learning_rate.to_numpy()), three.validation_accuracy.to_numpy()
    curvature, slope, _ = np.polyfit(logs - logs[1], heights, 2)
    flat = curvature > -1e-12  # three alike: no top to find
    return float(
        np.exp(logs[1] + (0 if flat else np.clip(-slope / 2 / curvature, *(logs[[0, 2]] - logs[1]))))
    )


def _moves(law: Scaling) -> str:
    """The error is doubled: about 95 % of what the exponent may be."""
    if not math.isnan(law.error) and abs(law.exponent) <= 2 * law.error:
        return "moves by no more than chance would have it"
    return "rises" if law.exponent > 0 else "falls"


def _signed(exponent: float) -> str:
    return ("−" if exponent < 0 else "") + number(abs(exponent), 2)
