"""What the columns of a user's table are called: what cannot be seen is taken off and said, what is not clear is refused."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phenorep import contracts, headers, imported, loaddata, notes, plugins
from phenorep.datasets import features, table
from phenorep.errors import UserError
from phenorep.quality import annotations

INVISIBLE = [
    "\t",
    "\n",
    "\r\n",
    "\xa0",
    "\u2003",
    "\u3000",
    "\u200b",
    "\u200e",
    "\ufeff",
    "\xad",
    "\x00",
    "\x1f",
    " \u2009\u200d ",
]


def said(run, *arguments, **keys):
    """What a function returns, and the notes that it says."""
    with notes.kept() as kept:
        result = run(*arguments, **keys)
    return result, [note["text"] for note in kept]


@pytest.mark.parametrize("sign", [" ", *INVISIBLE])
def test_what_is_around_a_name_is_taken_off_and_said(sign):
    for name in (
        sign + "Metadata_Well",
        "Metadata_Well" + sign,
        f'{sign}"{sign}Metadata_Well"',
        f"Image_metadata_well{sign}",
    ):
        ours, texts = said(headers.read, [name, "Nuclei_Area"], "t.csv")
        assert ours == ["Metadata_Well", "Nuclei_Area"]
        assert len(texts) == 1
        assert f"{name!r} as Metadata_Well" in texts[0]
        assert texts[0].startswith("t.csv: ")
        assert texts[0].isprintable()


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("metadata_well", "Metadata_Well"),
        ("METADATA_PLATE", "Metadata_Plate"),
        ("Metadata_moa", "Metadata_MoA"),
        ("Metadata_concentration", "Metadata_Concentration"),
        ("IMAGE_METADATA_SITE", "Metadata_Site"),
        ("filename_DNA", "FileName_DNA"),
        ("image_pathname_w1", "PathName_w1"),
        ("label_quality", "Label_Quality"),
        ("METADATA_cell_LINE", "Metadata_cell_LINE"),  # not one of ours: its letters stay
        ("cells_AREA", "cells_AREA"),
        ("Cells_Area\xa0(px)", "Cells_Area (px)"),
        ("Cells\u200b_Area", "Cells_Area"),
        ("Cafe\u0301", "Caf\xe9"),
        ("\u201cMetadata_Well\u201d", "Metadata_Well"),
        ('5"', '5"'),
        ("a\x01b", "a\x01b"),  # what is within a name and no blank is left for whoever uses it to refuse
    ],
)
def test_spelling(name, ours):
    assert headers.read([name], "t.csv") == [ours]


def test_names_as_they_should_be_are_not_spoken_of():
    names = ["Metadata_Plate", "Image_Metadata_Well", "FileName_DNA", "PathName_DNA", "Replicate", "a b", "caf\xe9"]
    ours, texts = said(headers.read, names, "t.csv")
    assert ours == ["Metadata_Plate", "Metadata_Well", *names[2:]]
    assert not texts


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["Metadata_Well", "metadata_well"],
            "two of its columns would be 'Metadata_Well': 'Metadata_Well' and 'metadata_well'",
        ),
        (
            ["Metadata_Well", "Metadata_Well "],
            "would be 'Metadata_Well': 'Metadata_Well' and 'Metadata_Well '",
        ),
        (["Image_Metadata_Well", "Metadata_Well"], "two of its columns"),
        (["caf\xe9", "cafe\u0301"], "two of its columns would be 'caf\xe9'"),
        (["a\xa0b", "a b"], "two of its columns would be 'a b'"),
        (["a", "a"], "its column 'a' stands there twice. "),
    ],
)
def test_two_of_one_name_are_refused(names, message):
    with pytest.raises(UserError, match=message) as caught:
        headers.read(names, "t.csv")
    assert "t.csv" in str(caught.value)


def test_keys_name_a_column_as_the_file_has_it_or_as_it_is_read():
    for key in ("drug\xa0name ", "drug name"):
        assert headers.read(["drug\xa0name "], "t", {key: "metadata_compound"}) == ["Metadata_Compound"]
    assert headers.read(["Metadata_moa"], "t", {"Metadata_moa": "Metadata_Class"}) == ["Metadata_Class"]
    assert headers.read([" metadata_moa"], "t", {"Metadata_MoA": "Metadata_Class"}) == ["Metadata_Class"]
    assert headers.read(["drug", "drug "], "t", {"drug ": "Metadata_Compound"}) == ["drug", "Metadata_Compound"]
    assert headers.read(["1"], "t", {1: "Metadata_Site"}) == ["Metadata_Site"]
    rename = {"drug": "Metadata_Compound"}
    named = {" drug": "x", "metadata_COMPOUND": "x", "drug": "x", "Other": "Other"}
    config = plugins.configure(table.Config, {"table": "t", "rename": rename, "negative_control": named}, "here")
    assert set(config.negative_control) == {"Metadata_Compound", "Other"}
    config = plugins.configure(table.Config, {"table": "t", "batch_from": {"column": "metadata_plate"}}, "here")
    assert config.batch_from["column"] == "Metadata_Plate"


WELLS = {
    "Metadata_Plate": ["P1"] * 6,
    "Metadata_Well": [f"A0{number}" for number in range(1, 7)],
    "Metadata_Compound": ["DMSO", "DMSO", "a", "a", "b", "b"],
    "Metadata_Concentration": [0.0, 0.0, 0.1, 1.0, 0.1, 1.0],
    "Nuclei_Texture_0": [0.1, 0.2, 0.5, 0.9, 0.4, 0.3],
    "Nuclei_Texture_2": [5.1, 5.2, 4.5, 3.9, 6.4, 2.3],
    "Nuclei_Texture_1": [1.1, 1.2, 1.5, 1.9, 1.4, 1.3],
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("name", ["Metadata_Concentration ", " Metadata_Concentration", "\u200bmetadata_concentration\xa0"])
def test_doses_are_not_lost_with_a_blank(tmp_path, suffix, name):
    def made(columns):
        path, output = tmp_path / f"wells.{suffix}", tmp_path / "made.parquet"
        wells = pd.DataFrame(columns)
        wells.to_parquet(path) if suffix == "parquet" else wells.to_csv(path, index=False)
        config = plugins.configure(features.Config, {"table": str(path)}, "datasets: mine")
        imported.make(features, config, output)
        return contracts.read_table(output, "embeddings"), contracts.about(output)

    right, about = made(WELLS)
    assert not about["notes"]
    decorated, about = made({name if key == "Metadata_Concentration" else key: column for key, column in WELLS.items()})
    pd.testing.assert_frame_equal(decorated, right)
    assert right["Metadata_Concentration"].tolist() == WELLS["Metadata_Concentration"]
    assert about["blocks"]["imported"]["names"] == ["Nuclei_Texture_0", "Nuclei_Texture_2", "Nuclei_Texture_1"]
    assert any(repr(name) in note["text"] for note in about["notes"])


@pytest.mark.parametrize("name", [" FileName_Actin", "FileName_Actin\t", "filename_Actin", "Image_FileName_Actin\u200b"])
def test_a_channel_is_not_lost_with_a_blank(tmp_path, name):
    path = tmp_path / "plates.csv"
    path.write_text(f"Metadata_Plate,Metadata_Well,Metadata_Site,FileName_DNA,{name}\nP1,A01,1,a_DNA.tif,a_Actin.tif\n")
    config = plugins.configure(table.Config, {"table": str(path)}, "datasets: mine")
    assert table.about(config)["channels"] == ["DNA", "Actin"]
    fields, texts = said(table.fields, config, "P1", None)
    assert fields["FileName_Actin"].tolist() == ["a_Actin.tif"]
    assert repr(name) in "".join(texts) or name.startswith("Image_FileName_Actin")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_annotations_have_the_same_reader(tmp_path, suffix):
    path = tmp_path / f"labels.{suffix}"
    labels = pd.DataFrame({"sample\xa0": ["P1/A01/1/1", "P1/A01/1/2"], " label_quality": ["normal", "Abnormal "]})
    labels.to_parquet(path) if suffix == "parquet" else labels.to_csv(path, index=False)
    given, texts = said(annotations.read, path)
    assert given["Label_Quality"].tolist() == ["normal", "abnormal"]
    assert "' label_quality' as Label_Quality" in texts[0]


def test_a_column_without_a_name(tmp_path):
    path = tmp_path / "t.csv"

    def read(header, *rows):
        path.write_text("\n".join([header, *rows]) + "\n")
        return loaddata.read(str(path), "table")

    assert list(read(",Metadata_Well,", "0,A01,", "5,A02,")) == ["Metadata_Well"]  # numbers of rows, and nothing
    assert list(read("Unnamed: 0,Metadata_Well", "0,A01", "5,A02")) == ["Metadata_Well"]
    for header, row in (("Metadata_Well,", "A02,x"), (",Metadata_Well", "x,A02"), ("Metadata_Well, \t", "A02,3")):
        with pytest.raises(UserError, match=r"t\.csv: its column \d has no name .* in row 2"):
            read(header, row)
    with pytest.raises(UserError, match="has no name but what pandas writes"):
        loaddata.read(str(path), "table", only="Metadata_Well")


def test_parquet_with_categories_and_an_index(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame(
        {
            "Metadata_Plate": pd.Categorical([24277, 24278, 24277]),
            "Metadata_Concentration ": pd.Categorical([0.5, None, 3.0]),
            "Metadata_Compound": pd.Categorical(["a", "NA", "a"]),
        },
        index=pd.Index(["A01", "A02", "A03"], name="metadata_well"),
    )
    frame.to_parquet(path)
    read = loaddata.read(str(path), "table")
    assert read.loc[2].to_dict() == {
        "Metadata_Plate": "24277",
        "Metadata_Concentration": "0.5",
        "Metadata_Compound": "a",
        "Metadata_Well": "A01",
    }
    assert read["Metadata_Concentration"].tolist() == ["0.5", "", "3"]
    frame.reset_index(drop=True).iloc[[2, 0]].to_parquet(path)  # numbers of rows in another order
    assert loaddata.read(str(path), "table").index.tolist() == [2, 3]
    pq.write_table(pa.table({"Metadata_Well": ["A01"], "Metadata_Well ": ["A01"]}), path)
    with pytest.raises(UserError, match="two of its columns"):
        loaddata.columns(str(path), "table")


def test_images_of_cellprofiler_that_are_named_by_address(tmp_path):
    path = tmp_path / "Image.csv"
    path.write_text(
        "Image_Metadata_Plate,Image_Metadata_Well,Image_URL_DNA,URL_Actin\n"
        "P1,A01,file:///data/my%20screen/a%23.tif,file:/data/b.tif\n"
    )
    config = plugins.configure(table.Config, {"table": str(path)}, "datasets: mine")
    row = table.fields(config, "P1", None).iloc[0]
    assert (row["PathName_DNA"], row["FileName_DNA"]) == ("/data/my screen", "a#.tif")
    assert (row["PathName_Actin"], row["FileName_Actin"]) == ("/data", "b.tif")


def test_numbers_of_rows_without_a_name_are_no_features(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({**WELLS, "Unnamed: 0.1": np.arange(6)}).to_csv(path)
    config = plugins.configure(features.Config, {"table": str(path)}, "datasets: mine")
    with pytest.raises(UserError, match=r"column 9 has no name but what pandas writes \('Unnamed: 0.1'\)"):
        features.check(config)
