"""Whether the files that dvc.lock names are whole: where they belong, and in DVC's cache.

DVC trusts its cache: it restores a damaged file from there, and says afterwards that all is up to
date, for it goes by the times of files. Here every byte is read.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from stages.core.mirror.lockfile import matches


class Held(NamedTuple):
    """A file, or a folder as a whole, that dvc.lock names: where it belongs, its md5, the stage that made it.

    `cached` is its copy in DVC's cache (a folder's is the listing of its files), None if DVC keeps none.
    """

    path: Path
    md5: str
    stage: str
    cached: Path | None


class Damage(NamedTuple):
    """What is not as dvc.lock has it, what is wrong with it, and the command that mends it."""

    path: Path
    fault: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: is {self.fault}; to mend it: {self.remedy}"


def held(repo: Any) -> Iterator[Held]:
    """All that dvc.lock names in a repository (dvc.repo.Repo): each folder, and then each of its files."""
    for out in repo.index.outs:
        if not out.hash_info or out.hash_info.name != "md5":
            continue  # not made yet
        path, md5, stage = (
            Path(os.path.relpath(out.fs_path, repo.root_dir)),
            out.hash_info.value,
            out.stage.addressing,
        )
        if not out.use_cache:
            yield Held(path, md5, stage, None)
            continue
        cached = Path(out.cache.oid_to_path(md5))
        yield Held(path, md5, stage, cached)
        if out.hash_info.isdir and matches(cached, md5):
            for entry in json.loads(cached.read_bytes()):
                place = Path(out.cache.oid_to_path(entry["md5"]))
                yield Held(path / entry["relpath"], entry["md5"], stage, place)


def has_remote(repo: Any) -> bool:
    """Whether DVC has a place to pull from."""
    return "remote" in repo.config["core"]


def damages(root: Path, everything: Iterable[Held], remote: bool) -> Iterator[Damage]:
    """What of `everything` is damaged; a folder only if none of its own files tells why.

    Two files of the same bytes have one copy in the cache, which is told once.
    """
    told: set[Path | None] = set()
    for one in sorted(everything, key=lambda one: one.md5.endswith(".dir")):  # files first
        here, in_cache = matches(root / one.path, one.md5), one.cached is None or matches(one.cached, one.md5)
        if (not in_cache and one.cached not in told) or (not here and one.path not in told):
            told |= {one.path, *one.path.parents, one.cached}
            yield Damage(one.path, *_fault_and_remedy(root, one, here, in_cache, remote))


def _fault_and_remedy(root: Path, one: Held, here: bool, in_cache: bool, remote: bool) -> tuple[str, str]:
    path, stage, fault = quote(str(one.path)), quote(one.stage), _fault(root / one.path)
    if one.cached is None:
        return fault, f"rm -f {path} && dvc repro {stage}"
    if in_cache:
        return fault, f"rm -rf {path} && dvc checkout {path}"
    cached, fault_there = quote(os.path.relpath(one.cached, root)), f"{_fault(one.cached)} in DVC's cache"
    if here:
        return fault_there, f"rm -f {cached} && dvc commit --force {stage}"
    way_back = f"dvc pull {path}" if remote else f"dvc repro {stage}"
    return f"{fault}, and {fault_there}", f"rm -rf {path} {cached} && {way_back}"


def _fault(path: Path) -> str:
    return "changed" if path.exists() else "missing"
