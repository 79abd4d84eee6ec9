"""What a run came from: the commit, the DVC stage and experiment, as tags."""

import os
import subprocess
from pathlib import Path


def here() -> dict[str, str]:
    """The tags of a run that this process makes now, in the working directory.

    `git.dirty` is whether a tracked file differs from the commit. Empty facts are left out.
    """
    tags = {
        "dvc.stage": os.environ.get("DVC_STAGE"),
        "dvc.experiment": os.environ.get("DVC_EXP_NAME"),
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV"),
        **commit("."),
    }
    return {name: value for name, value in tags.items() if value}


def in_experiment_workspace() -> bool:
    """Whether DVC runs this in a temporary copy of the repository, as `exp run --temp` and `--queue` do."""
    root = os.environ.get("DVC_ROOT")
    return bool(root) and Path(root, ".dvc", "tmp").resolve() in Path.cwd().resolve().parents


def git(*arguments: str, folder: Path | str = ".") -> str | None:
    """What git answers, without the white space around it; None where there is no git or it refuses."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit(folder: Path | str) -> dict[str, str]:
    """The tags of what the working tree `folder` holds."""
    head = git("rev-parse", "HEAD", folder=folder)
    if head is None:
        return {}
    dirty = bool(git("status", "--porcelain", "--untracked-files=no", folder=folder))
    return {"git.commit": head, "mlflow.source.git.commit": head, "git.dirty": str(dirty).lower()}


def of_revision(folder: Path | str, sha: str) -> dict[str, str]:
    """The tags of what a commit in the repository `folder` holds, which may be that of a DVC experiment."""
    tags = {"git.commit": sha, "mlflow.source.git.commit": sha, "git.dirty": "false"}
    refs = git("for-each-ref", "--points-at", sha, "--format=%(refname)", "refs/exps", folder=folder) or ""
    for ref in refs.splitlines():  # refs/exps/<two digits>/<38 digits>/<name>, of the baseline
        parts = ref.split("/")
        if len(parts) == 5:
            tags |= {"dvc.experiment": parts[4], "dvc.baseline": parts[2] + parts[3]}
    return tags
