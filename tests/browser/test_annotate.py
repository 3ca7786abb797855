"""The annotation page as its users meet it: real keys and clicks in a real browser."""

import pytest

from tests.browser.chromium import CONTROL, SHIFT
from tests.browser.gallery import COUNTS, HOSTILE, marks, said, tile, written

VISIBLE = "document.querySelectorAll('.tile:not([hidden])').length"
# What an image looks like on the screen: its pixels, whatever is drawn.
PIXELS = """(number) => {
    const size = { width, height };
    const copy = Object.assign(document.createElement("canvas"), size).getContext("2d", { willReadFrequently: true });
    copy.drawImage(tiles[number].firstChild, 0, 0);
    return [...copy.getImageData(0, 0, width, height).data];
}"""


# -- keys -------------------------------------------------------------------------------------------------------------------


def test_keys_mark_and_move(page):
    assert page.value(COUNTS) == [0, 0, 30]
    page.press("n", "ArrowRight", "a", "ArrowRight", "2", "ArrowRight", "1", "1")
    assert marks(page) == {0: ["normal", ""], 1: ["abnormal", ""], 2: ["abnormal", "noise"], 3: ["abnormal", ""]}
    assert page.value(COUNTS) == [1, 3, 26]
    assert page.value("document.getElementById('progress').value") == 4
    page.press("ArrowLeft", "a")  # a kind that was given stays
    assert marks(page)[2] == ["abnormal", "noise"]
    page.press("x", "Home", "Delete")
    assert marks(page).keys() == {1, 3}
    page.press("End", "n", "ArrowRight", "9", "z")  # neither a further image nor such a kind
    assert marks(page).keys() == {1, 3, 29}
    page.press("Home", "ArrowDown", "n", "ArrowUp", "n")
    columns = page.value("columns()")
    assert columns > 1
    assert marks(page).keys() == {0, columns, 1, 3, 29}


def test_space_goes_to_the_next_open_image(page):
    page.press("n", " ")
    assert page.value("current") == 1
    page.press("n", "ArrowLeft", " ")
    assert page.value("current") == 2
    page.press("End", "n", " ")  # and from the last to the first that is open
    assert page.value("current") == 2
    page.click('[data-do="rest"]')
    assert page.value(COUNTS) == [30, 0, 0]
    page.press(" ")
    assert said(page) == "No image in view is open."


def test_a_key_goes_on_to_the_next_image_if_that_is_wanted(page):
    page.click("#onward")
    page.press("n", "a", "1")
    assert marks(page) == {0: ["normal", ""], 1: ["abnormal", ""], 2: ["abnormal", "debris"]}
    assert page.value("current") == 3
    page.click("#onward")
    page.click("#onward")
    page.press(" ")  # the box was clicked, but keys are for the gallery
    assert page.value("current") == 4
    page.reload()
    assert page.value("document.getElementById('onward').checked")


def test_undo_takes_back_step_by_step(page):
    page.press("n", "a", "1")
    assert marks(page) == {0: ["abnormal", "debris"]}
    page.press("u")
    assert marks(page) == {0: ["abnormal", ""]}
    page.press("z", modifiers=CONTROL)
    assert marks(page) == {0: ["normal", ""]}
    page.press("u")
    assert marks(page) == {}
    page.press("u")
    assert said(page) == "Nothing to undo."
    assert page.value("document.querySelector('[data-do=\"undo\"]').disabled")


def test_help_opens_and_closes(page):
    opened = "document.getElementById('help').open"
    page.press("?")
    assert page.value(opened)
    page.press("n")  # no key reaches the gallery behind it
    assert marks(page) == {}
    page.press("?")
    assert not page.value(opened)
    page.click('[data-do="help"]')
    assert page.value(opened)
    page.press("Escape")
    page.until(f"!{opened}")
    page.press("n")
    assert marks(page).keys() == {0}


# -- mouse ------------------------------------------------------------------------------------------------------------------


def test_a_click_goes_on_from_mark_to_mark(page):
    for expected in ({4: ["abnormal", ""]}, {4: ["normal", ""]}, {}):
        page.click(tile(4))
        assert marks(page) == expected
    page.press("Enter")
    assert marks(page) == {4: ["abnormal", ""]}


def test_shift_and_a_click_mark_a_range(page):
    page.click(tile(5), SHIFT)
    assert marks(page) == {}
    assert said(page).startswith("Mark the first image")
    page.click(tile(7))
    page.click(tile(2))
    page.press("n")
    page.click(tile(9), SHIFT)
    assert marks(page) == {7: ["abnormal", ""]} | {number: ["normal", ""] for number in (2, 3, 4, 5, 6, 8, 9)}
    page.press("u")  # all of the range at once
    assert marks(page).keys() == {2, 7}
    page.click(tile(7))
    page.click(tile(7))
    page.click(tile(7))
    page.click(tile(5), SHIFT)  # backwards
    assert marks(page) == {2: ["normal", ""]} | {number: ["abnormal", ""] for number in (5, 6, 7)}


def test_buttons_mark_the_chosen_image(page):
    page.click(tile(3))
    page.click('#marks [data-artefact="noise"]')
    assert marks(page) == {3: ["abnormal", "noise"]}
    assert page.value("document.querySelector('#marks [data-artefact=\"noise\"]').getAttribute('aria-pressed')") == "true"
    page.press(" ")  # the button was clicked, but keys are for the gallery
    assert (marks(page), page.value("current")) == ({3: ["abnormal", "noise"]}, 4)
    page.click('#marks [data-quality="normal"]')
    page.click('[data-do="undo"]')
    assert marks(page) == {3: ["abnormal", "noise"]}


def test_filters_show_what_they_say(page):
    page.press("n", "ArrowRight", "a", "ArrowRight", "a")
    for name, count in (("normal", 1), ("abnormal", 2), ("open", 27), ("all", 30)):
        page.click(f'[data-filter="{name}"]')
        assert page.value(VISIBLE) == count
        assert page.value(f"document.querySelector('[data-filter=\"{name}\"]').getAttribute('aria-pressed')") == "true"
    page.click('[data-filter="open"]')
    page.press("Home", "n", "ArrowRight", "n")  # what is marked stays in view, until the filter is chosen again
    assert page.value(VISIBLE) == 27
    assert marks(page).keys() == {0, 1, 2, 3, 4}
    page.click('[data-filter="open"]')
    assert page.value(VISIBLE) == 25
    page.click('[data-do="rest"]')
    page.click('[data-filter="open"]')
    assert page.value(VISIBLE) == 0
    assert not page.value("document.getElementById('none').hidden")
    page.press("a", "ArrowRight")  # nothing is chosen
    assert page.value(COUNTS) == [28, 2, 0]


# -- pictures ---------------------------------------------------------------------------------------------------------------


def test_channels_are_seen_in_colour_and_one_by_one(page):
    page.until("tiles[0].dataset.channel === '2'")
    colour = page.value(f"({PIXELS})(0)")
    middle = 4 * (12 * 24 + 12)
    red, green, blue, _ = colour[middle : middle + 4]
    assert blue > red  # nuclei are blue, the only other channel green
    assert green > 100
    page.press("c")
    page.until("tiles[0].dataset.channel === '0'")
    grey = page.value(f"({PIXELS})(0)")
    assert grey[0::4] == grey[1::4] == grey[2::4]
    page.click('[data-channel="1"]')
    page.until("tiles[0].dataset.channel === '1'")
    assert page.value(f"({PIXELS})(0)") != grey
    page.press("c")
    page.until("tiles[0].dataset.channel === '2'")
    assert page.value(f"({PIXELS})(0)") == colour


def test_images_grow_and_shrink(page):
    wide = "tiles[0].firstChild.getBoundingClientRect().width"
    assert page.value(wide) == 128
    page.press("+")
    assert page.value(wide) == 160
    page.click('[data-do="smaller"]')
    page.click('[data-do="smaller"]')
    assert 90 < page.value(wide) < 128


def test_images_far_below_are_not_drawn(browser, files, tmp_path):
    page = browser.page(400, 300)
    page.open(written(tmp_path, files, count=40, size=512))
    page.until("tiles[0].dataset.channel")
    assert not page.value("tiles[39].dataset.channel")
    page.press("End")
    page.until("tiles[39].dataset.channel")


# -- for everybody ----------------------------------------------------------------------------------------------------------


def test_names_do_no_harm(page):
    assert page.value("document.title") == "phenorep: annotate made/cells"
    names = page.value("items.map((item) => item[SAMPLE])")
    number = next(number for number, name in enumerate(names) if HOSTILE in name)
    page.click(tile(number))
    assert f"Plate: {HOSTILE}" in page.value("document.getElementById('current').textContent")
    assert page.value("document.querySelectorAll('main script, .bar script').length") == 0


def test_every_control_has_a_name(page):
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "option", "checkbox", "listbox", "progressbar", "progressIndicator"}
    named = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]]
    controls = [(role, name) for role, name in named if role in roles]
    assert sum(role == "option" for role, _ in controls) == 30
    assert all(name for _, name in controls)
    page.press("n")
    assert page.value("tiles[0].getAttribute('aria-label')").endswith("normal")
    assert page.value("document.activeElement === tiles[current] || document.activeElement === document.body")


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_the_page_fits_any_width(browser, file, width):
    page = browser.page(width, 700)
    page.open(file)
    assert page.value("document.documentElement.scrollWidth") <= width
    page.click(tile(8))  # whatever bar lies over the gallery, a chosen image can be seen and clicked
    page.press("End", "ArrowUp", "n")
    assert marks(page).keys() > {8}
