"""Files that are whole or not there: written beside their place, moved in when complete."""

import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`, empty, with its suffix; move it to `path` when the block ends.

    The folder is made if need be. After an error `path` is as it was and nothing is left beside it;
    an OSError then names `path`. What a killed process leaves (`.tmp-<name>`) is overwritten by the
    next one. A second writer of the same file waits for the first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        with _only_writer(temporary):
            yield temporary
            _to_disk(temporary)
            os.replace(temporary, path)
    except OSError as error:
        if error.errno and str(error.filename or temporary) == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise
    _to_disk(path.parent)


@contextmanager
def _only_writer(temporary: Path) -> Iterator[None]:
    while True:
        with open(os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _lies_at(temporary, file.fileno()):
                continue  # while we waited, the writer before us moved this very file into its place
            file.truncate(0)
            try:
                yield
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            return


def _lies_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path | str, value: Any) -> None:
    """Write strict JSON, indented by 2, keys in the order given. Raises ValueError for NaN and infinity."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def strict(number: float) -> float | None:
    """A number as strict JSON can hold it: the nine digits that give a float32 back; None if not finite."""
    if isinstance(number, int):
        return number
    return float(f"{number:.9g}") if math.isfinite(number) else None


def write_table(path: Path | str, table: Any) -> None:
    """Write a pandas.DataFrame as CSV, without its index, each number as `strict` has it, None as nothing."""
    finite = table.replace([np.inf, -np.inf], np.nan)
    with replacing(path) as temporary:
        finite.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write a .npy file, C order. Raises ValueError for an array of Python objects, which needs pickle."""
    array = np.asarray(array, order="C")
    if array.dtype.hasobject:
        raise ValueError(f"{path}: an array of {array.dtype} is not written: it needs pickle")
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)  # np.save would not say why a write failed: a full disk, say


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def error_line(error: OSError) -> str:
    """An error of the file system in one line: the file and what is wrong with it."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
