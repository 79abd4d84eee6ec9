"""The frames of a map: what they hold, how their surface is cut into bands, where a path leaves them."""

import numpy as np
import pytest

from stages.core.report.frames import ASPECT, Frame, around, leaving, levels, regions

FRAME = Frame(-1, 1, -ASPECT, ASPECT)


def area(corners):
    x, y = corners.x.to_numpy(), corners.y.to_numpy()
    return abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2


def test_a_frame_holds_its_points_in_equal_units():
    points = np.array([[0, 0], [3, 1], [1, 8]])
    frame = around(points)
    assert (points.min(axis=0) > (frame.left, frame.bottom)).all()
    assert (points.max(axis=0) < (frame.right, frame.top)).all()
    assert (frame.top - frame.bottom) / (frame.right - frame.left) == pytest.approx(ASPECT)


def test_the_bands_cover_the_frame_once():
    across, up = FRAME.grid(24)
    loss = np.exp(np.add.outer(3 * up**2, across**2) * 2) + 0.1
    table = regions(FRAME, loss)
    covered = sum(area(corners) for _, corners in table.groupby("region"))
    assert covered == pytest.approx(4 * ASPECT, rel=1e-9)
    assert table.loss.nunique() > 5


def test_a_hill_inside_a_valley_is_cut_out_of_it():
    across, up = FRAME.grid(40)
    radius = np.sqrt(np.add.outer(up**2, across**2))
    table = regions(FRAME, 1 + np.cos(4 * radius))
    covered = sum(area(corners) for _, corners in table.groupby("region"))
    assert covered == pytest.approx(4 * ASPECT, rel=1e-9)


@pytest.mark.parametrize("height", [0.0, 1e-12, 1e-7])
def test_a_surface_that_is_all_but_flat_is_drawn(height):
    across, up = FRAME.grid(8)
    table = regions(FRAME, 2.3 + height * np.add.outer(up, across))
    assert np.isfinite(table.loss).all() and len(table)


def test_levels_rise_strictly_between_the_lowest_and_the_highest():
    for loss in ([0.01, 60.0], [2.2, 2.3], [2.3, 2.3 + 1e-9]):
        found = levels(np.array(loss))
        assert all(a < b for a, b in zip([loss[0], *found], [*found, loss[1]], strict=True))


@pytest.mark.parametrize(
    ("step", "edge"), [((1e22, 0), (1, 0)), ((0, -5), (0, -ASPECT)), ((-4, -4), (-ASPECT, -ASPECT))]
)
def test_a_leap_crosses_the_edge_in_its_direction(step, edge):
    assert leaving(FRAME, np.array([[0, 0], step]))[1] == pytest.approx(edge)


@pytest.mark.parametrize("step", [(0, 0), (np.inf, 0), (np.nan, 1)])
def test_a_leap_without_a_direction_crosses_no_edge(step):
    assert leaving(FRAME, np.array([[0, 0], step])) is None
