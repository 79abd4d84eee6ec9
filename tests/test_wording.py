"""Numbers as people read them, and text that stays text in Markdown."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from stages.core.report import wording


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0071234, 3, "0.00712"),
        (2.3, 3, "2.30"),
        (37.845, 3, "37.8"),
        (15896, 2, "16,000"),
        (0, 3, "0"),
        (3.57e16, 3, "3.57\xa0×\xa010¹⁶"),
        (-4.72e-4, 3, "-4.72\xa0×\xa010⁻⁴"),
        (1e-7, 3, "10⁻⁷"),
        (math.nan, 3, "–"),
        (math.inf, 3, "–"),
    ],
)
def test_numbers_have_so_many_significant_digits(value, digits, text):
    assert wording.number(value, digits) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.01, "0.01"), (100, "100"), (1e-7, "10⁻⁷"), (2.5e-6, "2.5\xa0×\xa010⁻⁶"), (0.0123456, "0.0123456")],
)
def test_a_learning_rate_keeps_the_digits_it_was_given_in(rate, text):
    assert wording.setting(rate) == text


def test_a_percentage_is_not_parted_from_its_sign():
    assert wording.percent(0.97764) == "97.76\N{NO-BREAK SPACE}%"
    assert wording.span(0.9, 0.91) == "90.00 to 91.00\N{NO-BREAK SPACE}%"


def test_a_tiny_p_value_is_a_bound():
    assert wording.p_value(1e-40) == "p < 10⁻⁶" and wording.p_value(0.0123) == "p = 0.012"


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1))
def test_any_text_shows_in_markdown_as_it_stands(text):
    shown = MarkdownIt().enable("table").render(f"x {wording.markdown(text)} x")
    expected = MarkdownIt().render("x").replace("x", " ".join(f"x {_html(text)} x".split()))
    assert " ".join(shown.split()) == " ".join(expected.split())


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "<!-- x -->", "[a](javascript:b)", "&lt;", "a | b"]
)
def test_nothing_in_a_text_is_live(text):
    shown = MarkdownIt().enable("table").render(wording.markdown(text))
    assert shown == f"<p>{_html(text)}</p>\n"


def _html(text: str) -> str:
    escaped = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace('"', "&quot;")
