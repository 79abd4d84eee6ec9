"""The loss over a plane through weight space, and the paths of descents projected onto it.

After Li et al. 2018, Visualizing the Loss Landscape of Neural Nets (arXiv:1712.09913, section 7), and
Lorch 2016, Visualizing Deep Network Training Trajectories with PCA: the plane is spanned by the two
principal directions of the paths. It holds a part of the movement only, and even random walks make
smooth curves in such a plane (Antognini and Sohl-Dickstein 2018, arXiv:1806.08805).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stages.core.report.perceptron import ACTIVATIONS, Layer, cross_entropy, unflatten


class Plane(NamedTuple):
    """A plane in weight space: a point (n,) on it and two orthonormal directions (2, n), float64."""

    origin: np.ndarray
    directions: np.ndarray


def principal_plane(paths: Sequence[np.ndarray], equal: bool = False) -> Plane:
    """The plane through the common start that holds most of the movement of `paths`, each (points, n).

    Where they are `equal`, every path is measured by its own farthest point, so that a short one
    counts as much as a long one.
    """
    origin = paths[0][0].astype(np.float64)
    steps = [path[1:].astype(np.float64) - origin for path in paths]
    movement = np.concatenate([step / (farthest(step) or 1) if equal else step for step in steps])
    # The eigenvectors of the small matrix of inner products give the singular vectors of the large one.
    values, vectors = np.linalg.eigh(movement @ movement.T)
    directions = []
    for vector in vectors[:, [-1, -2]].T:
        direction = vector @ movement
        directions.append(direction / max(np.linalg.norm(direction), 1e-300))
    directions = np.array(directions)
    signs = np.sign((movement @ directions.T)[np.abs(movement @ directions.T).argmax(axis=0), [0, 1]])
    return Plane(origin, directions * np.where(signs < 0, -1, 1)[:, None])


def farthest(steps: np.ndarray) -> float:
    """The greatest distance (Euclidean) of points (points, n) from 0."""
    return float(np.linalg.norm(steps, axis=1).max())


def project(plane: Plane, path: np.ndarray) -> np.ndarray:
    """The coordinates (points, 2) of a path in the plane, not finite where its weights are not."""
    with np.errstate(invalid="ignore"):
        return (path.astype(np.float64) - plane.origin) @ plane.directions.T


def surface(
    plane: Plane,
    across: np.ndarray,
    up: np.ndarray,
    x: np.ndarray,
    labels: np.ndarray,
    widths: Sequence[int],
    activation: str,
) -> np.ndarray:
    """The cross-entropy (len(up), len(across)) over a grid of the plane, for inputs x (images, pixels).

    Weights are linear in the plane's coordinates, and so is what enters the first activation: the
    one large product is made three times, not once for every point.
    """
    corners = [unflatten(vector, widths) for vector in (plane.origin, *plane.directions)]
    entering = [x @ first.kernel + first.bias for first, *_ in corners]
    later = list(zip(*(layers[1:] for layers in corners), strict=True))
    return np.array(
        [[_loss(np.array([1, a, b]), entering, later, labels, activation) for a in across] for b in up]
    )


def _loss(
    place: np.ndarray,
    entering: Sequence[np.ndarray],
    later: Sequence[tuple[Layer, Layer, Layer]],
    labels: np.ndarray,
    activation: str,
) -> float:
    z = sum(part * weight for part, weight in zip(entering, place, strict=True))
    for layers in later:
        kernel, bias = (
            sum(p * w for p, w in zip(parts, place, strict=True)) for parts in zip(*layers, strict=True)
        )
        z = ACTIVATIONS[activation][0](z) @ kernel + bias
    return cross_entropy(z, labels)
