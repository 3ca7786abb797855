import numpy as np
import pandas as pd
import pytest

from phenorep import plugins
from phenorep.errors import UserError
from phenorep.samples import fields, nuclei, tiles

ABOUT = {"dataset": "mine", "pixel_size_um": None}
IMAGES = pd.DataFrame({"Height": [100, 101], "Width": [140, 133]})
NUCLEI = pd.DataFrame(
    {
        "Image": [0, 0, 1, 1],
        "Nucleus": [1, 2, 1, 2],
        "Location_Center_Y": [50.2, 1.0, 60.5, 85.0],
        "Location_Center_X": [70.6, 70.0, 16.0, 116.0],
        "AreaShape_Area": [200, 210, 220, 230],
        "Touches_Border": [False, False, False, False],
        "Metadata_Well": ["A01", "A01", "A02", "A02"],
    }
)


@pytest.mark.parametrize("name", plugins.names("samples"))
def test_every_strategy_keeps_to_the_agreement(name):
    module = plugins.load("samples", name)
    config = plugins.configure(module.Config, {"size": [32, 32] if name == "fields" else 32}, f"samples: {name}")
    height, width = module.output_size(config, ABOUT)
    found = module.windows(config, IMAGES, NUCLEI if "nuclei" in module.NEEDS else None, ABOUT)
    assert {"Image", "Number", "Top", "Left", "Height", "Width"} <= set(found.columns)
    assert not found.duplicated(["Image", "Number"]).any()
    assert list(found.index) == list(range(len(found)))
    inside = found[["Top", "Left"]].to_numpy() + found[["Height", "Width"]].to_numpy()
    assert (inside <= IMAGES.iloc[found["Image"]].to_numpy()).all()
    assert (found[["Top", "Left"]].to_numpy() >= 0).all()
    assert (height, width) == (32, 32)
    literal = plugins.config_keys("samples", name)  # defaults are literals that a plan can read
    assert {key: getattr(module.Config(), key) for key in literal} == literal


def test_nuclei_are_in_the_middle_of_their_window():
    found = nuclei.windows(nuclei.Config(size=32), IMAGES, NUCLEI, ABOUT)
    assert found[["Image", "Number", "Top", "Left"]].to_numpy().tolist() == [[0, 1, 34, 55], [1, 1, 45, 0], [1, 2, 69, 100]]
    assert found["AreaShape_Area"].tolist() == [200, 220, 230]
    assert "Metadata_Well" not in found
    padded = nuclei.windows(nuclei.Config(size=33, edge="pad"), IMAGES, NUCLEI, ABOUT)
    assert padded["Top"].tolist() == [34, -15, 45, 69]
    assert padded["Number"].tolist() == [1, 2, 1, 2]


def test_nuclei_at_the_border_are_samples_where_asked_for():
    cut = NUCLEI.assign(Touches_Border=[False, True, False, False])
    padded = nuclei.windows(nuclei.Config(size=33, edge="pad"), IMAGES, cut, ABOUT)
    assert padded[["Image", "Number"]].to_numpy().tolist() == [[0, 1], [1, 1], [1, 2]]
    kept = nuclei.windows(nuclei.Config(size=33, edge="pad", border="keep"), IMAGES, cut, ABOUT)
    assert kept["Touches_Border"].tolist() == [False, True, False, False]


def test_a_window_that_just_fits_stays():
    centres = NUCLEI.iloc[:1].assign(Location_Center_Y=16.0, Location_Center_X=16.0)
    assert len(nuclei.windows(nuclei.Config(size=32), IMAGES, centres, ABOUT)) == 1
    assert len(nuclei.windows(nuclei.Config(size=32), IMAGES, centres.assign(Location_Center_Y=15.0), ABOUT)) == 0
    last = centres.assign(Location_Center_Y=84.0, Location_Center_X=124.0)
    assert len(nuclei.windows(nuclei.Config(size=32), IMAGES, last, ABOUT)) == 1
    assert len(nuclei.windows(nuclei.Config(size=32), IMAGES, last.assign(Location_Center_Y=85.0), ABOUT)) == 0


@pytest.mark.parametrize(
    ("keys", "window", "size"),
    [
        ({}, 128, 128),
        ({"size": 20}, 20, 20),
        ({"size_um": 13.0}, 20, 20),
        ({"size_um": 13.3}, 20, 20),  # 20.46 pixels
        ({"size_um": 13.4}, 21, 21),  # 20.62 pixels
        ({"size_um": 13.0, "size": 32}, 20, 32),
        ({"size_um": 0.5, "size": 32}, 1, 32),
    ],
)
def test_size_in_micrometres(keys, window, size):
    config, about = nuclei.Config(edge="pad", **keys), ABOUT | {"pixel_size_um": 0.65}
    found = nuclei.windows(config, IMAGES, NUCLEI, about)
    assert nuclei.output_size(config, about) == (size, size)
    assert set(found["Height"]) == set(found["Width"]) == {window}
    assert found["Top"].tolist() == [50 - window // 2, 1 - window // 2, 61 - window // 2, 85 - window // 2]


def test_micrometres_need_the_size_of_a_pixel():
    for config in (nuclei.Config(size_um=40), nuclei.Config(size_um=40, size=64)):
        with pytest.raises(UserError, match=r"samples: size_um: 40 micro.*datasets: mine: pixel_size_um"):
            nuclei.windows(config, IMAGES, NUCLEI, ABOUT)
    with pytest.raises(UserError, match=r"size_um: 0.2 micro.*less than a pixel.*mine: pixel_size_um"):
        nuclei.output_size(nuclei.Config(size_um=0.2), ABOUT | {"pixel_size_um": 0.65})


def test_tiles_cover_the_middle_or_start_in_the_corner():
    found = tiles.windows(tiles.Config(size=224), pd.DataFrame({"Height": [512], "Width": [640]}), None, ABOUT)
    assert found[["Top", "Left"]].to_numpy().tolist() == [[32, 96], [32, 320], [256, 96], [256, 320]]
    corner = tiles.windows(tiles.Config(size=60, align="corner"), IMAGES, None, ABOUT)
    assert corner[["Image", "Top", "Left"]].to_numpy().tolist() == [[0, 0, 0], [0, 0, 60], [1, 0, 0], [1, 0, 60]]
    overlapping = tiles.windows(tiles.Config(size=60, overlap=20), IMAGES, None, ABOUT)
    assert np.unique(overlapping["Top"]).tolist() == [0, 40]
    assert overlapping["Number"].tolist() == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]


def test_tiles_larger_than_the_image_are_refused():
    with pytest.raises(UserError, match="224 pixels do not fit into images of 100 x 140"):
        tiles.windows(tiles.Config(), IMAGES, None, ABOUT)


def test_fields_are_whole():
    found = fields.windows(fields.Config(size=(50, 70)), IMAGES, None, ABOUT)
    assert found[["Height", "Width"]].equals(IMAGES)
    assert found["Top"].tolist() == found["Left"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("module", "keys", "word"),
    [
        (nuclei, {"size": 0}, "size must be"),
        (nuclei, {"edge": "keep"}, "drop, pad"),
        (nuclei, {"size_um": 0}, "size_um must be"),
        (nuclei, {"size_um": "wide"}, "size_um"),
        (nuclei, {"neighbours": "hide"}, "keep, mask"),
        (tiles, {"overlap": 224}, "overlap must be"),
        (tiles, {"size": -1}, "size must be"),
        (fields, {"size": 512}, "size"),
        (fields, {"size": [0, 512]}, "size must be"),
    ],
)
def test_wrong_keys_are_named(module, keys, word):
    with pytest.raises(UserError, match=f"samples: mine.*{word}"):
        plugins.configure(module.Config, keys, "samples: mine")
