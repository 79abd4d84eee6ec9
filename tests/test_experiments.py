"""DVC's experiments, by the real commands: all log into the user's store, none passes for current."""

import json
import re

import pytest
from mlflow import MlflowClient

from tests import mirrored

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
RATE = "models.batch_8.learning_rate"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A trained, committed repository with its runs in MLflow."""
    project = mirrored.trained(tmp_path_factory.mktemp("project") / "project")
    project.run("python", "-m", "stages.sync")
    return project


def models_runs(project, name="batch_8"):
    """A model's runs by their learning rate, without those of its seeds."""
    found = mirrored.runs(project, f"tags.model = '{name}'")
    return {run.data.params["learning_rate"]: run for run in found if "seed" not in run.data.tags}


def check(project):
    assert project.run("python", "-m", "stages.sync", "--check").stdout == "MLflow agrees with DVC\n"


def test_experiments_in_temporary_workspaces_log_into_the_users_store(project):
    baseline = project.run("git", "rev-parse", "HEAD").stdout.strip()
    project.run("dvc", "exp", "run", "-q", "--temp", "-n", "in-temp", "-S", f"{RATE}=0.02")
    for name, rate in (("first", "0.03"), ("second", "0.04")):
        project.run("dvc", "exp", "run", "-q", "--queue", "-n", name, "-S", f"{RATE}={rate}")
    project.run("dvc", "queue", "start", "-q", "-j", "2")
    project.run("dvc", "queue", "logs", "-q", "-f", "first")
    project.run("dvc", "queue", "logs", "-q", "-f", "second")
    runs = models_runs(project)
    for rate, name in (("0.02", "in-temp"), ("0.03", "first"), ("0.04", "second")):
        tags = runs[rate].data.tags
        assert (tags["state"], tags["dvc.experiment"], tags["dvc.baseline"]) == ("experiment", name, baseline)
        assert runs[rate].info.run_name == f"batch_8 [{name}]"
        assert runs[rate].info.status == "FINISHED" and "replayed" not in tags
        assert runs[rate].info.artifact_uri.startswith(str(project.folder / "mlartifacts"))
    assert runs["0.01"].data.tags["state"] == "current"
    check(project)


def test_an_experiment_that_is_applied_becomes_current_and_no_longer_when_it_is_taken_back(project):
    project.run("dvc", "exp", "apply", "in-temp")
    project.run("python", "-m", "stages.sync")
    states = {rate: run.data.tags["state"] for rate, run in models_runs(project).items()}
    assert states == {"0.01": "superseded", "0.02": "current", "0.03": "experiment", "0.04": "experiment"}
    check(project)
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "-q")
    project.run("python", "-m", "stages.sync")
    states = {rate: run.data.tags["state"] for rate, run in models_runs(project).items()}
    assert states == {"0.01": "current", "0.02": "experiment", "0.03": "experiment", "0.04": "experiment"}
    check(project)


def test_a_lost_experiment_is_replayed_by_its_name(project):
    store = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    store.delete_run(models_runs(project)["0.03"].info.run_id)
    assert "batch_8: no finished run" not in project.run("python", "-m", "stages.sync", "--check").stdout
    project.run("python", "-m", "stages.sync", "--rev", "first", "--check", expect=1)
    project.run("python", "-m", "stages.sync", "--rev", "first")
    replayed = models_runs(project)["0.03"]
    tags = replayed.data.tags
    assert replayed.info.run_name == "batch_8 [first]"
    assert (tags["state"], tags["dvc.experiment"], tags["replayed"]) == ("experiment", "first", "true")
    check(project)


def test_a_run_of_an_experiment_leads_back_to_it(project):
    run = models_runs(project)["0.04"]
    told = project.run("python", "-m", "stages.trace", run.info.run_id[:12]).stdout
    assert re.search(r"^experiment +second$", told, re.M)
    (line,) = re.findall(r"^get back +(.*)$", told, re.M)
    project.run(*line.split())
    metrics = json.loads((project.folder / run.info.run_id[:8] / "metrics.json").read_text())
    assert metrics["model"] == "batch_8"


def test_an_experiment_in_the_working_tree_trains_one_model_and_is_current(project):
    before = {run.info.run_id for run in mirrored.runs(project, "tags.model = 'baseline'")}
    project.run("dvc", "exp", "run", "-q", "-n", "here", "-S", f"{RATE}=0.05")
    assert {run.info.run_id for run in mirrored.runs(project, "tags.model = 'baseline'")} == before
    tags = models_runs(project)["0.05"].data.tags
    assert (tags["state"], tags["dvc.experiment"]) == ("current", "here")
    project.run("python", "-m", "stages.sync")
    check(project)
    shown = project.run("dvc", "exp", "show", "--csv", "--only-changed").stdout
    assert len([line for line in shown.splitlines() if ",here," in line or line.startswith("here,")]) == 1
