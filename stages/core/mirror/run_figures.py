"""The pictures in a model's run: its seeds' curves, and which digits its best seed confuses.

Drawn by matplotlib, which comes with MLflow and takes 0.3 s of a train stage.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

SPLITS = {"train": "#d55e00", "validation": "#0072b2"}
RESOLUTION = 120


def write_figures(folder: Path, history: pd.DataFrame, counts: np.ndarray, title: str) -> None:
    """Write curves.png and confusion.png into `folder`, which exists; `counts` as `confusion` gives them."""
    figures = {"curves": draw_curves(history, title), "confusion": draw_confusion(counts, title)}
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=RESOLUTION, pil_kwargs={"compress_level": 1})


def confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many images of the digit in the row were taken for that in the column: counts (10, 10).

    From probabilities (n, 10) and labels (n,); where none is a number, the answer counts as 0.
    """
    answers = np.nan_to_num(probabilities).argmax(axis=1)
    return np.bincount(10 * labels.astype(int) + answers, minlength=100).reshape(10, 10)


def draw_curves(history: pd.DataFrame, title: str) -> Figure:
    """Loss and accuracy by epoch, a line for each seed, of training and of validation."""
    figure = Figure(figsize=(10, 4))  # a layout that adapts itself would draw all of it twice
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.12, top=0.88)
    figure.suptitle(f"{title}: each line is a seed")
    loss, accuracy = figure.subplots(1, 2)
    for split, colour in SPLITS.items():
        for place, (_, rows) in enumerate(history.groupby("seed")):
            look = {"color": colour, "linewidth": 1, "label": split if place == 0 else None}
            loss.plot(rows.epoch, rows[f"{split}_loss"], **look)
            accuracy.plot(rows.epoch, rows[f"{split}_accuracy"], **look)
    loss.set(xlabel="epoch", ylabel="cross-entropy", yscale="log")
    accuracy.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    accuracy.legend(frameon=False)
    return figure


def draw_confusion(counts: np.ndarray, title: str) -> Figure:
    """The counts as a table, darker where a larger share of the row's images lies; zeros are left blank."""
    figure = Figure(figsize=(5.5, 5.5))
    figure.subplots_adjust(left=0.1, right=0.97, bottom=0.09, top=0.93)
    axes: Axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        ink = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8, color=ink)
    axes.set(xlabel="answer", ylabel="digit", title=f"{title}: test images, best seed")
    axes.set(xticks=range(10), yticks=range(10))
    return figure
