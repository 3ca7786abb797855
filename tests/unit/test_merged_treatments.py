"""Treatments that are probably several are said: lost doses, cell lines that are averaged."""

import numpy as np
import pandas as pd
import pytest

from phenorep import merged_treatments, notes


def screen(doses=4, replicates=2, **columns):
    """Wells of twelve compounds at several doses on two plates, and twelve of DMSO."""
    rows = []
    for plate in ("P1", "P2"):
        wells = iter(f"{row}{column:02d}" for row in "ABCDEFGHIJKLMNOP" for column in range(1, 25))
        for number in range(12):
            for dose in range(1, doses + 1):
                rows += [(plate, next(wells), f"c{number}", float(dose), "") for _ in range(replicates)]
        rows += [(plate, next(wells), "DMSO", 0.0, "negative") for _ in range(12)]
    names = ["Plate", "Well", "Compound", "Concentration", "Control"]
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names]).assign(**columns)


def told(table):
    with notes.kept() as said:
        merged_treatments.tell(table, "t.csv")
    assert all(note["check"] for note in said)
    return [note["text"] for note in said]


@pytest.mark.parametrize("change", [{}, {"doses": 1}, {"replicates": 1}, {"doses": 1, "replicates": 3}])
def test_a_regular_screen_gives_no_warning(change):
    assert told(screen(**change)) == []


def test_controls_may_have_many_wells():
    table = screen()
    table.loc[table["Metadata_Compound"] == "c3", ["Metadata_Control", "Metadata_Concentration"]] = ["positive", 1.0]
    assert told(table) == []


def test_lost_doses_of_some_compounds():
    table = screen()
    table.loc[table["Metadata_Compound"].isin(["c1", "c2"]), "Metadata_Concentration"] = np.nan
    (text,) = told(table)
    assert "most treatments have 2 wells on a plate; c1 (8), c2 (8) have far more" in text
    assert "Metadata_Concentration" in text


def test_controls_that_are_not_named():
    (text,) = told(screen(doses=1).assign(Metadata_Control=""))
    assert "DMSO 0 uM (12) have far more" in text
    assert "negative_control:" in text


def test_some_wells_of_a_compound_without_an_amount():
    table = screen()
    table.loc[table.index[:3], "Metadata_Concentration"] = np.nan
    (text,) = told(table)
    assert "3 wells of c0 have no Metadata_Concentration, other wells of the same compounds have one" in text


@pytest.mark.parametrize(
    "column",
    [
        *("Metadata_CellLine", "Metadata_cell_line", "Metadata_Cells", "Metadata_Donor_ID", "Metadata_Timepoint"),
        *("Metadata_Treatment_Time", "Metadata_Medium", "Metadata_Compound2", "Metadata_siRNA"),
    ],
)
def test_treatments_merged_over_cell_lines(column):
    table = screen()
    table[column] = np.where(table["Metadata_Plate"] == "P1", "A549", "U2OS")
    (text,) = told(table)
    assert f"48 of 48 treatments have wells that differ in {column} (A549, U2OS)" in text
    assert told(table.assign(**{column: "U2OS"})) == []
    # What tells the lines apart is the treatment's name itself.
    assert (
        told(table.assign(Metadata_Perturbation=table["Metadata_Compound"] + table[column], Metadata_Concentration=1.0))
        == []
    )


def test_other_columns_that_differ_within_treatments():
    table = screen()
    table["Metadata_Vendor"] = np.where(table["Metadata_Plate"] == "P1", "a", "b")
    with notes.kept() as said:
        merged_treatments.tell(table, "t.csv")
    assert [note["check"] for note in said] == [False]
    assert "differ in Metadata_Vendor (a, b)" in said[0]["text"]
    for column in ("Metadata_Replicate", "Metadata_Plate_Type", "Metadata_Row", "Metadata_Batch", "Metadata_Date"):
        assert told(table.drop(columns="Metadata_Vendor").assign(**{column: table["Metadata_Vendor"]})) == []


def test_an_amount_without_a_compound():
    table = screen()
    table.loc[[1, 2, 90], "Metadata_Compound"] = ""
    (text,) = told(table)
    assert "3 wells have a Metadata_Concentration and no compound" in text


def test_concentrations_that_are_nearly_equal():
    table = screen()
    third = table["Metadata_Compound"] == "c3"
    table.loc[third, "Metadata_Concentration"] = np.resize([1 / 3, 0.33333334], third.sum())
    (text,) = told(table)
    assert "1 concentrations are nearly those" in text
    assert "0.3333333333 and 0.33333334 of c3" in text


def test_cells_of_a_well_are_not_counted_as_wells():
    table = screen()
    assert told(pd.concat([table] + [table[table["Metadata_Compound"] == "c1"]] * 9)) == []


def test_without_compounds_there_is_nothing_to_merge():
    assert told(screen()[["Metadata_Plate", "Metadata_Well", "Metadata_Control"]]) == []
