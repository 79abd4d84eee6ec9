"""Which URLs are secure; no secret of one is shown."""

import pytest

from descent.addresses import is_secure, public_url


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host:8443/mnist/",
        "https://user:sec\nret@host:8443/mnist/",
        "https://host:8443/mnist/?token=secret",
        "https://host:8443/mnist/#secret",
        "https://user:secret?secret@secret@host:8443/mnist/",
    ],
)
def test_a_url_with_a_secret_is_shown_without_it(url):
    assert public_url(url) == "https://host:8443/mnist/"


def test_a_url_without_a_secret_is_unchanged():
    assert public_url("https://host:8443/mnist/") == "https://host:8443/mnist/"


@pytest.mark.parametrize(
    "url, secure",
    {
        "https://example.org/": True,
        "http://example.org/": False,
        "http://127.0.0.1:8000/": True,
        "http://[::1]:8000/": True,
        "http://localhost/": True,
        "http://192.168.1.1/": False,
        "http://localhost.example.org/": False,
        "http://127.0.0.1@example.org/": False,
        "https:///no-host": False,
        "ftp://127.0.0.1/": False,
    }.items(),
)
def test_only_https_and_this_machine_are_secure(url, secure):
    assert is_secure(url) is secure
