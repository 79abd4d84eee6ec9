"""Repositories that this project did not shape, with no `meta` at all and with some."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from dvc_mlflow import expected, views
from dvc_mlflow.repository import digest
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
    return local_path(run.info.artifact_uri)


def local_path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def test_get_started_with_meta(get_started, mirror):
    with open(get_started.folder / "dvc.yaml", "a") as file:
        file.write("")
    get_started.edit(
        "dvc.yaml",
        "    outs: [eval]\n",
        "    outs: [eval]\n    meta:\n      mlflow:\n        experiment: forest\n"
        "        names: {avg_prec.test: precision/test}\n        artifacts: [eval/plots]\n"
        "        tags: {owner: me}\n        description: How good the forest is.\n"
        "        datasets: [{path: data/split, name: Split}, {path: data/split/train.csv, name: Train}]\n",
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
    held = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
    split = get_started.folder / "data/split"
    listing = {path.name: digest(path) for path in split.iterdir()}
    folder = hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest()
    assert held == {"Split": folder[:8], "Train": listing["train.csv"][:8]}
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


def test_folders_that_mlflow_saved_are_models_and_the_least_metric_is_best(matrix, mirror):
    model = "out/${item.model}-${item.seed}/model"
    meta = f"{{file: '{model}', flavour: mlflow, register: scores, alias: least, best: {{metric: score, mode: min}}}}"
    with open(matrix.folder / "dvc.yaml", "a") as file:
        file.write(f"    outs: ['{model}']\n    meta: {{mlflow: {{curves: [], model: {meta}}}}}\n")
    with open(matrix.folder / "train.py", "a") as file:
        file.write("(folder / 'model').mkdir()\n(folder / 'model/MLmodel').write_text('flavors: {}\\n')\n")
    matrix.run("dvc", "repro", "-q")
    matrix.commit()
    assert "scores@least: version 1, train@small-0" in mirror("sync").splitlines()
    assert mirror("check") == AGREES
    reader = Reader(matrix.folder)
    logged = reader.stage("train@large-1").outputs.model_outputs[0].model_id
    (local_path(reader.client.get_logged_model(logged).artifact_location) / "MLmodel").unlink()
    assert mirror("check", expect=1) == "train@large-1  model changed or incomplete\n"


def test_equal_names_in_several_files_are_kept_apart(subfolders, mirror):
    assert sorted(mirror("sync").splitlines()) == [
        "prepare/dvc.yaml:prepare: logged", "train/dvc.yaml:train: logged",
    ]  # fmt: skip
    reader = Reader(subfolders.folder)
    run = reader.stage("train/dvc.yaml:train")
    assert run.data.params == {
        "rate": "0.1", "name": "first", "train/params.toml:rate": "0.2", "net.width": "8", "DEPTH": "3",
    }  # fmt: skip
    assert run.data.metrics == {
        "train.loss": 0.2, "test.loss": 0.4, "train.norm": 0.2, "test.norm": 0.4,
        "train.score": 0.2, "test.score": 0.4, "step": 1,
    }  # fmt: skip
    assert run.data.tags["train.kind"] == "train" and run.data.tags["test.kind"] == "test"
    assert reader.curve(run, "test.loss") == [(0, 1.0), (1, 0.4)], "DVCLive's name, as in its metrics.json"
    for name, path in (("scores.json", "train/train/scores.json"), ("train/test/scores.json",) * 2):
        kept = (subfolders.folder / path).read_bytes()
        assert (local(run) / name).read_bytes() == kept
    assert len(list(local(run).rglob("loss.tsv"))) == 2, "once each, though dvc.yaml names them twice"
    datasets = [one.dataset.name for one in run.inputs.dataset_inputs]
    assert datasets == ["data"], "a folder that DVC tracks in part"
    assert mirror("check") == AGREES


def test_files_of_a_dvc_yaml_in_a_subfolder_are_traced_to_its_commit(subfolders, mirror, monkeypatch):
    mirror("sync")
    head = subfolders.run("git", "rev-parse", "HEAD").stdout.strip()
    assert f"the working tree, {head}" in mirror("trace", "data/table.csv")
    shutil.rmtree(subfolders.folder / "data")
    run = Reader(subfolders.folder).stage("prepare/dvc.yaml:prepare").info.run_id
    (command,) = re.findall("get back *(.*)", mirror("trace", run[:8]))
    assert command == "dvc checkout prepare/dvc.yaml:prepare"
    monkeypatch.chdir("train")
    (command,) = re.findall("get back *(.*)", mirror("trace", run[:8]))
    subfolders.run("sh", "-c", f"cd train && {command}")
    assert (subfolders.folder / "data/table.csv").exists()
    subfolders.edit("params.yaml", "first", "second")
    subfolders.run("dvc", "repro", "-q", "-P")
    assert f"commit      {head}" in mirror("trace", run[:8])


def test_files_that_are_nowhere_leave_their_stage_out_of_each_revision(subfolders, mirror):
    for name in ("one", "two"):
        subfolders.run(
            "dvc", "exp", "run", "-q", "--temp", "-n", name, "-S", f"name={name}", "train/dvc.yaml"
        )
    subfolders.run("dvc", "remote", "add", "-d", "gone", str(subfolders.folder.parent / "gone"))
    for gone in (".dvc/cache", "train/live/plots"):
        shutil.rmtree(subfolders.folder / gone)
    said = mirror("sync", "--all-experiments", expect=1).splitlines()
    unusable = [line for line in said if not line.endswith("prepare: logged")]
    assert unusable[0].startswith("train/dvc.yaml:train: train/live/plots: is not here; `dvc checkout`, or ")
    assert (
        len(said) == 6
        and len(unusable) == 3
        and all("neither cache nor remote has it" in line for line in unusable[1:])
    )
    assert len(mirror("check", expect=1).splitlines()) == 1
    run = Reader(subfolders.folder).stage("prepare/dvc.yaml:prepare").info.run_id
    shutil.rmtree(subfolders.folder / "data")
    assert "get back    dvc pull prepare/dvc.yaml:prepare" in mirror("trace", run[:8])


def test_experiments_of_one_name_and_one_that_never_ran_keep_no_other_from_being_logged(plain, mirror):
    first, head = plain.run("git", "rev-list", "HEAD", "--reverse").stdout.split()
    plain.run("git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/unfinished", first)
    for words in ("one two", "one"):
        plain.write({"words.txt": words})
        plain.run("dvc", "exp", "run", "-q", "--temp", "-n", "same")
        plain.commit()
    said = mirror("sync", "--all-experiments", expect=1).splitlines()
    assert said.count("count: logged") == said.count("shout: logged") == 3
    assert f"{first[:12]}: no stage of its dvc.yaml is in its dvc.lock" in said
    names = sorted(run.info.run_name for run in Reader(plain.folder).stages("count"))
    assert names == ["count", "count [same]", "count [same]"]


def test_stages_without_params_are_shown(plain, mirror):
    assert mirror("sync").splitlines() == ["count: logged", "shout: logged"]
    run = Reader(plain.folder).stage("shout")
    assert run.data.params == {} and run.data.metrics == {}
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["count.txt"]
    assert mirror("sync") == "MLflow agrees with DVC already\n"


def test_a_file_with_nothing_but_a_number_is_a_metric_of_its_name(plain, mirror):
    plain.edit("dvc.yaml", "    outs: [count.txt]\n", "    metrics: [count.txt]\n")
    mirror("sync")
    assert Reader(plain.folder).stage("count").data.metrics == {"count": 3}


@pytest.mark.parametrize(
    "mapping, line",
    [("curves: {file: out/small-0/steps.tsv, step: epoch}", "steps.tsv: column 'epoch'; accepted: step, score"),
     ("curves: {file: out/small-0/steps.tsv, step: score}",
      "steps.tsv: column 'score': '0.1'; accepted: a whole number"),
     ("metrics: {file: out/small-0/metrics.yaml, per: {list: seeds, key: seed}}",
      "metrics.yaml: per; accepted: a list 'seeds' of objects that have 'seed'"),
     ("model: {file: out/small-0/steps.tsv, flavour: keras}", "steps.tsv: flavour keras; accepted: a .keras file"),
     ("model: {file: out/small-0/steps.tsv, flavour: mlflow}",
      "steps.tsv: flavour mlflow; accepted: a folder with the file MLmodel")],
)  # fmt: skip
def test_a_mapping_that_does_not_fit_its_file_is_one_line(matrix, mirror, mapping, line):
    with open(matrix.folder / "dvc.yaml", "a") as file:
        file.write(f"    meta: {{mlflow: {{{mapping}}}}}\n")
    said = mirror("sync", expect=1).splitlines()
    assert f"train@small-0: meta.mlflow: out/small-0/{line}" in said and len(said) == 4


@pytest.mark.parametrize(
    "mapping, line",
    [("artifacts: eval/metrix.json", "eval/metrix.json: is not there; eval has no such file, though dvc.yaml names it"),
     ("datasets: [{path: data/spilt, name: Split}]", "meta.mlflow: datasets: data/spilt: is not there, nor in an input"),
     ("datasets: [{path: words, name: Words}]", "meta.mlflow: datasets: words: is not there, nor in an input")],
)  # fmt: skip
def test_a_path_that_names_nothing_is_one_line(get_started, mirror, mapping, line):
    get_started.edit("dvc.yaml", "outs: [eval]\n", f"outs: [eval]\n    meta: {{mlflow: {{{mapping}}}}}\n")
    assert f"evaluate: {line}" in mirror("sync", expect=1)


def test_rows_and_steps_that_are_not_told_apart_are_named(example, mirror):
    example.edit("dvc.yaml", "params: [batch_size, learning_rate]", "params: batch_size")
    example.edit("dvc.yaml", "step: epoch, run_per: seed", "step: epoch")
    said = mirror("check", expect=1)
    assert "meta.mlflow: sweep.csv: params: 'batch_size=8' twice; accepted: columns that tell" in said
    assert "models/slow/history.csv: two values at epoch 0; accepted: one, or `run_per`" in said


def test_tables_of_any_content_stop_no_other_stage(plain, mirror):
    rows = {"endless": "inf,1", "unknown": "nan,1", "timeless": "1,nan", "wide": "%0140000d,1"}
    added = (
        f"  {name}:\n    cmd: printf 'epoch,loss\\n{row}\\n' > {name}.csv\n    plots: [{name}.csv]\n"
        for name, row in rows.items()
    )
    meta = "    meta: {mlflow: {curves: [], rows: {file: timeless.csv, params: epoch, seconds: loss}}}\n"
    plain.edit("dvc.yaml", "stages:\n", "stages:\n" + "".join(added))
    plain.edit("dvc.yaml", "plots: [timeless.csv]\n", "plots: [timeless.csv]\n" + meta)
    plain.run("dvc", "repro", "-q")
    said = mirror("sync", expect=1).splitlines()
    assert {"endless: logged", "unknown: logged", "timeless: logged with 1 child runs", "count: logged"} <= {
        *said
    }
    assert [line for line in said if "logged" not in line] == [
        "wide: its files cannot be read: Error('field larger than field limit (131072)')"
    ]


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
    assert error == (
        "dvc.yaml: stage count: meta.mlflow.artifacts.0: '../secret.txt'; accepted: a path within the repository"
    )


def test_outputs_that_fit_no_tag_are_traced_by_the_listing(plain, mirror, monkeypatch):
    monkeypatch.setattr(expected, "LONGEST_TAG", 10)
    mirror("sync")
    assert "dvc.outs" not in Reader(plain.folder).stage("count").data.tags
    assert "  count, finished, begun " in mirror("trace", "count.txt")


def test_files_of_any_name_are_brought_back_from_another_commit(plain, mirror):
    made = ["a 1/it's.txt", "b/it's.txt"]
    copies = " && ".join(f'cp words.txt "{path}"' for path in made)
    stage = f"  copy:\n    cmd: mkdir -p 'a 1' b && {copies}\n    deps: [words.txt]\n    outs: {json.dumps(made)}\n"
    plain.edit("dvc.yaml", "stages:\n", f"stages:\n{stage}")
    plain.run("dvc", "repro", "-q")
    plain.commit()
    mirror("sync")
    run = Reader(plain.folder).stage("copy").info.run_id
    plain.write({"words.txt": "other"})
    plain.run("dvc", "repro", "-q")
    (command,) = re.findall("get back *(.*)", mirror("trace", run[:8]))
    plain.run("sh", "-c", command)
    assert len([path for path in plain.folder.glob(f"{run[:8]}-*") if path.read_text() != "other"]) == 2


def test_what_neither_dvc_nor_mlflow_has_is_made_anew(plain, mirror):
    mirror("sync")
    for gone in (".dvc/cache/files", "count.txt"):
        path = plain.folder / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run = Reader(plain.folder).stage("count").info.run_id
    assert "neither DVC nor MLflow has them; `dvc repro count` makes them anew" in mirror("trace", run[:8])


def test_pages_open_on_the_experiment_where_no_view_is_saved(plain, mirror):
    reader = Reader(plain.folder)
    store = SimpleNamespace(client=reader.client)
    assert views.addresses(store, "http://host") == ["http://host/#/experiments"]
    mirror("sync")
    experiment = reader.client.get_experiment_by_name("project").experiment_id
    (page,) = views.addresses(store, "http://host")
    assert page.partition("?")[0] == f"http://host/#/experiments/{experiment}/runs"
