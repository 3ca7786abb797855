"""Columns that look like ours and are not: named with what takes them, and warned of where doses would become one."""

import pytest

from phenorep import loaddata, lookalikes, notes, plugins
from phenorep.datasets import features, folder, table
from phenorep.errors import UserError

PLATES = "Metadata_Plate,Metadata_Well,FileName_DNA\nP1,A01,a.tif\nP1,A02,b.tif\nP1,A03,c.tif\n"
VALUES = "Metadata_Plate,Metadata_Well,Cells_Area,{}\nP1,A01,1,{}\nP1,A02,2,{}\n"


def said(module, **keys):
    config = plugins.configure(module.Config, keys, "datasets: mine")
    with notes.kept() as kept:
        module.check(config)
    return [(note["check"], note["text"]) for note in kept]


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        *((name, "Metadata_Compound") for name in ("drug", "Compound", "compound name", "Metadata_broad_sample")),
        *((name, "Metadata_Compound") for name in ("Metadata_pert_iname", "CPD_ID", "Metadata_compound_name")),
        *((name, "Metadata_MoA") for name in ("moa", "Mechanism of action", "Metadata_mechanism")),
        *((name, "Metadata_Well") for name in ("well", "Well ID", "Well Name", "Metadata_well_position", "Metadata.Well")),
        *((name, "Metadata_Plate") for name in ("plate", "Assay_Plate_Barcode", "Image_Metadata_PlateID", "Metadata-Plate")),
        *((name, "Metadata_Concentration") for name in ("dose", "Concentration_uM", "Metadata_mmoles_per_liter", "Conc.")),
        *(
            (name, "Metadata_Concentration")
            for name in ("Metadata_Conc", "conc (\xb5M)", "conc [\u03bcM]", "Dose (nM)", "uM")
        ),
        *((name, "Metadata_Concentration") for name in ("Final concentration in uM", "Metadata_pert_dose")),
        *(
            (name, "Metadata_Concentration")
            for name in ("Metadata_Konzentration", "Metadata_dose_recode", "Cmpd_Conc", "Dosis")
        ),
        *(
            (name, "Metadata_Concentration")
            for name in ("Metadata_log10_dose", "Metadata_mg_per_ml", "Konzentration [\xb5M]")
        ),
        *(
            (name, "Metadata_Concentration")
            for name in ("Metadata_Concentration_x", "Metadata_Concentration_y", "c (\xb5M)")
        ),
        *((name, "Metadata_Concentration") for name in ("Metadata_Concentration.1", "Metadata_Concentation", "[c] uM")),
        *((name, "Metadata_Concentration") for name in ("MetadataConcentration", "Metadata_Dilution", "Concentratoin_nM")),
        ("Metadata_Coumpound", "Metadata_Compound"),
        ("cell_line", "Metadata_CellLine"),
        ("replicate", "Metadata_Replicate"),
        ("Batch", "Metadata_Batch"),
        ("Field ID", "Metadata_Site"),
        ("Metadata_control_type", "Metadata_Control"),
    ],
)
def test_likenesses(name, ours):
    assert lookalikes.of(name) == ours


@pytest.mark.parametrize(
    "name",
    [
        *("Metadata_Well", "Metadata_Compound", "Metadata_Plate_Map_Name", "Cells_Area", "Nuclei_Concavity", "Metadata_Row"),
        *("Metadata_target", "Wellbeing", "Dosage_Index_1", "Cells_Neighbors_Concentric", "Metadata_CellLine", "Plate_Mean"),
        *("Metadata_gene", "Metadata_InChIKey", "m", "Metadata_Replicate", "Concentration_of_DNA", "batch_size"),
        *(
            "c",
            "cum",
            "Metadata_Cell",
            "Metadata_Wells",
            "Contrast",
            "Concentric",
            "dose_response_slope",
            "consensus",
            "mgl",
        ),
        *("Metadata_Planes", "Metadata_dose_unit", "Metadata_cell_name"),
    ],
)
def test_no_likeness(name):
    assert lookalikes.of(name) is None


@pytest.mark.parametrize(
    ("header", "doses", "warns", "says"),
    [
        ("Concentration_uM", "0.1 1", True, "rename: {Concentration_uM: Metadata_Concentration}' takes it."),
        ("dose", "1 2", True, "if it is in micromolar, {dose: Metadata_Dose} if it is a rank"),
        ("Metadata_mmoles_per_liter", "0.1 1", True, "multiply it by 1000, and call the column Metadata_Concentration"),
        ("Conc (nM)", "100 1000", True, "multiply it by 0.001"),
        ('"Conc. [\xb5M]"', "1 2", True, 'rename: {"Conc. [\xb5M]": Metadata_Concentration}'),
        ("Metadata_Conc", "1 1", False, "{Metadata_Conc: Metadata_Concentration}' takes it if it is in micromolar"),
        ("Dosis", "1 2", True, "{Dosis: Metadata_Dose} if it is a rank"),
        ("Konzentration [\xb5M]", "1 2", True, '{"Konzentration [\xb5M]": Metadata_Concentration}\' takes it.'),
        ("Concentation (nM)", "1 2", True, "multiply it by 0.001"),
        ("Metadata_log10_dose", "1 2", True, "convert it, or number the doses"),
        ("mg_per_ml", "1 2", True, "convert it, or number the doses"),
        ("dose_mg_kg", "1 2", True, "or number the doses of each compound in a column Metadata_Dose"),
    ],
)
def test_doses_that_are_not_taken(tmp_path, header, doses, warns, says):
    path, plates = tmp_path / "wells.csv", tmp_path / "plates.csv"
    plates.write_text(PLATES)
    low, high = doses.split()
    path.write_text(f"Metadata_Well,Metadata_Compound,{header}\nA01,a,{low}\nA02,a,{high}\nA03,b,{low}\n")
    kept = [(check, text) for check, text in said(table, table=str(plates), plate_map=str(path)) if "not taken" in text]
    assert [check for check, _ in kept] == [warns]
    assert says in kept[0][1]
    assert ("all doses of 'a' count as one treatment" in kept[0][1]) == warns
    assert kept[0][1].startswith(f"{path}: ")


def test_what_is_there_or_asked_for_is_not_spoken_of(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(VALUES.format("Metadata_Compound,drug,dose,Metadata_Dose,batch", "a,a,1,1,x", "b,b,2,2,y"))
    assert not [text for _, text in said(features, table=str(path)) if "not taken" in text and "'batch' (" not in text]
    assert "{drug: " not in str(said(features, table=str(path)))
    keys = {"negative_control": {"drug": "a"}, "batch_from": {"column": "batch"}}
    path.write_text(VALUES.format("drug,Metadata_control_type,batch", "a,negcon,x", "b,,y"))
    without = said(features, table=str(path))
    text = next(text for _, text in without if "not taken" in text)
    assert "'drug' (rename: {drug: Metadata_Compound})" in text
    assert "negative_control: {Metadata_control_type: ITS VALUE}" in text
    assert "'batch' (rename: {batch: Metadata_Batch})" in text
    assert not [text for _, text in said(features, table=str(path), **keys) if "not taken" in text]


def test_plate_maps_of_folders_are_looked_through_too(tmp_path):
    (tmp_path / "P1").mkdir()
    for well in ("A01", "A02"):
        (tmp_path / "P1" / f"{well}_DNA.tif").write_bytes(b"")
    path = tmp_path / "wells.csv"
    path.write_text("Metadata_Well,Metadata_Compound,drug_class,Conc_uM\nA01,a,x,1\nA02,a,x,2\n")
    keys = {"folder": str(tmp_path), "pattern": r"(?P<plate>\w+)/(?P<well>[A-P]\d\d)_(?P<channel>\w+)\.tif"}
    kept = said(folder, plate_map=str(path), **keys)
    assert [check for check, text in kept if "Conc_uM" in text] == [True]
    with pytest.raises(UserError, match=r"rename: there is no column 'drug' in .*wells\.csv"):
        said(folder, plate_map=str(path), rename={"drug": "Metadata_MoA"}, **keys)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "Metadata_Plate,Well ID,FileName_DNA",
            "no column 'Metadata_Well'. 'Well ID' may be it: 'datasets: rename: {\"Well ID\"",
        ),
        (
            "barcode,Metadata_Well,FileName_DNA",
            "'barcode' may be it: 'datasets: rename: {barcode: Metadata_Plate}' takes it",
        ),
        ("x,Metadata_Well,FileName_DNA", "no column 'Metadata_Plate'. .* Or name theirs: 'datasets: rename: {theirs:"),
    ],
)
def test_a_column_that_is_needed(tmp_path, header, message):
    path = tmp_path / "plates.csv"
    path.write_text(f"{header}\nP1,A01,a.tif\n")
    with pytest.raises(UserError, match=message):
        said(table, table=str(path))
    with pytest.raises(UserError, match=message):
        said(features, table=str(path))


def test_published_tables_raise_no_false_alarm(shared_data):
    path = shared_data / "cpjump1" / "BR00117010_normalized_feature_select_negcon_batch.csv.gz"
    with notes.kept() as kept:
        config = plugins.configure(features.Config, {"table": str(path)}, "datasets: mine")
        features.metadata(config)
    assert not any(note["check"] for note in kept)
    assert "{Metadata_pert_iname: Metadata_Compound}" in kept[0]["text"]


def test_a_row_and_a_column_are_named_as_the_well(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("Row,Column,Metadata_Compound\nA,01,DMSO\n")
    with pytest.raises(UserError, match=r"no column 'Metadata_Well'\. Its columns Row and Column tell it: .* like A01"):
        loaddata.need(str(path), loaddata.read(str(path), "plate_map"), ("Metadata_Well",))


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("Metadata_Concentrtion", "Metadata_Concentration"),
        ("Metadata_Compounds", "Metadata_Compound"),
        ("Concentration", "Metadata_Concentration"),
        ("Metadata_Welll", "Metadata_Well"),
    ],
)
def test_a_misspelt_target_of_rename_is_warned_of(tmp_path, target, meant):
    path = tmp_path / "t.csv"
    path.write_text(VALUES.format("x", "1", "2"))
    warned = [text for warns, text in said(features, table=str(path), rename={"x": target}) if warns]
    assert f"'{target}' is none of our names. Did you mean '{meant}'?" in warned[0]


@pytest.mark.parametrize(
    "target", ["Metadata_Dose2", "Metadata_Compound_Supplier", "Metadata_Passage", "Metadata_dose", "Metadata_Target"]
)
def test_other_targets_of_rename_are_not_warned_of(tmp_path, target):
    path = tmp_path / "t.csv"
    path.write_text(VALUES.format("x", "1", "2"))
    assert not any("none of our names" in text for _, text in said(features, table=str(path), rename={"x": target}))


def test_a_target_of_rename_that_only_looks_like_a_concentration(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(VALUES.format("x", "1", "2"))
    texts = [text for _, text in said(features, table=str(path), rename={"x": "Metadata_Conc"})]
    assert any("'x' looks like a concentration" in text and "{x: Metadata_Concentration}" in text for text in texts)


@pytest.mark.parametrize("name", ["Plate", "Barcode"])
def test_a_plate_of_the_map_is_looked_for_in_the_map(tmp_path, name):
    (tmp_path / "t.csv").write_text(PLATES)
    (tmp_path / "m.csv").write_text(f"{name},Metadata_Well,Metadata_Compound\n384,A01,a\n384,A02,b\n384,A03,c\n")
    texts = said(table, table=str(tmp_path / "t.csv"), plate_map=str(tmp_path / "m.csv"))
    assert any(
        f"m.csv: columns that look like ours and are not taken, and what takes them: '{name}'" in text for _, text in texts
    )


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        ("Conc_nM", "Multiply the numbers by 0.001."),
        ("mmoles_per_liter", "Multiply the numbers by 1000."),
        ("log10_M", "Convert the numbers, or call ranks of doses Metadata_Dose."),
        ("mg_per_ml", "Convert the numbers"),
        ("Conc_uM", None),
        ("Conc", None),
    ],
)
def test_a_concentration_whose_own_name_states_another_unit(tmp_path, theirs, says):
    path = tmp_path / "t.csv"
    path.write_text(VALUES.format(f"Metadata_Compound,{theirs}", "a,1", "b,2"))
    texts = [text for check, text in said(features, table=str(path), rename={theirs: "Metadata_Concentration"}) if check]
    told = [text for text in texts if "another unit" in text]
    assert len(told) == (says is not None)
    assert not told or (says in told[0] and f"'{theirs}'" in told[0])
