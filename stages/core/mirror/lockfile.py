"""What dvc.lock says was made and from what, and the digests that DVC gives to files and folders."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stages.core.settings import Model

TRAIN = "train@"
"""How the name of a stage that trains a model begins."""


class Stage(NamedTuple):
    """One stage as dvc.lock has it: the digest of each dependency and output, and its parameters."""

    deps: dict[str, str]
    outs: dict[str, str]
    params: dict[str, Any]


class Torn(ValueError):
    """dvc.lock is not what DVC writes."""


def read(root: Path) -> dict[str, Stage]:
    """The stages in the dvc.lock under `root`, by name. Raises FileNotFoundError and Torn."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # takes 0.2 s, which a stage would pay for nothing
    from voluptuous import Invalid

    path = root / "dvc.lock"
    try:
        lock = COMPILED_LOCKFILE_SCHEMA(yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader))
        return {name: _stage(entry) for name, entry in lock.get("stages", {}).items()}
    except (yaml.YAMLError, UnicodeDecodeError, Invalid, KeyError):
        raise Torn(f"{path}: is cut short; `python -m stages.check` tells how to mend it") from None


def _stage(entry: dict) -> Stage:
    """Raises KeyError for a stage without outputs or a file without md5: DVC writes neither."""
    digests = (
        {item["path"]: item["md5"] for item in items} for items in (entry.get("deps", []), entry["outs"])
    )
    return Stage(*digests, entry.get("params", {}).get("params.yaml", {}))


def trained(stages: dict[str, Stage]) -> dict[str, Stage]:
    """The stages that trained a model, by the model's name."""
    return {name.removeprefix(TRAIN): stage for name, stage in stages.items() if name.startswith(TRAIN)}


def settings(model: str, stage: Stage) -> Model:
    """The settings that `model` was trained with, which params.yaml may no longer hold."""
    return Model.model_validate(stage.params[f"models.{model}"])


def digest(path: Path | str) -> str:
    """The md5 that dvc.lock has for `path`: of a file's bytes, or of a folder's sorted listing, with `.dir`.

    Raises FileNotFoundError if there is nothing at `path`.
    """
    path = Path(path)
    if not path.is_dir():
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    listing = [{"md5": md5, "relpath": name} for name, md5 in digests(path).items()]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def digests(folder: Path | str) -> dict[str, str]:
    """The md5 of each file under `folder`, by its path within, sorted; temporary files are left out."""
    folder = Path(folder)
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".tmp-")
    )
    return {name: digest(folder / name) for name in names}


def changed(stage: Stage, root: Path | str = ".") -> list[str]:
    """The outputs of `stage` that are missing under `root` or are not what dvc.lock has."""
    return [path for path, md5 in stage.outs.items() if not matches(Path(root, path), md5)]


def matches(path: Path, md5: str) -> bool:
    """Whether the bytes at `path`, of a folder those of all its files, have this md5.

    A folder's listing in DVC's cache is a file with the md5 of the folder.
    """
    try:
        return digest(path).removesuffix(".dir") == md5.removesuffix(".dir")
    except OSError:
        return False
