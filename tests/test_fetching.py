"""Bytes over HTTP: what comes within the limits, and the reason why something did not come."""

import gzip
import socket
import ssl
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving_server import body, dripping, endless, redirect, serving, silent, status, truncated

from stages.core.data.failures import NotThere, Passing, Unavailable
from stages.core.data.fetching import Limits, bounded, fetch, is_safe, unpacked

CONTENT = bytes(range(256)) * 1000
SMALL = Limits(size=300_000, seconds=0.3, connect=0.3, silence=0.3)


def get(url, limits=SMALL, certificates=None):
    return b"".join(fetch(url, "file", limits, certificates))


def failure(answer, limits=SMALL):
    """What a fetch of this answer raises, after how many seconds."""
    started = time.monotonic()
    with serving({"/file": answer}) as (url, _), pytest.raises(Unavailable) as caught:
        get(f"{url}/file", limits)
    return type(caught.value), str(caught.value), time.monotonic() - started


def test_a_good_body_comes_whole():
    with serving({"/file": body(CONTENT)}) as (url, asked):
        assert get(f"{url}/file") == CONTENT
    assert asked == ["/file"]


def test_a_redirect_within_this_machine_is_followed():
    with (
        serving({"/file": body(CONTENT)}) as (target, _),
        serving({"/old": redirect(f"{target}/file")}) as (url, _),
    ):
        assert get(f"{url}/old") == CONTENT


def test_what_lies_gzipped_comes_gzipped_whatever_the_server_calls_it():
    packed = gzip.compress(CONTENT)
    with serving({"/file": body(packed, Content_Encoding="gzip")}) as (url, _):
        assert get(f"{url}/file") == packed


@pytest.mark.parametrize("code, kind", [(404, NotThere), (403, NotThere), (410, NotThere)])
def test_a_status_that_says_no_is_final(code, kind):
    found, words, _ = failure(status(code))
    assert found is kind and words.startswith(f"{code} ")


@pytest.mark.parametrize("code", [500, 502, 503, 504, 429, 408])
def test_a_status_that_says_not_now_may_pass(code):
    found, words, _ = failure(status(code))
    assert found is Passing and words.startswith(f"{code} ")


def test_a_truncated_body_may_pass():
    assert failure(truncated(CONTENT))[:2] == (Passing, "the body ended early")


def test_a_truncated_chunked_body_may_pass():
    chunk = b"1000\r\n" + bytes(16)
    answer = body(chunk, Content_Length=None, Transfer_Encoding="chunked")
    with serving({"/file": answer}) as (url, _), pytest.raises(Passing, match="the body ended early"):
        get(f"{url}/file")


def test_an_endless_body_is_cut_at_the_limit_of_size():
    assert failure(endless(), SMALL._replace(seconds=60))[:2] == (Unavailable, "larger than 300,000 bytes")


def test_a_body_that_announces_too_much_is_not_even_begun():
    kind, words, seconds = failure(body(b"", Content_Length=300_001), SMALL._replace(seconds=60, silence=60))
    assert (kind, words) == (Unavailable, "larger than 300,000 bytes") and seconds < 1


def test_a_slow_drip_is_cut_at_the_limit_of_time():
    kind, words, seconds = failure(
        dripping(bytes(20_000), pieces=60, pause=0.05)
    )  # 3 s, a piece of 64 KiB never full
    assert (kind, words) == (Unavailable, "not complete after 0.3 s") and seconds < 1


def test_a_silent_server_may_pass():
    kind, words, seconds = failure(silent(0.6))
    assert (kind, words) == (Passing, "no answer in time") and seconds < 2


def test_a_dead_server_may_pass():
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    with pytest.raises(Passing, match="no usable answer: Connection refused"):
        get(f"http://127.0.0.1:{port}/file")


def test_a_name_that_does_not_resolve_is_final():
    with pytest.raises(Unavailable, match="the host's name does not resolve") as caught:
        get("https://mnist.invalid/file")  # RFC 2606: never resolves
    assert not isinstance(caught.value, Passing)


def test_a_redirect_to_plain_http_elsewhere_is_refused_and_its_secrets_not_told():
    kind, words, _ = failure(redirect("http://user:secret@mirror.invalid/file?token=secret"))
    assert (kind, words) == (Unavailable, "leads to http://mirror.invalid/file: only https is accepted")


@pytest.mark.parametrize("target", ["/file", "ftp://mirror.invalid/file", "https://"])
def test_a_redirect_to_nowhere_is_final(target):
    kind, words, _ = failure(redirect(target))
    assert kind is Unavailable and words.startswith("leads nowhere: ")


def test_a_redirect_to_what_is_no_url_is_told():
    assert failure(redirect("http://[::1/file"))[1] == "no usable answer: ValueError"


def test_plain_http_elsewhere_is_never_asked():
    with pytest.raises(Unavailable, match="only https is accepted"):
        get("http://mirror.invalid/file")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    import datetime
    import ipaddress

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    pem = serialization.Encoding.PEM
    form, locked = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, form, locked))
    return path


@pytest.fixture
def tls(certificate, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests prefers them to what it is told
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused(tls):
    with serving({"/file": body(CONTENT)}, tls=tls) as (url, asked):
        with pytest.raises(Unavailable, match="no secure connection: self-signed certificate"):
            get(f"{url}/file")
    assert asked == []


def test_a_certificate_that_pip_is_told_to_trust_is_trusted(tls, certificate):
    with serving({"/file": body(CONTENT)}, tls=tls) as (url, _):
        assert get(f"{url}/file", certificates=str(certificate)) == CONTENT


def test_a_missing_file_of_certificates_is_told(tls):
    with pytest.raises(Unavailable, match="invalid path: /no/such/file.pem"):
        get("https://127.0.0.1:9/file", certificates="/no/such/file.pem")


def test_an_answer_that_is_no_http_may_pass():
    with serving({"/file": lambda handler: handler.wfile.write(b"220 mail.example.org ESMTP\r\n")}) as (
        url,
        _,
    ):
        with pytest.raises(Passing, match="no usable answer: BadStatusLine"):
            get(f"{url}/file")


@settings(deadline=None)
@given(content=st.binary(max_size=200), step=st.integers(1, 50))
def test_a_gzip_file_unpacks_however_it_is_cut(content, step):
    packed = gzip.compress(content)
    assert b"".join(unpacked(packed[i : i + step] for i in range(0, len(packed), step))) == content


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03 plain", b"<html>"])
def test_what_is_no_gzip_file_stays_as_it_is(content):
    assert b"".join(unpacked([content])) == content


def test_a_gzip_file_that_ends_early_may_pass():
    with pytest.raises(Passing, match="ends early"):
        list(unpacked([gzip.compress(CONTENT)[:-1]]))


def test_a_damaged_gzip_file_is_final():
    with pytest.raises(Unavailable, match="a damaged gzip file"):
        list(unpacked([b"\x1f\x8b no gzip file at all"]))


def test_what_unpacks_to_too_much_is_cut_off():
    bomb = gzip.compress(bytes(10**7))
    with pytest.raises(Unavailable, match="larger than 1,000,000 bytes"):
        for _ in bounded(unpacked([bomb[:500], bomb[500:]]), 10**6):
            pass


@pytest.mark.parametrize(
    "url, safe",
    {
        "https://example.org/": True,
        "http://example.org/": False,
        "http://127.0.0.1:8000/": True,
        "http://127.8.9.1/": True,
        "http://[::1]:8000/": True,
        "http://localhost/": True,
        "http://192.168.1.1/": False,
        "http://10.0.0.1/": False,
        "http://localhost.example.org/": False,
        "http://127.0.0.1.example.org/": False,
        "http://127.0.0.1@example.org/": False,
        "https:///no-host": False,
        "ftp://127.0.0.1/": False,
    }.items(),
)
def test_only_https_and_this_machine_are_safe(url, safe):
    assert is_safe(url) is safe
