"""The pictures of what a model gets wrong: the confusion matrix, and the worst mistakes as images."""

import base64
import io

import numpy as np
import pandas as pd
from PIL import Image

from stages.core.report.vega import Spec, chart, layer, quantity, tip

COLUMNS = 4
MAGNIFIED = 3
"""Screen pixels for each of a digit's own."""

TILE = 28 * MAGNIFIED


def confusion_chart(table: pd.DataFrame) -> Spec:
    """The confusion matrix: mistakes shaded by their number, what is right on the diagonal, unshaded."""
    table = table.assign(mistaken=table.digit != table.read_as)
    most = max(1, int(table.images[table.mistaken].max()))
    place = {"x": _digits("read_as", "read as"), "y": _digits("digit", "written digit")}
    shade = quantity("images", scale={"type": "sqrt", "domain": [0, most]}, legend=None)
    words = {"text": quantity("images", format=",")}
    # From here on a cell is shaded so strongly that its number needs the paper's colour.
    dark = f"datum.mistaken && sqrt(datum.images / {most}) > 0.85"
    lines = [
        tip("digit", "written"),
        tip("read_as", "read as"),
        tip("images", "images", ","),
    ]
    layers = [
        layer("rect", None, "datum.mistaken", **place, color=shade, tooltip=lines),
        layer("text", {"fontSize": 11}, f"datum.images > 0 && !({dark})", **place, **words),
        layer("text", {"fontSize": 11, "style": "on_ramp"}, dark, **place, **words),
    ]
    return chart(table, "How many of each digit are read as which", 330, 300, layers)


def _digits(field: str, title: str) -> Spec:
    axis = {"labelAngle": 0, "grid": False, "ticks": False, "domain": False}
    return {"field": field, "type": "ordinal", "title": title, "sort": "ascending", "axis": axis}


def worst_chart(table: pd.DataFrame, images: np.ndarray) -> Spec:
    """The worst mistakes as pictures, from test images (n, 28, 28) uint8, with what each is and was read
    as.
    """
    places = np.arange(len(table))
    tiles = table.assign(
        column=places % COLUMNS,
        row=places // COLUMNS,
        url=[_picture(images[row]) for row in table.image],
        words=[f"{row.digit} read as {row.read_as}" for row in table.itertuples()],
    )
    rows = -(-len(table) // COLUMNS)
    place = {
        "x": quantity("column", axis=None, scale={"domain": [-0.5, COLUMNS - 0.5], "nice": False}),
        "y": quantity("row", axis=None, scale={"domain": [rows - 0.42, -0.58], "nice": False}),
    }
    lines = [
        tip("image", "row in the test file", "d"),
        tip("probability", "how sure it is", ".1%"),
    ]
    size = {"width": TILE, "height": TILE}
    layers = [
        layer("image", size, **place, url={"field": "url"}, tooltip=lines),
        layer("text", {"dy": TILE / 2 + 9, "fontSize": 11}, **place, text={"field": "words"}),
    ]
    width, height = COLUMNS * (TILE + 8), rows * (TILE + 28)
    return chart(tiles, "The mistakes it is surest of", width, height, layers)


def _picture(image: np.ndarray) -> str:
    """A digit as a PNG in a data URL: dark ink on white, in either theme."""
    large = np.kron(255 - image, np.ones((MAGNIFIED, MAGNIFIED), dtype=np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(large).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
