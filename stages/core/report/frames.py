"""What of a plane through weight space is drawn: its frames, the paths in them, the surface's level lines."""

import math
from typing import NamedTuple

import contourpy
import numpy as np
import pandas as pd

ASPECT = 0.9
"""Height over width of a frame; its two axes have the same unit."""

MARGIN = 0.18
STEPS = (1, 1.5, 2, 3, 5, 7)
"""The levels in each power of ten, where the loss spans much."""


class Frame(NamedTuple):
    """A rectangle in a plane's coordinates."""

    left: float
    right: float
    bottom: float
    top: float

    def grid(self, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """The coordinates across and up of evenly spaced points."""
        rows = round(columns * ASPECT)
        return np.linspace(self.left, self.right, columns), np.linspace(self.bottom, self.top, rows)


def around(points: np.ndarray) -> Frame:
    """The smallest frame with a margin around points (n, 2), which need not differ."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, (wide, tall) = (low + high) / 2, high - low
    width = max(wide, tall / ASPECT, 1e-9) * (1 + 2 * MARGIN)
    half, half_up = width / 2, width * ASPECT / 2
    return Frame(middle[0] - half, middle[0] + half, middle[1] - half_up, middle[1] + half_up)


def levels(loss: np.ndarray) -> list[float]:
    """Some ten levels between the lowest and the highest loss, evenly spaced if it spans little."""
    low, high = float(loss.min()), float(loss.max())
    if high < 3 * low:
        even = sorted({float(f"{level:.9g}") for level in np.linspace(low, high, 12)[1:-1]})
        return [level for level in even if low < level < high]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [level for power in powers for step in STEPS if low < (level := step * 10.0**power) < high]


def regions(frame: Frame, loss: np.ndarray) -> pd.DataFrame:
    """The bands between two levels as polygons: a row per corner, with the lower level as `loss`.

    A hole is joined to its polygon's edge by a cut without width, so that one line draws both.
    """
    across, up = frame.grid(loss.shape[1])
    maker = contourpy.contour_generator(across, up, loss, fill_type=contourpy.FillType.OuterOffset)
    bounds = [float(loss.min()) - 1e-9, *levels(loss), float(loss.max()) + 1e-9]  # all of it, flat or not
    rows = []
    for low, high in zip(bounds, bounds[1:], strict=False):
        for points, offsets in zip(*maker.filled(low, high), strict=True):
            rings = [points[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]
            outline = np.concatenate([part for ring in rings for part in (ring, rings[0][:1])])
            rows.append(pd.DataFrame(outline, columns=["x", "y"]).assign(loss=max(low, float(loss.min()))))
    table = pd.concat(rows, keys=range(len(rows)), names=["region", "corner"]).reset_index()
    return table[["region", "corner", "loss", "x", "y"]]


def leaving(frame: Frame, path: np.ndarray) -> np.ndarray | None:
    """Where a path that starts in the frame crosses its edge on its first leap, (2, 2); None if it has no
    direction.
    """
    start, end = path[0], path[1]
    step = end - start
    length = np.abs(step).max()
    if not np.isfinite(length) or length == 0:
        return None
    step = step / length
    room = [
        (edge - at) / along
        for at, along, edges in zip(
            start, step, ((frame.left, frame.right), (frame.bottom, frame.top)), strict=True
        )
        for edge in edges
        if along and (edge - at) / along > 0
    ]
    return np.array([start, start + step * min(room)])
