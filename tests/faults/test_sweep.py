"""The stage `sweep` trains each run of its grid once, whatever happens; its table is the same to the byte."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from descent import paths, process, sweep
from descent.engine.settings import RunSettings
from descent.engine.training import TensorData, train_run
from descent.metrics import EPOCH_METRICS
from stages.sweep import main
from tests.support import dask_cluster, stage
from tests.support.images import write_arrays
from tests.support.small_disk import enlarge, small_disk
from tests.support.small_params import read_yaml, write_params, write_yaml
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow  # each sweep compiles a program per batch size

RUNS, PLANES = paths.SWEEP / "runs", paths.SWEEP / "planes"
GRID = {"batch_sizes": [16, "full"], "learning_rates": [1.0e-7, 0.1, 1000], "seeds": [3], "epochs": 2}
LONG = {"batch_sizes": [4, 32], "learning_rates": [0.01, 0.1], "seeds": [0, 1, 2, 3], "epochs": 60}
"""Sixteen runs that take a while."""


def write_grid(folder: Path, **grid) -> None:
    """Set the sweep's grid, and train nothing beyond it."""
    params = read_yaml(folder / "params.yaml")
    params["sweep"] = GRID | grid
    params["tuned"]["models"] = {}
    params["studies"].pop("tuned", None)
    write_yaml(folder / "params.yaml", params)


def finished(folder: Path) -> dict[str, bytes]:
    """Return each finished run's bytes by its file's name."""
    return {path.name: path.read_bytes() for path in sorted((folder / RUNS).glob("[0-9a-f]*.json"))}


def times_written(folder: Path) -> dict[str, int]:
    return {name: os.stat(folder / RUNS / name).st_mtime_ns for name in finished(folder)}


def trained_now(folder: Path) -> list[str]:
    """Return the runs that the last sweep trained."""
    return [run["run"] for run in json.loads((folder / paths.timing("sweep")).read_text())["runs"]]


def write_project(folder: Path, dataset, idx_folder: Path) -> None:
    write_params(folder, idx_folder)
    write_grid(folder)
    write_arrays(folder / paths.ARRAYS, dataset)


@pytest.fixture
def project(tmp_path, dataset, idx_folder, monkeypatch):
    write_project(tmp_path, dataset, idx_folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setattr(process, "end_with_parent", lambda: None)
    return tmp_path


def test_a_row_is_the_result_of_a_run_with_its_settings(project, dataset, capsys):
    main()
    assert "sweep: 6 runs, 6 of them trained now" in capsys.readouterr().out
    table = pd.read_csv(paths.SWEEP_TABLE)
    assert table.batch_size.tolist() == [16] * 3 + [600] * 3
    assert table.learning_rate.tolist() == [1e-7, 0.1, 1000] * 2
    assert table.status[0] == "stalled"
    settings = RunSettings(16, 0.1, "sgd", (), (128, 64), "relu", epochs=2, seed=3)
    alone, row = train_run(settings, TensorData(dataset)).history[-1], table.iloc[1]
    assert (row.optimizer, row.seed, row.epochs, row.updates) == ("sgd", 3, 2, 76)
    for metric in EPOCH_METRICS:
        assert np.float32(row[metric.key]) == np.float32(alone[metric.key])


def test_a_larger_grid_trains_its_new_runs_and_a_smaller_one_none(project):
    main()
    before, first = finished(project), pd.read_csv(paths.SWEEP_TABLE)
    write_grid(project, learning_rates=[1.0e-7, 0.1, 0.5, 1000], batch_sizes=["full", 16])
    main()
    assert len(trained_now(project)) == 2 and all("learning_rate 0.5," in run for run in trained_now(project))
    assert before.items() <= finished(project).items()
    write_grid(project)
    main()
    assert trained_now(project) == [] and finished(project) == before
    pd.testing.assert_frame_equal(pd.read_csv(paths.SWEEP_TABLE), first)


def test_another_engine_trains_all_runs_again_and_changes_no_byte_of_the_table(project, monkeypatch):
    write_grid(project, batch_sizes=["full"])
    main()
    table, runs = paths.SWEEP_TABLE.read_bytes(), finished(project)
    monkeypatch.setattr(sweep, "engine_digest", lambda: "another")
    main()
    assert len(trained_now(project)) == 3
    assert finished(project).keys() == runs.keys()
    assert all(b'"code": "another"' in content for content in finished(project).values())
    assert paths.SWEEP_TABLE.read_bytes() == table


def test_a_full_disk_is_one_line_and_finished_runs_are_not_trained_again(project):
    # A plane takes 1.3 MB of it, a run's file 8 kB.
    with small_disk(project / "data/sweep", kilobytes=1308) as folder:
        with pytest.raises(SystemExit) as caught:
            main()
        assert re.fullmatch(r"data/sweep/\S+: No space left on device", str(caught.value.code))
        before = set(finished(project))
        enlarge(folder)
        main()
        assert before and len(trained_now(project)) == 6 - len(before)


train_sweep_run = sweep.train_sweep_run


def fail_at_high_rates(settings, data, emit):
    if settings.learning_rate > 1:
        raise MemoryError("no room")
    return train_sweep_run(settings, data, emit)


def test_planes_are_computed_once_and_again_if_they_are_missing(project):
    write_grid(project, batch_sizes=["full"], seeds=[3, 4])
    main()
    planes = {path: path.read_bytes() for path in PLANES.iterdir()}
    assert len(planes) == 2
    table = paths.SWEEP_TABLE.read_bytes()
    for path in planes:
        path.write_bytes(b"truncated")
        break
    main()
    assert trained_now(project) == [] and paths.SWEEP_TABLE.read_bytes() == table
    assert {path: path.read_bytes() for path in PLANES.iterdir()} == planes


def test_a_run_keeps_its_trajectory_and_its_predictions(project, dataset):
    main()
    cache = sweep.open_cache(dataset)
    settings = RunSettings(16, 0.1, "sgd", (), (128, 64), "relu", epochs=2, seed=3)
    view, run = cache.load(settings).view, train_run(settings, TensorData(dataset))
    origin, *directions = cache.read_plane(settings).astype(float)
    points = (run.trajectory - origin.astype(np.float32)).astype(float) @ np.transpose(directions)
    np.testing.assert_allclose(view.trajectory, points, rtol=1e-4, atol=1e-5)
    rows = sweep.view_rows(len(dataset.test.labels))
    assert view.predicted[-1] == run.test_probabilities[rows].argmax(axis=1).tolist()
    np.testing.assert_allclose(view.percent[-1], 100 * run.test_probabilities[rows].max(axis=1), atol=0.51)


def test_a_failing_run_is_reported_with_its_settings_and_the_others_are_kept(project, monkeypatch, capsys):
    monkeypatch.setattr(sweep, "train_sweep_run", fail_at_high_rates)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == "sweep: 2 of 6 runs failed; the others are kept in data/sweep/runs"
    assert sorted(capsys.readouterr().err.splitlines()) == [
        f"batch_size {size}, learning_rate 1000, optimizer sgd, hidden_layers 128-64, activation relu, "
        "epochs 2, seed 3: MemoryError: no room"
        for size in (16, 600)
    ]
    assert len(finished(project)) == 4 and not paths.SWEEP_TABLE.exists()
    monkeypatch.setattr(sweep, "train_sweep_run", train_sweep_run)
    main()
    assert len(trained_now(project)) == 2


def wait_for_runs(folder: Path, driver: subprocess.Popen, count: int) -> None:
    wait_for(lambda: len(finished(folder)) >= count or driver.poll() is not None)
    assert driver.poll() is None, driver.stderr.read()


def test_a_killed_sweep_stops_at_once_and_continues_where_it_stopped(project):
    write_grid(project, **LONG)
    with stage.start(project, "sweep") as driver:
        wait_for_runs(project, driver, 2)
        driver.send_signal(signal.SIGTERM)
        out, err = driver.communicate()
    assert (driver.returncode, out, stage.without_tensorflow(err)) == (128 + signal.SIGTERM, "", "")
    before = times_written(project)
    assert 2 <= len(before) < 16, "the rest was not waited for"
    done = stage.run(project, "sweep")
    assert done.returncode == 0, done.stderr
    assert len(finished(project)) == 16 and len(trained_now(project)) == 16 - len(before)
    assert before.items() <= times_written(project).items()


@pytest.mark.timeout(600)
def test_a_killed_driver_and_a_killed_worker_lose_no_finished_run(
    project, dataset, idx_folder, tmp_path_factory, monkeypatch
):
    """Three real workers, of which one is killed, and the driver killed; then the bytes of one machine."""
    write_grid(project, **LONG)
    folder = tmp_path_factory.mktemp("cluster")
    with dask_cluster.running(folder, workers=3) as cluster:
        with stage.start(project, "sweep", DASK_SCHEDULER_ADDRESS=cluster.address) as driver:
            wait_for_runs(project, driver, 2)
            driver.kill()
            driver.communicate()
        before = times_written(project)
        assert 2 <= len(before) < 16
        with stage.start(project, "sweep", DASK_SCHEDULER_ADDRESS=cluster.address) as driver:
            wait_for_runs(project, driver, len(before) + 1)
            cluster.kill(cluster.processes[1])
            _, err = driver.communicate()
            assert driver.returncode == 0, err
    assert len(finished(project)) == 16 and len(trained_now(project)) == 16 - len(before)
    assert before.items() <= times_written(project).items()
    here = tmp_path_factory.mktemp("here")
    write_project(here, dataset, idx_folder)
    write_grid(here, **LONG)
    monkeypatch.chdir(here)
    main()
    assert finished(here) == finished(project)
    assert (here / paths.SWEEP_TABLE).read_bytes() == (project / paths.SWEEP_TABLE).read_bytes()
