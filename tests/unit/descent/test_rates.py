"""The best learning rates of the sweep, and those of the tuned models."""

import math

import numpy as np
import pandas as pd
import pytest

from descent import rates
from descent.config import with_tuned
from descent.errors import UserError
from tests.support.results import IMAGES, make_params, sweep_table

SIZES, RATES = (8, 32, 128, 512), (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)


def peaks_at(best, **columns) -> pd.DataFrame:
    """Make a sweep whose accuracy is a parabola in the logarithm of the rate, highest at best(batch size)."""
    accuracies = {(s, r): 0.9 - 0.01 * math.log(r / best(s)) ** 2 for s in SIZES for r in RATES}
    return sweep_table(accuracies, **columns)


@pytest.mark.parametrize("exponent", [0.5, 0.0, -0.25])
def test_scaling_finds_the_exponent_of_a_power_law(exponent):
    law = rates.scaling(rates.best_rates(peaks_at(lambda size: 0.1 * (size / 64) ** exponent)))
    assert law.exponent == pytest.approx(exponent, abs=1e-9) and law.error == pytest.approx(0, abs=1e-6)
    assert (law.smallest, law.largest) == (8, 512)


def test_scaling_error_is_that_of_least_squares():
    best = np.array([0.03, 0.08, 0.2, 0.3])
    law = rates.scaling(pd.DataFrame({"batch_size": SIZES, "refined": best, "status": "learned"}))
    (exponent, _), covariance = np.polyfit(np.log(SIZES), np.log(best), 1, cov=True)
    assert (law.exponent, law.error) == pytest.approx((exponent, math.sqrt(covariance[0, 0])))


def test_scaling_ignores_rates_at_the_edge_and_batch_sizes_that_did_not_learn():
    edge = rates.best_rates(peaks_at(lambda size: 0.1 if size < 512 else 1e4))
    assert edge.learning_rate.iloc[-1] == 10 and math.isnan(edge.refined.iloc[-1])
    assert rates.scaling(edge).largest == 128
    few = peaks_at(lambda size: 0.1)
    few.loc[few.batch_size == 512, "status"] = "undertrained"
    assert rates.scaling(rates.best_rates(few)).largest == 128


def test_best_rate_is_never_one_that_learned_nothing():
    sweep = sweep_table(
        {(8, 0.1): 0.2, (8, 1.0): 0.3, (32, 0.1): 0.3}, status=["learned", "collapsed", "diverged"]
    )
    assert rates.best_rates(sweep)[["batch_size", "learning_rate"]].values.tolist() == [[8, 0.1]]
    assert rates.cells(sweep).best.tolist() == [True, False, False]


def test_cells_average_the_seeds_and_have_the_worst_status():
    sweep = sweep_table({(8, 0.1): 0.5, (8, 0.3): 0.6}, seeds=(0, 1))
    sweep["validation_accuracy"] += [0.2, 0.4, 0, 0]
    sweep["status"] = ["learned", "undertrained", "learned", "learned"]
    found = rates.cells(sweep)
    assert found.validation_accuracy.tolist() == pytest.approx([0.8, 0.6])
    assert found.status.tolist() == ["undertrained", "learned"] and found.best.tolist() == [True, False]


# The tuned models


ROW = {"m": ("sgd", 8)}


def tuned_params(**models):
    studies = {"a": {"question": "Which?", "models": ["fixed", *models]}}
    tuned = {"seeds": [1, 2], "models": models}
    return make_params({"fixed": {}}, tuned=tuned, studies=studies)


def test_tuned_rate_is_the_most_accurate_of_its_batch_size_and_optimizer():
    params = tuned_params(
        small={"batch_size": 8}, large={"batch_size": "full"}, adam={"batch_size": 8, "optimizer": "adam"}
    )
    sweep = sweep_table({(8, 0.1): 0.7, (8, 0.3): 0.8, (IMAGES, 0.1): 0.5, (IMAGES, 0.3): 0.4})
    adam = sweep_table({(8, 0.1): 0.9, (8, 0.3): 0.6}, optimizer="adam")
    found = rates.tuned_rates(pd.concat([sweep, adam]), params.tuned_rows())
    assert found == {"small": 0.3, "large": 0.1, "adam": 0.1}


def test_tie_goes_to_the_lower_loss_then_to_the_lower_rate():
    sweep = sweep_table(dict.fromkeys([(8, 0.1), (8, 0.3)], 0.8))
    assert rates.tuned_rates(sweep, ROW) == {"m": 0.1}
    assert rates.tuned_rates(sweep.assign(validation_loss=[0.4, 0.2]), ROW) == {"m": 0.3}


def test_rate_that_learned_beats_a_more_accurate_one_that_did_not():
    sweep = sweep_table({(8, 0.1): 0.2, (8, 0.3): 0.3}, status=["undertrained", "collapsed"])
    assert rates.tuned_rates(sweep, ROW) == {"m": 0.1}


def test_row_in_which_nothing_learned_has_its_most_accurate_rate_and_nan_is_last():
    accuracies = {(8, 0.1): math.nan, (8, 0.3): 0.1, (8, 1.0): 0.2, (8, 3.0): math.nan}
    sweep = sweep_table(accuracies, status="diverged", validation_loss=math.nan)
    assert rates.tuned_rates(sweep, ROW) == {"m": 1.0}
    assert rates.tuned_rates(sweep.assign(validation_accuracy=math.nan), ROW) == {"m": 0.1}


def test_tuned_models_join_the_models_at_their_rates(tmp_path):
    (tmp_path / "rates.json").write_text('{"m": 0.3, "gone": 1.0}')
    params = with_tuned(tuned_params(m={"batch_size": 8, "optimizer": "adam"}), tmp_path / "rates.json")
    assert list(params.models) == ["fixed", "m"]
    runs, fixed = params.model_runs("m"), params.model_runs("fixed")
    assert [run.seed for run in runs] == [1, 2] and [run.seed for run in fixed] == [0, 1, 2]
    assert {(run.learning_rate, run.optimizer, run.epochs) for run in runs} == {(0.3, "adam", 4)}
    assert [str(params.results_folder(name)) for name in params.models] == ["fixed", "tuned/m"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("{", "Expecting"),
        ('{"n": 1}', "has no learning rate for m"),
        ("[1]", "list"),
        ('{"m": "x"}', "learning_rate"),
        ('{"m": -1}', "learning_rate"),
    ],
)
def test_rates_that_do_not_fit_are_rejected_in_one_line(text, reason, tmp_path):
    path = tmp_path / "rates.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=reason) as error:
        with_tuned(tuned_params(m={"batch_size": 8}), path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    assert "`dvc repro sweep`" in str(error.value)
