"""Everything that the report says in words, derived from the tables.

All texts are Markdown, with the names of models in backquotes, unless a docstring says plain.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from descent import results
from descent.config import Params
from descent.metrics import METRICS
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
    times,
)
from descent.report.tables import (
    SETTINGS,
    Tables,
    answer,
    best,
    best_rates,
    cells,
    scaling,
    settings_text,
    tied,
    varying,
)
from descent.results import NOT_LEARNED, guessing_loss
from descent.statistics import MOST_PAIRS, SIGNIFICANT

COLUMNS = (
    *("validation_accuracy", "test_accuracy", "status", "updates"),
    *("train_loss", "train_accuracy", "test_loss"),
)
"""The columns of a study's table after the settings that vary."""

TERMINAL_COLUMNS = COLUMNS[:3]
"""The columns that a terminal shows: with two settings that vary they fit into 78 characters."""

CLOSE_UPDATES = 0.05
"""Numbers of updates that differ by at most this share are compared as equal."""

SMALL_PART, LARGE_PART = 0.25, 0.75
"""A lead is due to the number of updates if at equal numbers at most the small part of it is left, and not
due to it if more than the large part is left."""

FEWER = 0.5
"""Fewer updates are the cause where a model makes less than this share of the best model's."""

LISTED_MODELS = 6
"""More models than this get a range of values in place of each one's."""

LI = "[Li et al. 2018](https://arxiv.org/abs/1712.09913)"
LORCH = "Lorch 2016, *Visualizing Deep Network Training Trajectories with PCA*"
ANTOGNINI = "[Antognini and Sohl-Dickstein 2018](https://arxiv.org/abs/1806.08805)"


class Answer(NamedTuple):
    """The answer to a study's question.

    Attributes:
        study: The study's name (plain).
        question: Its question, escaped for Markdown.
        answer: The best value of the settings that the study varies, such as `batch size 8`, `a tie of …`
            or `none` (plain).
        model: The best model's name (plain); None if none learned anything.
        headline: The answer, the model and its accuracies.
        evidence: Intervals and tests.
        reasons: One text per model: the model, the cause of its result, and the numbers behind it.
        limits: What the comparison cannot say.
    """

    study: str
    question: str
    answer: str
    model: str | None
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
    """All texts of the report.

    Attributes:
        title: The report's title.
        introduction: What was found and why; each entry can stand alone.
        network: What was trained.
        answers: One per study, in the order of params.yaml.
        tables: The table of each study by its name.
        captions: By the figure's name, in the order of the report: for each study `<study>-curves`,
            `<study>-movement` and `<study>-trajectories`, then `sweep`, then `<model>-mistakes` for each
            study's best model. A figure that cannot be drawn has none.
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
    rows = {study: members for study, members in tables.comparison.groupby("study", sort=False)}
    drawn = set(tables.surface.study)
    return Contents(
        title(list(rows.values())),
        introduction(tables, list(rows.values())),
        network(params, models, data),
        [answer_study(name, study.question, rows[name], tables) for name, study in params.studies.items()],
        {study: study_table(rows[study]) for study in params.studies},
        captions(params, tables, rows, classes),
        {study: no_trajectories(rows[study]) for study in params.studies if study not in drawn},
        method(params, models),
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
    first, seeds, epochs = models.iloc[0], len(params.train.seeds), params.train.epochs
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
    return (
        f"{shape} to classify {markdown(data) or 'images'} by gradient descent: "
        f"{counted(len(params.models), 'model')} with {counted(seeds, 'seed')} each, "
        f"{counted(len(params.models) * seeds, 'training run')} of {counted(epochs, 'epoch')}. An epoch is "
        f"one pass over the {count(first.images)} training images: {listed(updates)}."
    )


def _size(batch_size: int, images: int) -> str:
    return setting("batch_size", batch_size, images)


def _is(rows: pd.DataFrame) -> str:
    return "is" if len(rows) == 1 else "are"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# What was found and why


def introduction(tables: Tables, studies: Sequence[pd.DataFrame]) -> list[str]:
    """Explain the results: by the number of updates, by the size of the steps, by the sweep."""
    found = [
        *(updates_explain(rows, tables.history) for rows in studies),
        *(step_sizes_explain(rows) for rows in studies),
        sweep_explains(tables),
    ]
    return [text for text in found if text]


def updates_explain(rows: pd.DataFrame, history: pd.DataFrame) -> str | None:
    """Say whether the best batch size wins because it makes more updates.

    It is compared with the next best model that learned, after as many updates. None for a study that
    varies something else, or where no such comparison can be made.
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
    equal = equal_updates(history, ours.model, theirs.model)
    lead = ours.validation_accuracy_mean - theirs.validation_accuracy_mean
    if equal is None or lead <= 0:
        return None
    left = (equal.best_accuracy - equal.other_accuracy) / lead
    claim = "partly because it makes more updates"
    if left <= SMALL_PART:
        claim = "because it makes more updates"
    elif left > LARGE_PART:
        claim = "and not only because it makes more updates: it also learns more from each"
    return (
        f"{start} {claim}. After {count(equal.best_updates)} updates it has "
        f"{percent(equal.best_accuracy, 1)} validation accuracy, and {them} has "
        f"{percent(equal.other_accuracy, 1)} after {count(equal.other_updates)}. When training ends, they "
        f"have made {count(ours.updates)} and {count(theirs.updates)} updates and have "
        f"{percent(ours.validation_accuracy_mean, 1)} and {percent(theirs.validation_accuracy_mean, 1)}."
    )


class EqualUpdates(NamedTuple):
    """Updates and mean validation accuracy of two models after about equal numbers of updates."""

    best_updates: int
    best_accuracy: float
    other_updates: int
    other_accuracy: float


def equal_updates(history: pd.DataFrame, winner: str, other: str) -> EqualUpdates | None:
    """Find the epochs at which two models have made the most nearly equal numbers of updates.

    Returns:
        The last such epochs; None if the numbers differ by more than CLOSE_UPDATES.
    """
    trained = history[history.epoch > 0]
    ours, theirs = (
        trained[trained.model == name].groupby("updates").validation_accuracy.mean()
        for name in (winner, other)
    )
    pairs = [(abs(math.log(a / b)), -a, int(a), int(b)) for a in ours.index for b in theirs.index]
    gap, _, a, b = min(pairs)
    return EqualUpdates(a, float(ours[a]), b, float(theirs[b])) if gap <= CLOSE_UPDATES else None


def step_sizes_explain(rows: pd.DataFrame) -> str | None:
    """Say which learning rates are too large or too small, in a study that varies nothing else."""
    if best(rows) is None or varying(rows) != ["learning_rate"]:
        return None
    ours = rows[rows.model == best(rows)].iloc[0].learning_rate
    large = rows[(rows.learning_rate > ours) & rows.status.isin(("diverged", "collapsed"))]
    small = rows[(rows.learning_rate < ours) & rows.status.isin(("stalled", "undertrained"))]
    claims = []
    for found, size in ((large, "large"), (small, "small")):
        if len(found):
            rates, ends = map(rate, found.learning_rate), found.status.unique()
            claims.append(f"{listed(list(rates))} {_is(found)} too {size} ({listed(list(ends))})")
    return f"Learning rate {rate(ours)} performs best: {listed(claims)}." if claims else None


def sweep_explains(tables: Tables) -> str | None:
    """Compare the batch sizes of the sweep, each at its best learning rate, with the first optimizer."""
    if tables.sweep is None:
        return None
    sweep = tables.sweep[tables.sweep.optimizer == tables.sweep.optimizer.iloc[0]]
    found = best_rates(sweep).sort_values("validation_accuracy", ascending=False, kind="stable")
    if len(found) < 2:
        return None
    images, noise = tables.comparison.images.iloc[0], sweep_noise(tables)

    def sizes(rows: pd.DataFrame) -> str:
        return listed([_size(size, images) for size in rows.batch_size])

    def accuracies(rows: pd.DataFrame) -> str:
        return listed([percent(accuracy, 1) for accuracy in rows.validation_accuracy])

    after = f"after {counted(int(sweep.epochs.max()), 'epoch')} of the sweep"
    if math.isnan(noise):
        return (
            f"With the best learning rate for each, batch sizes {sizes(found)} have {accuracies(found)} "
            f"validation accuracy {after}. With one seed, small differences may be chance."
        )
    gap = found.validation_accuracy.iloc[0] - found.validation_accuracy
    equal = gap <= 2 * math.sqrt(2) * noise  # about 95 % of the differences that chance makes
    close, behind = found[equal].sort_values("batch_size"), found[~equal]
    vary = f"runs that differ only in the seed vary by {100 * noise:.2f} percentage points"
    if len(close) == 1:
        return (
            f"Even with the best learning rate for each, batch size {sizes(close)} is ahead {after}: it has "
            f"{accuracies(close)} validation accuracy, and {sizes(behind)} "
            f"{'has' if len(behind) == 1 else 'have'} {accuracies(behind)} ({vary})."
        )
    rest = fewer = ""
    if len(behind):
        if behind.updates.max() < close.updates.min():
            fewer = f", which make{'s' * (len(behind) == 1)} fewer updates,"
        rest = f" {sizes(behind)}{fewer} {_is(behind)} behind with {accuracies(behind)}."
    return (
        f"With the best learning rate for each, batch sizes {sizes(close)} are equal within the noise: "
        f"{after} they have {accuracies(close)} validation accuracy ({vary}).{rest}"
    )


def sweep_noise(tables: Tables) -> float:
    """Estimate how far chance moves the validation accuracy of a best cell: its standard deviation.

    A sweep of one seed borrows the spread of the studies' models that learned, after as many epochs. NaN
    if there is one seed everywhere.
    """
    assert tables.sweep is not None
    by, seeds = ["optimizer", "batch_size", "learning_rate"], tables.sweep.seed.nunique()
    if seeds > 1:
        runs = tables.sweep.merge(best_rates(tables.sweep)[by], on=by)
        return float(np.sqrt(runs.groupby(by).validation_accuracy.var().mean() / seeds))
    learned = tables.comparison.model[tables.comparison.status == "learned"]
    epoch = min(tables.sweep.epochs.max(), tables.history.epoch.max())
    runs = tables.history[tables.history.model.isin(learned) & (tables.history.epoch == epoch)]
    return float(np.sqrt(runs.groupby("model").validation_accuracy.var().mean()))


# The answer to a study


def answer_study(study: str, question: str, rows: pd.DataFrame, tables: Tables) -> Answer:
    """Answer a study's question from its rows of the comparison and from the other tables."""
    winner, named = best(rows), rows.set_index("model", drop=False)
    found = tables.differences[tables.differences.study == study]
    return Answer(
        study,
        markdown(question),
        answer(rows),
        winner,
        headline(named, winner),
        [] if winner is None else evidence(named, winner, found),
        [reason(row, tables.history[tables.history.model == row.model], rows) for _, row in named.iterrows()],
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
        return (
            f"{_capital(answer(rows))} ({listed([f'`{model}`' for model in models])}): their validation "
            f"accuracy is the same. `{winner}`, of which no other has a lower validation loss, classifies "
            f"{accuracies}"
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
    lead = (
        f"The runner-up is `{other.model}` ({', '.join(filter(None, notes)) or 'with equal settings'}) with "
        f"{percent(other.validation_accuracy_mean)}, {100 * first.difference:.2f} percentage points behind."
    )
    return [spread, lead, over_seeds(first), over_images(first)]


def over_seeds(row: pd.Series) -> str:
    """Report the t-test of a row of the differences; where chance cannot be excluded, the seeds needed."""
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
    needed = row.seeds_needed
    many = f"more than {count(MOST_PAIRS)}" if pd.isna(needed) else f"about {count(needed)}"
    return (
        f"Over the seeds chance cannot be excluded: {numbers}. If the true difference is the measured one, "
        f"{many} seeds would be needed to detect it with a probability of 80 %."
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


class Course(NamedTuple):
    """Where a model's runs start and end.

    Losses are means over the seeds, NaN if one is not finite. Gradient norms and the distance from the
    start are medians, as in the charts: a mean of distances that differ by powers of ten says nothing.
    """

    first_loss: float
    previous_loss: float
    last_loss: float
    first_norm: float
    last_norm: float
    distance: float


def course(history: pd.DataFrame) -> Course:
    """Summarize the history of one model."""
    last = history.epoch.max()
    start, previous, end = (history[history.epoch == epoch] for epoch in (0, last - 1, last))
    return Course(
        first_loss=start.train_loss.mean(skipna=False),
        previous_loss=previous.train_loss.mean(skipna=False),
        last_loss=end.train_loss.mean(skipna=False),
        first_norm=start.gradient_norm.median(),
        last_norm=end.gradient_norm.median(),
        distance=end.distance.fillna(math.inf).median(),
    )


def reason(row: pd.Series, history: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Say why a model came out as it did: the cause first, then the numbers.

    Args:
        row: The model's row of the comparison.
        history: Its history.
        rows: The study's rows of the comparison.
    """
    found = course(history)
    finite = math.isfinite(found.distance)
    distance = number(found.distance) if finite else "farther than 32-bit numbers reach"
    moved = f"{counted(row.updates, 'update')} moved the weights {distance} from the start"
    winner = rows[rows.model == best(rows)].iloc[0] if best(rows) else None
    words = {"learned": _learned, "undertrained": _undertrained, "stalled": _stalled}
    cause, numbers = words.get(row.status, _failed)(row, found, rows, winner)
    return f"`{row.model}` ({row.status}): {cause}. {moved}{numbers}"


def _learned(row: pd.Series, found: Course, rows: pd.DataFrame, winner: pd.Series) -> tuple[str, str]:
    others = rows[rows.model != row.model]
    if row.model != winner.model:
        cause = _against(row, winner)
    elif varying(rows) == ["learning_rate"]:
        cause = "steps of a suitable size"
    elif len(others) and others.updates.max() < row.updates:
        cause = "most updates"
    else:
        cause = "most progress in its updates" if len(others) else "enough updates of a suitable size"
    return cause, (
        f" and lowered the training loss from {number(found.first_loss)} to {number(found.last_loss)}; the "
        f"gradient norm went from {number(found.first_norm)} to {number(found.last_norm)}."
    )


def _against(row: pd.Series, winner: pd.Series) -> str:
    """Name the difference to the best model that is the likely cause of being behind it."""
    if row.updates < FEWER * winner.updates:
        return f"fewer updates than `{winner.model}`, by a factor of {times(winner.updates / row.updates)}"
    if row.optimizer != winner.optimizer:
        return f"another optimizer than `{winner.model}`"
    if (row.hidden_layers, row.activation) != (winner.hidden_layers, winner.activation):
        return f"another network than `{winner.model}`"
    if row.learning_rate != winner.learning_rate:
        steps = "smaller" if row.learning_rate < winner.learning_rate else "larger"
        return f"{steps} steps than `{winner.model}`"
    return f"less progress than `{winner.model}`{' in more updates' * bool(row.updates > winner.updates)}"


def _undertrained(row: pd.Series, found: Course, rows: pd.DataFrame, winner: Any) -> tuple[str, str]:
    falling = found.last_loss < found.previous_loss
    cause = "steps too small for so few updates"
    if not falling:
        cause = "no steady progress"
    elif winner is None or winner.model == row.model or row.updates < FEWER * winner.updates:
        cause = "too few updates"
    return cause, (
        f", and the training loss went from {number(found.first_loss)} to {number(found.last_loss)}, where "
        f"guessing costs {number(guessing_loss(row.classes))}. {_slope(found)}: the loss "
        f"{'was still falling when training ended' if falling else 'did not fall in the last epoch'}."
    )


def _stalled(row: pd.Series, found: Course, rows: pd.DataFrame, winner: Any) -> tuple[str, str]:
    fall = 100 * (1 - found.last_loss / found.first_loss)
    end = number(found.last_loss)
    by = f" by {number(fall, 2)} %, to {end}"
    loss = f"lowered the training loss{by}" if fall > 0 else f"left the training loss at {end}"
    small = found.distance * found.first_norm < results.STALLED_BELOW * guessing_loss(row.classes)
    cause = "steps too small" if small else "steps that lead nowhere"
    return cause, f" and {loss}. {_slope(found)}: there is a slope to follow."


def _failed(row: pd.Series, found: Course, rows: pd.DataFrame, winner: Any) -> tuple[str, str]:
    end = f"at {number(found.last_loss)}" if math.isfinite(found.last_loss) else "without a finite value"
    guess = f"guessing costs {number(guessing_loss(row.classes))}"
    collapsed = row.status == "collapsed"
    rest = f"; {guess}, so the network no longer tells the classes apart." if collapsed else f"; {guess}."
    start = number(found.first_loss)
    return "steps too large", f", and the training loss, {start} at the start, ended {end}{rest}"


def _slope(found: Course) -> str:
    first, last = number(found.first_norm), number(found.last_norm)
    before = "as at the start" if first == last else f"after {first} at the start"
    return f"The gradient norm is {last}, {before}"


# What a comparison cannot say


def limits(rows: pd.DataFrame, winner: str | None, sweep: pd.DataFrame | None = None) -> list[str]:
    """Say what a study cannot, unless the sweep has measured it; `rows` has the models as its index."""
    found = [
        _several_settings(rows, sweep),
        _same_epochs(rows),
        _fixed_settings(rows, sweep),
        _at_the_edge(rows, winner, sweep),
        "The intervals show how results vary with the seed, which sets the initial weights and the order "
        "of the images. They do not show how results would vary with other training images."
        if rows.seeds.iloc[0] > 1
        else "With one seed, nothing is known about how results vary from seed to seed.",
    ]
    return [text for text in found if text]


def _several_settings(rows: pd.DataFrame, sweep: pd.DataFrame | None) -> str | None:
    names = varying(rows)
    if len(names) < 2:
        return None
    tuned = ""
    if sweep is not None:
        keys = ["optimizer", "batch_size", "learning_rate"]
        chosen = set(best_rates(sweep)[keys].itertuples(index=False, name=None))
        if set(rows[keys].itertuples(index=False, name=None)) <= chosen:
            tuned = " Each learning rate is the best that the sweep found, so each model is at its best."
    return (
        f"The models differ in {listed([setting_title(name) for name in names])} at once: a difference "
        "between two of them is not due to one of these alone."
        f"{tuned}"
    )


def _same_epochs(rows: pd.DataFrame) -> str | None:
    few, many = rows.loc[rows.updates.idxmin()], rows.loc[rows.updates.idxmax()]
    if few.updates == many.updates:
        return None
    return (
        "All models see each image equally often, but they make different numbers of updates: "
        f"`{few.model}` {count(few.updates)}, `{many.model}` {count(many.updates)}. How good `{few.model}` "
        "would be after as many updates is not measured."
    )


def _fixed_settings(rows: pd.DataFrame, sweep: pd.DataFrame | None) -> str | None:
    names = varying(rows)
    fixed = [name for name in ("batch_size", "learning_rate") if name not in names]
    if len(rows) == 1 or not fixed:
        return None
    if sweep is not None and len(names) == len(fixed) == 1 and names[0] in sweep:
        grid = sweep[sweep.optimizer.isin(rows.optimizer)]
        if set(rows[names[0]]) <= set(grid[names[0]]) and grid[fixed[0]].nunique() > 1:
            return None
    return f"All models use {settings_text(rows.iloc[0], fixed)}; with another value the order may differ."


def _at_the_edge(rows: pd.DataFrame, winner: str | None, sweep: pd.DataFrame | None) -> str | None:
    names = varying(rows)
    if winner is None or len(names) != 1 or isinstance(rows.loc[winner, names[0]], str):
        return None
    value, tried, measured = rows.loc[winner, names[0]], rows[names[0]].dropna(), []
    if names == ["batch_size"] and value in (1, rows.images.iloc[0]):
        return None  # there is none beyond
    if sweep is not None and names[0] in sweep:
        measured = sweep[sweep.optimizer == rows.optimizer.iloc[0]][names[0]]
    if value == tried.min() and not any(other < value for other in measured):
        edge, better = "smallest", "smaller"
    elif value == tried.max() and not any(other > value for other in measured):
        edge, better = "largest", "larger"
    else:
        return None
    tries = f"the {edge} of the {tried.nunique()} that were tried"
    return f"The best {setting_title(names[0])} is {tries}: a {better} one may be better."


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
    seeds = rows.seeds.iloc[0]
    mean = f"Mean over {seeds} seeds ± standard deviation" if seeds > 1 else "One run of each model"
    every = f" All models: {shared}." if len(rows) > 1 and shared else ""
    note = f"{mean}. Losses are the cross-entropy per image.{every}"
    return StudyTable(["model", *map(setting_title, names), *headings], body, note)


def terminal(params: Params, comparison: pd.DataFrame) -> str:
    """Format questions, answers and the main columns of their tables as plain text for a terminal."""
    rows = dict(iter(comparison.groupby("study", sort=False)))
    return "\n\n".join(_terminal_study(study.question, rows[name]) for name, study in params.studies.items())


def _terminal_study(question: str, rows: pd.DataFrame) -> str:
    table, winner = study_table(rows), best(rows)
    hidden = len(COLUMNS) - len(TERMINAL_COLUMNS)
    cells = [table.headings[:-hidden], *(row[:-hidden] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in cells]
    model = f" ({winner})" if winner else ""
    return "\n".join([f"{question} {answer(rows)}{model}", "", *lines])


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
    params: Params, tables: Tables, rows: dict[str, pd.DataFrame], classes: Sequence[str] = ()
) -> dict[str, Caption]:
    """Write the captions of all figures, in the order of the report; `rows` has those of each study."""
    seeds, found = params.train.seeds, {}
    lines = f"Lines are medians over {len(seeds)} seeds, bands reach from the lowest to the highest."
    if len(seeds) == 1:
        lines = "Each line is one run."
    for study in params.studies:
        found[f"{study}-curves"] = curves_caption(rows[study], lines)
        found[f"{study}-movement"] = movement_caption(rows[study], tables.history, lines)
        projected = tables.trajectories[tables.trajectories.study == study]
        if len(projected):
            found[f"{study}-trajectories"] = trajectories_caption(rows[study], projected, seeds[0])
    if tables.sweep is not None:
        found["sweep"] = sweep_caption(tables.sweep)
    for winner in dict.fromkeys(filter(None, (best(rows[study]) for study in params.studies))):
        seed = tables.comparison[tables.comparison.model == winner].best_seed.iloc[0]
        matrix = tables.confusion[tables.confusion.model == winner]
        found[f"{winner}-mistakes"] = mistakes_caption(winner, seed, matrix, classes)
    return found


def curves_caption(rows: pd.DataFrame, lines: str) -> Caption:
    """Describe a study's learning curves; `lines` says what a line is."""
    ends = "; ".join(
        f"{row.model} ends at a training loss of {number(row.train_loss_mean)} and a validation accuracy of "
        f"{percent(row.validation_accuracy_mean)}"
        for row in rows.itertuples()
    )
    text = f"Above, models are compared after equally many epochs, below after equally many updates. {lines}"
    description = f"Training loss and validation accuracy by epoch and by updates: {ends}."
    return Caption("Learning curves", text, description)


def movement_caption(rows: pd.DataFrame, history: pd.DataFrame, lines: str) -> Caption:
    """Describe a study's gradient norms and distances; `lines` says what a line is."""
    found = {model: course(history[history.model == model]) for model in rows.model}
    ends = "; ".join(
        f"{model} ends with a gradient norm of {number(end.last_norm)} at a distance of "
        f"{number(end.distance)}"
        for model, end in found.items()
    )
    return Caption(
        "Gradient norm and distance from the start",
        "The gradient norm is the slope of the training loss where the weights are. The distance is the "
        f"Euclidean distance of all weights from their initial values. {lines} A logarithmic scale has no "
        "place for 0.",
        f"Gradient norm and distance from the start by epoch: {ends}.",
    )


def trajectories_caption(rows: pd.DataFrame, projected: pd.DataFrame, seed: int) -> Caption:
    """Describe a study's trajectories over the loss surface."""
    far = rows.model[rows.status.isin(landscape.EXCLUDED)]
    leaving = ""
    if len(far):
        names = listed([f"`{model}`" for model in far])
        leave = "leaves" if len(far) == 1 else "leave"
        leaving = f"{names} {leave} the picture: only the direction is shown. "
    ends = projected[(projected.epoch == projected.epoch.max()) & ~projected.model.isin(far)]
    shares = "; ".join(
        f"{'the magnified plane' if frame else 'the first plane'} {_explained(table)}"
        for frame, table in ends[ends.explained.notna()].groupby("frame")
    )
    return Caption(
        "Trajectories over the loss surface",
        f"The weights of the runs of seed {seed}, with a mark after each epoch; all start at the ring. The "
        "plane is spanned by the principal directions of the trajectories, and colours are the loss of "
        f"{landscape.IMAGES} training images in this plane ({LI}; {LORCH}). {leaving}A plane explains a "
        f"part of the squared distance from start to end: {shares}. Movement in other directions is not "
        "seen, so the loss under a trajectory is not exactly its own, and even random walks look smooth in "
        f"such a plane ({ANTOGNINI}).",
        "Trajectories of the weights over the loss: "
        + "; ".join(f"{row.model} ({row.status})" for row in rows.itertuples())
        + ".",
    )


def _explained(ends: pd.DataFrame) -> str:
    if len(ends) > LISTED_MODELS:
        return percent_range(ends.explained.min(), ends.explained.max(), 1)
    return listed([f"{percent(row.explained, 1)} for `{row.model}`" for row in ends.itertuples()])


def no_trajectories(rows: pd.DataFrame) -> str:
    """Say why a study has no figure of trajectories."""
    if len(rows[["hidden_layers", "activation"]].drop_duplicates()) > 1:
        return "No trajectories are drawn: the models are different networks, with different weights."
    return "No trajectories are drawn: all models diverged or collapsed."


def sweep_caption(sweep: pd.DataFrame) -> Caption:
    """Describe the heat map of the sweep."""
    table, seeds, optimizers = cells(sweep), sweep.seed.nunique(), sweep.groupby("optimizer", sort=False)
    found = [f"{sign} {status}" for status, sign in STATUS_SIGNS.items() if (table.status == status).any()]
    signs = f" A sign stands for runs that learned nothing: {listed(found)}." if found else ""
    mean = f", mean of {seeds} seeds" if seeds > 1 else ""
    prefix = "with {}, " if len(optimizers) > 1 else ""
    laws = " ".join(_capital(prefix.format(name) + scaling_text(rows)) for name, rows in optimizers)
    top = table.loc[table.validation_accuracy.idxmax()]
    return Caption(
        "Sweep of batch size and learning rate",
        f"Validation accuracy in percent after {counted(int(sweep.epochs.max()), 'epoch')}{mean}.{signs} The "
        f"best learning rate of each batch size is framed; dots mark the models of the studies. {laws}",
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
            "batch sizes have it inside the grid."
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
        f"{change}."
    )


def mistakes_caption(model: str, seed: int, matrix: pd.DataFrame, classes: Sequence[str] = ()) -> Caption:
    """Describe the confusion matrix and the worst mistakes of a model."""
    wrong = matrix[(matrix.true != matrix.predicted) & (matrix.images > 0)]
    total, heading = count(matrix.images.sum()), f"Images that `{model}` misclassifies"
    if wrong.empty:
        text = f"Its best seed ({seed}) classifies all {total} test images correctly."
        return Caption(heading, text, f"Confusion matrix of {model}: no mistake.")
    most = wrong.sort_values("images", ascending=False, kind="stable").iloc[0]
    pair = most.true, most.predicted
    true, predicted = (classes[label] if classes else f"class {label}" for label in pair)
    often = f"most often, {counted(most.images, 'time')}, {true} is classified as {predicted}"
    return Caption(
        heading,
        f"Its best seed ({seed}) misclassifies {count(wrong.images.sum())} of {total} test images; "
        f"{markdown(often) if classes else often}. The images shown are those whose true class got the "
        "lowest probability.",
        f"Confusion matrix of {model} and its worst mistakes: {often}.",
    )


# Method


def method(params: Params, models: pd.DataFrame) -> list[str]:
    """Say how results were measured, and what the statuses mean; `models` has a row for each model."""
    split, classes = params.preprocess, models.classes.iloc[0]
    unused = [f"`{model}`" for model in params.models if model not in set(models.model)]
    found = [
        f"Data: {count(split.training_images)} training and {count(split.validation_images)} validation "
        "images, drawn so that both have the classes in the same proportions. The test images are only "
        "reported; nothing is selected by them.",
        "The best model has the highest mean validation accuracy after the last epoch. A tie goes to the "
        "lower validation loss. A model of which a run diverged, collapsed or stalled is never the best.",
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
        "not with a model that learned nothing.",
    ]
    return [*found, f"In no study, so trained but not compared: {listed(unused)}."] if unused else found
