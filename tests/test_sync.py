"""`python -m stages.sync` against a real git and DVC repository and a real store: MLflow mirrors dvc.lock."""

import csv
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from stages import sync
from stages.core.mirror.store import EXPERIMENT
from tests import mirrored
from tests.mirrored import MODELS, current, current_report, parents

SEEDS = [0, 1]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A trained, committed repository; its database is made, and holds nothing."""
    project = mirrored.trained(tmp_path_factory.mktemp("template") / "project")
    MlflowClient(f"sqlite:///{project.folder}/mlflow.db").search_experiments()
    return project


@pytest.fixture(scope="module")
def mended(template, tmp_path_factory):
    """A copy with all that it holds in MLflow, for tests that leave it so."""
    copy = mirrored.copied(template, tmp_path_factory.mktemp("mended") / "project")
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(copy, monkeypatch)
        assert sync.sync(None, only_check=False) == 0
    return copy


@pytest.fixture
def synced(mended, monkeypatch, capsys):
    """The repository that agrees with MLflow, entered."""
    return enter(mended, monkeypatch)


@pytest.fixture
def project(template, tmp_path, monkeypatch, capsys):
    """A repository of the test's own that agrees with MLflow, entered."""
    copy = enter(mirrored.copied(template, tmp_path / "project"), monkeypatch)
    assert sync.sync(None, only_check=False) == 0
    capsys.readouterr()
    return copy


def enter(project, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it; this has it restored
    monkeypatch.chdir(project.folder)
    return project


def seeds_of(project, run):
    found = mirrored.runs(project, f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    return sorted(found, key=lambda run: int(run.data.tags["seed"]))


def database(project) -> dict[str, list]:
    """Every row of every table in which MLflow keeps runs."""
    tables = (
        "runs",
        "tags",
        "params",
        "metrics",
        "latest_metrics",
        "inputs",
        "logged_models",
        "model_versions",
        "experiments",
    )
    with sqlite3.connect(project.folder / "mlflow.db") as connection:
        return {table: sorted(map(repr, connection.execute(f"SELECT * FROM {table}"))) for table in tables}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_every_trained_model_has_one_finished_current_run_with_the_md5_of_dvc_lock(synced):
    for name in MODELS:
        run, outs = current(synced, name), synced.lock()[f"train@{name}"]["outs"]
        assert run.info.status == "FINISHED"
        assert (
            run.data.tags["dvc.md5"]
            == {out["path"]: out["md5"] for out in outs}[f"models/{name}/model.keras"]
        )
        assert run.data.tags["replayed"] == "true"
        assert sorted(int(seed.data.tags["seed"]) for seed in seeds_of(synced, run)) == SEEDS


def test_curves_and_metrics_are_those_of_the_files(synced):
    store = mirrored.client(synced)
    for name in MODELS:
        rows = list(csv.DictReader((synced.folder / f"models/{name}/history.csv").read_text().splitlines()))
        finals = json.loads((synced.folder / f"models/{name}/metrics.json").read_text())["seeds"]
        for run in seeds_of(synced, current(synced, name)):
            seed = run.data.tags["seed"]
            for key in ("train_loss", "validation_accuracy", "gradient_norm"):
                curve = {point.step: point.value for point in store.get_metric_history(run.info.run_id, key)}
                assert curve == {int(r["epoch"]): float(r[key]) for r in rows if r["seed"] == seed and r[key]}
            (final,) = [final for final in finals if str(final["seed"]) == seed]
            assert run.data.metrics["test_accuracy"] == final["test_accuracy"]
            assert run.data.metrics.get("test_loss") == final["test_loss"]


def test_a_models_run_has_all_that_is_needed_to_compare(synced):
    """By hand: 600 images in batches of 128 are five updates an epoch."""
    run, (head,) = current(synced, "baseline"), synced.run("git", "rev-parse", "HEAD").stdout.split()
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    expected = {
        "batch_size": "128",
        "effective_batch_size": "128",
        "updates_per_epoch": "5",
        "updates": "15",
        "optimizer": "sgd",
        "seeds": "0, 1",
    }
    assert expected.items() <= params.items()
    assert current(synced, "rate_100").data.params["learning_rate"] == "100.0"
    accuracies = [seed.data.metrics["test_accuracy"] for seed in seeds_of(synced, run)]
    assert metrics["test_accuracy_mean"] == pytest.approx(np.mean(accuracies))
    assert metrics["test_accuracy_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert metrics["seconds"] > 0 and metrics["images_per_second"] > 0
    told = {"studies": "batch_size", "dvc.stage": "train@baseline", "git.commit": head, "git.dirty": "false"}
    assert told.items() <= tags.items()
    timing = json.loads((synced.folder / "models/baseline/timing.json").read_text())
    assert tags["processor"] == timing["processor"]
    assert tags["version.keras"] == timing["versions"]["keras"]
    assert re.fullmatch(r"[A-Z].*\.", tags["mlflow.note.content"], re.DOTALL)


def test_a_models_run_has_its_data_and_its_pictures(synced):
    run = current(synced, "baseline")
    lock = {dep["path"]: dep["md5"] for dep in synced.lock()["train@baseline"]["deps"]}
    shown = {
        (tag.value, entry.dataset.digest)
        for entry in run.inputs.dataset_inputs
        for tag in entry.tags
        if tag.key == "mlflow.data.context"
    }
    assert shown == {(context, lock["data/arrays"]) for context in ("training", "validation", "test")}
    for name in ("curves.png", "confusion.png"):
        assert Path(run.info.artifact_uri, name).read_bytes().startswith(b"\x89PNG")


def test_the_reports_run_has_the_report_and_the_comparison(synced):
    for name in ("report.md", "comparison.csv"):
        logged = Path(current_report(synced).info.artifact_uri, name).read_bytes()
        assert logged == (synced.folder / "reports" / name).read_bytes()


def test_a_replayed_run_has_the_times_of_its_training(synced):
    for name in MODELS:
        timing = json.loads((synced.folder / f"models/{name}/timing.json").read_text())
        run = current(synced, name)
        assert in_utc(run.info.start_time) == timing["started"][:19]
        seconds = timing["seeds"][0]["compile_seconds"] + sum(timing["seeds"][0]["epoch_seconds"])
        assert (run.info.end_time - run.info.start_time) / 1000 == pytest.approx(seconds, abs=0.01)


def in_utc(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()[:19]


def test_a_diverged_model_shows_its_status_and_only_finite_numbers(synced):
    run = current(synced, "rate_100")
    assert run.data.tags["status"] == "diverged"
    with sqlite3.connect(synced.folder / "mlflow.db") as connection:
        assert connection.execute(
            "SELECT count(*) FROM metrics WHERE is_nan OR abs(value) > 1e300"
        ).fetchone() == (0,)
    for seed in seeds_of(synced, run):
        losses = mirrored.client(synced).get_metric_history(seed.info.run_id, "train_loss")
        assert [point.step for point in losses] == [0]
    assert "test_loss_mean" not in run.data.metrics


def test_runs_that_somebody_else_logged_into_the_experiment_are_left_alone(project, capsys):
    client = mirrored.client(project)
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    own = client.create_run(experiment, tags={"model": "baseline"}).info.run_id
    client.create_run(experiment, tags={"mlflow.parentRunId": own})
    client.set_terminated(own)
    assert sync.sync(None, only_check=True) == sync.sync(None, only_check=False) == 0
    assert "agrees with DVC already" in capsys.readouterr().out
    assert client.get_run(own).data.tags.get("state") is None


def test_a_second_sync_changes_nothing(synced, capsys):
    before = database(synced)
    assert sync.sync(None, only_check=False) == 0
    assert capsys.readouterr().out == "MLflow agrees with DVC already\n"
    assert database(synced) == before


def test_check_agrees_after_a_sync_and_changes_nothing(synced, capsys):
    before = database(synced)
    assert sync.sync(None, only_check=True) == 0
    assert capsys.readouterr().out == "MLflow agrees with DVC\n"
    assert database(synced) == before


def delete_run(project, store):
    store.delete_run(current(project, "baseline").info.run_id)


def delete_seed(project, store):
    store.delete_run(seeds_of(project, current(project, "baseline"))[0].info.run_id)


def add_a_value(project, store):
    store.log_metric(current(project, "baseline").info.run_id, "train_loss_mean", 0.0, step=1)


def drop_a_value(project, store):
    with sqlite3.connect(project.folder / "mlflow.db") as connection:
        run = seeds_of(project, current(project, "baseline"))[0].info.run_id
        connection.execute("DELETE FROM metrics WHERE run_uuid = ? AND key = 'distance' AND step = 2", [run])


def change_a_parameter(project, store):
    with sqlite3.connect(project.folder / "mlflow.db") as connection:
        run = current(project, "baseline").info.run_id
        connection.execute(
            "UPDATE params SET value = '9' WHERE run_uuid = ? AND key = 'learning_rate'", [run]
        )


def leave_running(project, store):
    store.update_run(current(project, "baseline").info.run_id, status="RUNNING")


def call_it_superseded(project, store):
    store.set_tag(current(project, "baseline").info.run_id, "state", "superseded")


def change_the_status(project, store):
    store.set_tag(current(project, "rate_100").info.run_id, "status", "learned")


def lose_the_artifacts(project, store):
    shutil.rmtree(project.folder / "mlartifacts")


def lose_the_alias(project, store):
    store.delete_registered_model_alias("mnist-digits", "champion")


def give_the_alias_to_another(project, store):
    another = store.create_model_version("mnist-digits", "nowhere", tags={"model": "rate_100"})
    store.set_registered_model_alias("mnist-digits", "champion", another.version)


def delete_the_report(project, store):
    store.delete_run(current_report(project).info.run_id)


def lose_the_reports_artifacts(project, store):
    shutil.rmtree(current_report(project).info.artifact_uri)


def flip_a_byte_of_a_reports_artifact(project, store):
    flip_a_byte(Path(current_report(project).info.artifact_uri, "report.md"))


def flip_a_byte_of_a_models_artifact(project, store):
    flip_a_byte(Path(current(project, "baseline").info.artifact_uri, "history.csv"))


def flip_a_byte_of_what_tells_a_models_files(project, store):
    flip_a_byte(Path(current(project, "baseline").info.artifact_uri, "files.json"))


def lose_a_picture(project, store):
    Path(current(project, "baseline").info.artifact_uri, "curves.png").unlink()


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def lose_a_dataset(project, store):
    with sqlite3.connect(project.folder / "mlflow.db") as connection:
        run = current(project, "baseline").info.run_id
        connection.execute(
            "DELETE FROM inputs WHERE rowid IN (SELECT rowid FROM inputs WHERE destination_id = ? "
            "AND source_type = 'DATASET' LIMIT 1)",
            [run],
        )


def lose_what_tells_how_to_load_the_model(project, store):
    (output,) = current(project, "batch_8").outputs.model_outputs
    Path(store.get_logged_model(output.model_id).artifact_location, "MLmodel").unlink()


def flip_a_byte_of_the_logged_model(project, store):
    (output,) = current(project, "batch_8").outputs.model_outputs
    flip_a_byte(Path(store.get_logged_model(output.model_id).artifact_location, "data/model.keras"))


BREAKAGES = {
    delete_run: "baseline",
    delete_seed: "baseline, seed 0",
    add_a_value: "baseline: train_loss_mean",
    drop_a_value: "baseline, seed 0: distance",
    change_a_parameter: "baseline: parameter learning_rate",
    leave_running: "baseline",
    call_it_superseded: "state",
    change_the_status: "rate_100 (diverged): tag status",
    lose_the_artifacts: "batch_8: model",
    lose_the_alias: "mnist-digits: champion",
    give_the_alias_to_another: "mnist-digits: champion",
    delete_the_report: "report",
    lose_the_reports_artifacts: "report",
    flip_a_byte_of_a_reports_artifact: "report.md changed",
    flip_a_byte_of_a_models_artifact: "history.csv changed",
    flip_a_byte_of_what_tells_a_models_files: "files.json changed",
    lose_a_picture: "curves.png missing",
    lose_a_dataset: "baseline: datasets",
    flip_a_byte_of_the_logged_model: "batch_8: model",
    lose_what_tells_how_to_load_the_model: "batch_8: model",
}


@pytest.mark.parametrize("breaks", BREAKAGES, ids=lambda function: function.__name__)
def test_what_is_wrong_in_mlflow_is_told_by_check_and_mended_by_sync(synced, capsys, breaks):
    breaks(synced, mirrored.client(synced))
    before = database(synced)
    assert sync.sync(None, only_check=True) == 1
    assert BREAKAGES[breaks] in capsys.readouterr().out
    assert database(synced) == before
    assert sync.sync(None, only_check=False) == 0
    assert sync.sync(None, only_check=True) == 0
    assert all(current(synced, name) for name in MODELS)


def test_a_changed_model_is_told_and_not_mirrored(project, capsys):
    (project.folder / "models/baseline/history.csv").write_text("seed,epoch\n")
    before = database(project)
    assert sync.sync(None, only_check=True) == 1
    assert "models/baseline/history.csv: is not what dvc.lock has" in capsys.readouterr().out
    assert sync.sync(None, only_check=False) == 1
    assert "`python -m stages.check`" in capsys.readouterr().err
    assert database(project) == before


def test_a_report_that_says_something_else_than_the_models_is_told(project, capsys):
    table = project.folder / "reports/comparison.csv"
    rows = list(csv.reader(table.read_text().splitlines()))
    rows[1][rows[0].index("test_loss_mean")] = "0.5"
    table.write_text("\n".join(",".join(row) for row in rows) + "\n")
    assert sync.sync(None, only_check=True) == 1
    out = capsys.readouterr().out
    assert "reports/comparison.csv: is not what dvc.lock has" in out
    assert "test_loss_mean  0.5 in the table" in out


def test_a_model_trained_again_with_the_same_bits_gets_a_new_current_run_and_no_new_version(project):
    before, store = current(project, "batch_8"), mirrored.client(project)
    keras = md5(project.folder / "models/batch_8/model.keras")
    project.environment["UNTRACKED"] = "1"
    project.run("dvc", "repro", "-q", "-f", "-s", "train@batch_8")
    assert md5(project.folder / "models/batch_8/model.keras") == keras
    assert sync.sync(None, only_check=False) == 0
    assert current(project, "batch_8").info.run_id != before.info.run_id
    assert store.get_run(before.info.run_id).data.tags["state"] == "superseded"
    assert {run.data.tags["state"] for run in seeds_of(project, before)} == {"superseded"}
    assert len(store.search_model_versions("name = 'mnist-digits'")) == 1
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "-q")
    assert sync.sync(None, only_check=False) == 0
    assert current(project, "batch_8").info.run_id == before.info.run_id


def test_a_lost_database_is_made_anew(project):
    for path in project.folder.glob("mlflow.db*"):
        path.unlink()
    told = project.run("python", "-m", "stages.sync", "--check", expect=1).stdout
    assert told.splitlines()[1].split(maxsplit=2)[:2] == ["experiment", EXPERIMENT]
    assert not list(project.folder.glob("mlflow.db*")), "a check makes nothing"
    assert "baseline: replayed" in project.run("python", "-m", "stages.sync").stdout
    assert project.run("python", "-m", "stages.sync", "--check").stdout == "MLflow agrees with DVC\n"


def test_a_deleted_experiment_is_told_by_a_check_and_restored_by_a_sync(project, capsys):
    client = mirrored.client(project)
    client.delete_experiment(client.get_experiment_by_name(EXPERIMENT).experiment_id)
    assert sync.sync(None, only_check=True) == 1
    assert client.get_experiment_by_name(EXPERIMENT).lifecycle_stage == "deleted"
    assert sync.sync(None, only_check=False) == 0
    assert client.get_experiment_by_name(EXPERIMENT).lifecycle_stage == "active"


@pytest.mark.slow
def test_a_sigkill_while_the_database_is_made_spoils_no_later_start(project):
    """Killed after more and more time, until one gets through; after each, the next may start afresh."""
    code = "from stages.core.mirror.store import open_store; open_store()"
    database, half_made = project.folder / "mlflow.db", project.folder / ".tmp-mlflow.db"
    caught = 0
    for path in project.folder.glob("mlflow.db*"):
        path.unlink()
    command = [sys.executable, "-c", code]
    while caught < 3 and not database.exists():
        with subprocess.Popen(command, cwd=project.folder, env=project.environment) as opening:
            while opening.poll() is None and size(half_made) < 20_000 * (caught + 1):
                time.sleep(0.002)
            caught += opening.poll() is None
            opening.kill()
    assert caught == 3 and not database.exists()
    assert "baseline: replayed" in project.run("python", "-m", "stages.sync").stdout
    assert project.run("python", "-m", "stages.sync", "--check").stdout == "MLflow agrees with DVC\n"


def size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def test_a_model_taken_out_of_params_is_superseded_and_not_deleted(project):
    before = current(project, "batch_8")
    project.edit(lambda params: params["models"].pop("batch_8"))
    project.edit(lambda params: params["studies"]["batch_size"]["models"].remove("batch_8"))
    sync.sync(None, only_check=False)
    assert mirrored.client(project).get_run(before.info.run_id).data.tags["state"] == "superseded"


def test_two_models_with_the_same_bytes_have_a_run_each(project):
    for path in ("model.keras", "replicates/seed_0.keras", "replicates/seed_1.keras"):
        shutil.copy(project.folder / "models/batch_8" / path, project.folder / "models/baseline" / path)
    project.run("dvc", "commit", "-q", "-f", "train@baseline")
    assert sync.sync(None, only_check=False) == 0
    tags = [current(project, name).data.tags for name in ("baseline", "batch_8")]
    assert tags[0]["dvc.md5"] == tags[1]["dvc.md5"]
    assert [tag["model"] for tag in tags] == ["baseline", "batch_8"]
    assert sync.sync(None, only_check=True) == 0


def test_the_settings_are_those_that_trained_even_if_params_yaml_has_changed_since(project):
    project.edit(lambda params: params["models"]["baseline"].update(learning_rate=0.5))
    assert sync.sync(None, only_check=True) == 0
    assert current(project, "baseline").data.params["learning_rate"] == "0.01"


def test_nothing_learned_means_no_champion(project, capsys):
    project.edit(lambda params: params.update(models={"rate_100": params["models"]["rate_100"]}))
    project.edit(lambda params: params["studies"]["batch_size"].update(models=["rate_100"]))
    sync.sync(None, only_check=False)
    assert "no champion" in capsys.readouterr().out
    assert mirrored.client(project).get_registered_model("mnist-digits").aliases == {}


@pytest.mark.slow
def test_a_fresh_clone_is_mirrored_after_dvc_pull_and_told_before(project, tmp_path, capsys, monkeypatch):
    project.run("dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "remote"))
    project.run("git", "commit", "-q", "-a", "-m", "Add a remote")
    project.run("dvc", "push", "-q")
    project.run("git", "clone", "-q", str(project.folder), str(tmp_path / "clone"))
    clone = mirrored.Project(tmp_path / "clone", tmp_path)
    enter(clone, monkeypatch)
    assert sync.sync(None, only_check=False) == 1
    assert "`dvc pull`" in capsys.readouterr().err
    clone.run("dvc", "pull", "-q")
    assert sync.sync(None, only_check=False) == 0
    assert sync.sync(None, only_check=True) == 0
    assert (
        current(clone, "baseline").data.tags["dvc.md5"] == current(project, "baseline").data.tags["dvc.md5"]
    )


@pytest.mark.slow
def test_another_commit_is_mirrored_beside_the_working_tree(project, capsys):
    first = project.run("git", "rev-parse", "HEAD").stdout.strip()
    project.environment["UNTRACKED"] = "1"
    project.edit(lambda params: params["models"]["batch_8"].update(learning_rate=0.05))
    project.run("dvc", "repro", "-q")
    mirrored.commit(project)
    assert sync.sync(None, only_check=False) == 0
    store = mirrored.client(project)
    for run in parents(project, "batch_8"):
        if run.data.params["learning_rate"] == "0.01":
            store.delete_run(run.info.run_id)
    assert sync.sync(None, only_check=True) == 0
    assert sync.sync(first, only_check=True) == 1
    assert sync.sync(first, only_check=False) == 0
    assert sync.sync(first, only_check=True) == 0
    old = [run for run in parents(project, "batch_8") if run.data.params["learning_rate"] == "0.01"]
    assert [run.data.tags["state"] for run in old] == ["superseded"]
    assert old[0].data.tags["git.commit"] == first
    assert len(parents(project, "baseline")) == 1  # the same in both
    assert sync.sync(None, only_check=True) == 0


def test_an_unknown_revision_is_told_in_a_line(synced, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sync", "--rev", "nowhere"])
    with pytest.raises(SystemExit, match="nowhere: unknown Git revision"):
        sync.main()


@pytest.mark.parametrize("content", ["", "schema: '2.0'\nstages:\n  repo"])
def test_a_lock_that_was_cut_short_is_told_and_supersedes_nothing(project, monkeypatch, content):
    before = database(project)
    (project.folder / "dvc.lock").write_text(content)
    monkeypatch.setattr("sys.argv", ["sync"])
    with pytest.raises(SystemExit, match="dvc.lock: is cut short; `python -m stages.check` tells"):
        sync.main()
    assert database(project) == before


def test_without_a_lock_there_is_one_line(project, monkeypatch):
    (project.folder / "dvc.lock").unlink()
    monkeypatch.setattr("sys.argv", ["sync"])
    with pytest.raises(SystemExit, match="`dvc repro` makes it"):
        sync.main()
