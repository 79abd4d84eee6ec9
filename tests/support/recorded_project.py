"""A git and DVC repository with two small stages whose outputs are recorded: real caches, in seconds."""

from pathlib import Path

import yaml

from tests.support.project import Project
from tests.support.small_params import ROOT

MODEL = "models/baseline/model.keras"
REPLICATES = "models/baseline/replicates"
REPLICATE = f"{REPLICATES}/seed_0.keras"
TABLE = "reports/comparison.csv"

TRAIN = """
from pathlib import Path
folder = Path("models/baseline/replicates")
folder.mkdir(parents=True, exist_ok=True)
for seed in (0, 1):
    (folder / f"seed_{seed}.keras").write_bytes(bytes([seed]) * 1000)
Path("models/baseline/model.keras").write_bytes(bytes([1]) * 1000)
"""
REPORT = """
from pathlib import Path
Path("reports").mkdir(exist_ok=True)
Path("reports/comparison.csv").write_text("model,accuracy\\nbaseline,0.9\\n")
"""
STAGES = {
    "train": {"cmd": "exec python train.py", "deps": ["train.py"], "outs": [MODEL, REPLICATES]},
    "report": {
        "cmd": "exec python report.py",
        "deps": ["report.py", MODEL],
        "outs": [{TABLE: {"cache": False}}],
    },
}


def recorded_project(folder: Path) -> Project:
    """Make the repository, run its pipeline and commit everything."""
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "report.py").write_text(REPORT)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (folder / ".gitignore").write_text("__pycache__/\n")
    project = Project(folder)
    project.environment["PYTHONPATH"] = str(ROOT)
    for command in (
        "git init -q -b main",
        "git config user.name Test",
        "git config user.email test@example.org",
        "dvc init -q",
        "dvc repro -q",
    ):
        project.run(*command.split())
    project.commit("Run")
    return project
