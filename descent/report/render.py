"""The report as files: figures as SVG, report.md, and report.html with the same text and live charts."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import pandas as pd
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from descent import colors, format, paths, results
from descent.colors import THEMES
from descent.config import Params
from descent.data import Dataset
from descent.files import write_text
from descent.metrics import METRICS
from descent.rates import cells
from descent.report import captions, charts, landscape, sentences
from descent.report.captions import Caption
from descent.report.charts import Models
from descent.report.tables import Tables, answer, best, tied

TEMPLATES = Path(__file__).parent / "templates"
JINJA = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    autoescape=lambda name: name is not None and ".html" in name,
    trim_blocks=True,
    lstrip_blocks=True,
)
JINJA.filters |= {"escaped": format.markdown, "number": format.number, "percent": format.percent}
JINJA.filters |= {"count": format.count, "counted": format.counted, "code": format.code}
JINJA.filters["listed"] = format.listed
JINJA.globals |= {"results": results, "landscape": landscape, "charts": charts, "colors": colors}
JINJA.globals |= {"sentences": sentences, "answer": answer, "tied": tied}
MAX_WIDTH_BESIDE_ANOTHER = 360
"""Wider charts stand one below another."""

Spec = dict[str, Any]
"""A chart as Vega-Lite: https://vega.github.io/vega-lite/docs/spec.html."""


class Report(NamedTuple):
    """What is reported: the experiment, its results, and the images."""

    params: Params
    tables: Tables
    dataset: Dataset


class Figure(NamedTuple):
    """A figure: its caption, and its charts, still for a file and live for the page."""

    name: str
    caption: Caption
    still: Sequence[Spec]
    live: Sequence[Spec]

    @property
    def columns(self) -> int:
        """The number of charts in a row."""
        wide = max(chart["width"] for chart in self.still) > MAX_WIDTH_BESIDE_ANOTHER
        return 1 if wide or len(self.still) == 1 else 2

    @property
    def max_width(self) -> int:
        """The largest width on the page in pixels: one small chart does not fill it."""
        return round(1.6 * self.columns * max(chart["width"] for chart in self.still))

    @property
    def models(self) -> list[str]:
        """The models that are drawn."""
        rows = (row for chart in self.live for rows in chart["datasets"].values() for row in rows)
        return list(dict.fromkeys(row["model"] for row in rows if "model" in row))

    @property
    def alternative(self) -> str:
        """The text in place of the charts, for readers who cannot see them."""
        drawn = self.models and self.name != "sweep"  # where models are marks on the cells
        models = f": {format.listed(self.models)}" if drawn else ""
        return plain(self.caption.title or self.caption.text) + models


def write_report(report: Report, folder: Path = paths.REPORTS) -> None:
    """Write figures/, report.md and report.html."""
    found = figures(report)
    write_figures(folder / paths.FIGURES.name, found.values())
    write_text(folder / "report.md", report_markdown(report, found))
    write_text(folder / "report.html", report_page(report, found))


def figures(report: Report) -> dict[str, Figure]:
    """Make all figures, by name, in the order of the report."""
    dataset = report.dataset
    names = "" if dataset.numbered else ": " + format.markdown(", ".join(dataset.class_names))
    samples = [specification(charts.sample_images(*dataset.train, dataset.class_names))]
    found = [Figure("samples", Caption("", f"A training image of each class{names}."), samples, samples)]
    for study, rows in report.tables.comparison.groupby("study", sort=False):
        found += _study_figures(report, study, rows)
    found += [_sweep_figure(report), *_mistakes_figure(report)]
    return {figure.name: figure for figure in found}


def _figure(
    name: str, caption: Caption, models: Models, draw: Callable[[Models], Iterable[alt.LayerChart]]
) -> Figure:
    """Draw the charts of a figure twice: still and live."""
    still, live = (map(specification, draw(models._replace(live=live))) for live in (False, True))
    return Figure(name, caption, list(still), list(live))


def _study_figures(report: Report, study: str, rows: pd.DataFrame) -> Iterator[Figure]:
    """Make a study's curves and, if there is a loss surface, its trajectories."""
    tables, classes = report.tables, report.dataset.classes
    trajectories, surface = (table[table.study == study] for table in (tables.trajectories, tables.surface))
    models = Models(list(report.params.models), sentences.labels(rows))
    guessing = {"train_loss": results.guessing_loss(classes), "validation_accuracy": 1 / classes}
    # With equally many updates the curves by updates would say the same as those by epoch.
    paces = ("epoch", "updates") if rows.updates.nunique() > 1 else ("epoch",)

    def curves(models: Models) -> Iterator[alt.LayerChart]:
        for pace, (key, reached) in itertools.product(paces, guessing.items()):
            yield charts.learning_curve(tables.history, METRICS[key], pace, models, reached)

    def movement(models: Models) -> Iterator[alt.LayerChart]:
        for key in ("gradient_norm", "distance"):
            yield charts.learning_curve(tables.history, METRICS[key], "epoch", models)

    def paths_on_the_surface(models: Models) -> Iterator[alt.LayerChart]:
        yield charts.trajectories(trajectories, surface, models)

    yield _figure(f"{study}-curves", captions.curves(rows), models, curves)
    yield _figure(f"{study}-movement", captions.movement(rows), models, movement)
    if len(surface):
        caption = captions.trajectories(rows, trajectories, report.params.seeds(rows.model.iloc[0])[0])
        yield _figure(f"{study}-trajectories", caption, models, paths_on_the_surface)


def _sweep_figure(report: Report) -> Figure:
    """Make a heat map for each optimizer, but one for all that are trained at one batch size alone."""
    sweep, comparison, names = report.tables.sweep, report.tables.comparison, list(report.params.models)
    grid = cells(sweep)
    marked = set(comparison.merge(grid[["optimizer", "batch_size", "learning_rate"]]).model)
    models = Models(names, {name: name for name in names if name in marked})
    several = grid.groupby("optimizer").batch_size.transform("nunique") > 1
    parts = [rows for _, rows in grid[several].groupby("optimizer", sort=False)]
    sizes = grid.batch_size[~several].unique()
    parts += [rows for _, rows in grid[grid.batch_size.isin(sizes)].groupby("batch_size")]

    def heat_maps(models: Models) -> Iterator[alt.LayerChart]:
        return (charts.sweep_heat_map(rows, comparison, models) for rows in parts)

    return _figure("sweep", captions.sweep(sweep), models, heat_maps)


def _mistakes_figure(report: Report) -> Iterator[Figure]:
    """Make the figure of the best model's mistakes, if any model learned anything."""
    tables, dataset = report.tables, report.dataset
    winner = best(tables.comparison.drop_duplicates("model"))
    if winner is None:
        return
    matrix, mistakes = (
        table[table.model == winner.model].drop(columns="model")
        for table in (tables.confusion, tables.mistakes)
    )
    caption = captions.mistakes(winner.model, winner.best_seed, matrix, dataset)
    drawn = [charts.confusion_matrix(matrix, dataset.class_names)]
    if len(mistakes):
        drawn.append(charts.worst_mistakes(mistakes, dataset.test.images, dataset.class_names))
    specs = list(map(specification, drawn))
    yield Figure(f"{winner.model}-mistakes", caption, specs, specs)


def specification(chart: alt.LayerChart) -> Spec:
    """Return a chart as Vega-Lite without a configuration; NaN and infinity become null."""
    with alt.data_transformers.disable_max_rows(), alt.theme.enable("none"):
        # Altair validated each part when it was made; validating the whole again takes seconds.
        return chart.to_dict(validate=False)


def svg(parts: Sequence[Spec], theme: str, columns: int = 1) -> str:
    """Draw charts as SVG; with vl-convert's fonts every machine draws the same bytes."""
    spec = {
        "$schema": parts[0]["$schema"],
        "datasets": {name: rows for part in parts for name, rows in part["datasets"].items()},
        "concat": [_without_width_signal(part) for part in parts],
        "columns": columns,
        "spacing": 24,
    }
    drawn = vl_convert.vegalite_to_svg(spec, config=charts.theme(theme))
    # Vega numbers clip paths and gradients through all charts of a process: here each file counts its own.
    names: dict[str, str] = {}

    def renamed(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"{found[1]}{len(names)}")

    return re.sub(r"(?<=[\"#])(clip|gradient_)\d+", renamed, drawn)


def _without_width_signal(part: Spec) -> Spec:
    """Return a chart as part of another, in which the signal `width` is unknown: its number stands there."""
    text = json.dumps({key: part[key] for key in part if key not in ("$schema", "datasets", "usermeta")})
    expression = re.compile(r'(?<="expr": ")[^"]*')
    return json.loads(expression.sub(lambda found: re.sub(r"\bwidth\b", str(part["width"]), found[0]), text))


def write_figures(folder: Path, found: Iterable[Figure]) -> None:
    """Write `<name>.svg` and `<name>-dark.svg` of each figure; remove those of figures that are gone."""
    written = set()
    for figure in found:
        for theme, ending in zip(THEMES, (".svg", "-dark.svg"), strict=True):
            written.add(figure.name + ending)
            write_text(folder / (figure.name + ending), svg(figure.still, theme, figure.columns))
    for path in folder.glob("*.svg"):
        if path.name not in written:
            path.unlink()


def picture(figure: Figure) -> str:
    """Return the HTML of a figure in Markdown; the theme of the page that shows it chooses the file."""
    stem = f"figures/{figure.name}"
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.svg">'
        f'<img alt="{escape(figure.alternative)}" src="{stem}.svg"></picture>'
    )


def report_markdown(
    report: Report, found: Mapping[str, Figure], show: Callable[[Figure], str] = picture
) -> str:
    """Render report.md; `show` returns what stands in the place of a figure."""
    questions = [format.markdown(study.question) for study in report.params.studies.values()]
    text = JINJA.get_template("report.md.j2").render(
        report._asdict(),
        studies=dict(iter(report.tables.comparison.groupby("study", sort=False))),
        figures=found,
        show=show,
        anchors=anchors(map(plain, questions)),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def anchors(titles: Iterable[str]) -> list[str]:
    """Return the anchors that GitHub gives to headings; a number tells equal ones apart."""
    found: list[str] = []
    seen: Counter[str] = Counter()
    for title in titles:
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.append(slug + (f"-{seen[slug]}" if seen[slug] else ""))
        seen[slug] += 1
    return found


def _live_figure(self, tokens: Sequence[Token], place: int, options: Any, env: Any) -> str:
    return env["figures"][tokens[place].content.strip()]


MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
"""HTML in the Markdown stays text; a code block is the name of a figure; a wide table scrolls sideways."""
MARKDOWN.add_render_rule("fence", _live_figure)
MARKDOWN.add_render_rule(
    "table_open", lambda *_: '<div class="wide" tabindex="0" role="region" aria-label="Table"><table>\n'
)
MARKDOWN.add_render_rule("table_close", lambda *_: "</table></div>\n")


def plain(text: str) -> str:
    """Return the text of a line of Markdown as readers see it."""
    return "".join(child.content for child in MARKDOWN.parseInline(text)[0].children or [])


def report_page(report: Report, found: Mapping[str, Figure]) -> str:
    """Render report.html: the Markdown of report.md, in which live charts take the place of pictures."""
    models, labels = list(report.params.models), sentences.labels(report.tables.comparison)
    place = JINJA.get_template("figure.html.j2").render
    places = {name: place(figure=figure, models=models, labels=labels) for name, figure in found.items()}
    tokens = MARKDOWN.parse(report_markdown(report, found, lambda figure: f"```\n{figure.name}\n```"))
    headings = [
        (token, plain(text.content))
        for token, text in itertools.pairwise(tokens)
        if token.type == "heading_open"
    ]
    for (token, _), anchor in zip(headings, anchors(title for _, title in headings), strict=True):
        token.attrSet("id", anchor)
    script, style = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    return JINJA.get_template("report.html.j2").render(
        models=models,
        labels=labels,
        title=headings[0][1],
        sections=[(title, token.attrGet("id")) for token, title in headings if token.tag == "h2"],
        body=Markup(MARKDOWN.renderer.render(tokens, MARKDOWN.options, {"figures": places})),
        style=Markup(colors.css_colors() + style),
        script=Markup(vl_convert.javascript_bundle(script)),
        # On the page, text is measured in the font that is there: no spare room is needed.
        themes={theme: charts.theme(theme) | {"padding": 4} for theme in THEMES},
        specs={
            f"{figure.name}-{place}": spec | {"title": "", "description": figure.alternative}
            for figure in found.values()
            for place, spec in enumerate(figure.live)
        },
    )
