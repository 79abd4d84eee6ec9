"""The plane against NumPy's singular values, the loss over it against the network itself, its contours."""

import math

import numpy as np
import pytest

from descent.data import Split
from descent.report import landscape
from descent.report.landscape import ASPECT, Frame, frame_around, levels, regions
from tests.support.results import noise_dataset

WIDTHS = (12, 7, 5, 3)
SIZE = sum((a + 1) * b for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))
FRAME = Frame(-1, 1, -ASPECT, ASPECT)


@pytest.fixture
def trajectories():
    """Two trajectories from the same start, a long one and a short one."""
    random = np.random.default_rng(1)
    start = random.normal(0, 0.3, SIZE)
    steps = [random.normal(0, scale, (6, SIZE)) for scale in (0.1, 0.02)]
    return [np.vstack([start, start + np.cumsum(step, axis=0)]).astype(np.float32) for step in steps]


def test_plane_has_the_directions_of_the_two_largest_singular_values(trajectories):
    plane = landscape.principal_plane(trajectories)
    movement = np.concatenate([path[1:].astype(float) - trajectories[0][0] for path in trajectories])
    _, _, right = np.linalg.svd(movement, full_matrices=False)
    assert np.abs(plane.directions @ right[:2].T) == pytest.approx(np.eye(2), abs=1e-6)


@pytest.mark.parametrize("points", [1, 2, 5])
def test_plane_of_a_trajectory_on_a_line_or_at_rest_is_finite(trajectories, points):
    start, direction = trajectories[0][0], np.eye(SIZE)[3]
    line = np.array([start + step * direction for step in range(points + 1)])
    plane = landscape.principal_plane([line])
    assert landscape.plane_coordinates(plane, line) == pytest.approx(
        np.array([[k, 0] for k in range(points + 1)]), abs=1e-6
    )
    rest = np.repeat(line[:1], points + 1, axis=0)
    assert (landscape.plane_coordinates(landscape.principal_plane([rest]), rest) == 0).all()


ACTIVATIONS = {
    "relu": lambda z: max(z, 0),
    "tanh": math.tanh,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "elu": lambda z: z if z > 0 else math.exp(z) - 1,
    "gelu": lambda z: z * (1 + math.erf(z / math.sqrt(2))) / 2,
    "silu": lambda z: z / (1 + math.exp(-z)),
}


def network_loss(weights, inputs, labels, activation) -> float:
    """Compute the cross-entropy image by image, from the definitions."""
    losses = []
    for values, label in zip(inputs, labels, strict=True):
        position = 0
        for place, (a, b) in enumerate(zip(WIDTHS, WIDTHS[1:], strict=False)):
            if place:
                values = [ACTIVATIONS[activation](value) for value in values]
            kernel = weights[position : position + a * b].reshape(a, b)
            values = values @ kernel + weights[position + a * b : position + a * b + b]
            position += (a + 1) * b
        losses.append(math.log(sum(math.exp(value) for value in values)) - values[label])
    return sum(losses) / len(losses)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_surface_is_the_loss_of_the_network_at_each_point(trajectories, activation):
    plane = landscape.principal_plane(trajectories)
    random = np.random.default_rng(2)
    images = Split(random.integers(0, 256, (4, 3, 4), np.uint8), random.integers(0, 3, 4))
    found = landscape.loss_surface(plane, FRAME, 3, images, WIDTHS, activation)
    inputs, (across, up) = images.images.reshape(4, 12) / 255, FRAME.grid(3)
    for row, column in np.ndindex(found.shape):
        weights = plane.origin + np.array([across[column], up[row]]) @ plane.directions
        assert found[row, column] == pytest.approx(network_loss(weights, inputs, images.labels, activation))


def test_every_activation_of_params_has_a_surface():
    from descent.config import ACTIVATIONS as accepted

    assert set(accepted) == set(landscape.ACTIVATION_FUNCTIONS) == set(ACTIVATIONS)


def test_excluded_models_are_projected_but_span_no_plane():
    random, widths = np.random.default_rng(3), (24, 3, 5)
    start = random.normal(0, 0.3, 24 * 3 + 3 + 3 * 5 + 5)
    steps = {
        name: random.normal(0, far, (4, 95)) for name, far in (("long", 1), ("short", 0.001), ("gone", 1e12))
    }
    paths = {
        name: (start + np.vstack([0 * start, *np.cumsum(step, axis=0)])).astype(np.float32)
        for name, step in steps.items()
    }
    projected, _ = landscape.study_landscape(paths, ["long", "short"], noise_dataset().train, widths, "relu")
    assert len(projected) == 3 * 5 and (projected[projected.epoch == 0][["x", "y"]] == 0).all(axis=None)
    last = projected[projected.epoch == 4].set_index("model").explained
    assert last["long"] > 0.5 > last["gone"]


def test_frame_contains_its_points_in_equal_units():
    points = np.array([[0, 0], [3, 1], [1, 8]])
    frame = frame_around(points)
    assert (points.min(axis=0) > (frame.left, frame.bottom)).all()
    assert (points.max(axis=0) < (frame.right, frame.top)).all()
    assert (frame.top - frame.bottom) / (frame.right - frame.left) == pytest.approx(ASPECT)


@pytest.mark.parametrize(
    "shape", [lambda x, y: np.exp(6 * y**2 + 2 * x**2), lambda x, y: 1 + np.cos(4 * np.hypot(x, y))]
)
def test_regions_cover_the_frame_once(shape):
    across, up = FRAME.grid(40)
    table = regions(FRAME, 0.1 + shape(*np.meshgrid(across, up)))
    areas = [
        abs(np.sum(c.x.to_numpy() * np.roll(c.y, -1) - c.y.to_numpy() * np.roll(c.x, -1))) / 2
        for _, c in table.groupby("region")
    ]
    assert sum(areas) == pytest.approx(4 * ASPECT, rel=1e-9) and table.loss.nunique() > 5


@pytest.mark.parametrize("height", [0.0, 1e-12, 1e-7])
def test_regions_of_an_almost_flat_surface_are_finite(height):
    across, up = FRAME.grid(8)
    table = regions(FRAME, 2.3 + height * np.add.outer(up, across))
    assert len(table) and np.isfinite(table.loss).all()


@pytest.mark.parametrize("loss", [[0.0, 60.0], [0.01, 60.0], [2.2, 2.3], [2.3, 2.3 + 1e-9]])
def test_levels_rise_strictly_between_lowest_and_highest(loss):
    found = [loss[0], *levels(np.array(loss)), loss[1]]
    assert all(a < b for a, b in zip(found, found[1:], strict=False))
