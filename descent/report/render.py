"""The report as files: figures as SVG, report.md, and report.html with the same text and live charts."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
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
JINJA.filters |= {
    "count": format.count,
    "counted": format.counted,
    "code": format.code,
    "listed": format.listed,
}
JINJA.globals |= {"results": results, "landscape": landscape, "charts": charts, "colors": colors}
JINJA.globals |= {"sentences": sentences, "captions": captions, "answer": answer, "best": best, "tied": tied}
MAX_WIDTH_BESIDE_ANOTHER = 360
"""Wider charts stand one below another."""

Spec = dict[str, Any]
"""A chart as Vega-Lite: https://vega.github.io/vega-lite/docs/spec.html."""


class Report(NamedTuple):
    """The experiment, its results and its images, which the templates put in words."""

    params: Params
    tables: Tables
    dataset: Dataset


class Figure(NamedTuple):
    """A figure: its title, and its charts, still for a file and live for the page."""

    name: str
    title: str  # Markdown
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
        return plain(self.title) + models


def write_report(report: Report, folder: Path = paths.REPORTS) -> None:
    """Write figures/, report.md and report.html."""
    found = figures(report)
    write_figures(folder / paths.FIGURES.name, found.values())
    write_text(folder / "report.md", report_markdown(report, found))
    write_text(folder / "report.html", report_page(report, found))


def figures(report: Report) -> dict[str, Figure]:
    """Make all figures, by name."""
    still, live = (_charts(report, live) for live in (False, True))
    return {
        name: Figure(name, title, *(list(map(specification, made[name][1])) for made in (still, live)))
        for name, (title, _) in still.items()
    }


def _charts(report: Report, live: bool) -> dict[str, tuple[str, list[alt.LayerChart]]]:
    """Make the title, in Markdown, and the charts of every figure, by its name."""
    params, tables, dataset = report
    names, classes = list(params.models), dataset.class_names
    listing = "" if dataset.numbered else ": " + format.markdown(", ".join(classes))
    samples = charts.sample_images(*dataset.train, classes)
    found = {"samples": (f"A training image of each class{listing}.", [samples])}
    guessing = {"train_loss": results.guessing_loss(len(classes)), "validation_accuracy": 1 / len(classes)}
    for study, rows in tables.comparison.groupby("study", sort=False):
        models = Models(names, sentences.labels(rows), live)
        # With equally many updates the curves by updates would say the same as those by epoch.
        paces = ("epoch", "updates") if rows.updates.nunique() > 1 else ("epoch",)
        curves = [
            charts.learning_curve(tables.history, METRICS[key], pace, models, reached)
            for pace in paces
            for key, reached in guessing.items()
        ]
        movement = [
            charts.learning_curve(tables.history, METRICS[key], "epoch", models)
            for key in ("gradient_norm", "distance")
        ]
        found[f"{study}-curves"] = ("Learning curves", curves)
        found[f"{study}-movement"] = ("Gradient norm and distance from the start", movement)
        trajectories, surface = (
            table[table.study == study] for table in (tables.trajectories, tables.surface)
        )
        if len(surface):
            drawn = charts.trajectories(trajectories, surface, models)
            found[f"{study}-trajectories"] = ("Trajectories over the loss surface", [drawn])
    grid = cells(tables.sweep)
    marked = set(tables.comparison.merge(grid[["optimizer", "batch_size", "learning_rate"]]).model)
    models = Models(names, {name: name for name in names if name in marked}, live)
    # A heat map for each optimizer, but one for all that are trained at one batch size alone.
    several = grid.groupby("optimizer").batch_size.transform("nunique") > 1
    parts = [rows for _, rows in grid[several].groupby("optimizer", sort=False)]
    sizes = grid.batch_size[~several].unique()
    parts += [rows for _, rows in grid[grid.batch_size.isin(sizes)].groupby("batch_size")]
    heat_maps = [charts.sweep_heat_map(rows, tables.comparison, models) for rows in parts]
    found["sweep"] = ("Sweep of batch size and learning rate", heat_maps)
    winner = best(tables.comparison)
    if winner is not None:
        matrix, mistakes = (
            table[table.model == winner.model].drop(columns="model")
            for table in (tables.confusion, tables.mistakes)
        )
        pictures = [charts.confusion_matrix(matrix, classes)]
        if len(mistakes):
            pictures.append(charts.worst_mistakes(mistakes, dataset.test.images, classes))
        found[f"{winner.model}-mistakes"] = (f"Images that `{winner.model}` misclassifies", pictures)
    return found


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
