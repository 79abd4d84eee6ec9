"""The explorer in a real browser, offline: choose, pin, play, draw, roll; the console stays silent."""

import json
import re

import numpy as np
import pytest

from descent import paths
from descent.config import ACTIVATIONS
from descent.engine.settings import RunSettings
from descent.explorer import content, page
from tests.browser.conftest import DESKTOP, PHONE, assert_headings_descend
from tests.support import explorer
from tests.support.results import noise_dataset
from tests.support.small_params import ROOT

CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress <b>", "Coat")
REAL = ROOT / paths.EXPLORER

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A folder with pages: digits.html, and others by the name of what they try."""
    folder = tmp_path_factory.mktemp("pages")
    digits, five = explorer.digits_dataset(), ("batch_2", "batch_4", "batch_8", "rate_1", "rate_2")
    outcomes = {"batch_8": "learned", "baseline": "learned", "rate_100": "diverged"}
    trained = {"batch_8": explorer.trained_layers(digits.train)}
    made = explorer.experiment(folder / "digits", digits, outcomes, layers=(24,), networks=trained)
    found = made.content()
    (folder / "digits.html").write_text(page.page(found))
    (folder / "digits.json").write_text(json.dumps(found))
    grid = {"seeds": [0, 4], "optimizers": ["sgd", "adam"]}
    failing = {"learning_rates": [10.0], "batch_sizes": ["full"], "epochs": 1}
    many = dict.fromkeys([*five, *(f"tuned_{number}" for number in range(120, 129))], "learned")
    for name, made in {
        "clothes": small(folder / "clothes", 12, 10, CLOTHES),
        "optimizers": small(folder / "optimizers", 12, 10, CLOTHES, grid=grid),
        "failed": small(folder / "failed", 100, 80, (), {"a": "diverged"}, grid=failing),
        "many": small(folder / "many", 12, 10, (), many),
    }.items():
        (folder / f"{name}.html").write_text(made.page())
    return folder


def small(folder, height, width, names, outcomes=None, grid=None):
    """Make an experiment on random images of five classes."""
    return explorer.experiment(folder, noise_dataset(height, width, names=names), outcomes, grid=grid)


@pytest.fixture
def open_page(visit, pages):
    def open_page(device=DESKTOP, scheme="light", file="digits.html", motion="no-preference"):
        ready = "body[data-ready]"
        return visit(pages / file, ready, device, color_scheme=scheme, reduced_motion=motion)

    return open_page


def cell(page, size, rate):
    return page.locator(f"td[aria-label^='batch size {size}, learning rate {rate}:']")


def chosen(page):
    return page.locator("#card-a .settings").inner_text()


def draw(page, digit):
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


@pytest.mark.parametrize(
    "file", ["digits.html", "clothes.html", "optimizers.html", "failed.html", "many.html"]
)
@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["390", "1280"])
def test_nothing_is_wider_than_the_screen(open_page, device, file):
    page = open_page(device, file=file)
    assert page.evaluate("document.documentElement.scrollWidth") <= device["viewport"]["width"]


@pytest.mark.parametrize("scheme, color", [("light", "rgb(255, 255, 255)"), ("dark", "rgb(13, 17, 23)")])
def test_the_theme_of_the_system_is_followed(open_page, scheme, color):
    page = open_page(scheme=scheme)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == color


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
    assert_headings_descend(open_page())


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


def test_a_pressed_button_keeps_the_focus(open_page):
    page = open_page()
    focused = "document.activeElement.id"
    for button, after in (("pin", "pin"), ("unpin", "pin"), ("zoom-2", "zoom-2")):
        page.locator(f"#{button}").focus()
        page.keyboard.press("Enter")
        assert page.evaluate(focused) == after


def test_another_run_is_chosen_at_the_epoch_that_is_shown(open_page):
    page = open_page()
    page.locator("#epoch").focus()
    page.keyboard.press("Home")
    cell(page, 8, "0.1").click()
    assert page.locator("#epoch").input_value() == "0"
    assert page.locator("#loss-values").inner_text().startswith("A 2.37")  # 1.03 times log 10


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
    paused = int(page.locator("#epoch").input_value())
    assert paused in (1, 2), "a slow machine may have shown another epoch"
    page.locator("#epoch").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#epoch-word").inner_text().startswith(f"epoch {paused + 1} of 3 · A: ")
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


def test_drawn_digits_are_recognized(open_page):
    page = open_page()
    for digit in explorer.GLYPHS:
        draw(page, digit)
        assert says(page) == str(digit)
        page.get_by_role("button", name="Clear", exact=True).click()


def touch(page):
    """Return a function (kind of event, fingers on the canvas as pairs from 0 to 1) that touches it."""
    page.locator("#canvas").scroll_into_view_if_needed()
    box, client = page.locator("#canvas").bounding_box(), page.context.new_cdp_session(page)

    def touch(kind, *fingers):
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
            for number, (x, y) in enumerate(fingers)
        ]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    return touch


@pytest.mark.parametrize(
    "others", [[], [(0.1, 0.9)]], ids=["one finger", "and a second, which does not draw"]
)
def test_a_digit_is_drawn_by_touch(open_page, others):
    page = open_page(PHONE)
    finger = touch(page)
    top = page.evaluate("scrollY")
    finger("touchStart", (0.5, 0.1))
    for step in range(1, 17):
        finger("touchMove", (0.5, 0.1 + step / 20))
        for place in others if step == 1 else ():
            finger("touchStart", (0.5, 0.15), place)
        for x, y in others:
            finger("touchMove", (0.5, 0.1 + step / 20), (x + step / 40, y))
    finger("touchEnd")
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
    undo.click()
    page.wait_for_timeout(100)
    assert says(page) == before[0], "a cleared drawing comes back"


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


def test_a_network_answers_as_keras_does(open_page, dataset):
    from descent.engine import network  # imports TensorFlow

    settings = RunSettings(8, 0.1, "sgd", (), (32, 16), "relu", epochs=1, seed=0)
    model = network.build(settings, (28, 28), 10)
    model.set_weights([2.5 * weight for weight in model.get_weights()])  # as decided as a trained one
    weights, images = model.get_weights(), dataset.test.images
    wanted = model.predict(images, verbose=0)
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    encoded = content.encode_network(layers, content.pixels(images), "relu", wanted)
    inputs = [{"activation": "relu", "layers": encoded}, images.reshape(200, -1).tolist()]
    assert np.abs(np.array(open_page().evaluate(CLASSIFY, inputs)) - wanted).max() < 1e-2


def test_activations_are_those_of_the_engine(open_page):
    page, layers = open_page(), explorer.random_layers((5, 4, 3), np.random.default_rng(0), scale=3)
    inputs = np.array([[0, 50, 100, 200, 255], [255, 0, 0, 9, 80]])
    for activation in ACTIVATIONS:
        wanted = content.class_probabilities(layers, (inputs / 255).astype(np.float32), activation)
        encoded = content.encode_network(layers, (inputs / 255).astype(np.float32), activation, wanted)
        network = {"layers": encoded, "activation": activation}
        found = page.evaluate(CLASSIFY, [network, inputs.tolist()])
        np.testing.assert_allclose(found, wanted, atol=1e-3, err_msg=activation)


# The valley


@pytest.mark.parametrize("word", ["creep", "converge", "oscillate", "diverge"])
def test_the_ball_does_what_is_said(open_page, word):
    page = open_page(motion="reduce")
    page.get_by_role("button", name=word, exact=True).click()
    verdict = page.locator("#verdict").inner_text()
    assert verdict.startswith(f"It {word}s: ")
    gone = page.locator("#rolling .gone").count()
    assert gone == (word == "diverge")


def test_the_ball_starts_where_the_valley_is_clicked_or_the_slider_says(open_page):
    page = open_page(motion="reduce")
    page.get_by_role("button", name="creep", exact=True).click()
    valley = page.locator(".valley")
    width = valley.bounding_box()["width"]

    def ball():
        box = page.locator(".ball").bounding_box()
        return (box["x"] + box["width"] / 2 - valley.bounding_box()["x"]) / width

    valley.click(position={"x": 0.75 * width, "y": 60})
    assert ball() == pytest.approx(0.75, abs=0.01)
    page.locator("#valley-start").focus()
    page.keyboard.press("Home")
    assert ball() < 0.1


def test_a_ball_that_diverges_never_comes_back_into_the_picture(open_page):
    page = open_page()
    page.locator("#valley-batch").focus()
    page.keyboard.press("End")  # noise could carry it back
    page.get_by_role("button", name="diverge", exact=True).click()
    page.wait_for_function("() => document.getElementById('step-word').textContent.startsWith('step 8')")
    page.evaluate("""
      window.balls = 0;
      new MutationObserver(() => { balls += document.querySelectorAll('.ball').length; })
        .observe(document.querySelector('.valley'), {childList: true});
    """)
    page.wait_for_function("() => document.getElementById('step-word').textContent.startsWith('step 20')")
    assert page.evaluate("balls") == 0


def test_the_ball_rolls_when_the_valley_comes_into_view(open_page):
    page = open_page()
    page.wait_for_function("() => Number(document.getElementById('step-word').textContent.split(' ')[1]) > 5")
    page.locator(".valley").scroll_into_view_if_needed()
    page.wait_for_function("() => Number(document.getElementById('step-word').textContent.split(' ')[1]) < 3")


def test_the_valley_is_as_steep_as_the_sweep_says(open_page):
    words = open_page(file="clothes.html").locator("#valley-words").inner_text()
    said = "In the sweep, batch size 2 crept at 10⁻⁷, learned at 0.1 and was thrown out of the valley at 10, within 3"
    assert words.startswith(said), "batch size 2 as most models of the studies that the sweep has"
    assert "from a learning rate of 0.5, and from 1 it lands higher" in words, "between 0.1 and 10"


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
    assert "too large or too small to be drawn" in page.locator("#draw-lead").inner_text()
    assert page.locator("#answers strong").inner_text() == "none"
    assert page.locator("#card-b").inner_text().count("nothing pinned") == 1
    assert "1 update in 1 epoch." in page.locator("#card-a .note").inner_text()
    page.locator("#play").click()


@pytest.mark.parametrize("device", [PHONE, DESKTOP], ids=["390", "1280"])
def test_fourteen_models_answer_beside_the_drawing(open_page, device):
    page = open_page(device, file="many.html")
    assert page.locator("#draw-lead").inner_text().startswith("The 14 models of the report answer")
    cards = page.locator(".model")
    height = page.locator(".models").bounding_box()["height"]
    assert cards.count() == 14 and height < 1.8 * device["viewport"]["height"]
    page.locator("#wrong").click()
    page.locator(".model .says").evaluate_all("all => all.forEach(says => says.textContent = '8  100 %')")
    lines = cards.locator("h3").evaluate_all("all => all.map(h3 => h3.getClientRects()[0].height)")
    assert max(lines) == min(lines), "an answer breaks the name of its model"


# The page of a finished run


@pytest.fixture
def real():
    if not REAL.exists():
        pytest.skip(f"{paths.EXPLORER} is missing: `dvc repro explorer` makes it")
    return REAL


def test_the_real_page_is_small_and_loads_within_a_second(visit, real):
    assert real.stat().st_size < 6e6
    times = []
    for _ in range(3):
        page = visit(real, "body[data-ready]")
        times.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    assert min(times) < 1000


def test_the_real_networks_recognize_drawn_digits(visit, real):
    page = visit(real, "body[data-ready]")
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
