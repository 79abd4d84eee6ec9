"""The plane of the paths against NumPy's singular values, the loss over it against the network itself."""

import numpy as np
import pytest

from stages.core.report import landscape, perceptron

WIDTHS = (12, 7, 5, 10)
SIZE = sum((a + 1) * b for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))


@pytest.fixture
def paths():
    random = np.random.default_rng(1)
    start = random.normal(0, 0.3, SIZE)
    steps = [random.normal(0, scale, (6, SIZE)) for scale in (0.1, 0.02)]
    return [np.vstack([start, start + np.cumsum(step, axis=0)]).astype(np.float32) for step in steps]


def test_the_plane_is_that_of_the_two_largest_singular_values(paths):
    plane = landscape.principal_plane(paths)
    movement = np.concatenate([path[1:].astype(float) - paths[0][0] for path in paths])
    _, _, right = np.linalg.svd(movement, full_matrices=False)
    assert np.abs(plane.directions @ right[:2].T) == pytest.approx(np.eye(2), abs=1e-6)


def test_the_directions_are_orthonormal(paths):
    directions = landscape.principal_plane(paths, equal=True).directions
    assert directions @ directions.T == pytest.approx(np.eye(2), abs=1e-9)


def test_measured_by_its_own_length_a_short_path_counts_as_much(paths):
    held = [
        np.linalg.norm(landscape.project(landscape.principal_plane(paths, equal), paths[1])[-1])
        for equal in (False, True)
    ]
    assert held[1] > held[0]


def test_paths_that_lie_in_a_plane_are_held_whole(paths):
    start, across, up = paths[0][0].astype(float), *np.eye(SIZE)[:2]
    path = np.array([start, start + 3 * across, start + 3 * across + 2 * up])
    plane = landscape.principal_plane([path])
    assert np.linalg.norm(landscape.project(plane, path), axis=1) == pytest.approx([0, 3, np.sqrt(13)])


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_surface_is_the_loss_of_the_network_at_each_point(paths, activation):
    plane = landscape.principal_plane(paths)
    random = np.random.default_rng(2)
    x, labels = random.random((8, 12)), random.integers(0, 10, 8)
    across, up = np.linspace(-1, 1, 3), np.linspace(-2, 2, 4)
    found = landscape.surface(plane, across, up, x, labels, WIDTHS, activation)
    for row, column in np.ndindex(found.shape):
        weights = plane.origin + across[column] * plane.directions[0] + up[row] * plane.directions[1]
        logits = perceptron.forward(perceptron.unflatten(weights, WIDTHS), x, activation)[-1]
        assert found[row, column] == pytest.approx(perceptron.cross_entropy(logits, labels))


def test_a_path_that_does_not_move_spans_no_nan(paths):
    still = np.repeat(paths[0][:1], 4, axis=0)
    assert np.isfinite(landscape.project(landscape.principal_plane([still]), still)).all()
