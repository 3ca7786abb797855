"""Tables, folders of images, plate maps and features that do not hold what they should; and published data sets."""

import json

from .case import HEADER, TABLE, configured

ROWS = f"{HEADER}\nP1,A01,1,a.tif\nP1,A02,1,b.tif\n"
IMAGES = {"images/photo1.tif": "", "images/photo2.tif": ""}


def table(wrong: str, content: str | bytes, place, found, remedy, **keys):
    """A table of images with this content, and further keys of its dataset."""
    change = json.dumps({"datasets": {"screen": TABLE | keys}})
    return configured(wrong, change, place, found, remedy, {"plates.csv": content})


def folder(wrong: str, keys: dict, place, found, remedy, files=None):
    """A folder of images, with these keys of its dataset."""
    change = json.dumps({"datasets": {"screen": {"use": "folder", "folder": "images"} | keys}})
    return configured(wrong, change, place, found, remedy, IMAGES if files is None else files)


def features(wrong: str, keys: str, place, found, remedy, files):
    """A table of features and a study of it."""
    change = f"{{datasets: {{wells: {{use: features, {keys}}}}}, studies: {{wells: {{dataset: wells}}}}}}"
    return configured(wrong, change, place, found, remedy, files)


CASES = [
    # -- tables of images ----------------------------------------------------------------------------------------------
    configured("no table", "datasets: {mine: {use: table}}", "datasets: mine", "the key 'table'", "is needed"),
    configured(
        "a table that is not there",
        "datasets: {screen: {use: table, table: welz.csv}}",
        "datasets: screen: welz.csv",
        "there is no such file",
        ("Change 'datasets: table:'", "working directory"),
    ),
    configured(
        "a folder for a table",
        "datasets: {screen: {use: table, table: .}}",
        "screen: .:",
        "this is a folder",
        "Change 'datasets: t",
    ),
    configured(
        "a spreadsheet for a table",
        "datasets: {screen: {use: table, table: plates.xlsx}}",
        "plates.xlsx",
        "this is a spreadsheet",
        "Save it as CSV",
        {"plates.xlsx": b"PK\x03\x04"},
    ),
    configured(
        "a parquet file that is cut off",
        "datasets: {screen: {use: table, table: plates.parquet}}",
        "plates.parquet",
        "cannot be read as a table",
        "Name another table in 'datasets: table:'",
        {"plates.parquet": b"PAR1"},
    ),
    table("an empty table", "", "plates.csv", "cannot be read as a table", "Name another table"),
    table("a table of a header alone", HEADER + "\n", "plates.csv", "no rows", "Fill it"),
    table(
        "a table without plates",
        "Well,FileName_DNA\nA01,a.tif\n",
        "plates.csv",
        "no column 'Metadata_Plate'",
        "datasets: rename",
    ),
    table("a table with semicolons", ROWS.replace(",", ";"), "plates.csv", "separated by ';'", "Save it with commas"),
    table(
        "a table in Latin letters of one byte",
        ROWS.replace("P1", "Pä").encode("latin-1"),
        "plates.csv",
        "not UTF-8",
        "'CSV UTF-8'",
    ),
    table("a plate's name with a slash", ROWS.replace("P1", "P/1"), "Metadata_Plate", "'P/1'", "Change it in that file"),
    table(
        "a plate's name with an umlaut",
        ROWS.replace("P1", "Prüf"),
        "plates.csv: row 2: Metadata_Plate",
        "'Prüf'",
        "Allowed are",
    ),
    table(
        "a plate that the table lacks",
        ROWS,
        "screen: plates",
        "'P2' is no plate of plates.csv",
        "Known are: P1",
        plates=["P2"],
    ),
    table("one plate without a list", ROWS, "screen: plates", "found 'P1'", "a list of texts", plates="P1"),
    table("a depth in words", ROWS, "intensity_max", "'12 bit'", "a whole number", intensity_max="12 bit"),
    table("a depth of 0", ROWS, "datasets: screen", "intensity_max: 0", "between 1 and 65535", intensity_max=0),
    table("a pixel below zero", ROWS, "datasets: screen", "pixel_size_um: -1", "above 0", pixel_size_um=-1),
    table(
        "a plate map that is not there",
        ROWS,
        "datasets: screen",
        "no file wells.csv",
        "Mend the path",
        plate_map="wells.csv",
    ),
    table("controls without their column", ROWS, "negative_control", "'DMSO'", "{key: value}", negative_control="DMSO"),
    table(
        "two columns of one name",
        ROWS,
        "plates.csv",
        "would be 'Metadata_Well'",
        "rename",
        rename={"FileName_DNA": "Metadata_Well"},
    ),
    table("a column that stands there twice", ROWS.replace("_Site", "_Well"), "plates.csv", "'Metadata_Well'", "twice"),
    table("a list to rename columns", ROWS, "screen: rename", "['a']", "a block of keys", rename=["a"]),
    table("batches without a column", ROWS, "batch_from", "'P.'", "the keys 'column'", batch_from={"pattern": "P."}),
    table(
        "batches by a pattern that is none",
        ROWS,
        "datasets: screen: batch_from: pattern",
        "unterminated",
        "must be a regular expression",
        batch_from={"column": "Metadata_Plate", "pattern": "("},
    ),
    # -- folders -------------------------------------------------------------------------------------------------------
    folder(
        "a folder that is not there", {"folder": "imags"}, "screen: imags", "no such folder", "Name the folder of the images"
    ),
    folder("a file for a folder", {"folder": "images/photo1.tif"}, "photo1.tif", "this is a file", "Name the folder"),
    folder(
        "a folder without images", {}, "images", "there is no image (.bmp, .png", "Name the folder", {"images/notes.txt": ""}
    ),
    folder("a folder of no microscope", {}, "images", "the first of its 2 images is photo1.tif", "by 'pattern:'"),
    folder("a layout that is misspelt", {"layout": "metaexpress"}, "layout", "'metaexpress'", "'metaxpress'"),
    folder("another microscope's layout", {"layout": "harmony"}, "images", "no Index.idx.xml", "Choose another 'layout:'"),
    folder(
        "a pattern that does not compile", {"pattern": "(?P<well"}, "screen: pattern", "'(?P<well'", "no regular expression"
    ),
    folder(
        "a pattern's group that is misspelt", {"pattern": "(?P<wel>.)"}, "screen: pattern", "'wel'", "Did you mean 'well'"
    ),
    folder("a pattern without wells", {"pattern": "(?P<site>.)"}, "pattern", "'(?P<site>.)' has no group", "(?P<well>...)"),
    folder(
        "a pattern that fits no image",
        {"pattern": "(?P<well>Z9)"},
        "pattern",
        "none of the 2 images' paths",
        "Change 'pattern:'",
    ),
    folder(
        "a pattern that finds no well", {"pattern": "(?P<well>photo\\d)"}, "photo1.tif", "'photo1' is no well", "such as A01"
    ),
    folder("channels without names", {"channels": ["w1"]}, "screen: channels", "['w1']", "a block of keys"),
    folder("text for a time point", {"time": "first"}, "screen: time", "'first'", "a whole number"),
    # -- features ------------------------------------------------------------------------------------------------------
    features(
        "features that are not there", "table: wels.csv", "wells: wels.csv", "no such file", "Change 'datasets: table:'", {}
    ),
    configured(
        "samples of features",
        "{datasets: {wells: {use: features, table: wells.csv}}, studies: {wells: {dataset: wells, samples: cells}}}",
        "studies: wells: samples",
        "holds features that were computed elsewhere",
        "Leave the key out",
    ),
    # -- published data sets -------------------------------------------------------------------------------------------
    configured(
        "a published plate that is misspelt",
        "datasets: {screen: {use: bbbc021, plates: [Week9_3930]}}",
        "plates",
        "3930'",
        "Week9_39301",
    ),
    configured(
        "a limit without a key", "datasets: {screen: {use: bbbc021, limit: 3}}", "screen: limit", "found 3", "{key: value}"
    ),
    configured(
        "a limit of wells",
        "datasets: {screen: {use: bbbc021, limit: {wells: 3}}}",
        "limit",
        "unknown key 'wells'",
        "plates and fields",
    ),
    configured(
        "a published set in a folder that lacks it",
        "datasets: {screen: {use: bbbc013, path: nowhere}}",
        "nowhere",
        "1049_Metadata.csv",
        "leave 'path:' out to download",
    ),
    configured(
        "a published channel that is misspelt",
        "datasets: {screen: {use: bbbc022, channels: [DMA]}}",
        "channels",
        "'DMA'",
        "'DNA'",
    ),
]
