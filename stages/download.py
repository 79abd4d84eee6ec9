"""Bring the four IDX files to data/raw/, from the first source whose bytes match params.yaml's checksums."""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from stages.core.data.failures import Passing, Unavailable
from stages.core.data.fetching import Limits, bounded, unpacked
from stages.core.data.sources import InvalidSource, Source, sources
from stages.core.files import error_line, replacing, sha256
from stages.core.params import read_params_or_exit

RAW = Path("data/raw")
LARGEST = Limits().size  # bytes that a file may unpack to
TRIES = 4  # after waits of 1, 2 and 4 seconds


class NothingDelivered(Exception):
    """No source had the right files; the text lists each with its reason, and what to do."""


def download(
    checksums: Mapping[str, str],
    folder: Path,
    sources: Iterable[Source],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Put the files of these names and SHA-256 checksums into `folder`; those that are right stay untouched.

    A source that fails is left for the next one. Raises NothingDelivered when all have failed, and
    OSError when `folder` cannot be written.
    """
    missing = missing_files(checksums, folder)
    if not missing:
        return
    failures = []
    for source in sources:
        try:
            while missing:
                place_patiently(source, missing[0], checksums[missing[0]], folder, sleep)
                missing.pop(0)
            return
        except Unavailable as reason:
            failures.append(f"{source}: no {missing[0]}: {reason}")
            say(failures[-1])
    raise NothingDelivered(
        "\n  ".join([f"{folder}: no source delivers the right {', '.join(missing)}:", *failures])
        + "\nSet MNIST_SOURCE to a folder or an https URL with these files, as they are or gzipped (.gz)."
    )


def missing_files(checksums: Mapping[str, str], folder: Path) -> list[str]:
    """The names of the files that are not in `folder`, or are wrong there, which is said on stderr."""
    missing = []
    for name, checksum in checksums.items():
        path = folder / name
        found = sha256(path) if path.exists() else None
        if found == checksum:
            print(f"{path}: there and right", flush=True)
            continue
        missing.append(name)
        if found:
            say(f"{path}: the SHA-256 is {found}, not {checksum}; it is replaced")
    return missing


def place_patiently(source: Source, name: str, checksum: str, folder: Path, sleep: Callable) -> None:
    """`place`, tried again after growing waits for a reason that may pass."""

    def announce(state: RetryCallState) -> None:
        reason, wait = state.outcome.exception(), state.next_action.sleep
        say(f"{source}: no {name}: {reason}; trying again in {wait:g} s")

    retry = Retrying(
        retry=retry_if_exception_type(Passing),
        wait=wait_exponential(),
        stop=stop_after_attempt(TRIES),
        sleep=sleep,
        before_sleep=announce,
        reraise=True,
    )
    retry(place, source, name, checksum, folder / name)


def place(source: Source, name: str, checksum: str, path: Path) -> None:
    """Write a file of `source` to `path`, unpacked, if it is the right one. Raises Unavailable otherwise."""
    digest, size, start = hashlib.sha256(), 0, b""
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            for piece in bounded(unpacked(source.pieces(name)), LARGEST):
                start = start or piece.lstrip()[:1]
                digest.update(piece)
                size += file.write(piece)
        if digest.hexdigest() != checksum:
            what = "a web page" if start == b"<" else f"{size} bytes"
            raise Unavailable(f"{what} with the SHA-256 {digest.hexdigest()}, not {checksum}")
    print(f"{path}: {size:,} bytes from {source}", flush=True)


def say(line: str) -> None:
    """Tell at once what happens on the way, apart from the results on stdout."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    checksums = read_params_or_exit().download.sha256
    try:
        download(checksums, RAW, sources(os.environ))
    except InvalidSource as error:
        say(str(error))
        raise SystemExit(2) from None
    except (NothingDelivered, OSError) as error:
        say(error_line(error) if isinstance(error, OSError) else str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        say("interrupted: the files in place are whole")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
