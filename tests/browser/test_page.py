"""The report's page as its readers meet it: on a desk, on a phone, in the dark, on paper; by mouse and by keyboard."""

import json
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote, urldefrag

import pytest

from tests.browser import reported
from tests.browser.reported import HOSTILE, IMAGE

# The table of scores of the study on real images.
TABLE = "document.querySelector('#study-taken table[data-evaluation]')"
ROWS = f"[...{TABLE}.tBodies[0].rows]"
VALUES = f"{ROWS}.map((row) => row.cells[2].textContent)"
WIDTHS = "[document.documentElement.scrollWidth, window.innerWidth]"
# The lowest contrast (WCAG 2) between text and its background, over the elements that hold text of their own.
CONTRAST = """(() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const over = (colour, below) => {
        context.fillStyle = below;
        context.fillRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
        return `rgb(${r}, ${g}, ${b})`;
    };
    const light = (colour) => {
        const parts = colour.match(/\\d+/g).map((part) => part / 255);
        const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let worst = [99, ""];
    for (const element of document.querySelectorAll("body *:not(svg *):not(script)")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility()) continue;
        let below = "rgb(255, 255, 255)";
        const chain = [];
        for (let part = element; part; part = part.parentElement) chain.unshift(getComputedStyle(part).backgroundColor);
        for (const colour of chain) below = over(colour, below);
        const [a, b] = [light(over(getComputedStyle(element).color, below)), light(below)];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 200)];
    }
    return worst;
})()"""


@pytest.fixture(scope="session")
def file(tmp_path_factory):
    """The page of the report."""
    return reported.written(tmp_path_factory.mktemp("report"))


@pytest.fixture
def page(browser, file):
    """The page, opened on a desk; afterwards: nothing went wrong, nothing was asked for."""
    yield from opened(browser.page(), file)


@pytest.fixture
def phone(browser, file):
    """The page, opened on a phone."""
    yield from opened(browser.page(390, 844), file)


def opened(page, file):
    page.open(file)
    yield page
    assert page.complaints() == []
    assert {address.split(":")[0] for address in page.requests()} <= {"file", "data"}
    assert {
        unquote(address).rsplit("/", 1)[-1].split("#")[0] for address in page.requests() if address.startswith("file")
    } == {"index.html"}


class Links(HTMLParser):
    """Identifiers and links of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag == "a":
            self.links.append(found["href"])


def test_every_link_of_the_report_leads_somewhere(file):
    """Of the page, of the plates' pages, of the maps: files and places in them."""
    waiting, pages = [file], {}
    while waiting:
        path = waiting.pop()
        pages[path] = Links(path.read_text())
        for link in pages[path].links:
            target = (path.parent / unquote(urldefrag(link).url)).resolve() if urldefrag(link).url else path
            assert target.is_file(), f"{path.name}: {link}"
            if target.suffix == ".html" and target not in pages and target not in waiting:
                waiting.append(target)
    assert len(pages) > 3
    (plate,) = {link for link in pages[file].links if link.startswith("plates/") and "p0" in link}
    assert pages[file].links.count(plate) > 1  # from the list of plates, and from what was left out on it
    for path, found in pages.items():
        for link in found.links:
            target = (path.parent / unquote(urldefrag(link).url)).resolve() if urldefrag(link).url else path
            if urldefrag(link).fragment:
                assert unquote(urldefrag(link).fragment) in pages[target].ids, f"{path.name}: {link}"


def test_the_first_screen_answers_real_images_first(page):
    rows = page.value("[...document.querySelectorAll('.answers tbody tr')].map((row) => row.innerText)")
    assert len(rows) == 2
    assert "match compounds by mechanism of action" in rows[0]
    assert "real data" in rows[0]
    assert "simulated images" in rows[1]
    assert page.value("document.querySelector('.next').getBoundingClientRect().bottom < innerHeight")
    studies = page.value("[...document.querySelectorAll('main > section')].map((part) => part.id)")
    assert studies.index("study-taken") < studies.index("study-first")
    headings = page.value(
        "[...document.querySelectorAll('h1, h2, h3, h4')].filter((h) => h.checkVisibility()).map((h) => +h.tagName[1])"
    )
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings)), headings


def test_names_that_would_harm_are_text(page, file):
    assert page.value("document.title") == "phenorep: trial"
    # Samples on the first screen are the page's pictures, made of pixels.
    assert page.value("document.querySelectorAll('img:not(.strip img), iframe, object').length") == 0
    text = page.value("document.body.textContent")
    assert HOSTILE in text
    assert IMAGE in text
    for path in file.parent.rglob("*"):
        assert not set(path.name) & set("<>\"'&"), path
        if path.suffix == ".svg":
            assert "<script" not in path.read_text()
            assert "<img" not in path.read_text()


def test_tables_are_sorted_by_click_and_by_key(page):
    first = page.value(VALUES)
    page.click("#study-taken table[data-evaluation] th:nth-child(3) button")
    assert page.value(f"{TABLE}.tHead.rows[0].cells[2].getAttribute('aria-sort')") == "descending"
    values = [float(value) for value in page.value(VALUES)]
    assert values == sorted(values, reverse=True)
    page.press("Enter")  # the button has the focus
    assert [float(value) for value in page.value(VALUES)] == sorted(values)
    page.press(" ")
    assert page.value(VALUES) == first
    assert page.value(f"{TABLE}.tHead.rows[0].cells[2].getAttribute('aria-sort')") == "none"
    page.click("#study-taken table[data-evaluation] th:nth-child(4) button")
    for _ in range(2):  # what has no interval stands last either way
        assert page.value(f"{ROWS}.at(-1).cells[0].textContent") == "bare"
        page.press("Enter")
    page.click("#study-taken table[data-evaluation] th:nth-child(1) button")
    names = [name for name in page.value(f"{ROWS}.map((row) => row.cells[0].textContent)") if name.startswith("method ")]
    assert names == [f"method {number}" for number in range(10)]


def test_long_tables_can_be_filtered(page):
    total = page.value(f"{ROWS}.length")
    assert total > 12
    page.click("#study-taken .filter input")
    for letter in "Noise whit":
        page.press(letter)
    assert page.value(f"{ROWS}.filter((row) => row.checkVisibility()).map((row) => row.cells[1].textContent)") == [
        "whitened"
    ]
    assert page.value("document.querySelector('#study-taken .filter [role=status]').textContent") == f"1 of {total} rows"
    page.value("document.querySelector('#study-taken .filter input').select()")
    page.press("x")
    assert page.value(f"{ROWS}.filter((row) => row.checkVisibility()).length") < total
    # Short tables need none.
    assert page.value("document.querySelectorAll('#study-first table[data-evaluation]').length") == 1
    assert page.value("document.querySelectorAll('#study-first .filter').length") == 0


def test_a_number_shows_where_it_comes_from(page):
    row = "#study-first tr[data-method='learned'][data-profile='raw']"
    page.value(f'document.querySelector("{row} button.from").click()')
    assert page.value("document.getElementById('origin').open")
    text = page.value("document.getElementById('origin-text').innerText")
    assert "matching: nsc = 0.900, seed 0" in text
    assert "results/learned_raw_matching.csv" in text
    assert "results/learned_raw_matching.parquet" in text
    assert "results/made/encoders/cells/learned/seed0/encoder.safetensors" in text
    assert "learned:" in text
    assert "whitened:" not in text
    command = "snakemake --configfile 'my screen.yaml' --force -- results/learned_raw_matching.csv"
    assert command in text
    links = page.value("[...document.querySelectorAll('#origin-text a')].map((link) => link.getAttribute('href'))")
    assert {link for link in links if not link.startswith("#")} == {
        "../../results/learned_raw_matching.csv",
        "../../results/learned_raw_matching.parquet",
        "../../results/made/encoders/cells/learned/seed0/encoder.safetensors",
    }
    page.click("#origin-text button")
    page.until("document.querySelector('#origin-text button').textContent !== 'Copy'")
    page.click("#origin-text dd a[href^='#config']")  # leads to the lines, which are folded away
    assert not page.value("document.getElementById('origin').open")
    page.until("document.querySelector(location.hash).checkVisibility()")
    page.value(f'document.querySelector("{row} button.from").focus()')
    page.press("Enter")
    assert page.value("document.getElementById('origin').open")
    page.press("Escape")
    assert not page.value("document.getElementById('origin').open")


def test_without_scripts_the_page_is_complete(browser, file):
    page = browser.page()
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(file)
    assert page.value("document.querySelectorAll('button.sort, .filter').length") == 0
    shown = page.value("document.body.innerText")
    for text in ("match compounds by mechanism of action", "0.900", "cannot be had"):
        assert text in shown
    assert "Dark colours" not in shown


def test_colours_follow_the_system_until_one_is_chosen(browser, file):
    page = browser.page()
    background = "getComputedStyle(document.body).backgroundColor"
    dark, light = "rgb(20, 23, 27)", "rgb(255, 255, 255)"

    def system(scheme):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    system("dark")
    page.open(file)
    assert page.value(background) == dark
    assert page.value("document.querySelector('[data-theme-switch]').textContent") == "Light colours"
    page.click("[data-theme-switch]")
    assert page.value(background) == light
    page.reload()
    assert page.value(background) == light, "the choice is remembered"
    page.click("[data-theme-switch]")
    assert page.value(background) == dark
    system("light")
    assert page.value(background) == light, "what the system has anyway is no choice"
    page.click("[data-theme-switch]")
    assert page.value(background) == dark
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.value(background) == light, "paper is white"
    assert page.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(browser, file, scheme):
    page = browser.page()
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.open(file)
    page.value("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    ratio, where = page.value(CONTRAST)
    assert ratio >= 4.5, where


def test_a_phone_needs_no_sideways_scrolling(phone):
    phone.value("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert phone.value(WIDTHS) == [390, 390]
    assert phone.value("[...document.querySelectorAll('.scroll')].some((box) => box.scrollWidth > box.clientWidth)")
    bar = "document.querySelector('nav.bar').getBoundingClientRect()"
    assert phone.value(f"{bar}.height") < 60
    phone.value("document.getElementById('gaps').scrollIntoView()")
    assert phone.value(f"{bar}.top") == 0
    assert phone.value("document.querySelector('#gaps h2').getBoundingClientRect().top") >= phone.value(f"{bar}.bottom")
    phone.until("document.querySelector('nav.bar [aria-current]')?.hash === '#gaps'")
    phone.value("document.querySelector('#study-first button.from').click()")
    assert phone.value(WIDTHS) == [390, 390]


def test_figures_say_what_they_show(page):
    figures = page.value(
        """[...document.querySelectorAll("figure")].map((figure) => {
            const drawing = figure.querySelector("[role=img]");
            const links = [...figure.querySelectorAll("a")].map((link) => link.getAttribute("href"));
            const caption = document.getElementById(drawing.getAttribute("aria-describedby")).textContent;
            return [drawing.getAttribute("aria-label"), caption, links, drawing.querySelector("svg") !== null];
        })"""
    )
    assert len(figures) > 10
    for title, caption, links, drawn in figures:
        assert drawn
        assert title
        assert len(caption.split()) > 8, title
        assert {link.rsplit(".", 1)[-1] for link in links if link.startswith("figures/")} == {"svg", "csv"}, title


def test_on_paper_all_is_unfolded_and_nothing_is_cut(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    page.value("dispatchEvent(new Event('beforeprint'))")
    assert page.value("document.querySelectorAll('details:not([open])').length") == 0
    assert not page.value("document.querySelector('nav.bar').checkVisibility()")
    boxes = "[...document.querySelectorAll('.scroll, .drawing')].filter((box) => box.checkVisibility())"
    assert page.value(f"{boxes}.every((box) => getComputedStyle(box).overflowX === 'visible')")
    addresses = page.value("getComputedStyle(document.querySelector('figcaption .files a'), '::after').content")
    assert "attr" in addresses or "figures/" in addresses
    page.value("dispatchEvent(new Event('afterprint'))")
    assert page.value("document.querySelectorAll('details:not([open])').length") > 0


def test_the_data_of_the_page_can_be_read_by_scripts(page):
    facts = json.loads(page.value("document.getElementById('origins').textContent"))
    assert facts["root"] == "../.."
    assert HOSTILE in facts["config"]["methods"]
