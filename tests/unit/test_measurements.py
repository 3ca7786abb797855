import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from phenorep import contracts, masks, measured_features, measurements
from phenorep.errors import UserError
from phenorep.imaging import readers
from tests.unit import made_plate

CHANNELS = ("DNA", "Actin")
GROUPS = [name for name in measurements.GROUPS if name != "granularity"]
RADIUS = 7


def discs(size, centres, radius):
    labels = np.zeros(size, np.int32)
    y, x = np.mgrid[: size[0], : size[1]]
    for number, centre in enumerate(centres, 1):
        labels[(np.hypot(y - centre[0], x - centre[1]) <= radius) & (labels == 0)] = number
    return labels


def noise(size, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 0.9, (len(CHANNELS), *size)).astype(np.float32)


def one(labels, images, groups=GROUPS, **keys):
    return measurements.measure(labels, images, CHANNELS[: len(images)], groups, **keys).iloc[0]


def test_a_rectangle_has_the_size_and_intensities_that_it_has():
    labels, images = np.zeros((20, 30), np.int32), noise((20, 30))
    labels[4:14, 5:25] = 1
    found, pixels = one(labels, images), images[:, 4:14, 5:25].reshape(2, -1).astype(float)
    assert found["AreaShape_Area"] == found["AreaShape_ConvexArea"] == 200
    assert found["AreaShape_Extent"] == found["AreaShape_Solidity"] == found["AreaShape_EulerNumber"] == 1
    # The ellipse with the variance of 20 places in a row, which is (20^2 - 1) / 12, has axes of 4 standard deviations.
    assert found["AreaShape_MajorAxisLength"] == pytest.approx(4 * np.sqrt((20**2 - 1) / 12))
    assert found["AreaShape_MaxFeretDiameter"] == pytest.approx(np.hypot(9, 19))
    assert found["Intensity_MeanIntensity_Actin"] == pytest.approx(pixels[1].mean(), rel=1e-5)
    assert found["Intensity_StdIntensity_DNA"] == pytest.approx(pixels[0].std(), rel=1e-5)
    assert found["Intensity_IntegratedIntensity_DNA"] == pytest.approx(pixels[0].sum(), rel=1e-5)
    inner = images[0, 5:13, 6:24]
    assert found["Intensity_IntegratedIntensityEdge_DNA"] == pytest.approx(pixels[0].sum() - inner.sum(), rel=1e-4)
    assert found["Correlation_Correlation_DNA_Actin"] == pytest.approx(np.corrcoef(pixels)[0, 1], abs=1e-6)
    first, second = (np.where(p >= 0.15 * p.max(), p, 0) for p in pixels)
    both = (first > 0) & (second > 0)
    overlap = (first * second)[both].sum()
    assert found["Correlation_K_DNA_Actin"] == pytest.approx(overlap / (first[both] ** 2).sum(), rel=1e-5)
    assert found["Correlation_K_Actin_DNA"] == pytest.approx(overlap / (second[both] ** 2).sum(), rel=1e-5)
    assert found["Correlation_Manders_Actin_DNA"] == pytest.approx(second[both].sum() / second.sum(), rel=1e-5)


def test_an_even_disc_is_round_and_without_texture():
    labels = discs((60, 60), [(30, 30)], 20)
    found = one(labels, np.full((1, 60, 60), 0.5, np.float32))
    assert found["AreaShape_Area"] == pytest.approx(np.pi * 20**2, rel=0.01)
    assert found["AreaShape_Eccentricity"] == pytest.approx(0, abs=1e-6)
    assert found["AreaShape_Zernike_0_0"] == pytest.approx(1, abs=0.02)
    assert found["AreaShape_Zernike_1_1"] == pytest.approx(0, abs=1e-6)
    rings = [f"RadialDistribution_MeanFrac_DNA_{ring}of4" for ring in (1, 2, 3, 4)]
    np.testing.assert_allclose(found[rings].astype(float), 1)
    assert found[[f"RadialDistribution_FracAtD_DNA_{ring}of4" for ring in (1, 2, 3, 4)]].sum() == pytest.approx(1)
    assert found["Texture_Contrast_DNA_3_00_256"] == 0
    assert found["Texture_AngularSecondMoment_DNA_3_02_256"] == pytest.approx(1)
    assert found["Intensity_MassDisplacement_DNA"] == pytest.approx(0, abs=1e-6)


def test_stripes_have_a_contrast_across_and_none_along():
    labels = np.zeros((40, 40), np.int32)
    labels[5:35, 5:35] = 1
    images = np.where(np.arange(40) // 3 % 2, 200, 100)[None, None].repeat(40, axis=1).astype(np.float32) / 255
    found = one(labels, images, ["texture"])
    assert found["Texture_Contrast_DNA_3_00_256"] == pytest.approx(100**2)
    assert found["Texture_Contrast_DNA_3_02_256"] == 0
    # A camera of half the range: the same pixels are twice as many grey levels apart.
    assert one(labels, images / 2, ["texture"], full=0.5)["Texture_Contrast_DNA_3_00_256"] == pytest.approx(100**2)


def test_names_are_those_of_cellprofiler_and_tell_no_place():
    described = measurements.columns(["DNA", "Actin", "Tubulin"], measurements.GROUPS)
    expected = {
        "AreaShape_FormFactor": ["shape"],
        "AreaShape_Zernike_9_9": ["zernike"],
        "Intensity_MADIntensity_Tubulin": ["intensity", "Tubulin"],
        "Texture_InverseDifferenceMoment_DNA_3_03_256": ["texture", "DNA"],
        "RadialDistribution_RadialCV_Actin_2of4": ["radial", "Actin"],
        "RadialDistribution_ZernikeMagnitude_DNA_4_2": ["radial_zernike", "DNA"],
        "Correlation_Manders_Tubulin_Actin": ["correlation", "Actin", "Tubulin"],
        "Granularity_16_Actin": ["granularity", "Actin"],
    }
    assert {name: described[name] for name in expected} == expected
    assert list(dict.fromkeys(group for group, *_ in described.values())) == list(measurements.GROUPS)
    assert not [name for name in described if "Center" in name or "Location" in name or "BoundingBoxM" in name]
    assert not contracts.feature_columns(described), "NaN would be refused where it has a meaning"


@pytest.fixture(scope="module")
def crowd():
    """Nuclei apart, touching each other, and at the border; noise, so that every pixel counts."""
    labels = discs((120, 150), [(30, 40), (30, 54), (70, 90), (0, 100), (119, 149), (90, 20), (60, 3)], RADIUS)
    return labels, noise(labels.shape)


@pytest.mark.parametrize("group", [name for name in measurements.GROUPS if name != "granularity"])
def test_without_the_space_between_them_nuclei_measure_the_same(crowd, group):
    labels, images = crowd
    whole = measurements._measured([group], labels, images, CHANNELS, 1.0)
    found = measurements.measure(labels, images, CHANNELS, [group])
    assert list(found) == list(whole)
    # Zernike moments count the pixels inside a circle through the outermost ones: rounding decides of a pixel on it.
    tolerance = {"atol": 2 / (np.pi * RADIUS**2)} if "zernike" in group else {"atol": 1e-6, "rtol": 1e-5}
    for name in found:
        np.testing.assert_allclose(found[name], whole[name], **tolerance, err_msg=name)


def test_a_nucleus_measures_the_same_whatever_is_beside_it(crowd):
    labels, images = crowd
    alone = np.where(labels == 2, 1, 0).astype(np.int32)
    several, single = measurements.measure(labels, images, CHANNELS, GROUPS).iloc[1], one(alone, images)
    groups = [name for name in several.index if "Zernike" not in name]
    np.testing.assert_allclose(several[groups].astype(float), single[groups].astype(float), rtol=1e-5, atol=1e-7)


def test_what_is_not_defined_is_nan():
    labels = np.zeros((20, 20), np.int32)
    labels[5, 5] = 1
    found = one(labels, noise((20, 20)))
    assert found["AreaShape_Area"] == 1
    for name in ("AreaShape_FormFactor", "Texture_Entropy_DNA_3_00_256", "Correlation_Correlation_DNA_Actin"):
        assert np.isnan(found[name]), name
    assert len(measurements.measure(np.zeros((20, 20), np.int32), noise((20, 20)), CHANNELS, GROUPS)) == 0


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    """A plate with known masks: its nuclei table lists them in another order than the fields."""
    folder = tmp_path_factory.mktemp("plate")
    made = made_plate.make_plate(folder, count=4, per_field=5, radius=RADIUS)
    size = made.vignette.shape
    np.savez(folder / "illumination.npz", **{name: (1 + 0 * made.vignette).astype(np.float32) for name in made.channels})
    fields = contracts.read_table(made.fields, "fields")
    rows = []
    with masks.writer(folder / "masks.npz") as write:
        for field, centres in enumerate(made.centres):
            inside = [c for c in centres if min(*c, *(np.array(size) - 1 - c)) > RADIUS]
            write(field, discs(size, inside, RADIUS))
            for number, (y, x) in enumerate(inside, 1):
                place = fields.loc[field, list(contracts.FIELD)].to_dict()
                measured = {"Location_Center_X": x, "Location_Center_Y": y, "AreaShape_Area": 150, "Touches_Border": False}
                rows.append({**place, "Field": field, "Nucleus": number, **measured})
    nuclei = pd.DataFrame(rows).sort_values(["Field", "Nucleus"], ascending=False, ignore_index=True)
    contracts.write_table(nuclei, folder / "nuclei.parquet", "nuclei")
    paths = {name: getattr(made, name) for name in ("fields", "illumination", "nuclei")}
    return SimpleNamespace(**paths, masks=folder / "masks.npz", made=made)


def make(plate, output, threads=1, groups=("intensity", "shape"), **other):
    inputs = SimpleNamespace(**{**vars(plate), **other})
    measurements.make(inputs, {"on_bad_image": "exclude"}, groups, threads, output)
    return contracts.read_table(output, "measurements")


def test_rows_are_the_nuclei_and_pixels_the_corrected_ones(plate, tmp_path):
    function = 1 + np.linspace(0, 1, plate.made.vignette.size).reshape(plate.made.vignette.shape).astype(np.float32)
    np.savez(tmp_path / "slope.npz", DNA=function, Actin=np.ones_like(function))
    table = make(plate, tmp_path / "m.parquet", illumination=tmp_path / "slope.npz")
    nuclei = contracts.read_table(plate.nuclei, "nuclei")
    same = [*contracts.FIELD, "Field", "Nucleus"]
    pd.testing.assert_frame_equal(table[same], nuclei[same])
    row = table.iloc[3]
    own = masks.read(plate.masks, row["Field"]) == row["Nucleus"]
    raw = readers.read(plate.made.image(row["Field"], "DNA"))
    assert row["AreaShape_Area"] == own.sum()
    assert row["Intensity_MeanIntensity_DNA"] == pytest.approx((raw / 65535 / function)[own].mean(), rel=1e-5)
    stated = contracts.about(tmp_path / "m.parquet")
    assert stated["columns"] == measurements.columns(stated["channels"], ["shape", "intensity"])
    assert list(table) == [*same, *measurements.columns(stated["channels"], ["shape", "intensity"])]
    assert stated["channels"] == ["DNA", "Actin"]


def test_processes_change_nothing(plate, tmp_path):
    one, two = (make(plate, tmp_path / f"{n}.parquet", n, GROUPS) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_nuclei_of_an_image_that_went_bad_are_not_measured(plate, tmp_path):
    before = make(plate, tmp_path / "before.parquet")
    fields = contracts.read_table(plate.fields, "fields")
    fields.loc[1, "FileName_DNA"] = "gone.tif"
    contracts.write_table(fields, tmp_path / "f.parquet", "fields", contracts.about(plate.fields))
    table = make(plate, tmp_path / "m.parquet", fields=tmp_path / "f.parquet")
    lost = table["Field"] == 1
    assert table.loc[lost, "AreaShape_Area"].isna().all()
    pd.testing.assert_frame_equal(table[~lost], before[~lost])


def test_masks_of_other_nuclei_are_refused(plate, tmp_path):
    nuclei = contracts.read_table(plate.nuclei, "nuclei").iloc[1:]
    contracts.write_table(nuclei, tmp_path / "n.parquet", "nuclei")
    with pytest.raises(UserError, match=r"masks\.npz: field 3 has 4 masks, the nuclei table has 3 nuclei"):
        make(plate, tmp_path / "m.parquet", nuclei=tmp_path / "n.parquet")
    assert not (tmp_path / "m.parquet").exists()


METHOD = {"use": "cellprofiler_features", "keys": {"groups": ["shape"]}}


@pytest.fixture
def joined(tmp_path):
    """Two plates of 200 nuclei with four measurements and samples of some of the nuclei, in another order."""
    generator = np.random.default_rng(0)
    stated = {"channels": ["DNA"], "version": "0", "columns": {f"A_{name}": ["shape"] for name in "abcd"}}
    files = {"tables": [], "measurements": []}
    for plate in ("P1", "P2"):
        place = {"Metadata_Plate": plate, "Metadata_Well": "A01", "Metadata_Site": "1"}
        nuclei = pd.DataFrame({**place, "Field": np.repeat(np.arange(20), 10), "Nucleus": np.tile(np.arange(1, 11), 20)})
        values = generator.normal((3, 500, 7, 0), (1, 50, 0, 1), (200, 4)).astype(np.float32)
        values[::20, 3] = np.nan  # 5 %: too often
        values[7, 1] = np.nan
        table = nuclei.join(pd.DataFrame(values, columns=list(stated["columns"])))
        contracts.write_table(table, tmp_path / f"{plate}_m.parquet", "measurements", stated)
        samples = nuclei.sample(frac=0.9, random_state=1).reset_index(drop=True)
        if not ((samples["Field"] == 0) & (samples["Nucleus"] == 8)).any():
            samples = pd.concat([samples, nuclei.iloc[[7]]], ignore_index=True)
        samples["Sample"] = plate + "/" + samples["Field"].astype(str) + "/" + samples["Nucleus"].astype(str)
        samples["Checksum"] = 1  # of the pixels, which measurements are not made of
        contracts.write_table(samples, tmp_path / f"{plate}_s.parquet", "samples")
        files["tables"].append(str(tmp_path / f"{plate}_s.parquet"))
        files["measurements"].append(str(tmp_path / f"{plate}_m.parquet"))
    return files


def embed(files, output, **keys):
    measured_features.make(**files, method={**METHOD, "keys": METHOD["keys"] | keys}, output=output)
    return contracts.read_table(output, "embeddings")


def test_each_sample_has_the_measurements_of_its_nucleus(joined, tmp_path):
    table = embed(joined, tmp_path / "e.parquet", scale=False)
    assert contracts.feature_columns(table.columns) == contracts.feature_names("cellprofiler_features", 2)
    samples = pd.concat([contracts.read_table(path, "samples") for path in joined["tables"]], ignore_index=True)
    samples = samples.drop(columns="Checksum")
    features = contracts.feature_columns(table.columns)
    pd.testing.assert_frame_equal(table.drop(columns=features), samples)
    measured = pd.concat([contracts.read_table(path, "measurements") for path in joined["measurements"]])
    expected = samples.merge(measured, on=["Metadata_Plate", "Field", "Nucleus"], how="left")
    np.testing.assert_array_equal(table["cellprofiler_features_0000"], expected["A_a"])
    undefined = expected["A_b"].isna()
    assert undefined.sum() == 2
    medians = expected.groupby("Metadata_Plate")["A_b"].median()
    filled = expected["A_b"].fillna(expected["Metadata_Plate"].map(medians))
    np.testing.assert_allclose(table["cellprofiler_features_0001"], filled, rtol=1e-6)
    assert pq.ParquetFile(tmp_path / "e.parquet").num_row_groups == 2


def test_what_was_left_out_and_what_is_what_stand_beside_the_table(joined, tmp_path, caplog):
    embed(joined, tmp_path / "e.parquet")
    about = contracts.about(tmp_path / "e.parquet")
    block = about["blocks"]["cellprofiler_features"]
    assert block["names"] == ["A_a", "A_b"]
    assert block["left_out"] == ["A_c", "A_d"]
    assert "A_c, A_d" in caplog.text
    assert about["encoder"]["trained_on"] == []
    assert json.dumps(about)


def test_features_are_standardised_over_all_plates(joined, tmp_path):
    raw, scaled = (embed(joined, tmp_path / f"{scale}.parquet", scale=scale) for scale in (False, True))
    columns = contracts.feature_columns(raw.columns)
    expected = (raw[columns] - raw[columns].mean()) / raw[columns].std(ddof=0)
    np.testing.assert_allclose(scaled[columns], expected, atol=1e-5)


def test_samples_without_nuclei_are_a_record(joined, tmp_path):
    table = contracts.read_table(joined["tables"][0], "samples").drop(columns="Nucleus")
    contracts.write_table(table, tmp_path / "s.parquet", "samples")
    embed({"tables": [str(tmp_path / "s.parquet")], "measurements": []}, tmp_path / "e.parquet")
    assert "not cut around nuclei" in contracts.not_run(tmp_path / "e.parquet")


def test_samples_of_other_nuclei_are_refused(joined, tmp_path):
    table = contracts.read_table(joined["measurements"][1], "measurements")
    contracts.write_table(
        table[table["Field"] != 4], tmp_path / "m.parquet", "measurements", contracts.about(joined["measurements"][1])
    )
    files = {**joined, "measurements": [joined["measurements"][0], str(tmp_path / "m.parquet")]}
    with pytest.raises(UserError, match=r"m\.parquet: holds nothing of the nucleus of sample P2/4/\d+"):
        embed(files, tmp_path / "e.parquet")
    assert not (tmp_path / "e.parquet").exists()
