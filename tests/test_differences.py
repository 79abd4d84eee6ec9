"""The tests between the best model and the others: whom they compare, and what they count."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.core.report import differences
from stages.core.report.comparison import compare, read_results
from tests.model_folders import make_params, write_project

COURSES = {"slow": "undertrained", "good": "learned", "asleep": "stalled"}


@pytest.fixture(scope="module")
def results(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("differing")
    write_project(folder, make_params(COURSES), digits, COURSES)
    return read_results(make_params(COURSES), folder / "models")


def differ(results, right, params=None):
    """The table, when each model reads the first so many of ten zeros rightly."""
    labels = np.zeros(10, dtype=np.uint8)
    probabilities = {name: np.eye(10)[(np.arange(10) >= count).astype(int)] for name, count in right.items()}
    table = compare(params or make_params(COURSES), results)
    return differences.tests(table, results, probabilities, labels)


def test_the_best_is_held_against_each_other_the_runner_up_first(results):
    table = differ(results, {"slow": 2, "good": 9, "asleep": 0})
    assert table.best.tolist() == ["good", "good"] and table.other.tolist() == ["slow", "asleep"]


def test_over_the_seeds_it_is_the_paired_t_test_on_validation_accuracies(results):
    row = differ(results, {"slow": 2, "good": 9, "asleep": 0}).iloc[0]
    pairs = [
        [run["validation_accuracy"] for run in results[name].metrics["seeds"]] for name in ("good", "slow")
    ]
    expected = stats.ttest_rel(*pairs)
    assert (row.t, row.p_seeds) == pytest.approx((expected.statistic, expected.pvalue))
    assert row.difference == pytest.approx(np.mean(pairs[0]) - np.mean(pairs[1])) and row.pairs == 3


def test_over_the_images_only_disagreements_count(results):
    row = differ(results, {"slow": 2, "good": 9, "asleep": 0}).iloc[0]
    assert (row.best_alone_right, row.other_alone_right, row.images) == (7, 0, 10)
    assert row.p_images == pytest.approx(stats.binomtest(0, 7).pvalue)


def test_a_study_in_which_nothing_learned_or_of_one_model_has_no_row(results):
    alone = {"a": {"question": "?", "models": ["asleep"]}, "b": {"question": "?", "models": ["good"]}}
    table = differ(results, {"good": 9, "asleep": 0}, make_params(COURSES, studies=alone))
    assert table.empty and list(table.columns) == list(differences.COLUMNS)


def test_the_best_seeds_predictions_are_taken(results):
    result = results["good"]
    stacked = np.stack([np.full((4, 10), run["seed"]) for run in result.metrics["seeds"]])
    chosen = differences.best_predictions(result, stacked)
    finals = pd.Series(result.final("validation_accuracy"), [run["seed"] for run in result.metrics["seeds"]])
    assert (chosen == finals.idxmax()).all()
