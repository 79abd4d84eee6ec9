"""The origin of a run: repository, commit, uncommitted changes, DVC experiment, user and machine."""

import getpass
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from dvc_mlflow.errors import SECRET_ASSIGNMENT, Unusable, redacted

DIFF_BYTES = 1_000_000
"""The uncommitted diff is cut here."""
DVC_FILES = (":(exclude,glob)**/dvc.lock", ":(exclude,glob)**/.gitignore", ":(exclude,glob)**/.dvc/**")
"""Files that DVC itself writes; they make a tree no different from its commit."""
MODULES = (
    "dvc jax keras lightgbm mlflow numpy pandas sklearn scipy tensorflow torch transformers xgboost".split()
)
OTHER_REPOSITORY = re.compile(
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|COMMON_DIR|OBJECT_DIRECTORY|NAMESPACE|PREFIX|\w+_PATHSPECS)"
)
"""Variables of git with which it reads another repository, or pathspecs in another way."""


class Place(NamedTuple):
    """The user's repository, and the workspace: the same folder, or a DVC experiment's copy of it."""

    root: Path
    workspace: Path

    def stage(self) -> str | None:
        """Return the stage that DVC runs in this process, None if it is that of another repository."""
        ours = os.environ.get("DVC_ROOT")
        return os.environ.get("DVC_STAGE") if ours and Path(ours).resolve() == self.root.resolve() else None


def find(start: Path) -> Place:
    """Find the DVC repository around `start`: the nearest folder upwards that holds `.dvc`.

    `dvc exp run --temp` and `--queue` run in a copy below `.dvc/tmp`, which they delete. The path decides
    whose copy it is, not DVC_ROOT, which may be inherited from another repository.
    """
    start = start.resolve()
    workspace = next((folder for folder in (start, *start.parents) if (folder / ".dvc").is_dir()), None)
    if workspace is None:
        raise Unusable(f"{start}: no DVC repository here or above; `git init && dvc init` makes one")
    git(workspace, "rev-parse")  # whose settings may be damaged
    above = (folder for folder in workspace.parents if folder.parts[-2:] == (".dvc", "tmp"))
    return Place(next((folder.parent.parent for folder in above), workspace), workspace)


def git(folder: Path, *arguments: str) -> str | None:
    """Run git in `folder`, whoever owns it; None if there is no git, no repository, or an error.

    Raises Unusable if a file or variable with git's settings is damaged.
    """
    environment = {key: value for key, value in os.environ.items() if not OTHER_REPOSITORY.fullmatch(key)}
    environment["LC_ALL"] = "C"  # its words are read below
    command = ["git", "-c", "safe.directory=*", "-c", "core.quotePath=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
    except OSError:
        return None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace")
        if damaged := re.search("fatal: (bad|unable to parse) .*config.*", said):
            raise Unusable(f"git: {damaged[0]}; `git config --list --show-origin` shows more") from None
        return None
    return done.stdout.decode("utf-8", "replace").rstrip("\n")


def working_tree(place: Place, outputs: Iterable[str]) -> tuple[dict[str, str], str]:
    """Describe the commit that is checked out as tags, and return the uncommitted diff as text."""
    folder, tags = place.workspace, _experiment(place)
    head = git(folder, "rev-parse", "--verify", "HEAD")
    if head is None:
        return tags, ""
    excluded = [*DVC_FILES, *(f":(exclude,literal){path}" for path in outputs)]
    options = "--relative --no-ext-diff --no-textconv --no-color --src-prefix=a/ --dst-prefix=b/".split()
    diff = git(folder, "diff", "HEAD", *options, "--", ".", *excluded)
    tags |= {"git.commit": head, "mlflow.source.git.commit": head, "git.dirty": str(diff != "").lower()}
    if branch := git(folder, "symbolic-ref", "--short", "-q", "HEAD"):
        tags |= {"git.branch": branch, "mlflow.source.git.branch": branch}
    diff = SECRET_ASSIGNMENT.sub(r"\1***", redacted(f"{diff}\n" if diff else ""))
    cut = diff.encode()[:DIFF_BYTES].decode("utf-8", "ignore")
    return tags, cut if cut == diff else f"{cut}\n… cut after {DIFF_BYTES} bytes\n"


def _experiment(place: Place) -> dict[str, str]:
    """Return the tags of the DVC experiment that runs here; another repository's is ignored."""
    name, baseline = (os.environ.get(f"DVC_EXP_{key}") for key in ("NAME", "BASELINE_REV"))
    if not name or not baseline or not place.stage():
        return {}
    known = git(place.workspace, "cat-file", "-e", f"{baseline}^{{commit}}") is not None
    return {"dvc.experiment": name, "dvc.baseline": baseline} if known else {}


def revision(root: Path, commit: str) -> dict[str, str]:
    """Describe a commit, which may be that of a DVC experiment."""
    tags = {"git.commit": commit, "mlflow.source.git.commit": commit, "git.dirty": "false"}
    if commit in (known := experiments(root)):
        tags["dvc.experiment"], tags["dvc.baseline"] = known[commit]
    return tags


def experiments(root: Path) -> dict[str, tuple[str, str]]:
    """Return the name and the baseline of each DVC experiment, by commit: two may have the same name."""
    refs = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps") or ""
    # refs/exps/<2 digits>/<38 digits of the baseline>/<name>
    found = re.findall(r"^(\w+) refs/exps/(\w{2})/(\w{38})/([^/\n]+)$", refs, re.MULTILINE)
    return {commit: (name, first + rest) for commit, first, rest, name in found}


def committed(folder: Path) -> bool:
    """Return whether each dvc.lock, dvc.yaml and params.yaml is that of HEAD: results are agreed on."""
    pathspecs = [f":(glob)**/{name}" for name in ("dvc.lock", "dvc.yaml", "params.yaml")]
    changed = git(folder, "diff", "HEAD", "--name-only", "--relative", "--", *pathspecs)
    return changed == "" and bool(git(folder, "ls-files", "--", pathspecs[0]))


def machine() -> dict[str, str]:
    """Describe this process's processor, platform and the libraries that it has imported."""
    tags = {"machine.processor": _processor(), "machine.platform": platform.platform()}
    tags["version.python"] = platform.python_version()
    for module in MODULES:
        library = module.replace("sklearn", "scikit-learn")
        if module in sys.modules and (version := installed(library)):
            tags[f"version.{library}"] = version
    return tags


def installed(library: str) -> str | None:
    """Return the version of a library, None if it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


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
