"""Is the best model better than the others by more than chance? Two paired tests, one table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stages.core.report.comparison import Result, best
from stages.core.report.statistics import exact_mcnemar, paired_t

COLUMNS = (
    "study",
    "best",
    "other",
    "pairs",
    "difference",
    "difference_low",
    "difference_high",
    "t",
    "p_seeds",
    "images",
    "best_alone_right",
    "other_alone_right",
    "p_images",
)


def tests(
    table: pd.DataFrame,
    results: Mapping[str, Result],
    probabilities: Mapping[str, np.ndarray],
    labels: np.ndarray,
) -> pd.DataFrame:
    """One row for each model that a study's best one is held against, the runner-up first.

    `probabilities` are the predictions of each model's best seed for the test images, (images, 10),
    `labels` what is right. Over the seeds: Student's paired t-test on the final validation accuracies, as
    runs of one seed share their first weights. Over the test images: McNemar's exact test between
    the models' best seeds. A study in which nothing learned has no row.
    """
    rows = []
    for study, members in table.groupby("study", sort=False):
        winner = best(members)
        others = members[members.model != winner].sort_values(
            "validation_accuracy_mean", ascending=False, kind="stable"
        )
        for other in others.model if winner else ():
            over_seeds = _over_seeds(results[winner], results[other])
            right = [probabilities[name].argmax(axis=1) == labels for name in (winner, other)]
            rows.append({"study": study, "best": winner, "other": other} | over_seeds | _over_images(*right))
    return pd.DataFrame(rows, columns=COLUMNS)


def _over_seeds(ours: Result, theirs: Result) -> dict[str, Any]:
    pairs = ours.final("validation_accuracy"), theirs.final("validation_accuracy")
    (difference, low, high), t, p = paired_t(*pairs)
    names = ("pairs", "difference", "difference_low", "difference_high", "t", "p_seeds")
    return dict(zip(names, (len(pairs[0]), difference, low, high, t, p), strict=True))


def _over_images(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    alone, other = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    names = ("images", "best_alone_right", "other_alone_right", "p_images")
    return dict(zip(names, (len(ours), alone, other, exact_mcnemar(alone, other)), strict=True))


def best_predictions(result: Result, probabilities: np.ndarray) -> np.ndarray:
    """The test probabilities (images, 10) of a model's best seed, the one that is model.keras."""
    seeds = [run["seed"] for run in result.metrics["seeds"]]
    return probabilities[seeds.index(result.metrics["best_seed"])]
