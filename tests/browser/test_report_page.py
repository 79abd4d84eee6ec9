"""The page in a real browser with the network off: what a reader sees, points at and taps."""

import itertools
import re

import pytest

from descent.colors import DARK, LIGHT
from descent.report import render
from descent.report.charts import FONT
from tests.browser.conftest import DESKTOP, PHONE, assert_headings_descend
from tests.support.report import CLASSES, QUESTION, example
from tests.support.results import sweep_table

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    render.write_report(example(), folder)
    return folder


@pytest.fixture
def open_page(visit, report):
    """A function that opens the page and waits until its charts are drawn."""

    def open_page(device=DESKTOP, scheme="light", file="report.html"):
        return visit(report / file, f"body[data-drawn={scheme}]", device, color_scheme=scheme)

    return open_page


def point_at(page, selector, tap=False):
    """Move the pointer to the middle of an element, or tap it, and return the tooltip's rows.

    A chart that is still laid out moves away from under the pointer, so the whole movement is repeated.
    """
    element, tooltip = page.locator(selector).first, page.locator("#vg-tooltip-element.visible")
    for patience_ms in (50, 100, 200, 400, 800, 1600, 3200, 6400):
        page.touchscreen.tap(1, 1) if tap else page.mouse.move(1, 1)
        tooltip.wait_for(state="detached", timeout=10_000)
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.touchscreen.tap(x, y) if tap else page.mouse.move(x, y, steps=2)
        page.wait_for_timeout(patience_ms)
        if tooltip.count():
            rows = tooltip.locator("tr").evaluate_all(
                "all => all.map(r => [...r.cells].map(c => c.innerText))"
            )
            return {key.rstrip(": "): value for key, value in rows}
    raise AssertionError(f"{selector}: no tooltip")


def symbol(chart, color):
    """Select the last symbol of the line with a colour."""
    return f"#{chart} svg .layer_2_marks path[fill='{color}'] >> nth=-1"


def number(chart, text):
    return f"#{chart} svg text:text-is('{text}')"


SWEEP = {"batch size": "8", "learning rate": "0.01", "validation accuracy": "97.00%", "status": "learned"}


@pytest.mark.parametrize(("device", "tap"), [(DESKTOP, False), (PHONE, True)], ids=["mouse", "touch"])
def test_pointing_at_a_curve_names_its_model(open_page, device, tap):
    page = open_page(device)
    for place, name in enumerate(("model_0", "model_1")):
        found = point_at(page, symbol("study-curves-0", LIGHT[place]), tap)
        assert found["model"] == name and found["epoch"] == "4"
        assert set(found) >= {"training loss (median)", "lowest seed", "highest seed", "updates"}
        assert "undefined" not in str(found) and "…" not in str(found)


@pytest.mark.parametrize(("device", "tap"), [(DESKTOP, False), (PHONE, True)], ids=["mouse", "touch"])
def test_pointing_at_the_middle_of_a_cell_shows_its_numbers(open_page, device, tap):
    page = open_page(device)
    found = point_at(page, number("sweep-0", "97.0"), tap)
    assert {key: found[key] for key in SWEEP} == SWEEP and found["models"] == "model_1"
    found = point_at(page, number("model_0-mistakes-0", "90"), tap)
    assert found == {"true class": CLASSES[0], "predicted class": CLASSES[0], "images": "90"}


def test_pointing_at_a_trajectory_names_its_model(open_page):
    page = open_page()
    found = point_at(page, "#study-trajectories-0 svg .layer_3_marks path >> nth=1")
    assert found["model"] == "model_0" and found["variance explained by the plane"] == "90.0%"


def test_pointing_at_images_names_their_classes(open_page):
    page = open_page()
    assert point_at(page, "#samples-0 svg image >> nth=3")["class"] == "Dress <b>"
    assert point_at(page, "#model_0-mistakes-1 svg image")["predicted class"] == "Trouser"


@pytest.mark.parametrize(("scheme", "colors"), [("light", LIGHT), ("dark", DARK)])
def test_the_hovered_point_has_the_color_of_its_model(open_page, scheme, colors):
    page = open_page(scheme=scheme)
    for color in colors[:2]:
        point_at(page, symbol("study-curves-0", color))
        hovered = page.locator("#study-curves-0 svg .points_marks path[opacity='1']")
        assert hovered.evaluate_all("paths => paths.map(p => p.getAttribute('fill'))") == [color]


def test_a_tap_elsewhere_hides_the_tooltip_and_the_tooltip_is_on_the_screen(open_page):
    page = open_page(PHONE)
    point_at(page, number("sweep-0", "97.0"), tap=True)
    box = page.locator("#vg-tooltip-element").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 844
    page.locator("h2").last.tap()
    page.locator("#vg-tooltip-element:not(.visible)").wait_for(state="attached", timeout=10_000)


def test_a_tooltip_does_not_hide_marks_from_the_pointer(open_page):
    page = open_page()
    point_at(page, "#samples-0 svg image >> nth=3")
    box = page.locator("#vg-tooltip-element").bounding_box()
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    found = page.evaluate(
        "([x, y]) => document.elementFromPoint(x, y).closest('#vg-tooltip-element')", middle
    )
    assert found is None


def test_the_models_of_the_sweep_are_named_below_it(open_page):
    page = open_page(PHONE)
    legend = page.locator(".figure:has(#sweep-0) .legend li").all_inner_texts()
    assert legend == ["model_0", "model_1", "model_2 (diverged)"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["390", "1280"])
def test_every_chart_is_drawn_and_nothing_is_wider_than_the_screen(open_page, device, scheme):
    page, width = open_page(device, scheme), device["viewport"]["width"]
    assert page.locator(".chart").count() == page.locator(".chart > div > svg, .chart > svg").count() == 11
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    right = page.locator(".chart svg").evaluate_all(
        "all => all.map(svg => svg.getBoundingClientRect().right)"
    )
    assert max(right) <= width


def test_a_phone_shows_accuracy_and_status_and_soon_a_chart(open_page):
    page = open_page(PHONE)
    for text in ("97.62 ± 0.10 %", "learned"):
        box = page.locator(f"td:text-is('{text}')").first.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, text
    answer, samples, curves = (
        page.locator(selector).first.bounding_box()["y"]
        for selector in ("h1 + ul", "#samples-0", "#study-curves-0")
    )
    assert answer < 844 / 2 and samples - answer < 844
    assert curves - page.locator("p:has-text('performed best:')").bounding_box()["y"] < 844


def test_a_desktop_has_no_empty_side_and_says_a_headline_once(open_page):
    page = open_page()
    main, aside = (page.locator(tag).bounding_box() for tag in ("main", "aside"))
    assert main["x"] < 128 and aside["x"] + aside["width"] > 1280 - 128
    assert aside["x"] - main["x"] - main["width"] < 64
    assert page.locator("main").inner_text().count("performed best:") == 1
    assert page.locator("main h2").all_inner_texts()[1] == QUESTION


CUT = """svg => {
  const outer = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((text) => {
    const box = text.getBoundingClientRect();
    return box.width && (box.left < outer.left - 1 || box.right > outer.right + 1
      || box.top < outer.top - 2 || box.bottom > outer.bottom + 2);
  }).map((text) => text.textContent);
}"""


@pytest.mark.parametrize("font", ["sans-serif", "serif", "monospace"])
@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["390", "1280"])
def test_no_label_of_the_page_is_cut_whatever_the_font(open_page, report, device, font):
    text = (report / "report.html").read_text()
    (report / f"{font}.html").write_text(text.replace(FONT, font))
    page = open_page(device, file=f"{font}.html")
    cut = {
        id: page.locator(f"#{id} svg").evaluate(CUT) for id in re.findall(r'class="chart" id="(.+?)"', text)
    }
    assert len(cut) == 11 and not any(cut.values()), cut


def test_the_names_of_sample_images_do_not_overlap_on_a_phone(open_page):
    texts = open_page(PHONE).locator("#samples-0 svg .role-mark text")
    sides = texts.evaluate_all(
        "all => all.map(t => t.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert len(sides) == len(CLASSES)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(sides)), sides


def test_numbers_of_a_sweep_with_many_rates_fit_their_cells_on_a_phone(visit, tmp_path):
    made = example()
    sweep = sweep_table({(8, 10.0**power): 0.881 for power in range(-9, 4)})
    render.write_report(made._replace(tables=made.tables._replace(sweep=sweep)), tmp_path)
    page = visit(tmp_path / "report.html", "body[data-drawn=light]", PHONE)
    numbers = page.locator("#sweep-0 svg text:text-is('88.1')").evaluate_all(
        "all => all.map(t => t.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert len(numbers) == 13
    assert all(one[1] < other[0] for one, other in itertools.pairwise(sorted(numbers))), numbers


def test_no_label_of_a_file_is_cut_by_a_wider_font(browser, report):
    page = browser.new_page()
    for path in sorted((report / "figures").glob("*.svg")):
        page.set_content(path.read_text().replace(FONT, "Verdana, DejaVu Sans, sans-serif"))
        assert page.locator("svg").first.evaluate(CUT) == [], path.name
    page.close()


def test_the_theme_of_the_system_is_followed_while_the_page_is_open(open_page):
    page = open_page()
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("body[data-drawn=dark]", timeout=60_000)
    assert page.evaluate(background) == "rgb(13, 17, 23)"
    assert page.locator(f"#study-curves-0 svg path[stroke='{DARK[0]}']").count() > 0


LINES = "#study-curves-0 svg .mark-line path"
TRAJECTORIES = "#study-trajectories-0 svg .layer_2_marks path"


@pytest.mark.parametrize("lines", [LINES, TRAJECTORIES], ids=["curves", "trajectories"])
def test_a_model_is_hidden_and_shown_by_keyboard(open_page, lines):
    page = open_page()
    button = page.get_by_role("button", name="model_1")
    before = page.locator(lines).count()
    button.focus()
    for key, pressed, count in (("Enter", "false", before - 1), ("Space", "true", before)):
        page.keyboard.press(key)
        page.wait_for_function(f'document.querySelectorAll("{lines}").length == {count}')
        assert button.get_attribute("aria-pressed") == pressed


def test_all_models_can_be_hidden(open_page):
    page = open_page()
    for button in page.get_by_role("button").all():
        button.click()
    page.wait_for_function(f'document.querySelectorAll("{LINES}").length == 0')


TICK = "#study-curves-1 svg .role-axis-label text"


def test_the_wheel_zooms_only_while_ctrl_is_held(open_page):
    page = open_page()
    chart = page.locator("#study-curves-1 svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = page.locator(TICK).all_text_contents()
    page.mouse.wheel(0, -10)
    page.wait_for_timeout(300)
    assert page.locator(TICK).all_text_contents() == before
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function(
        f"before => [...document.querySelectorAll('{TICK}')].map(t => t.textContent).join() != before",
        arg=",".join(before),
    )


def test_a_finger_on_a_chart_scrolls_the_page(open_page):
    page = open_page(PHONE)
    page.locator("#study-curves-0").scroll_into_view_if_needed()
    box, before = page.locator("#study-curves-0").bounding_box(), page.evaluate("scrollY")
    devtools, middle = page.context.new_cdp_session(page), box["y"] + box["height"] / 2
    for step in range(11):
        points = [{"x": 195, "y": middle - 20 * step}]
        kind = "touchMove" if step else "touchStart"
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("before => scrollY > before + 100", arg=before)


def test_every_chart_is_described_for_readers_who_cannot_see_it(open_page):
    page = open_page()
    labels = page.locator(".chart svg").evaluate_all(
        "all => all.map(svg => (svg.closest('[aria-label]') || svg.querySelector('[aria-label]'))?.ariaLabel)"
    )
    assert len(labels) == 11 and all(labels)


def test_headings_descend_one_level_at_a_time(open_page):
    assert_headings_descend(open_page())
