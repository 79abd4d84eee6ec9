"""The solutions as a Jupyter notebook: written from a template, run from top to bottom, outputs inside."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from jinja2 import Environment, StrictUndefined
from nbclient import NotebookClient

from stages.core.params import Params
from stages.core.report import method
from stages.core.report.contents import TEMPLATES
from stages.core.report.wording import markdown

FENCED = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


def render(params: Params, sweep: bool, root: Path | str = ".") -> str:
    """solutions.ipynb as text, run in `root`, which holds params.yaml and reports/, with `sweep` its map.

    The same bytes each time: nothing in it tells when or how fast it ran. Raises
    nbclient.exceptions.CellExecutionError if a cell fails.
    """
    written = build(params, sweep)
    with _own_settings():
        NotebookClient(
            written,
            timeout=120,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(root)}},
            extra_arguments=["--HistoryManager.enabled=False", "--log-level=ERROR"],
        ).execute()
    written.metadata = _metadata()
    return nbformat.writes(written)


def build(params: Params, sweep: bool = False) -> nbformat.NotebookNode:
    """The notebook before it is run: the template's text and code, for these settings."""
    environment = Environment(
        loader=TEMPLATES,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = markdown
    models = list(params.models.values())
    text = environment.get_template("solutions.md.j2").render(
        params=params,
        widths=method.layers(models[0]) if method.one_shape(models) else None,
        activation=models[0].activation,
        sweep=sweep,
    )
    cells = [cell for cell in _cells(text) if cell.source]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return nbformat.v4.new_notebook(cells=cells, metadata=_metadata())


def _cells(text: str) -> Iterator[nbformat.NotebookNode]:
    """Text between fences is Markdown, text within them is code; a line `---` parts two cells of Markdown."""
    for place, part in enumerate(FENCED.split(text)):
        if place % 2:
            yield nbformat.v4.new_code_cell(part.strip())
        else:
            yield from (nbformat.v4.new_markdown_cell(piece.strip()) for piece in part.split("\n---\n"))


def _metadata() -> dict:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})


@contextmanager
def _own_settings() -> Iterator[None]:
    """Keep a person's own IPython profile and start-up files out of what the notebook says."""
    before = os.environ.get("IPYTHONDIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IPYTHONDIR"] = folder
        try:
            yield
        finally:
            os.environ.pop("IPYTHONDIR")
            if before is not None:
                os.environ["IPYTHONDIR"] = before
