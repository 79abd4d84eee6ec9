"""The stages, parameters and outputs of a working tree or a revision, read through DVC's own API."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from dvc_mlflow.errors import Unusable, in_a_line


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.lock has it, or as it is now where it has just run. Paths are relative to the root."""

    name: str
    command: str
    folder: str
    params: dict[str, Any]
    deps: dict[str, str]
    """The md5 of each dependency; that of each output is in `outs`."""
    outs: dict[str, str]
    meta: Any
    metrics: list[str] = field(default_factory=list)
    plots: dict[str, str | None] = field(default_factory=dict)
    """The step column of each table, if dvc.yaml names it."""
    data: list[str] = field(default_factory=list)
    """Those of `deps` that DVC tracks as data, at least in part."""


class Repository:
    """An opened repository at one revision; `opened` makes it."""

    def __init__(self, repo: Any, root: Path, revision: str | None, folder: Path):
        """`folder` takes the files of a revision; those of a working tree are used where they are."""
        self._repo, self.root, self.revision, self._folder = repo, root, revision, folder
        self.outs: dict[str, Any] = {
            self._path(out): out for stage in repo.index.stages for out in stage.outs
        }
        hashes = {path: out.hash_info.value for path, out in self.outs.items()}
        self.held: dict[str, str] = {path: value for path, value in hashes.items() if value}

    def stages(self) -> list[Stage]:
        """Return all stages that have run."""
        from dvc.stage import PipelineStage

        pipeline = [stage for stage in self._repo.index.stages if isinstance(stage, PipelineStage)]
        stages = [self._stage(stage, now=False) for stage in pipeline if _has_run(stage)]
        if not stages:
            place = f"{self.revision[:12]}: " if self.revision else ""
            if not pipeline:
                back = "`git checkout HEAD dvc.yaml` brings a committed one back"
                raise Unusable(f"{place}dvc.yaml: has no stage that MLflow could show; {back}")
            there = any(stage.dvcfile._lockfile.exists() for stage in pipeline)
            mends = "has no stage of dvc.yaml; `git checkout HEAD dvc.lock` or `dvc repro` mends it"
            raise Unusable(f"{place}dvc.lock: {mends if there else 'is not there; `dvc repro` makes it'}")
        return stages

    def running(self, name: str, now: bool) -> Stage:
        """Return a stage by the name that DVC_STAGE has, `now` with the md5 sums that it has now.

        DVC_STAGE names its dvc.yaml as seen from the folder in which dvc was called.
        """
        last = name.rpartition(":")[2]
        found = [stage for stage in self._repo.index.stages if getattr(stage, "name", None) == last]
        exact = [stage for stage in found if self._name(stage) == name]
        if len(exact or found) != 1:
            raise Unusable(f"{name}: dvc.yaml has no such stage")
        return self._stage((exact or found)[0], now)

    def _name(self, stage: Any) -> str:
        """Return `train`, or `folder/dvc.yaml:train` for a dvc.yaml that is not at the root."""
        file = self._relative(stage.path)
        return str(stage.name) if file == "dvc.yaml" else f"{file}:{stage.name}"

    def _stage(self, stage: Any, now: bool) -> Stage:
        from dvc.dependency import ParamsDependency
        from dvc.repo.metrics.show import _collect_top_level_metrics

        params: dict[str, Any] = {}
        deps: dict[str, str] = {}
        for dep in stage.deps:
            held = _hash(dep) if now else dep.hash_info.value
            if isinstance(dep, ParamsDependency):
                file = self._path(dep)  # the prefix of a name that another file has too
                params |= {
                    f"{file}:{key}" if key in params else key: one for key, one in (held or {}).items()
                }
            elif held:
                deps[self._path(dep)] = held
        outs = {self._path(out): str(_hash(out) if now else out.hash_info.value) for out in stage.outs}
        metrics = [self._path(out) for out in stage.outs if out.metric]
        plots: dict[str, str | None] = {
            self._path(out): out.plot.get("x") if isinstance(out.plot, dict) else None
            for out in stage.outs
            if out.plot
        }
        for path in _collect_top_level_metrics(self._repo):
            if self._holder(path) in outs and path not in metrics:
                metrics.append(path)
        for path, x in self._top_level_plots():
            if self._holder(path) in outs and not plots.get(path):
                plots[path] = x
        return Stage(
            self._name(stage),
            stage.cmd if isinstance(stage.cmd, str) else " && ".join(stage.cmd),
            self._relative(stage.wdir),
            params,
            deps,
            outs,
            stage.meta,
            metrics,
            plots,
            [path for path in sorted(deps) if self._holder(path) or self._is_above_outputs(path)],
        )

    def _top_level_plots(self) -> Iterator[tuple[str, str | None]]:
        """Yield the files of each dvc.yaml's own `plots:`, with their step column."""
        fs = self._repo.fs
        for file, plots in self._repo.index._plots.items():
            folder = fs.parent(fs.abspath(file))
            for one in plots if isinstance(plots, list) else [plots]:
                for name, plot in one.items() if isinstance(one, dict) else [(one, None)]:
                    y, x = (plot or {}).get("y"), (plot or {}).get("x")
                    for path in y if isinstance(y, dict) else [name]:
                        column = x.get(path) if isinstance(x, dict) else x
                        yield (
                            self._relative(fs.join(folder, path)),
                            column if isinstance(column, str) else None,
                        )

    def _holder(self, path: str) -> str | None:
        """Return the output that is `path` or a folder above it."""
        parts = PurePosixPath(path)
        return next((str(one) for one in (parts, *parts.parents) if str(one) in self.outs), None)

    def _is_above_outputs(self, path: str) -> bool:
        return any(out.startswith(f"{path}/") for out in self.outs)

    def file(self, path: str, running: bool = False) -> Path:
        """Return the local copy of `path`, with the bytes that dvc.lock has. Raises Unusable."""
        if self.revision is None:
            holder = self._holder(path)
            out = self.outs[holder] if holder else None
            if out is not None and not running and _hash(out) != out.hash_info.value:
                fault = "is not what dvc.lock has" if out.exists else "is not here"
                remedy = (
                    "`dvc checkout`, or `dvc pull` in a new clone, brings it back; `dvc repro` makes it anew"
                )
                raise Unusable(f"{holder}: {fault}; {remedy}")
            if not (self.root / path).exists():
                raise Unusable(f"{path}: is not there; `dvc repro` makes it")
            return self.root / path
        copy, files = self._folder / path, self._repo.dvcfs
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                files.get(path, str(copy), recursive=files.isdir(path))
            except Exception as error:  # each kind of remote raises its own
                cause = f"neither cache nor remote has it: {in_a_line(error)}"
                raise Unusable(f"{path}: {self.revision[:12]}: {cause}") from None
        return copy

    def md5(self, path: str, deps: dict[str, str]) -> str:
        """Return the md5 of what DVC tracks, or of a file or folder within it."""
        known = self.held | deps
        if path in known:
            return known[path]
        for parent in PurePosixPath(path).parents:
            name = PurePosixPath(path).relative_to(parent).as_posix()
            files = self.listing(known.get(str(parent), ""))
            below = {
                file.removeprefix(f"{name}/"): md5
                for file, md5 in files.items()
                if file.startswith(f"{name}/")
            }
            if name in files or below:
                return files.get(name) or _digest_of(below)
        local = self.root / path
        return digest(local) if local.is_file() and not self.revision else "unknown"

    def listing(self, md5: str) -> dict[str, str]:
        """Return the files of a folder in DVC's cache, with their md5; nothing if the cache has it not."""
        file = Path(self._repo.cache.local.oid_to_path(md5))
        if not md5.endswith(".dir") or not file.exists():
            return {}
        return {entry["relpath"]: entry["md5"] for entry in json.loads(file.read_text())}

    def holds(self, outs: dict[str, str]) -> bool:
        """Return whether dvc.lock has these outputs."""
        return bool(outs) and outs.items() <= self.held.items()

    def keeper(self, path: str, md5: str) -> str:
        """Return from where an output can be had: git, cache, remote or nowhere."""
        if path in self.outs and not self.outs[path].use_cache:
            return "git"
        if self._repo.cache.local.exists(md5):
            return "cache"
        return "remote" if self._repo.config["remote"] else "nowhere"

    def _path(self, item: Any) -> str:
        return self._relative(item.fs_path) if item.is_in_repo else str(item)

    def _relative(self, path: str) -> str:
        return str(self._repo.fs.relpath(path, self._repo.root_dir)).replace(os.sep, "/")


def _has_run(stage: Any) -> bool:
    held = [item.hash_info for item in (*stage.outs, *stage.deps)]
    return all(out.hash_info for out in stage.outs) and any(held)


def _hash(item: Any) -> Any:
    try:
        return item.get_hash().value
    except OSError:
        return None


def digest(path: Path) -> str:
    """Return the md5 of a file, or over the names and md5 sums of a folder's files."""
    if path.is_dir():
        return _digest_of({name: digest(file) for name, file in files_in(path).items()})
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _digest_of(files: dict[str, str]) -> str:
    return hashlib.md5(json.dumps(files, sort_keys=True).encode()).hexdigest()


def files_in(folder: Path) -> dict[str, Path]:
    """Return the files below a folder, by their path within it."""
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}


@contextmanager
def opened(root: Path, revision: str | None = None, folder: Path = Path()) -> Iterator[Repository]:
    """Open the DVC repository at `root`, at its working tree or at a commit, branch, tag or experiment.

    Raises Unusable for whatever DVC cannot read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import RevError

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with Repo(str(root)) as repo, repo.switch(revision) if revision else nullcontext() as commit:
            yield Repository(repo, root, str(commit) if revision else None, folder)
    except RevError as error:
        raise Unusable(f"{revision}: {in_a_line(error)}") from None
    except (DvcException, OSError) as error:
        text = in_a_line(error)
        if "dvc.lock" in f"{error} {text}":
            last = "`git checkout HEAD dvc.lock` brings the last committed one back, then `dvc repro`"
            raise Unusable(f"dvc.lock: {text}; {last}") from None
        if "config file" in str(error):
            places = ".dvc/config, .dvc/config.local or ~/.config/dvc/config"
            raise Unusable(f"dvc: {' '.join(str(error).split())}; an editor mends it, in {places}") from None
        rwlock = "rwlock" in str(error).lower()
        remedy = "`rm .dvc/tmp/rwlock` mends it" if rwlock else "`dvc status` says more"
        raise Unusable(f"{text}; {remedy}") from None
