"""Repositories that this project did not shape, with no `meta` at all and with some."""

import json
from pathlib import Path
from types import SimpleNamespace

from dvc_mlflow import expected, views
from tests.support.mlflow_reader import Reader

AGREES = "MLflow agrees with DVC\n"


def test_get_started_without_meta_shows_every_stage_by_convention(get_started, mirror):
    said = mirror("sync")
    assert said.splitlines() == ["prepare: logged", "train: logged", "evaluate: logged"]
    reader = Reader(get_started.folder)
    assert reader.client.get_experiment_by_name("project")
    assert reader.stage("train").data.params == {"train.n_est": "50", "train.min_split": "0.01"}
    assert reader.stage("prepare").data.params == {"prepare.split": "0.2", "prepare.seed": "20170428"}
    run = reader.stage("evaluate")
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"avg_prec.train": 0.97, "avg_prec.test": 0.92, "loss": 0.5, "lr": 0.1}
    assert run.data.tags["verdict"] == "good"
    assert reader.curve(run, "loss") == [(0, 1.5), (1, 0.5)], "an infinity never reaches MLflow"
    assert mirror("check") == AGREES


def test_get_started_inputs_are_datasets_and_outputs_are_known_by_md5(get_started, mirror):
    mirror("sync")
    run = Reader(get_started.folder).stage("evaluate")
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["data", "model.pkl"]
    listing = json.loads((local(run) / "dvc.json").read_text())
    assert json.loads(run.data.tags["dvc.outs"]) == listing["outs"]
    assert listing["outs"]["eval"].endswith(".dir")
    files = sorted(
        path.relative_to(local(run)).as_posix() for path in local(run).rglob("*") if path.is_file()
    )
    assert files == ["dvc.json", "importance.png", "loss.csv", "metrics.json", "roc.json"]


def local(run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def test_get_started_with_meta(get_started, mirror):
    with open(get_started.folder / "dvc.yaml", "a") as file:
        file.write("")
    get_started.edit(
        "dvc.yaml",
        "    outs: [eval]\n",
        "    outs: [eval]\n    meta:\n      mlflow:\n        experiment: forest\n"
        "        names: {avg_prec.test: precision/test}\n        artifacts: [eval/plots]\n"
        "        tags: {owner: me}\n        description: How good the forest is.\n",
    )
    get_started.edit("dvc.yaml", "    outs: [data]\n", "    outs: [data]\n    meta: {mlflow: false}\n")
    assert mirror("sync").splitlines() == ["train: logged", "evaluate: logged"]
    reader = Reader(get_started.folder)
    run = reader.stage("evaluate")
    assert run.data.metrics["precision/test"] == 0.92
    assert (
        run.data.tags["owner"] == "me" and run.data.tags["mlflow.note.content"] == "How good the forest is."
    )
    assert run.info.experiment_id == reader.client.get_experiment_by_name("forest").experiment_id
    assert reader.stages("prepare") == []
    assert mirror("check") == AGREES


def test_matrix_without_meta_has_a_run_for_each_combination(matrix, mirror):
    assert len(mirror("sync").splitlines()) == 4
    reader = Reader(matrix.folder)
    run = reader.stage("train@small-1")
    assert run.data.params == {"models.small.width": "8"}
    assert reader.curve(run, "score") == [(0, 0.1), (10, 0.2)]
    assert run.data.tags["state"] == "fine"
    assert mirror("check") == AGREES


def test_matrix_with_meta_resolved_for_each_item(matrix, mirror):
    with open(matrix.folder / "dvc.yaml", "a") as file:
        file.write("    meta:\n      mlflow:\n        tags: {size: '${item.model}'}\n        curves: []\n")
    mirror("sync")
    run = Reader(matrix.folder).stage("train@large-0")
    assert run.data.tags["size"] == "large" and run.data.metrics == {"score": 0.5}


def test_stages_without_params_are_shown(plain, mirror):
    assert mirror("sync").splitlines() == ["count: logged", "shout: logged"]
    run = Reader(plain.folder).stage("shout")
    assert run.data.params == {} and run.data.metrics == {}
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["count.txt"]
    assert mirror("sync") == "MLflow agrees with DVC already\n"


def test_stages_without_params_with_meta(plain, mirror):
    plain.edit(
        "dvc.yaml",
        "    outs: [count.txt]\n",
        "    outs: [count.txt]\n    meta: {mlflow: {artifacts: count.txt}}\n",
    )
    mirror("sync")
    assert (local(Reader(plain.folder).stage("count")) / "count.txt").read_text().strip() == "3"


def test_a_path_out_of_the_repository_leaves_one_stage_out(plain, mirror):
    plain.edit(
        "dvc.yaml",
        "    outs: [count.txt]\n",
        "    outs: [count.txt]\n    meta: {mlflow: {artifacts: ../secret.txt}}\n",
    )
    logged, error = mirror("sync", expect=1).splitlines()
    assert logged == "shout: logged"
    assert error.endswith("stage count: meta.mlflow: '../secret.txt'; accepted: a path within the repository")


def test_outputs_that_fit_no_tag_are_traced_by_the_listing(plain, mirror, monkeypatch):
    monkeypatch.setattr(expected, "LONGEST_TAG", 10)
    mirror("sync")
    assert "dvc.outs" not in Reader(plain.folder).stage("count").data.tags
    assert "  count, finished, begun " in mirror("trace", "count.txt")


def test_pages_open_on_the_experiment_where_no_view_is_saved(plain, mirror):
    reader = Reader(plain.folder)
    store = SimpleNamespace(client=reader.client)
    assert views.address(store, "http://host") == "http://host/#/experiments"
    mirror("sync")
    experiment = reader.client.get_experiment_by_name("project").experiment_id
    assert (
        views.address(store, "http://host").partition("?")[0]
        == f"http://host/#/experiments/{experiment}/runs"
    )
