"""The explorer in a real browser, offline: choose, pin, play, draw, roll; the console stays silent."""

import json
import re
import shutil

import numpy as np
import pytest

from descent import paths
from descent.data import Dataset, Split
from descent.report.explorer import content
from tests.support import explorer
from tests.support.small_params import ROOT

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome", "msedge"))), None)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress <b>", "Coat")
REAL = ROOT / paths.EXPLORER

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not BROWSER, reason="no chromium, google-chrome, chrome or msedge on PATH"),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A folder with pages: digits.html, and others by the name of what they try."""
    folder = tmp_path_factory.mktemp("pages")
    digits = explorer.digits_dataset()
    made = explorer.experiment(
        folder / "digits",
        digits,
        {"batch_8": "learned", "baseline": "learned", "rate_100": "diverged"},
        layers=(24,),
    )
    explorer.write_keras(made.models / "batch_8" / "model.keras", explorer.trained_layers(digits.train))
    found = made.content()
    # Mistakes are made up like all results but the network's: what is shown is an image and its class.
    (folder / "digits.html").write_text(content_page(found))
    (folder / "digits.json").write_text(json.dumps(found))
    (folder / "clothes.html").write_text(small(folder / "clothes", 12, 10, CLOTHES).page())
    grid = {"seeds": [0, 4], "optimizers": ["sgd", "adam"]}
    (folder / "optimizers.html").write_text(small(folder / "optimizers", 12, 10, CLOTHES, grid=grid).page())
    failed = {"a": "diverged"}
    (folder / "failed.html").write_text(
        small(
            folder / "failed", 100, 80, None, failed, grid={"learning_rates": [10.0], "batch_sizes": [8]}
        ).page()
    )
    return folder


def content_page(found: dict) -> str:
    from descent.report.explorer.page import page

    return page(found)


def small(folder, height, width, names, outcomes=None, grid=None):
    """Make an experiment on random images of five classes."""
    random = np.random.default_rng(0)
    splits = (
        Split(
            random.integers(0, 256, (40, height, width), dtype=np.uint8), (np.arange(40) % 5).astype(np.uint8)
        )
        for _ in range(3)
    )
    dataset = Dataset(*splits, class_names=names or tuple("01234"), title="Noise")
    return explorer.experiment(folder, dataset, outcomes, grid=grid)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, pages):
    """Open a page; the console and any request to a network must stay empty."""
    contexts, complaints = [], []

    def open_page(device=DESKTOP, scheme="light", file="digits.html", motion="no-preference"):
        contexts.append(
            browser.new_context(**device, color_scheme=scheme, reduced_motion=motion, offline=True)
        )
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda request: request.url.startswith("file:") or complaints.append(request.url[:99])
        )
        page.goto((pages / file).as_uri() if isinstance(file, str) else file.as_uri())
        page.wait_for_selector("body[data-ready]", timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in complaints if not text.startswith("data:")] == []


def cell(page, size, rate):
    return page.locator(f"td[aria-label^='batch size {size}, learning rate {rate}:']")


def chosen(page):
    return page.locator("#card-a .settings").inner_text()


def draw(page, digit, tap=False):
    """Draw the strokes of a digit on the canvas."""
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for stroke in explorer.GLYPHS[digit]:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=5)
        page.mouse.up()
    page.wait_for_timeout(100)  # an answer comes with the next frame


def says(page, model="batch_8"):
    """Return the class that a model answers with."""
    return page.locator(f".model[data-model='{model}'] .says").inner_text().split()[0]


# What is seen first


@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["390", "1280"])
def test_the_answers_are_seen_when_the_page_opens(open_page, device):
    page = open_page(device)
    box = page.locator("#answers").bounding_box()
    assert box["y"] + box["height"] < device["viewport"]["height"] / 2
    assert page.locator("#answers strong").inner_text().startswith("batch size 4")


@pytest.mark.parametrize("file", ["digits.html", "clothes.html", "optimizers.html", "failed.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["390", "1280"])
def test_nothing_is_wider_than_the_screen(open_page, device, scheme, file):
    page = open_page(device, scheme, file)
    assert page.evaluate("document.documentElement.scrollWidth") <= device["viewport"]["width"]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(13, 17, 23)"
    )


def test_the_theme_of_the_system_is_followed_while_the_page_is_open(open_page):
    page = open_page()
    before = page.locator("#surface canvas").evaluate("canvas => canvas.toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "before => document.querySelector('#surface canvas').toDataURL() !== before", arg=before
    )


def test_every_control_has_a_name(open_page):
    page = open_page(file="optimizers.html")
    unnamed = page.locator("button, input, select, canvas, svg[role=img], table").evaluate_all(
        "all => all.filter(e => e.checkVisibility() && !e.closest('[aria-hidden]') && !e.ariaLabel "
        "&& !e.innerText?.trim() && !e.labels?.length).map(e => e.outerHTML.slice(0, 99))"
    )
    assert unnamed == []


def test_headings_descend_one_level_at_a_time(open_page):
    levels = open_page().evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


# The sweep


@pytest.mark.parametrize(("device", "tap"), [(DESKTOP, False), (PHONE, True)], ids=["mouse", "touch"])
def test_a_cell_is_chosen_pinned_and_compared(open_page, device, tap):
    page = open_page(device)
    touch = (lambda target: target.tap()) if tap else (lambda target: target.click())
    touch(cell(page, 8, "10⁻⁷"))
    assert chosen(page) == "batch size 8, learning rate 10⁻⁷"
    assert page.locator("#card-a .status").inner_text() == "stalled"
    touch(page.locator("#pin"))
    assert page.locator("#card-b .settings").inner_text() == "batch size 8, learning rate 10⁻⁷"
    touch(cell(page, 2, "0.1"))
    assert page.locator("#pair h3").all_inner_texts() == [
        "A batch size 2, learning rate 0.1",
        "B batch size 8, learning rate 10⁻⁷",
    ]
    assert page.locator("#row .tile").first.locator(".verdict").count() == 2
    touch(page.locator("#unpin"))
    assert page.locator("#pair h3").count() == 1 and page.locator("#loss .line").count() == 1


def test_the_grid_is_used_by_keyboard_alone(open_page):
    page = open_page()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "gridcell":
            break
    start = page.evaluate("document.activeElement.ariaLabel")
    assert start.startswith(chosen(page))
    page.keyboard.press("Home")
    assert "learning rate 10⁻⁷" in chosen(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    pinned = chosen(page)
    page.keyboard.press("ArrowDown")
    assert chosen(page) != pinned and page.locator("#card-b .settings").inner_text() == pinned
    assert page.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    assert page.locator("td[tabindex='0']").count() == 1


def test_numbers_of_a_run_are_those_of_the_data(open_page, pages):
    page, found = open_page(), json.loads((pages / "digits.json").read_text())
    cell(page, 8, "0.1").click()
    run = next(r for r in found["runs"] if (r["batch_size"], r["learning_rate"]) == (8, 0.1))
    accuracy = f"{100 * run['validation_accuracy'][-1]:.1f}\u00a0%"
    assert page.locator("#card-a strong").inner_text() == accuracy
    raw = content.base64.b64decode(run["view"])
    predicted = np.frombuffer(raw, "<u2", 4 * found["viewed"]).reshape(4, -1)[-1]
    right = int((predicted == np.array(found["images"]["labels"][: found["viewed"]])).sum())
    assert (
        page.locator("#pair .sum").first.inner_text().startswith(f"{right} of {found['viewed']} test images")
    )


def test_a_model_of_the_report_is_compared_with_a_cell(open_page):
    page = open_page()
    page.get_by_role("button", name="rate_100").click()
    assert page.locator("#card-a .who").inner_text().split("\n")[:2] == ["A", "chosen: rate_100"]
    assert page.locator("#epoch").get_attribute("max") == "4"
    assert "leaves the picture" in page.locator("#surface svg").inner_html()


def test_optimizer_and_seed_are_chosen_where_there_are_several(open_page):
    page = open_page(file="optimizers.html")
    page.get_by_label("Optimizer").select_option("adam")
    assert chosen(page).endswith(", adam")
    page.get_by_label("Seed").select_option("4")
    assert page.locator("td[role=gridcell]").count() == 9
    assert open_page().locator("#selects").inner_text() == ""


def mark(page, chart):
    return page.locator(f"#{chart} .mark.a").get_attribute("transform")


def test_play_moves_marks_and_changes_pictures_until_the_end(open_page):
    page = open_page()
    end = {chart: mark(page, chart) for chart in ("loss", "accuracy", "surface")}
    verdicts = page.locator("#row").inner_text()
    page.locator("#play").click()
    assert page.locator("#play").inner_text().endswith("Pause")
    page.wait_for_function("() => document.getElementById('epoch').value > 0.2")
    assert all(mark(page, chart) != place for chart, place in end.items())
    assert page.locator("#row").inner_text() != verdicts, "at the start the answers are others"
    page.wait_for_function("() => document.getElementById('play-word').textContent === 'Play'")
    assert {chart: mark(page, chart) for chart in end} == end
    assert page.locator("#row").inner_text() == verdicts


def test_pause_and_the_slider_stop_at_an_epoch(open_page):
    page = open_page()
    page.locator("#play").click()
    page.wait_for_function("() => document.getElementById('epoch').value > 1.1")
    page.locator("#play").click()
    assert page.locator("#epoch").input_value() == "1"
    page.locator("#epoch").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#epoch-word").inner_text().startswith("epoch 2 of 3 · A: ")
    matrix = page.locator("#pair canvas").first.evaluate("canvas => canvas.toDataURL()")
    page.keyboard.press("Home")
    assert page.locator("#pair canvas").first.evaluate("canvas => canvas.toDataURL()") != matrix


def test_a_click_on_a_curve_goes_to_its_epoch(open_page):
    page = open_page()
    chart = page.locator("#accuracy svg").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.click(box["x"] + 0.44 * box["width"], box["y"] + 100)
    assert page.locator("#epoch").input_value() == "1"
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 100, steps=4)
    page.mouse.up()
    assert page.locator("#epoch").input_value() == "3"


def test_with_reduced_motion_marks_jump_from_epoch_to_epoch(open_page):
    page = open_page(motion="reduce")
    places = set()
    page.locator("#play").click()
    while page.locator("#play-word").inner_text() != "Play":
        places.add(mark(page, "loss"))
        page.wait_for_timeout(40)
    assert 2 <= len(places) <= 4
    assert page.locator("#step-word").text_content() == "step 40 of 40", "the ball has arrived"


# Drawing


@pytest.mark.parametrize("digit", explorer.GLYPHS)
def test_a_drawn_digit_is_recognized(open_page, digit):
    page = open_page()
    draw(page, digit)
    assert says(page) == str(digit)


def test_a_digit_is_drawn_by_touch(open_page):
    page = open_page(PHONE)
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    at = lambda x, y: {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}  # noqa: E731
    client = page.context.new_cdp_session(page)
    top = page.evaluate("scrollY")
    client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at(0.5, 0.1)]})
    for step in range(1, 17):
        client.send(
            "Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at(0.5, 0.1 + step / 20)]}
        )
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(100)
    assert says(page) == "1" and page.evaluate("scrollY") == top, "the page does not scroll under the pen"


def test_a_digit_is_drawn_by_keyboard(open_page):
    page = open_page()
    page.locator("#canvas").focus()
    for key in ["ArrowUp"] * 8 + ["Space"] + ["ArrowDown"] * 16 + ["Space"]:
        page.keyboard.press(key)
    page.wait_for_timeout(100)
    assert says(page) == "1"


def test_a_drawing_has_the_size_and_the_center_of_the_training_images(open_page):
    page = open_page()
    draw(page, 7)
    shown = page.locator("#preview").evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data]"
    )
    pixels = 255 - np.array(shown).reshape(28, 28, 4)[:, :, 0]
    used = np.argwhere(pixels > 25)
    assert abs((used.max(axis=0) - used.min(axis=0) + 1).max() - 20) <= 1
    rows, columns = np.indices(pixels.shape)
    for axis in (rows, columns):
        assert abs((axis * pixels).sum() / pixels.sum() - 13.5) < 0.3


def test_undo_and_clear(open_page):
    page = open_page()
    undo, clear = (page.get_by_role("button", name=name, exact=True) for name in ("Undo", "Clear"))
    assert undo.is_disabled() and clear.is_disabled()
    draw(page, 7)
    before = says(page), page.locator("#preview").evaluate("canvas => canvas.toDataURL()")
    draw(page, 1)
    undo.click()
    page.wait_for_timeout(100)
    assert (says(page), page.locator("#preview").evaluate("canvas => canvas.toDataURL()")) == before
    clear.click()
    page.wait_for_timeout(100)
    assert says(page) == "–" and clear.is_disabled()


def test_a_misclassified_image_is_shown(open_page):
    page = open_page()
    page.locator("#wrong").click()
    page.wait_for_timeout(100)
    first = page.locator(".easel .note").inner_text()
    assert re.fullmatch(r"Test image \d+: its class is \d\.", first)
    page.locator("#wrong").click()
    page.wait_for_timeout(100)
    assert page.locator(".easel .note").inner_text() != first
    draw(page, 1)
    assert page.locator(".easel .note").inner_text() == "", "a stroke starts a drawing of one's own"


CLASSIFY = "([network, images]) => images.map((pixels) => [...explorer.classify(network, pixels)])"


def test_networks_answer_as_numpy_does(open_page, pages):
    page, found = open_page(), json.loads((pages / "digits.json").read_text())
    images = explorer.digits_dataset().test.images
    inputs = content.pixels(images)
    for place, encoded in enumerate(found["networks"]):
        layers = [content.decode_layer(layer) for layer in encoded["layers"]]
        wanted = content.probabilities(layers, inputs, "relu")
        network = page.evaluate_handle("place => explorer.data.networks[place]", place)
        answers = page.evaluate(CLASSIFY, [network, images.reshape(len(images), -1).tolist()])
        np.testing.assert_allclose(np.array(answers, float), wanted, atol=1e-3)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "elu", "gelu", "silu"])
def test_activations_are_those_of_the_engine(open_page, activation):
    layers = explorer.random_layers((5, 4, 3), np.random.default_rng(0), scale=3)
    encoded = [content.encode_layer(*layer, bits=32) for layer in layers]
    inputs = np.array([[0, 50, 100, 200, 255], [255, 0, 0, 9, 80]])
    network = {"layers": encoded, "activation": activation}
    found = open_page().evaluate(CLASSIFY, [network, inputs.tolist()])
    wanted = content.probabilities(layers, (inputs / 255).astype(np.float32), activation)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


# The valley


@pytest.mark.parametrize("word", ["creep", "converge", "oscillate", "diverge"])
def test_the_ball_does_what_is_said(open_page, word):
    page = open_page(motion="reduce")
    page.get_by_role("button", name=word, exact=True).click()
    verdict = page.locator("#verdict").inner_text()
    assert verdict.startswith(f"It {word}s: ")
    gone = page.locator("#rolling .gone").count()
    assert gone == (word == "diverge")


def test_the_ball_starts_where_the_valley_is_clicked(open_page):
    page = open_page(motion="reduce")
    page.get_by_role("button", name="creep", exact=True).click()
    box = page.locator(".valley").bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 60)
    ball = page.locator(".ball").bounding_box()
    assert abs(ball["x"] + ball["width"] / 2 - box["x"] - 0.75 * box["width"]) < 4


def test_the_noise_of_small_batches_keeps_the_ball_trembling(open_page):
    page = open_page(motion="reduce")
    for key, trembles in (("Home", True), ("End", False)):
        page.locator("#valley-batch").focus()
        page.keyboard.press(key)
        assert ("trembles" in page.locator("#verdict").inner_text()) == trembles
    page.locator("#valley-rate").focus()
    page.keyboard.press("End")
    assert page.locator("#rate-word").inner_text() == "100"
    page.keyboard.press("Home")
    assert page.locator("#rate-word").inner_text() == "10⁻⁷"


# Other data


def test_classes_are_called_by_their_names(open_page):
    page = open_page(file="clothes.html")
    assert page.locator("#draw-title").inner_text() == "Draw an image"
    names = page.locator(".model").first.locator(".name").all_inner_texts()
    assert names == list(CLOTHES)
    assert page.locator("body").inner_text().count("Dress <b>") > 1
    assert "digit" not in page.locator("body").inner_text().lower()


def test_large_images_are_shown_and_cannot_be_drawn(open_page):
    page = open_page(file="failed.html")
    assert "too large to be drawn" in page.locator("#draw-lead").inner_text()
    assert page.locator("#answers strong").inner_text() == "none"
    assert page.locator("#card-b").inner_text().count("nothing pinned") == 1
    page.locator("#play").click()


# The page of a finished run


@pytest.fixture
def real():
    if not REAL.exists():
        pytest.skip(f"{paths.EXPLORER} is missing: `dvc repro explorer` makes it")
    return REAL


def test_the_real_page_is_small_and_loads_within_a_second(open_page, real):
    assert real.stat().st_size < 6e6
    times = []
    for _ in range(3):
        page = open_page(file=real)
        times.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert min(times) < 1000


def test_the_real_networks_recognize_drawn_digits(open_page, real):
    page = open_page(file=real)
    data = page.evaluate(
        "({networks: explorer.data.networks.map(n => n.model), classes: explorer.data.classes})"
    )
    if "batch_8" not in data["networks"] or data["classes"] != list("0123456789"):
        pytest.skip("the page is of another experiment")
    right = 0
    for digit in explorer.GLYPHS:
        draw(page, digit)
        right += says(page) == str(digit)
        page.get_by_role("button", name="Clear", exact=True).click()
    assert right == len(explorer.GLYPHS)
