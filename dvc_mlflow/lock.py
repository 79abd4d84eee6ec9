"""The stages, parameters and outputs of a working tree or a revision, read through DVC's own API."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dvc_mlflow.redaction import in_a_line


class Unusable(ValueError):
    """A repository, revision or file cannot be mirrored; one line that says why and what helps."""


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.lock has it, or as it is now where it has just run. Paths are relative to the root."""

    name: str
    command: str
    folder: str
    params: dict[str, Any]
    deps: dict[str, str]
    outs: dict[str, str]
    meta: Any
    metrics: list[str] = field(default_factory=list)
    plots: dict[str, str | None] = field(default_factory=dict)
    """The step column of each table, if dvc.yaml names it."""
    data: frozenset[str] = frozenset()
    """Those of `deps` that DVC tracks as data."""


class Lock:
    """An opened repository at one revision; `opened` makes it."""

    def __init__(self, repo: Any, root: Path, revision: str | None, folder: Path):
        """`folder` takes the files of a revision; those of a working tree are used where they are."""
        self._repo, self.root, self.revision, self._folder = repo, root, revision, folder
        self._outs: dict[str, Any] = {
            self._path(out): out for stage in repo.index.stages for out in stage.outs
        }

    def stages(self, running: str | None = None) -> list[Stage]:
        """Return all stages that have run, or only one that has just run, with the md5 sums it has now."""
        from dvc.stage import PipelineStage

        pipeline = [stage for stage in self._repo.index.stages if isinstance(stage, PipelineStage)]
        if running is not None:
            return [self._stage(self._named(running), now=True)]
        if not self._repo.fs.exists(self._repo.fs.join(self._repo.root_dir, "dvc.lock")):
            nested = any(out.hash_info for stage in pipeline for out in stage.outs)
            if not nested:
                raise Unusable("dvc.lock: is not there; `dvc repro` makes it")
        stages = [self._stage(stage, now=False) for stage in pipeline if _has_run(stage)]
        if not stages and pipeline:
            raise Unusable(
                "dvc.lock: has no stage of dvc.yaml; `git checkout dvc.lock` or `dvc repro` mends it"
            )
        return stages

    def meta(self, name: str) -> Any:
        """Return the `meta` of a stage."""
        return self._named(name).meta

    def _named(self, name: str) -> Any:
        """Find a stage. DVC_STAGE names its dvc.yaml as seen from where dvc was called."""
        last = name.rpartition(":")[2]
        found = [stage for stage in self._repo.index.stages if getattr(stage, "name", None) == last]
        exact = [stage for stage in found if self._name(stage) == name]
        if len(exact or found) != 1:
            raise Unusable(f"{name}: dvc.yaml has no such stage")
        return (exact or found)[0]

    def _name(self, stage: Any) -> str:
        """Return `train`, or `folder/dvc.yaml:train` for a dvc.yaml that is not at the root."""
        file = self._relative(stage.path)
        return str(stage.name) if file == "dvc.yaml" else f"{file}:{stage.name}"

    def outputs(self) -> list[str]:
        """Return the paths that the pipeline writes."""
        return list(self._outs)

    def _stage(self, stage: Any, now: bool) -> Stage:
        from dvc.dependency import ParamsDependency

        params: dict[str, Any] = {}
        deps: dict[str, str] = {}
        for dep in stage.deps:
            if isinstance(dep, ParamsDependency):
                params |= (dep.get_hash() if now else dep.hash_info).value or {}
            elif value := (_hash(dep) if now else dep.hash_info.value):
                deps[self._path(dep)] = value
        outs = {self._path(out): str(_hash(out) if now else out.hash_info.value) for out in stage.outs}
        plots: dict[str, str | None] = {}
        for out in stage.outs:
            if out.plot:
                plots[self._path(out)] = out.plot.get("x") if isinstance(out.plot, dict) else None
        metrics = [self._path(out) for out in stage.outs if out.metric]
        for path, x in self._top_level():
            if self._holder(path) in outs:
                if x is False and path not in metrics:
                    metrics.append(path)
                elif x is not False and not plots.get(path):
                    plots[path] = x or None
        tracked = frozenset(path for path in deps if self._holder(path))
        folder = self._relative(stage.wdir)
        command = stage.cmd if isinstance(stage.cmd, str) else " && ".join(stage.cmd)
        return Stage(
            self._name(stage), command, folder, params, deps, outs, stage.meta, metrics, plots, tracked
        )

    def _top_level(self) -> Iterator[tuple[str, Any]]:
        """Yield the files of each dvc.yaml's own `metrics:` (with False) and `plots:` (with their x)."""
        index, fs = self._repo.index, self._repo.fs
        for file, paths in index._metrics.items():
            for path in paths:
                yield self._relative(fs.join(fs.parent(fs.abspath(file)), path)), False
        for file, plots in index._plots.items():
            base = fs.parent(fs.abspath(file))
            for name, plot in _plots(plots):
                y, x = plot.get("y"), plot.get("x")
                for path in y if isinstance(y, dict) else [name]:
                    column = x.get(path) if isinstance(x, dict) else x
                    yield self._relative(fs.join(base, path)), column if isinstance(column, str) else None

    def _holder(self, path: str) -> str | None:
        """Return the output that is `path` or a folder above it."""
        parts = PurePosixPath(path)
        return next((str(one) for one in (parts, *parts.parents) if str(one) in self._outs), None)

    def file(self, path: str, running: bool = False) -> Path:
        """Return the local copy of `path`, with the bytes that dvc.lock has. Raises Unusable."""
        from dvc.exceptions import DvcException

        holder = self._holder(path)
        if self.revision is None:
            out = self._outs[holder] if holder else None
            if out is not None and not running and _hash(out) != out.hash_info.value:
                raise Unusable(
                    f"{holder}: is not what dvc.lock has; `dvc checkout`, or `dvc pull` in a new clone, "
                    "brings it back; `dvc repro` makes it anew"
                )
            if not (self.root / path).exists():
                raise Unusable(f"{path}: is not there; `dvc repro` makes it")
            return self.root / path
        copy = self._folder / path
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            files = self._repo.dvcfs
            try:
                files.get(path, str(copy), recursive=files.isdir(path))
            except (DvcException, OSError) as error:
                cause = in_a_line(error)
                raise Unusable(
                    f"{path}: {self.revision[:12]}: neither cache nor remote has it: {cause}"
                ) from None
        return copy

    def md5(self, path: str, deps: dict[str, str]) -> str | None:
        """Return the md5 of a dependency, or of a file within one, as DVC's listing of the folder has it."""
        if path in deps:
            return deps[path]
        for parent in PurePosixPath(path).parents:
            if (held := deps.get(str(parent))) and (listing := self.listing(held)):
                return listing.get(str(PurePosixPath(path).relative_to(parent)))
        return None

    def listing(self, md5: str) -> dict[str, str]:
        """Return the files of a folder in DVC's cache, with their md5; nothing if the cache has it not."""
        try:
            entries = json.loads(Path(self._repo.cache.local.oid_to_path(md5)).read_text())
        except (OSError, ValueError):
            return {}
        return {entry["relpath"]: entry["md5"] for entry in entries}

    def is_kept(self, path: str, md5: str) -> bool:
        """Whether DVC's cache has an output; one that is not cached is kept by git."""
        return path not in self.cached([path]) or bool(self._repo.cache.local.exists(md5))

    def cached(self, paths: list[str]) -> list[str]:
        """Return those of `paths` that DVC keeps in its cache, not git."""
        return [path for path in paths if path not in self._outs or self._outs[path].use_cache]

    def _path(self, item: Any) -> str:
        return self._relative(item.fs_path) if item.is_in_repo else str(item)

    def _relative(self, path: str) -> str:
        return str(self._repo.fs.relpath(path, self._repo.root_dir)).replace(os.sep, "/")


def _plots(plots: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and definition of each top-level plot, which dvc.yaml has as a list or a dictionary."""
    for one in plots if isinstance(plots, list) else [plots]:
        for name, plot in one.items() if isinstance(one, dict) else [(one, None)]:
            yield str(name), plot or {}


def _has_run(stage: Any) -> bool:
    held = [item.hash_info for item in (*stage.outs, *stage.deps)]
    return all(out.hash_info for out in stage.outs) and any(held)


def _hash(item: Any) -> str | None:
    try:
        value: str | None = item.get_hash().value
        return value
    except OSError:
        return None


def digest(path: Path) -> str:
    """Return the md5 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


@contextmanager
def opened(root: Path, revision: str | None, folder: Path) -> Iterator[Lock]:
    """Open the DVC repository at `root`, at its working tree or at a commit, branch, tag or experiment.

    Raises Unusable for whatever DVC cannot read.
    """
    import logging
    from contextlib import nullcontext

    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import RevError

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with Repo(str(root)) as repo, repo.switch(revision) if revision else nullcontext() as commit:
            yield Lock(repo, root, str(commit) if revision else None, folder)
    except RevError as error:
        raise Unusable(f"{revision}: {in_a_line(error)}") from None
    except (DvcException, OSError) as error:
        raise Unusable(_remedied(error)) from None


def _remedied(error: BaseException) -> str:
    """Describe an error of DVC on one line, with the command that helps."""
    text = in_a_line(error)
    first = " ".join(str(error).split())[:200]
    if "dvc.lock" in first or "dvc.lock" in text:
        return (
            f"dvc.lock: {text}; `git checkout dvc.lock` brings the last committed one back, then `dvc repro`"
        )
    if "rwlock" in first.lower():
        return f"{text}; `rm .dvc/tmp/rwlock` mends it"
    return text
