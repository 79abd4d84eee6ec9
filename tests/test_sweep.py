"""The sweep trains each run of the map once, whatever happens; its table is the same to the byte."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from distributed import Client
from small_disk import enlarge, small_disk

from stages import sweep
from stages.core import outcome, process
from stages.core.engine import descent
from stages.core.engine.tensors import Tensors
from stages.core.mirror import store, sweep_mirror
from stages.core.params import Sweep
from stages.core.report import sweep_map
from stages.core.report.comparison import read_table
from stages.core.settings import Model
from tests import dask_cluster

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's, of SQLAlchemy and itself

ROOT = Path(__file__).parent.parent
GRID = {"batch_sizes": [16, "full"], "learning_rates": [1.0e-7, 0.1, 1000], "seeds": [3], "epochs": 2}


def write_project(folder: Path, digits, grid: dict) -> None:
    """The arrays of the small digits, and the project's parameters with this grid."""
    (folder / "data" / "arrays").mkdir(parents=True)
    for name, split in digits._asdict().items():
        np.save(folder / "data" / "arrays" / f"{name}_images.npy", split.images)
        np.save(folder / "data" / "arrays" / f"{name}_labels.npy", split.labels)
    write_grid(folder, grid)


def write_grid(folder: Path, grid: dict) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["preprocess"] |= {"training_images": 600, "validation_images": 200}
    (folder / "params.yaml").write_text(yaml.safe_dump(params | {"sweep": grid}))


def kept(folder: Path) -> dict[str, bytes]:
    """The finished runs: each file's bytes by its name."""
    runs = folder / "data" / "sweep" / "runs"
    return {path.name: path.read_bytes() for path in sorted(runs.glob("[0-9a-f]*.json"))}


def trained_now(folder: Path) -> list[str]:
    """The runs that the last sweep trained."""
    return [run["run"] for run in json.loads((folder / "data/sweep/timing.json").read_text())["runs"]]


@pytest.fixture
def project(tmp_path, digits, monkeypatch):
    (tmp_path / ".git").mkdir()
    write_project(tmp_path, digits, GRID)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr(process, "end_with_parent", lambda: None)
    return tmp_path


def test_a_row_is_what_a_descent_with_its_settings_comes_to(project, digits, capsys):
    sweep.main()
    assert "6 runs, 6 of them trained now" in capsys.readouterr().out
    table = read_table(project / "reports" / "sweep.csv")
    assert table.batch_size.tolist() == [16] * 3 + [600] * 3
    assert table.learning_rate.tolist() == [1e-7, 0.1, 1000] * 2
    row = table.iloc[1]
    alone = descent.descend(Model(batch_size=16, learning_rate=0.1), 2, 3, Tensors(digits)).history
    assert (row.optimizer, row.seed, row.epochs, row.updates) == ("sgd", 3, 2, 76)
    for name in sweep_map.FINALS:
        assert np.float32(row[name]) == np.float32(getattr(alone[-1], name))
    assert row.status == outcome.status([epoch.train_loss for epoch in alone])
    assert table.status[0] == "stalled"
    assert not [name for name in table if "test" in name], "the test images are not there to choose by"


def test_a_grown_map_trains_what_is_new_and_a_shrunken_one_nothing(project, capsys):
    sweep.main()
    before = kept(project)
    write_grid(project, GRID | {"learning_rates": [1.0e-7, 0.1, 0.5, 1000], "batch_sizes": ["full", 16]})
    sweep.main()
    assert sorted(trained_now(project)) == [
        f"batch_size {size}, learning_rate 0.5, epochs 2, seed 3" for size in (16, "full")
    ]
    assert before.items() <= kept(project).items()
    write_grid(project, GRID)
    first = read_table("reports/sweep.csv")
    sweep.main()
    assert trained_now(project) == []
    table = read_table("reports/sweep.csv")
    shared = first.merge(table, how="inner")
    assert len(shared) == len(table) == 6


def test_the_order_of_execution_changes_no_byte(project, monkeypatch):
    sweep.main()
    table, runs = Path("reports/sweep.csv").read_bytes(), kept(project)
    shutil.rmtree("data/sweep")
    monkeypatch.setattr(sweep_map, "longest_first", lambda runs, images: runs[::-1])
    monkeypatch.setattr(sweep.cluster, "processors", lambda: 4)
    sweep.main()
    assert Path("reports/sweep.csv").read_bytes() == table
    assert kept(project) == runs


def logged(state: str = "current") -> list:
    """MLflow's finished runs of the sweep."""
    client = store.open_store().client
    experiment = client.get_experiment_by_name(sweep_mirror.EXPERIMENT)
    condition = f"tags.state = '{state}' and attributes.status = 'FINISHED'"
    return list(client.search_runs([experiment.experiment_id], condition))


def test_mlflow_shows_each_run_of_the_map_once(project):
    sweep.main()
    table = read_table("reports/sweep.csv").set_index("learning_rate").query("batch_size == 16")
    of_16 = [run for run in logged() if run.data.params["batch_size"] == "16"]
    shown = {float(run.data.params["learning_rate"]): run for run in of_16}
    assert len(logged()) == 6
    assert shown[0.1].data.metrics["validation_accuracy"] == table.validation_accuracy[0.1]
    assert shown[0.1].data.params["log2_batch_size"] == "4.0"
    assert shown[1e-7].data.params["log10_learning_rate"] == "-7.0"
    assert {rate: run.data.tags["status"] for rate, run in shown.items()} == dict(table.status)
    first = {run.info.run_id for run in logged()}
    write_grid(project, GRID | {"learning_rates": [0.1, 0.5]})
    sweep.main()
    assert len(logged()) == 4 and len(logged("superseded")) == 4
    write_grid(project, GRID)
    sweep.main()
    assert {run.info.run_id for run in logged()} == first


def test_a_store_that_cannot_be_used_costs_one_line_and_no_run(project, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    sweep.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: not logged to MLflow: ") and line.endswith(sweep_mirror.REMEDY)
    assert len(read_table("reports/sweep.csv")) == 6


course = sweep_map.course


def failing_at_high_rates(run, digits, emit):
    if run.settings.learning_rate > 1:
        raise MemoryError("no room")
    return course(run, digits, emit)


def test_a_full_disk_is_one_line_and_what_was_kept_is_not_trained_again(project, capsys):
    with small_disk(project / "data/sweep", kilobytes=16) as folder:  # a run's file takes 4 kB of it
        with pytest.raises(SystemExit) as caught:
            sweep.main()
        assert re.fullmatch(r"data/sweep/\S+: No space left on device", str(caught.value.code))
        before = set(kept(project))
        enlarge(folder)
        sweep.main()
        assert before and len(trained_now(project)) == 6 - len(before)


def test_a_run_that_fails_is_told_with_its_settings_and_the_others_are_kept(project, monkeypatch, capsys):
    monkeypatch.setattr(sweep_map, "course", failing_at_high_rates)
    with pytest.raises(SystemExit) as error:
        sweep.main()
    assert error.value.code == "sweep: 2 of 6 runs failed; the others are kept in data/sweep/runs"
    assert sorted(capsys.readouterr().err.splitlines()) == [
        f"batch_size {size}, learning_rate 1000.0, epochs 2, seed 3: MemoryError: no room"
        for size in (16, "full")
    ]
    assert len(kept(project)) == 4 and not Path("reports/sweep.csv").exists()
    monkeypatch.setattr(sweep_map, "course", course)
    sweep.main()
    assert len(trained_now(project)) == 2


def test_an_unreachable_scheduler_is_one_line_and_nothing_starts(project, monkeypatch):
    monkeypatch.setattr(sweep.cluster, "SECONDS_TO_CONNECT", 1)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:1")
    with pytest.raises(SystemExit) as error:
        sweep.main()
    assert error.value.code.startswith("DASK_SCHEDULER_ADDRESS: no Dask scheduler at tcp://127.0.0.1:1")
    assert not kept(project)


@pytest.mark.slow
def test_the_stage_that_is_killed_stops_at_once_and_goes_on_where_it_stopped(project):
    write_grid(project, LONG)
    with started(project) as driver:
        wait_for_runs(project, driver, 2)
        began = time.monotonic()
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(timeout=60) == 128 + signal.SIGTERM
        assert time.monotonic() - began < 5
        assert driver.stderr.read() == driver.stdout.read() == ""
    assert_goes_on(project)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_worker_and_a_killed_driver_cost_nothing_that_was_finished(
    project, digits, tmp_path_factory, monkeypatch
):
    """Three real workers, one of them killed; the driver killed; then the same bytes as on one machine."""
    write_grid(project, LONG)
    folder = tmp_path_factory.mktemp("cluster")
    with dask_cluster.running(folder, workers=3) as cluster:
        with started(project, DASK_SCHEDULER_ADDRESS=cluster.address) as driver:
            wait_for_runs(project, driver, 2)
            assert len(shipments(cluster)) == 1
            driver.kill()
            driver.wait()
        (left,), before = shipments(cluster), modified(project)
        assert 2 <= len(before) < 16
        with started(project, DASK_SCHEDULER_ADDRESS=cluster.address) as driver:
            wait_for_runs(project, driver, len(before) + 1)
            assert left not in shipments(cluster)
            cluster.kill(cluster.processes[1])
            assert driver.wait(timeout=200) == 0, driver.stderr.read()
    assert len(kept(project)) == 16 and len(trained_now(project)) == 16 - len(before)
    assert before.items() <= modified(project).items()
    here = tmp_path_factory.mktemp("here")
    write_project(here, digits, LONG)
    monkeypatch.chdir(here)
    sweep.main()
    assert kept(here) == kept(project)
    assert (here / "reports/sweep.csv").read_bytes() == (project / "reports/sweep.csv").read_bytes()


def shipments(cluster: dask_cluster.Cluster) -> list[str]:
    """What drivers have sent to the cluster and it still holds."""

    def held(dask_scheduler) -> list[str]:
        return [name for name in dask_scheduler.worker_plugins if name.startswith("shipment/")]

    with Client(cluster.address, set_as_default=False) as client:
        return client.run_on_scheduler(held)


LONG = {"batch_sizes": [4, 32], "learning_rates": [0.01, 0.1], "seeds": [0, 1, 2, 3], "epochs": 20}


@contextmanager
def started(folder: Path, **environment: str):
    """`python -m stages.sweep` in a process of its own."""
    driver = subprocess.Popen(
        [sys.executable, "-m", "stages.sweep"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,  # MLFLOW_TRACKING_URI is the project's
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield driver
    finally:
        driver.kill()
        driver.communicate()


def wait_for_runs(folder: Path, driver: subprocess.Popen, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(kept(folder)) < count:
        assert driver.poll() is None, driver.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def modified(folder: Path) -> dict[str, int]:
    """When each finished run was written."""
    return {name: os.stat(folder / "data/sweep/runs" / name).st_mtime_ns for name in kept(folder)}


def assert_goes_on(folder: Path) -> None:
    before = modified(folder)
    assert 2 <= len(before) < 16
    with started(folder) as driver:
        assert driver.wait(timeout=200) == 0, driver.stderr.read()
    assert len(kept(folder)) == 16 and len(trained_now(folder)) == 16 - len(before)
    assert before.items() <= modified(folder).items()


def test_every_combination_is_a_run_once():
    grid = Sweep(**GRID | {"seeds": [0, 1], "optimizers": ["sgd", "adam"]})
    runs = sweep_map.combinations(grid)
    assert len(runs) == len(set(runs)) == 2 * 3 * 2 * 2


def test_the_longest_runs_start_first():
    runs = sweep_map.combinations(Sweep(**GRID | {"batch_sizes": ["full", 16, 8]}))
    assert [run.settings.batch_size for run in sweep_map.longest_first(runs, 600)] == [8] * 3 + [16] * 3 + [
        "full"
    ] * 3
