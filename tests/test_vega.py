"""Specifications as dictionaries: what Vega-Lite may not be given, and what a page adds to a chart."""

import json

import numpy as np
import pandas as pd
import pytest

from stages.core.report import vega

TABLE = pd.DataFrame({"model": ["a", "b"], "value": [1.0, np.nan], "count": [1, 2]})


def chart(table=TABLE):
    x = vega.quantity("value", "value")
    colour = {"field": "model", "legend": {"title": None}}
    return vega.chart(table, "A title", 100, 80, [vega.layer("line", x=x, color=colour), vega.hover([], x=x)])


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_null_in_strict_json(lost):
    rows = vega.records(TABLE.assign(value=[1.0, lost]))
    assert json.loads(json.dumps(rows, allow_nan=False))[1] == {"model": "b", "value": None, "count": 2}


def test_a_picture_has_no_layer_for_a_pointer_and_the_page_has():
    assert [part["mark"]["type"] for part in vega.still(chart())["layer"]] == ["line"]
    assert vega.pointed(chart(), "words", ["a"], True)["layer"][1]["params"] == [vega.NEAR]


def test_a_page_can_choose_among_models_and_only_there_is_the_choice_offered():
    assert vega.pointed(chart(), "", ["a", "b"], True)["params"] == [{"name": "chosen", "value": ["a", "b"]}]
    assert "params" not in vega.pointed(chart(TABLE.drop(columns="model")), "", ["a"], False)


def test_a_page_leaves_the_legend_to_its_own():
    line = vega.pointed(chart(), "", ["a"], True)["layer"][0]
    assert line["encoding"]["color"]["legend"] is None and chart()["layer"][0]["encoding"]["color"]["legend"]


def test_a_fluid_chart_is_as_wide_as_its_place():
    assert vega.pointed(chart(), "", ["a"], True)["width"] == "container"
    assert vega.pointed(chart(), "", ["a"], False)["width"] == 100


def test_charts_stand_two_in_a_row():
    rows = vega.arranged([chart()] * 5)["vconcat"]
    assert [len(row["hconcat"]) for row in rows] == [2, 2, 1]
