"""The charts: what they draw, of NaN and of forty models too, and that both themes can be read."""

import itertools
import json
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest

from descent import colors, rates
from descent.colors import THEMES
from descent.metrics import METRICS
from descent.report import charts
from descent.report.charts import Models
from descent.report.render import specification, svg
from descent.report.sentences import labels
from tests.support.report import CLASSES, example
from tests.support.results import ROOT

LOSS, DISTANCE = METRICS["train_loss"], METRICS["distance"]
AB = Models(["a", "b"], {"a": "a", "b": "b (stalled)"})


def history(losses, model="a", key="train_loss"):
    """One row per seed and epoch; `losses` has a row per seed."""
    runs = [
        pd.DataFrame({"seed": seed, "epoch": range(len(run)), "updates": np.arange(len(run)) * 10, key: run})
        for seed, run in enumerate(losses)
    ]
    return pd.concat(runs).assign(model=model)


def rows(chart):
    """All rows of all data of a chart."""
    return [row for data in specification(chart)["datasets"].values() for row in data]


def text(chart):
    return svg([specification(chart)], "light")


# Learning curves


@pytest.mark.parametrize(
    ("losses", "epoch", "expected"),
    [
        ([[2.0, 1.0], [2.0, 3.0], [2.0, 7.0]], 1, [3, 1, 7]),
        ([[2.0, 1.0], [2.0, np.nan], [2.0, 7.0]], 1, [7, 1, 7]),  # NaN counts as the highest
        ([[2.0, 1.0], [2.0, np.inf], [2.0, 7.0]], 1, [7, 1, 7]),
    ],
)
def test_seed_range_is_median_lowest_and_highest(losses, epoch, expected):
    table = charts.seed_range(history(losses), LOSS)
    assert table.iloc[epoch][["median", "lowest", "highest"]].tolist() == expected


def test_seed_range_marks_the_last_finite_median():
    table = charts.seed_range(history([[2.0, 50.0, np.nan, np.nan]]), LOSS)
    assert table.not_finite_after.tolist() == [False, True, False, False]


def test_zero_on_a_logarithmic_axis_is_left_out_and_is_not_a_divergence():
    table = charts.seed_range(history([[0.0, 1.0, 2.0]], key="distance"), DISTANCE)
    assert np.isnan(table["median"][0]) and not table.not_finite_after.any()


def test_a_diverged_run_is_marked_in_the_picture():
    chart = charts.learning_curve(history([[2.0, 50.0, np.nan]]), LOSS, "epoch", AB)
    assert ">× not finite<" in text(chart)


@pytest.mark.parametrize("by", ["epoch", "updates"])
def test_a_run_that_is_never_finite_is_drawn_as_an_empty_chart(by):
    chart = charts.learning_curve(history([[np.nan, np.nan]]), LOSS, by, AB)
    assert "Training loss by" in text(chart)


def test_by_updates_the_start_has_no_place():
    chart = charts.learning_curve(history([[2.3, 1.0, 0.5]]), LOSS, "updates", AB)
    assert {row["updates"] for row in rows(chart)} == {10, 20}


def test_only_models_with_a_label_are_drawn():
    both = pd.concat([history([[2.0, 1.0]]), history([[2.0, 1.0]], "b")])
    chart = charts.learning_curve(both, LOSS, "epoch", Models(["a", "b"], {"b": "b"}))
    assert {row["model"] for row in rows(chart)} == {"b"}


@pytest.mark.parametrize(
    ("accuracies", "labels"),
    [([0.1, 0.57, 0.97], [">50 %<", ">90 %<", ">95 %<"]), ([0.1, 0.9999], [">90 %<", ">99.9 %<"])],
)
def test_an_axis_of_accuracy_has_room_for_small_errors(accuracies, labels):
    metric = METRICS["validation_accuracy"]
    picture = text(charts.learning_curve(history([accuracies], key=metric.key), metric, "epoch", AB))
    assert all(label in picture for label in labels)


@pytest.mark.parametrize("accuracies", [[0.0, 0.5, 1.0], [1.0, 1.0]])
def test_an_accuracy_without_error_is_drawn(accuracies):
    metric = METRICS["validation_accuracy"]
    chart = charts.learning_curve(history([accuracies], key=metric.key), metric, "epoch", AB)
    errors = [row["median_error"] for row in rows(chart)]
    assert min(errors) > 0 and "NaN" not in text(chart)


@pytest.mark.parametrize(
    ("key", "guessing", "height"), [("train_loss", 2.3, 2.3), ("test_accuracy", 0.1, 0.9)]
)
def test_a_dotted_line_shows_what_guessing_reaches(key, guessing, height):
    chart = charts.learning_curve(history([[0.1, 0.8]], key=key), METRICS[key], "epoch", AB, guessing)
    assert ">guessing<" in text(chart)
    assert [row["guessing"] for row in rows(chart) if "guessing" in row] == [height]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.02, 40.0], [">0.1<", ">1<", ">10<"]),
        ([1.0, 3.0], [">1<", ">2<"]),
        ([1e-5, 1e15], [">10⁻⁵<", ">0.01<", ">10¹³<"]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_round_numbers(values, labels):
    picture = text(charts.learning_curve(history([values]), LOSS, "epoch", AB))
    assert all(label in picture for label in labels)


# Tooltips


@cache
def live_charts():
    made = example()
    names, comparison = list(made.params.models), made.tables.comparison
    models = Models(names, labels(made.tables.comparison), live=True)
    return {
        "curve": charts.learning_curve(made.tables.history, LOSS, "epoch", models),
        "trajectories": charts.trajectories(made.tables.trajectories, made.tables.surface, models),
        "sweep": charts.sweep_heat_map(rates.cells(made.tables.sweep), comparison, models),
        "confusion": charts.confusion_matrix(made.tables.confusion, CLASSES),
        "mistakes": charts.worst_mistakes(made.tables.mistakes, made.dataset.test.images, CLASSES),
        "samples": charts.sample_images(*made.dataset.train, CLASSES),
    }


def tooltips(spec):
    return [layer["encoding"]["tooltip"] for layer in spec["layer"] if "tooltip" in layer["encoding"]]


def test_words_in_tooltips_have_a_type_and_an_empty_format():
    """Else a chart with a nearest-point selection shows `undefined`."""
    for name, chart in live_charts().items():
        found = tooltips(specification(chart))
        assert found, name
        for line in itertools.chain(*found):
            assert line["type"] == "quantitative" or line["format"] == "", (name, line)


def test_curves_and_trajectories_name_the_model_first():
    made = live_charts()
    for name in ("curve", "trajectories"):
        assert [lines[0]["title"] for lines in tooltips(specification(made[name]))] == ["model"]


def test_every_mark_of_a_heat_map_has_the_tooltip():
    for name in ("sweep", "confusion"):
        spec = specification(live_charts()[name])
        assert len(tooltips(spec)) == len(spec["layer"]), name


def test_a_still_chart_has_a_legend_and_nothing_for_a_pointer():
    spec = specification(charts.learning_curve(history([[2.0, 1.0]]), LOSS, "epoch", AB))
    assert "params" not in spec and not tooltips(spec)
    assert all("near" not in json.dumps(layer) for layer in spec["layer"])


def test_a_second_rendering_in_one_process_is_the_same():
    first, second = (specification(make()["curve"]) for make in (live_charts, live_charts.__wrapped__))
    assert first == second


# Trajectories


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([0.0, 1e20, 2e20, 3.0], [0, 30]),
        ([0.0, 1.0, -1e30, 3.0], [0, 1, -30]),
        ([0.0, 1.0, np.nan, 3.0], [0, 1]),
        ([0.0, 1.0, 2.0, 3.0], [0, 1, 2, 3]),
    ],
)
def test_a_trajectory_ends_with_the_step_that_leaves_the_frame(x, expected):
    path = pd.DataFrame({"epoch": range(4), "x": x, "y": 0.0})
    assert charts._drawable(path, width=10.0).x.tolist() == expected


def loss_surface(**columns):
    """The picture of the example's trajectories, with some columns of the surface replaced."""
    made = example()
    models = Models(list(made.params.models), labels(made.tables.comparison))
    surface = made.tables.surface.assign(**columns)
    return text(charts.trajectories(made.tables.trajectories, surface, models))


def test_axes_of_a_loss_surface_have_plain_numbers():
    picture = loss_surface(x=lambda table: 6 * table.x, y=lambda table: 6 * table.y)
    assert ">10<" in picture and "e+" not in picture


@pytest.mark.parametrize(("low", "high", "ticks"), [(0.000337, 9.45, "0.01 0.1 1"), (2.1, 4.9, "2.5 3 4")])
def test_legend_of_a_loss_surface_has_round_numbers(low, high, ticks):
    picture = loss_surface(loss=lambda table: np.geomspace(low, high, len(table)))
    assert all(f">{tick}<" in picture for tick in ticks.split())
    assert not any(f">{end}<" in picture for end in (low, high))


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_a_trajectory_without_direction_is_its_start(lost):
    path = pd.DataFrame({"epoch": range(3), "x": [0, lost, lost], "y": [0, lost, lost]})
    assert len(charts._drawable(path, width=10.0)) == 1


# The sweep


def sweep_rows():
    made = example()
    models = Models(list(made.params.models), labels(made.tables.comparison))
    return rows(charts.sweep_heat_map(rates.cells(made.tables.sweep), made.tables.comparison, models))


def test_colours_of_the_sweep_separate_84_from_97_percent():
    made = example()
    chart = charts.sweep_heat_map(rates.cells(made.tables.sweep), made.tables.comparison, AB)
    scale = next(
        layer["encoding"]["fill"]["scale"]
        for layer in specification(chart)["layer"]
        if "fill" in layer["encoding"]
    )
    low, high = np.log(scale["domain"])
    assert scale["type"] == "log" and scale["scheme"] == "viridis"
    assert (np.log(0.16) - np.log(0.03)) / (high - low) > 0.2


def test_a_cell_in_which_nothing_was_learned_has_a_sign_and_no_number():
    cells = {(row["size"], row["rate"]): row for row in sweep_rows() if "words" in row}
    assert cells["8", "0.1"]["sign"] == "×" and cells["8", "0.01"]["sign"] == ""
    picture = text(
        charts.sweep_heat_map(rates.cells(example().tables.sweep), example().tables.comparison, AB)
    )
    assert ">×<" in picture and ">97.0<" in picture and ">10.0<" not in picture


@pytest.mark.parametrize("accuracy", [1.0, 0.0, np.nan])
def test_a_sweep_of_one_cell_is_drawn(accuracy):
    sweep = example().tables.sweep.iloc[:1].assign(validation_accuracy=accuracy)
    chart = charts.sweep_heat_map(rates.cells(sweep), example().tables.comparison.iloc[:0], AB)
    assert "Validation accuracy in %" in text(chart)


# Images and classes


def test_class_names_take_the_place_of_numbers():
    made = example()
    pictures = (
        text(charts.confusion_matrix(made.tables.confusion, CLASSES)),
        text(charts.sample_images(*made.dataset.train, CLASSES)),
    )
    assert all("Trouser" in picture and "Dress &lt;b&gt;" in picture for picture in pictures)


def test_a_confusion_matrix_of_many_classes_has_no_numbers():
    names, (true, predicted) = [f"c{number}" for number in range(47)], np.divmod(np.arange(47**2), 47)
    table = pd.DataFrame({"true": true, "predicted": predicted, "images": 77})
    few = table[(table.true < 5) & (table.predicted < 5)]
    assert ">77<" not in text(charts.confusion_matrix(table, names))
    assert ">77<" in text(charts.confusion_matrix(few, names))


def test_a_confusion_matrix_without_mistakes_is_drawn():
    table = pd.DataFrame({"true": [0, 0, 1, 1], "predicted": [0, 1, 0, 1], "images": [5, 0, 0, 5]})
    assert "Confusion matrix" in text(charts.confusion_matrix(table, CLASSES))


def test_sample_images_are_the_first_of_each_class():
    images, labels = np.zeros((4, 5, 7), np.uint8), np.array([2, 0, 2, 1])
    assert [row["image"] for row in rows(charts.sample_images(images, labels, CLASSES))] == [1, 3, 0]


# Themes


def luminance(colour):
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_lines_contrast_by_3_and_text_by_4_point_5(theme):
    look = THEMES[theme]
    assert all(contrast(colour, look["paper"]) >= 3 for colour in look["model"])
    assert contrast(look["ink"], look["paper"]) >= 4.5 and contrast(look["faint"], look["paper"]) >= 4.5
    for ground in (*look["mistakes"], look["diagonal"], look["empty"]):
        assert contrast(look["ink"], ground) >= 4.5


def looks(count):
    """The colour, dash and shape of so many models, each list starting over at its end."""
    cycles = map(itertools.cycle, (colors.LIGHT, map(tuple, charts.DASHES), charts.SHAPES))
    return list(itertools.islice(zip(*cycles, strict=True), count))


def test_forty_models_differ_in_colour_and_dash_or_shape():
    assert len({look[:2] for look in looks(40)}) == len({look[::2] for look in looks(40)}) == 40


def test_colours_and_dashes_start_over_where_they_run_out():
    names = [f"model_{number}" for number in range(9)]
    curves = pd.concat([history([[2.0, 1.0]], name) for name in names])
    picture = text(charts.learning_curve(curves, LOSS, "epoch", Models(names, dict.fromkeys(names, "m"))))
    drawn = re.findall(r'model: model_\d"[^>]* stroke="(#\w+)"[^>]*dasharray="([\d,]+)"', picture)
    assert drawn == [(colour, ",".join(map(str, dash))) for colour, dash, _ in looks(9)]


@pytest.mark.parametrize("template", ["models", "models_log"])
def test_dvc_plots_have_the_same_colours(template):
    spec = json.loads((ROOT / ".dvc/plots" / f"{template}.json").read_text())
    assert spec["encoding"]["color"]["scale"]["range"] == list(colors.LIGHT)
