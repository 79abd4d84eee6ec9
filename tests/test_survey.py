"""A study's descents as tables: which models span the plane, what is left out, what the plane holds."""

import numpy as np
import pytest

from stages.core.report import survey
from stages.core.report.comparison import read_results
from tests.model_folders import make_params, write_project

COURSES = {"long": "learned", "short": "stalled", "lost": "diverged", "gone": "not finite"}


@pytest.fixture(scope="module")
def surveyed(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("surveyed")
    write_project(folder, make_params(COURSES), digits, COURSES)
    paths = {name: np.load(folder / "models" / name / "path.npy") for name in COURSES}
    results = read_results(make_params(COURSES), folder / "models")
    return lambda params: survey.survey(params, results, paths, digits.train)


@pytest.fixture(scope="module")
def tables(surveyed):
    return surveyed(make_params(COURSES))


def test_every_path_begins_at_the_middle_of_both_frames(tables):
    starts = tables[0][tables[0].epoch == 0]
    assert len(starts) == 2 * len(COURSES) and (starts[["x", "y"]] == 0).all(axis=None)


def test_a_path_too_short_to_be_seen_gets_a_frame_of_its_own(tables):
    widths = tables[1].groupby("frame").x.agg(np.ptp)
    assert widths[0] > 1000 * widths[1]
    ends = tables[0][(tables[0].frame == 1) & (tables[0].model == "short") & (tables[0].epoch == 4)]
    assert np.hypot(ends.x, ends.y).iloc[0] > widths[1] / 8


def test_the_plane_holds_most_of_what_spans_it_and_next_to_nothing_of_what_diverged(tables):
    last = tables[0][(tables[0].frame == 0) & (tables[0].epoch == 4)].set_index("model").held
    assert last["long"] > 0.5 > last["lost"] and np.isnan(last["gone"])
    assert tables[0].held.dropna().between(0, 1).all()


def test_models_that_diverged_span_no_plane(surveyed):
    study = {"lost_ones": {"question": "?", "models": ["lost", "gone"]}}
    ways, surface = surveyed(make_params(COURSES, studies=study))
    assert ways.empty and surface.empty and list(surface.columns) == list(survey.SURFACE)


def test_the_same_paths_give_the_same_tables(surveyed, tables):
    again = surveyed(make_params(COURSES))
    assert all(one.equals(other) for one, other in zip(tables, again, strict=True))
