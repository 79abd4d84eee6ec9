"""The two tables people look at: a row per model, the numbers as words, whatever they are rendered in."""

import pandas as pd

from stages.core.report.wording import count, number, percent, setting

HEADINGS = (
    "model",
    "batch size",
    "learning rate",
    "updates",
    "training loss",
    "training accuracy",
    "validation accuracy",
    "test loss",
    "test accuracy",
    "status",
)


def rows(table: pd.DataFrame) -> list[list[str]]:
    """The cells under HEADINGS, for the rows of the comparison given; ± is the deviation over the seeds."""
    return [_cells(row) for row in table.itertuples()]


def _cells(row: pd.Series) -> list[str]:
    size = "full" if row.batch_size == row.images else ""
    return [
        row.model,
        f"{count(row.batch_size)} ({size})" if size else count(row.batch_size),
        setting(row.learning_rate),
        count(row.updates),
        _loss(row.train_loss_mean),
        _accuracy(row.train_accuracy_mean, row.train_accuracy_std),
        _accuracy(row.validation_accuracy_mean, row.validation_accuracy_std),
        _loss(row.test_loss_mean),
        _accuracy(row.test_accuracy_mean, row.test_accuracy_std),
        row.status,
    ]


def _loss(mean: float) -> str:
    return "not finite" if pd.isna(mean) else number(mean)


def _accuracy(mean: float, deviation: float) -> str:
    return percent(mean) if pd.isna(deviation) else f"{percent(mean)[:-2]} ± {percent(deviation)}"
