"""Marks of the annotation page are kept by the browser, exported, read by the pipeline, and imported."""

import json

import pandas as pd
import pytest

from tests.browser.gallery import COUNTS, HOSTILE, marks, said, saved, tile, written


def test_marks_outlive_a_reload_and_another_tab_sees_them(page, file):
    page.press("n", "ArrowRight", "2")
    page.reload()
    assert marks(page) == {0: ["normal", ""], 1: ["abnormal", "noise"]}
    assert page.value("current") == 2
    other = page.again()
    other.open(file)
    assert marks(other) == marks(page)
    other.press("a")
    page.until("marks.size === 3")
    assert page.value(COUNTS) == [1, 2, 27]


# What Chromium gives to a page now and then: an empty storage, in which nothing is kept.
LONE_STORAGE = """
    const lone = {};
    Object.defineProperties(lone, {
        getItem: { value: (name) => lone[name] ?? null },
        setItem: { value: (name, text) => { lone[name] = text; } },
        removeItem: { value: (name) => { delete lone[name]; } },
    });
    Object.defineProperty(window, "localStorage", { value: lone });
"""


def test_marks_outlive_a_visit_with_a_storage_of_its_own(browser, file):
    page = browser.page()
    page.open(file)
    page.press("n", "ArrowRight")
    lone = page.call("Page.addScriptToEvaluateOnNewDocument", source=LONE_STORAGE)["identifier"]
    page.reload()
    assert marks(page) == {0: ["normal", ""]}
    page.press("a")
    page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=lone)
    page.reload()
    assert marks(page) == {0: ["normal", ""], 1: ["abnormal", ""]}
    page.press("Home", "x")
    page.reload()
    assert marks(page) == {1: ["abnormal", ""]}
    assert page.complaints() == []


@pytest.mark.parametrize(
    "answer",
    ["return {}", "throw new DOMException('no', 'SecurityError')"],
    ids=["silent", "refused"],
)
def test_a_browser_without_a_database_keeps_marks_all_the_same(browser, file, answer):
    page = browser.page()
    page.call("Page.addScriptToEvaluateOnNewDocument", source=f"IDBFactory.prototype.open = () => {{ {answer}; }};")
    page.open(file)
    page.press("n")
    page.reload()
    assert marks(page) == {0: ["normal", ""]}
    assert page.complaints() == []


def test_the_export_is_what_the_pipeline_reads(page, tmp_path):
    page.click('[data-do="export"]')
    assert said(page) == "Nothing is marked yet."
    names = page.value("items.map((item) => item[SAMPLE])")
    hostile = next(number for number, name in enumerate(names) if HOSTILE in name)
    page.press("n", "ArrowRight", "ArrowRight", "1")
    page.click(tile(hostile))
    table = saved(page, tmp_path)
    expected = {names[0]: ["normal", ""], names[2]: ["abnormal", "debris"]}
    # A click goes on from open to abnormal, to normal, and to open.
    after = {"": ["abnormal", ""], "abnormal": ["normal", ""], "normal": None}[expected.get(names[hostile], [""])[0]]
    expected = {name: marks for name, marks in (expected | {names[hostile]: after}).items() if marks}
    assert {row.Sample: [row.Label_Quality, row.Label_Artefact] for row in table.itertuples()} == expected
    assert list(tmp_path.iterdir()) == [tmp_path / "trial_made_cells_annotations.csv"]


def test_a_table_is_imported(page, tmp_path):
    names = page.value("items.map((item) => item[SAMPLE])")
    given = pd.DataFrame({"Label_Quality": ["abnormal", "Normal", "", "normal"], "Sample": [*names[1:4], "elsewhere, 1"]})
    page.press("n", "ArrowRight", "n")
    page.value(f"importTable({json.dumps(chr(0xFEFF) + given.to_csv(index=False, lineterminator=chr(13) + chr(10)))})")
    assert marks(page) == {0: ["normal", ""], 1: ["abnormal", ""], 2: ["normal", ""]}
    assert said(page).startswith("3 marks read; 1 are of images that are not on this page")
    table = saved(page, tmp_path)
    assert table["Sample"].tolist() == [*names[:3], "elsewhere, 1"]
    page.press("u")
    assert marks(page) == {0: ["normal", ""], 1: ["normal", ""]}


def test_the_import_button_reads_a_file(page, tmp_path):
    name = page.value("items[6][SAMPLE]")
    table = pd.DataFrame({"Sample": [name], "Label_Quality": ["abnormal"], "Label_Artefact": ['a "fibre", bent']})
    table.to_csv(tmp_path / "marks.csv", index=False)
    page.call("Page.setInterceptFileChooserDialog", enabled=True)
    since = len(page.browser.events)
    page.click('[data-do="import"]')
    chooser = page.browser.wait(page.session, "Page.fileChooserOpened", since)
    page.call("DOM.setFileInputFiles", files=[str(tmp_path / "marks.csv")], backendNodeId=chooser["backendNodeId"])
    page.until("marks.size")
    assert marks(page) == {6: ["abnormal", 'a "fibre", bent']}
    assert saved(page, tmp_path).iloc[0].tolist() == [name, "abnormal", 'a "fibre", bent']


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Sample,Quality\na,normal\n", "Label_Quality"),
        ("Sample,Label_Quality\na,normal\nb,good\n", "line 3"),
        ('Sample,Label_Quality\n"a,normal\n', "line 2"),
        ("", "needs the columns"),
    ],
)
def test_a_table_that_is_none_changes_nothing(page, text, reason):
    page.press("n")
    page.value(f"importTable({json.dumps(text)})")
    assert said(page).startswith("Not imported")
    assert reason in said(page)
    assert marks(page) == {0: ["normal", ""]}


def test_a_page_begins_with_the_marks_of_the_configuration(page, browser, files, tmp_path):
    page.press("n", "ArrowRight", "1")
    saved(page, tmp_path)
    next_page = browser.page()
    next_page.open(written(tmp_path, files, tmp_path / "trial_made_cells_annotations.csv", count=5))
    assert marks(next_page) == {0: ["normal", ""], 1: ["abnormal", "debris"]}
    assert next_page.value(COUNTS) == [1, 1, 5]
    assert next_page.value("current") == 2
    next_page.press("n")
    (tmp_path / "later").mkdir()
    assert len(saved(next_page, tmp_path / "later")) == 3


def test_marks_of_the_page_before_can_be_taken_over(page, files, tmp_path):
    page.press("n", "End", "a")
    hidden = "document.getElementById('notice').hidden"
    assert page.value(hidden)
    page.open(written(tmp_path, files, count=10))
    assert marks(page) == {}
    assert "holds 2 marks" in page.value("document.getElementById('notice').textContent")
    page.click("#take")
    assert marks(page) == {0: ["normal", ""]}
    assert page.value(hidden)
    assert len(saved(page, tmp_path)) == 2
    page.reload()
    assert page.value(hidden)


def test_a_browser_that_keeps_nothing_says_so(browser, file):
    page = browser.page()
    forbidden = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    page.call("Page.addScriptToEvaluateOnNewDocument", source=forbidden)
    page.open(file)
    assert "keeps no marks" in page.value("document.getElementById('notice').textContent")
    page.press("n")
    assert marks(page) == {0: ["normal", ""]}
    assert page.complaints() == []
