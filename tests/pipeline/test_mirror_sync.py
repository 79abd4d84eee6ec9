"""sync and check: idempotence, what they find and mend, states, the registry."""

import hashlib
import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from dvc_mlflow import views
from tests.pipeline.test_mirror_foreign import AGREES, local
from tests.support.dvc_repositories import MODELS
from tests.support.mlflow_reader import Reader

TABLES = ("runs", "tags", "params", "metrics", "latest_metrics", "inputs", "logged_models", "model_versions",
          "experiments", "experiment_tags", "registered_model_aliases")  # fmt: skip


def database(folder: Path) -> dict[str, list[str]]:
    """Every row of every table that matters."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        return {table: sorted(map(repr, connection.execute(f"SELECT * FROM {table}"))) for table in TABLES}


@pytest.fixture
def reader(synced):
    """The runs in the example's database."""
    return Reader(synced.folder)


def test_models_have_a_run_with_means_and_a_child_run_per_seed(reader):
    run = reader.stage("train@slow")
    assert run.data.params == {"rate": "0.1"}
    assert run.data.metrics["accuracy/validation_mean"] == pytest.approx((0.230769 + 0.565217) / 2)
    assert run.data.metrics["accuracy/validation_std"] == pytest.approx(0.236490, abs=1e-6)
    assert run.data.metrics["updates"] == 12
    assert run.data.tags["outcome"] == "learned" and run.data.tags["model"] == "slow"
    children = reader.children(run)
    assert sorted(children) == ["seed=0", "seed=1"]
    child = children["seed=1"]
    assert child.info.run_name == "train@slow, seed 1"
    assert child.data.params == {"rate": "0.1", "seed": "1"}
    assert reader.curve(child, "accuracy/validation") == [
        (0, 0.5),
        (1, 0.52381),
        (2, 0.545455),
        (3, 0.565217),
    ]
    assert reader.curve(child, "accuracy/test") == [(0, 0.282609)], "a final value is a bar at step 0"
    assert {"model", "outcome"} <= child.data.tags.keys()


def test_a_diverged_model_has_only_finite_numbers_and_no_misleading_mean(reader, synced):
    run = reader.stage("train@wild")
    assert run.data.tags["outcome"] == "diverged" and "loss_mean" not in run.data.metrics
    assert reader.curve(reader.children(run)["seed=0"], "loss") == [(0, 1.0)]
    with closing(sqlite3.connect(synced.folder / "mlflow.db")) as connection:
        assert connection.execute(
            "SELECT count(*) FROM metrics WHERE is_nan OR abs(value) > 1e300"
        ).fetchone() == (0,)


def test_rows_of_a_table_are_child_runs_with_canonical_parameters_and_real_durations(reader):
    children = reader.children(reader.stage("sweep"))
    assert len(children) == 9
    child = children["batch_size=8 learning_rate=1e-07"]
    assert child.info.run_name == "batch_size 8, learning_rate 1e-07"
    assert child.data.params == {"batch_size": "8", "learning_rate": "1e-07", "log10_learning_rate": "-7"}
    assert child.data.metrics == {"accuracy": pytest.approx(0.5)}
    assert child.data.tags["status"] == "learned"
    assert child.info.end_time - child.info.start_time == 2500
    assert "batch_size=full learning_rate=1" in children


def test_provenance_of_a_committed_tree(reader, synced):
    tags = reader.stage("train@fast").data.tags
    head = synced.run("git", "rev-parse", "HEAD").stdout.strip()
    assert tags["git.commit"] == tags["mlflow.source.git.commit"] == head
    assert (tags["git.branch"], tags["git.dirty"]) == ("main", "false")
    assert tags["mlflow.source.name"] == "dvc repro train@fast"
    assert not (local(reader.stage("train@fast")) / "uncommitted.diff").exists()


def test_datasets_have_a_name_and_the_digest_of_their_own_file(reader, synced):
    (one,) = reader.stage("train@fast").inputs.dataset_inputs
    assert one.dataset.name == "Training pixels"
    listing = synced.run("md5sum", "data/train.txt").stdout
    assert one.dataset.digest == listing[:8]
    assert [(tag.key, tag.value) for tag in one.tags] == [("mlflow.data.context", "training")]


def test_a_second_sync_and_a_check_change_nothing(synced, mirror):
    before = database(synced.folder)
    assert mirror("sync") == "MLflow agrees with DVC already\n"
    assert mirror("check") == AGREES
    assert database(synced.folder) == before


def test_the_best_model_that_meets_the_condition_bears_the_alias(reader):
    version = reader.client.get_model_version_by_alias("digits", "champion")
    assert version.tags["dvc.stage"] == "train@fast" and version.tags["outcome"] == "learned"
    assert len(reader.client.search_model_versions("name = 'digits'")) == 1
    assert reader.client.get_registered_model("digits").description == "Pixels in, probabilities out."


def test_the_logged_model_has_dvcs_bytes_and_the_interface_of_its_network(reader, synced):
    from mlflow.models import Model

    output = reader.stage("train@fast").outputs.model_outputs[-1]
    folder = Path(reader.client.get_logged_model(output.model_id).artifact_location.removeprefix("file://"))
    kept = (synced.folder / "models/fast/model.keras").read_bytes()
    assert (folder / "data/model.keras").read_bytes() == kept
    model = Model.load(str(folder))
    assert model.signature.outputs.inputs[0].shape == (-1, 10)
    assert model.signature.inputs is None and model.metadata == {"input": "Tensor('uint8', (-1, 28, 28))"}
    assert "keras==" in (folder / "requirements.txt").read_text()


def delete_run(reader):
    reader.client.delete_run(reader.stage("train@slow").info.run_id)


def delete_child(reader):
    reader.client.delete_run(reader.children(reader.stage("train@slow"))["seed=0"].info.run_id)


def add_value(reader):
    reader.client.log_metric(reader.stage("train@slow").info.run_id, "updates", 0.0, step=1)


def prolong_curve(reader):
    run = reader.children(reader.stage("train@slow"))["seed=1"]
    reader.client.log_metric(run.info.run_id, "loss", run.data.metrics["loss"], step=9)


def change_parameter(reader):
    reader.sql("UPDATE params SET value = '9' WHERE run_uuid = ?", reader.stage("train@slow").info.run_id)


def change_child(reader):
    reader.sql("UPDATE params SET value = '9' WHERE key = 'learning_rate' AND value = '0.1' AND run_uuid = ?",
               reader.children(reader.stage("sweep"))["batch_size=8 learning_rate=0.1"].info.run_id)  # fmt: skip


def leave_running(reader):
    reader.client.update_run(reader.stage("train@slow").info.run_id, status="RUNNING")


def call_it_stale(reader):
    reader.client.set_tag(reader.stage("train@slow").info.run_id, "in_dvc_lock", "no")


def change_word(reader):
    reader.client.set_tag(reader.stage("train@slow").info.run_id, "outcome", "learned?")


def lose_artifacts(reader):
    shutil.rmtree(reader.folder / "mlartifacts")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def flip_artifact(reader):
    flip(local(reader.stage("train@slow")) / "metrics.json")


def flip_listing(reader):
    flip(local(reader.stage("train@slow")) / "dvc.json")


def model_folder(reader, stage):
    output = reader.stage(stage).outputs.model_outputs[-1]
    return Path(reader.client.get_logged_model(output.model_id).artifact_location.removeprefix("file://"))


def flip_model(reader):
    flip(model_folder(reader, "train@fast") / "data/model.keras")


def lose_mlmodel(reader):
    (model_folder(reader, "train@fast") / "MLmodel").unlink()


def lose_dataset(reader):
    reader.sql("DELETE FROM inputs WHERE destination_id = ?", reader.stage("train@slow").info.run_id)


def lose_alias(reader):
    reader.client.delete_registered_model_alias("digits", "champion")


def give_alias_away(reader):
    other = reader.client.create_model_version("digits", "nowhere", tags={"dvc.stage": "train@wild"})
    reader.client.set_registered_model_alias("digits", "champion", other.version)


def delete_experiment(reader):
    reader.client.delete_experiment(reader.client.get_experiment_by_name("digits").experiment_id)


BREAKAGES = {
    delete_run: "train@slow", delete_child: "child run seed=0", add_value: "metric updates",
    prolong_curve: "child run seed=1", change_parameter: "parameter rate",
    change_child: "child run batch_size=8 learning_rate=0.1", leave_running: "train@slow",
    call_it_stale: "in_dvc_lock", change_word: "tag outcome", lose_artifacts: "metrics.json: missing",
    flip_artifact: "metrics.json: changed", flip_listing: "dvc.json: changed",
    flip_model: "model changed", lose_mlmodel: "model changed or incomplete",
    lose_dataset: "dataset Training pixels: missing", lose_alias: "digits@champion",
    give_alias_away: "digits@champion", delete_experiment: "train@fast",
}  # fmt: skip


@pytest.mark.parametrize("breaks", BREAKAGES, ids=lambda function: function.__name__)
def test_check_finds_what_is_wrong_and_sync_mends_it(synced, reader, mirror, breaks):
    breaks(reader)
    before = database(synced.folder)
    assert BREAKAGES[breaks] in mirror("check", expect=1)
    assert database(synced.folder) == before, "a check changes nothing"
    mirror("sync")
    assert mirror("check") == AGREES
    assert all(reader.stage(f"train@{name}") for name in MODELS)


def test_a_changed_output_is_named_and_not_mirrored(synced, mirror):
    (synced.folder / "models/slow/history.csv").write_text("seed,epoch\n")
    before = database(synced.folder)
    assert "models/slow/history.csv: is not what dvc.lock has; `dvc checkout`" in mirror("check", expect=1)
    assert "`dvc pull`" in mirror("sync", expect=1)
    assert database(synced.folder) == before


def test_a_model_trained_again_with_other_settings_makes_the_run_before_stale(synced, reader, mirror):
    before = reader.stage("train@slow")
    synced.edit("params.yaml", "rate: 0.1", "rate: 0.2")
    synced.run("dvc", "repro", "-q", MLFLOW_TRACKING_URI="sqlite:///elsewhere.db")
    mirror("sync")
    assert reader.stage("train@slow").data.params["rate"] == "0.2"
    stale = [before, *reader.children(before).values()]
    assert {reader.client.get_run(run.info.run_id).data.tags["in_dvc_lock"] for run in stale} == {"no"}
    synced.run("git", "checkout", "-q", ".")
    synced.run("dvc", "checkout", "-q")
    mirror("sync")
    assert reader.stage("train@slow").info.run_id == before.info.run_id


def test_an_uncommitted_tree_is_dirty_and_its_diff_is_an_artifact(synced, reader, mirror):
    for name in ("color.ui always", "diff.noprefix true"):
        synced.run("git", "config", *name.split())
    synced.edit("params.yaml", "rate: 0.1", "rate: 0.2")
    synced.run("dvc", "repro", "-q", MLFLOW_TRACKING_URI="sqlite:///elsewhere.db")
    mirror("sync")
    run = reader.stage("train@slow")
    assert run.data.tags["git.dirty"] == "true"
    diff = local(run) / "uncommitted.diff"
    assert "dvc.lock" not in diff.read_text() and "sweep.csv" not in diff.read_text()
    synced.run("git", "stash", "-q")
    synced.run("git", "apply", str(diff))
    assert "rate: 0.2" in (synced.folder / "params.yaml").read_text()


def test_an_alias_waits_for_the_commit_of_dvc_lock(synced, reader, mirror):
    synced.edit("params.yaml", "rate: 1.0", "rate: 2.0")
    synced.run("dvc", "repro", "-q", MLFLOW_TRACKING_URI="sqlite:///elsewhere.db")
    before = reader.client.get_model_version_by_alias("digits", "champion").version
    mirror("sync")
    assert reader.client.get_model_version_by_alias("digits", "champion").version == before
    assert mirror("check") == AGREES
    synced.commit()
    found = mirror("check", expect=1)
    assert re.fullmatch(r"digits@champion  version 1, train@fast; should be run \w{8}, train@fast\n", found)
    mirror("sync")
    assert reader.client.get_model_version_by_alias("digits", "champion").version != before


def test_a_model_of_other_data_takes_the_alias_only_when_asked_to(synced, reader, mirror):
    synced.write({"data.txt": "other pixels\n"})
    synced.edit("params.yaml", "rate: 1.0", "rate: 2.0")
    synced.run("dvc", "repro", "-q", MLFLOW_TRACKING_URI="sqlite:///elsewhere.db")
    synced.commit()
    before = reader.client.get_model_version_by_alias("digits", "champion").version
    assert "stays with version 1, train@fast: train@fast has other data" in mirror("sync")
    assert reader.client.get_model_version_by_alias("digits", "champion").version == before
    mirror("sync", "--move-alias")
    assert reader.client.get_model_version_by_alias("digits", "champion").version != before


@pytest.mark.parametrize("name, typo", [("metric: accuracy", "metric: acuracy"), ("{status: ", "{staus: ")])
def test_a_misspelled_rule_leaves_the_alias_where_it_is(synced, reader, mirror, name, typo):
    synced.edit("dvc.yaml", name, typo)
    synced.commit()
    wrong = "version 1, train@fast; best: no stage has " + ("acuracy" if "metric" in typo else "staus")
    assert wrong in mirror("check", expect=1)
    assert f"digits@champion: stays with {wrong}" in mirror("sync")
    assert reader.client.get_registered_model("digits").aliases == {"champion": 1}


def test_no_model_that_meets_the_condition_leaves_the_alias_with_nobody(synced, reader, mirror):
    synced.edit("params.yaml", "  slow:\n    rate: 0.1\n  fast:\n    rate: 1.0\n", "")
    synced.run("dvc", "repro", "-q")
    synced.commit()
    assert "digits@champion: nobody" in mirror("sync")
    assert reader.client.get_registered_model("digits").aliases == {}
    assert reader.stages("train@slow", "tags.in_dvc_lock = 'yes'") == []


def test_runs_of_others_in_the_experiment_are_left_alone(synced, reader, mirror):
    experiment = reader.client.get_experiment_by_name("digits").experiment_id
    theirs = reader.client.create_run(experiment, tags={"model": "slow"}).info.run_id
    assert mirror("check") == AGREES
    assert mirror("sync") == "MLflow agrees with DVC already\n"
    assert reader.client.get_run(theirs).info.status == "RUNNING"


def test_a_lost_database_is_made_anew_and_a_check_makes_none(synced):
    mirror = synced.mirror  # this process has the lost database open

    for path in synced.folder.glob("mlflow.db*"):
        path.unlink()
    for command in (["check"], ["trace", "dvc.lock"]):
        said = mirror(*command, expect=1).stderr
        assert (
            said == f"sqlite:///{synced.folder}/mlflow.db: there is no database; `dvc-mlflow sync` makes it\n"
        )
    assert not (synced.folder / "mlflow.db").exists()
    assert "train@slow: logged with 2 child runs" in mirror("sync").stdout
    assert mirror("check").stdout == AGREES


@pytest.mark.parametrize("content", ["", "schema: '2.0'\nstages:\n  repo", "<<<<<<< HEAD\n"])
def test_a_truncated_lock_is_one_line_and_makes_nothing_stale(synced, mirror, content):
    before = database(synced.folder)
    (synced.folder / "dvc.lock").write_text(content)
    said = mirror("sync", expect=1)
    assert said.count("\n") == 1 and said.startswith("dvc.lock: ")
    assert database(synced.folder) == before
    both = "i=$(git rev-parse HEAD:dvc.lock); git rm -q --cached dvc.lock; "
    both += "printf '100644 %s 2\tdvc.lock\n100644 %s 3\tdvc.lock\n' $i $i | git update-index --index-info"
    synced.run("sh", "-c", both)  # as in a merge, where `git checkout dvc.lock` fails
    synced.run(*re.findall("`(git checkout .+?)`", said)[0].split())
    assert mirror("check") == AGREES


def test_without_a_lock_there_is_one_line(synced, mirror):
    (synced.folder / "dvc.lock").unlink()
    assert mirror("sync", expect=1) == "dvc.lock: is not there; `dvc repro` makes it\n"
    (synced.folder / "dvc.yaml").write_text("")
    before = database(synced.folder)
    assert mirror("sync", expect=1).startswith("dvc.yaml: has no stage that MLflow could show; ")
    assert database(synced.folder) == before, "not all runs are marked as stale"


def test_another_revision_is_mirrored_beside_the_working_tree(synced, reader, mirror):
    first = synced.run("git", "rev-parse", "HEAD").stdout.strip()
    synced.edit("params.yaml", "rate: 0.1", "rate: 0.2")
    synced.run("dvc", "repro", "-q", MLFLOW_TRACKING_URI="sqlite:///elsewhere.db")
    synced.commit()
    mirror("sync")
    old = reader.stage("train@slow", "params.rate = '0.1'")
    reader.client.delete_run(old.info.run_id)
    assert mirror("check") == AGREES
    assert "train@slow" in mirror("check", "--rev", first, expect=1)
    assert mirror("sync", "--rev", first).splitlines() == ["train@slow: logged with 2 child runs"]
    assert mirror("check", "--rev", first) == AGREES
    again = reader.stage("train@slow", "params.rate = '0.1'")
    assert again.data.tags["in_dvc_lock"] == "no" and again.data.tags["git.commit"] == first
    assert len(reader.stages("train@fast")) == 1, "the same in both"
    assert mirror("check") == AGREES


def test_an_unknown_revision_is_one_line(synced, mirror):
    said = mirror("sync", "--rev", "nowhere", expect=1)
    assert said.startswith("nowhere: ") and said.count("\n") == 1


def test_experiments_are_logged_under_their_name(synced, reader, mirror):
    there = {"MLFLOW_TRACKING_URI": "sqlite:///elsewhere.db"}
    synced.run("dvc", "exp", "run", "-q", "--temp", "-n", "careful", "-S", "models.slow.rate=0.3", **there)
    assert mirror("sync", "--all-experiments").splitlines() == ["train@slow: logged with 2 child runs"]
    run = reader.stage("train@slow", "params.rate = '0.3'")
    assert run.info.run_name == "train@slow [careful]"
    assert run.data.tags["dvc.experiment"] == "careful" and run.data.tags["in_dvc_lock"] == "no"
    assert mirror("sync", "--all-experiments") == "MLflow agrees with DVC already\n"


def test_a_moved_repository_finds_and_keeps_its_artifacts(synced, mirror, monkeypatch, tmp_path):
    moved = tmp_path / "moved" / "project"
    moved.parent.mkdir()
    synced.folder.rename(moved)
    monkeypatch.chdir(moved)
    assert mirror("sync") == "MLflow agrees with DVC already\n"
    assert mirror("check") == AGREES
    assert not synced.folder.exists()
    reader = Reader(moved)
    assert local(reader.stage("train@slow")).is_relative_to(moved)


def test_views_are_saved_where_mlflow_looks_for_them(reader):
    import base64
    import zlib

    tags = reader.client.get_experiment_by_name("digits").tags
    (held,) = [json.loads(value) for key, value in tags.items() if key.startswith("mlflow.sharedViewState.")]
    state = json.loads(zlib.decompress(base64.b64decode(held["state"].removeprefix("deflate;"))))
    assert held["name"] == "Answers"
    experiment = reader.client.get_experiment_by_name("digits").experiment_id
    shared = {
        "older": "deflate;eJyrBQAAdgB5",
        "newer": '{"name": "Mine", "createdAt": 1, "updatedAt": 1, "state": "{}"}',
        "without charts": '{"name": "Plain", "createdAt": 2, "updatedAt": 2, "state": "deflate;eJyrrgUAAXUA+Q=="}',
    }
    for name, text in shared.items():  # by a person, on the page
        reader.client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{name}", text)
    plain, page = views.addresses(SimpleNamespace(client=reader.client), "http://host")
    assert plain.startswith("Plain: ") and "CHART" not in plain
    assert page.startswith("Answers: http://host/#/experiments/")
    key = hashlib.md5(b"Answers").hexdigest()
    assert page.endswith(f"&viewStateShareKey={key}&compareRunsMode=CHART")  # one of its charts is a line
    assert state["selectedColumns"] == ["params.`rate`", "metrics.`accuracy/validation`", "tags.`outcome`"]
    assert [chart["type"] for chart in state["compareRunCharts"]] == ["BAR", "LINE"]
