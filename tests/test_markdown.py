"""The report as Markdown: its tables are tables, its pictures have both themes and words."""

from markdown_it import MarkdownIt

from stages.core.report.answers import Answer
from stages.core.report.markdown import picture, render
from stages.core.report.tables import HEADINGS

ANSWER = Answer("one", "Which?", "a", "`a` performed best.", ["Proof."], ["Reason."], ["Limit."])
CONTENTS = {
    "title": "A title",
    "network": "A network.",
    "answers": [ANSWER],
    "headings": HEADINGS,
    "tables": {"one": [["a", *"123456789"], ["b", *"123456789"]]},
    "seeds": 3,
    "figures": {"one": [], "": []},
    "notes": {"one": "No map."},
    "method": ["By rule."],
}


def page(**changes):
    return MarkdownIt().enable("table").render(render(CONTENTS | changes))


def test_the_table_has_a_row_for_each_model_and_the_best_stands_out():
    html = page()
    assert html.count("<tr>") == 3 and html.count("</th>") == len(HEADINGS)
    assert "<strong><code>a</code></strong>" in html and "<strong><code>b" not in html


def test_the_answer_comes_before_anything_else_is_explained():
    html = page()
    assert html.index("performed best") < html.index("comparison.csv") < html.index("Proof.")


def test_every_part_is_there_and_a_missing_map_is_explained():
    html = page()
    assert all(part in html for part in ("Proof.", "Reason.", "Limit.", "No map.", "By rule.", "3 seeds"))


def test_one_seed_has_no_deviation_to_explain():
    assert "One run of each model" in page(seeds=1) and "±" not in page(seeds=1)


def test_a_picture_has_both_themes_and_its_words_escaped():
    html = picture("figures/x", 'says "<b>"')
    assert 'srcset="figures/x-dark.svg"' in html and 'src="figures/x.svg"' in html
    assert 'alt="says &quot;&lt;b&gt;&quot;"' in html
