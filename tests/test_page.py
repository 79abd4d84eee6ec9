"""The page in a real browser with the network off: it draws, and answers pointer and keyboard."""

import pytest
from playwright.sync_api import sync_playwright

from stages.core.params import read_params
from tests.model_folders import make_params, write_project
from tests.reported import run_report

pytestmark = pytest.mark.browser
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
DRAWN = "body[data-drawn={}]"


@pytest.fixture(scope="module")
def report(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_project(folder, make_params(), digits)
    result = run_report(folder, make_params())
    assert result.returncode == 0, result.stderr
    return folder / "reports" / "report.html"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, report):
    """A page of the report, offline; whatever the console says but news is collected in `page.complaints`."""
    contexts = []

    def open_page(width=1200, scheme="light"):
        contexts.append(
            browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
        )
        page = contexts[-1].new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "request", lambda request: request.url.startswith("http") and page.complaints.append(request.url)
        )
        page.goto(report.as_uri())
        page.wait_for_selector(DRAWN.format(scheme), timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_every_chart_is_drawn_in_its_place_and_the_console_is_silent(open_page, width, scheme):
    page = open_page(width, scheme)
    places = page.locator(".chart").count()
    assert places == page.locator(".chart svg").count() > 5
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.chart svg')].map(e => e.getBoundingClientRect().right))"
    )
    assert wide <= width
    assert page.complaints == []


def test_the_theme_of_the_system_is_followed_while_the_page_is_open(open_page):
    page = open_page(scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector(DRAWN.format("dark"), timeout=60_000)
    assert page.evaluate(background) == "rgb(13, 17, 23)"
    assert page.locator(".chart svg").first.locator("text[fill='#e6edf3']").count() > 0
    assert page.complaints == []


def lines(page):
    """The ends of the lines of the first chart: one for each model that is shown."""
    return page.locator("#batch_size-curves-0 svg .mark-line path").count()


def test_a_model_is_hidden_and_shown_by_keyboard(open_page):
    page = open_page()
    button = page.get_by_role("button", name="rate_100")
    before = lines(page)
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        f"document.querySelectorAll('#batch_size-curves-0 svg .mark-line path').length == {before - 1}"
    )
    assert button.get_attribute("aria-pressed") == "false"
    page.keyboard.press("Space")
    page.wait_for_function(
        f"document.querySelectorAll('#batch_size-curves-0 svg .mark-line path').length == {before}"
    )
    assert page.complaints == []


def test_all_models_can_be_hidden_without_a_complaint(open_page):
    page = open_page()
    for button in page.get_by_role("button").all():
        button.click()
    page.wait_for_function(
        "document.querySelectorAll('#batch_size-curves-0 svg .mark-line path').length == 0"
    )
    assert page.complaints == []


def test_pointing_at_a_curve_tells_its_numbers(open_page):
    page = open_page()
    page.locator("#batch_size-curves-0").scroll_into_view_if_needed()
    box = page.locator("#batch_size-curves-0 svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for(timeout=5000)
    assert "training loss, median" in tooltip.inner_text() and "epoch" in tooltip.inner_text()


TICK = "#batch_size-curves-1 svg .role-axis-label text"


def ticks(page):
    return page.locator(TICK).first.text_content()


def test_the_wheel_zooms_only_while_ctrl_is_held(open_page):
    page = open_page()
    page.locator("#batch_size-curves-1").scroll_into_view_if_needed()
    box = page.locator("#batch_size-curves-1 svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = ticks(page)
    page.mouse.wheel(0, -10)
    page.wait_for_timeout(300)
    assert ticks(page) == before
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function(f"before => document.querySelector('{TICK}').textContent != before", arg=before)


def test_every_chart_is_described_for_who_cannot_see_it(open_page):
    page = open_page()
    for chart in page.locator(".chart svg").all():
        words = chart.locator("xpath=.//*[@aria-label]").first.get_attribute("aria-label") or ""
        words += chart.locator("xpath=..").first.get_attribute("aria-label") or ""
        words += chart.get_attribute("aria-label") or ""
        assert len(words) > 40
    assert page.locator("html").get_attribute("lang") == "en"


def test_headings_descend_one_level_at_a_time(open_page):
    page = open_page()
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


def test_params_are_those_of_the_page(open_page, report):
    page = open_page()
    names = [button.get_attribute("data-model") for button in page.get_by_role("button").all()]
    assert names == list(read_params(report.parent.parent / "params.yaml").models)
