"""What every dataset's file keeps to; the tests of single datasets say what is special about each."""

import shutil

import numpy as np
import pandas as pd
import pytest
import tifffile

from phenorep import contracts, plugins
from phenorep import fields as fieldtables
from phenorep.errors import UserError
from phenorep.extents import Extent
from tests.unit import made_bbbc005, made_bbbc013, made_bbbc022, made_mirror

NAMES = plugins.names("datasets")
FACTS = {
    "channels": list,
    "pixel_size_um": (float, type(None)),
    "intensity_max": (int, type(None)),
    "citation": (str, type(None)),
    "licence": (str, type(None)),
    "simulated": bool,
}


def _images(folder):
    """Images of two plates as a microscope might leave them, two wells, sites and channels of each."""
    for plate in ("P1", "P2"):
        (folder / plate).mkdir(parents=True)
        for well in ("A01", "B02"):
            for site in (1, 2):
                for wavelength in (1, 2):
                    name = f"scan_{well}_s{site}_w{wavelength}.tif"
                    tifffile.imwrite(folder / plate / name, np.full((4, 6), wavelength, np.uint16))
                    yield plate, well, site, wavelength, name


def of_folder(folder):
    """The images alone."""
    list(_images(folder))
    return {"folder": str(folder), "channels": {"w1": "DNA", "w2": "Actin"}}


def of_table(folder):
    """The images, and a table of them."""
    rows = {}
    for plate, well, site, wavelength, name in _images(folder):
        row = rows.setdefault((plate, well, site), dict(zip(contracts.FIELD, (plate, well, site), strict=True)))
        channel = {1: "DNA", 2: "Actin"}[wavelength]
        row |= {f"PathName_{channel}": plate, f"FileName_{channel}": name}
    pd.DataFrame(list(rows.values())).to_csv(folder / "fields.csv", index=False)
    return {"table": str(folder / "fields.csv")}


def of_features(folder):
    """A table of features."""
    folder.mkdir()
    wells = [{"Metadata_Plate": plate, "Metadata_Well": well} for plate in ("P1", "P2") for well in ("A01", "B02")]
    table = pd.DataFrame(wells).assign(Cells_Area=[1.5, 2.5, 3.5, 4.5], Cells_Texture=[0.5, 0.25, 0.75, 1.0])
    table.to_csv(folder / "wells.csv", index=False)
    return {"table": str(folder / "wells.csv")}


def of_bbbc021(folder):
    """Two plates as they are published."""
    plates = ["Week1_22123", "Week2_24121"]
    return {"path": str(made_mirror.make_mirror(folder, plates)), "plates": plates}


def of_bbbc022(folder):
    """Two plates as they are published."""
    return {"path": str(made_bbbc022.make_mirror(folder, ["20585", "20586"])), "plates": ["20585", "20586"]}


# From an empty folder to the keys of a small dataset in it.
MAKERS = {
    "bbbc005": lambda folder: {"path": str(made_bbbc005.write(folder))},
    "bbbc013": lambda folder: {"path": str(made_bbbc013.write(folder))},
    "bbbc021": of_bbbc021,
    "bbbc022": of_bbbc022,
    "features": of_features,
    "folder": of_folder,
    "simulated": lambda folder: {"batches": 2, "plates_per_batch": 1, "mechanisms": 2, "sites": 2, "size": 64, "cells": 2.0},
    "table": of_table,
}


class Made:
    """A small dataset, ready to be read."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.module = plugins.load("datasets", name)
        keys = MAKERS[name](folder / "source")
        self.config = plugins.configure(self.module.Config, keys, f"datasets: {name}")
        self.resources = folder / "resources" / name
        self.wanted = self.module.archives(self.config)
        for archive in self.wanted:
            (self.resources / archive).mkdir(parents=True)
            self.module.download(self.config, archive, self.resources / archive)

    def fields(self, plate):
        return self.module.fields(self.config, plate, self.resources)


@pytest.fixture(scope="module", params=NAMES)
def made(request, tmp_path_factory):
    if request.param not in MAKERS:
        pytest.fail(
            f"phenorep/datasets/{request.param}.py has no maker in MAKERS of {__file__}. Add a function that writes a small "
            "dataset of it (two plates, some wells) into the folder that it is given, and returns the keys of its block."
        )
    folder = tmp_path_factory.mktemp(request.param)
    yield Made(request.param, folder)
    shutil.rmtree(folder)


@pytest.fixture
def imaged(made):
    if getattr(made.module, "FEATURES", False):
        pytest.skip("has no images: see the test of its rows")
    return made


def test_no_maker_is_left_of_a_dataset_that_is_gone():
    assert set(MAKERS) <= set(NAMES)


def test_the_facts_are_of_their_types(made):
    about = made.module.about(made.config)
    expected = dict(FACTS)
    if getattr(made.module, "FEATURES", False):
        expected = expected | {"features": bool}
        del expected["intensity_max"]
    assert about.keys() == expected.keys()
    for key, kind in expected.items():
        assert isinstance(about[key], kind), key
    channels = about["channels"]
    assert len(set(channels)) == len(channels)
    assert bool(channels) != bool(about.get("features"))
    for channel in channels:
        fieldtables.check_name(channel, "channel", made.name)
    assert about["pixel_size_um"] is None or about["pixel_size_um"] > 0
    assert about.get("intensity_max") is None or about["intensity_max"] > 0


def test_plates_have_names_of_their_own(made):
    plates = made.module.plates(made.config)
    assert plates
    assert len(set(plates)) == len(plates)
    assert made.module.plates(made.config) == plates
    for plate in plates:
        fieldtables.check_name(plate, "plate", made.name)


def test_archives_of_the_plates_are_those_of_the_whole(made):
    whole, plates = made.wanted, made.module.plates(made.config)
    assert len(set(whole)) == len(whole)
    assert {name for plate in plates for name in made.module.archives(made.config, plate)} == set(whole)
    for name in whole:
        assert isinstance(name, str)
        assert "/" not in name


def test_sources_are_files_that_are_there(made):
    sources = made.module.sources(made.config)
    assert all(isinstance(path, str) for path in sources)
    assert [path for path in sources if not (made.folder / path).is_file()] == []


def test_keys_of_downloads_are_config_keys(made):
    declared = plugins.constants("datasets", made.name)
    assert set(declared.get("DOWNLOAD_KEYS", ())) <= set(plugins.config_keys("datasets", made.name))
    if "DOWNLOAD_KEYS" in declared:
        assert hasattr(made.module, "download")
        # Where nothing lies there already, all of it is downloaded.
        assert made.module.archives(made.module.Config())
    if "FINDS" in declared:
        assert (plugins.ROOT / declared["FINDS"] / "__init__.py").is_file()


def test_what_is_downloaded_tells_its_extent_before(made):
    has = hasattr(made.module, "extent")
    assert has or not hasattr(made.module, "download")
    if not has:
        return
    extent = made.module.extent(made.config)
    assert isinstance(extent, Extent)
    assert extent.fields >= sum(len(made.fields(plate)) for plate in made.module.plates(made.config))
    assert len(extent.size) == 2
    assert min(extent.size) > 0
    assert extent.pixel_bytes in (1, 2)
    assert extent.cells > 0
    assert extent.archives <= len(made.wanted)
    assert (extent.download > 0) == (extent.archives > 0)
    assert extent.unpacked >= extent.download
    assert (extent.unpacked > 0) == bool(made.wanted)


def test_a_check_of_a_right_dataset_raises_nothing(made):
    written_by_a_user = {"table", "plate_map"} & set(plugins.config_keys("datasets", made.name))
    assert hasattr(made.module, "check") == bool(written_by_a_user)
    if written_by_a_user:
        made.module.check(made.config)


def test_fields_are_as_the_contract_says(imaged):
    about, plates = imaged.module.about(imaged.config), imaged.module.plates(imaged.config)
    for plate in plates:
        table = imaged.fields(plate)
        assert len(table)
        assert list(table.columns[:3]) == list(contracts.FIELD)
        assert not table.duplicated(list(contracts.FIELD)).any()
        assert set(table["Metadata_Plate"]) == {plate}
        for well in table["Metadata_Well"]:
            assert fieldtables.well_name(well, "") == well
        for site in table["Metadata_Site"]:
            fieldtables.check_name(site, "site", imaged.name)
        assert contracts.channels_of(table.columns) == about["channels"]
        assert all(name.startswith(contracts.RESERVED) or name == "Problem" for name in table)
        assert set(table.get("Metadata_Control", [""])) <= {"negative", "positive", ""}
        assert (fieldtables.with_headers(table, about, plate)["Problem"] == "").all()  # and the images are there
        pd.testing.assert_frame_equal(imaged.fields(plate), table)


def test_a_plate_that_is_none_is_refused(imaged):
    with pytest.raises(UserError, match="nowhere"):
        imaged.fields("nowhere")


def test_rows_of_features_are_as_the_contract_says(made):
    if not getattr(made.module, "FEATURES", False):
        pytest.skip("has images: see the test of its fields")
    table = made.module.metadata(made.config)
    assert {"Metadata_Plate", "Metadata_Well"} <= set(table)
    assert all(name.startswith(contracts.RESERVED) for name in table)
    assert list(dict.fromkeys(table["Metadata_Plate"])) == made.module.plates(made.config)
    for well in table["Metadata_Well"]:
        assert fieldtables.well_name(well, "") == well
    chosen, left_out = made.module.columns(made.config)
    values = np.concatenate(list(made.module.values(made.config, chosen)))
    assert values.shape == (len(table), len(chosen.names()))
    assert not set(left_out) & set(chosen.names())
    np.testing.assert_array_equal(np.concatenate(list(made.module.values(made.config, chosen))), values)
