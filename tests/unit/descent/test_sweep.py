"""A finished run of the sweep is found again by all that determines it, and by nothing else."""

import math
import shutil

import numpy as np
import pytest

from descent import sweep
from descent.data import Split
from descent.engine.settings import RunSettings
from tests.support.runs import epoch

RUN = RunSettings(8, 0.1, "momentum", (("momentum", 0.9),), (128, 64), "relu", epochs=2, seed=0)
VIEW = sweep.RunView(
    [[0.0, 0.0], [1.5, -2.0], [None, None]], None, [[3, 1], [3, 2], [-1, -1]], [[9, 8], [50, 7], [0, 0]]
)
HISTORY = [epoch(0), epoch(1, train_loss=math.inf), epoch(2, train_loss=math.nan)]


@pytest.fixture
def cache(tmp_path, dataset):
    return sweep.open_cache(dataset, tmp_path)


def test_a_finished_run_is_read_with_null_for_numbers_that_are_not_finite(cache):
    assert cache.read(RUN) is None
    cache.write(RUN, HISTORY, VIEW)
    assert cache.read(RUN) == [epoch(0), epoch(1, train_loss=None), epoch(2, train_loss=None)]


CHANGES = {
    "batch_size": 16,
    "learning_rate": 0.2,
    "optimizer": "nesterov",
    "constants": (("momentum", 0.8),),
    "hidden_layers": (9,),
    "activation": "tanh",
    "epochs": 3,
    "seed": 1,
}


@pytest.mark.parametrize("field", RunSettings._fields)
def test_a_run_with_another_setting_is_another_file(cache, field):
    assert cache.path(RUN._replace(**{field: CHANGES[field]})) != cache.path(RUN)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_run_on_other_data_is_another_file(cache, dataset, split, part):
    arrays = getattr(dataset, split)._asdict()
    arrays[part] = arrays[part].copy()
    arrays[part].flat[0] ^= 1
    changed = dataset._replace(**{split: Split(**arrays)})
    assert sweep.open_cache(changed, cache.folder).path(RUN) != cache.path(RUN)


def test_a_run_does_not_depend_on_the_test_images(cache, dataset):
    changed = dataset._replace(test=dataset.validation)
    assert sweep.open_cache(changed, cache.folder).path(RUN) == cache.path(RUN)


@pytest.mark.parametrize("engine", ["code", "tensorflow", "keras", "numpy"])
def test_a_run_of_another_engine_is_trained_again_and_replaced(cache, engine):
    cache.write(RUN, HISTORY, VIEW)
    other = cache._replace(engine=cache.engine | {engine: "another"})
    assert other.read(RUN) is None
    other.write(RUN, HISTORY[:2], VIEW)
    assert len(other.read(RUN)) == 2 and cache.read(RUN) is None
    assert len(list(cache.runs.iterdir())) == 1


def test_a_view_is_read_as_it_was_written_whichever_engine_computed_it(cache):
    cache.write(RUN, HISTORY, VIEW)
    assert cache.load(RUN).view == VIEW
    assert cache._replace(engine={"code": "another"}).load(RUN).view == VIEW


def test_a_run_with_a_view_of_other_images_is_trained_again(cache, dataset):
    cache.write(RUN, HISTORY, VIEW)
    other = sweep.open_cache(dataset._replace(test=dataset.validation), cache.folder)
    assert other.read(RUN) is None and cache.read(RUN) is not None


def test_the_table_depends_neither_on_the_engine_nor_on_the_view(cache, tmp_path):
    other = cache._replace(engine={"code": "another"}, folder=tmp_path / "other")
    cache.write(RUN, HISTORY, VIEW)
    other.write(RUN, HISTORY, sweep.RunView([], None, [], []))
    tables = [sweep.table([RUN], each, 10).to_csv() for each in (cache, other)]
    assert tables[0] == tables[1]


def test_the_table_has_the_last_epoch_of_each_run_and_no_test_metric(cache):
    learned = [epoch(0, train_loss=2.0), epoch(1, train_loss=1.0), epoch(2, train_loss=0.5, distance=3.0)]
    cache.write(RUN, learned, VIEW)
    cache.write(RUN._replace(seed=1), HISTORY, VIEW)
    table = sweep.table([RUN._replace(seed=1), RUN], cache, 10)
    assert table.status.tolist() == ["diverged", "learned"]
    row = table.iloc[1]
    assert (row.batch_size, row.learning_rate, row.optimizer, row.seed, row.epochs) == (
        8,
        0.1,
        "momentum",
        0,
        2,
    )
    assert (row.updates, row.train_loss, row.distance) == (150, 0.5, 3.0)
    assert not [name for name in table if "test" in name], "the test images must not select anything"


def test_the_engine_digest_changes_with_the_code(tmp_path, monkeypatch):
    engine, before = tmp_path / "engine", sweep.engine_digest()
    shutil.copytree(sweep.ENGINE, engine)
    monkeypatch.setattr(sweep, "ENGINE", engine)
    assert sweep.engine_digest() == before
    path = engine / "training.py"
    path.write_text(path.read_text().replace("GRADIENT_IMAGES = 1_000", "GRADIENT_IMAGES = 999"))
    assert sweep.engine_digest() != before


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"history": []}', '{"history": [], "view": 3}'])
def test_a_damaged_run_is_trained_again(cache, content):
    cache.runs.mkdir()
    cache.path(RUN).write_text(content)
    assert cache.read(RUN) is None


def test_longest_first_sorts_by_the_number_of_updates():
    runs = [
        RUN._replace(batch_size=size, epochs=epochs) for size, epochs in [(600, 2), (16, 1), (8, 1), (16, 9)]
    ]
    order = [(run.batch_size, run.epochs) for run in sweep.longest_first(runs, 600)]
    assert order == [(16, 9), (8, 1), (16, 1), (600, 2)]


# Views


def test_the_plane_explains_most_of_the_movement():
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.normal(size=(50, 2)))[0].T
    points = np.array([[0, 0], [3, 1], [5, -1], [6, 0.5]])
    trajectory = (random.normal(size=50) + points @ directions).astype(np.float32)
    plane = sweep.plane_of(trajectory)
    np.testing.assert_allclose(plane[1:] @ plane[1:].T, np.eye(2), atol=1e-5)
    found, explained = sweep.project(plane, trajectory)
    assert explained == pytest.approx(1, abs=1e-4)
    distances = np.linalg.norm(np.array(found) - found[0], axis=1)
    np.testing.assert_allclose(distances, np.linalg.norm(points, axis=1), atol=1e-4)
    assert found[-1][0] > 0, "trajectories go to the right"


@pytest.mark.parametrize(
    "movement", [[0.0, 1.0], [0.0, 0.0, 0.0], [0.0, np.nan]], ids=["line", "none", "not finite"]
)
def test_a_trajectory_without_two_directions_has_zeros_for_the_missing_ones(movement):
    trajectory = np.outer(movement, [3.0, 4.0, 0.0]).astype(np.float32)
    plane = sweep.plane_of(trajectory)
    assert np.isfinite(plane).all() and not plane[2].any()
    assert plane[1].tolist() == pytest.approx([0.6, 0.8, 0] if movement == [0, 1] else [0, 0, 0])


def test_a_projection_has_no_coordinates_where_weights_are_not_finite():
    plane = np.eye(3, dtype=np.float32)[[2, 0, 1]]
    points, explained = sweep.project(plane, np.array([[0, 0, 1], [1, 2, 1], [np.inf, 0, 1]], np.float32))
    assert points == [[0, 0], [1, 2], [None, None]] and explained is None


def test_predictions_are_none_where_a_probability_is_nan():
    found = sweep.predictions([np.array([[0.25, 0.75], [np.nan, np.nan]], np.float32)])
    assert found == ([[1, -1]], [[75, 0]])


def test_weights_in_a_row_are_split_into_their_shapes():
    weights = [np.arange(6.0).reshape(2, 3), np.arange(3.0)]
    row = np.concatenate([array.ravel() for array in weights])
    for found, array in zip(sweep.layer_weights(row, weights), weights, strict=True):
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(("epochs", "count"), [(1, 2), (3, 4), (20, 21), (500, 21)])
def test_a_view_has_the_start_the_end_and_at_most_twenty_epochs(epochs, count):
    found = sweep.view_epochs(epochs)
    assert (found[0], found[-1], len(found)) == (0, epochs, count)


def test_planes_of_other_runs_are_removed(cache):
    (cache.folder / "planes/.ipynb_checkpoints").mkdir(parents=True)
    plane = np.eye(3, dtype=np.float32)
    for seed in (0, 1):
        cache.write_plane(RUN._replace(seed=seed), plane)
    cache.keep_only([RUN._replace(batch_size=3, learning_rate=7.0)])
    np.testing.assert_array_equal(cache.read_plane(RUN), plane)
    assert cache.read_plane(RUN._replace(seed=1)) is None
    path = cache.plane_path(RUN)
    assert path == cache.plane_path(RUN._replace(batch_size=9, optimizer="adam", constants=()))
    assert path != cache.plane_path(RUN._replace(hidden_layers=(3,)))
