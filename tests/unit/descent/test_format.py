"""Numbers and settings as readers see them, and text that stays text in Markdown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from descent import format


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0071234, 3, "0.00712"),
        (2.3, 3, "2.30"),
        (37.845, 3, "37.8"),
        (15896, 2, "16,000"),
        (0, 3, "0"),
        (3.57e16, 3, "3.57\xa0×\xa010¹⁶"),
        (7.5e-4, 3, "0.000750"),
        (-0.35, 2, "−0.35"),
        (-4.72e-5, 3, "−4.72\xa0×\xa010⁻⁵"),
        (1e-7, 3, "10⁻⁷"),
        (math.nan, 3, "–"),
        (math.inf, 3, "–"),
    ],
)
def test_number_has_so_many_significant_digits(value, digits, text):
    assert format.number(value, digits) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.01, "0.01"),
        (100, "100"),
        (1e-7, "10⁻⁷"),
        (1.2345678e-6, "1.2345678\xa0×\xa010⁻⁶"),
        (0.0123456, "0.0123456"),
    ],
)
def test_rate_keeps_the_digits_of_params_yaml(rate, text):
    assert format.rate(rate) == text


def test_percent_is_not_separated_from_its_sign():
    assert format.percent(0.97764) == "97.76\N{NO-BREAK SPACE}%"
    assert format.percent_range(0.9, 0.91) == "90.00 to 91.00\N{NO-BREAK SPACE}%"


def test_tiny_p_value_is_a_bound():
    assert format.p_value(1e-40) == "p < 10⁻⁶" and format.p_value(0.0123) == "p = 0.012"


def test_setting_of_a_model():
    assert format.setting("batch_size", 50_000, images=50_000) == "50,000 (full)"
    assert format.setting("learning_rate", 1e-7) == "10⁻⁷"
    assert format.setting("momentum", math.nan) == "–"
    assert format.setting("hidden_layers", "128-64") == "128-64"


def test_counted_and_listed():
    assert format.counted(1, "degree of freedom", "degrees of freedom") == "1 degree of freedom"
    assert format.counted(1000, "seed") == "1,000 seeds"
    assert [format.listed(list(names)) for names in ("", "a", "ab", "abc")] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1))
def test_markdown_shows_any_text_as_it_is(text):
    shown = MarkdownIt().enable("table").render(f"x {format.markdown(text)} x")
    expected = MarkdownIt().render("x").replace("x", " ".join(f"x {_html(text)} x".split()))
    assert " ".join(shown.split()) == " ".join(expected.split())


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "<!-- x -->", "[a](javascript:b)", "&lt;", "a | b"]
)
def test_markdown_makes_nothing_live(text):
    shown = MarkdownIt().enable("table").render(format.markdown(text))
    assert shown == f"<p>{_html(text)}</p>\n"


def _html(text: str) -> str:
    escaped = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace('"', "&quot;")
