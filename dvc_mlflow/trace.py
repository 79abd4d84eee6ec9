"""From a file to the runs that made it; from a run to its files, commit, and the command to get them back."""

import json
import os
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from dvc_mlflow.expected import LISTING
from dvc_mlflow.lock import Lock, Unusable, digest, opened
from dvc_mlflow.provenance import git, revision
from dvc_mlflow.redaction import redacted
from dvc_mlflow.store import Store, open_store
from dvc_mlflow.write import STATE


class Origin(NamedTuple):
    """A run of a stage, and the md5 of what it made, by path."""

    run: Any
    outs: dict[str, str]


def trace(root: Path, workspace: Path, what: str, uri: str | None) -> str:
    """Describe the runs that made the file `what`, or the run whose id begins with it. Raises Unusable."""
    store = open_store(root, uri, create=False)
    if store is None:
        raise Unusable("MLflow has no database here; `dvc-mlflow sync` makes it")
    with store.asking():
        experiments = [one.experiment_id for one in store.client.search_experiments()]
    with opened(workspace, None, Path()) as lock:
        if Path(what).is_file():
            md5 = digest(Path(what))
            runs = store.runs(experiments, "tags.`dvc.outputs` LIKE '%'")
            found = [one for one in map(lambda run: _origin(store, run), runs) if md5 in _all(lock, one)]
            if not found:
                raise Unusable(
                    f"{what}: no run in MLflow made it (md5 {md5}); `dvc-mlflow sync` logs what DVC has"
                )
        else:
            everything = {
                run.info.run_id: run for run in store.runs(experiments, "tags.`dvc.stage` LIKE '%'")
            }
            begin = [run for key, run in everything.items() if key.startswith(what)]
            if len(begin) != 1:
                raise Unusable(
                    f"{what}: neither a file, nor the beginning of one run's id: {len(begin)} begin so"
                )
            parent = begin[0].data.tags.get("mlflow.parentRunId")
            found = [_origin(store, everything.get(parent, begin[0]) if parent else begin[0])]
        texts = [
            "\n".join(f"{key:12}{value}" for key, value in _facts(store, root, lock, one)) for one in found
        ]
    return "\n\n".join(texts)


def _origin(store: Store, run: Any) -> Origin:
    """Read what a run made from its tag, or from its artifact where that would be too long."""
    text = run.data.tags.get("dvc.outs")
    if text is None:
        try:
            text = json.dumps(json.loads(store.client.download_artifacts(run.info.run_id, LISTING))["outs"])
        except (OSError, ValueError, KeyError):
            text = "{}"
    return Origin(run, json.loads(text))


def _all(lock: Lock, origin: Origin) -> set[str]:
    """Return the md5 of every file that a run made, those in folders too."""
    inside = (lock.listing(md5).values() for md5 in origin.outs.values() if md5.endswith(".dir"))
    return {*origin.outs.values(), *(md5 for files in inside for md5 in files)}


def _facts(store: Store, root: Path, lock: Lock, origin: Origin) -> Iterator[tuple[str, str]]:
    run, tags = origin.run, origin.run.data.tags
    begun = datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(" ", "seconds")
    yield "run", f"{run.info.run_id}  {run.info.run_name}, {run.info.status.lower()}, begun {begun}"
    for place, (path, md5) in enumerate(origin.outs.items()):
        yield "" if place else "files", f"{md5}  {path}"
    here = _holds(root, None, origin)
    commit = _commit(root, origin)
    yield "commit", ("the working tree, " if here else "") + (commit or "none has it")
    experiment = tags.get("dvc.experiment") or (
        revision(root, commit).get("dvc.experiment") if commit else None
    )
    yield "experiment", experiment or "none"
    yield "in dvc.lock", tags.get(STATE, "unknown")
    yield "get back", _way_back(store, root, lock, origin, commit, here)


def _holds(root: Path, commit: str | None, origin: Origin) -> bool:
    """Whether dvc.lock, of a commit or of the working tree, has all that the run made."""
    if commit:
        text = git(root, "show", f"{commit}:./dvc.lock") or ""
    else:
        text = (root / "dvc.lock").read_text(encoding="utf-8") if (root / "dvc.lock").exists() else ""
    return bool(origin.outs) and all(md5 in text for md5 in origin.outs.values())


def _commit(root: Path, origin: Origin) -> str | None:
    """Return the commit whose dvc.lock has what the run made: HEAD, else the newest of any branch."""
    if not origin.outs:
        return None
    some = next(iter(origin.outs.values()))
    changed = git(root, "log", "--all", "--format=%H", f"-S{some}", "--", "dvc.lock") or ""
    found = next((one for one in ("HEAD", *changed.split()) if _holds(root, one, origin)), None)
    return git(root, "rev-parse", found) if found else None


def _way_back(store: Store, root: Path, lock: Lock, origin: Origin, commit: str | None, here: bool) -> str:
    """Return the command that brings the files back; words where nothing is to be done."""
    run, paths = origin.run, list(origin.outs)
    stage = run.data.tags["dvc.stage"]
    if here and all(_is_there(lock, path) for path in paths):
        return "not needed: they are in the working tree"
    target = run.info.run_id[:8]
    if all(lock.is_kept(path, md5) for path, md5 in origin.outs.items()):
        if here:
            return (
                f"dvc checkout {shlex.quote(stage)}"
                if lock.cached(paths)
                else f"dvc repro {shlex.quote(stage)}"
            )
        if commit:
            folder = os.path.commonpath(paths)
            each = [folder] if folder else paths
            return " && ".join(
                f"dvc get . {shlex.quote(path)} --rev {commit[:12]} "
                f"--out {target}{'' if folder else '-' + Path(path).name}"
                for path in each
            )
    shown = redacted(store.uri)
    where = f"MLFLOW_TRACKING_URI={shlex.quote(store.uri)} " if shown == store.uri else ""
    command = f"{where}mlflow artifacts download --run-id {run.info.run_id} --dst-path {target}"
    for output in run.outputs.model_outputs if run.outputs else []:
        command += (
            f" && {where}mlflow artifacts download -u models:/{output.model_id} --dst-path {target}/model"
        )
    return command


def _is_there(lock: Lock, path: str) -> bool:
    try:
        return lock.file(path).exists()
    except Unusable:
        return False
