"""A real browser, offline; the console of every page and its requests to a network must stay empty."""

import shutil

import pytest

NAMES = ("chromium", "google-chrome", "chrome", "msedge")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}


@pytest.fixture(scope="session")
def browser():
    """A browser without a window."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if not path:
        pytest.skip(f"none of {', '.join(NAMES)} on PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """A function that opens a file and waits until a selector matches; more options are the context's."""
    contexts, complaints = [], []

    def visit(path, ready, device=DESKTOP, **options):
        contexts.append(browser.new_context(**device, **options, offline=True))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url[:99]))
        page.goto(path.as_uri())
        page.wait_for_selector(ready, timeout=60_000)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [text for text in complaints if not text.startswith(("data:", "file:"))] == []


def assert_headings_descend(page):
    """Assert that the first heading of a page is h1, and that none is more than one level below the one before."""
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
