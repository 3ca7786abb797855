"""The page of a plate as its readers meet it: pointed at, tapped, and walked through by keys, in a real browser."""

import pytest

from phenorep.report import plates, templates
from tests.unit.made_plates import make_plates

HOSTILE = '"><img src=x onerror="document.title=1">'
WELL = "document.getElementById('well').textContent"
ON = "[...new Set([...document.querySelectorAll('rect.on')].map((rect) => rect.dataset.w))]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pages of two plates, the second named to do harm."""
    folder = tmp_path_factory.mktemp("plates")
    made = plates.make(make_plates(folder, ["one", HOSTILE]), folder / "plates", templates.environment())
    return folder, [row["href"] for row in made]


@pytest.fixture
def page(browser, folder):
    page = browser.page()
    page.open(folder[0] / folder[1][0])
    yield page
    assert page.complaints() == []
    assert {address.split(":")[0] for address in page.requests()} <= {"file", "data"}


def test_a_well_says_what_it_holds_wherever_it_is_drawn(page):
    assert "Point at a well" in page.value(WELL)
    place = """((rect) => {
        rect.scrollIntoView({ block: "center" });
        const { x, y, width, height } = rect.getBoundingClientRect();
        return { x: x + width / 2, y: y + height / 2 };
    })(document.querySelector('#counts rect[data-w="1"]'))"""
    page.call("Input.dispatchMouseEvent", type="mouseMoved", **page.value(place))
    page.until(f"({WELL}).includes('kinase & co 0.5 uM')")
    assert page.value(ON) == ["1"]
    assert page.value("document.querySelectorAll('rect.on').length") > 4  # in every panel
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=3, y=3)
    page.until(f"({WELL}).includes('Point at a well')")
    page.click('#counts rect[data-w="2"]')
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=3, y=3)
    assert page.value(ON) == ["2"]


def test_keys_go_from_well_to_well(page):
    page.value("document.querySelector('#counts .panel').focus()")
    page.press("ArrowRight")
    assert page.value(ON) == ["0"]  # A01
    page.press("ArrowRight")
    assert page.value(ON) == ["1"]  # A02
    page.press("ArrowRight")
    assert page.value(ON) == ["1"]  # there is no other in this row
    page.press("ArrowLeft", "ArrowDown")
    assert page.value(ON) == ["2"]  # B01
    page.press("Escape")
    assert page.value(ON) == []


def test_wells_are_still_known_when_the_table_is_sorted(page):
    page.value("document.querySelectorAll('#wells thead th')[0].querySelector('button')?.click()")
    page.value("document.querySelectorAll('#wells thead th')[0].querySelector('button')?.click()")
    page.value("document.querySelector('#counts .panel').focus()")
    page.press("ArrowRight")
    assert page.value(WELL).startswith("wellA01")


def test_plates_lead_to_each_other_and_names_are_text(page, folder):
    assert page.value("document.querySelector('[rel=next]').textContent").startswith(HOSTILE)
    page.open(folder[0] / folder[1][1])
    assert page.value("document.querySelector('h1').textContent") == f"Plate {HOSTILE}"
    assert page.value("document.querySelectorAll('img').length") == 0
    page.open(folder[0] / "plates" / "index.html")
    assert HOSTILE in page.value("document.querySelector('tbody').textContent")
    assert page.value("document.title") == "phenorep: trial, plates"


def test_a_phone_shows_all_without_scrolling_sideways(browser, folder):
    page = browser.page(390, 844)
    for path in ("plates/index.html", folder[1][0], folder[1][1]):
        page.open(folder[0] / path)
        assert page.value("document.documentElement.scrollWidth") <= 390, path
    assert page.complaints() == []
