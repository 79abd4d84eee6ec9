"""The ridge and its exponent against maps made by a known law."""

import math

import numpy as np
import pandas as pd
import pytest

from stages.core.report import ridge

SIZES = (8, 32, 128, 512)
RATES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)


def made_by(best, seeds=(0,), status="learned") -> pd.DataFrame:
    """A map whose accuracy is a parabola in the logarithm of the rate, highest at `best(batch size)`."""
    rows = [
        {
            "batch_size": size,
            "learning_rate": rate,
            "seed": seed,
            "validation_accuracy": 0.9 - 0.01 * math.log(rate / best(size)) ** 2,
            "validation_loss": 0.3,
            "status": status,
        }
        for size in SIZES
        for rate in RATES
        for seed in seeds
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("exponent", [0.5, 0.0, -0.25])
def test_the_exponent_of_a_power_law_is_found_between_the_rates_of_the_map(exponent):
    law = ridge.scaling(ridge.best_rates(made_by(lambda size: 0.1 * (size / 64) ** exponent)))
    assert law.exponent == pytest.approx(exponent, abs=1e-9)
    assert law.error == pytest.approx(0, abs=1e-6)
    assert (law.smallest, law.largest) == (8, 512)


def test_the_standard_error_is_that_of_a_least_squares_line():
    sizes, rates = np.array([8, 32, 128, 512]), np.array([0.03, 0.08, 0.2, 0.3])
    table = pd.DataFrame({"batch_size": sizes, "between": rates, "status": "learned"})
    law = ridge.scaling(table)
    (exponent, _), covariance = np.polyfit(np.log(sizes), np.log(rates), 1, cov=True)
    assert law.exponent == pytest.approx(exponent)
    assert law.error == pytest.approx(math.sqrt(covariance[0, 0]))


def test_a_best_rate_at_the_edge_is_shown_but_not_taken_for_the_law():
    table = ridge.best_rates(made_by(lambda size: 0.1 if size < 512 else 1e4))
    assert table.learning_rate.tolist()[-1] == 10
    assert math.isnan(table.between.tolist()[-1])
    assert ridge.scaling(table).largest == 128


def test_batch_sizes_that_learned_too_little_are_not_taken_for_the_law():
    few = made_by(lambda size: 0.1)
    few.loc[few.batch_size == 512, "status"] = "undertrained"
    assert ridge.scaling(ridge.best_rates(few)).largest == 128


def test_seeds_are_averaged_and_one_that_diverged_counts_in_the_tie():
    table = made_by(lambda size: 0.1, seeds=(0, 1))
    table["validation_accuracy"] = 0.5
    table.loc[(table.learning_rate == 0.3) & (table.seed == 1), "validation_accuracy"] = 0.7
    assert set(ridge.best_rates(table).learning_rate) == {0.3}
    table["validation_accuracy"] = 0.5  # all alike: the loss decides, and one that is not finite is the worst
    table.loc[(table.learning_rate != 0.03) & (table.seed == 0), "validation_loss"] = math.nan
    assert set(ridge.best_rates(table).learning_rate) == {0.03}


def test_the_sentence_says_what_the_map_shows():
    rising = ridge.sentence(made_by(lambda size: 0.1 * (size / 64) ** 0.5))
    assert "From batch size 8 to 512" in rising and "rises" in rising and "power of 0.50" in rising
    falling = ridge.sentence(made_by(lambda size: 0.1 * (size / 64) ** -0.5))
    assert "falls" in falling and "power of −0.50" in falling
    assert "does not show" in ridge.sentence(made_by(lambda size: 1e9))


def test_an_exponent_within_its_error_is_not_called_a_rise():
    table = pd.DataFrame(
        {"batch_size": SIZES, "between": [0.1, 0.3, 0.08, 0.15], "learning_rate": 0.1, "status": "learned"}
    )
    assert ridge._moves(ridge.scaling(table)).startswith("moves by no more than chance")
