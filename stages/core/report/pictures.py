"""Charts as files: in the light and the dark theme, as SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import vl_convert

from stages.core.files import replacing
from stages.core.report.appearance import THEMES, config
from stages.core.report.figures import Figure
from stages.core.report.vega import Spec, arranged, still


def svg(spec: Spec, theme: str, models: Sequence[str]) -> str:
    """A chart as SVG, the same bytes each time: the fonts come with vl-convert."""
    return vl_convert.vegalite_to_svg(spec, config=config(theme, models))


def png(spec: Spec, theme: str, models: Sequence[str], scale: float = 1.5) -> bytes:
    """A chart as PNG, `scale` times as large as it is on a page."""
    return vl_convert.vegalite_to_png(spec, scale=scale, config=config(theme, models))


def write_all(folder: Path, figures: Mapping[str, Sequence[Figure]], models: Sequence[str]) -> None:
    """Write every figure into `folder`, and remove the pictures in it that no figure has any more."""
    names = {figure.name: figure.charts for found in figures.values() for figure in found}
    for name, charts in names.items():
        write(folder / name, charts, models)
    for path in folder.glob("*.svg"):
        if path.stem.removesuffix("-dark") not in names:
            path.unlink()


def write(stem: Path, charts: Sequence[Spec], models: Sequence[str]) -> None:
    """Write `<stem>.svg` and `<stem>-dark.svg`, the charts two in a row."""
    spec = arranged([still(chart) for chart in charts])
    for theme, ending in zip(THEMES, (".svg", "-dark.svg"), strict=True):
        with replacing(stem.with_name(stem.name + ending)) as temporary:
            temporary.write_text(svg(spec, theme, models), encoding="utf-8")
