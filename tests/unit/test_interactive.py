"""Maps that answer to the reader: what their pages hold, and which pictures stand for which mark."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from phenorep import contracts
from phenorep.report import drawing, interactive, interactive_crops, maps, templates
from phenorep.report.drawing import Figure
from tests.unit.made_plates import make_plates

HOSTILE = "</script><script>alert('x')</script>\u2028&amp;"


def made_map(metadata: pd.DataFrame, level: str = "well", study: str = "first") -> maps.Map:
    places = np.random.default_rng(0).normal(size=(len(metadata), 2)) * [3, 1]
    name = f"map_{study}_learned_raw"
    figure = Figure(name, "Map: learned × raw", "A caption.", "<svg></svg>", f"{name}.svg", f"{name}.csv")
    entry = {"dataset": "made", "samples": "cells", "method": "learned", "seed": 0, "profile": "raw", "path": "x"}
    return maps.Map(study, entry, level, figure, places, metadata)


def wells_of(plates: list[str]) -> pd.DataFrame:
    """Profiles of wells, as aggregating leaves their metadata."""
    rows = [(plate, well) for plate in plates for well in ("A01", "A02", "B01", "H12")]
    table = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well"])
    return table.assign(Metadata_Site=[np.array(["1"])] * len(table))


@pytest.fixture
def plan(tmp_path):
    return make_plates(tmp_path, ["P1", "P2"])


def paths_of(plan: dict) -> dict[str, str]:
    return {entry["plate"]: entry["path"] for entry in plan["files"]["samples"]}


def data_of(path) -> dict:
    """What the page's script reads."""
    return json.loads(re.search(r'<script type="application/json" id="map-data">(.*?)</script>', path.read_text())[1])


def test_marks_have_places_names_and_colours():
    table = pd.DataFrame({"Metadata_Concentration": [10.0, 2.0, np.nan, 0.5], "Metadata_Plate": ["P"] * 4})
    table["Metadata_Well"] = [np.array([f"A{number:02d}" for number in range(1, 10)])] * 4
    one = made_map(table, "treatment")
    found = interactive.points(one)
    assert found["level"] == "treatment"
    places = np.array([found["x"], found["y"]]).T
    assert places.min() >= 0
    assert places.max() <= 1
    assert np.ptp(places[:, 0]) > np.ptp(places[:, 1])  # one scale for both sides
    columns = {column["name"]: column for column in found["columns"]}
    amounts = columns["concentration (µM)"]
    assert amounts["names"] == ["0.5", "2", "10", ""]  # by size; nothing is last
    assert amounts["codes"] == [2, 1, 3, 0]
    assert len(amounts["colours"]) == 4
    assert amounts["colours"][3] == drawing.FAINT
    assert columns["plate"]["colours"] is None  # all alike
    assert columns["well"]["names"] == ["A01, A02, A03, A04, A05, A06 and 3 more"]
    assert found["first"] == "concentration (µM)"


def test_colours_are_offered_where_they_can_be_told_apart(monkeypatch):
    monkeypatch.setattr(interactive, "MOST_COLOURS", 3)
    table = pd.DataFrame({"Metadata_Compound": list("abcd"), "Metadata_Plate": ["1", "2", "1", "2"]})
    found = interactive.points(made_map(table))
    assert {column["name"]: bool(column["colours"]) for column in found["columns"]} == {"compound": False, "plate": True}
    assert found["first"] == "plate"
    # The same colours as in the report's own map.
    plates = next(column for column in found["columns"] if column["name"] == "plate")
    assert plates["colours"] == list(drawing.colours(["1", "2"]).values())


def test_pages_hold_data_as_data(tmp_path, plan):
    table = wells_of(["P1"]).assign(Metadata_Compound=[HOSTILE, "b", "c", ""])
    folder = tmp_path / "report" / "maps"
    folder.mkdir(parents=True)
    (folder / "old.html").touch()
    made = interactive.make(plan, [made_map(table)], folder, templates.environment())
    assert made == [
        {
            "study": "first",
            "title": "Map: learned × raw",
            "href": "maps/first_learned_raw.html",
            "figure": "map_first_learned_raw",
        }
    ]
    assert [path.name for path in folder.iterdir()] == ["first_learned_raw.html"]
    text = (folder / "first_learned_raw.html").read_text()
    assert "alert('x')</script>" not in text
    data = data_of(folder / "first_learned_raw.html")
    assert HOSTILE in next(column for column in data["columns"] if column["name"] == "compound")["names"]
    assert '<a href="../index.html#study-first"' in text


def test_each_well_has_pictures_of_its_own_samples(tmp_path, plan):
    table = wells_of(["P2", "P1"])
    crops = interactive_crops.make(table, paths_of(plan))
    assert sorted(set(crops.owners)) == list(range(8))
    assert len(crops.owners) == 8 * 3  # three samples in each well, and room for four
    for owner, where in zip(crops.owners, crops.where, strict=True):
        assert where == f"{table['Metadata_Plate'][owner]}, {table['Metadata_Well'][owner]}, site 1"
    assert crops.shown == (16, 16)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(crops.source.split(",")[1]))))
    assert sheet.shape == (-(-24 // crops.columns) * 16, crops.columns * 16, 3)
    # Samples are brighter from well to well, and so are the pictures.
    brightness = {}
    for number, owner in enumerate(crops.owners):
        row, column = divmod(number, crops.columns)
        brightness[owner] = sheet[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16].mean()
    assert [brightness[number] for number in range(4)] == sorted(brightness[number] for number in range(4))
    assert brightness[3] > brightness[0]
    assert interactive_crops.make(table, paths_of(plan)) == crops  # a fixed seed


def test_treatments_are_found_by_what_their_samples_say(plan):
    table = pd.DataFrame({"Metadata_Treatment": ["kinase & co 0.5 uM", "none of these"]})
    table["Metadata_Plate"] = [np.array(["P1", "P2"])] * 2
    found = interactive_crops.choose(table, paths_of(plan), 4, 0)
    assert set(found["mark"]) == {0}
    assert len(found) == 4
    assert found["where"].str.contains(", A02, ").all()
    assert sorted(found["turn"]) == [0, 1, 2, 3]


def test_a_single_sample_has_its_own_picture(plan):
    table = pd.DataFrame({"Sample": ["P2/4", "P1/0"], "Metadata_Plate": ["P2", "P1"]})
    found = interactive_crops.choose(table, paths_of(plan), 1, 0)
    assert found[["mark", "plate", "row"]].to_numpy().tolist() == [[0, "P2", 4], [1, "P1", 0]]


def test_pictures_stay_within_their_limits(plan, monkeypatch):
    table = wells_of(["P1", "P2"])
    monkeypatch.setattr(interactive_crops, "MOST_CROPS", 10)
    crops = interactive_crops.make(table, paths_of(plan))
    assert sorted(crops.owners) == list(range(8))  # one each
    monkeypatch.setattr(interactive_crops, "MOST_BYTES", len(crops.source) - 1)
    fewer = interactive_crops.make(table, paths_of(plan))
    assert 0 < len(fewer.owners) < 8
    assert len(fewer.source) < len(crops.source)


def test_what_has_no_pictures_says_why(tmp_path, plan):
    strangers = pd.DataFrame({"Metadata_Treatment": ["unknown"] * 2})
    assert interactive_crops.make(strangers, paths_of(plan)) is None
    assert interactive_crops.make(pd.DataFrame({"Metadata_MoA": ["x"]}), paths_of(plan)) is None
    folder = tmp_path / "maps"
    interactive.make(plan, [made_map(strangers)], folder, templates.environment())
    assert "none of the samples behind these marks is there" in (folder / "first_learned_raw.html").read_text()
    (tmp_path / "plate0_samples.json").write_text("{")
    interactive.make(plan, [made_map(wells_of(["P1"]))], folder, templates.environment())
    text = (folder / "first_learned_raw.html").read_text()
    assert "There are no pictures" in text
    assert "plate0_samples.json" in text
    assert data_of(folder / "first_learned_raw.html")["crops"] is None


def test_a_plate_that_did_not_run_is_passed_over(tmp_path, plan):
    contracts.write_not_run(tmp_path / "plate0_samples.parquet", "no nuclei")
    crops = interactive_crops.make(wells_of(["P1", "P2"]), paths_of(plan))
    assert set(crops.owners) == {4, 5, 6, 7}
