"""The curves: what is drawn of several seeds, of a loss of 34, and of one that is lost."""

import numpy as np
import pandas as pd
import pytest

from stages.core.report import curves
from stages.core.report.pictures import svg
from stages.core.report.vega import arranged

MODELS = ["a", "b"]


def history(losses, model="a"):
    """One row per seed and epoch; `losses` has a row per seed."""
    tables = [
        pd.DataFrame(
            {"seed": seed, "epoch": range(len(run)), "updates": np.arange(len(run)) * 10, "train_loss": run}
        )
        for seed, run in enumerate(losses)
    ]
    return pd.concat(tables).assign(model=model)


def test_line_and_band_are_median_lowest_and_highest():
    table = curves.spread(history([[2.0, 1.0], [2.0, 3.0], [2.0, 7.0]]), curves.LOSS)
    assert table.iloc[1][["middle", "lowest", "highest"]].tolist() == [3, 1, 7]


def test_a_lost_seed_counts_as_the_highest():
    table = curves.spread(history([[2.0, 1.0], [2.0, np.nan], [2.0, 7.0]]), curves.LOSS)
    assert table.iloc[1][["middle", "lowest", "highest"]].tolist() == [7, 1, 7]


def test_where_the_line_ends_for_good_it_is_marked():
    table = curves.spread(history([[2.0, 50.0, np.nan, np.nan]]), curves.LOSS)
    assert table.broken.tolist() == [False, True, False, False]
    picture = svg(
        arranged([curves.panel(history([[2.0, 50.0, np.nan]]), curves.LOSS, "epoch", MODELS, {"a": "a"})]),
        "light",
        MODELS,
    )
    assert "not finite from here on" in picture


def test_zero_is_left_out_of_a_logarithmic_axis_and_is_no_break():
    table = curves.spread(history([[0.0, 1.0, 2.0]]), curves.LOSS)
    assert np.isnan(table.middle[0]) and not table.broken.any()


def test_a_loss_of_34_leaves_the_others_room():
    losses = pd.concat([history([[2.3, 0.1]]), history([[2.3, 34.0]], "b")])
    up = curves.panel(losses, curves.LOSS, "epoch", MODELS, {"a": "a", "b": "b"})["layer"][1]["encoding"]["y"]
    assert up["scale"]["type"] == "log"


def test_by_updates_the_start_has_no_place():
    chart = curves.panel(history([[2.3, 1.0, 0.5]]), curves.LOSS, "updates", MODELS, {"a": "a"})
    assert [row["updates"] for row in chart["data"]["values"]] == [10, 20]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.02, 40.0], ["0.01", "0.1", "1", "10", "100"]),
        ([1.0, 3.0], ["1", "2", "5"]),
        ([1e-5, 1e15], ["10⁻⁵", "0.01", "10⁷"]),
    ],
)
def test_ticks_stand_at_round_numbers_in_words(values, labels):
    axis = curves.logarithmic(pd.Series(values))["axis"]
    assert all(f'"{label}"' in axis["labelExpr"] for label in labels) and len(axis["values"]) < 13


def test_only_the_models_asked_for_are_drawn():
    both = pd.concat([history([[2.0, 1.0]]), history([[2.0, 1.0]], "b")])
    chart = curves.panel(both, curves.LOSS, "epoch", MODELS, {"b": "b"})
    assert {row["model"] for row in chart["data"]["values"]} == {"b"}
