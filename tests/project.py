"""A clone of the project on a few hundred synthetic digits and two epochs, to run the real dvc in."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


class Project:
    """A folder that is a git and DVC repository of its own, and the commands that are typed in it."""

    def __init__(self, folder: Path, digits: Path):
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MNIST_SOURCE": str(digits),
        }

    def run(self, *command: str, expect: int = 0, **options) -> subprocess.CompletedProcess:
        """What a command printed, both streams together; fails the test unless it exits with `expect`."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )
        assert done.returncode == expect, f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}"
        return done

    def edit(self, change) -> None:
        """Apply `change` to the parameters as a dictionary, and write them back."""
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        change(params)
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def stages_due(self) -> list[str]:
        """The stages that `dvc repro` would run now."""
        return re.findall(r"Running stage '([^']+)'", self.run("dvc", "repro", "--dry").stdout)

    def lock(self) -> dict:
        """dvc.lock's stages."""
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]


def clone(folder: Path, digits: Path) -> Project:
    """The working tree's tracked files in `folder`, committed there, its parameters shrunk for `digits`."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).exists() and not name.startswith(("reports/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    project = Project(folder, digits)
    project.edit(lambda params: shrink(params, digits))
    for command in (
        ["git", "init", "-q", "-b", "main"],
        ["git", "config", "user.name", "Test"],
        ["git", "config", "user.email", "test@example.org"],
        ["git", "add", "-A"],
        ["git", "commit", "-q", "-m", "Begin"],
    ):
        project.run(*command)
    return project


def shrink(params: dict, digits: Path) -> None:
    """Parameters for 600 + 200 training images, two epochs, two seeds."""
    params["download"]["sha256"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(digits.iterdir())
    }
    params["preprocess"] |= {"training_images": 600, "validation_images": 200}
    params["sweep"] = {"batch_sizes": [128, "full"], "learning_rates": [0.01, 0.1], "seeds": [0], "epochs": 1}
    params["train"] |= {"epochs": 2, "seeds": [0, 1]}
