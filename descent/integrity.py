"""Check dvc.lock and every file that it names, in the workspace and in DVC's cache.

DVC trusts its cache and the times of files: it restores a damaged file from there, and then says that
all is up to date. Here every byte is read. DVC also writes dvc.lock and `.dvc/tmp/rwlock` in place, so
that a dvc that is killed meanwhile leaves them truncated.
"""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import yaml

from descent.errors import UserError

LOCK = Path("dvc.lock")
CONFLICT = re.compile(
    r"^<<<<<<< [^\n]*\n(.*?)(?:^\|{7} [^\n]*\n.*?)?^=======\n(.*?)^>>>>>>> [^\n]*\n?", re.M | re.S
)
"""What git writes for a conflict: our lines, those of the common ancestor in some settings, their lines."""
RWLOCK = Path(".dvc/tmp/rwlock")
"""The processes that read or write files; DVC itself removes those that have ended."""


class Recorded(NamedTuple):
    """A file, or a folder, in dvc.lock."""

    path: Path  # relative to the root
    md5: str  # a folder's ends with `.dir`
    stage: str  # that made it
    cached: Path | None  # its copy in DVC's cache (a folder's is the list of its files), if DVC keeps one


def repository(start: Path | None = None) -> Path:
    """Return the root of the DVC repository that `start` (default: the working directory) is in."""
    start = start or Path.cwd()
    return next((folder for folder in (start, *start.parents) if (folder / ".dvc").is_dir()), start)


def _core(root: Path) -> dict[str, Any]:
    """Return the section `core` of DVC's configuration."""
    from dvc.config import Config

    return dict(Config(str(root / ".dvc"))["core"])


def remove_truncated_rwlock(root: Path) -> bool:
    """Remove `.dvc/tmp/rwlock` if it is not JSON, which no dvc can use; return whether it was removed."""
    path = root / RWLOCK
    if not _truncated(path):
        return False
    from dvc.lock import LockError, make_lock

    hardlink = _core(root).get("hardlink_lock", False)
    with suppress(LockError, FileNotFoundError):  # a dvc has held it for seconds, or removes it just now
        with make_lock(f"{path}.lock", tmp_dir=str(path.parent), hardlink_lock=hardlink):  # no dvc writes it
            if _truncated(path):
                path.unlink()
                return True
    return False


def _truncated(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False


def _line(path: Path, fault: str, remedy: str) -> str:
    """Describe a file that is not as DVC wrote it, with the command that repairs it."""
    return f"{path}: is {fault}; to mend it: {remedy}"


def lock_damage(root: Path) -> str | None:
    """Return what is wrong with dvc.lock in one line, if it exists and is not what DVC writes."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        text = (root / LOCK).read_text(encoding="utf-8")
        stages = COMPILED_LOCKFILE_SCHEMA(yaml.load(text, yaml.CSafeLoader)).get("stages", {})
        if all("md5" in out for stage in stages.values() for out in stage["outs"]):
            return None
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, UnicodeDecodeError, Invalid, KeyError):
        pass  # it is not what DVC writes
    if b"<<<<<<< " in (root / LOCK).read_bytes():
        pull = " --pull" if _core(root).get("remote") else ""  # what the other side has trained
        return _line(LOCK, "in conflict, as after a merge", f"python -m descent resolve && dvc repro{pull}")
    return _line(LOCK, "truncated, as by a kill of dvc", f"git checkout {LOCK} || rm {LOCK}; dvc repro")


def resolve_conflict(text: str) -> str:
    """Resolve the conflicts in the text of a dvc.lock, stage by stage.

    A stage that only one side has is kept; where both have it and differ, ours is kept, and dvc runs
    the stage again if it does not fit the merged dependencies.
    """
    if "<<<<<<< " not in text:
        raise UserError(f"{LOCK}: has no conflict")
    try:
        sides = [CONFLICT.sub(side, text) for side in (r"\1", r"\2")]
        ours, theirs = (dict(yaml.load(side, yaml.CSafeLoader)) for side in sides)
    except (yaml.YAMLError, TypeError, ValueError):
        raise UserError(f"{LOCK}: a side of the conflict is truncated; git checkout --ours {LOCK}") from None
    stages = theirs.get("stages", {}) | ours.get("stages", {})
    return yaml.dump(ours | {"stages": stages}, Dumper=yaml.CSafeDumper, sort_keys=False)


def git_fault(root: Path) -> str | None:
    """Return why git cannot be used in `root`, with the command that helps; None if it can.

    A repository that DVC uses without git (core.no_scm) needs none.
    """
    if _core(root).get("no_scm"):
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    untranslated = os.environ | {"LC_ALL": "C"}
    try:
        done = subprocess.run(command, env=untranslated, capture_output=True, text=True)
    except FileNotFoundError:
        return "git: is not installed; DVC needs it"
    if done.returncode == 0:
        return None
    reason = done.stderr.strip().partition("\n")[0]
    if "dubious ownership" in reason:
        return f"{reason}; if you trust it: git config --global --add safe.directory {quote(str(root))}"
    begin = "git add -A && git commit -m Begin"
    if (root / ".git").exists() and "not a git repository" in reason:
        moved = "where its repository was moved, `git worktree repair` there helps, else a new clone"
        return f"{root / '.git'}: is of no use to git ({reason}); {moved}"
    if "not a git repository" in reason:
        return f"{root}: is not a git repository; to make it one: git init && {begin}"
    if "'HEAD'" in reason:
        return f"{root}: has no commit; to make one: {begin}"
    return f"git: {reason}"


def other_owner(root: Path) -> str | None:
    """Return a file in data/ that belongs to another account, with the settings of DVC for a shared folder.

    Stages keep these files (`persist` in dvc.yaml). DVC first changes their modes, which only the owner may
    do; links it replaces.
    """
    for path in sorted((root / "data").rglob("*")):
        if path.is_file() and not path.is_symlink() and os.access(path.parent, os.W_OK):
            try:
                path.chmod(path.stat().st_mode)
            except PermissionError:
                shared = "dvc config --local cache.shared group && dvc config --local cache.type symlink"
                fault = "of another account, and dvc may not change its mode"
                return _line(path.relative_to(root), fault, f"{shared} && dvc checkout --relink")
    return None


def recorded_files(repo: Any) -> Iterator[Recorded]:
    """Yield what dvc.lock names in a `dvc.repo.Repo`: each output, and the files of each folder."""
    for out in repo.index.outs:
        if not out.hash_info or out.hash_info.name != "md5":
            continue  # not made yet
        path = Path(os.path.relpath(out.fs_path, repo.root_dir))
        md5, stage = out.hash_info.value, out.stage.addressing
        if not out.use_cache:
            yield Recorded(path, md5, stage, None)
            continue
        cached = Path(out.cache.oid_to_path(md5))
        yield Recorded(path, md5, stage, cached)
        if out.hash_info.isdir and has_digest(cached, md5):
            for entry in json.loads(cached.read_bytes()):
                copy = Path(out.cache.oid_to_path(entry["md5"]))
                yield Recorded(path / entry["relpath"], entry["md5"], stage, copy)


def damages(root: Path, files: Iterable[Recorded], has_remote: bool) -> Iterator[str]:
    """Yield a line for each damage; for a folder only if none of its own files explains it.

    Two files of the same bytes share one copy in the cache, which is reported once.
    """
    reported: set[Path | None] = set()
    for file in sorted(files, key=lambda file: file.md5.endswith(".dir")):  # files before folders
        here = has_digest(root / file.path, file.md5)
        in_cache = file.cached is None or has_digest(file.cached, file.md5)
        if (not in_cache and file.cached not in reported) or (not here and file.path not in reported):
            reported |= {file.path, *file.path.parents, file.cached}
            yield _line(file.path, *_fault_and_remedy(root, file, here, in_cache, has_remote))


def _fault_and_remedy(
    root: Path, file: Recorded, here: bool, in_cache: bool, has_remote: bool
) -> tuple[str, str]:
    path, stage, fault = quote(str(file.path)), quote(file.stage), _fault(root / file.path)
    if file.cached is None:
        return fault, f"rm -rf {path} && dvc repro {stage}"
    if in_cache:
        return fault, f"rm -rf {path} && dvc checkout {path}"
    cached, cache_fault = quote(os.path.relpath(file.cached, root)), f"{_fault(file.cached)} in DVC's cache"
    if here:
        return cache_fault, f"rm -f {cached} && dvc commit --force {stage}"
    restore = f"dvc pull {path}" if has_remote else f"dvc repro {stage}"
    return f"{fault}, and {cache_fault}", f"rm -rf {path} {cached} && {restore}"


def _fault(path: Path) -> str:
    return "changed" if path.exists() else "missing"


def has_digest(path: Path, md5: str) -> bool:
    """Return whether the bytes of a file, or of all files in a folder, have this md5.

    A folder's list in DVC's cache is a file with the md5 of the folder.
    """
    try:
        return dvc_md5(path).removesuffix(".dir") == md5.removesuffix(".dir")
    except OSError:
        return False


def dvc_md5(path: Path) -> str:
    """Return the md5 that DVC gives to a file, or to a folder: of its sorted list of files, with `.dir`."""
    if not path.is_dir():
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    names = sorted(
        entry.relative_to(path).as_posix()
        for entry in path.rglob("*")
        if entry.is_file() and not entry.name.startswith(".tmp-")
    )
    listing = [{"md5": dvc_md5(path / name), "relpath": name} for name in names]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"
