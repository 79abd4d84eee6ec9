"""The comparison's tables: what is averaged, who is crowned, what a reader of the file gets back."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from stages.core.files import write_table
from stages.core.report import comparison
from stages.core.report.comparison import InvalidResults
from tests.model_folders import make_params, write_model, write_project

COURSES = {"good": "learned", "slow": "undertrained", "lost": "not finite", "asleep": "stalled"}


@pytest.fixture(scope="module")
def params():
    return make_params(COURSES)


@pytest.fixture(scope="module")
def results(params, digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    write_project(folder, params, digits, COURSES)
    return comparison.read_results(params, folder / "models")


@pytest.fixture(scope="module")
def table(params, results):
    return comparison.compare(params, results)


def test_a_row_per_study_and_model_in_the_order_of_params(results):
    studies = {
        "second": {"question": "?", "models": ["slow", "good"]},
        "first": {"question": "?", "models": ["good"]},
    }
    table = comparison.compare(make_params(COURSES, studies=studies), results)
    assert list(zip(table.study, table.model, strict=True)) == [
        ("second", "slow"),
        ("second", "good"),
        ("first", "good"),
    ]


def test_means_and_deviations_are_over_the_seeds(table, results):
    finals = [run["test_accuracy"] for run in results["good"].metrics["seeds"]]
    row = table.iloc[0]
    assert row.test_accuracy_mean == pytest.approx(np.mean(finals))
    assert row.test_accuracy_std == pytest.approx(np.std(finals, ddof=1))
    assert row.test_accuracy_low < row.test_accuracy_mean < row.test_accuracy_high


def test_a_lost_run_leaves_its_means_empty(table):
    assert math.isnan(table.set_index("model").train_loss_mean["lost"])


def test_one_seed_leaves_the_deviation_empty(digits, tmp_path):
    params = make_params({"good": "learned"}, seeds=[4])
    write_project(tmp_path, params, digits, {"good": "learned"})
    row = comparison.compare(params, comparison.read_results(params, tmp_path / "models")).iloc[0]
    assert np.isnan([row.test_accuracy_std, row.test_accuracy_low]).all() and row.seeds == 1


def rows(*models):
    columns = ["model", "status", "validation_accuracy_mean", "validation_loss_mean"]
    return pd.DataFrame(models, columns=columns)


@pytest.mark.parametrize(
    ("models", "crowned"),
    [
        ([("a", "learned", 0.9, 0.3), ("b", "learned", 0.95, 0.4)], "b"),
        ([("a", "learned", 0.9, 0.3), ("b", "diverged", 0.99, 0.1)], "a"),
        ([("a", "undertrained", 0.2, 2.2), ("b", "stalled", 0.3, 2.3)], "a"),
        ([("a", "learned", 0.9, 0.3), ("b", "learned", 0.9, 0.2)], "b"),
        ([("a", "learned", 0.9, 0.3), ("b", "learned", 0.9, 0.3)], "a"),
        ([("a", "stalled", 0.1, 2.3), ("b", "diverged", 0.1, np.nan)], None),
        ([("a", "learned", np.nan, np.nan)], None),
    ],
    ids=["accuracy", "diverged", "stalled", "tie by loss", "tie by order", "none", "unknown"],
)
def test_the_best_is_the_most_accurate_of_those_that_learned(models, crowned):
    assert comparison.best(rows(*models)) == crowned


def test_histories_stand_under_one_another_in_the_order_of_params(results, params):
    table = comparison.histories(results)
    assert list(table.model.unique()) == list(COURSES)
    assert len(table) == len(COURSES) * len(params.train.seeds) * (params.train.epochs + 1)


def test_the_summary_survives_strict_json(table):
    summary = comparison.summary(table)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["best"] == {"batch_size": "good"} and summary["status"]["lost"] == "diverged"


def test_a_table_comes_back_as_it_was_written_even_for_models_called_12_and_na(tmp_path, table):
    names = ["12", "NA", "null", "1e5"]
    table = table.assign(model=names)
    write_table(tmp_path / "table.csv", table)
    back = comparison.read_table(tmp_path / "table.csv")
    assert back.model.tolist() == names
    pd.testing.assert_frame_equal(back, table, check_dtype=False, rtol=1e-8, check_names=False)


def test_a_folder_that_is_missing_or_of_other_seeds_is_refused_in_one_line(digits, tmp_path):
    params = make_params({"good": "learned"})
    with pytest.raises(InvalidResults, match="good: cannot be read: No such file") as refused:
        comparison.read_results(params, tmp_path)
    assert "\n" not in str(refused.value)
    write_model(tmp_path / "good", make_params({"good": "learned"}, seeds=[9]), "good", "learned", 0, digits)
    with pytest.raises(InvalidResults, match=r"seeds \[9\]; accepted: \[0, 1, 2\]"):
        comparison.read_results(params, tmp_path)


def test_what_params_do_not_name_is_not_looked_at(digits, tmp_path):
    write_project(tmp_path, make_params(COURSES), digits, COURSES)
    found = comparison.read_results(make_params({"good": "learned"}), tmp_path / "models")
    assert list(found) == ["good"]
