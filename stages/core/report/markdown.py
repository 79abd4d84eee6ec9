"""The report as a page of the repository, in Markdown."""

from html import escape
from typing import Any

from jinja2 import Environment, StrictUndefined

from stages.core.report.contents import TEMPLATES
from stages.core.report.figures import Figure
from stages.core.report.wording import markdown


def render(contents: dict[str, Any]) -> str:
    """report.md, from what it says."""
    environment = Environment(
        loader=TEMPLATES, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"markdown": markdown, "picture": _picture}
    return environment.get_template("report.md.j2").render(contents).strip() + "\n"


def _picture(figure: Figure) -> str:
    return picture(f"figures/{figure.name}", figure.alternative)


def picture(stem: str, alternative: str) -> str:
    """A picture in its light and its dark form; the theme of the page chooses."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.svg">'
        f'<img alt="{escape(alternative)}" src="{stem}.svg"></picture>'
    )
