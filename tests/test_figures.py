"""The pictures and what is said of them, for made-up models."""

import pandas as pd
import pytest

from stages import report
from stages.core.files import write_table
from stages.core.report import captions, figures
from stages.core.report.comparison import read_results
from stages.core.report.pictures import png, svg
from stages.core.report.vega import arranged
from tests.model_folders import DEFAULT, make_params, write_project


@pytest.fixture(scope="module")
def numbers(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    write_project(folder, make_params(), digits)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tables = report.measure(make_params(), read_results(make_params()), digits)
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    return figures.read_numbers(folder)


@pytest.fixture(scope="module")
def drawn(numbers, digits):
    return figures.by_study(make_params(), numbers, digits.test.images, None)


def test_a_study_has_its_course_its_movement_and_its_map(drawn):
    assert [figure.name for figure in drawn["batch_size"]] == [
        "batch_size-curves",
        "batch_size-movement",
        "batch_size-descent",
    ]


def test_the_best_model_alone_has_its_mistakes_shown(drawn):
    assert [figure.name for figure in drawn[""]] == ["batch_8-mistakes"]


def test_a_legend_names_what_did_not_learn(drawn):
    assert drawn["batch_size"][0].legend == {
        "batch_8": "batch_8",
        "baseline": "baseline",
        "rate_100": "rate_100 (diverged)",
        "rate_1e-7": "rate_1e-7 (stalled)",
    }
    assert "rate_100 (diverged)" in svg(arranged(drawn["batch_size"][0].charts), "light", list(DEFAULT))


def test_every_model_is_named_in_what_is_said_to_who_cannot_see(drawn):
    for figure in drawn["batch_size"]:
        assert all(name in figure.alternative for name in DEFAULT), figure.name


def test_a_model_that_left_the_map_is_said_to_have_left_and_how_far(drawn):
    said = drawn["batch_size"][2].caption
    assert "`rate_100` leaves the picture at once: after one epoch it is 2.5\xa0×\xa010¹¹ away" in said
    assert "arXiv:1712.09913" in said and "arXiv:1806.08805" in said


def test_a_missing_map_is_explained_by_its_reason():
    assert "different shapes" in captions.left_out(alike=False)
    assert "diverged" in captions.left_out(alike=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_is_the_same_bytes_each_time(drawn, theme):
    spec = arranged(drawn["batch_size"][1].charts)
    assert svg(spec, theme, list(DEFAULT)) == svg(spec, theme, list(DEFAULT))
    assert png(spec, theme, list(DEFAULT)) == png(spec, theme, list(DEFAULT))


def test_text_is_set_in_the_font_that_comes_with_the_renderer(drawn):
    assert "Liberation Sans" in svg(arranged(drawn["batch_size"][1].charts), "light", list(DEFAULT))


def test_the_map_of_the_sweep_names_its_best_and_its_models(numbers):
    rows = [(8, 0.01, 0.95), (8, 0.1, 0.9), (16, 0.01, 0.8), (16, 0.1, 0.97)]
    table = pd.DataFrame(rows, columns=["batch_size", "learning_rate", "validation_accuracy"])
    table = table.assign(optimizer="sgd", seed=0, epochs=3, updates=30, status="learned", validation_loss=0.1)
    figure = figures.of_the_sweep(numbers.comparison, table)[0]
    assert "97.00\xa0%, is at batch size 16 and learning rate 0.1" in figure.alternative
    assert "Each cell is a run of 3 epochs" in figure.caption
    assert {row["models"] for row in figure.charts[0]["data"]["values"]} == {"batch_8", "", "baseline"}
