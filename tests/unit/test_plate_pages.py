"""The pages of plates: what stands on them, what their files are called, and how many there are."""

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts
from phenorep.report import plates, plates_drawing, plates_figures, plates_wells, templates
from tests.unit.made_plates import CHANNELS, make_plates
from tests.unit.test_report import Elements

HOSTILE = ["..", "a/b", "a_b", "<script>alert(1)</script>", "P1", "p1", "x", "x.html", '"><img src=x onerror=alert(1)>', "-"]


def written(folder, plan):
    return plates.make(plan, folder / "report" / "plates", templates.environment())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Pages of two plates: (their folder, what `make` returned, the plan)."""
    folder = tmp_path_factory.mktemp("plates")
    plan = make_plates(folder, ["one", "two"])
    return folder / "report" / "plates", written(folder, plan), plan


def test_pages_link_to_each_other_and_to_their_files(run):
    folder, made, _ = run
    assert [row["href"] for row in made] == ["plates/made/one.html", "plates/made/two.html"]
    assert [row["title"] for row in made] == ["made: one", "made: two"]
    (folder.parent / "index.html").touch()  # the report's own page
    for page in [folder / "index.html", *folder.glob("made/*.html")]:
        text = page.read_text()
        assert "default-src 'none'" in text
        links = [link for link in Elements(text).links if not link.startswith(("#", "data:"))]
        assert len(links) > 2
        for link in links:
            assert (page.parent / link.split("#")[0]).exists(), link
    assert 'href="../made/two.html" rel="next"' in (folder / "made" / "one.html").read_text()
    assert 'rel="prev"' in (folder / "made" / "two.html").read_text()


def test_each_figure_is_a_sound_svg_with_its_data(run):
    folder, _, _ = run
    drawn = {path.stem for path in folder.glob("made/two/*.svg")}
    assert drawn == {"layout", "counts", "left_out", "intensity", "quality", "illumination", "samples"}
    for name in drawn:
        root = ElementTree.parse(folder / "made" / "two" / f"{name}.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(pd.read_csv(folder / "made" / "two" / f"{name}.csv"))
    # Nothing was left out on the first plate, so nothing is drawn of it.
    assert not (folder / "made" / "one" / "left_out.svg").exists()


def test_wells_say_what_they_hold(run):
    folder, _, _ = run
    text = (folder / "made" / "two" / "counts.svg").read_text()
    assert text.count("<title>A02: 3</title>") == 1  # samples
    assert text.count("<title>A02: 4</title>") == 1  # nuclei
    page = (folder / "made" / "two.html").read_text()
    assert "kinase &amp; co 0.5 uM" in page
    assert "&lt;b&gt;bold&lt;/b&gt; 10 uM" in page
    assert "a02.tif &lt;i&gt;truncated&lt;/i&gt;" in page
    assert "<title>A01: negative</title>" in page
    assert not Elements(page).tags & {"b", "i", "img"}
    data = pd.read_csv(folder / "made" / "two" / "left_out.csv").set_index("well")
    assert data["left_out"].to_dict() == {"A01": 1, "A02": 0, "B01": 0, "H12": 0}


def test_brightness_is_that_of_the_samples(run):
    folder, _, _ = run
    data = pd.read_csv(folder / "made" / "one" / "intensity.csv").set_index("well")
    assert data["intensity_DNA"].to_dict() == {"A01": 100, "A02": 200, "B01": 300, "H12": 400}
    assert (data["intensity_Actin"] - data["intensity_DNA"]).tolist() == [10] * 4
    assert data[f"ImageQuality_Background_{CHANNELS[0]}"].tolist() == [100, 101, 102, 103]


def test_fields_that_stand_out_are_listed_with_the_reason(tmp_path):
    quality = pd.DataFrame({"Metadata_Well": [f"A{n:02d}" for n in range(1, 13)], "Metadata_Site": "1"})
    quality["ImageQuality_Focus_DNA"] = [*np.linspace(-0.5, -0.4, 11), -1.3]
    quality["ImageQuality_Background_DNA"] = [90000.5, *np.linspace(1000, 1100, 11)]
    quality["ImageQuality_Saturation_DNA"] = [0.0] * 11 + [0.2]  # the same in most fields: it has no spread
    found = plates_wells.outliers(quality)
    assert found["well"].tolist() == ["A01", "A12"]
    assert found["reasons"].tolist() == [
        "bright background, DNA: 90,000, the plate's median 1,055",
        "low focus, DNA: -1.3, the plate's median -0.455",
    ]
    assert (found["distance"] > plates_wells.FAR).all()
    assert plates_wells.outliers(None).empty
    assert plates_wells.outliers(quality[["Metadata_Well", "Metadata_Site"]]).empty


def test_no_more_pixels_are_read_than_allowed(run, monkeypatch):
    plan = run[2]
    plate = plates_wells.read("made", "one", plates_wells.files_of(plan)["made"]["one"], {})
    monkeypatch.setattr(plates_wells, "MEASURED_PIXELS", 4 * 2 * 16 * 16)  # one sample of each well
    assert plates_wells.measure(plate) == "cells"
    monkeypatch.setattr(plates_wells, "MEASURED_PIXELS", 4 * 2 * 16 * 16 - 1)
    assert plates_wells.measure(plate) == ""


def test_abnormality_is_shown_by_well(run, tmp_path):
    plan = run[2]
    fields = pd.DataFrame({"Metadata_Plate": "one", "Metadata_Well": ["A01", "A01", "H12"]})
    fields = fields.assign(Metadata_Site=["1", "2", "1"], samples=[1, 3, 2], mean=[1.0, 0.2, 0.9], likely=0)
    own = plates_wells.files_of(plan)["made"]["one"]
    plate = plates_wells.read("made", "one", own, {"cells: simclr, seed 0": fields})
    found = plate.wells["abnormal_0"]
    assert found["A01"] == pytest.approx((1 + 0.6) / 4)  # a mean over samples, not over fields
    assert np.isnan(found["B01"])
    figures, problems = plates_figures.figures(plate, tmp_path)
    assert not problems
    drawn = {figure.name: figure for figure in figures}
    assert "<title>H12: 0.9</title>" in drawn["abnormal"].panels[0].body
    assert "<title>B01: –</title>" in drawn["abnormal"].panels[0].body


def test_no_two_plates_share_a_page_whatever_they_are_called(tmp_path):
    made = written(tmp_path, make_plates(tmp_path, HOSTILE))
    folder = tmp_path / "report"
    pages = [row["href"] for row in made]
    assert [row["plate"] for row in made] == HOSTILE
    assert len({page.casefold() for page in pages}) == len(HOSTILE)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert len({file.casefold() for file in files}) == len(files)
    assert all(re.fullmatch(r"plates/made/[A-Za-z0-9_-]+\.html", page) for page in pages)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(("plate", "report"))]
    for plate, page in zip(HOSTILE, pages, strict=True):
        elements = Elements((folder / page).read_text())
        assert f"Plate {plate}" in "".join(elements.texts)
        assert "img" not in elements.tags
        assert elements.tags & {"script"}  # ours
        assert "alert(1)</script>" not in (folder / page).read_text()
    for svg in folder.rglob("*.svg"):
        ElementTree.parse(svg)


def test_of_many_plates_the_first_and_the_worst_have_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(plates, "MOST_PAGES", 3)
    made = written(tmp_path, make_plates(tmp_path, [f"P{number}" for number in range(6)]))
    # P3, P4 and P5 have lost three of four fields: the first of these is among the worst.
    assert [row["plate"] for row in made] == ["P0", "P1", "P3"]
    folder = tmp_path / "report" / "plates"
    overview = (folder / "index.html").read_text()
    assert "6 plates; 3 of them have a page" in overview
    assert "at most 3" in overview
    assert overview.count("<tr><td>made</td>") == 6
    assert pd.read_csv(folder / "plates.csv")["left_out"].tolist() == [0, 1, 2, 3, 3, 3]


def test_large_plates_are_fewer(monkeypatch):
    rows = {"left_out": [0, 0, 9], "fields": 100, "empty": 0, "wells": 384, "abnormal": None}
    table = pd.DataFrame(rows)
    monkeypatch.setattr(plates, "MOST_WELLS", 800)
    assert plates.chosen(table).tolist() == [True, False, True]
    monkeypatch.setattr(plates, "MOST_WELLS", 1)
    assert plates.chosen(table).sum() == 1


def test_what_cannot_be_read_is_told(tmp_path):
    plan = make_plates(tmp_path, ["one", "two", "three"])
    (tmp_path / "plate0_fields.parquet").write_bytes(b"no table")
    (tmp_path / "plate1_samples.json").write_text("{")
    contracts.write_not_run(tmp_path / "plate2_quality.parquet", "no images")
    made = written(tmp_path, plan)
    assert [row["plate"] for row in made] == ["two", "three"]
    folder = tmp_path / "report" / "plates"
    assert "made: one" in (folder / "index.html").read_text()
    two = (folder / "made" / "two.html").read_text()
    assert two.count("Not all could be drawn") == 1  # the samples are missing in two figures, for one reason
    assert {path.stem for path in (folder / "made" / "two").glob("*.svg")} == {
        *("layout", "counts", "left_out", "intensity", "quality", "illumination")
    }
    assert "Not all could be drawn" not in (folder / "made" / "three.html").read_text()


def test_a_run_without_plates_leaves_an_empty_folder(tmp_path):
    assert written(tmp_path, {"name": "trial", "datasets": {}, "files": {"scores": "x"}}) == []
    assert not list((tmp_path / "report" / "plates").iterdir())


def test_old_pages_go(tmp_path):
    plan = make_plates(tmp_path, ["one"])
    (tmp_path / "report" / "plates" / "gone").mkdir(parents=True)
    written(tmp_path, plan)
    assert {path.name for path in (tmp_path / "report" / "plates").iterdir()} == {"index.html", "plates.csv", "made"}


def test_layouts_are_those_of_common_plates():
    sizes = {("A01", "H12"): (8, 12), ("A01", "I01"): (16, 24), ("A13",): (16, 24), ("AF48",): (32, 48), ("AG01",): (33, 1)}
    for wells, size in sizes.items():
        found = plates_drawing.layout(list(wells))
        assert (found.rows, found.columns) == size
    free = plates_drawing.layout(["left", "right", "A01"])
    assert not free.named
    assert sorted(free.places.values()) == [(0, 0), (0, 1), (1, 0)]


def test_ramps_show_what_is_undefined_and_what_is_all_alike():
    where = plates_drawing.layout(["A01", "A02", "A03"])
    panel = plates_drawing.ramp(where, "x < y", pd.Series({"A01": 1.0, "A02": np.nan, "A03": 1.0}))
    assert "x &lt; y" in panel.body
    assert panel.body.count('fill="none" stroke') == 1
    assert "<title>A02: –</title>" in panel.body
    near = pd.Series({"A01": 1.0, "A02": 1.1, "A03": 1.0})
    bright, dull = plates_drawing.ramp(where, "x", near), plates_drawing.ramp(where, "x", near, span=100.0)
    yellow = plates_drawing.colours(np.array([1.0]))[0]
    assert [f'height="23" fill="{yellow}"' in panel.body for panel in (bright, dull)] == [True, False]
    empty = plates_drawing.ramp(where, "none", pd.Series({"A01": np.nan}))
    assert empty.body.count('fill="none" stroke') == 3
    ElementTree.fromstring(plates_drawing.together([panel, empty]))


def test_signs_that_xml_forbids_are_replaced():
    assert plates_drawing.safe("a\x00b\x1b<") == "a\ufffdb\ufffd&lt;"
