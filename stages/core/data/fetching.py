"""Bytes over HTTPS, within limits of size and time."""

import ipaddress
import itertools
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from stages.core.data.failures import Passing, Unavailable, expect_success, reasons
from stages.core.redaction import shown


class Limits(NamedTuple):
    """How much is taken and how long is waited."""

    size: int = 256 * 2**20  # bytes; MNIST's largest file has 47 MB
    seconds: float = 600  # for one file; MNIST's largest comes as 10 MB
    connect: float = 5  # seconds until a connection stands
    silence: float = 30  # seconds until the next byte


PIECE = 2**16  # bytes


def fetch(url: str, title: str, limits: Limits, certificates: str | None = None) -> Iterator[bytes]:
    """The body that `url` answers with, in pieces, under a progress bar named `title` in a terminal.

    `certificates` is a file of those to trust in place of the usual ones. Raises Unavailable: a
    status other than 200, a limit passed, plain HTTP; Passing if another try may help, as after a
    body that ends before its announced length.
    """
    started = time.monotonic()
    with reasons(), client(certificates) as session:
        with session.get(url, stream=True, timeout=(limits.connect, limits.silence)) as response:
            expect_success(response)
            yield from bounded(_within(limits, started, response.raw, title), limits.size)


def _within(limits: Limits, started: float, body: urllib3.HTTPResponse, title: str) -> Iterator[bytes]:
    announced = body.length_remaining
    if announced and announced > limits.size:
        raise Unavailable(f"larger than {limits.size:,} bytes")
    with tqdm(desc=title, total=announced, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        # read1 returns what has come; read would wait for a whole piece, and never see a slow drip.
        while piece := body.read1(PIECE, decode_content=False):
            if time.monotonic() - started > limits.seconds:
                raise Unavailable(f"not complete after {limits.seconds:g} s")
            bar.update(len(piece))
            yield piece


def bounded(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The pieces, up to `size` bytes. Raises Unavailable for more."""
    taken = 0
    for piece in pieces:
        taken += len(piece)
        if taken > size:
            raise Unavailable(f"larger than {size:,} bytes")
        yield piece


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, gunzipped if they are a gzip file: it begins with 1f, an IDX file with 00.

    Raises Unavailable if it is damaged, Passing if it ends early. A piece of 64 KiB unpacks to at
    most 68 MB (1 : 1032), so that whoever counts is not flooded.
    """
    pieces = iter(pieces)
    first = next(pieces, b"")
    pieces = itertools.chain([first], pieces)
    if not first.startswith(b"\x1f"):
        yield from pieces
        return
    inflate = zlib.decompressobj(wbits=31)
    for piece in pieces:
        try:
            yield inflate.decompress(piece)
        except zlib.error:
            raise Unavailable("a damaged gzip file") from None
    if not inflate.eof:
        raise Passing("a gzip file that ends early")


def client(certificates: str | None = None) -> requests.Session:
    """A session that refuses plain HTTP to other machines, after a redirect too."""
    session = requests.Session()
    session.mount("http://", _SafeOnly())
    session.verify = certificates or True
    session.headers["Accept-Encoding"] = "identity"  # the file as it lies there
    return session


class _SafeOnly(HTTPAdapter):
    def send(self, request, **options):
        if not is_safe(request.url):
            raise Unavailable(f"leads to {shown(request.url)}: only https is accepted")
        return super().send(request, **options)


def is_safe(url: str) -> bool:
    """Whether a URL is HTTPS, or HTTP within this machine, where nobody listens on the way."""
    parts = urlsplit(url)
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
