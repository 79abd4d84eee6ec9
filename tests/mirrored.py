"""A git and DVC repository whose train stages write made-up numbers: real locks and commands, in seconds."""

import shutil
from pathlib import Path

import yaml
from mlflow import MlflowClient

from stages.core.params import read_params
from tests.project import ROOT, Project
from tests.trained import write_arrays, write_model
from tests.written import write_report

MODELS = ("baseline", "batch_8", "rate_100")
OUTPUTS = (
    "history.csv",
    "metrics.json",
    "model.keras",
    "path.npy",
    "replicates",
    "test_probabilities.npy",
    "timing.json",
)
STAGES = {
    "train": {
        "foreach": "${models}",
        "do": {
            "cmd": "exec python -m tests.trained ${key}",
            "deps": ["data/arrays"],
            "params": ["train", "models.${key}"],
            "outs": [f"models/${{key}}/{name}" for name in OUTPUTS],
        },
    },
    "report": {
        "cmd": "python -m tests.written",
        "deps": [f"models/{model}/metrics.json" for model in MODELS],
        "outs": [
            {f"reports/{name}": {"cache": False}} for name in ("comparison.csv", "metrics.json", "report.md")
        ],
    },
}


def begin(folder: Path) -> Project:
    """The repository before its first `dvc repro`, committed."""
    write_arrays(folder)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] = {"epochs": 3, "seeds": [0, 1]}
    params["preprocess"] |= {"training_images": 600}
    params["sweep"] = {"batch_sizes": [128, "full"], "learning_rates": [0.01, 0.1], "seeds": [0], "epochs": 1}
    params["models"] = {name: params["models"][name] for name in MODELS}
    params["studies"] = {
        "batch_size": {"question": "Which batch size performed best?", "models": list(MODELS)}
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    (folder / ".gitignore").write_text("/models/\n/mlflow.db*\n/mlartifacts/\n__pycache__/\n")
    project = Project(folder, folder)
    project.environment |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    for command in (
        "git init -q -b main",
        "git config user.name Test",
        "git config user.email test@example.org",
        "dvc init -q",
        "dvc add -q data/arrays",
        "git add -A",
        "git commit -q -m Begin",
    ):
        project.run(*command.split())
    return project


def trained(folder: Path) -> Project:
    """The repository as after its first `dvc repro`, committed, with nothing in MLflow."""
    project = begin(folder)
    params = read_params(folder / "params.yaml")
    for name in MODELS:
        write_model(folder, params, name)
    write_report(folder, params)
    project.run("dvc", "commit", "-q", "-f")
    commit(project)
    return project


def commit(project: Project) -> None:
    """Commit all that changed."""
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "Train")


def copied(project: Project, folder: Path) -> Project:
    """The same repository in another place."""
    shutil.copytree(project.folder, folder, symlinks=True)
    copy = Project(folder, folder)
    copy.environment = dict(project.environment)
    return copy


def client(project: Project) -> MlflowClient:
    """MLflow's client of the project's own store."""
    return MlflowClient(f"sqlite:///{project.folder}/mlflow.db")


def runs(project: Project, condition: str = "") -> list:
    """The runs in the project's own store for which MLflow's filter holds."""
    store = client(project)
    experiment = store.get_experiment_by_name("mnist-gradient-descent")
    if experiment is None:
        return []
    return store.search_runs([experiment.experiment_id], condition, max_results=1000)


def parents(project: Project, name: str) -> list:
    """All runs of a model, without those of its seeds."""
    found = runs(project, f"tags.model = '{name}'")
    return [run for run in found if "seed" not in run.data.tags]


def current(project: Project, name: str):
    """The one current run of a model."""
    (run,) = [run for run in parents(project, name) if run.data.tags["state"] == "current"]
    return run


def current_report(project: Project):
    """The one current run of the report."""
    (run,) = runs(project, "tags.report = 'true' and tags.state = 'current'")
    return run
