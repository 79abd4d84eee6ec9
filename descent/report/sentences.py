"""The sentences of the report, derived from the tables; captions.py has the words below figures.

The template calls these functions; `rows` are a study's rows of the comparison. Texts are Markdown, with the
names of models in backquotes, unless a docstring says plain.
"""

import itertools
import math
import textwrap
from collections.abc import Sequence

import pandas as pd

from descent.config import Params
from descent.format import (
    capital,
    code,
    count,
    counted,
    listed,
    markdown,
    number,
    p_value,
    percent,
    percent_range,
    points,
    rate,
    setting_title,
    setting_titles,
    times,
)
from descent.metrics import METRICS
from descent.rates import ROW, best_rates
from descent.report import landscape
from descent.report.tables import (
    SETTINGS,
    Tables,
    answer,
    best,
    setting_texts,
    settings_text,
    shown_settings,
    tied,
    varying,
)
from descent.results import NOT_LEARNED, STALLED_UPDATES, guessing_loss
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


def labels(comparison: pd.DataFrame) -> dict[str, str]:
    """Return each model's name in a legend, with its status unless it learned (plain)."""
    return {
        row.model: row.model if row.status == "learned" else f"{row.model} ({row.status})"
        for row in comparison.itertuples()
    }


def title(studies: Sequence[pd.DataFrame]) -> str:
    """Name what the studies vary: `How batch size and learning rate affect gradient descent`."""
    names = dict.fromkeys(setting_title(name) for rows in studies for name in varying(rows))
    affect = "affects" if len(names) == 1 else "affect"
    return f"How {listed(list(names))} {affect} gradient descent" if names else "Gradient descent"


def network(params: Params, comparison: pd.DataFrame, data: str) -> str:
    """Say what was trained, and how many updates an epoch has."""
    models, epochs = comparison.drop_duplicates("model"), params.train.epochs
    first = models.iloc[0]
    if len(models[["hidden_layers", "activation"]].drop_duplicates()) > 1:
        shape = "Multilayer perceptrons of several shapes learn"
    else:
        widths = [] if first.hidden_layers == "none" else first.hidden_layers.split("-")
        layers = " → ".join([str(first.pixels), *widths, str(first.classes)])
        activation = f"{first.activation}, " if widths else ""
        shape = f"A multilayer perceptron {layers} ({activation}softmax at the end) learns"
    updates = [
        f"{counted(round(row.updates / epochs), 'update')} with {settings_text(row, ['batch_size'])}"
        for row in models.drop_duplicates("batch_size").sort_values("batch_size").itertuples()
    ]
    groups = [
        f"{counted(models_of, 'model')} with {counted(seeds, 'seed')} each"
        for seeds, models_of in models.groupby("seeds", sort=False).size().items()
    ]
    return (
        f"{shape} to classify {markdown(data) or 'images'} by gradient descent: {listed(groups)}, "
        f"{counted(models.seeds.sum(), 'training run')} of {counted(epochs, 'epoch')}. A seed sets the "
        f"initial weights and the order of the images. An epoch is one pass over the {count(first.images)} "
        f"training images: {listed(updates)}."
    )


def _is(rows: pd.DataFrame) -> str:
    return "is" if len(rows) == 1 else "are"


# What was found and why


def introduction(studies: Sequence[pd.DataFrame], tables: Tables) -> list[str]:
    """Explain the results of studies of the batch size, of the learning rate, and at the best rates."""
    found = []
    for rows in studies:
        names, winner = varying(rows), best(rows)
        if winner is None:
            continue
        if names == ["batch_size"]:
            found.append(updates_explain(rows, winner, tables.history))
        elif names == ["learning_rate"]:
            found.append(step_sizes_explain(rows, winner, tables.sweep))
        elif len(names) == 2 and at_best_rates(rows, tables.sweep):
            found.append(best_rates_explain(rows))
    return [text for text in found if text]


def updates_explain(rows: pd.DataFrame, winner: pd.Series, history: pd.DataFrame) -> str | None:
    """Say whether the best batch size wins because it makes more updates.

    It is compared with the next best model that learned, at the last epochs at which both have made about
    as many updates. None where there is no such comparison.
    """
    others = rows[~rows.status.isin(NOT_LEARNED) & (rows.model != winner.model)]
    if others.empty:
        return None
    other = others.sort_values("validation_accuracy_mean", ascending=False, kind="stable").iloc[0]
    us, them = (settings_text(row, ["batch_size"]) for row in (winner, other))
    start = f"At learning rate {rate(winner.learning_rate)}, {us} performs best"
    if winner.updates < other.updates:
        fewer = f"{count(winner.updates)} instead of {count(other.updates)}"
        return f"{start} although it makes fewer updates than {them}: {fewer}."
    trained = history[history.epoch > 0]
    our_curve, their_curve = (
        trained[trained.model == row.model].groupby("updates").validation_accuracy.mean()
        for row in (winner, other)
    )
    pairs = [(abs(math.log(a / b)), -a, a, b) for a in our_curve.index for b in their_curve.index]
    gap, _, our_updates, their_updates = min(pairs)
    lead = winner.validation_accuracy_mean - other.validation_accuracy_mean
    if gap > CLOSE_UPDATES or lead <= 0:
        return None
    our_accuracy, their_accuracy = our_curve[our_updates], their_curve[their_updates]
    left = (our_accuracy - their_accuracy) / lead
    claim = "partly because it makes more updates"
    if left <= SMALL_PART:
        claim = "because it makes more updates"
    elif left > LARGE_PART:
        claim = "and not only because it makes more updates: it also learns more from each"
    few = rows[(rows.status == "undertrained") & (rows.updates < FEWER * other.updates)]
    return (
        f"{start} {claim}. After {count(our_updates)} updates it has {percent(our_accuracy, 1)} validation "
        f"accuracy, and {them} has {percent(their_accuracy, 1)} after {count(their_updates)}. When training "
        f"ends, they have made {count(winner.updates)} and {count(other.updates)} updates and have "
        f"{percent(winner.validation_accuracy_mean, 1)} and {percent(other.validation_accuracy_mean, 1)}."
        + "".join(
            f" {capital(settings_text(row, ['batch_size']))} has made only {counted(row.updates, 'update')} "
            f"by then and has {percent(row.validation_accuracy_mean, 1)}."
            for row in few.itertuples()
        )
    )


def step_sizes_explain(rows: pd.DataFrame, winner: pd.Series, sweep: pd.DataFrame) -> str | None:
    """Say which learning rates are too large or too small, why, and whether the sweep has a better one.

    None if there is nothing of this to say.
    """
    best_rate = winner.learning_rate
    large = rows[(rows.learning_rate > best_rate) & rows.status.isin(landscape.EXCLUDED)]
    small = rows[(rows.learning_rate < best_rate) & rows.status.isin(("stalled", "undertrained"))]

    def named(found: pd.DataFrame, size: str) -> str:
        rates, statuses = map(rate, found.learning_rate), found.status.unique()
        return f" {listed(list(rates))} {_is(found)} too {size} ({listed(list(statuses))}): "

    text = ""
    if len(large):
        text += f"{named(large, 'large')}the steps overshoot the minimum, and training ends no better than "
        text += "guessing."
    if len(small):
        least = small.learning_rate.min()
        shorter = times(best_rate / least)
        text += f"{named(small, 'small')}with steps {shorter} times shorter than at {rate(best_rate)}, "
        text += f"{rate(least)} would need about {shorter} times as many updates."
    tried = sweep[(sweep[ROW] == winner[ROW]).all(axis=1)]
    better = best_rates(tried).learning_rate
    if best_rate in set(tried.learning_rate) and any(better != best_rate):
        text += f" The sweep finds a better one at batch size {count(winner.batch_size)}: {rate(*better)}."
    return f"Of these learning rates, {rate(best_rate)} performs best.{text}" if text else None


def best_rates_explain(rows: pd.DataFrame) -> str:
    """Compare the values of a setting that each have the best learning rate."""
    [name] = [name for name in varying(rows) if name != "learning_rate"]
    first = tied(rows)
    behind = rows[~rows.model.isin(first.model)]

    def accuracies(part: pd.DataFrame) -> str:
        return percent_range(part.validation_accuracy_mean.min(), part.validation_accuracy_mean.max(), 1)

    values = listed(setting_texts(first, name))
    rates = "with the learning rate that the sweep finds best for each"
    text = f"Even {rates}, {setting_title(name)} {values} performs best: it has"
    if len(first) > 1:
        text = (
            f"{capital(rates)}, {setting_titles(name)} {values} tie: with "
            f"{counted(first.seeds.max(), 'seed')}, the lead of the best may be due to chance. They have"
        )
    text += f" {accuracies(first)} validation accuracy."
    by_size = first.sort_values("batch_size")
    steps = by_size.learning_rate
    if name == "batch_size" and len(first) > 1 and steps.is_monotonic_increasing and steps.is_unique:
        text += (
            f" The larger the batch, the larger its best learning rate ({listed(list(map(rate, steps)))}): "
        )
        text += "larger steps make up for fewer updates."
    if len(behind):
        fewer = ""
        if behind.updates.max() < first.updates.min():
            fewer = f", which make{'s' * (len(behind) == 1)} fewer updates,"
        others = capital(listed(setting_texts(behind, name)))
        text += f" {others}{fewer} {_is(behind)} behind with {accuracies(behind)}."
    return text + " With one seed, small differences may be chance." * bool((rows.seeds == 1).any())


def at_best_rates(rows: pd.DataFrame, sweep: pd.DataFrame) -> bool:
    """Return whether each model has the learning rate that is best in the sweep for its other settings."""
    chosen = rows.merge(best_rates(sweep), on=[*ROW, "learning_rate"])
    return "learning_rate" in varying(rows) and len(chosen) == len(rows)


# The answer to a study, and how certain it is


def headline(rows: pd.DataFrame) -> str:
    """State the answer, the model and its accuracies."""
    winner = best(rows)
    if winner is None:
        ends = listed([f"`{row.model}` {row.status}" for row in rows.itertuples()])
        return f"None: no model learned anything ({ends})."
    models, value = tied(rows).model, capital(answer(rows))
    status = "" if winner.status == "learned" else f", {winner.status}"
    accuracies = (
        f"{percent(winner.validation_accuracy_mean)} of the validation images correctly, and "
        f"{percent(winner.test_accuracy_mean)} of the test images, which had no part in the choice."
    )
    if len(models) > 1:
        names, seeds = listed(code(models)), counted(winner.seeds, "seed")
        return (
            f"{value} ({names}): with {seeds}, the lead of the best may be due to chance. The highest mean "
            f"is that of `{winner.model}`: it classifies {accuracies}"
        )
    verdict = "performed best" if len(rows) > 1 else "is the only one of this study"
    return f"{value} (`{winner.model}`{status}) {verdict}: it classifies {accuracies}"


def evidence(rows: pd.DataFrame, differences: pd.DataFrame) -> list[str]:
    """Report the best model's intervals and the tests against the runner-up."""
    winner = best(rows)
    if winner is None:
        return []
    spread = (
        f"Over {winner.seeds} seeds the 95 % confidence interval of the mean is "
        f"{percent_range(winner.validation_accuracy_low, winner.validation_accuracy_high)} on the validation "
        f"images and {percent_range(winner.test_accuracy_low, winner.test_accuracy_high)} on the test images "
        f"(Student's t, {counted(winner.seeds - 1, 'degree of freedom', 'degrees of freedom')})."
    )
    if winner.seeds == 1:
        spread = "There is one run of each model, so no confidence interval can be given."
    tested = differences[differences.study == winner.study]
    if tested.empty:
        return [spread]
    first = tested.iloc[0]
    other = rows[rows.model == first.other].iloc[0]
    if other.status in NOT_LEARNED:
        return [spread, "No other model learned anything, so there is no lead to test."]
    status = "" if other.status == "learned" else f", {other.status}"
    gap = points(winner.validation_accuracy_mean - other.validation_accuracy_mean)
    gap = "less than 0.01" if gap == "0.00" else gap
    lead = (
        f"The runner-up is `{other.model}` ({settings_text(other, shown_settings(rows))}{status}) with "
        f"{percent(other.validation_accuracy_mean)}, {gap} percentage points behind."
    )
    found = [spread, lead, over_seeds(first), over_images(first)]
    most = tested.difference_high[tested.other.isin(tied(rows).model)].max()
    if most > 0:
        found.append(
            "A tie does not prove that models are equal. Of those that tie, none is behind by more than "
            f"{points(most)} percentage points (95 % confidence, for each by itself)."
        )
    return found


def over_seeds(row: pd.Series) -> str:
    """Report the t-test of a row of the differences; where chance cannot be excluded, the seeds needed."""
    if pd.isna(row.p_seeds):
        return (
            "The difference cannot be tested over the seeds: that takes two seeds or more that both models "
            "have, and differences that are not all the same."
        )
    numbers = (
        f"95 % confidence interval {points(row.difference_low)} to {points(row.difference_high)} "
        f"percentage points, paired t-test on {row.pairs} pairs of runs with the same seed, t = "
        f"{number(row.t)}, {p_value(row.p_seeds)}"
    )
    if row.p_seeds < SIGNIFICANT:
        return f"Over the seeds the lead is significant: {numbers}."
    if round(row.difference, 9) == 0:
        return f"Over the seeds chance cannot be excluded: {numbers}."
    needed = row.seeds_needed
    many = f"more than {count(MOST_PAIRS)}" if pd.isna(needed) else f"about {count(float(f'{needed:.2g}'))}"
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


def reasons(rows: pd.DataFrame, tables: Tables) -> list[str]:
    """Say why the models of a study came out as they did; those that tie in one sentence."""
    found, first = [], tied(rows)
    tie = list(first.model[first.status == "learned"])
    if len(tie) > 1:
        found.append(f"{listed(code(tie))}: enough updates of a suitable size.")
    for _, row in rows.iterrows():
        if len(tie) < 2 or row.model not in tie:
            history, matrix = (t[t.model == row.model] for t in (tables.history, tables.confusion))
            found.append(reason(row, history, rows, matrix))
    return found


def reason(row: pd.Series, history: pd.DataFrame, rows: pd.DataFrame, matrix: pd.DataFrame) -> str:
    """Say why a model came out as it did: the cause, compared with the study's `rows`, then the numbers.

    Losses are means over the seeds. Gradient norms and the distance from the start are medians, as in the
    charts: a mean of distances that differ by powers of ten says nothing.
    """
    epochs, guessing = history.fillna({"distance": math.inf}).groupby("epoch"), guessing_loss(row.classes)
    first_loss, before, loss = epochs.train_loss.mean(skipna=False).iloc[[0, -2, -1]]
    first_norm, norm = epochs.gradient_norm.median().iloc[[0, -1]]
    distance = epochs.distance.median().iloc[-1]
    to = f"to {number(loss)}" if math.isfinite(loss) else "to no finite value"
    course = f"the training loss went from {number(first_loss)} {to}"
    if row.status == "stalled":
        change = number(100 * (loss / first_loss - 1), 2)
        course = f"the training loss changed by {change} %, {to}, although there is a slope to follow"
    elif row.status != "learned":
        course += f", where guessing costs {number(guessing)}"
    if row.status == "undertrained":
        course += "; it was still falling when training ended" if loss < before else "; it fell no longer"
    far = number(distance) if math.isfinite(distance) else "farther than 32-bit numbers reach"
    moved = f"Its {counted(row.updates, 'update')} moved the weights {far} from the start; {course}."
    found = [f"`{row.model}` ({row.status}): {_cause(row, rows, falling=loss < before)}.", moved]
    if row.status in landscape.EXCLUDED:
        answers = matrix.groupby("predicted").images.sum()
        if math.isfinite(loss) and answers.max() == answers.sum():
            images = count(answers.sum())
            found.append(f"It gives all {images} test images the same class, whatever they show.")
        return " ".join(found)
    start, end = number(first_norm), number(norm)
    change = f"stayed at {end}" if start == end else f"went from {start} to {end}"
    found.append(f"The gradient norm {change}.")
    accuracy = epochs.validation_accuracy.mean()
    if accuracy.max() - accuracy.iloc[-1] > SWING:
        found.append(
            f"Its validation accuracy swings: it was {percent(accuracy.max(), 1)} after epoch "
            f"{accuracy.idxmax()} and is {percent(accuracy.iloc[-1], 1)} at the end."
        )
        if row.batch_size == row.images and (epochs.train_loss.mean().diff() > 0).any():
            found.append(
                "The gradient of the full sample has no noise, so steps that raise the training loss are too "
                "large: they overshoot."
            )
    return " ".join(found)


def _cause(row: pd.Series, rows: pd.DataFrame, falling: bool) -> str:
    """Name the likely cause of a result, compared with the best model."""
    if row.status in landscape.EXCLUDED:
        return "steps too large"
    if row.status == "stalled":
        return "steps too small"
    found = best(rows)
    winner = row if found is None else found
    first, fewer = row.model == winner.model, row.updates < FEWER * winner.updates
    if row.status == "undertrained" and not falling:
        return "no steady progress"
    if row.status == "undertrained":
        return "too few updates" if first or fewer else "steps too small for so few updates"
    if first:
        if varying(rows) == ["learning_rate"]:
            return "steps of a suitable size"
        most = row.updates > rows.updates[rows.model != row.model].max()
        return "the most updates" if most else "enough updates of a suitable size"
    if fewer:
        return f"fewer updates than `{winner.model}` by a factor of {times(winner.updates / row.updates)}"
    for name in ("optimizer", "hidden_layers", "activation"):
        if row[name] != winner[name]:
            change = f"{setting_title(name)} {row[name]} instead of {winner[name]}"
            return f"{change}; how that matters is not measured"
    if row.learning_rate != winner.learning_rate:
        steps = "smaller" if row.learning_rate < winner.learning_rate else "larger"
        return f"{steps} steps than `{winner.model}`"
    return f"less progress than `{winner.model}`"


# What a comparison cannot say


def limits(rows: pd.DataFrame, sweep: pd.DataFrame) -> list[str]:
    """Say what a study cannot, unless the sweep has measured it."""
    found, names, winner = [], varying(rows), best(rows)
    if at_best_rates(rows, sweep):
        found.append(
            f"Each learning rate is the best of the sweep after {counted(int(sweep.epochs.max()), 'epoch')} "
            f"with {counted(sweep.seed.nunique(), 'seed')}; in a longer training another may be better."
        )
        short = sweep[sweep.updates < STALLED_UPDATES].drop_duplicates(ROW)
        for row in rows[["model", *ROW]].merge(short).itertuples():
            found[-1] += f" That of `{row.model}` was chosen after {counted(row.updates, 'update')}."
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
    if winner is not None and len(names) == 1 and (edge := _edge(rows, winner, names[0], sweep)):
        found.append(edge)
    return found


def _measured(rows: pd.DataFrame, names: list[str], fixed: list[str], sweep: pd.DataFrame) -> bool:
    """Return whether the sweep varies what all models share, for each of their values."""
    if len(fixed) > 1 or len(names) > 1 or names[0] not in sweep:
        return False
    grid = sweep[sweep.optimizer.isin(rows.optimizer)]
    return set(rows[names[0]]) <= set(grid[names[0]]) and grid[fixed[0]].nunique() > 1


def _edge(rows: pd.DataFrame, winner: pd.Series, name: str, sweep: pd.DataFrame) -> str | None:
    """Say that the best value of a setting is the smallest or largest that was tried, also in the sweep."""
    value, tried = winner[name], rows[name].dropna()
    if isinstance(value, str) or (name == "batch_size" and value in (1, winner.images)):
        return None  # there is none beyond
    measured = sweep[name][sweep.optimizer == winner.optimizer] if name in sweep else ()
    if value == min((*tried, *measured)):
        edge, better = "smallest", "smaller"
    elif value == max((*tried, *measured)):
        edge, better = "largest", "larger"
    else:
        return None
    tries = f"the {edge} of the {tried.nunique()} that were tried"
    return f"The best {setting_title(name)} is {tries}: a {better} one may be better."


# Tables for readers


def study_table(rows: pd.DataFrame, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Format a study's rows of the comparison: the model, the settings that vary, `columns`."""
    cells = {"model": list(rows.model)}
    cells |= {setting_title(name): setting_texts(rows, name) for name in shown_settings(rows)}
    for column in columns:
        heading = METRICS[column].title.lower() if column in METRICS else column
        cells[heading] = [_cell(row, column) for _, row in rows.iterrows()]
    return pd.DataFrame(cells)


def _cell(row: pd.Series, column: str) -> str:
    if column not in METRICS:
        return row.status if column == "status" else count(row[column])
    mean, deviation = row[f"{column}_mean"], row[f"{column}_std"]
    if pd.isna(mean):
        return "not finite"
    if METRICS[column].scale == "log":
        return number(mean)
    return percent(mean) if pd.isna(deviation) else f"{100 * mean:.2f} ± {percent(deviation)}"


def table_note(rows: pd.DataFrame) -> str:
    """Say what is in the table of a study, and which settings all models share."""
    shown = shown_settings(rows)
    fixed = [name for name in SETTINGS if name in rows and name not in shown and rows[name].notna().all()]
    mean = "One run of each model"
    if rows.seeds.max() > 1:
        mean = f"Mean over {' or '.join(map(str, sorted(rows.seeds.unique())))} seeds ± standard deviation"
    every = f" All models: {settings_text(rows.iloc[0], fixed)}." if len(rows) > 1 and fixed else ""
    return f"{mean}. The loss is the cross-entropy per image.{every}"


def terminal(params: Params, comparison: pd.DataFrame) -> str:
    """Format questions, answers and the main columns of their tables as plain text for a terminal."""
    rows = dict(iter(comparison.groupby("study", sort=False)))
    return "\n\n".join(_terminal_study(study.question, rows[name]) for name, study in params.studies.items())


def _terminal_study(question: str, rows: pd.DataFrame) -> str:
    columns, first = [], tied(rows)
    for heading, cells in study_table(rows, TERMINAL_COLUMNS).items():
        lines = textwrap.wrap(heading, max(map(len, cells)), break_long_words=False)
        columns.append([*lines, *cells][::-1])  # a heading of several lines stands on its column
    widths = [max(map(len, column)) for column in columns]
    gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= TERMINAL_WIDTH else " "
    table = [
        gap.join(map(str.rjust, row, widths)).rstrip()
        for row in itertools.zip_longest(*columns, fillvalue="")
    ]
    model = f" ({first.model.iloc[0]})" if len(first) == 1 else ""
    text = textwrap.wrap(f"{question} {answer(rows)}{model}", TERMINAL_WIDTH)
    return "\n".join([*text, "", *reversed(table)])
