"""Files that are complete or absent: written beside their place and moved there when finished."""

import fcntl
import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give an empty temporary file beside `path` and move it to `path` when the block ends.

    The folder is created if need be. After an error `path` is unchanged and nothing is left beside it;
    an OSError then names `path`. A temporary file that a killed process left (`.tmp-<name>`) is
    overwritten by the next one. A second writer of the same file waits for the first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        with _only_writer(temporary):
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
    except OSError as error:
        if error.errno and str(error.filename or temporary) == str(temporary):
            error.filename, error.filename2 = str(path), None
        raise
    with suppress(OSError):  # some file systems cannot sync a folder
        _sync(path.parent)


@contextmanager
def _only_writer(temporary: Path) -> Iterator[None]:
    while True:
        with open(os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(temporary, file.fileno()):
                continue  # while this process waited, the other writer moved this very file to its place
            file.truncate(0)
            try:
                yield
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write a file."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write strict JSON, indented by 2, keys in the order given; NaN or infinity is a ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def finite(number: float, digits: int = 9) -> float | None:
    """Round to significant digits, by default those that give a float32 back; None where it is not finite."""
    if isinstance(number, int):
        return number
    return float(f"{number:.{digits}g}") if math.isfinite(number) else None


def write_table(path: Path | str, table: Any) -> None:
    """Write a pandas.DataFrame as CSV without its index; numbers as in `finite`, None as nothing."""
    values = table.replace([np.inf, -np.inf], np.nan)
    with replacing(path) as temporary:
        values.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write a .npy file in C order."""
    array = np.asarray(array, order="C")
    if array.dtype.hasobject:
        raise ValueError(f"{path}: an array of {array.dtype} is not written: it needs pickle")
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)  # np.save would not say why a write failed: a full disk, say


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive whose bytes depend on its files alone."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, file in files.items():
            entry = zipfile.ZipInfo(name)  # its time is the first of 1980
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file)
    return content.getvalue()


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
