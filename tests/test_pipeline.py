"""The whole pipeline through the real dvc, from nothing to the report, and what people type after it."""

import json

import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.project import clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MODELS = ["batch_8", "baseline", "batch_full", "rate_100", "rate_1e-7"]


@pytest.fixture(scope="module")
def project(idx_folder, tmp_path_factory):
    """The project after its first `dvc repro`, committed."""
    project = clone(tmp_path_factory.mktemp("pipeline") / "project", idx_folder)
    project.run("dvc", "repro")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "Run")
    return project


@pytest.fixture
def params(project):
    """The project, with parameters that may be edited: they are as before when the test ends."""
    before = (project.folder / "params.yaml").read_text()
    yield project
    (project.folder / "params.yaml").write_text(before)


@pytest.fixture(scope="module")
def store(project):
    """The client of the SQLite store that lies in the repository when nothing is configured."""
    return MlflowClient(f"sqlite:///{project.folder}/mlflow.db")


def test_the_comparison_has_a_row_per_study_and_model(project):
    table = pd.read_csv(project.folder / "reports/comparison.csv")
    assert table.study.tolist() == ["batch_size"] * 3 + ["learning_rate"] * 3
    assert table.model.tolist() == ["batch_8", "baseline", "batch_full", "baseline", "rate_100", "rate_1e-7"]
    assert dict(zip(table.model, table.updates, strict=True)) == {
        "batch_8": 150,  # 600 images in 75 batches, twice
        "baseline": 10,  # 4 batches of 128 and one of 88, twice
        "batch_full": 2,
        "rate_100": 10,
        "rate_1e-7": 10,
    }


def test_each_study_is_answered_by_the_model_with_the_best_validation_accuracy(project):
    table = pd.read_csv(project.folder / "reports/comparison.csv")
    best = json.loads((project.folder / "reports/metrics.json").read_text())["best"]
    for study, rows in table[~table.status.isin(["diverged", "stalled"])].groupby("study"):
        assert best[study] == rows.sort_values("validation_accuracy_mean").model.iloc[-1]


def test_with_nothing_changed_nothing_runs(project):
    assert "up to date" in project.run("dvc", "repro").stdout
    assert "up to date" in project.run("dvc", "status").stdout
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_an_edited_model_is_trained_again_and_nothing_else(params):
    params.edit(lambda p: p["models"]["batch_8"].update(learning_rate=0.02))
    assert params.stages_due() == ["train@batch_8", "report"]


def test_a_new_model_is_trained_and_nothing_else(params):
    params.edit(lambda p: p["models"].update(batch_16={"batch_size": 16, "learning_rate": 0.01}))
    assert params.stages_due() == ["train@batch_16", "report"]


def test_more_epochs_train_every_model_on_the_same_arrays(params):
    params.edit(lambda p: p["train"].update(epochs=3))
    assert sorted(params.stages_due()) == sorted([f"train@{model}" for model in MODELS] + ["report"])


def test_a_removed_model_leaves_the_report(params):
    def remove(p):
        del p["models"]["rate_100"]
        p["studies"]["learning_rate"]["models"].remove("rate_100")

    params.edit(remove)
    assert params.stages_due() == ["report"]
    params.run("dvc", "repro")
    for name in (
        "comparison.csv",
        "history.csv",
        "metrics.json",
        "report.md",
        "report.html",
        "solutions.ipynb",
    ):
        assert "rate_100" not in (params.folder / "reports" / name).read_text(), name
    params.run("git", "checkout", "-q", "params.yaml")
    params.run("dvc", "repro")
    assert params.run("git", "status", "--porcelain").stdout == ""


def test_every_training_is_a_run_in_mlflow_with_its_curves(project, store):
    experiment = store.get_experiment_by_name("mnist-gradient-descent")
    runs = store.search_runs([experiment.experiment_id], "tags.`dvc.stage` LIKE 'train@%'")
    parents = {run.data.tags["model"]: run for run in runs if "mlflow.parentRunId" not in run.data.tags}
    assert sorted(parents) == sorted(MODELS)
    assert all(run.info.status == "FINISHED" for run in runs)
    for name, parent in parents.items():
        history = pd.read_csv(project.folder / "models" / name / "history.csv")
        seeds = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert len(seeds) == 2
        for run in seeds:
            logged = store.get_metric_history(run.info.run_id, "validation_accuracy")
            expected = history[history.seed == int(run.data.params["seed"])].validation_accuracy
            assert [metric.value for metric in sorted(logged, key=lambda m: m.step)] == expected.tolist()


def test_one_model_is_tried_as_an_experiment_that_trains_it_alone(project):
    said = project.run("dvc", "exp", "run", "-n", "faster", "-S", "models.batch_8.learning_rate=0.05").stdout
    assert "Running stage 'train@batch_8'" in said
    assert "Running stage 'train@baseline'" not in said
    table = json.loads(project.run("dvc", "exp", "show", "--json").stdout)
    experiments = [entry for revision in table for entry in revision["experiments"] or []]
    assert [revision["name"] for entry in experiments for revision in entry["revs"]] == ["faster"]
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "-q")


def test_exp_show_and_metrics_show_print_the_answers(project):
    assert "batch_8" in project.run("dvc", "metrics", "show").stdout
    assert "learned" in project.run("dvc", "exp", "show", "--csv").stdout


def test_plots_show_draws_the_curves_of_all_models(project):
    project.run("dvc", "plots", "show")
    page = (project.folder / "dvc_plots" / "index.html").read_text()
    assert all(model in page for model in MODELS)


def test_a_bad_parameter_stops_the_pipeline_before_anything_is_written(params):
    before = (params.folder / "dvc.lock").read_bytes()
    params.edit(lambda p: p["models"]["baseline"].update(batch_size=601))
    said = params.run("dvc", "repro", expect=255).stdout
    assert "models.baseline.batch_size: 601 is not accepted; accepted: a whole number from 1 to 600" in said
    assert (params.folder / "dvc.lock").read_bytes() == before
    params.run("git", "checkout", "-q", "params.yaml")
    params.run("dvc", "checkout", "-q")
    assert params.run("git", "status", "--porcelain").stdout == ""
