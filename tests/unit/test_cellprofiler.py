"""What CellProfiler is given, how it is run, and what is taken from it: with a small program in its place.

That real CellProfiler does what is expected here, tests/e2e/test_engines.py shows.
"""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from phenorep import contracts, preprocessing
from phenorep.errors import UserError
from phenorep.imaging import cellprofiler, cellprofiler_run, pipelines
from phenorep.imaging.cellprofiler_run import Failed, run
from phenorep.preprocessing import Illumination, Segmentation
from tests.unit.made_plate import make_plate

# It does what is asked of CellProfiler, and as much of it as the chunk's name allows.
PROGRAM = """#!{python}
import csv, os, pathlib, sys
given = dict(zip(sys.argv, sys.argv[1:]))
chunk, out = pathlib.Path(given["-i"]), pathlib.Path(given["-o"])
assert not list(out.iterdir()), "the output folder was not emptied"
(pathlib.Path(os.environ["HOME"]) / "settings").write_text("mine")
with open("{calls}", "a") as calls:
    calls.write(chunk.name + " " + os.environ["HOME"] + "\\n")
rows = list(csv.DictReader(open(given["--data-file"])))
print("MySQL could not be loaded.")
for number, row in enumerate(rows, 1):
    print("Sat Nov 21 13:48:01 2026: Image # %d, module LoadData # 1: CPU_time = 0.02 secs" % number)
    if "bad" in chunk.name and number == 2:
        print("Error detected during run of module IdentifyPrimaryObjects")
        print("ValueError: the image is upside down")
        sys.exit(1)
with open(out / "Image.csv", "w") as table:
    table.write("ImageNumber,Metadata_Field\\n")
    for number, row in enumerate(rows[: -1 if "short" in chunk.name else None], 1):
        table.write("%d,%s\\n" % (number, row["Metadata_Field"]))
if "undone" not in chunk.name:
    pathlib.Path(given["--done-file"]).write_text("Complete\\n")
"""


@pytest.fixture
def program(tmp_path) -> str:
    path = tmp_path / "program"
    path.write_text(PROGRAM.format(python=sys.executable, calls=tmp_path / "calls"))
    path.chmod(0o755)
    return str(path)


def lay_out(folder: Path, *names: str, contents: str = "a") -> Path:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        lines = [{"Metadata_Field": field, "Metadata_Well": f"B0{field}"} for field in range(3)]
        cellprofiler._finish_chunk(folder / name, "a pipeline", lines, [contents])
    return folder


def calls(tmp_path: Path) -> list[str]:
    return sorted(line.split()[0] for line in (tmp_path / "calls").read_text().splitlines())


def test_every_chunk_runs_once_with_a_home_of_its_own(program, tmp_path):
    run(lay_out(tmp_path / "staged", "one", "two"), tmp_path / "found", program, 2)
    assert calls(tmp_path) == ["one", "two"]
    assert len({line.split()[1] for line in (tmp_path / "calls").read_text().splitlines()}) == 2
    for name in ("one", "two"):
        assert len(pd.read_csv(tmp_path / "found" / name / "found" / "Image.csv")) == 3
        assert not (tmp_path / "found" / name / "home").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bad", ["exit status 1", "'Metadata_Well': 'B01'", "IdentifyPrimaryObjects", "the image is upside down"]),
        ("undone", ["no mark that it was complete"]),
        ("short", ["rows are missing"]),
    ],
)
def test_a_failure_shows_the_image_set_and_the_log(program, tmp_path, name, expected):
    staged = lay_out(tmp_path / "staged", "good", name)
    with pytest.raises(Failed) as failure:
        run(staged, tmp_path / "found", program, 1)
    for text in [*expected, name]:
        assert text in str(failure.value)
    assert "MySQL" not in str(failure.value), "what is harmless hides what is not"
    assert not (tmp_path / "found").exists()


def test_what_is_done_is_not_done_again(program, tmp_path):
    staged = lay_out(tmp_path / "staged", "a_good", "bad")
    with pytest.raises(Failed):
        run(staged, tmp_path / "found", program, 1)
    (staged / "bad").rename(staged / "mended")
    run(staged, tmp_path / "found", program, 1)
    assert calls(tmp_path) == ["a_good", "bad", "mended"]
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["a_good", "mended"]


def test_other_images_are_worked_on_again(program, tmp_path):
    with pytest.raises(Failed):
        run(lay_out(tmp_path / "staged", "a_good", "bad"), tmp_path / "found", program, 1)
    (tmp_path / "staged" / "bad").rename(tmp_path / "mended")
    run(lay_out(tmp_path / "staged", "a_good", contents="b"), tmp_path / "found", program, 1)
    assert calls(tmp_path) == ["a_good", "a_good", "bad"]


def test_a_program_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Failed, match=r"preprocess: cellprofiler: there is no program 'no-such-program'.*engine: native"):
        run(lay_out(tmp_path / "staged", "one"), tmp_path / "found", "no-such-program", 1)


def test_the_runner_is_python_3_8_and_needs_nothing_else():
    """CellProfiler's environment has an old Python and not our packages."""
    tree = ast.parse(Path(cellprofiler_run.__file__).read_text(), feature_version=(3, 8))
    modules = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules <= set(sys.stdlib_module_names)
    assert not re.search(r"\bmatch \w+:|removeprefix|removesuffix", Path(cellprofiler_run.__file__).read_text())


# -- pipelines ---------------------------------------------------------------------------------------------------------


def test_every_setting_of_the_configuration_reaches_the_pipeline():
    plain = pipelines.nuclei(Segmentation(), 1.0)
    changes = {
        "diameter": (12, 50),
        "threshold": "minimum_cross_entropy",
        "threshold_scope": "adaptive",
        "adaptive_window": 77,
        "threshold_smoothing": 2.5,
        "threshold_correction": 1.1,
        "threshold_bounds": (0.1, 0.9),
        "fill_holes": False,
        "declump": "none",
        "divide": "intensity",
        "declump_smoothing": 5,
        "declump_distance": 6.5,
        "low_resolution": False,
        "border": "drop",
    }
    for name, value in changes.items():
        assert pipelines.nuclei(Segmentation(**{name: value}), 1.0) != plain, name
    ours = {"channel", "minimum_contrast"}  # no settings of CellProfiler's
    assert set(changes) | ours == set(Segmentation.__dataclass_fields__)


def test_the_illumination_pipeline_has_the_filters_width():
    text = pipelines.illumination(Illumination(smoothing="median"), (512, 640))
    assert "    Smoothing filter size:160\n" in text
    assert "    Smoothing method:Median Filter\n" in text
    text = pipelines.illumination(Illumination(smoothing="gaussian", size=33), (512, 640))
    assert "    Smoothing filter size:33\n" in text


def test_only_what_a_pipeline_has_can_be_filled():
    text = pipelines.nuclei(Segmentation(), 1.0)
    with pytest.raises(ValueError, match="no module Crop"):
        pipelines.fill(text, "Crop", {"Shape": "Rectangle"})
    with pytest.raises(ValueError, match="no setting 'Colour'"):
        pipelines.fill(text, "LoadData", {"Colour": "blue"})


# -- what is laid out, and what is taken -------------------------------------------------------------------------------


@pytest.fixture
def plate(tmp_path):
    return make_plate(tmp_path / "plate", count=5).prepare()


def settings(**keys) -> dict:
    return preprocessing.stage(preprocessing.settings({"engine": "cellprofiler", **keys}), "nuclei")


def test_chunks_hold_all_fields_as_they_were_read(plate, tmp_path):
    cellprofiler.stage_fields(
        rows_of(plate), contracts.about(plate.fields), plate.illumination, preprocessing.settings({"chunk": 2}), 1, tmp_path
    )
    tables = [pd.read_csv(path) for path in sorted(tmp_path.glob("fields_*/load_data.csv"))]
    assert [len(table) for table in tables] == [2, 2, 1]
    for chunk, table in zip(sorted(tmp_path.glob("fields_*")), tables, strict=True):
        for _, row in table.iterrows():
            stored = np.load(chunk / row["FileName_DNA"])
            np.testing.assert_array_equal(stored, tifffile.imread(plate.image(row["Metadata_Field"], "DNA")))
            assert stored.dtype == np.uint16
            assert (chunk / row["FileName_IllumDNA"]).is_file()


def rows_of(plate) -> list[dict]:
    from phenorep.imaging import illumination

    return illumination.usable(contracts.read_table(plate.fields, "fields"), plate.fields)


def exported(plate, tmp_path, labels: dict[int, np.ndarray], suffix: str = "npy", drop: str | None = None, **keys):
    """Lay a plate out and put results in place, as a pipeline would leave them."""
    staged, found = tmp_path / "staged", tmp_path / "found"
    cellprofiler.stage_nuclei(plate.fields, plate.illumination, settings(**keys), 1, staged)
    for chunk in staged.glob("fields_*"):
        folder = found / chunk.name / "found"
        folder.mkdir(parents=True)
        fields = pd.read_csv(chunk / "load_data.csv")["Metadata_Field"]
        images = pd.DataFrame({"ImageNumber": range(1, len(fields) + 1), "Metadata_Field": fields})
        images.to_csv(folder / "Image.csv", index=False)
        (folder / "Experiment.csv").write_text("Key,Value\nCellProfiler_Version,4.2.8\n")
        parts = []
        for number, field in zip(images["ImageNumber"], fields, strict=True):
            count = int(labels[field].max())
            place = {"Location_Center_X": 3.0, "Location_Center_Y": 4.0, "AreaShape_Area": 9.0}
            parts.append(pd.DataFrame({"ImageNumber": number, "ObjectNumber": range(1, count + 1), **place}))
            if suffix == "npy":
                np.save(folder / f"{field}.npy", labels[field].astype(np.int32))
            elif suffix:
                tifffile.imwrite(folder / f"{field}.{suffix}", labels[field].astype(np.uint16))
        nuclei = pd.concat(parts)
        nuclei.drop(columns=drop or []).to_csv(folder / "Nuclei.csv", index=False)
    return cellprofiler.Found(staged, found)


def made_labels(plate) -> dict[int, np.ndarray]:
    labels = {}
    for field in range(5):
        labels[field] = np.zeros((120, 150), np.int32)
        for number in range(field + 1):
            labels[field][10 * number : 10 * number + 5, 20:30] = number + 1
    return labels


@pytest.mark.parametrize("suffix", ["npy", "tiff", "tif"])
def test_label_images_are_taken_as_they_are(plate, tmp_path, suffix):
    labels = made_labels(plate)
    found = exported(plate, tmp_path, labels, suffix)
    assert found.engine == "CellProfiler 4.2.8"
    for field, expected in labels.items():
        np.testing.assert_array_equal(found.labels(field, (120, 150)), expected)


def test_without_label_images_the_exported_table_counts(plate, tmp_path):
    own = tmp_path / "own.cppipe"
    own.write_text("my pipeline")
    found = exported(plate, tmp_path, made_labels(plate), "", pipeline=str(own))
    assert found.labels(2, (120, 150)) is None
    table = found.table(2)
    assert list(table["Nucleus"]) == [1, 2, 3]
    assert set(table["AreaShape_Area"]) == {9.0}
    channels = pd.read_csv(tmp_path / "staged" / "fields_0000" / "load_data.csv").columns
    assert {"FileName_DNA", "FileName_Actin", "FileName_IllumDNA", "FileName_IllumActin"} <= set(channels)
    assert (tmp_path / "staged" / "fields_0000" / "pipeline.cppipe").read_text() == "my pipeline"


@pytest.mark.parametrize(
    ("shape", "change", "expected"),
    [
        ((60, 75), None, ["3 objects", "(60, 75)"]),
        ((120, 150), 7, ["7 objects", "has 3", "uint16 labels"]),
    ],
)
def test_labels_that_do_not_fit_are_refused(plate, tmp_path, shape, change, expected):
    found = exported(plate, tmp_path, made_labels(plate))
    path = next((tmp_path / "found").rglob("2.npy"))
    labels = np.load(path)
    labels[0, 20] = change or 3
    np.save(path, labels)
    with pytest.raises(UserError) as error:
        found.labels(2, shape)
    for text in ["nuclei.cppipe", "2.npy", *(expected if change else ["3 objects"])]:
        assert text in str(error.value)


def test_a_table_without_places_is_refused(plate, tmp_path):
    found = exported(plate, tmp_path, made_labels(plate), drop="Location_Center_X")
    with pytest.raises(UserError, match=r"Nuclei.csv.*lacks.*Location_Center_X.*ExportToSpreadsheet"):
        found.table(0)


def test_a_field_without_anything_is_not_given_to_cellprofiler(tmp_path):
    plate = make_plate(tmp_path / "plate", count=3).prepare()
    image = tifffile.imread(plate.image(1, "DNA"))
    noise = (plate.vignette * np.random.default_rng(0).normal(200, 5, image.shape)).astype(np.uint16)
    tifffile.imwrite(plate.image(1, "DNA"), noise)
    cellprofiler.stage_nuclei(plate.fields, plate.illumination, settings(), 1, tmp_path / "staged")
    table = pd.read_csv(tmp_path / "staged" / "fields_0000" / "load_data.csv")
    assert list(table["Metadata_Field"]) == [0, 2]
