"""Everything that the report says in words, derived from the tables.

All texts are Markdown, with the names of models in backquotes, unless a docstring says plain.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from descent import results
from descent.config import Params
from descent.metrics import METRICS
from descent.rates import ROW, best_rates, cells, scaling
from descent.report import landscape
from descent.report.format import (
    STATUS_SIGNS,
    count,
    counted,
    listed,
    markdown,
    number,
    p_value,
    percent,
    percent_range,
    rate,
    setting,
    setting_title,
    setting_titles,
    times,
)
from descent.report.tables import SETTINGS, Tables, answer, best, settings_text, tied, varying
from descent.results import NOT_LEARNED, guessing_loss
from descent.statistics import MOST_PAIRS, SIGNIFICANT

COLUMNS = ("validation_accuracy", "test_accuracy", "status", "updates", "train_loss", "train_accuracy")
"""The columns of a study's table after the settings that vary."""

TERMINAL_COLUMNS = COLUMNS[:3]
"""The columns that a terminal shows: with two settings that vary they fit into TERMINAL_WIDTH."""

TERMINAL_WIDTH = 78

CLOSE_UPDATES = 0.05
"""Numbers of updates that differ by at most this share are compared as equal."""

SMALL_PART, LARGE_PART = 0.25, 0.75
"""A lead is due to the number of updates if at equal numbers at most the small part of it is left, and not
due to it if more than the large part is left."""

SWING = 0.05
"""A validation accuracy that ends more than this below its highest value is called swinging."""

FEWER = 0.5
"""Fewer updates are the cause where a model makes less than this share of the best model's."""

AT_THE_RING = 0.05
"""A trajectory of at most this share of the longest does not leave the mark of the start."""

LI = "[Li et al. 2018](https://arxiv.org/abs/1712.09913)"
LORCH = "Lorch 2016, *Visualizing Deep Network Training Trajectories with PCA*"
MOVEMENT_EXPLAINED = (
    "The gradient norm is the slope of the training loss where the weights are. The distance is the "
    "Euclidean distance of all weights from their initial values; a logarithmic scale has no place for its 0 "
    "at the start. "
)
ANTOGNINI = "[Antognini and Sohl-Dickstein 2018](https://arxiv.org/abs/1806.08805)"


class Answer(NamedTuple):
    """The answer to a study's question.

    Attributes:
        study: The study's name (plain).
        question: Its question, escaped for Markdown.
        answer: The best value of the settings that the study varies, such as `batch size 8`, `a tie of …`
            or `none` (plain).
        models: The names of the best model, or of those that tie (plain); empty if none learned anything.
        headline: The answer, the model and its accuracies.
        evidence: Intervals and tests.
        reasons: The models, the cause of their result, and the numbers behind it; models that tie share one.
        limits: What the comparison cannot say.
    """

    study: str
    question: str
    answer: str
    models: list[str]
    headline: str
    evidence: list[str]
    reasons: list[str]
    limits: list[str]


class Caption(NamedTuple):
    """The words of a figure: heading, text below it, and a plain description for who cannot see it."""

    title: str
    text: str
    alternative: str


class StudyTable(NamedTuple):
    """The table of a study as readers see it.

    Attributes:
        headings: `model`, the settings that vary, COLUMNS (plain).
        rows: The cells (plain); the first one is the model's name.
        note: What is in the cells, and which settings all models share.
    """

    headings: list[str]
    rows: list[list[str]]
    note: str


class Contents(NamedTuple):
    """The texts of the report.

    Attributes:
        title: The report's title.
        introduction: What was found and why; each entry can stand alone.
        network: What was trained.
        answers: One per study, in the order of params.yaml.
        tables: The table of each study by its name.
        captions: By the figure's name, in the order of the report: for each study `<study>-curves`,
            `<study>-movement` and `<study>-trajectories`, then `sweep`, then `<model>-mistakes` for the
            best of all models. A figure that cannot be drawn has none.
        notes: By study: why it has no figure of trajectories.
        method: How it was measured.
        labels: By model: its name in a legend, with its status unless it learned (plain).
    """

    title: str
    introduction: list[str]
    network: str
    answers: list[Answer]
    tables: dict[str, StudyTable]
    captions: dict[str, Caption]
    notes: dict[str, str]
    method: list[str]
    labels: dict[str, str]


def contents(params: Params, tables: Tables, data: str = "", classes: Sequence[str] = ()) -> Contents:
    """Put the tables in words.

    Args:
        params: The content of params.yaml.
        tables: The report's tables.
        data: The title of the dataset, if it has one.
        classes: The names of the classes; without, they are called by their numbers.
    """
    models = tables.comparison.drop_duplicates("model")
    rows = dict(iter(tables.comparison.groupby("study", sort=False)))
    drawn = set(tables.surface.study)
    return Contents(
        title(list(rows.values())),
        introduction(tables, rows),
        network(params, models, data),
        [answer_study(name, study.question, rows[name], tables) for name, study in params.studies.items()],
        {study: study_table(rows[study]) for study in params.studies},
        captions(tables, rows, classes),
        {study: no_trajectories(rows[study]) for study in params.studies if study not in drawn},
        method(params, models, tables),
        {row.model: _label(row) for row in models.itertuples()},
    )


def title(studies: Sequence[pd.DataFrame]) -> str:
    """Name what the studies vary: `How batch size and learning rate affect gradient descent`."""
    names = dict.fromkeys(setting_title(name) for rows in studies for name in varying(rows))
    affect = "affects" if len(names) == 1 else "affect"
    return f"How {listed(list(names))} {affect} gradient descent" if names else "Gradient descent"


def _label(row: Any) -> str:
    return row.model if row.status == "learned" else f"{row.model} ({row.status})"


def network(params: Params, models: pd.DataFrame, data: str = "") -> str:
    """Say what was trained, and how many updates an epoch has; `models` has a row for each model."""
    first, epochs = models.iloc[0], params.train.epochs
    if len(models[["hidden_layers", "activation"]].drop_duplicates()) > 1:
        shape = "Multilayer perceptrons of several shapes learn"
    else:
        widths = [] if first.hidden_layers == "none" else first.hidden_layers.split("-")
        layers = " → ".join([str(first.pixels), *widths, str(first.classes)])
        activation = f"{first.activation}, " if widths else ""
        shape = f"A multilayer perceptron {layers} ({activation}softmax at the end) learns"
    updates = [
        f"{counted(round(row.updates / epochs), 'update')} with batch size "
        f"{_size(row.batch_size, row.images)}"
        for row in models.drop_duplicates("batch_size").sort_values("batch_size").itertuples()
    ]
    groups = [
        f"{counted(len(members), 'model')} with {counted(seeds, 'seed')} each"
        for seeds, members in models.groupby("seeds", sort=False)
    ]
    return (
        f"{shape} to classify {markdown(data) or 'images'} by gradient descent: {listed(groups)}, "
        f"{counted(models.seeds.sum(), 'training run')} of {counted(epochs, 'epoch')}. A seed sets the "
        f"initial weights and the order of the images. An epoch is one pass over the {count(first.images)} "
        f"training images: {listed(updates)}."
    )


def _size(batch_size: int, images: int) -> str:
    return setting("batch_size", batch_size, images)


def _is(rows: pd.DataFrame) -> str:
    return "is" if len(rows) == 1 else "are"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# What was found and why


def introduction(tables: Tables, studies: dict[str, pd.DataFrame]) -> list[str]:
    """Explain the results: by the number of updates, by the size of the steps, at the best rates."""
    found = [
        *(updates_explain(rows, tables.history) for rows in studies.values()),
        *(step_sizes_explain(rows) for rows in studies.values()),
        *(best_rates_explain(rows, tables.sweep) for rows in studies.values()),
    ]
    return [text for text in found if text]


def updates_explain(rows: pd.DataFrame, history: pd.DataFrame) -> str | None:
    """Say whether the best batch size wins because it makes more updates.

    It is compared with the next best model that learned, at the last epochs at which both have made about
    as many updates. None for a study that varies something else, or where there is no such comparison.
    """
    if best(rows) is None or varying(rows) != ["batch_size"]:
        return None
    ours = rows[rows.model == best(rows)].iloc[0]
    others = rows[~rows.status.isin(NOT_LEARNED) & (rows.model != ours.model)]
    if others.empty:
        return None
    theirs = others.sort_values("validation_accuracy_mean", ascending=False, kind="stable").iloc[0]
    us, them = (f"batch size {_size(row.batch_size, row.images)}" for row in (ours, theirs))
    start = f"At learning rate {rate(ours.learning_rate)}, {us} performs best"
    if ours.updates < theirs.updates:
        fewer = f"{count(ours.updates)} instead of {count(theirs.updates)}"
        return f"{start} although it makes fewer updates than {them}: {fewer}."
    trained = history[history.epoch > 0]
    our_curve, their_curve = (
        trained[trained.model == row.model].groupby("updates").validation_accuracy.mean()
        for row in (ours, theirs)
    )
    pairs = [(abs(math.log(a / b)), -a, a, b) for a in our_curve.index for b in their_curve.index]
    gap, _, our_updates, their_updates = min(pairs)
    lead = ours.validation_accuracy_mean - theirs.validation_accuracy_mean
    if gap > CLOSE_UPDATES or lead <= 0:
        return None
    our_accuracy, their_accuracy = our_curve[our_updates], their_curve[their_updates]
    left = (our_accuracy - their_accuracy) / lead
    claim = "partly because it makes more updates"
    if left <= SMALL_PART:
        claim = "because it makes more updates"
    elif left > LARGE_PART:
        claim = "and not only because it makes more updates: it also learns more from each"
    return (
        f"{start} {claim}. After {count(our_updates)} updates it has {percent(our_accuracy, 1)} validation "
        f"accuracy, and {them} has {percent(their_accuracy, 1)} after {count(their_updates)}. When training "
        f"ends, they have made {count(ours.updates)} and {count(theirs.updates)} updates and have "
        f"{percent(ours.validation_accuracy_mean, 1)} and {percent(theirs.validation_accuracy_mean, 1)}."
        + "".join(
            f" Batch size {_size(row.batch_size, row.images)} has made only "
            f"{counted(row.updates, 'update')} by then and has {percent(row.validation_accuracy_mean, 1)}."
            for row in rows.itertuples()
            if row.status == "undertrained" and row.updates < FEWER * theirs.updates
        )
    )


def step_sizes_explain(rows: pd.DataFrame) -> str | None:
    """Say which learning rates are too large or too small, and why, in a study that varies nothing else."""
    if best(rows) is None or varying(rows) != ["learning_rate"]:
        return None
    ours = rows[rows.model == best(rows)].iloc[0].learning_rate
    large = rows[(rows.learning_rate > ours) & rows.status.isin(landscape.EXCLUDED)]
    small = rows[(rows.learning_rate < ours) & rows.status.isin(("stalled", "undertrained"))]

    def named(found: pd.DataFrame, size: str) -> str:
        rates, statuses = map(rate, found.learning_rate), found.status.unique()
        return f" {listed(list(rates))} {_is(found)} too {size} ({listed(list(statuses))}): "

    text = ""
    if len(large):
        text += f"{named(large, 'large')}the steps overshoot the minimum, and training ends no better than "
        text += "guessing."
    if len(small):
        least = small.learning_rate.min()
        text += (
            f"{named(small, 'small')}with steps {times(ours / least)} times shorter than at {rate(ours)}, "
        )
        text += f"{rate(least)} would need about {times(ours / least)} times as many updates."
    return f"Learning rate {rate(ours)} performs best.{text}" if text else None


def best_rates_explain(rows: pd.DataFrame, sweep: pd.DataFrame | None) -> str | None:
    """Compare settings that each have the best learning rate; None for another study."""
    names = [name for name in varying(rows) if name != "learning_rate"]
    if best(rows) is None or len(names) != 1 or not at_best_rates(rows, sweep):
        return None
    [name] = names
    first = rows[rows.model.isin(tied(rows))]
    behind = rows[~rows.model.isin(first.model)]

    def described(part: pd.DataFrame) -> tuple[str, str]:
        values = [setting(name, row[name], row.images) for _, row in part.iterrows()]
        means = part.validation_accuracy_mean
        several = len(means) > 3
        shown = (
            percent_range(means.min(), means.max(), 1) if several else listed([percent(m, 1) for m in means])
        )
        return listed(values), shown

    values, accuracies = described(first)
    text = f"Even with the best learning rate for each, {setting_title(name)} {values} performs best: it has"
    if len(first) > 1:
        text = (
            f"With the best learning rate for each, {setting_titles(name)} {values} cannot be told apart "
            f"with {counted(first.seeds.max(), 'seed')}: they have"
        )
    text += f" {accuracies} validation accuracy."
    if len(behind):
        values, accuracies = described(behind)
        fewer = ""
        if behind.updates.max() < first.updates.min():
            fewer = f", which make{'s' * (len(behind) == 1)} fewer updates,"
        text += f" {_capital(values)}{fewer} {_is(behind)} behind with {accuracies}."
    return text + " With one seed, small differences may be chance." * bool((rows.seeds == 1).any())


def at_best_rates(rows: pd.DataFrame, sweep: pd.DataFrame | None) -> bool:
    """Return whether each model has the learning rate that is best in the sweep for its other settings."""
    if sweep is None or "learning_rate" not in varying(rows):
        return False
    keys = [*ROW, "learning_rate"]
    chosen, found = (set(table[keys].itertuples(index=False)) for table in (best_rates(sweep), rows))
    return {tuple(row) for row in found} <= {tuple(row) for row in chosen}


# The answer to a study


def answer_study(study: str, question: str, rows: pd.DataFrame, tables: Tables) -> Answer:
    """Answer a study's question from its rows of the comparison and from the other tables."""
    winner, models, named = best(rows), tied(rows), rows.set_index("model", drop=False)
    found = tables.differences[tables.differences.study == study]
    return Answer(
        study,
        markdown(question),
        answer(rows),
        models,
        headline(named, winner),
        [] if winner is None else evidence(named, winner, found),
        reasons(rows, models, tables),
        limits(named, winner, tables.sweep),
    )


def headline(rows: pd.DataFrame, winner: str | None) -> str:
    """State the answer, the model and its accuracies; `rows` has the models as its index."""
    if winner is None:
        ends = listed([f"`{row.model}` {row.status}" for row in rows.itertuples()])
        return f"None: no model learned anything ({ends})."
    row, models = rows.loc[winner], tied(rows)
    status = "" if row.status == "learned" else f", {row.status}"
    accuracies = (
        f"{percent(row.validation_accuracy_mean)} of the validation images correctly, and "
        f"{percent(row.test_accuracy_mean)} of the test images, which had no part in the choice."
    )
    if len(models) > 1:
        names, seeds = listed([f"`{model}`" for model in models]), counted(row.seeds, "seed")
        return (
            f"{_capital(answer(rows))} ({names}): with {seeds} their validation accuracies cannot be told "
            f"apart. The highest mean is that of `{winner}`: it classifies {accuracies}"
        )
    if len(rows) == 1:
        return f"`{winner}`{status} is the only model of this study: it classifies {accuracies}"
    return f"{_capital(answer(rows))} (`{winner}`{status}) performed best: it classifies {accuracies}"


def evidence(rows: pd.DataFrame, winner: str, differences: pd.DataFrame) -> list[str]:
    """Report the best model's intervals and the tests against the runner-up."""
    row = rows.loc[winner]
    spread = (
        f"Over {row.seeds} seeds the 95 % confidence interval of the mean is "
        f"{percent_range(row.validation_accuracy_low, row.validation_accuracy_high)} on the validation "
        f"images and {percent_range(row.test_accuracy_low, row.test_accuracy_high)} on the test images "
        f"(Student's t, {counted(row.seeds - 1, 'degree of freedom', 'degrees of freedom')})."
    )
    if row.seeds == 1:
        spread = "There is one run of each model, so no confidence interval can be given."
    if differences.empty:
        return [spread]
    first = differences.iloc[0]
    other = rows.loc[first.other]
    if other.status in NOT_LEARNED:
        return [spread, "No other model learned anything, so there is no lead to test."]
    notes = [settings_text(other, varying(rows)), other.status * (other.status != "learned")]
    behind = f"{100 * first.difference:.2f} percentage points behind"
    if _same(row.validation_accuracy_mean, other.validation_accuracy_mean):
        behind = "exactly the same mean"
    elif behind.startswith("0.00 "):
        behind = "less than 0.01 percentage points behind"
    lead = (
        f"The runner-up is `{other.model}` ({', '.join(filter(None, notes)) or 'with equal settings'}) with "
        f"{percent(other.validation_accuracy_mean)}, {behind}."
    )
    return [spread, lead, over_seeds(first), over_images(first)]


def _same(ours: float, theirs: float) -> bool:
    return round(ours - theirs, 9) == 0  # in the digits of the files, as where the best model is chosen


def over_seeds(row: pd.Series) -> str:
    """Report the t-test of a row of the differences; where chance cannot be excluded, the seeds needed."""
    if row.pairs == 0:
        return "The two models have no seed in common, so the difference cannot be tested over seeds."
    if row.pairs == 1:
        return "With one seed, the difference cannot be tested over seeds."
    if pd.isna(row.p_seeds):
        return "The difference is the same for every seed, so there is no spread to test it against."
    numbers = (
        f"95 % confidence interval {100 * row.difference_low:.2f} to {100 * row.difference_high:.2f} "
        f"percentage points, paired t-test on {row.pairs} pairs of runs with the same seed, t = "
        f"{number(row.t)}, {p_value(row.p_seeds)}"
    )
    if row.p_seeds < SIGNIFICANT:
        return f"Over the seeds the lead is significant: {numbers}."
    if _same(row.difference, 0):
        return (
            f"Over the seeds chance cannot be excluded: {numbers}. The measured difference is 0: if it is "
            "the true one, no number of seeds would tell the two apart."
        )
    needed = row.seeds_needed
    many = f"more than {count(MOST_PAIRS)}" if pd.isna(needed) else f"about {count(needed)}"
    return (
        f"Over the seeds chance cannot be excluded: {numbers}. If the true difference and its spread are "
        f"the measured ones, {many} seeds would be needed to detect it with a probability of 80 %."
    )


def over_images(row: pd.Series) -> str:
    """Report McNemar's test of a row of the differences."""
    verdict = "the lead is significant"
    if row.p_images >= SIGNIFICANT:
        verdict = "chance cannot be excluded"
    elif row.best_alone_correct < row.other_alone_correct:
        verdict = "the order is reversed, and significantly so"
    return (
        f"On the {count(row.images)} test images {verdict}: {count(row.best_alone_correct)} are classified "
        f"correctly by `{row.best}` alone and {count(row.other_alone_correct)} by `{row.other}` alone (the "
        f"best seed of each, McNemar's exact test, {p_value(row.p_images)})."
    )


# Why


def reasons(rows: pd.DataFrame, models: Sequence[str], tables: Tables) -> list[str]:
    """Say why the models of a study came out as they did; those that tie in one sentence."""
    found, tie = [], rows.model[rows.model.isin(models) & (rows.status == "learned")]
    if len(tie) > 1:
        found.append(f"{listed([f'`{model}`' for model in tie])}: enough updates of a suitable size.")
    for _, row in rows.iterrows():
        if len(tie) < 2 or row.model not in list(tie):
            history, matrix = (t[t.model == row.model] for t in (tables.history, tables.confusion))
            found.append(reason(row, history, rows, matrix))
    return found


def reason(row: pd.Series, history: pd.DataFrame, rows: pd.DataFrame, matrix: pd.DataFrame) -> str:
    """Say why a model came out as it did: the cause first, then the numbers.

    Losses are means over the seeds. Gradient norms and the distance from the start are medians, as in the
    charts: a mean of distances that differ by powers of ten says nothing.

    Args:
        row: The model's row of the comparison.
        history: Its history.
        rows: The study's rows of the comparison.
        matrix: Its confusion matrix.
    """
    last, guessing = history.epoch.max(), number(guessing_loss(row.classes))
    start, previous, end = (history[history.epoch == epoch] for epoch in (0, last - 1, last))
    first_loss, before, loss = (part.train_loss.mean(skipna=False) for part in (start, previous, end))
    first_norm, norm = (part.gradient_norm.median() for part in (start, end))
    distance = end.distance.fillna(math.inf).median()
    if row.status == "stalled":
        fall, small = 1 - loss / first_loss, results.STALLED_BELOW * guessing_loss(row.classes)
        cause = "steps too small" if distance * first_norm < small else "steps that lead nowhere"
        text = f"lowered by {number(100 * fall, 2)} %, to" if fall > 0 else "left at"
        numbers = f"the training loss was {text} {number(loss)}, although there is a slope to follow"
    else:
        cause = _cause(row, rows, falling=loss < before)
        to = f"to {number(loss)}" if math.isfinite(loss) else "to no finite value"
        numbers = f"the training loss went from {number(first_loss)} {to}"
    if row.status == "undertrained":
        still = "was still falling when training ended" if loss < before else "did not fall in the last epoch"
        numbers += f", where guessing costs {guessing}; it {still}"
    elif row.status == "collapsed":
        numbers += f"; guessing costs {guessing}, so the network no longer tells the classes apart"
    elif row.status == "diverged":
        numbers += f", where guessing costs {guessing}"
    answers = matrix.groupby("predicted").images.sum()
    curve = history.groupby("epoch").validation_accuracy.mean()
    if row.status not in landscape.EXCLUDED:
        numbers += f". The gradient norm went from {number(first_norm)} to {number(norm)}"
        if curve.max() - curve[last] > SWING:
            numbers += f". Its validation accuracy swings: it was {percent(curve.max(), 1)} after epoch "
            numbers += f"{curve.idxmax()} and is {percent(curve[last], 1)} at the end"
    elif math.isfinite(loss) and answers.max() == answers.sum():
        numbers += f". It gives all {count(answers.sum())} test images the same class, whatever they show"
    far = number(distance) if math.isfinite(distance) else "farther than 32-bit numbers reach"
    moved = f"Its {counted(row.updates, 'update')} moved the weights {far} from the start"
    return f"`{row.model}` ({row.status}): {cause}. {moved}; {numbers}."


def _cause(row: pd.Series, rows: pd.DataFrame, falling: bool) -> str:
    """Name the likely cause of a result, for a status other than stalled; compared with the best model."""
    if row.status in landscape.EXCLUDED:
        return "steps too large"
    winner = rows[rows.model == best(rows)].iloc[0] if best(rows) else row
    fewer, others = row.updates < FEWER * winner.updates, rows[rows.model != row.model]
    if row.status == "undertrained":
        if not falling:
            return "no steady progress"
        return "too few updates" if winner is row or fewer else "steps too small for so few updates"
    if row.model == winner.model:
        if varying(rows) == ["learning_rate"]:
            return "steps of a suitable size"
        if len(others) and others.updates.max() < row.updates:
            return "the most updates"
        return "most progress in its updates" if len(others) else "enough updates of a suitable size"
    if fewer:
        return f"fewer updates than `{winner.model}` by a factor of {times(winner.updates / row.updates)}"
    if row.optimizer != winner.optimizer:
        return f"another optimizer than `{winner.model}`"
    if (row.hidden_layers, row.activation) != (winner.hidden_layers, winner.activation):
        return f"another network than `{winner.model}`"
    if row.learning_rate != winner.learning_rate:
        steps = "smaller" if row.learning_rate < winner.learning_rate else "larger"
        return f"{steps} steps than `{winner.model}`"
    return f"less progress than `{winner.model}`{' in more updates' * bool(row.updates > winner.updates)}"


# What a comparison cannot say


def limits(rows: pd.DataFrame, winner: str | None, sweep: pd.DataFrame | None = None) -> list[str]:
    """Say what a study cannot, unless the sweep has measured it; `rows` has the models as its index."""
    found, names = [], varying(rows)
    if at_best_rates(rows, sweep):
        assert sweep is not None
        found.append(
            f"Each learning rate is the best of the sweep after {counted(int(sweep.epochs.max()), 'epoch')} "
            f"with {counted(sweep.seed.nunique(), 'seed')}; in a longer training another may be better."
        )
    elif len(names) > 1:
        found.append(
            f"The models differ in {listed([setting_title(name) for name in names])} at once: a difference "
            "between two of them is not due to one of these alone."
        )
    few, many = rows.loc[rows.updates.idxmin()], rows.loc[rows.updates.idxmax()]
    if few.updates < many.updates:
        found.append(
            "All models see each image equally often, but they make different numbers of updates: "
            f"`{few.model}` {count(few.updates)}, `{many.model}` {count(many.updates)}. How good "
            f"`{few.model}` would be after as many updates is not measured."
        )
    fixed = [name for name in ("batch_size", "learning_rate") if name not in names]
    if len(rows) > 1 and fixed and not _measured(rows, names, fixed, sweep):
        shared = settings_text(rows.iloc[0], fixed)
        found.append(f"All models use {shared}; with another value the order may differ.")
    if winner is not None and (edge := _edge(rows, rows.loc[winner], names, sweep)):
        found.append(edge)
    return found


def _measured(
    rows: pd.DataFrame, names: Sequence[str], fixed: Sequence[str], sweep: pd.DataFrame | None
) -> bool:
    """Return whether the sweep varies what all models share, for each of their values."""
    if sweep is None or len(fixed) > 1 or len(names) > 1 or names[0] not in sweep:
        return False
    grid = sweep[sweep.optimizer.isin(rows.optimizer)]
    return set(rows[names[0]]) <= set(grid[names[0]]) and grid[fixed[0]].nunique() > 1


def _edge(
    rows: pd.DataFrame, best_row: pd.Series, names: Sequence[str], sweep: pd.DataFrame | None
) -> str | None:
    """Say that the best value is the smallest or largest that was tried, also in the sweep."""
    if len(names) != 1 or isinstance(best_row[names[0]], str):
        return None
    [name] = names
    value, tried, measured = best_row[name], rows[name].dropna(), []
    if name == "batch_size" and value in (1, best_row.images):
        return None  # there is none beyond
    if sweep is not None and name in sweep:
        measured = sweep[sweep.optimizer == best_row.optimizer][name]
    if value == tried.min() and not any(other < value for other in measured):
        edge, better = "smallest", "smaller"
    elif value == tried.max() and not any(other > value for other in measured):
        edge, better = "largest", "larger"
    else:
        return None
    tries = f"the {edge} of the {tried.nunique()} that were tried"
    return f"The best {setting_title(name)} is {tries}: a {better} one may be better."


# Tables for readers


def study_table(rows: pd.DataFrame) -> StudyTable:
    """Format a study's rows of the comparison."""
    names = varying(rows) or ["batch_size", "learning_rate"]
    headings = [METRICS[column].title.lower() if column in METRICS else column for column in COLUMNS]
    body = [
        [row.model]
        + [setting(name, row[name], row.images) for name in names]
        + [_cell(row, column) for column in COLUMNS]
        for _, row in rows.iterrows()
    ]
    fixed = [name for name in SETTINGS if name in rows and name not in names and rows[name].notna().all()]
    shared = settings_text(rows.iloc[0], fixed)
    mean = "One run of each model"
    if rows.seeds.max() > 1:
        mean = f"Mean over {' or '.join(map(str, sorted(rows.seeds.unique())))} seeds ± standard deviation"
    every = f" All models: {shared}." if len(rows) > 1 and shared else ""
    note = f"{mean}. The loss is the cross-entropy per image.{every}"
    return StudyTable(["model", *map(setting_title, names), *headings], body, note)


def terminal(params: Params, comparison: pd.DataFrame) -> str:
    """Format questions, answers and the main columns of their tables as plain text for a terminal."""
    rows = dict(iter(comparison.groupby("study", sort=False)))
    return "\n\n".join(_terminal_study(study.question, rows[name]) for name, study in params.studies.items())


def _terminal_study(question: str, rows: pd.DataFrame) -> str:
    table, winner = study_table(rows), best(rows)
    hidden = len(COLUMNS) - len(TERMINAL_COLUMNS)
    headings, body = table.headings[:-hidden], [row[:-hidden] for row in table.rows]
    lengths = [max(map(len, column)) for column in zip(*body, strict=True)]
    above = [
        textwrap.wrap(heading, length, break_long_words=False)
        for heading, length in zip(headings, lengths, strict=True)
    ]
    height = max(map(len, above))
    stacked = [[""] * (height - len(words)) + words for words in above]  # a heading stands on its column
    cells = [*zip(*stacked, strict=True), *body]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    gap = "  " if sum(widths) + 2 * len(widths) <= TERMINAL_WIDTH + 2 else " "
    lines = [gap.join(map(str.rjust, row, widths)).rstrip() for row in cells]
    model = f" ({winner})" if winner and len(tied(rows)) == 1 else ""
    text = textwrap.wrap(f"{question} {answer(rows)}{model}", TERMINAL_WIDTH)
    return "\n".join([*text, "", *lines])


def _cell(row: pd.Series, column: str) -> str:
    if column not in METRICS:
        return row.status if column == "status" else count(row[column])
    mean, deviation = row[f"{column}_mean"], row[f"{column}_std"]
    if pd.isna(mean):
        return "not finite"
    if METRICS[column].scale == "log":
        return number(mean)
    return percent(mean) if pd.isna(deviation) else f"{100 * mean:.2f} ± {percent(deviation)}"


# Captions


def captions(
    tables: Tables, studies: dict[str, pd.DataFrame], classes: Sequence[str] = ()
) -> dict[str, Caption]:
    """Write the captions of all figures, in the order of the report; `studies` has the rows of each."""
    found: dict[str, Caption] = {}
    for study, rows in studies.items():
        lines = "Each line is one run."
        if rows.seeds.max() > 1:
            seeds = " or ".join(map(str, sorted(rows.seeds.unique())))
            lines = f"Lines are medians over {seeds} seeds, bands reach from the lowest to the highest."
        first = not found
        below = "Above, models are compared after equally many epochs, below after equally many updates. "
        found[f"{study}-curves"] = Caption(
            "Learning curves",
            below * (rows.updates.nunique() > 1) + lines,
            f"Training loss and validation accuracy of {listed(list(rows.model))}.",
        )
        found[f"{study}-movement"] = Caption(
            "Gradient norm and distance from the start",
            MOVEMENT_EXPLAINED * first + lines,
            f"Gradient norm and distance from the start of {listed(list(rows.model))}.",
        )
        projected = tables.trajectories[tables.trajectories.study == study]
        if len(projected):
            seed = tables.history[tables.history.model == rows.model.iloc[0]].seed.iloc[0]
            found[f"{study}-trajectories"] = trajectories_caption(rows, projected, seed)
    if tables.sweep is not None:
        found["sweep"] = sweep_caption(tables.sweep)
    models = tables.comparison.drop_duplicates("model").set_index("model", drop=False)
    if winner := best(models):
        seed = models.best_seed[winner]
        matrix = tables.confusion[tables.confusion.model == winner]
        found[f"{winner}-mistakes"] = mistakes_caption(winner, seed, matrix, classes)
    return found


def trajectories_caption(rows: pd.DataFrame, projected: pd.DataFrame, seed: int) -> Caption:
    """Describe a study's trajectories over the loss surface."""
    far = rows.model[rows.status.isin(landscape.EXCLUDED)]
    leaving = ""
    if len(far):
        names = listed([f"`{model}`" for model in far])
        leave = "leaves" if len(far) == 1 else "leave"
        leaving = f"{names} {leave} the picture: only the direction is shown. "
    ends = projected[(projected.epoch == projected.epoch.max()) & ~projected.model.isin(far)]
    lengths = ends.x.pow(2).add(ends.y**2).pow(0.5)
    for model in ends.model[lengths < AT_THE_RING * lengths.max()]:
        leaving += f"`{model}` hardly leaves the ring. "
    shares = ends.explained.dropna()
    explained = ""
    if len(shares):
        explained = f"The plane explains {percent_range(shares.min(), shares.max(), 1)} of the squared "
        explained += "distances from start to end."
    return Caption(
        "Trajectories over the loss surface",
        f"The weights of the runs of seed {seed}, with a mark after each epoch; all start at the ring. Of "
        "all planes through the start, this one shows most of the movement; its colours are the training "
        "loss. "
        f"{leaving}{explained}".strip(),
        "Trajectories of the weights over the loss: "
        + "; ".join(f"{row.model} ({row.status})" for row in rows.itertuples())
        + ".",
    )


def no_trajectories(rows: pd.DataFrame) -> str:
    """Say why a study has no figure of trajectories."""
    if len(rows[["hidden_layers", "activation"]].drop_duplicates()) > 1:
        return "No trajectories are drawn: the models are different networks, with different weights."
    if rows.status.isin(landscape.EXCLUDED).all():
        return "No trajectories are drawn: all models diverged or collapsed."
    return "No trajectories are drawn: the models have other first seeds, so they start from other weights."


def sweep_caption(sweep: pd.DataFrame) -> Caption:
    """Describe the heat map of the sweep."""
    table, seeds, optimizers = cells(sweep), sweep.seed.nunique(), sweep.groupby("optimizer", sort=False)
    found = [f"{sign} {status}" for status, sign in STATUS_SIGNS.items() if (table.status == status).any()]
    signs = f" A sign stands for runs that learned nothing: {listed(found)}." if found else ""
    mean = f", mean of {seeds} seeds" if seeds > 1 else ""
    grids = {name: rows for name, rows in optimizers if rows.batch_size.nunique() > 1}
    prefix = "with {}, " if len(optimizers) > 1 else ""
    laws = " ".join(_capital(prefix.format(name) + scaling_text(rows)) for name, rows in grids.items())
    top = table.loc[table.validation_accuracy.idxmax()]
    return Caption(
        "Sweep of batch size and learning rate",
        f"Validation accuracy in percent after {counted(int(sweep.epochs.max()), 'epoch')}{mean}.{signs} The "
        f"best learning rate of each row is framed; symbols mark the models of the studies. {laws}".strip(),
        "Heat map of validation accuracy by batch size and learning rate: the highest, "
        f"{percent(top.validation_accuracy)}, is at batch size {count(top.batch_size)} and learning rate "
        f"{rate(top.learning_rate)}.",
    )


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
    return (
        f"from batch size {count(law.smallest)} to {count(law.largest)} the best learning rate goes from "
        f"{rate(rates[law.smallest])} to {rate(rates[law.largest])}. Interpolated between the cells, it "
        f"{change}.{_left_out(sweep, found)}"
    )


def _left_out(sweep: pd.DataFrame, found: pd.DataFrame) -> str:
    """Name the batch sizes without a part in the scaling law; `found` has the sweep's best rates."""
    used = found[(found.status == "learned") & found.refined.notna()].batch_size
    names = [count(size) for size in sorted(set(sweep.batch_size) - set(used))]
    if not names:
        return ""
    why = "where no run learned or the best learning rate is at an edge of the grid"
    return f" Left out: {listed(names)}, {why}."


def mistakes_caption(model: str, seed: int, matrix: pd.DataFrame, classes: Sequence[str] = ()) -> Caption:
    """Describe the confusion matrix and the worst mistakes of a model."""
    wrong = matrix[(matrix.true != matrix.predicted) & (matrix.images > 0)]
    total, heading = count(matrix.images.sum()), f"Images that `{model}` misclassifies"
    best_of_all = f"It has the highest validation accuracy of all models. Its best run (seed {seed})"
    if wrong.empty:
        text = f"{best_of_all} classifies all {total} test images correctly."
        return Caption(heading, text, f"Confusion matrix of {model}: no mistake.")
    most = wrong.sort_values("images", ascending=False, kind="stable").iloc[0]
    pair = most.true, most.predicted
    true, predicted = (classes[label] if classes else f"class {label}" for label in pair)
    often = f"most often, {counted(most.images, 'time')}, {true} is classified as {predicted}"
    return Caption(
        heading,
        f"{best_of_all} misclassifies {count(wrong.images.sum())} of {total} test images; "
        f"{markdown(often) if classes else often}. The images shown are those whose true class got the "
        "lowest probability.",
        f"Confusion matrix of {model} and its worst mistakes: {often}.",
    )


# Method


def method(params: Params, models: pd.DataFrame, tables: Tables) -> list[str]:
    """Say how results were measured, and what the statuses mean; `models` has a row for each model."""
    split, classes, sweep = params.preprocess, models.classes.iloc[0], tables.sweep
    unused = [f"`{model}`" for model in params.models if model not in set(models.model)]
    found = [
        f"Data: {count(split.training_images)} training and {count(split.validation_images)} validation "
        "images, drawn from all but the test images so that both have the classes in the same "
        "proportions. The test images are only reported; nothing is selected by them.",
        "The best model has the highest mean validation accuracy after the last epoch. It ties with models "
        "whose distance to it may be chance (the paired t-test below). A model of which a run diverged, "
        "collapsed or stalled is never the best. A model's best run is that with the highest validation "
        "accuracy.",
        f"The status compares the training loss with guessing: to give each of the {classes} classes the "
        f"same probability costs ln {classes} = {number(guessing_loss(classes))}. `diverged`: not finite, "
        f"or above {results.DIVERGED_FROM:g} times guessing. `collapsed`: at least "
        f"{percent(results.COLLAPSED_FROM, 0)} of guessing, after the weights moved far. `stalled`: fell by "
        f"less than {percent(results.STALLED_BELOW, 0)} of guessing in {results.STALLED_UPDATES} updates or "
        f"more. `learned`: below {percent(results.LEARNED_BELOW, 0)} of guessing. `undertrained`: all else. "
        "A model has the worst status of its runs.",
        "The gradient norm is that of the loss on a fixed subset of the training images. Gradient norms "
        "and distances in the text are medians over the seeds, as in the charts.",
        "Confidence intervals are by Student's t over the seeds. The best model is compared with the "
        "runner-up by a paired t-test over the seeds and by McNemar's exact test on the test images, but "
        "not with a model that learned nothing. Intervals and t-tests say how results vary with the seed, "
        "not how they would vary with other training images.",
    ]
    if len(tables.surface):
        found.append(
            "The planes are spanned by the principal directions of the trajectories, and the loss in them "
            f"is that of {landscape.IMAGES} training images ({LI}; {LORCH}). A plane does not show movement "
            "in other directions: the loss under a trajectory is not exactly its own, and even random walks "
            f"look smooth ({ANTOGNINI})."
        )
    if params.tuned.models and sweep is not None:
        tuned = listed([f"`{model}`" for model in params.tuned.models])
        found.append(
            f"{tuned} have the learning rates with the highest validation accuracy in the sweep, after "
            f"{counted(int(sweep.epochs.max()), 'epoch')}, for their batch size and optimizer."
        )
    return [*found, f"In no study, so trained but not compared: {listed(unused)}."] if unused else found
