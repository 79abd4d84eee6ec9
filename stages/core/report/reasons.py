"""Why a model came out as it did, and what its study cannot say: told from updates, movement and slope."""

from typing import NamedTuple

import pandas as pd

from stages.core.report.wording import count, number, percent, setting, times


class _Course(NamedTuple):
    """What a history begins and ends with, as means over the seeds, and how far any seed ever came."""

    first_loss: float
    last_loss: float
    first_slope: float
    last_slope: float
    farthest: float


def of_model(row: NamedTuple, history: pd.DataFrame, rows: pd.DataFrame, winner: str | None) -> str:
    """One model's course in numbers: `row` of the comparison, its history, and the rows it is compared
    with.
    """
    course = _course(history)
    sentence = {
        "learned": _learned,
        "undertrained": _undertrained,
        "stalled": _stalled,
        "diverged": _diverged,
    }[row.status]
    pace = _against(row.updates, rows.loc[winner].updates) if winner and row.model != winner else ""
    return f"`{row.model}` ({row.status}{pace}). {sentence(row, course)}"


def _course(history: pd.DataFrame) -> _Course:
    by_epoch = history.groupby("epoch")[["train_loss", "gradient_norm"]].mean()
    first, last = by_epoch.iloc[0], by_epoch.iloc[-1]
    whole = history[history.epoch == by_epoch.index[-1]].notna().all()
    return _Course(
        first.train_loss,
        last.train_loss if whole.train_loss else float("nan"),
        first.gradient_norm,
        last.gradient_norm if whole.gradient_norm else float("nan"),
        history.distance.max(),
    )


def _against(updates: int, best: int) -> str:
    if updates == best:
        return ", as many updates as the best model"
    if updates < best:
        return f", {times(best / updates)} times fewer updates than the best model"
    return f", {times(updates / best)} times as many updates as the best model"


def _fall(course: _Course) -> str:
    fallen = 1 - course.last_loss / course.first_loss
    share = percent(fallen, 1) if fallen >= 0.01 else f"{number(100 * fallen, 2)}\N{NO-BREAK SPACE}%"
    return (
        f"the training loss fell from {number(course.first_loss)} by {share}, to {number(course.last_loss)}"
    )


def _movement(row: NamedTuple) -> str:
    updates = f"{count(row.updates)} updates" if row.updates != 1 else "one update"
    return f"In {updates} its weights moved {number(row.distance_mean)} away from where they began"


def _learned(row: NamedTuple, course: _Course) -> str:
    return (
        f"{_movement(row)}; {_fall(course)}, and the gradient's norm went from {number(course.first_slope)} "
        f"to {number(course.last_slope)}."
    )


def _undertrained(row: NamedTuple, course: _Course) -> str:
    return (
        f"{_movement(row)}; {_fall(course)}. The gradient's norm is still {number(course.last_slope)}, "
        f"after {number(course.first_slope)} at the start: the descent was under way when the epochs ended."
    )


def _stalled(row: NamedTuple, course: _Course) -> str:
    return (
        f"{_movement(row)}; {_fall(course)}. There was a slope to follow (the gradient's norm is "
        f"{number(course.last_slope)}, as against {number(course.first_slope)} at the start), but the steps "
        "were too small to go anywhere."
    )


def _diverged(row: NamedTuple, course: _Course) -> str:
    where = f"at {number(course.last_loss)}" if pd.notna(course.last_loss) else "without a finite value"
    return (
        f"It was carried {number(course.farthest)} away from where it began, and the training loss, "
        f"{number(course.first_loss)} at first, ended {where}: its steps were too large to settle anywhere."
    )


def limits(rows: pd.DataFrame, winner: str | None) -> list[str]:
    """What a study cannot say, as far as its settings show it."""
    found = [_same_epochs(rows), _other_settings(rows), _at_the_edge(rows, winner), _seeds_only(rows)]
    return [sentence for sentence in found if sentence]


def _same_epochs(rows: pd.DataFrame) -> str | None:
    few, many = rows.loc[rows.updates.idxmin()], rows.loc[rows.updates.idxmax()]
    if few.updates == many.updates:
        return None
    return (
        f"The models saw every image equally often, but did not make equally many updates: `{few.model}` "
        f"{count(few.updates)}, `{many.model}` {count(many.updates)}. How `{few.model}` would do with as "
        "many updates is not measured here."
    )


def _other_settings(rows: pd.DataFrame) -> str | None:
    rates, sizes = rows.learning_rate.unique(), rows.batch_size.unique()
    if len(sizes) > 1 and len(rates) == 1:
        return (
            f"Every batch size ran at the learning rate {setting(rates[0])}; at a rate of its own each "
            "might do better."
        )
    if len(rates) > 1 and len(sizes) == 1:
        return (
            f"Every learning rate ran at the batch size {count(sizes[0])}; another size may want another "
            "rate."
        )
    if len(rates) > 1:
        return "Batch size and learning rate both differ, so that no difference is due to one of them alone."
    return None


def _at_the_edge(rows: pd.DataFrame, winner: str | None) -> str | None:
    if winner is None or len(rows) == 1:
        return None
    for column, name in (("batch_size", "batch size"), ("learning_rate", "learning rate")):
        value, tried = rows.loc[winner, column], rows[column]
        if tried.nunique() == len(rows) and value in (tried.min(), tried.max()):
            edge, beyond = ("smallest", "a smaller") if value == tried.min() else ("largest", "a larger")
            return (
                f"The best {name} is the {edge} of the {len(rows)} that were tried: {beyond} one may be "
                "better still."
            )
    return None


def _seeds_only(rows: pd.DataFrame) -> str:
    return (
        "The intervals tell how a model varies with the seed (first weights, order of the images), not "
        "with another choice of training images, nor on digits of another origin."
    )
