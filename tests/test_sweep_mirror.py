"""`python -m stages.sync` mirrors the sweep as well: each run of its table is in MLflow once, and current."""

import shutil
import sqlite3
import threading
import time

import pytest
from mlflow import MlflowClient

from stages import sync
from stages.core.mirror import sweep_mirror, sweep_record
from stages.core.mirror.store import open_store
from tests import mirrored, swept
from tests.mirrored import commit
from tests.test_sync import database, enter


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A trained, committed repository with a sweep of six runs, and all in MLflow but the sweep."""
    project = mirrored.trained(tmp_path_factory.mktemp("template") / "project")
    project.run("python", "-m", "stages.sync")
    swept.add_sweep(project)
    commit(project)
    return project


@pytest.fixture
def project(template, tmp_path, monkeypatch, capsys):
    """A copy of the test's own, entered."""
    return enter(mirrored.copied(template, tmp_path / "project"), monkeypatch)


def sweeps(project, state="current") -> dict[str, list]:
    """MLflow's finished runs of the sweep with this state, by the name of their file."""
    store = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = store.get_experiment_by_name(sweep_mirror.EXPERIMENT)
    condition = f"attributes.status = 'FINISHED' and tags.state = '{state}'"
    found: dict[str, list] = {}
    for run in store.search_runs([experiment.experiment_id], condition):
        found.setdefault(run.data.tags["sweep.run"], []).append(run)
    return found


def synced(capsys) -> str:
    """What a sync that succeeds says; --check has nothing to add after it."""
    capsys.readouterr()
    assert sync.sync(None, only_check=False) == 0
    said = capsys.readouterr().out
    assert sync.sync(None, only_check=True) == 0
    return said


def test_every_run_of_the_table_is_replayed_once_with_its_numbers(project, capsys):
    assert "sweep: 6 of 6 runs replayed from their files\n" in synced(capsys)
    found = sweeps(project)
    assert sorted(found) == sorted(sweep_record.read(project.folder))
    assert {len(runs) for runs in found.values()} == {1}
    ((diverged,), (learned,)) = found["a-8-100"], found["a-8-0.1"]
    assert (diverged.data.tags["status"], diverged.data.tags["replayed"]) == ("diverged", "true")
    store = mirrored.client(project)
    assert [p.step for p in store.get_metric_history(diverged.info.run_id, "train_loss")] == [0]
    curve = store.get_metric_history(learned.info.run_id, "train_loss")
    kept = swept._history(8, 0.1)
    assert {point.step: point.value for point in curve} == {row["epoch"]: row["train_loss"] for row in kept}
    assert learned.data.params["log2_batch_size"] == "3.0"


def test_a_second_sync_changes_nothing_of_the_sweep(project, capsys):
    synced(capsys)
    before = database(project)
    assert synced(capsys) == "MLflow agrees with DVC already\n"
    assert database(project) == before


def test_check_tells_how_many_runs_are_missing_and_changes_nothing(project, capsys):
    before = database(project)
    assert sync.sync(None, only_check=True) == 1
    assert "sweep  6 runs   0 of them" in capsys.readouterr().out
    assert database(project) == before
    synced(capsys)
    mirrored.client(project).delete_run(sweeps(project)["a-8-0.1"][0].info.run_id)
    assert sync.sync(None, only_check=True) == 1
    assert "sweep  6 runs   5 of them" in capsys.readouterr().out
    assert "sweep: 1 of 6 runs" in synced(capsys)


def another_value(store, run):
    store.log_metric(run.info.run_id, "validation_accuracy", 0.99, step=3)


def another_status(store, run):
    store.set_tag(run.info.run_id, "status", "learned")


def not_current(store, run):
    store.set_tag(run.info.run_id, "state", "superseded")


def not_finished(store, run):
    store.update_run(run.info.run_id, status="RUNNING")


@pytest.mark.parametrize(
    "breaks", [another_value, another_status, not_current, not_finished], ids=lambda f: f.__name__
)
def test_a_run_of_the_sweep_that_is_not_as_its_file_is_told_and_mended(project, capsys, breaks):
    synced(capsys)
    breaks(mirrored.client(project), sweeps(project)["a-8-100"][0])
    assert sync.sync(None, only_check=True) == 1
    synced(capsys)
    assert {name: len(runs) for name, runs in sweeps(project).items()} == dict.fromkeys(sweeps(project), 1)
    assert len(sweeps(project)) == 6


def test_runs_of_an_earlier_map_are_superseded_though_their_files_are_kept(project, capsys):
    synced(capsys)
    swept.write_sweep(project.folder, engine="b")
    project.run("dvc", "commit", "-q", "-f", "sweep")
    synced(capsys)
    assert {name[0] for name in sweeps(project)} == {"b"} and len(sweeps(project)) == 6
    assert {name[0] for name in sweeps(project, "superseded")} == {"a"}


def test_another_commits_map_is_mirrored_and_not_current(project, capsys):
    swept.write_sweep(project.folder, rates=(0.2,), engine="b")
    project.run("dvc", "commit", "-q", "-f", "sweep")
    synced(capsys)
    assert sync.sync("HEAD", only_check=False) == 0
    assert sync.sync("HEAD", only_check=True) == 0
    assert len(sweeps(project)) == 2 and len(sweeps(project, "superseded")) == 6
    assert sync.sync(None, only_check=True) == 0


def test_a_sweep_that_is_not_there_is_one_line_and_the_models_are_mirrored(project, capsys):
    shutil.rmtree(project.folder / "data/sweep")
    mirrored.client(project).delete_run(mirrored.runs(project, "tags.report = 'true'")[0].info.run_id)
    assert sync.sync(None, only_check=False) == 1
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert line.startswith("data/sweep/runs: is not what dvc.lock has; `dvc pull`")
    assert told.out == "report: replayed from its files\n"
    project.run("dvc", "checkout", "-q", "sweep")
    assert "sweep: 6 of 6 runs" in synced(capsys)


def test_two_syncs_at_once_leave_one_current_run_for_each(project, monkeypatch, capsys):
    """Both see an empty experiment, both log everything, and both settle what they then see."""
    wanted, together, looked = sweep_record.read(project.folder), threading.Barrier(2), sweep_mirror._showing

    def at_once(*arguments):
        found = looked(*arguments)
        together.wait(60)
        return found

    def one():
        sweep_mirror.log(store, wanted, {}, wanted)
        sweep_mirror.settle(store, wanted)

    store = open_store()
    sweep_mirror.at_own_experiment(store)
    monkeypatch.setattr(sweep_mirror, "_showing", at_once)
    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(runs) for runs in sweeps(project).values()] == [1] * 6
    assert [len(runs) for runs in sweeps(project, "superseded").values()] == [1] * 6


def test_fifty_four_runs_are_logged_within_seconds(project, capsys):
    swept.write_sweep(project.folder, sizes=range(1, 7), rates=[10.0**power for power in range(-7, 2)])
    wanted, store = sweep_record.read(project.folder), open_store()
    before = time.monotonic()
    assert sweep_mirror.log(store, wanted, {}, wanted) == 54
    assert time.monotonic() - before < 10  # 1.3 s on two cores
    with sqlite3.connect(project.folder / "mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone() == (0,)
