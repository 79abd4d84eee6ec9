"""The pipeline through the real dvc, from nothing to the sweep's table, and what people type after it."""

import json

import pandas as pd
import pytest
import yaml

from tests.support.project import Project
from tests.support.small_params import ROOT, checksums

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # one run of the pipeline; then dvc's own seconds
MODELS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["models"])
TARGETS = ("train", "sweep")


@pytest.fixture
def params(project) -> Project:
    """The project with parameters that may be edited: they are as before when the test ends."""
    before = (project.folder / "params.yaml").read_text()
    yield project
    (project.folder / "params.yaml").write_text(before)


def trainings(*models: str) -> set[str]:
    return {f"train@{model}" for model in models}


def test_the_raw_files_are_those_of_the_source(project, idx_folder):
    found = checksums(project.folder / "data/raw")
    assert found.pop("dataset.json") and found == checksums(idx_folder)


def test_tuned_models_are_trained_at_the_best_rates_of_the_sweep(project):
    sweep = pd.read_csv(project.folder / "reports/sweep.csv")
    best = sweep.sort_values("validation_accuracy").groupby("batch_size").learning_rate.last()
    runs = pd.read_csv(project.folder / "models/tuned/runs.csv")
    assert runs[["model", "batch_size", "learning_rate", "optimizer", "seed"]].values.tolist() == [
        ["tuned_128", 128, best[128], "sgd", 0],
        ["tuned_full", 600, best[600], "sgd", 0],
    ]
    history = pd.read_csv(project.folder / "models/tuned/history.csv")
    assert history.groupby("model").epoch.max().to_dict() == {"tuned_128": 2, "tuned_full": 2}
    comparison = pd.read_csv(project.folder / "reports/comparison.csv").query("study == 'tuned'")
    assert comparison[["model", "learning_rate", "seeds"]].values.tolist() == [
        ["tuned_128", best[128], 1],
        ["tuned_full", best[600], 1],
    ]


def test_without_a_change_nothing_runs(project):
    assert project.stages_due(*TARGETS) == []
    assert "up to date" in project.run("dvc", "status", *TARGETS).stdout
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_a_new_model_is_trained_alone(params):
    params.edit(lambda p: p["models"].update(batch_16={"batch_size": 16, "learning_rate": 0.01}))
    assert set(params.stages_due(*TARGETS)) == trainings("batch_16")


def test_more_epochs_train_every_model_on_the_same_arrays(params):
    params.edit(lambda p: p["train"].update(epochs=3))
    assert set(params.stages_due(*TARGETS)) == trainings(*MODELS)


def test_a_larger_grid_makes_the_sweep_alone_stale(params):
    params.edit(lambda p: p["sweep"].update(learning_rates=[0.01, 0.1, 1]))
    assert params.stages_due(*TARGETS) == ["sweep"]


def test_a_larger_grid_with_the_same_best_rates_trains_no_tuned_model(params):
    params.edit(lambda p: p["sweep"].update(learning_rates=[1.0e-9, 0.01, 0.1]))
    assert "Stage 'tune' didn't change" in params.run("dvc", "repro", "tune").stdout
    params.run("git", "checkout", "-q", ".")
    params.run("dvc", "checkout", "-q")
    params.edit(lambda p: p["tuned"].update(seeds=[1]))
    assert params.stages_due("tune") == ["tune"]


def test_another_split_makes_every_training_and_the_sweep_stale(params):
    params.edit(lambda p: p["preprocess"].update(seed=1))
    assert params.stages_due(*TARGETS) == ["preprocess"], "dvc knows no more before it has run"
    params.run("dvc", "repro", "preprocess")
    assert set(params.stages_due(*TARGETS)) == trainings(*MODELS) | {"sweep"}
    params.run("git", "checkout", "-q", ".")
    params.run("dvc", "checkout", "-q")
    assert params.stages_due(*TARGETS) == []


def test_an_invalid_parameter_stops_the_pipeline_before_anything_is_written(params):
    before = (params.folder / "dvc.lock").read_bytes()
    params.edit(lambda p: p["models"]["baseline"].update(batch_size=601))
    err = params.run("dvc", "repro", *TARGETS, expect=255).stderr
    assert "models.baseline.batch_size: 601 is not accepted; accepted: a whole number from 1 to 600" in err
    assert (params.folder / "dvc.lock").read_bytes() == before
    params.run("git", "checkout", "-q", "params.yaml")
    params.run("dvc", "checkout", "-q")
    assert params.run("git", "status", "--porcelain").stdout == ""


# DVC's experiments


def test_an_experiment_trains_the_changed_model_alone_and_leaves_the_workspace_unchanged(project):
    change = "models.batch_8.learning_rate=0.02"
    out = project.run("dvc", "exp", "run", "--temp", "-n", "slower", "-S", change, *TARGETS).stdout
    assert "Running stage 'train@batch_8'" in out and "Running stage 'train@baseline'" not in out
    assert project.run("git", "status", "--porcelain").stdout == ""
    assert project.stages_due(*TARGETS) == []
    project.run("dvc", "exp", "apply", "slower")
    metrics = json.loads((project.folder / "models/batch_8/metrics.json").read_text())
    assert metrics["status"] in ("learned", "undertrained")
    assert project.stages_due(*TARGETS) == []
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "-q")
    project.run("dvc", "exp", "remove", "slower")


# Sharing


def test_a_clone_gets_every_model_from_a_remote_without_training(project, tmp_path):
    """As the README says it."""
    project.run("dvc", "remote", "add", "-d", "storage", str(tmp_path / "storage"))
    project.run("git", "commit", "-q", "-am", "Add a remote")
    project.run("dvc", "push")
    project.run("git", "clone", "-q", str(project.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.run("dvc", "pull")
    assert clone.stages_due("explorer") == []
    assert "logged" in clone.run("python", "-m", "dvc_mlflow", "sync").stdout
