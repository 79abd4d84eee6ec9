"""The report as files: figures as SVG, report.md, and report.html with the same text and live charts."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from descent import paths
from descent.config import Params
from descent.data import Split
from descent.files import write_text
from descent.metrics import METRICS
from descent.report import charts
from descent.report.charts import THEMES, Models
from descent.report.format import markdown
from descent.report.sentences import Caption, Contents
from descent.report.tables import Tables, cells

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
"""HTML in the Markdown stays text."""

TEMPLATES = Path(__file__).parent / "templates"
FIGURES_OF_A_STUDY = ("curves", "movement", "trajectories")
CURVES = ("train_loss", "validation_accuracy")
MOVEMENT = ("gradient_norm", "distance")
SYMBOL_PATHS = {
    "circle": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0",
    "square": "M-4.5,-4.5h9v9h-9z",
    "triangle-up": "M0,-5L5.5,4.5h-11z",
    "diamond": "M0,-6L5,0L0,6L-5,0z",
    "cross": "M-2,-5.5h4v3.5h3.5v4h-3.5v3.5h-4v-3.5h-3.5v-4h3.5z",
    "triangle-down": "M0,5L5.5,-4.5h-11z",
    "triangle-right": "M5,0L-4.5,-5.5v11z",
}
"""The shapes of charts.SHAPES, for the legends of the page."""


Spec = dict[str, Any]
"""A chart as Vega-Lite: https://vega.github.io/vega-lite/docs/spec.html."""


class Figure(NamedTuple):
    """A figure: its words, and its charts, still for a file and live for the page."""

    name: str
    caption: Caption
    still: Sequence[Spec]
    live: Sequence[Spec]


class Key(NamedTuple):
    """A model in a legend of the page.

    Attributes:
        model: Its name.
        label: What the legend calls it.
        symbol: Its line and symbol, as SVG.
    """

    model: str
    label: str
    symbol: Markup


def write(
    params: Params,
    tables: Tables,
    contents: Contents,
    samples: Split,
    test: Split,
    folder: Path = paths.REPORTS,
    classes: Sequence[str] | None = None,
) -> None:
    """Write figures/, report.md and report.html.

    Args:
        params: Names the models and studies.
        tables: What is drawn.
        contents: What is said.
        samples: Images of which the first of each class is shown.
        test: The test images, some of which are shown as mistakes.
        folder: Where to write.
        classes: The names of the classes, if they are not their numbers.
    """
    names, found = list(params.models), figures(params, tables, contents, samples, test, classes)
    write_figures(folder / paths.FIGURES.name, found.values(), names)
    text = report_markdown(contents, found)
    write_text(folder / "report.md", text)
    write_text(folder / "report.html", report_page(text, contents, found, names))


def figures(
    params: Params,
    tables: Tables,
    contents: Contents,
    samples: Split,
    test: Split,
    classes: Sequence[str] | None = None,
) -> dict[str, Figure]:
    """Make all figures, by name: `samples`, and those that have a caption."""
    shown = ", ".join(classes or map(str, sorted(set(samples.labels.tolist()))))
    text = "A training image of each class."
    captions = {"samples": Caption("", text, f"{text[:-1]}: {shown}."), **contents.captions}
    drawn = [_charts(params, tables, contents, samples, test, classes, live) for live in (False, True)]
    return {
        name: Figure(name, caption, *([specification(chart) for chart in part[name]] for part in drawn))
        for name, caption in captions.items()
    }


def _charts(
    params: Params,
    tables: Tables,
    contents: Contents,
    samples: Split,
    test: Split,
    classes: Sequence[str] | None,
    live: bool,
) -> dict[str, list[alt.LayerChart]]:
    """Make the charts of every figure, by its name."""
    names, found = list(params.models), {"samples": [charts.sample_images(*samples, classes, live)]}
    for study, settings in params.studies.items():
        models = Models(names, {name: contents.labels[name] for name in settings.models})
        curves = [(by, key) for by in ("epoch", "updates") for key in CURVES]
        for figure, panels in (("curves", curves), ("movement", [("epoch", key) for key in MOVEMENT])):
            found[f"{study}-{figure}"] = [
                charts.learning_curve(tables.history, METRICS[key], by, models, live) for by, key in panels
            ]
        trajectories, surface = (t[t.study == study] for t in (tables.trajectories, tables.surface))
        if len(surface):
            found[f"{study}-trajectories"] = charts.trajectories(trajectories, surface, models, live)
    if tables.sweep is not None:
        for optimizer, rows in cells(tables.sweep).groupby("optimizer", sort=False):
            members = tables.comparison[tables.comparison.optimizer == optimizer]
            chart = charts.sweep_heat_map(rows, members, Models(names, {}), live)
            found.setdefault("sweep", []).append(chart)
    for model in filter(lambda model: f"{model}-mistakes" in contents.captions, names):
        matrix, mistakes = (
            table[table.model == model].drop(columns="model") for table in (tables.confusion, tables.mistakes)
        )
        found[f"{model}-mistakes"] = [charts.confusion_matrix(matrix, classes, live)]
        if len(mistakes):
            found[f"{model}-mistakes"].append(charts.worst_mistakes(mistakes, test.images, classes, live))
    return found


def specification(chart: alt.LayerChart) -> Spec:
    """Return a chart as Vega-Lite without a configuration; NaN and infinity become null."""
    with alt.data_transformers.enable("default", max_rows=None):
        # Altair validated each part when it was made; validating the whole again takes seconds.
        return {key: value for key, value in chart.to_dict(validate=False).items() if key != "config"}


def svg(parts: Sequence[Spec], theme: str, models: Sequence[str]) -> str:
    """Draw charts as SVG, two in a row; with vl-convert's fonts every machine draws the same bytes."""
    wide = max(part["width"] for part in parts) > charts.MAX_WIDTH_BESIDE_ANOTHER
    spec = {
        "$schema": parts[0]["$schema"],
        "datasets": {name: rows for part in parts for name, rows in part["datasets"].items()},
        "concat": [{key: part[key] for key in part if key not in ("$schema", "datasets")} for part in parts],
        "columns": 1 if wide else 2,
        "spacing": 24,
        "resolve": {"scale": {"fill": "independent"}},  # each loss surface has a range of its own
    }
    drawn = vl_convert.vegalite_to_svg(spec, config=charts.theme(theme, models))
    # Vega numbers clip paths and gradients through all charts of a process: here each file counts its own.
    names: dict[str, str] = {}

    def renamed(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"{found[1]}{len(names)}")

    return re.sub(r"(?<=[\"#])(clip|gradient_)\d+", renamed, drawn)


def write_figures(folder: Path, found: Iterable[Figure], models: Sequence[str]) -> None:
    """Write `<name>.svg` and `<name>-dark.svg` of each figure; remove those of figures that are gone."""
    written = set()
    for figure in found:
        for theme, ending in zip(THEMES, (".svg", "-dark.svg"), strict=True):
            written.add(figure.name + ending)
            write_text(folder / (figure.name + ending), svg(figure.still, theme, models))
    for path in folder.glob("*.svg"):
        if path.name not in written:
            path.unlink()


def report_markdown(contents: Contents, found: Mapping[str, Figure]) -> str:
    """Render report.md."""
    environment = _environment()
    environment.filters |= {"escaped": markdown, "picture": picture}
    of_studies = {f"{answer.study}-{kind}" for answer in contents.answers for kind in FIGURES_OF_A_STUDY}
    text = environment.get_template("report.md.j2").render(
        contents._asdict(),
        figures=found,
        figures_of_a_study=FIGURES_OF_A_STUDY,
        others=[name for name in contents.captions if name not in of_studies],
        anchors=anchors([plain(answer.question) for answer in contents.answers]),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def picture(figure: Figure) -> str:
    """Return the HTML of a figure in Markdown; the theme of the page that shows it chooses the file."""
    stem = f"figures/{figure.name}"
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.svg">'
        f'<img alt="{escape(figure.caption.alternative)}" src="{stem}.svg"></picture>'
    )


def plain(text: str) -> str:
    """Return the text of a line of Markdown as readers see it."""
    return "".join(child.content for child in MARKDOWN.parseInline(text)[0].children or [])


def anchors(titles: Iterable[str]) -> list[str]:
    """Return the anchors that GitHub gives to headings; a number tells equal ones apart."""
    found: list[str] = []
    seen: Counter[str] = Counter()
    for title in titles:
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.append(slug + (f"-{seen[slug]}" if seen[slug] else ""))
        seen[slug] += 1
    return found


def report_page(text: str, contents: Contents, found: Mapping[str, Figure], models: Sequence[str]) -> str:
    """Render report.html: the Markdown of report.md, in which live charts take the place of pictures."""
    keys = _keys(contents.labels, models)
    tokens = _with_headings(_with_charts(MARKDOWN.parse(text), found, keys))
    headings = _with_anchors(tokens)
    environment = _environment(autoescape=True)
    script, style = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    return environment.get_template("report.html.j2").render(
        title=headings[0][1],
        sections=[(title, anchor) for level, title, anchor in headings if level == "h2"],
        body=Markup(MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})),
        style=Markup(style),
        script=Markup(vl_convert.javascript_bundle(script)),
        # On the page, text is measured in the font that is there: no spare room is needed.
        look={theme: charts.theme(theme, models) | {"padding": 4} for theme in THEMES},
        buttons=keys,
        charts={
            f"{figure.name}-{place}": spec | {"title": "", "description": figure.caption.alternative}
            for figure in found.values()
            for place, spec in enumerate(figure.live)
        },
    )


def _with_charts(tokens: Sequence[Token], found: Mapping[str, Figure], keys: Sequence[Key]) -> list[Token]:
    """Put the places of live charts where the Markdown has exactly the picture of a figure.

    Any other HTML in the Markdown stays text.
    """
    pictures = {picture(figure): figure for figure in found.values()}
    result = list(tokens)
    for place, token in enumerate(tokens):
        if token.type == "inline" and token.content in pictures:
            html = _places(pictures[token.content], keys)
            result[place - 1 : place + 2] = [_html(""), _html(html), _html("")]  # as many: places stay
    return result


def _places(figure: Figure, keys: Sequence[Key]) -> str:
    """Return the HTML around live charts; titles and legend are text of the page, so they wrap."""
    places, models = "", set[str]()
    for number, spec in enumerate(figure.live):
        title = spec.get("title", {})
        title = {"text": title} if isinstance(title, str) else title
        lines = [title[key] for key in ("text", "subtitle") if key in title]
        words = "".join(f"<span>{escape(line)}</span>" for line in lines)
        heading = f'<p class="title">{words}</p>' if words else ""
        places += f'<div>{heading}<div class="chart" id="{escape(figure.name)}-{number}"></div></div>'
        models |= {row["model"] for rows in spec["datasets"].values() for row in rows if "model" in row}
    legend = "".join(f"<li>{key.symbol}{escape(key.label)}</li>" for key in keys if key.model in models)
    kind = " one" if len(figure.live) == 1 else ""
    inside = f'<div class="charts{kind}">{places}</div><ul class="legend">{legend}</ul>'
    return f'<div class="figure">{inside}</div>\n'


def _html(text: str) -> Token:
    return Token("html_block", "", 0, content=text)


def _with_headings(tokens: Sequence[Token]) -> list[Token]:
    """Let tables scroll sideways, and give each cell its column's heading, for narrow screens."""
    result: list[Token] = []
    headings: list[str] = []
    column = 0
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "table_open":
            headings = []
            result.append(_html('<div class="wide" tabindex="0" role="region" aria-label="Table">'))
        elif token.type == "th_open" and following:
            headings.append(plain(following.content))
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            token.attrSet("data-heading", headings[column])
            column += 1
        result.append(token)
        if token.type == "table_close":
            result.append(_html("</div>\n"))
    return result


def _with_anchors(tokens: list[Token]) -> list[tuple[str, str, str]]:
    """Give headings their anchors, and the first list, the answers, its class.

    Returns:
        The level (`h1`, `h2`, …), plain text and anchor of each heading.
    """
    headings = [place for place, token in enumerate(tokens) if token.type == "heading_open"]
    titles = [plain(tokens[place + 1].content) for place in headings]
    found = []
    for place, title, anchor in zip(headings, titles, anchors(titles), strict=True):
        tokens[place].attrSet("id", anchor)
        found.append((tokens[place].tag, title, anchor))
    answers = next((token for token in tokens if token.type == "bullet_list_open"), None)
    if answers:
        answers.attrSet("class", "answers")
    return found


def _keys(labels: Mapping[str, str], models: Sequence[str]) -> list[Key]:
    looks = zip(
        models,
        charts.cycled(range(len(THEMES["light"]["models"])), models),
        charts.cycled(charts.DASHES, models),
        charts.cycled(charts.SHAPES, models),
        strict=True,
    )
    return [
        Key(
            model,
            labels[model],
            Markup(
                '<svg width="32" height="14" viewBox="-16 -7 32 14" aria-hidden="true">'
                f'<path d="M-16,0H16" stroke="var(--model-{number})" stroke-width="2.5" '
                f'stroke-dasharray="{" ".join(map(str, dash))}"/>'
                f'<path d="{SYMBOL_PATHS[shape]}" fill="var(--model-{number})"/></svg>'
            ),
        )
        for model, number, dash, shape in looks
        if model in labels
    ]


def _environment(autoescape: bool = False) -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
    )
