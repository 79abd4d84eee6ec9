"""The report as files: one text for report.md and report.html, no live HTML."""

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from descent.report import render
from tests.support.report import QUESTION, example


@pytest.fixture(scope="module")
def figures():
    return render.figures(example())


@pytest.fixture(scope="module")
def markdown(figures):
    return render.report_markdown(example(), figures)


@pytest.fixture(scope="module")
def html(figures):
    return render.report_page(example(), figures)


class Page(HTMLParser):
    """The tags, and the text of main."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.links, self.ids, self.inside = [], "", [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.inside = self.inside or tag == "main"
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name == "href"]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "main"

    def handle_data(self, data):
        self.text += data if self.inside else ""


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_a_figure_has_a_light_and_a_dark_file_and_old_ones_are_removed(figures, tmp_path):
    (tmp_path / "gone.svg").touch()
    render.write_figures(tmp_path, [figures["samples"]])
    assert {path.name for path in tmp_path.iterdir()} == {"samples.svg", "samples-dark.svg"}


def test_the_page_has_every_text_of_the_markdown(markdown, page):
    for line in markdown.splitlines():
        if line and not line.startswith(("<picture", "|")):
            words = re.sub(r"^(#+|-) ", "", line)
            assert " ".join(render.plain(words).split()) in " ".join(page.text.split()), line
    for cell in re.findall(r"(?<=\| )[^|]+(?= \|)", markdown):
        assert render.plain(cell) in page.text


def test_the_page_has_a_live_chart_for_every_picture_of_the_markdown(markdown, page):
    stems = re.findall(r'src="figures/(.+?)\.svg"', markdown)
    assert len(stems) == 6
    assert all(f"{stem}-0" in page.ids for stem in stems)


def test_a_figure_names_the_models_whose_lines_or_symbols_it_shows(figures):
    names = set(example().params.models)
    assert {name: set(figure.models) for name, figure in figures.items() if figure.models} == {
        name: names for name in ("study-curves", "study-movement", "study-trajectories", "sweep")
    }


def test_curves_by_updates_are_left_out_where_they_repeat_those_by_epoch(figures):
    made = example()
    same = made.tables._replace(comparison=made.tables.comparison.assign(updates=7))
    found = render.figures(made._replace(tables=same))
    assert len(figures["study-curves"].live) == 4 and len(found["study-curves"].live) == 2


def test_files_and_page_draw_the_same_numbers(figures):
    for figure in figures.values():
        for still, live in zip(figure.still, figure.live, strict=True):
            assert list(still["datasets"].values()) == list(live["datasets"].values()), figure.name


def test_markdown_and_page_make_nothing_of_params_yaml_live(markdown, page):
    assert page.tags.count("script") == 3 and "b" not in page.tags and "i" not in page.tags
    assert QUESTION in " ".join(page.text.split())
    assert "http://example.org" not in page.links
    assert "<script" not in markdown


def test_html_in_markdown_stays_text():
    text = render.MARKDOWN.render("# <img src=x> and <b>bold</b>\n\n<picture><img src=y></picture>")
    assert Page(text).tags == ["h1", "p"] and "&lt;b&gt;bold" in text


def test_links_within_the_page_have_a_target(page):
    targets = [link[1:] for link in page.links if link.startswith("#")]
    assert len(targets) > 4 and set(targets) <= set(page.ids)


def test_anchors_are_those_of_github():
    assert render.anchors(["Which is best?", "A – B_c", "Which is best?"]) == [
        "which-is-best",
        "a--b_c",
        "which-is-best-1",
    ]


def test_a_picture_has_both_themes_and_its_words_escaped(figures):
    html = render.picture(figures["samples"])
    assert 'srcset="figures/samples-dark.svg"' in html and 'src="figures/samples.svg"' in html
    assert "Dress &lt;b&gt;, &quot;Coat&quot;" in html


def test_the_page_may_load_nothing_from_a_network(html):
    assert "default-src 'none'" in html
    without_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    assert not re.search(r'<(script|link|img)[^>]* (src|href)="(?!data:)', without_scripts)


def test_data_of_the_page_is_strict_json(html):
    data = re.search(r'id="charts">(.+?)</script>', html, re.S)[1]

    def forbid(constant):
        raise AssertionError(constant)

    charts = json.loads(data, parse_constant=forbid)
    assert "study-curves-0" in charts and all(spec["description"] for spec in charts.values())


def test_the_sweep_of_two_optimizers_names_the_models_of_both(tmp_path):
    made = example()
    comparison, sweep = made.tables.comparison, made.tables.sweep
    comparison.loc[comparison.model == "model_1", "optimizer"] = "adam"
    sweep = pd.concat([sweep, sweep.iloc[:3].assign(optimizer="adam")])
    made = made._replace(tables=made.tables._replace(sweep=sweep))
    render.write_figures(tmp_path, [render.figures(made)["sweep"]])
    picture = (tmp_path / "sweep.svg").read_text()
    for words in (
        "Validation accuracy in %, sgd",
        "Validation accuracy in %, batch size 8",
        *made.params.models,
    ):
        assert picture.count(f">{words}<") == 1, words
