"""What the page says of abnormal images: maps, pictures and probabilities, and what leaving them out changed."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, plugins
from phenorep.errors import UserError
from phenorep.report import abnormality, artefacts, cleaned, colours, drawing, gaps, maps, tables
from tests.unit.made_quality import DECLARED, PLATES, make_quality_run
from tests.unit.made_run import HOSTILE, make_page


@pytest.fixture(scope="module", autouse=True)
def declared():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "constants", lambda kind, name: DECLARED.get((kind, name), {}))
        patch.setattr(maps, "umap", lambda features: features[:, :2])
        yield


@pytest.fixture(scope="module")
def run(declared, tmp_path_factory):
    """The made-up run, reported: (folder of the page, its text, the plan)."""
    folder = tmp_path_factory.mktemp("run")
    plan = make_quality_run(folder)
    make_page(json.loads(json.dumps(plan)), str(folder / "r" / "index.html"), str(folder / "r" / "figures"))
    return folder / "r", (folder / "r" / "index.html").read_text(), plan


@pytest.fixture(scope="module")
def found(run):
    (entry,) = abnormality.usable(run[2])
    return abnormality.read(entry)


def shown(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)))


def test_fields_and_plates_are_summed_up(found):
    assert len(found.fields) == 3 * 8
    assert (found.fields["samples"] == 3).all()
    bad = found.fields["Metadata_Well"] == "B02"
    assert (found.fields.loc[bad, "likely"] == 3).all()
    assert not found.fields.loc[~bad, "likely"].any()
    plates = found.plates()
    assert list(plates["plate"]) == [PLATES[2], PLATES[1], PLATES[0]]  # worst first
    assert (plates["share"] == 0.25).all()
    assert plates["mean"].iloc[0] == pytest.approx(0.25 * 0.98 + 0.75 * 0.02, abs=0.001)
    assert found.histogram["samples"].sum() == 72
    assert found.histogram.set_index("low").loc[0, "samples"] == 54
    assert list(found.worst_fields()["Metadata_Plate"].iloc[:2]) == ["p2", "p2"]


def test_the_gallery_holds_one_image_of_a_field_in_each_row(found):
    for group, count in abnormality.GALLERY.items():
        rows = found.shown[found.shown["group"] == group]
        assert len(rows) == count
        assert not rows.duplicated(abnormality.FIELD).any()
    most = found.shown[found.shown["group"] == "most abnormal"]
    assert (most["Metadata_Well"].iloc[:6] == "B02").all()
    assert (most["abnormality"].diff().dropna() <= 0).all()
    normal = found.shown[found.shown["group"] == "most normal"]
    assert normal["abnormality"].max() < 0.03
    nearest = (found.shown.loc[found.shown["group"] == "nearest to 0.5", "abnormality"] - 0.5).abs()
    assert nearest.iloc[0] == pytest.approx(0.4, abs=0.01)  # the first plate's abnormal ones
    assert (nearest.diff().dropna() >= 0).all()


def test_a_plate_in_several_row_groups_is_summed_up_once(found, tmp_path):
    path = tmp_path / "again.parquet"
    table = contracts.read_table(found.entry["path"], "abnormality")
    with contracts.table_writer(path, "abnormality", found.about) as write:
        for rows in np.array_split(np.random.default_rng(0).permutation(len(table)), 5):
            write(table.iloc[rows])
    again = abnormality.read(found.entry | {"path": str(path)})
    keys = abnormality.FIELD
    pd.testing.assert_frame_equal(
        again.fields.sort_values(keys, ignore_index=True), found.fields.sort_values(keys, ignore_index=True)
    )


def test_maps_put_each_field_at_its_place(found, tmp_path, monkeypatch):
    drawn = []
    real = artefacts._plate
    monkeypatch.setattr(artefacts, "_plate", lambda *given: drawn.append(real(*given)) or drawn[-1])
    with drawing.style():
        artefacts.plate_maps(found, tmp_path)
    plate = drawn[0]  # the worst: wells A01 to B02, two sites side by side
    side = artefacts.WELL_PIXELS
    assert plate.shape[:2] == (2 * side + artefacts.WELL_GAP, 2 * side + artefacts.WELL_GAP)
    low, high = plate[0, 0], plate[-1, -1]
    assert low[2] > low[0]  # blue
    assert high[0] > high[2]  # orange
    np.testing.assert_array_equal(plate[0, -1], low)
    assert plate[side, 0, 3] == 0  # between wells
    assert artefacts._in_order(np.array(["10", "2", "a", "1"])) == ["1", "2", "10", "a"]


def test_wells_have_places():
    assert artefacts._well_places(["x", "a", "B02", "c"]) == {"B02": (0, 0), "a": (0, 1), "c": (1, 0), "x": (1, 1)}
    assert [artefacts._letters(row) for row in (0, 25, 26, 31)] == ["A", "Z", "AA", "AF"]


def test_contrast_is_that_of_the_plate_and_nuclei_are_blue():
    channels = ["AGP", "Mito", "DNA"]
    assert colours.of_channels(["DNA"])["DNA"][0] == "white"
    assert [name for name, _ in colours.of_channels(channels).values()] == ["red", "green", "blue"]
    assert colours.words(channels) == "AGP red, Mito green, DNA blue"
    image = np.zeros((3, 8, 8))
    image[2] = 1
    picture = artefacts._coloured(image, channels)
    assert picture.shape == (8, 8, 3)
    assert picture[0, 0, 2] > max(picture[0, 0, :2])
    assert not artefacts._coloured(np.zeros((3, 8, 8)), channels).any()  # an empty image looks empty


def test_page_shows_where_what_and_how_sure(run):
    folder, page, _ = run
    text = shown(page)
    assert 'href="#abnormal"' in page
    names = ("artefacts", "calibration", "gallery")
    for name in names:
        path = folder / "figures" / f"{name}_made_cells_photographs_0.svg"
        assert path.stat().st_size < 300_000
        assert "<script" not in path.read_text()
        assert len(pd.read_csv(path.with_suffix(".csv"))) > 0
    assert text.index("How the classifier was trained") < text.index("What leaving out changed")
    assert "made, cells photographs, seed 0 linear 30 20 0.988 0.930 0.054 0.250 stated &lt;script&gt;" in text
    assert "72 images; 18 of them have a probability of 0.5 or more. The mean probability is 0.250." in text
    assert HOSTILE not in page
    bins = pd.read_csv(folder / "figures" / "calibration_made_cells_photographs_0.csv")
    row = bins[bins["what"] == "calibration"].iloc[-1]
    assert (row["predicted"], row["observed"], row["observed_high"]) == (0.97, 1.0, 1.0)
    assert 0.7 < row["observed_low"] < 0.9
    assert len(pd.read_csv(folder / "figures" / "abnormal_plates_made_cells_photographs_0.csv")) == 3


def test_what_did_not_run_is_listed(run):
    _, page, plan = run
    row = next(row for row in gaps.not_run(plan["files"]) if row["steps"] == "abnormality")
    assert (row["method"], row["reason"]) == ("learned", "no image is labelled")
    assert "no image is labelled" in shown(page)


def test_samples_that_are_gone_leave_the_rest_of_the_part(run, tmp_path):
    plan = json.loads(json.dumps(run[2]))
    plan["studies"] = {}
    plan["files"]["samples"] = [entry for entry in plan["files"]["samples"] if entry["plate"] != "p0"]
    make_page(plan, str(tmp_path / "page.html"), str(tmp_path / "figures"))
    text = shown((tmp_path / "page.html").read_text())
    assert "the samples of plate p0 of made are missing" in text
    assert not list((tmp_path / "figures").glob("gallery_*"))
    assert (tmp_path / "figures" / "calibration_made_cells_photographs_0.svg").is_file()


def test_samples_that_were_made_again_are_told(run, found, tmp_path):
    plan = json.loads(json.dumps(run[2]))
    changed = found.shown.assign(Sample="p0/A01/1/99")
    with pytest.raises(UserError, match="p0/A01/1/99 is not among the samples of plate"):
        artefacts._pictures(changed, {"dataset": "made", "samples": "cells"}, plan)


def test_a_file_without_the_column_or_rows_is_refused(found, tmp_path):
    path = tmp_path / "other.parquet"
    contracts.write_table(pd.DataFrame({name: ["a"] for name in (*contracts.FIELD, "Sample")}), path, "samples")
    with pytest.raises(UserError, match="abnormality"):
        abnormality.read(found.entry | {"path": str(path)})
    table = contracts.read_table(found.entry["path"], "abnormality").head(0)
    contracts.write_table(table, path, "abnormality")
    with pytest.raises(UserError, match="no image has an abnormality"):
        abnormality.read(found.entry | {"path": str(path)})


def test_what_was_left_out_is_counted_by_plate_treatment_and_well(run, tmp_path):
    counted = cleaned.counts(run[2], run[2]["cleaned"][0], tmp_path)
    assert (counted["samples"], counted["kept"], counted["left_out"]) == (72, 54, 18)
    assert [(row["plate"], row["left_out"]) for row in counted["plates"]] == [(plate, 6) for plate in sorted(PLATES)]
    assert [(row["treatment"], row["left_out"], row["share"]) for row in counted["treatments"]] == [(HOSTILE, 18, 1.0)]
    assert counted["well_count"] == 3
    assert "p2 B02" in counted["wells"]
    table = pd.read_csv(tmp_path / counted["file"])
    assert len(table) == 12
    assert set(table.loc[table["well"] == "A01", "control"]) == {"negative"}


def test_a_set_that_is_not_there_cannot_be_compared(run, tmp_path):
    plan = json.loads(json.dumps(run[2]))
    files = plan["files"]["samples"]
    plan["files"]["samples"] = [e for e in files if (e["samples"], e["plate"]) != ("cells_clean", "p2")]
    with pytest.raises(UserError, match="missing for p2"):
        cleaned.counts(plan, plan["cleaned"][0], tmp_path)


def measured(plan: dict) -> dict:
    scores = contracts.read_scores(plan["files"]["scores"])
    return {name: tables.measures(name, study, scores, plan).judged for name, study in plan["studies"].items()}


def test_scores_stand_side_by_side_with_a_paired_difference(run):
    plan = run[2]
    table = cleaned.scores(plan["cleaned"][0], plan["studies"], measured(plan)).set_index("method")
    assert len(table) == 3
    learned = table.loc["learned"]
    assert (learned["before"], learned["value"]) == (0.5, 0.9)
    assert learned["difference"] == pytest.approx(0.4)
    assert 0 < learned["difference_low"] < 0.4 < learned["difference_high"]
    assert learned["words"] == "better (20 treatments in both)"
    assert table.loc["photographs", "words"].startswith("cannot be told apart")
    # The labels' study has no counterpart on the view.
    assert set(table["before_study"]) == {"all"}


def test_worse_is_said_of_a_metric_where_lower_is_better(run, monkeypatch):
    plan = run[2]
    lower = {"METRICS": {"nsc": {"range": [0, 1], "better": "lower"}}}
    monkeypatch.setattr(plugins, "constants", lambda kind, name: DECLARED[kind, name] | lower if name == "matching" else {})
    table = cleaned.scores(plan["cleaned"][0], plan["studies"], measured(plan)).set_index("method")
    assert table.loc["learned", "words"].startswith("worse")


def test_page_shows_what_leaving_out_changed(run):
    folder, page, _ = run
    text = shown(page)
    assert "cells_clean holds the samples of cells where abnormality &lt; 0.9 ." in text
    assert "18 of 72 were left out (25.0 %). Of 3 wells nothing is left:" in text
    assert re.search(r"matching: nsc learned raw 0.500 n = 20 0.900 n = 20 \+0.400 [\d.]+ to [\d.]+ better", text)
    assert len(pd.read_csv(folder / "figures" / "cleaned_made_cells_clean_all_clean.csv")) == 3


def test_a_view_without_a_study_beside_it_says_so(run, tmp_path):
    plan = json.loads(json.dumps(run[2]))
    del plan["studies"]["clean"], plan["studies"]["labels"]
    make_page(plan, str(tmp_path / "page.html"), str(tmp_path / "figures"))
    assert "no scores to compare" in shown((tmp_path / "page.html").read_text())


def test_page_without_abnormal_images_says_nothing_of_them(run, tmp_path):
    plan = json.loads(json.dumps(run[2]))
    plan["files"]["abnormality"], plan["cleaned"], plan["studies"] = [], [], {}
    make_page(plan, str(tmp_path / "page.html"), str(tmp_path / "figures"))
    assert "bnormal images" not in shown((tmp_path / "page.html").read_text())


def test_figures_are_the_same_each_time(run, found, tmp_path):
    folder, _, plan = run
    with drawing.style():
        for figure in artefacts.draw(found, plan, tmp_path):
            assert (tmp_path / figure.file).read_bytes() == (folder / "figures" / figure.file).read_bytes()
