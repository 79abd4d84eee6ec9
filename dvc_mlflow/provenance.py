"""Where a run comes from: repository, commit, uncommitted changes, DVC experiment, user and machine."""

import getpass
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from dvc_mlflow.redaction import redacted

DIFF_BYTES = 1_000_000
"""The uncommitted diff is cut here."""
DVC_FILES = (":(exclude,glob)**/dvc.lock", ":(exclude,glob)**/.gitignore", ":(exclude,glob)**/.dvc/**")
"""What DVC itself writes makes a tree no different from its commit."""
LIBRARIES = (
    "dvc",
    "jax",
    "keras",
    "lightgbm",
    "mlflow",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "tensorflow",
    "torch",
    "transformers",
    "xgboost",
)
IN_WORDS = re.compile(r"(?i)((?:password|passwd|secret|token|api_?key)['\"]?\s*[:=]\s*)\S+")


class NoRepository(ValueError):
    """There is no DVC repository here."""


def workspace(start: Path) -> Path:
    """Find the DVC repository around `start`: the nearest folder upwards that holds `.dvc`."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / ".dvc").is_dir():
            return folder
    raise NoRepository(f"{start}: no DVC repository here or above; `git init && dvc init` makes one")


def repository(folder: Path) -> Path:
    """Return the user's repository for a workspace.

    `dvc exp run --temp` and `--queue` run in a copy below `.dvc/tmp` of it, which they delete. The path
    decides, not DVC_ROOT, which may be inherited from another repository.
    """
    for parent in folder.parents:
        if parent.name == "tmp" and parent.parent.name == ".dvc":
            return parent.parent.parent
    return folder


def git(folder: Path, *arguments: str) -> str | None:
    """Run git in `folder`, whoever owns it; None if there is no git, no repository, or an error."""
    misleading = (
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_COMMON_DIR",
        "GIT_PREFIX",
        "GIT_NAMESPACE",
    )
    environment = {key: value for key, value in os.environ.items() if key not in misleading}
    command = ["git", "-c", "safe.directory=*", "-c", "core.quotePath=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()


def dvc_stage(root: Path) -> str | None:
    """Return the stage that DVC runs in this process, None if it is that of another repository."""
    ours = os.environ.get("DVC_ROOT")
    return os.environ.get("DVC_STAGE") if ours and Path(ours).resolve() == root.resolve() else None


def working_tree(folder: Path, outputs: Iterable[str]) -> tuple[dict[str, str], str]:
    """Describe the commit checked out in `folder` as tags, and return the uncommitted diff as text."""
    tags = _experiment(folder)
    head = git(folder, "rev-parse", "--verify", "HEAD")
    if head is None:
        return tags, ""
    excluded = [*DVC_FILES, *(f":(exclude,literal){path}" for path in outputs)]
    diff = (
        git(folder, "diff", "HEAD", "--relative", "--no-ext-diff", "--no-textconv", "--", ".", *excluded)
        or ""
    )
    tags |= {"git.commit": head, "mlflow.source.git.commit": head, "git.dirty": str(bool(diff)).lower()}
    if branch := git(folder, "symbolic-ref", "--short", "-q", "HEAD"):
        tags |= {"git.branch": branch, "mlflow.source.git.branch": branch}
    diff = IN_WORDS.sub(r"\1***", redacted(diff))
    cut = diff.encode()[:DIFF_BYTES].decode("utf-8", "ignore")
    return tags, cut if len(cut) == len(diff) else f"{cut}\n… cut after {DIFF_BYTES} bytes\n"


def _experiment(folder: Path) -> dict[str, str]:
    """Return the tags of the DVC experiment that runs here; another repository's is ignored."""
    name, baseline = (os.environ.get(f"DVC_EXP_{key}") for key in ("NAME", "BASELINE_REV"))
    if not name or not baseline or not dvc_stage(repository(folder)):
        return {}
    if git(folder, "cat-file", "-e", f"{baseline}^{{commit}}") is None:
        return {}
    return {"dvc.experiment": name, "dvc.baseline": baseline}


def revision(root: Path, commit: str) -> dict[str, str]:
    """Describe a commit, which may be that of a DVC experiment."""
    tags = {"git.commit": commit, "mlflow.source.git.commit": commit, "git.dirty": "false"}
    for name, (held, baseline) in experiments(root).items():
        if held == commit:
            tags |= {"dvc.experiment": name, "dvc.baseline": baseline}
    return tags


def experiments(root: Path) -> dict[str, tuple[str, str]]:
    """Return the commit and the baseline of each DVC experiment, by name."""
    refs = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or ""
    found = {}
    for line in refs.splitlines():  # refs/exps/<2 digits>/<38 digits of the baseline>/<name>
        commit, _, ref = line.partition(" ")
        parts = ref.split("/")
        if len(parts) == 5 and len(parts[2] + parts[3]) == 40:
            found[parts[4]] = commit, parts[2] + parts[3]
    return found


def committed(root: Path) -> bool:
    """Whether dvc.lock, dvc.yaml and params.yaml are those of HEAD: only then are results agreed on."""
    if git(root, "ls-files", "--error-unmatch", "dvc.lock") is None:
        return False
    pathspecs = [f":(glob)**/{name}" for name in ("dvc.lock", "dvc.yaml", "params.yaml")]
    return git(root, "diff", "HEAD", "--name-only", "--relative", "--", *pathspecs) == ""


def machine() -> dict[str, str]:
    """Describe this process's user, processor, platform and the libraries that it has imported."""
    tags = {"mlflow.user": user(), "machine.processor": _processor(), "machine.platform": platform.platform()}
    tags["version.python"] = platform.python_version()
    modules = {"scikit-learn": "sklearn"}
    for library in LIBRARIES:
        if modules.get(library, library) in sys.modules:
            try:
                tags[f"version.{library}"] = metadata.version(library)
            except metadata.PackageNotFoundError:
                continue
    return tags


def user() -> str:
    """Return the user's name, or number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
