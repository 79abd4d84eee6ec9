"""The answers, put in words: every number in them comes from the tables, every sentence follows from one."""

from typing import NamedTuple

import pandas as pd

from stages.core.params import Params
from stages.core.report import reasons
from stages.core.report.comparison import best
from stages.core.report.wording import count, number, p_value, percent, span

SIGNIFICANT = 0.05


class Answer(NamedTuple):
    """A study's answer: one sentence, what backs it, why it is so, and what it cannot say.

    The sentences are Markdown of one kind only: the names of models stand in backquotes.
    """

    study: str
    question: str
    best: str | None
    headline: str
    evidence: list[str]
    reasons: list[str]
    limits: list[str]


def answer_all(
    params: Params, table: pd.DataFrame, history: pd.DataFrame, differences: pd.DataFrame
) -> list[Answer]:
    """The answer to each study of params.yaml, from comparison.csv, history.csv and differences.csv."""
    return [
        answer(
            name, study.question, table[table.study == name], history, differences[differences.study == name]
        )
        for name, study in params.studies.items()
    ]


def answer(
    study: str, question: str, rows: pd.DataFrame, history: pd.DataFrame, differences: pd.DataFrame
) -> Answer:
    """The answer to one study, whose rows of the comparison and of the differences are given."""
    winner = best(rows)
    rows = rows.set_index("model", drop=False)
    why = [
        reasons.of_model(row, history[history.model == row.model], rows, winner) for row in rows.itertuples()
    ]
    headline = _headline(rows, winner)
    evidence = [] if winner is None else _evidence(rows, winner, differences)
    return Answer(study, question, winner, headline, evidence, why, reasons.limits(rows, winner))


def _headline(rows: pd.DataFrame, winner: str | None) -> str:
    if winner is None:
        ends = ", ".join(f"`{row.model}` {row.status}" for row in rows.itertuples())
        return f"None of them: nothing learned ({ends}), so that there is no best one to name."
    row = rows.loc[winner]
    others = "" if len(rows) > 1 else ", the only model of this study,"
    others += "" if row.status == "learned" else f" ({row.status})"
    return (
        f"`{winner}`{others} performed best: it gets {percent(row.validation_accuracy_mean)} of the "
        f"validation images right, and {percent(row.test_accuracy_mean)} of the test images, which had no "
        "part in the choice."
    )


def _evidence(rows: pd.DataFrame, winner: str, differences: pd.DataFrame) -> list[str]:
    sentences = [_spread(rows.loc[winner])]
    if len(differences):
        runner_up = differences.iloc[0]
        sentences += [_lead(rows.loc[runner_up.other], runner_up), _chance(runner_up), _images(runner_up)]
    return sentences


def _spread(row: pd.Series) -> str:
    if row.seeds == 1:
        return (
            "There is one run of each model: how far another seed would come out cannot be told, so no "
            "interval is given."
        )
    return (
        f"Over {row.seeds} seeds the 95 % interval of the mean is "
        f"{span(row.validation_accuracy_low, row.validation_accuracy_high)} on the validation images and "
        f"{span(row.test_accuracy_low, row.test_accuracy_high)} on the test images (Student's t with "
        f"{row.seeds - 1} degrees of freedom: so few runs do not tell their deviation well, and t allows "
        "for it)."
    )


def _lead(row: pd.Series, difference: pd.Series) -> str:
    manner = "" if row.status == "learned" else f" ({row.status})"
    return (
        f"The runner-up is `{row.model}`{manner} with {percent(row.validation_accuracy_mean)}: "
        f"{100 * difference.difference:.2f} percentage points behind."
    )


def _chance(row: pd.Series) -> str:
    if row.pairs == 1:
        return "With one seed there is no test over seeds."
    if pd.isna(row.p_seeds):
        return "Every seed shows the same difference: there is no spread to test it against."
    verdict = "more than chance" if row.p_seeds < SIGNIFICANT else "not to be told from chance"
    return (
        f"Over the seeds that lead is {verdict}: 95 % interval {100 * row.difference_low:.2f} to "
        f"{100 * row.difference_high:.2f} points, paired t-test on {row.pairs} pairs of runs of the same "
        f"seed, t = {number(row.t)}, {p_value(row.p_seeds)}."
    )


def _images(row: pd.Series) -> str:
    if row.p_images >= SIGNIFICANT:
        verdict = "not to be told from chance"
    else:
        behind = row.best_alone_right < row.other_alone_right
        verdict = "turned round, by more than chance" if behind else "more than chance"
    return (
        f"On the same {count(row.images)} test images it is {verdict}: `{row.best}` alone is right on "
        f"{count(row.best_alone_right)}, `{row.other}` alone on {count(row.other_alone_right)} (the best "
        f"seed of each; McNemar's exact test, {p_value(row.p_images)})."
    )
