"""What the wells hold: names in one spelling, plain numbers, rules for controls, through a dataset of the user's."""

import numpy as np
import pandas as pd
import pytest

from phenorep.errors import UserError
from tests.unit.made_screen import WELLS, make_screen, with_map


@pytest.fixture
def screen(tmp_path):
    return make_screen(tmp_path)


def test_names_are_in_one_spelling_in_all_tables(screen):
    rows = [[plate, *well] for plate in ("week1_01", "week2_02") for well in WELLS]
    rows[3][2] = "dmso\u200b"
    path = with_map(screen, rows, ("Metadata_Plate", "Metadata_Well", "Metadata_Compound", "Metadata_Dose"))
    keys = {"plate_map": path, "negative_control": {"Metadata_Compound": "dmso"}}
    with pytest.raises(
        UserError, match=r"map\.csv: Metadata_Compound: 'DMSO' \(1 row\) and 'dmso.u200b' \(1\) differ only in"
    ):
        screen.fields(**keys)
    for plate in ("Week1_01", "Week2_02"):
        table = screen.fields(plate, **keys, names="folded")
        assert table["Metadata_Compound"].tolist()[::2] == ["DMSO", "taxol", "nocodazole"]
        assert table["Metadata_Control"].tolist()[::2] == ["negative", "", ""]
    # Kept apart, the rule names one of them, as it is seen; plates that are spelt in two ways are two.
    with pytest.raises(UserError, match=r"map\.csv .* has no plate 'week1_01'"):
        screen.fields(**keys, names="distinct")


def test_a_rule_for_controls_says_what_differs(screen):
    path = with_map(screen, WELLS)
    message = r"no row of .*map\.csv has .*'dmso'.* It has 'DMSO', which differs only in case\."
    with pytest.raises(UserError, match=message):
        screen.fields(plate_map=path, negative_control={"Metadata_Compound": "dmso"})
    screen.table = screen.table.drop(columns=["Metadata_Batch"])
    with pytest.raises(UserError, match=r"pattern: '\^Month' is not found in 0, 1, 2 \(.*map\.csv, Metadata_Dose\)"):
        screen.fields(plate_map=path, batch_from={"column": "Metadata_Dose", "pattern": "^Month"})
    screen.table["Metadata_Batch"] = "b"
    path = with_map(
        screen, [[*well, "vehicle"] for well in WELLS], ("Metadata_Well", "Metadata_Compound", "x", "Metadata_Control")
    )
    with pytest.raises(UserError, match=r"map\.csv: Metadata_Control: 'vehicle' is neither"):
        screen.fields(plate_map=path)


def test_doses_of_a_plate_map(screen):
    table = screen.fields(plate_map=with_map(screen, [["A01", "DMSO", ""], ["B2", "taxol", "1.0"], ["C03", "x", "2"]]))
    np.testing.assert_array_equal(table["Metadata_Dose"], [np.nan, np.nan, 1, 1, 2, 2])
    # On a plate that lacks the well the column is of the same type: plates become one table.
    screen.table = screen.table[(screen.table["Metadata_Plate"] == "Week1_01") | (screen.table["Metadata_Well"] != "A1")]
    path = with_map(screen, [["A01", "DMSO", ""], ["B2", "taxol", "1.0"], ["C03", "x", "2"]])
    for plate in ("Week1_01", "Week2_02"):
        assert screen.fields(plate, plate_map=path)["Metadata_Dose"].dtype == np.float64


@pytest.mark.parametrize("name", ["plates.csv", "plates.parquet"])
def test_concentrations_kept_in_32_bits(screen, name):
    values = pd.to_numeric(screen.table["Metadata_Concentration"]).astype(np.float32)
    screen.table["Metadata_Concentration"] = values if name.endswith("parquet") else values.astype(float)
    table = screen.fields(name=name, negative_control={"Metadata_Concentration": 0.3})
    assert table["Metadata_Concentration"].tolist()[:4] == [0, 0, 0.3, 0.3]
    assert table["Metadata_Control"].tolist()[::2] == ["", "negative", ""]


@pytest.mark.parametrize("images", ["", "elsewhere"])
def test_plates_that_name_the_same_image(screen, images):
    assert set(screen.fields(images="")["Metadata_Plate"]) == {"Week1_01"}
    if not images:
        screen.table["PathName_DNA"] = "images/Week1_01"
    with pytest.raises(UserError, match=r"rows 2, 8: plates Week1_01 and Week2_02 name the same image, .*A1_s1_DNA\.tif\."):
        screen.fields(images=images)
