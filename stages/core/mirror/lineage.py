"""From a file to the run that made it, and from a run to its files, its commit and its experiment."""

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.mirror import current as mirror
from stages.core.mirror import lockfile
from stages.core.mirror.artifacts import FILES
from stages.core.mirror.provenance import git, of_revision
from stages.core.mirror.store import Store, repository


class Unknown(ValueError):
    """MLflow has no such run; one line."""


class Origin(NamedTuple):
    """A run of a model or of the report, the files it made by path, with their md5, and who holds them."""

    run: Any
    files: dict[str, str]
    commit: str | None
    experiment: str | None
    in_working_tree: bool


def of_file(store: Store, path: Path) -> list[Origin]:
    """The runs that wrote a file with these bytes, the newest first. Raises Unknown if none did."""
    md5 = lockfile.digest(path)
    found = [shown.run for shown in mirror.finished(store) if md5 in _files(store, shown.run).values()]
    if not found:
        raise Unknown(
            f"{path}: no run in MLflow made it (md5 {md5}); `python -m stages.sync` logs what DVC has"
        )
    return [_origin(store, run) for run in found]


def of_run(store: Store, id: str) -> list[Origin]:
    """The run whose id begins with `id`; a seed's run leads to its model's. Else raises Unknown."""
    everything = {run.info.run_id: run for run in mirror.search(store)}
    found = [run for key, run in everything.items() if key.startswith(id)]
    if len(found) != 1:
        raise Unknown(f"{id}: neither a file, nor the beginning of one run's id: {len(found)} begin so")
    parent = found[0].data.tags.get("mlflow.parentRunId")
    return [_origin(store, everything[parent] if parent else found[0])]


def as_text(origin: Origin) -> str:
    """An origin as text: a line for each fact, and the command that brings the files back."""
    return "\n".join(f"{name:12}{text}" for name, text in _facts(origin))


def _facts(origin: Origin) -> Iterator[tuple[str, str]]:
    run, tags = origin.run, origin.run.data.tags
    started = datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(" ", "seconds")
    yield "run", f"{run.info.run_id}  {run.info.run_name}, {tags.get('state')}, begun {started}"
    if "status" in tags:
        yield "status", tags["status"]
    for place, (path, md5) in enumerate(origin.files.items()):
        yield "" if place else "files", f"{md5}  {path}"
    here = "the working tree, " if origin.in_working_tree else ""
    yield "commit", here + (origin.commit or "none has it")
    yield "experiment", origin.experiment or "none"
    yield "get back", _way_back(origin, repository())


def _way_back(origin: Origin, root: Path) -> str:
    """The command that brings the files back; words instead where nothing is to be done."""
    folder = str(Path(next(iter(origin.files), "")).parent) if origin.files else "models"
    folder = "/".join(folder.split("/")[:2])
    if origin.in_working_tree:
        if all(lockfile.matches(root / path, md5) for path, md5 in origin.files.items()):
            return "not needed: they are in the working tree"
        model = origin.run.data.tags.get("model")
        return f"dvc checkout {lockfile.TRAIN}{model}" if model else "dvc repro report"
    if origin.commit:
        return f"dvc get . {folder} --rev {origin.commit[:12]} --out {origin.run.info.run_id[:8]}"
    return (
        f"mlflow artifacts download --run-id {origin.run.info.run_id} --dst-path {origin.run.info.run_id[:8]}"
    )


def _origin(store: Store, run: Any) -> Origin:
    files, root = _files(store, run), repository()
    key = files.get(_telling(files), "")
    here = bool(key) and key in _text(root / "dvc.lock")
    commit = _holder(root, key) if key else None
    of_commit = of_revision(root, commit) if commit else {}
    experiment = run.data.tags.get("dvc.experiment") or of_commit.get("dvc.experiment")
    return Origin(run, files, commit, experiment, here)


def _files(store: Store, run: Any) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            return json.loads(
                Path(store.client.download_artifacts(run.info.run_id, FILES, folder)).read_text()
            )
        except (MlflowException, OSError):  # a run that ended early has none, a lost folder neither
            return {}


def _telling(files: dict[str, str]) -> str:
    """The file whose bytes only one run ever wrote: the seconds of a training, else the report."""
    return next((path for path in files if path.endswith(("timing.json", "report.md"))), "")


def _holder(root: Path, md5: str) -> str | None:
    """The commit with `md5` in its dvc.lock: HEAD, or the newest of any branch or experiment."""
    changed = git("log", "--all", "--format=%H", f"-S{md5}", "--", "dvc.lock", folder=root) or ""
    commits = ["HEAD", *changed.split()]
    holders = (commit for commit in commits if md5 in (git("show", f"{commit}:dvc.lock", folder=root) or ""))
    holder = next(holders, None)
    return git("rev-parse", holder, folder=root) if holder else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
