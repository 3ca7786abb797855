"""The command `plan` reads the tables before anything runs: what is wrong is an error, what is said goes beside the list."""

import json
from types import SimpleNamespace

import pytest

import phenorep
from phenorep import cli

MAP = "Metadata_Well,Metadata_Compound,Metadata_MoA\nA01,DMSO,\nA02,taxol,microtubules\n,,\n"


@pytest.fixture
def plan(tmp_path, monkeypatch, capsys):
    """A function that plans a study on a table and its plate map: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    # Planning alone: that the configuration itself is checked, which imports torch, is tested elsewhere.
    monkeypatch.setattr(phenorep, "check", SimpleNamespace(blocks=lambda config: config), raising=False)

    def run(plates, wells=MAP, use="table", **keys):
        (tmp_path / "plates.csv").write_text(plates)
        (tmp_path / "wells.csv").write_text(wells)
        mine = {"use": use, "table": "plates.csv", "plate_map": "wells.csv", **keys}
        imaged = {"samples": {"cells": {"use": "nuclei", "size": 16}}, "methods": {"pixel_statistics": {}}}
        study = {"dataset": "mine", "profiles": ["wells"], "evaluations": ["moa_matching"]}
        config = {
            "name": "mine",
            "datasets": {"mine": mine},
            "profiles": {"wells": [{"aggregate": {"by": "treatment", "with": "mean"}}]},
            "evaluations": {"moa_matching": {}},
            "studies": {"mine": study | ({"samples": "cells", "methods": ["pixel_statistics"]} if use == "table" else {})},
        }
        (tmp_path / "mine.yaml").write_text(json.dumps(config | (imaged if use == "table" else {})))
        status = cli.main(["plan", "mine.yaml"])
        return status, *capsys.readouterr()

    return run


PLATES = "Metadata_Plate,Metadata_Well,Metadata_Site, FileName_DNA\nP1,A01,1,a.tif\nP1,A02,1,b.tif\n"
TWO = "Metadata_Plate,Metadata_Well,Metadata_Site,FileName_DNA,FileName_ER\nP1,A01,1,a.tif,a.tif\nP1,A02,1,b.tif,c.tif\n"
VALUES = "Metadata_Plate,Metadata_Well,Cells_Area,Cells_Form,Cells_Dots\nP1,A01,1,2,3\nP1,A02,2,3,5\n"


def test_what_is_read_in_which_way_is_said_once_and_not_among_the_scores(plan):
    status, out, err = plan(PLATES)
    assert (status, out) == (0, "results/mine/scores/cells/pixel_statistics/seed0/final/wells/moa_matching.csv\n")
    assert err == (
        "plates.csv: names of columns are read in our spelling: ' FileName_DNA' as FileName_DNA.\n"
        "wells.csv: empty rows are passed over: row 4.\n"
    )
    status, out, err = plan(VALUES, use="features")
    assert (status, err) == (0, "wells.csv: empty rows are passed over: row 4.\n")
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("plates", "wells", "keys", "message"),
    [
        (PLATES.replace("A02", "A2x"), MAP, {}, "datasets: mine: plates.csv: row 3: Metadata_Well: 'A2x' is no well"),
        (PLATES, MAP.replace("A02", "A03"), {}, "A02 have images in plates.csv and no row in the plate map"),
        (PLATES, MAP.replace("A02", "?"), {}, "datasets: mine: wells.csv: row 3: Metadata_Well: '?' is no well"),
        (PLATES, MAP, {"negative_control": {"Metadata_Compound": "water"}}, "negative_control: no row of wells.csv has"),
        (PLATES, MAP, {"rename": {"drug": "Metadata_Compound"}}, "no column 'drug' in plates.csv and wells.csv"),
        (PLATES.replace("P1,A02,1", "P1,A01,1"), MAP, {}, "rows 2, 3 are all of plate P1, well A01, Metadata_Site 1"),
        (PLATES.replace("b.tif", r"D:\b.tif"), MAP, {}, "row 3: FileName_DNA is "),
        (TWO, MAP, {}, "a.tif: is named for the channels DNA and ER of plate P1, well A01, site 1"),
        (PLATES.replace("b.tif", "a.tif"), MAP, {}, "a.tif: is named for 2 fields of view, in DNA: plate P1, well A01"),
        (PLATES.replace("b.tif", r".\x\..\a.tif"), MAP, {}, "a.tif: is named for 2 fields of view, in DNA"),
        (
            TWO.replace("a.tif,a.tif", "a.tif,d.tif").replace("c.tif", "a.tif"),
            MAP,
            {},
            "a.tif: is named for 2 fields of view, in DNA and ER",
        ),
        (VALUES.replace("A02", ""), MAP, {"use": "features"}, "plates.csv: row 3 has no Metadata_Well"),
        (VALUES, MAP.replace("A02", "?"), {"use": "features"}, "wells.csv: row 3: Metadata_Well: '?' is no well"),
        (VALUES.replace("A02,2,3,5", "A02,2,3,5,6"), MAP, {"use": "features"}, "Expected 5 cells in row 3, saw 6"),
    ],
)
def test_what_is_wrong_with_the_tables_ends_the_plan(plan, plates, wells, keys, message):
    status, out, err = plan(plates, wells, **keys)
    assert (status, out) == (1, "")
    assert message in err
