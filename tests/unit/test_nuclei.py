import numpy as np
import pytest
from skimage.measure import label, regionprops

from phenorep import contracts, nuclei
from phenorep.errors import UserError
from phenorep.imaging import readers
from phenorep.preprocessing import Segmentation
from tests.unit.made_plate import make_plate


def test_measures_are_those_of_scikit_image():
    generator = np.random.default_rng(0)
    blobs = label(generator.random((60, 70)) > 0.6)
    table = nuclei.measure(blobs.astype(np.int32))
    regions = regionprops(blobs)
    assert len(table) == len(regions)
    for row, region in zip(table.to_dict("records"), regions, strict=True):
        assert row["AreaShape_Area"] == region.area
        assert (row["Location_Center_Y"], row["Location_Center_X"]) == pytest.approx(region.centroid)
        assert row["AreaShape_Eccentricity"] == pytest.approx(region.eccentricity if region.area > 1 else 0, abs=0.3)
        corners = [row[f"AreaShape_BoundingBox{end}_{axis}"] for end in ("Minimum", "Maximum") for axis in ("Y", "X")]
        assert corners == list(region.bbox)


def test_eccentricity_of_an_ellipse():
    y, x = np.mgrid[:100, :100] - 50
    ellipse = ((y / 30) ** 2 + (x / 18) ** 2 <= 1).astype(np.int32)
    assert nuclei.measure(ellipse)["AreaShape_Eccentricity"][0] == pytest.approx(np.sqrt(1 - (18 / 30) ** 2), abs=0.01)
    assert len(nuclei.measure(np.zeros((5, 5), np.int32))) == 0


def at_each_side():
    """Four nuclei that touch a side of the image each, and two that lie one pixel from it."""
    labels = np.zeros((40, 50), np.int32)
    for number, (y, x) in enumerate([(0, 10), (35, 20), (10, 0), (20, 45), (1, 30), (34, 44)], start=1):
        labels[y : y + 5, x : x + 5] = number
    return labels


def test_nuclei_at_the_border_are_marked():
    assert nuclei.measure(at_each_side())["Touches_Border"].tolist() == [True, True, True, True, False, False]


def test_nuclei_without_labels_are_marked_by_their_boxes():
    labels = at_each_side()
    measured = nuclei.measure(labels)
    exported = nuclei._exported(measured.drop(columns="Touches_Border"), labels.shape)
    assert exported["Touches_Border"].tolist() == measured["Touches_Border"].tolist()
    assert not nuclei._exported(measured[["Nucleus", "AreaShape_Area"]], labels.shape)["Touches_Border"].any()


@pytest.mark.parametrize(("bits", "size"), [(8, (120, 150)), (12, (121, 153)), (16, (120, 150))])
def test_nuclei_of_a_plate_are_where_the_truth_says(tmp_path, bits, size):
    # So few fields tell more of the nuclei than of the light.
    plate = make_plate(tmp_path, count=4, size=size, bits=bits).prepare(illumination={"smoothing": "none"})
    table = contracts.read_table(plate.nuclei, "nuclei")
    quality = contracts.read_table(plate.quality, "field_quality")
    hit, true = 0, 0
    for field, centres in enumerate(plate.centres):
        found = table.loc[table["Field"] == field, ["Location_Center_Y", "Location_Center_X"]].to_numpy()
        inside = centres[((centres > 8) & (centres < np.array(size) - 8)).all(axis=1)]
        hit += sum(np.hypot(*(found - centre).T).min() < 1 for centre in inside)
        true += len(inside)
        assert quality["Count_Nuclei"][field] == len(found)
        assert len(found) <= len(centres)
    assert hit == true
    assert table["Label_Odd"].tolist() == (table["Field"] % 2).astype(str).tolist()
    assert table.groupby("Field")["Nucleus"].apply(lambda n: list(n) == list(range(1, len(n) + 1))).all()
    assert (quality["ImageQuality_Saturation_DNA"] < 0.01).all()
    assert quality["ImageQuality_Background_Actin"].between(0.02 * 2**bits, 0.07 * 2**bits).all()


@pytest.mark.parametrize("channels", [("DNA",), ("A", "B", "DNA", "D", "E", "F")])
def test_one_to_six_channels(tmp_path, channels):
    plate = make_plate(tmp_path, count=2, channels=channels).prepare()
    columns = contracts.columns_of(plate.quality)
    assert [name for name in columns if "Focus" in name] == [f"ImageQuality_Focus_{name}" for name in channels]
    assert contracts.about(plate.nuclei)["channel"] == "DNA"


def test_processes_change_nothing(tmp_path):
    plate = make_plate(tmp_path, count=5)
    files = []
    for threads in (1, 2):
        plate.prepare(threads)
        files.append([path.read_bytes() for path in (plate.nuclei, plate.masks, plate.quality)])
    assert files[0] == files[1]


def test_the_channel_of_the_nuclei_is_named_or_asked_for():
    assert Segmentation().nuclear(["Actin", "DNA"]) == "DNA"
    assert Segmentation(channel="Hoechst").nuclear(["Actin", "Hoechst"]) == "Hoechst"
    for settings in (Segmentation(), Segmentation(channel="DAPI")):
        with pytest.raises(UserError, match=r"preprocess: nuclei: channel.*Actin, Hoechst"):
            settings.nuclear(["Actin", "Hoechst"])


def test_a_plate_without_nuclei_is_an_error_that_helps(tmp_path):
    plate = make_plate(tmp_path, count=2, per_field=0)
    with pytest.raises(UserError) as error:
        plate.prepare()
    for word in ("Plate P1", "'DNA'", "preprocess: nuclei: diameter", "10 to 80", "nuclei: channel", "DNA, Actin"):
        assert word in str(error.value)


def test_bad_images_stop_or_are_listed(tmp_path):
    plate = make_plate(tmp_path, count=3)
    path = plate.image(1, "Actin")
    path.write_bytes(path.read_bytes()[:4000])
    for threads in (1, 2):
        with pytest.raises(readers.ImageError, match="1_Actin"):
            plate.prepare(threads)
        plate.prepare(threads, on_bad_image="exclude")
        quality = contracts.read_table(plate.quality, "field_quality")
        assert "1_Actin.tif" in quality["Problem"][1]
        assert quality["Problem"].tolist()[::2] == ["", ""]
        assert quality["Count_Nuclei"].isna().tolist() == [False, True, False]
        assert set(contracts.read_table(plate.nuclei, "nuclei")["Field"]) == {0, 2}
    for field in (0, 2):
        plate.image(field, "DNA").write_bytes(b"gone")
    with pytest.raises(UserError, match="none of the plate's 3 fields"):
        plate.prepare(on_bad_image="exclude")


def test_fields_with_a_problem_keep_it(tmp_path):
    plate = make_plate(tmp_path, count=3)
    table = contracts.read_table(plate.fields, "fields")
    table.loc[0, "Problem"] = "lost"
    contracts.write_table(table, plate.fields, "fields", contracts.about(plate.fields))
    plate.prepare()
    assert contracts.read_table(plate.quality, "field_quality")["Problem"].tolist() == ["lost", "", ""]
    assert 0 not in set(contracts.read_table(plate.nuclei, "nuclei")["Field"])
