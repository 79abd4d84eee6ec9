"""The loss over a plane in weight space, and training trajectories projected onto the plane.

After Li et al. 2018, Visualizing the Loss Landscape of Neural Nets (arXiv:1712.09913, section 7), and
Lorch 2016, Visualizing Deep Network Training Trajectories with PCA: the plane is spanned by the two
principal directions of the trajectories. It explains a part of the movement only, and even random
walks make smooth curves in such a plane (Antognini and Sohl-Dickstein 2018, arXiv:1806.08805).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import contourpy
import numpy as np
import pandas as pd
from scipy.special import expit, log_softmax, ndtr
from threadpoolctl import threadpool_limits

from descent.data import Split
from descent.engine.rows import evenly_spaced
from descent.files import finite

IMAGES = 500
"""The loss surface is computed on this many training images: enough for its shape, in seconds."""

GRID_COLUMNS = 24
"""Points of a frame's grid from left to right."""

EXCLUDED = ("diverged", "collapsed")
"""Models with these statuses go so far that nothing else would be seen in the plane that they span."""

ASPECT = 0.9
"""Height over width of a frame; its two axes have the same unit."""

MARGIN = 0.18
"""Space around the trajectories on each side, as a share of their extent."""

TRAJECTORY_COLUMNS = ["study", "model", "epoch", "x", "y", "explained"]
SURFACE_COLUMNS = ["study", "region", "corner", "loss", "x", "y"]

ACTIVATION_FUNCTIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": expit,
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "gelu": lambda z: z * ndtr(z),
    "silu": lambda z: z * expit(z),
}
"""The activations that params.yaml accepts."""


class Plane(NamedTuple):
    """A plane in weight space: a point (n,) on it and two orthonormal directions (2, n), float64."""

    origin: np.ndarray
    directions: np.ndarray


class Frame(NamedTuple):
    """A rectangle in a plane's coordinates."""

    left: float
    right: float
    bottom: float
    top: float

    def grid(self, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the x of `columns` evenly spaced points, and the y of a similar number."""
        rows = round(columns * ASPECT)
        return np.linspace(self.left, self.right, columns), np.linspace(self.bottom, self.top, rows)


def study_landscape(
    trajectories: Mapping[str, np.ndarray],
    spanning: Sequence[str],
    training: Split,
    widths: Sequence[int],
    activation: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Project the trajectories of a study's models, and compute the loss around them.

    Args:
        trajectories: (epochs + 1, weights) of each model, all from the same start.
        spanning: The models that span the plane; of the others, which went far, the direction is seen.
        training: The training images.
        widths: The widths of all layers, input and output included.
        activation: A key of ACTIVATION_FUNCTIONS.

    Returns:
        TRAJECTORY_COLUMNS and SURFACE_COLUMNS without `study`. `explained` is the share of the squared
        distance from the start that lies in the plane.
    """
    near = [trajectories[name] for name in spanning]
    with threadpool_limits(1):  # the bits of a product of matrices depend on the number of threads
        plane = principal_plane(near)
        frame = frame_around(np.concatenate([plane_coordinates(plane, path) for path in near]))
        loss = loss_surface(plane, frame, GRID_COLUMNS, training, widths, activation)
        projected = {name: _projected(plane, path) for name, path in trajectories.items()}
    table = pd.concat(projected, names=["model", "epoch"]).reset_index()
    return table, _rounded(regions(frame, loss), frame)


def principal_plane(trajectories: Sequence[np.ndarray]) -> Plane:
    """Compute the plane through the common start of trajectories that explains most of the movement."""
    origin = trajectories[0][0].astype(np.float64)
    movement = np.concatenate([path[1:].astype(np.float64) - origin for path in trajectories])
    plane = np.zeros((2, movement.shape[1]))
    _, vectors = np.linalg.eigh(movement @ movement.T)  # `svd(movement)` takes 20 times as long
    found = np.linalg.qr(movement.T @ vectors[:, :-3:-1]).Q.T
    plane[: len(found)] = found  # after one step there is one direction
    coordinates = movement @ plane.T
    signs = np.sign(coordinates[np.abs(coordinates).argmax(axis=0), [0, 1]])
    return Plane(origin, plane * np.where(signs < 0, -1, 1)[:, None])


def plane_coordinates(plane: Plane, trajectory: np.ndarray) -> np.ndarray:
    """Return the coordinates (points, 2) in the plane; not finite where the weights are not."""
    with np.errstate(invalid="ignore"):
        return (trajectory.astype(np.float64) - plane.origin) @ plane.directions.T


def _projected(plane: Plane, trajectory: np.ndarray) -> pd.DataFrame:
    points = plane_coordinates(plane, trajectory)
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = ((trajectory.astype(np.float64) - plane.origin) ** 2).sum(axis=1)
        explained = (points**2).sum(axis=1) / squared
    # The last digits of a product of matrices differ from one machine to another.
    table = pd.DataFrame(points, columns=["x", "y"]).map(finite, digits=6).astype(float)
    return table.assign(explained=explained.round(4))


def frame_around(points: np.ndarray) -> Frame:
    """Compute the smallest frame with a margin around points (n, 2), which may all be the same."""
    low, high = points.min(axis=0), points.max(axis=0)
    (x, y), (wide, tall) = (low + high) / 2, high - low
    half = max(wide, tall / ASPECT, 1e-9) * (1 + 2 * MARGIN) / 2
    return Frame(x - half, x + half, y - half * ASPECT, y + half * ASPECT)


def loss_surface(
    plane: Plane, frame: Frame, columns: int, training: Split, widths: Sequence[int], activation: str
) -> np.ndarray:
    """Compute the mean cross-entropy of the network at the points of a grid, (rows, columns).

    It is that of IMAGES training images, or of all where there are fewer. Weights are linear in the plane's
    coordinates, and so is what enters the first activation: the largest product of matrices is computed
    three times, not at every point.
    """
    images = evenly_spaced(len(training.labels), IMAGES)
    inputs, labels = training.images[images].reshape(len(images), -1) / 255.0, training.labels[images]
    first, *later = zip(
        *(layers(vector, widths) for vector in (plane.origin, *plane.directions)), strict=True
    )
    entering = [inputs @ kernel + bias for kernel, bias in first]

    def loss(x: float, y: float) -> float:
        def combine(parts: Sequence[np.ndarray]) -> np.ndarray:
            return parts[0] + x * parts[1] + y * parts[2]

        values = combine(entering)
        for layer in later:
            kernels, biases = zip(*layer, strict=True)
            values = ACTIVATION_FUNCTIONS[activation](values) @ combine(kernels) + combine(biases)
        return -log_softmax(values, axis=1)[np.arange(len(labels)), labels].mean()

    across, up = frame.grid(columns)
    return np.array([[loss(x, y) for x in across] for y in up])


def layers(weights: np.ndarray, widths: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split a vector of weights into the kernel (inputs, outputs) and bias (outputs,) of each layer."""
    found, position = [], 0
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        kernel, bias = np.split(weights[position : position + (inputs + 1) * outputs], [inputs * outputs])
        found.append((kernel.reshape(inputs, outputs), bias))
        position += (inputs + 1) * outputs
    return found


def levels(loss: np.ndarray) -> list[float]:
    """Choose 16 levels between the lowest and highest loss, evenly spaced in its logarithm."""
    low, high = max(float(loss.min()), 1e-9), float(loss.max())
    found = map(finite, np.geomspace(low, max(low, high), 18)[1:-1])
    return sorted({level for level in found if level and low < level < high})


def regions(frame: Frame, loss: np.ndarray) -> pd.DataFrame:
    """Compute the bands between two levels as polygons.

    A hole is joined to its polygon's edge by a cut without width, so that one line draws both.

    Returns:
        A row per corner: region, corner, loss (the band's lower level), x, y.
    """
    across, up = frame.grid(loss.shape[1])
    maker = contourpy.contour_generator(across, up, loss, fill_type=contourpy.FillType.OuterOffset)
    bounds = [float(loss.min()) - 1e-9, *levels(loss), float(loss.max()) + 1e-9]  # a flat surface is a band
    tables = []
    for low, high in zip(bounds, bounds[1:], strict=False):
        for points, offsets in zip(*maker.filled(low, high), strict=True):
            rings = [points[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]
            outline = np.concatenate([part for ring in rings for part in (ring, rings[0][:1])])
            tables.append(pd.DataFrame(outline, columns=["x", "y"]).assign(loss=max(low, float(loss.min()))))
    table = pd.concat(tables, keys=range(len(tables)), names=["region", "corner"]).reset_index()
    return table[["region", "corner", "loss", "x", "y"]]


def _rounded(table: pd.DataFrame, frame: Frame) -> pd.DataFrame:
    """Round corners to a two-thousandth of the frame's width, which is finer than can be seen."""
    unit = (frame.right - frame.left) / 2000
    corners = ((table[["x", "y"]] / unit).round() * unit).map(finite, digits=6)
    # Around a stalled run the loss is almost flat.
    return table.assign(x=corners.x, y=corners.y, loss=table.loss.map(finite))
