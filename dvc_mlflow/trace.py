"""From a file to the runs that made it; from a run to its files, commit, and the command to get them back."""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dvc_mlflow.errors import Unusable, redacted
from dvc_mlflow.expected import DIFF, LISTING
from dvc_mlflow.models import LOGGED, logged_id
from dvc_mlflow.provenance import Place, git, revision
from dvc_mlflow.repository import Repository, digest, opened
from dvc_mlflow.runs import PARENT, STATE
from dvc_mlflow.store import Store, open_store

Outs = dict[str, str]
"""The md5 of what a stage made, by path."""


def trace(place: Place, what: str, uri: str) -> str:
    """Describe the runs that made the file `what`, or the run whose id begins with it. Raises Unusable."""
    store = open_store(place.root, uri, create=False)
    experiments = [one.experiment_id for one in store.client.search_experiments()]
    runs = {run.info.run_id: run for run in store.runs(experiments, "tags.`dvc.stage` LIKE '%'")}
    with opened(place.workspace) as repository:
        if Path(what).is_file():
            md5 = digest(Path(what))
            stages = (run for run in runs.values() if "dvc.outputs" in run.data.tags)
            found = [run for run in stages if md5 in _all(repository, _outs(store, run))]
            if not found:
                remedy = "`dvc-mlflow sync` logs what DVC has"
                raise Unusable(f"{what}: no run in MLflow made it (md5 {md5}); {remedy}")
        else:
            begin = [run for key, run in runs.items() if key.startswith(what)]
            if len(begin) != 1:
                count = f"{len(begin)} run ids begin with it"
                raise Unusable(f"{what}: no such file, and {count}; give a file or more of one id")
            found = [runs.get(begin[0].data.tags.get(PARENT), begin[0])]
        facts = [_facts(store, repository, one) for one in found]
        return "\n\n".join("\n".join(f"{key:12}{value}" for key, value in lines) for lines in facts)


def _outs(store: Store, run: Any) -> Outs:
    """Read what a run made from its tag, or from its artifact where that would be too long."""
    from mlflow.exceptions import MlflowException

    try:
        if text := run.data.tags.get("dvc.outs"):
            return dict(json.loads(text))
        listing = Path(store.client.download_artifacts(run.info.run_id, LISTING)).read_text()
        return dict(json.loads(listing)["outs"])
    except (MlflowException, OSError, ValueError):
        name = f"{run.info.run_name} ({run.info.run_id[:8]})"
        print(f"{name}: left out, its tag dvc.outs or artifact {LISTING} cannot be read", file=sys.stderr)
        return {}


def _all(repository: Repository, outs: Outs) -> set[str]:
    """Return the md5 of every file that a run made, those in folders too."""
    inside = (repository.listing(md5).values() for md5 in outs.values())
    return {*outs.values(), *(md5 for files in inside for md5 in files)}


def _facts(store: Store, repository: Repository, run: Any) -> Iterator[tuple[str, str]]:
    root, outs, tags = repository.root, _outs(store, run), run.data.tags
    begun = datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(" ", "seconds")
    yield "run", f"{run.info.run_id}  {run.info.run_name}, {run.info.status.lower()}, begun {begun}"
    for place, (path, md5) in enumerate(outs.items()):
        yield "" if place else "files", f"{md5}  {path}"
    here = bool(outs) and outs.items() <= repository.held.items()
    commit = _commit(root, outs)
    yield "commit", ("the working tree, " if here else "") + (commit or "none has it")
    yield "experiment", {**revision(root, commit), **tags}.get("dvc.experiment", "none")
    yield "in dvc.lock", tags.get(STATE, "unknown")
    yield "get back", _way_back(store, repository, run, outs, commit, here)


def _commit(root: Path, outs: Outs) -> str:
    """Return the commit, if any, whose dvc.lock has what a run made: HEAD, else the newest."""
    locks = ":(glob)**/dvc.lock"
    some = next(iter(outs.values()), "no output")
    changed = git(root, "log", "--all", "--format=%H", f"-S{some}", "--", locks) or ""
    wanted = ["--all-match", "-F", *(part for md5 in outs.values() for part in ("-e", md5))]
    for one in ("HEAD", *changed.split()) if outs else ():
        if git(root, "grep", "-l", *wanted, one, "--", locks):
            return git(root, "rev-parse", one) or ""
    return ""


def _way_back(store: Store, repository: Repository, run: Any, outs: Outs, commit: str, here: bool) -> str:
    """Return the command that brings the files back; words where nothing is to be done."""
    paths = list(outs)
    if here and all((repository.root / path).exists() for path in paths):
        return "not needed: they are in the working tree"
    target, stage = run.info.run_id[:8], shlex.quote(run.data.tags["dvc.stage"])
    away = Path.cwd() != repository.root  # where dvc would look for a stage of that folder
    dvc = f"cd {shlex.quote(str(repository.root))} && " * away + "dvc"
    keepers = {repository.keeper(*out) for out in outs.items()}
    if "nowhere" not in keepers:
        if here:
            verb = "pull" if "remote" in keepers else "checkout" if "cache" in keepers else "repro"
            return f"{dvc} {verb} {stage}"
        if commit:
            folder = os.path.commonpath(paths)
            places = (
                {folder: target} if folder else {path: f"{target}-{path.replace('/', '-')}" for path in paths}
            )
            get = (shlex.join(["dvc", "get", ".", path, "--out", out]) for path, out in places.items())
            return " && ".join(f"{one} --rev {commit[:12]}" for one in get)
    where = f"MLFLOW_TRACKING_URI={shlex.quote(store.uri)} " if redacted(store.uri) == store.uri else ""
    fetch = f"{where}mlflow artifacts download --dst-path {target}"
    model = logged_id(run)
    if not model and {one.path for one in store.client.list_artifacts(run.info.run_id)} <= {LISTING, DIFF}:
        return f"neither DVC nor MLflow has them; `{dvc} repro {stage}` makes them anew"
    return f"{fetch} --run-id {run.info.run_id}" + (f" && {fetch}/model -u {LOGGED}{model}" if model else "")
