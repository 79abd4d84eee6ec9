"""No secret of a URL is shown."""

import pytest

from descent.redaction import public_url, redacted


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host:8443/mnist/",
        "https://secret@host:8443/mnist/",
        "https://host:8443/mnist/?token=secret",
        "https://host:8443/mnist/#secret",
        "https://user:secret/secret@host:8443/mnist/",
        "https://user:secret#secret@host:8443/mnist/",
        "https://user:secret?secret@secret@host:8443/mnist/",
    ],
)
def test_a_url_with_a_secret_is_shown_without_it(url):
    assert public_url(url) == "https://host:8443/mnist/"
    text = redacted(f"at {url} nobody answers")
    assert "secret" not in text
    assert text.startswith("at https://") and text.endswith(" nobody answers")


@pytest.mark.parametrize("text", ["https://host:8443/mnist/", "models/baseline: 3 of 5 @ home, why?"])
def test_a_text_without_a_secret_is_unchanged(text):
    assert public_url("https://host/a") == "https://host/a"
    assert redacted(text) == text
