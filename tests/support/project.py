"""A copy of the project on a few hundred synthetic images and two epochs, to run the real dvc in."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.support.small_params import ROOT, read_yaml, shrink, write_yaml


class Project:
    """A folder that is a git and DVC repository of its own, and the commands that are typed in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        outside = ("DVC_", "MLFLOW_", "DASK_", "DATA_SOURCE")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(outside)},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),  # before packages that are installed
        }

    def start(self, *command: str, **options) -> subprocess.Popen:
        """Start a command; `options` are those of Popen, which override captured text on both streams."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, **pipes | options)

    def run(self, *command: str, expect: int = 0) -> subprocess.CompletedProcess:
        """Run a command; fail the test unless it exits with `expect`."""
        with self.start(*command) as process:
            out, err = process.communicate()
        assert process.returncode == expect, (
            f"{' '.join(command)} exited with {process.returncode}:\n{out}{err}"
        )
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def edit(self, change: Callable[[dict], None]) -> None:
        """Apply `change` to the content of params.yaml."""
        path = self.folder / "params.yaml"
        params = read_yaml(path)
        change(params)
        write_yaml(path, params)

    def commit(self, message: str) -> None:
        """Commit everything to git."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", message)

    def stages_due(self, *targets: str) -> list[str]:
        """Return the stages that `dvc repro` would run now, besides download, which checks every edit."""
        out = self.run("dvc", "repro", "--dry", *targets).stdout
        return [name for name in re.findall(r"Running stage '([^']+)'", out) if name != "download"]

    def lock(self) -> dict:
        """Return the stages in dvc.lock."""
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]


def remedy(line: str) -> str:
    """Return the command that a line of `descent check` gives to mend a file."""
    found = re.fullmatch(r"\S.*: is .+; to mend it: (.+)", line.rstrip("\n"))
    assert found, line
    return found[1]


def clone(folder: Path, idx_folder: Path) -> Project:
    """Copy the working tree's files, except results, to `folder`, and commit them there.

    Files that are not yet in git are copied too, unless they are ignored.
    """
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).exists() and not name.startswith(("reports/", "dvc.lock", "tests/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    project = Project(folder)
    project.edit(lambda params: shrink(params, idx_folder))
    for command in (
        ["git", "init", "-q", "-b", "main"],
        ["git", "config", "user.name", "Test"],
        ["git", "config", "user.email", "test@example.org"],
    ):
        project.run(*command)
    project.commit("Start")
    return project
