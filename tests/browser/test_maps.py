"""A map as its readers meet it: pointed at, tapped, coloured, searched and walked through by keys, in a real browser."""

import pytest

from phenorep.report import interactive, templates
from tests.browser.chromium import SHIFT
from tests.unit.made_plates import make_plates
from tests.unit.test_interactive import made_map, wells_of

HOSTILE = "<img src=x onerror=\"document.title='harmed'\">"
PANEL = "document.getElementById('panel').textContent"
# The pixels of a canvas; the colour in the middle of a mark; whether pictures in the panel show anything.
PIXELS = """((shown) => {
    const { width, height } = shown;
    const copy = Object.assign(document.createElement("canvas"), { width, height });
    const pen = copy.getContext("2d", { willReadFrequently: true });
    pen.drawImage(shown, 0, 0);
    return pen.getImageData(0, 0, width, height).data;
})"""
COLOUR = f"""(mark) => {{
    const [x, y] = place(mark).map((at) => Math.round(at * devicePixelRatio));
    const at = 4 * (y * canvas.width + x);
    return [...{PIXELS}(canvas).slice(at, at + 3)];
}}"""
DRAWN = f"""[...document.querySelectorAll(".crops canvas")].map((crop) =>
    {PIXELS}(crop).some((value, index) => index % 4 < 3 && value > 20))"""
FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The map of eight wells on two plates; one compound is named to do harm."""
    folder = tmp_path_factory.mktemp("maps")
    table = wells_of(["P1", "P2"])
    table["Metadata_Compound"] = [HOSTILE, "second", "third", "fourth"] * 2
    table["Metadata_MoA"] = ["actin", "actin", "tubulin", ""] * 2
    interactive.make(make_plates(folder, ["P1", "P2"]), [made_map(table)], folder / "maps", templates.environment())
    return folder / "maps" / "first_learned_raw.html"


@pytest.fixture
def page(browser, file):
    page = browser.page()
    page.open(file)
    page.value(FRAME)  # the canvas gets its size with the first frame: places before it are others
    yield page
    assert page.complaints() == []
    assert {address.split(":")[0] for address in page.requests()} <= {"file", "data"}
    assert page.value("document.title").startswith("phenorep: trial")


def point(page, mark: int, kind: str = "mouseMoved", **more) -> None:
    """Bring the pointer to a mark."""
    page.value("canvas.scrollIntoView({ block: 'center' })")
    x, y = page.value(
        f"(([x, y]) => (({{left, top}}) => [left + x, top + y])(canvas.getBoundingClientRect()))(place({mark}))"
    )
    page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def colour(page, mark: int) -> str:
    page.value(FRAME)
    return "#" + "".join(f"{value:02x}" for value in page.value(f"({COLOUR})({mark})"))


def test_a_mark_says_what_it_is_and_shows_its_cells(page):
    assert "Point at a mark" in page.value(PANEL)
    point(page, 5)
    text = page.value(PANEL)
    for word in ("P2", "A02", "second", "actin", "P2, A02, site 1"):
        assert word in text
    page.until(f"({DRAWN}).length === 3 && ({DRAWN}).every(Boolean)")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    assert "Point at a mark" in page.value(PANEL)


def test_a_click_keeps_a_mark_and_a_click_beside_lets_go(page):
    for kind in ("mousePressed", "mouseReleased"):
        point(page, 2, kind, button="left", clickCount=1)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    assert "third" in page.value(PANEL)
    assert page.value("chosen") == 2
    page.value("canvas.focus()")
    page.press("Escape")
    assert page.value("chosen") == -1


def test_names_from_data_are_text(page):
    point(page, 0)
    assert HOSTILE in page.value(PANEL)
    page.value("(colourBy('compound'), true)")
    assert HOSTILE in page.value("legend.textContent")
    assert page.value("document.querySelectorAll('img, script[src]').length") == 0


def test_colours_follow_the_chosen_column(page):
    assert page.value("column.name") == "mechanism"
    first = page.value("column.colours[0]")
    assert page.value("document.getElementById('colour-by').value") == "mechanism"
    assert near(colour(page, 0), first)
    page.value("(() => { select.value = 'plate'; select.dispatchEvent(new Event('change')); })()")
    assert page.value("column.name") == "plate"
    assert page.value("[...legend.querySelectorAll('[data-code]')].map((key) => key.textContent)") == ["P14", "P24"]
    assert near(colour(page, 5), page.value("column.colours[1]"))
    assert not near(colour(page, 5), first)


def near(seen: str, wanted: str) -> bool:
    """Whether a colour is the wanted one; marks let a little of the ground through."""
    return all(abs(int(seen[at : at + 2], 16) - int(wanted[at : at + 2], 16)) < 45 for at in (1, 3, 5))


def test_the_legend_hides_and_shows(page):
    names = page.value("[...legend.querySelectorAll('[data-code]')].map((key) => key.children[1].textContent)")
    assert names == ["actin", "tubulin", "none given"]
    code = page.value("column.names.indexOf('tubulin')")
    page.click(f'#legend [data-code="{code}"]')
    assert page.value("[...Array(count).keys()].filter(seen)") == [0, 1, 3, 4, 5, 7]
    assert page.value(f"legend.querySelector('[data-code=\"{code}\"]').getAttribute('aria-pressed')") == "false"
    page.click(f'#legend [data-code="{code}"]', SHIFT)
    assert page.value("[...Array(count).keys()].filter(seen)") == [2, 6]
    page.click("#legend .all")
    assert page.value("hidden.size") == 0


def test_a_mark_is_found_by_any_of_its_names(page):
    page.click("#find")
    page.press(*"FOURTH")
    assert page.value("[...found]") == [3, 7]
    assert page.value("document.getElementById('found').textContent") == "2 of 8"
    page.value("(() => { finder.value = 'p2'; finder.dispatchEvent(new Event('input')); })()")
    assert page.value("[...found]") == [4, 5, 6, 7]
    page.value("(() => { finder.value = ''; finder.dispatchEvent(new Event('input')); })()")
    assert page.value("found") is None


def test_keys_go_from_mark_to_mark_and_zoom(page):
    page.value("canvas.focus()")
    page.press("ArrowRight")
    first = page.value("chosen")
    assert first >= 0
    reached = {first}
    for _ in range(8):
        page.press("ArrowRight")
        reached.add(page.value("chosen"))
    rightmost = page.value("data.x.indexOf(Math.max(...data.x))")
    x = page.value("data.x")
    assert x[page.value("chosen")] >= x[first]
    page.press("ArrowLeft")
    assert len(reached) > 1
    assert rightmost in range(8)
    page.press("+", "+")
    assert page.value("view.scale") > 1.5
    page.press("0")
    assert page.value("[view.scale, view.x, view.y]") == [1, 0, 0]


def test_the_wheel_zooms_where_it_is_and_a_drag_shifts(page):
    before = page.value("place(3)")
    point(page, 3, "mouseWheel", deltaX=0, deltaY=-300)
    assert page.value("view.scale") > 1.5
    shifted = page.value("place(3)")
    assert all(abs(a - b) < 1.5 for a, b in zip(before, shifted, strict=True))  # it stays under the pointer
    x, y = page.value(
        "(({left, top, width, height}) => [left + width / 2, top + height / 2])(canvas.getBoundingClientRect())"
    )
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 30, y=y + 20, button="left", buttons=1)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + 30, y=y + 20, button="left", clickCount=1)
    dragged = page.value("place(3)")
    assert [round(b - a) for a, b in zip(shifted, dragged, strict=True)] == [30, 20]
    assert page.value("chosen") == -1  # a drag is no click


def test_a_finger_taps_on_a_phone(browser, file):
    page = browser.page(390, 844)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    page.open(file)
    page.value(FRAME)
    assert page.value("document.documentElement.scrollWidth") <= 390
    page.value("canvas.scrollIntoView({ block: 'center' })")
    x, y = page.value("(([x, y]) => (({left, top}) => [left + x, top + y])(canvas.getBoundingClientRect()))(place(6))")
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x + 5, "y": y - 4}])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.until("chosen === 6")
    assert "third" in page.value(PANEL)
    assert page.complaints() == []


def test_without_scripts_the_drawn_map_stands_there(browser, file):
    page = browser.page()
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(file)
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert page.value("document.getElementById('app').hidden")
    assert page.value("getComputedStyle(document.getElementById('static')).display") != "none"


def test_dark_and_light_are_both_drawn(page):
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    point(page, 1)
    page.value(FRAME)
    ring = f"""(() => {{
        const pixels = {PIXELS}(canvas);
        let light = 0;
        for (let at = 0; at < pixels.length; at += 4) light += Math.min(...pixels.slice(at, at + 3)) > 215;
        return light;
    }})()"""
    page.until(f"{ring} > 10")  # the ring around the mark has the colour of the text
    page.click("[data-theme-switch]")
    point(page, 1)
    page.until(f"{ring} === 0")
