"""What is said under each picture, and to those who cannot see it; pairs of caption and alternative text."""

import pandas as pd

from stages.core.params import Params
from stages.core.report.ridge import sentence as ridge_sentence
from stages.core.report.survey import IMAGES
from stages.core.report.wording import count, counted, number, percent, setting

LI = "Li et al. 2018, arXiv:1712.09913"
LORCH = "Lorch 2016, Visualizing Deep Network Training Trajectories with PCA"
ANTOGNINI = "Antognini and Sohl-Dickstein 2018, arXiv:1806.08805"


def course(params: Params, rows: pd.DataFrame) -> tuple[str, str]:
    """Of the curves of loss and accuracy."""
    caption = (
        "Above, the models have seen equally many images at each point; below, they have made equally many "
        f"updates. {_spread(params)} The loss is drawn on a logarithmic scale, so that a diverged one does "
        "not flatten the others."
    )
    ends = "; ".join(
        f"{row.model} ends at a training loss of {number(row.train_loss_mean)} and "
        f"{percent(row.validation_accuracy_mean)} validation accuracy"
        for row in rows.itertuples()
    )
    return (
        caption,
        f"Four line charts of training loss and validation accuracy, by epoch and by updates: {ends}.",
    )


def movement(params: Params, rows: pd.DataFrame) -> tuple[str, str]:
    """Of the curves of gradient norm and distance."""
    caption = (
        "The norm of the gradient says how steep the loss is where a model stands, the distance how far it "
        f"has come from its first weights. {_spread(params)} A value of 0 has no place on a logarithmic "
        "scale and is left out."
    )
    ends = "; ".join(
        f"{row.model} ends with a gradient norm of {number(row.gradient_norm_mean)} at a distance of "
        f"{number(row.distance_mean)}"
        for row in rows.itertuples()
    )
    return caption, f"Two line charts of gradient norm and distance from the start by epoch: {ends}."


def descent(
    params: Params, rows: pd.DataFrame, paths: pd.DataFrame, history: pd.DataFrame
) -> tuple[str, str]:
    """Of the paths over the loss surface."""
    gone = list(rows[rows.status == "diverged"].model)
    held = "; ".join(_held(table, gone) for _, table in paths.groupby("frame", sort=False))
    seed = params.train.seeds[0]
    leaps = "".join(f"{_leap(model, history, seed)} " for model in gone)
    caption = (
        f"The runs of seed {seed} all start from the same weights (ring) and are drawn with a mark an epoch "
        f"over the loss on {IMAGES} training images, in the plane of their principal directions ({LI}; "
        f"{LORCH}). {leaps}The planes hold part of the squared way from the start to the end: {held}. What "
        "happens in all other directions is not seen, so that the loss under a path is not quite its own; "
        f"and even random walks make smooth curves in such a plane ({ANTOGNINI})."
    )
    ways = "; ".join(
        f"{row.model} ({row.status}) moves {number(row.distance_mean)} from the start"
        for row in rows.itertuples()
    )
    return caption, f"Maps of the loss with the path of each model over it: {ways}."


def _held(table: pd.DataFrame, gone: list[str]) -> str:
    last = table[(table.epoch == table.epoch.max()) & ~table.model.isin(gone) & table.held.notna()]
    shares = ", ".join(f"{percent(row.held, 1)} of `{row.model}`'s" for row in last.itertuples())
    return f"{'the magnified one' if table.frame.iloc[0] else 'the first'} {shares}"


def _leap(model: str, history: pd.DataFrame, seed: int) -> str:
    run = history[(history.model == model) & (history.seed == seed) & (history.epoch == 1)]
    distance = run.distance.iloc[0]
    where = f"{number(distance)} away" if pd.notna(distance) else "farther away than a 32-bit number tells"
    return f"`{model}` leaves the picture at once: after one epoch it is {where}; its line only points there."


def mistakes(model: str, seed: int, matrix: pd.DataFrame) -> tuple[str, str]:
    """Of the confusion matrix and the worst mistakes."""
    wrong = matrix[matrix.digit != matrix.read_as]
    most = wrong.sort_values("images", ascending=False, kind="stable").iloc[0]
    caption = (
        f"The best seed of `{model}` ({seed}) reads {count(wrong.images.sum())} of the "
        f"{count(matrix.images.sum())} test images wrongly. Pictured are those whose own digit got the "
        "lowest probability."
    )
    often = f"most often, {most.images} times, a {most.digit} is read as a {most.read_as}"
    return caption, f"The confusion matrix of {model}: {often}. Beside it the worst mistakes, drawn large."


def sweep(table: pd.DataFrame) -> tuple[str, str]:
    """Of the map of batch sizes and learning rates."""
    updates = f"{count(table.updates.min())} to {count(table.updates.max())}"
    epochs, seeds = int(table.epochs.max()), table.seed.nunique()
    caption = (
        f"Each cell is a run of {counted(epochs, 'epoch')}{f', the mean of {seeds} seeds' * (seeds > 1)}; ✕ "
        "diverged, – stalled. The best rate of each batch size is framed, a dot marks where a model of the "
        f"studies lies. {ridge_sentence(table[table.optimizer == table.optimizer.iloc[0]])}"
    )
    best = table.loc[table.validation_accuracy.idxmax()]
    return caption, (
        f"A heat map of validation accuracy by batch size and learning rate, from {updates} updates: the "
        f"highest, {percent(best.validation_accuracy)}, is at batch size {count(best.batch_size)} and "
        f"learning rate {setting(best.learning_rate)}."
    )


def _spread(params: Params) -> str:
    seeds = len(params.train.seeds)
    if seeds == 1:
        return "Each line is one run."
    return f"Lines are the median of {seeds} seeds, bands reach from the lowest to the highest."


def left_out(alike: bool) -> str:
    """Why a study has no map of its descents."""
    if not alike:
        return (
            "The models are networks of different shapes: their weights do not lie in one space, so no map "
            "is drawn."
        )
    return (
        "All models diverged: they span no plane that could be drawn, so there is no map of their descents."
    )
