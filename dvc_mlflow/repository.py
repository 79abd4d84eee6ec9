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

    def __init__(self, repo: Any, root: Path, revision: str | None, folder: Path, now: bool):
        """Take the arguments of `opened`, and DVC's own object."""
        self._repo, self.root, self.revision, self._folder, self._now = repo, root, revision, folder, now
        self.outs: dict[str, Any] = {
            self._path(out): out for stage in repo.index.stages for out in stage.outs
        }
        hashes = {path: out.hash_info.value for path, out in self.outs.items()}
        self.held: dict[str, str] = {path: value for path, value in hashes.items() if value}

    def stages(self) -> list[Stage]:
        """Return all stages that have run."""
        from dvc.stage import PipelineStage

        pipeline = [stage for stage in self._repo.index.stages if isinstance(stage, PipelineStage)]
        stages = [self._stage(stage) for stage in pipeline if _has_run(stage)]
        if not stages and self.revision:
            raise Unusable(f"{self.revision[:12]}: no stage of its dvc.yaml is in its dvc.lock")
        if not stages:
            if not pipeline:
                back = "`git checkout HEAD dvc.yaml` brings a committed one back"
                raise Unusable(f"dvc.yaml: has no stage that MLflow could show; {back}")
            there = any(stage.dvcfile._lockfile.exists() for stage in pipeline)
            mends = "has no stage of dvc.yaml; `git checkout HEAD dvc.lock` or `dvc repro` mends it"
            raise Unusable(f"dvc.lock: {mends if there else 'is not there; `dvc repro` makes it'}")
        return stages

    def running(self, name: str) -> Stage:
        """Return a stage by the name that DVC_STAGE has.

        DVC_STAGE names its dvc.yaml as seen from the folder in which dvc was called, which is not known here;
        of stages with the same name, the one that runs has this process's folder.
        """
        last = name.rpartition(":")[2]
        found = [stage for stage in self._repo.index.stages if getattr(stage, "name", None) == last]
        here = [stage for stage in found if Path(stage.wdir) == Path.cwd()]
        exact = [stage for stage in found if self._name(stage) == name]
        chosen = here if len(here) == 1 else exact or found
        if len(chosen) != 1:
            raise Unusable(f"{name}: dvc.yaml has no such stage")
        return self._stage(chosen[0])

    def _name(self, stage: Any) -> str:
        """Return `train`, or `folder/dvc.yaml:train` for a dvc.yaml that is not at the root."""
        file = self._relative(stage.path)
        return str(stage.name) if file == "dvc.yaml" else f"{file}:{stage.name}"

    def _stage(self, stage: Any) -> Stage:
        from dvc.dependency import ParamsDependency
        from dvc.repo.metrics.show import _collect_top_level_metrics

        params: dict[str, Any] = {}
        deps: dict[str, str] = {}
        for dep in stage.deps:
            path, held = self._path(dep), _hash(dep) if self._now else dep.hash_info.value
            if isinstance(dep, ParamsDependency):
                for key, value in (held or {}).items():  # another file may have the same name
                    params[f"{path}:{key}" if key in params else key] = value
            elif held:
                deps[path] = held
        outs = {self._path(out): str(_hash(out) if self._now else out.hash_info.value) for out in stage.outs}
        metrics = [self._path(out) for out in stage.outs if out.metric]
        metrics += [path for path in _collect_top_level_metrics(self._repo) if self._holder(path) in outs]
        plots = {self._path(out): _step_column(out.plot) for out in stage.outs if out.plot}
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
            list(dict.fromkeys(metrics)),
            plots,
            [path for path in sorted(deps) if self._is_data(path)],
        )

    def _is_data(self, path: str) -> bool:
        return bool(self._holder(path)) or any(out.startswith(f"{path}/") for out in self.outs)

    def _top_level_plots(self) -> Iterator[tuple[str, str | None]]:
        """Yield the files of each dvc.yaml's own `plots:`, with their step column."""
        fs = self._repo.fs
        for file, plots in self._repo.index._plots.items():
            folder = fs.parent(fs.abspath(file))
            for one in plots if isinstance(plots, list) else [plots]:
                for name, plot in one.items() if isinstance(one, dict) else [(one, None)]:
                    y = (plot or {}).get("y")
                    for path in y if isinstance(y, dict) else [name]:
                        yield self._relative(fs.join(folder, path)), _step_column(plot, path)

    def _holder(self, path: str) -> str | None:
        """Return the output that is `path` or a folder above it."""
        parts = PurePosixPath(path)
        return next((str(one) for one in (parts, *parts.parents) if str(one) in self.outs), None)

    def file(self, path: str) -> Path:
        """Return the local copy of `path`, with the bytes that dvc.lock has. Raises Unusable."""
        if self.revision is None:
            holder = self._holder(path)
            out = self.outs[holder] if holder else None
            if out is not None and not self._now and _hash(out) != out.hash_info.value:
                fault = "is not what dvc.lock has" if out.exists else "is not here"
                remedy = (
                    "`dvc checkout`, or `dvc pull` in a new clone, brings it back; `dvc repro` makes it anew"
                )
                raise Unusable(f"{holder}: {fault}; {remedy}")
            if not (self.root / path).exists():
                if holder in (None, path):
                    raise Unusable(f"{path}: is not there; `dvc repro` makes it")
                raise Unusable(f"{path}: is not there; {holder} has no such file, though dvc.yaml names it")
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
        """Return the md5 of what DVC tracks or of a file within it; for a folder within it, of its list.

        It is "unknown" where the cache has no list of the folder. Raises Unusable for what is not there.
        """
        known, unlisted = self.held | deps, bool(self.revision)
        if path in known:
            return known[path]
        for parent in PurePosixPath(path).parents:
            name = PurePosixPath(path).relative_to(parent).as_posix()
            files = self.listing(known.get(str(parent), ""))
            unlisted |= str(parent) in known and not files
            start = f"{name}/"
            below = {file.removeprefix(start): md5 for file, md5 in files.items() if file.startswith(start)}
            if name in files or below:
                listing = json.dumps(below, sort_keys=True)
                return files.get(name) or hashlib.md5(listing.encode()).hexdigest()
        local = self.root / path
        if not unlisted and not local.exists():
            raise Unusable(f"meta.mlflow: datasets: {path}: is not there, nor in an input")
        return digest(local) if local.is_file() and not self.revision else "unknown"

    def listing(self, md5: str) -> dict[str, str]:
        """Return the files of a folder in DVC's cache, with their md5; nothing if the cache has it not."""
        file = Path(self._repo.cache.local.oid_to_path(md5))
        if not md5.endswith(".dir") or not file.exists():
            return {}
        return {entry["relpath"]: entry["md5"] for entry in json.loads(file.read_text())}

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


def _step_column(plot: Any, path: str = "") -> str | None:
    """Return the column that `plots:` in dvc.yaml names as x of the file `path`."""
    x = plot.get("x") if isinstance(plot, dict) else None
    column = x.get(path) if isinstance(x, dict) else x
    return column if isinstance(column, str) else None


def _has_run(stage: Any) -> bool:
    held = [item.hash_info for item in (*stage.outs, *stage.deps)]
    return all(out.hash_info for out in stage.outs) and any(held)


def _hash(item: Any) -> Any:
    try:
        return item.get_hash().value
    except OSError:
        return None


def digest(file: Path) -> str:
    """Return the md5 of a file."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()


def files_in(folder: Path) -> dict[str, Path]:
    """Return the files below a folder, by their path within it."""
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}


@contextmanager
def opened(
    root: Path, revision: str | None = None, folder: Path = Path(), now: bool = False
) -> Iterator[Repository]:
    """Open the DVC repository at `root`, at its working tree or at a commit, branch, tag or experiment.

    `folder` takes the files of a revision; those of a working tree are used where they are: `now` with the
    bytes that they have, else with those that dvc.lock has. Raises Unusable for whatever DVC cannot read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import RevError

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with Repo(str(root)) as repo, repo.switch(revision) if revision else nullcontext() as commit:
            yield Repository(repo, root, str(commit) if revision else None, folder, now)
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
