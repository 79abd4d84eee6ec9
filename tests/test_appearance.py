"""One look: enough contrast, one colour per model, and a second sign for who cannot tell colours."""

import itertools
import json
from pathlib import Path

import pytest

from stages.core.report.appearance import DASHES, SHAPES, THEMES, config, cycled

ROOT = Path(__file__).parent.parent


def luminance(colour):
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_lines_stand_out_by_3_and_words_by_4_point_5(theme):
    look = THEMES[theme]
    assert all(contrast(colour, look["paper"]) >= 3 for colour in look["models"])
    assert contrast(look["ink"], look["paper"]) >= 4.5 and contrast(look["faint"], look["paper"]) >= 4.5


def test_ten_models_differ_in_colour_dash_or_shape():
    names = [f"model_{number}" for number in range(10)]
    signs = zip(
        cycled(THEMES["light"]["models"], names),
        map(str, cycled(DASHES, names)),
        cycled(SHAPES, names),
        strict=True,
    )
    for one, other in itertools.combinations(signs, 2):
        assert sum(a != b for a, b in zip(one, other, strict=True)) >= 2


def test_both_themes_give_a_model_the_same_place_in_their_colours():
    names = [f"model_{number}" for number in range(10)]
    for theme, look in THEMES.items():
        assert config(theme, names)["range"]["category"] == cycled(look["models"], names)


@pytest.mark.parametrize("template", ["models", "models_log"])
def test_dvc_plots_has_the_same_colours(template):
    spec = json.loads((ROOT / ".dvc/plots" / f"{template}.json").read_text())
    assert spec["encoding"]["color"]["scale"]["range"] == list(THEMES["light"]["models"])
