"""Plate maps and rules for controls: what would join or match wrongly is refused, with what is at fault."""

import pytest

from phenorep import plugins
from phenorep.datasets import features, table
from phenorep.errors import UserError

FEATURES = (
    "Metadata_Plate,Metadata_Well,Metadata_Compound,Metadata_Concentration,f1\n"
    "P1,A01,DMSO,0.1,1\nP1,A02,DMSO,0.1,2\nP1,A03,DMSO,0.1,3\nP1,A04,taxol,1,4\nP1,B01,taxol,3,5\n"
)


def controls(tmp_path, **keys):
    path = tmp_path / "t.csv"
    path.write_text(FEATURES)
    config = plugins.configure(features.Config, {"table": str(path), **keys}, "datasets: mine")
    return features.metadata(config)["Metadata_Control"].tolist()


def fields(tmp_path, plates, wells, **keys):
    """The compounds of each plate."""
    (tmp_path / "t.csv").write_text(
        "Metadata_Plate,Metadata_Well,FileName_DNA\n"
        + "".join(f"{plate},A0{well},{plate}{well}.tif\n" for plate in plates for well in (1, 2))
    )
    (tmp_path / "m.csv").write_text(wells)
    keys |= {"table": str(tmp_path / "t.csv"), "plate_map": str(tmp_path / "m.csv")}
    config = plugins.configure(table.Config, keys, "datasets: mine")
    return {plate: table.fields(config, plate, tmp_path)["Metadata_Compound"].tolist() for plate in plates}


@pytest.mark.parametrize("name", ["Plate", "Barcode", "Metadata_PlateID", "plate_name"])
@pytest.mark.parametrize("plates", ["P1", "P1 P2", "p1 p2"])
def test_a_map_that_names_plates_under_another_name_is_not_joined_by_well_alone(tmp_path, name, plates):
    rows = "".join(f"{plate},A01,a{plate}\n{plate},A02,b{plate}\n" for plate in plates.split())
    wells = f"{name},Metadata_Well,Metadata_Compound\n{rows}"
    message = rf"m\.csv .*its column '{name}' names plates.* 'datasets: rename: \{{{name}: Metadata_Plate\}}' takes it"
    with pytest.raises(UserError, match=message):
        fields(tmp_path, ("P1", "P2"), wells)
    if plates == "P1 P2":
        compounds = fields(tmp_path, ("P1", "P2"), wells, rename={name: "Metadata_Plate"})
        assert compounds == {"P1": ["aP1", "bP1"], "P2": ["aP2", "bP2"]}


def test_a_map_for_every_plate_may_say_of_which_kind_plates_are(tmp_path):
    wells = "Plate,Metadata_Well,Metadata_Compound\n384,A01,a\n384,A02,b\n"
    assert fields(tmp_path, ("P1", "P2"), wells) == {"P1": ["a", "b"], "P2": ["a", "b"]}
    # The map of the only plate.
    assert fields(tmp_path, ("P1",), wells.replace("384", "P1")) == {"P1": ["a", "b"]}
    twice = wells + "96,A01,c\n"
    with pytest.raises(UserError, match=r"A01 stand there twice\. Keep one row of each, or take 'Plate' for the plate by"):
        fields(tmp_path, ("P1", "P2"), twice)


def test_a_plate_that_is_spelt_otherwise_in_the_map(tmp_path):
    wells = "Metadata_Plate,Metadata_Well,Metadata_Compound\np1,A01,a\np1,A02,b\n"
    with pytest.raises(UserError, match=r"no plate 'p1'\. It has 'P1', which differs only in case\. Write it as there"):
        fields(tmp_path, ("P1",), wells)


@pytest.mark.parametrize("wells", [["A1", "A2", "A03"], ["a - 1", "A002", "A 3"]])
def test_wells_of_a_rule_in_any_form(tmp_path, wells):
    assert controls(tmp_path, negative_control={"Metadata_Well": wells}) == ["negative"] * 3 + [""] * 2


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"Metadata_Compound": ["DMSO", "untreated"]}, r"'untreated' of the list is not in .*t\.csv\. Known are: DMSO, tax"),
        ({"Metadata_Compound": ["DMSO", "Taxol"]}, "'Taxol' of the list is not in .* differs only in case"),
        ({"Metadata_Well": ["A1", "H12"]}, r"'H12' of the list is not in .*t\.csv"),
        ({"Metadata_Well": ["A1", "H"]}, "'H' is no well"),
        ({"Metadata_Concentration": [0.1, 10]}, "10 of the list is not in"),
        (
            {"Metadata_Compound": ["DMSO", "taxol"], "Metadata_Concentration": 0.1},
            "Metadata_Compound: 'taxol' of the list matches no row that fits the rest of the rule",
        ),
        (
            {"Metadata_Compound": "DMSO", "Metadata_Concentration": 1},
            r"Rows with \{Metadata_Compound: DMSO\} have in Metadata_Concentration '0.1', not 1\. Write what they have",
        ),
        ({"Metadata_Compound": "DMSO", "Metadata_Concentration": 7}, "In Metadata_Concentration: Known are: 0.1, 1, 3"),
        ({"Metadata_Compound": "dmso", "Metadata_Concentration": 0.1}, "In Metadata_Compound: It has 'DMSO', which differs"),
    ],
)
def test_a_rule_that_matches_less_than_it_names(tmp_path, rule, message):
    with pytest.raises(UserError, match=message) as caught:
        controls(tmp_path, negative_control=rule)
    assert "differs only in ." not in str(caught.value)


def test_a_rule_on_a_column_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no column 'Problems' in .* Known are: .*Metadata_Well") as caught:
        controls(tmp_path, negative_control={"Problems": "x"})
    assert "'Problem'" not in str(caught.value)
    with pytest.raises(UserError, match=r"no column 'Well' in .* Did you mean 'Metadata_Well'"):
        controls(tmp_path, negative_control={"Well": "A01"})
    with pytest.raises(UserError, match=r"no row of .*t\.csv has .* In Metadata_Batch: Known are: P"):
        controls(
            tmp_path,
            negative_control={"Metadata_Batch": "x"},
            batch_from={"column": "Metadata_Plate", "pattern": "^P"},
        )
