"""The words below the figures, derived from the tables; texts are Markdown, as in sentences.py."""

import math

import pandas as pd

from descent.data import Dataset
from descent.format import (
    STATUS_SIGNS,
    capital,
    code,
    count,
    counted,
    listed,
    markdown,
    percent,
    percent_range,
    rate,
)
from descent.rates import best_rates, cells, scaling
from descent.report import landscape

AT_THE_RING = 0.05
"""A trajectory of at most this share of the longest does not leave the mark of the start."""


def lines_text(rows: pd.DataFrame) -> str:
    """Say what the lines of a study's charts are."""
    if rows.seeds.max() == 1:
        return "Each line is one run."
    seeds = " or ".join(map(str, sorted(rows.seeds.unique())))
    return f"Lines are medians over {seeds} seeds, bands reach from the lowest to the highest."


def trajectories_text(rows: pd.DataFrame, projected: pd.DataFrame, seed: int) -> str:
    """Describe a study's trajectories over the loss surface; `projected` has those of all studies."""
    projected = projected[projected.study.isin(rows.study)]
    text = (
        f"The weights of the runs of seed {seed}, with a mark after each epoch; all start at the ring. Of "
        "all planes through the start, this one shows most of the movement; its colours are the training "
        "loss."
    )
    far = rows.model[rows.status.isin(landscape.EXCLUDED)]
    if len(far):
        leave = "leaves" if len(far) == 1 else "leave"
        text += f" {listed(code(far))} {leave} the picture: only the direction is shown."
    ends = projected[(projected.epoch == projected.epoch.max()) & ~projected.model.isin(far)]
    lengths = ends.x.pow(2).add(ends.y**2).pow(0.5)
    for model in ends.model[lengths < AT_THE_RING * lengths.max()]:
        text += f" `{model}` hardly leaves the ring."
    shares = ends.explained.dropna()
    if len(shares):
        share = percent_range(shares.min(), shares.max(), 1)
        text += f" The plane explains {share} of the squared distances from start to end."
    return text


def sweep_text(sweep: pd.DataFrame) -> str:
    """Describe the heat map of the sweep."""
    table, seeds, optimizers = cells(sweep), sweep.seed.nunique(), sweep.groupby("optimizer", sort=False)
    mean = f", mean of {seeds} seeds" if seeds > 1 else ""
    text = f"Validation accuracy in percent after {counted(int(sweep.epochs.max()), 'epoch')}{mean}."
    signs = [f"{sign} {status}" for status, sign in STATUS_SIGNS.items() if (table.status == status).any()]
    if signs:
        text += f" A sign stands for runs that learned nothing: {listed(signs)}."
    if len(table) < len(table.drop_duplicates(["optimizer", "batch_size"])) * table.learning_rate.nunique():
        text += " Empty cells were not tried."
    top = table.loc[table.validation_accuracy.idxmax()]
    optimizer = f"with {top.optimizer} " * (len(optimizers) > 1)
    text += (
        f" The highest is {percent(top.validation_accuracy)}, {optimizer}at batch size "
        f"{count(top.batch_size)} and learning rate {rate(top.learning_rate)}. The best learning rate of "
        "each row is framed; symbols mark the models of the studies."
    )
    for name, rows in optimizers:
        if rows.batch_size.nunique() > 1:
            text += f" {capital(f'with {name}, ' * (len(optimizers) > 1) + scaling_text(rows))}"
    return text


def scaling_text(sweep: pd.DataFrame) -> str:
    """Say how the best learning rate changes with the batch size, for one optimizer."""
    found = best_rates(sweep)
    law = scaling(found)
    if law is None:
        return (
            "the grid does not show how the best learning rate depends on the batch size: fewer than two "
            "batch sizes learned and have it inside the grid."
        )
    rates = found.set_index("batch_size").learning_rate
    power = f"{law.exponent:.2f}".replace("-", "−")
    power += "" if math.isnan(law.error) else f" ± {law.error:.2f} (standard error)"
    change = f"{'rises' if law.exponent > 0 else 'falls'} as the batch size to the power of {power}"
    if not math.isnan(law.error) and abs(law.exponent) <= 2 * law.error:  # about 95 % of what chance makes
        change = f"changes with the batch size by no more than chance would have it (to the power of {power})"
    text = (
        f"from batch size {count(law.smallest)} to {count(law.largest)} the best learning rate goes from "
        f"{rate(rates[law.smallest])} to {rate(rates[law.largest])}. Interpolated between the cells, it "
        f"{change}."
    )
    learned = found[found.status == "learned"]
    at_the_edge = set(learned.batch_size[learned.refined.isna()])
    not_learned = set(sweep.batch_size) - set(learned.batch_size)
    for sizes, why in (
        (not_learned, "as no run reached the status `learned`"),
        (at_the_edge, "as the best learning rate is at an edge of the grid"),
    ):
        if sizes:
            text += f" Left out: batch size {listed(list(map(count, sorted(sizes))))}, {why}."
    return text


def mistakes_text(model: pd.Series, confusion: pd.DataFrame, dataset: Dataset) -> str:
    """Describe the confusion matrix and the worst mistakes of the best model, a row of the comparison."""
    matrix = confusion[confusion.model == model.model]
    wrong = matrix[(matrix.true != matrix.predicted) & (matrix.images > 0)]
    total = count(matrix.images.sum())
    text = f"It has the highest validation accuracy of all models. Its best run (seed {model.best_seed})"
    if wrong.empty:
        text += f" classifies all {total} test images correctly."
    else:
        most = wrong.sort_values("images", ascending=False, kind="stable").iloc[0]
        true, predicted = (
            f"class {label}" if dataset.numbered else markdown(dataset.class_names[label])
            for label in (most.true, most.predicted)
        )
        text += (
            f" misclassifies {count(wrong.images.sum())} of {total} test images; most often, "
            f"{counted(most.images, 'time')}, {true} is classified as {predicted}. The images shown are "
            "those whose true class got the lowest probability."
        )
    return text
