"""The report as one web page that needs no network: its text, its charts, and the library that draws them."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import vl_convert
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from stages.core.report.appearance import DASHES, THEMES, config, cycled
from stages.core.report.contents import TEMPLATES
from stages.core.report.curves import WIDTH
from stages.core.report.figures import Figure
from stages.core.report.vega import Spec, pointed


def render(contents: dict[str, Any], models: Sequence[str]) -> str:
    """report.html, from what it says."""
    environment = Environment(
        loader=TEMPLATES, undefined=StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["words"] = _words
    script = TEMPLATES.get_source(environment, "page.js")[0]
    return environment.get_template("report.html.j2").render(
        contents,
        style=Markup(TEMPLATES.get_source(environment, "page.css")[0]),
        script=Markup(vl_convert.javascript_bundle(script)),
        look={theme: config(theme, models) for theme in THEMES},
        keys=_keys(models),
        charts=_charts(contents["figures"], models),
    )


def _words(text: str) -> Markup:
    """A sentence of the report: names in backquotes become code, all else is text."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))


def _keys(models: Sequence[str]) -> list[dict[str, str]]:
    """For each model the number of its colour and the dash of its line, as the legend draws them."""
    dashes = [" ".join(map(str, dash)) for dash in cycled(DASHES, models)]
    numbers = cycled(range(len(THEMES["light"]["models"])), models)
    return [
        {"model": model, "colour": f"var(--model-{number})", "dash": dash}
        for model, number, dash in zip(models, numbers, dashes, strict=True)
    ]


def _charts(figures: Mapping[str, Sequence[Figure]], models: Sequence[str]) -> dict[str, Spec]:
    """Every chart by the id of its place on the page."""
    return {
        f"{figure.name}-{place}": pointed(chart, figure.alternative, models, chart["width"] == WIDTH)
        for found in figures.values()
        for figure in found
        for place, chart in enumerate(figure.charts)
    }
