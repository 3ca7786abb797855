"""What jobs meet on the way from images to samples: tables, images, plate maps, controls, nuclei, windows."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from phenorep import datasets, fields
from phenorep.imaging import cellprofiler_run

from ...unit import made_plate, written_plate
from .case import HEADER, TABLE, Case, job


def tiff(size: int = 8, dtype: str = "uint16") -> bytes:
    """An image file."""
    file = io.BytesIO()
    tifffile.imwrite(file, np.arange(size * size, dtype=dtype).reshape(size, size))
    return file.getvalue()


# Two wells of one site, in two channels.
FIELDS = f"{HEADER},FileName_Actin\nP1,A01,1,a1.tif,a2.tif\nP1,A02,1,b1.tif,b2.tif\n"
SOUND = {"plates.csv": FIELDS} | dict.fromkeys(("a1.tif", "a2.tif", "b1.tif", "b2.tif"), tiff())
WELLS = "Metadata_Well,Metadata_Compound\nA01,DMSO\nA02,taxol\n"


def imaged(wrong: str, place, found, remedy, on_bad_image: str = "stop", plate: str = "P1", files=None, **keys) -> Case:
    """A plate of a table, with other files and further keys of its dataset."""

    def meets(folder: Path) -> None:
        module, config = datasets.configured({"use": "table", "keys": {"table": TABLE["table"], **keys}}, "mine")
        fields.make(module, config, plate, folder / "resources" / "mine", on_bad_image, folder / "fields.parquet")

    return job(wrong, meets, place, found, remedy, SOUND | (files or {}))


def mapped(wrong: str, wells: str, place, found, remedy, **keys) -> Case:
    """The same with a plate map."""
    return imaged(wrong, place, found, remedy, files={"wells.csv": wells}, plate_map="wells.csv", **keys)


def segmented(wrong: str, place, found, remedy, at=None, **nuclei) -> Case:
    """Nuclei of a made-up plate, sought with these keys."""

    def meets(folder: Path) -> None:
        made_plate.make_plate(folder / "plate", count=1, size=(60, 60), at=at, per_field=2).prepare(nuclei=nuclei)

    return job(wrong, meets, place, found, remedy)


def cut(wrong: str, place, found, remedy, of: str | None = None, where: str | None = None, **keys) -> Case:
    """Samples of a plate with one nucleus in the middle of 24 x 24 pixels, or a view of them."""

    def meets(folder: Path) -> None:
        labels = np.zeros((24, 24), np.int64)
        labels[9:15, 9:15] = 1
        plate = written_plate.write_plate(folder / "plate", [labels])
        if of:
            plate.cut(of, size=8)
            plate.view("view", of, where=where, **keys)
        else:
            plate.cut("cells", where=where, **keys)

    return job(wrong, meets, place, found, remedy)


def without_program(folder: Path) -> None:
    """CellProfiler's runner, as its job calls it."""
    ended = run_main(cellprofiler_run.main, [str(folder), str(folder / "found"), "--executable", "cellprofler"])
    raise SystemExit(ended)


def run_main(main: Callable[[], int], arguments: list[str]) -> int:
    """A program's `main` with these arguments."""
    import sys

    before, sys.argv = sys.argv, ["program", *arguments]
    try:
        return main()
    finally:
        sys.argv = before


CASES = [
    # -- tables of images ----------------------------------------------------------------------------------------------
    imaged(
        "a table without wells",
        "plates.csv",
        "no column 'Metadata_Well'",
        "datasets: rename",
        files={"plates.csv": FIELDS.replace("Metadata_Well", "W")},
    ),
    imaged(
        "a table without images",
        "plates.csv",
        "its columns are Metadata_Plate",
        "FileName_{Channel}",
        files={"plates.csv": "Metadata_Plate,Metadata_Well\nP1,A01\n"},
    ),
    imaged(
        "a channel that the table lacks",
        "datasets: mine: channels",
        "'DAPI' is not in plates.csv",
        "Known are: Actin, DNA",
        channels=["DAPI"],
    ),
    imaged(
        "a column to rename that the table lacks",
        "datasets: mine: rename",
        "no column 'Drug' in plates.csv",
        "Known are",
        rename={"Drug": "Metadata_Compound"},
    ),
    imaged(
        "a well that is none",
        "plates.csv: row 3: Metadata_Well",
        "'Z99x' is no well",
        "such as A01",
        files={"plates.csv": FIELDS.replace("A02", "Z99x")},
    ),
    imaged(
        "two rows for one field",
        "plates.csv: rows 2, 3",
        "well A01, Metadata_Site 1",
        "Number the fields",
        files={"plates.csv": FIELDS.replace("A02", "A01")},
    ),
    imaged(
        "one well in two spellings",
        "plates.csv: rows 2, 3",
        "well A01, Metadata_Site 1",
        "Number the fields",
        files={"plates.csv": FIELDS.replace("A02", "a1")},
    ),
    imaged(
        "a site's name with a slash",
        "plates.csv: row 3: Metadata_Site",
        "'1/2'",
        "Allowed are",
        files={"plates.csv": FIELDS.replace("A02,1", "A02,1/2")},
    ),
    imaged(
        "a channel's name with a slash",
        "plates.csv",
        "'Ac/tin'",
        "Allowed are",
        files={"plates.csv": FIELDS.replace("Actin", "Ac/tin")},
    ),
    imaged("a plate that is not there", "plates.csv", "no plate 'P9'", "Known are: P1", plate="P9"),
    # -- images --------------------------------------------------------------------------------------------------------
    imaged(
        "a field without one image",
        "well A02, site 1",
        "no image of channel Actin",
        "on_bad_image: exclude",
        files={"plates.csv": FIELDS.replace("b2.tif", "")},
    ),
    imaged(
        "an image that is not there",
        "c2.tif",
        "1 of 2 fields",
        "Mend the files or the table",
        files={"plates.csv": FIELDS.replace("b2", "c2")},
    ),
    imaged(
        "an image that is cut off",
        "b2.tif",
        "1 of 2 fields cannot be used",
        "on_bad_image: exclude",
        files={"b2.tif": tiff()[:20]},
    ),
    imaged(
        "an image that is a web page", "b2.tif", "1 of 2 fields cannot be used", "Mend the files", files={"b2.tif": "<html>"}
    ),
    imaged(
        "images of two sizes",
        "b2.tif",
        "16 x 16 pixels of 16 bits",
        "most of the plate are 8 x 8",
        files={"b2.tif": tiff(16)},
    ),
    imaged(
        "images of two depths",
        "b2.tif",
        "8 x 8 pixels of 8 bits",
        "most of the plate are 8 x 8 pixels of 16 bits",
        files={"b2.tif": tiff(dtype="uint8")},
    ),
    imaged(
        "a camera of more bits than its images",
        "'intensity_max: 4095'",
        "images have 8 bits",
        "needs more",
        intensity_max=4095,
        files=dict.fromkeys(("a1.tif", "a2.tif", "b1.tif", "b2.tif"), tiff(dtype="uint8")),
    ),
    imaged(
        "no image that can be used",
        "Plate P1",
        "none of its 2 fields can be used",
        "leave the plate out",
        "exclude",
        files=dict.fromkeys(("a1.tif", "b1.tif"), b""),
    ),
    # -- plate maps, controls, batches ---------------------------------------------------------------------------------
    mapped(
        "a plate map without wells", "Well,Metadata_Compound\nA01,x\n", "wells.csv", "no column 'Metadata_Well'", "rename"
    ),
    mapped(
        "a plate map that is not filled in",
        "Metadata_Well,Metadata_Compound\nA01,\nA02,\n",
        "wells.csv",
        "nothing in it",
        "Fill one in",
    ),
    mapped("a plate map with a well twice", WELLS + "A2,x\n", "wells.csv", "A02 stand there twice", "Keep one row of each"),
    mapped(
        "a plate map that lacks a well",
        "Metadata_Well,Metadata_Compound\nA01,x\n",
        "wells.csv",
        "A02 have images",
        "Add their rows",
    ),
    mapped(
        "a plate map with a well that has no image",
        WELLS + "H12,x\n",
        "wells.csv names this well",
        "well H12",
        "mend one of them",
    ),
    mapped(
        "a plate map of another plate",
        "Metadata_Plate,Metadata_Well,Metadata_Compound\nP2,A01,x\n",
        "wells.csv",
        "no plate 'P2'",
        "take its rows out",
    ),
    mapped(
        "a column in table and plate map",
        WELLS.replace("Compound", "Site"),
        "wells.csv",
        "Metadata_Site stand in plates.csv too",
        "Take them out",
    ),
    mapped(
        "a concentration in words",
        "Metadata_Well,Metadata_Concentration\nA01,1\nA02,10 uM\n",
        "wells.csv: row 3: Metadata_Concentration",
        "'10 uM' is a number with a unit",
        "Here that is 10",
    ),
    mapped(
        "a dose that is a fraction",
        "Metadata_Well,Metadata_Dose\nA01,1\nA02,0.5\n",
        "Metadata_Dose",
        "'0.5' is not a whole number",
        "rank",
    ),
    mapped(
        "a control of no kind",
        "Metadata_Well,Metadata_Control\nA01,neg\nA02,\n",
        "Metadata_Control",
        "'neg' is neither",
        "rename the column",
    ),
    mapped(
        "a control that no well has",
        WELLS,
        "negative_control",
        "'DMS0'",
        "Did you mean 'DMSO'",
        negative_control={"Metadata_Compound": "DMS0"},
    ),
    mapped(
        "controls by a column that there is not",
        WELLS,
        "negative_control",
        "no column 'Compound'",
        "'Metadata_Compound'",
        negative_control={"Compound": "DMSO"},
    ),
    mapped(
        "wells that are both controls",
        WELLS,
        "positive_control",
        "another control already",
        "wells",
        negative_control={"Metadata_Compound": "DMSO"},
        positive_control={"Metadata_Well": "A01"},
    ),
    mapped(
        "controls in a column and by keys",
        "Metadata_Well,Metadata_Control\nA01,negative\nA02,\n",
        "wells.csv",
        "Metadata_Control already",
        "take out the keys",
        negative_control={"Metadata_Well": "A01"},
    ),
    imaged(
        "batches by a pattern that is not found",
        "batch_from: pattern",
        "'^Week' is not found in P1",
        "plates.csv",
        batch_from={"column": "Metadata_Plate", "pattern": "^Week"},
    ),
    # -- nuclei --------------------------------------------------------------------------------------------------------
    segmented(
        "nuclei in a channel that there is not",
        "preprocess: nuclei: channel",
        "no channel 'DAPI'",
        "the channels are DNA, Actin",
        channel="DAPI",
    ),
    segmented(
        "no nucleus on a plate",
        "preprocess: nuclei: diameter",
        "no nucleus was found in channel 'DNA' of its 1 fields",
        ("minimum_contrast", "(now 10 to 80 pixels)"),
        at=[],
    ),
    job(
        "a CellProfiler that is not there",
        without_program,
        "preprocess: cellprofiler",
        "no program 'cellprofler'",
        "make cellprofiler",
    ),
    # -- samples -------------------------------------------------------------------------------------------------------
    cut(
        "samples larger than the images",
        "samples: cells",
        "not one window lies inside",
        "smaller, or set 'edge: pad'",
        size=32,
    ),
    cut(
        "tiles larger than the images",
        "samples: size",
        "32 pixels do not fit into images of 24 x 24",
        "lower it",
        use="tiles",
        size=32,
    ),
    cut(
        "micrometres without the size of a pixel",
        "samples: size_um",
        "20 micrometres cannot be told in pixels",
        "pixel_size_um",
        size_um=20,
    ),
    cut(
        "a condition by a column that there is not",
        "samples: cells: where",
        "no column 'Metadata_Siet'",
        "Did you mean 'Metadata_Site'",
        where="Metadata_Siet == '1'",
        size=8,
    ),
    cut(
        "a condition that no sample fulfils",
        "samples: cells: where",
        "true for none of the 1 rows",
        "change the condition",
        where="Metadata_Site == 1",
        size=8,
    ),
    cut(
        "a condition that compares text with a number",
        "samples: cells: where",
        "cannot be evaluated",
        "such as '1': write its values in quotes",
        where="Metadata_Site > 2",
        size=8,
    ),
    cut(
        "a condition that is none",
        "samples: cells: where",
        "'Metadata_Site' is no condition",
        "true nor false",
        where="Metadata_Site",
        size=8,
    ),
    cut("a view that needs nuclei", "samples: view", "needs nuclei", "leave out 'of'", of="cells", use="nuclei", size=4),
    cut(
        "a view by a column that there is not",
        "samples: view: where",
        "no column 'Nuclei'",
        "Nucleus",
        of="cells",
        where="Nuclei > 2",
    ),
]
