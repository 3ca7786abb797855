"""Profiles: levels, the whole chain of steps, plate z-scores, and applying a fit to new plates."""

import json

import numpy as np
import pandas as pd
import pytest

from phenorep import contracts, plugins, profiles, rows
from phenorep.errors import NotRun, UserError
from phenorep.profiles import features, plate_zscore, tvn

WS_DINO = [
    {"aggregate": {"by": "field", "with": "lower_median"}},
    {"tvn": {"fit": "negative"}},
    {"aggregate": {"by": ["treatment", "plate"], "with": "mean"}},
    {"aggregate": {"by": "treatment", "with": "median"}},
]


def screen(plates=("p1", "p2"), seed=0, control="negative") -> pd.DataFrame:
    """Samples of six wells a plate, two sites each; plates differ in offset and gain."""
    generator = np.random.default_rng(seed)
    rows = []
    for number, plate in enumerate(plates):
        for well in range(6):
            for site in range(2):
                for sample in range(4):
                    compound = "" if well < 3 else f"c{well}"
                    values = (generator.normal(size=4) + (well >= 3) * well) * (number + 1) + 10 * number
                    rows.append((plate, f"A{well + 1:02d}", str(site), f"{plate}/{well}/{site}/{sample}", compound, *values))
    names = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Sample", "Metadata_Compound"]
    table = pd.DataFrame(rows, columns=[*names, *contracts.feature_names("x", 4)])
    table["Metadata_Control"] = np.where(table["Metadata_Compound"] == "", control, "")
    table["Metadata_Concentration"] = np.where(table["Metadata_Compound"] == "", np.nan, 2.0)
    return table


@pytest.fixture
def embeddings(tmp_path):
    path = tmp_path / "embeddings.parquet"
    contracts.write_table(screen(), path, "embeddings", {"encoder": {"recipe": "random"}})
    return path


@pytest.mark.parametrize(
    ("steps", "level"),
    [
        ([], "sample"),
        (["tvn"], "sample"),
        (["aggregate"], "treatment"),
        ([{"aggregate": {"by": "well"}}, {"tvn": {}}], "well"),
        (WS_DINO, "treatment"),
        (WS_DINO[:3], "treatment_plate"),
        ([{"aggregate": {"by": ["plate", "treatment"]}}], "treatment_plate"),
        ([{"step": "aggregate", "keys": {"by": "field"}}], "field"),
    ],
)
def test_level_is_that_of_the_last_aggregation(steps, level):
    assert profiles.level(steps) == level


def test_every_step_declares_a_config_and_both_functions():
    for name in plugins.names("steps"):
        module = plugins.load("steps", name)
        assert module.__doc__
        assert callable(module.fit)
        assert callable(module.transform)
        assert plugins.config_keys("steps", name)


def test_a_chain_of_steps_is_written_with_its_facts_and_fit(embeddings, tmp_path):
    out, fitted = tmp_path / "profiles.parquet", tmp_path / "fit.npz"
    profiles.make(embeddings, WS_DINO, out, fitted)
    table, about = contracts.read_table(out, "profiles"), contracts.about(out)
    assert table["Metadata_Treatment"].tolist() == ["c3 2 uM", "c4 2 uM", "c5 2 uM"]
    assert about["level"] == "treatment"
    assert about["encoder"] == {"recipe": "random"}
    assert [step["rows"] for step in about["steps"]] == [24, 24, 6, 3]
    assert about["steps"][0]["keys"] == {"by": "field", "with": "lower_median"}
    assert about["steps"][1]["keys"]["rotation"] == "pca"
    assert about["steps"][1]["facts"]["rows"] == 12
    with np.load(fitted, allow_pickle=False) as arrays:
        assert {"1/x/center", "1/x/matrix", "steps", "columns"} <= set(arrays)
        assert json.loads(str(arrays["steps"])) == WS_DINO


def test_the_same_input_gives_the_same_bytes(embeddings, tmp_path):
    for name in ("a", "b"):
        profiles.make(embeddings, WS_DINO, tmp_path / f"{name}.parquet", tmp_path / f"{name}.npz")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    "steps",
    [
        ["plate_zscore"],
        [{"aggregate": {"by": "well"}}, "tvn"],
        ["plate_zscore", "tvn"],
        ["robust_mad", {"coral": {"by": "Metadata_Plate"}}],
        [{"combat": {"by": "Metadata_Plate"}}, {"factor_analysis": {"factors": 2}}],
    ],
)
def test_applying_a_fit_to_the_same_plates_gives_the_same_profiles(embeddings, tmp_path, steps):
    profiles.make(embeddings, steps, tmp_path / "a.parquet", tmp_path / "a.npz")
    profiles.apply(embeddings, tmp_path / "a.npz", tmp_path / "b.parquet")
    first, second = (contracts.read_table(tmp_path / f"{name}.parquet", "profiles") for name in "ab")
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    "step",
    [
        "plate_zscore",
        "robust_mad",
        "tvn",
        {"coral": {"by": "Metadata_Plate"}},
        {"combat": {"by": "Metadata_Plate"}},
        {"factor_analysis": {"factors": 2}},
    ],
)
def test_rows_changed_a_few_at_a_time_are_those_changed_at_once(embeddings, tmp_path, monkeypatch, step):
    assert plugins.load("steps", profiles.parse(step)[0]).BY_ROW
    profiles.make(embeddings, ["plate_zscore", step], tmp_path / "a.parquet", tmp_path / "a.npz")
    monkeypatch.setattr(rows.Rows.changed, "__defaults__", (7,))
    monkeypatch.setattr(rows, "_VALUES_AT_ONCE", 100)
    monkeypatch.setattr(rows, "_ROWS_PER_GROUP", 10)
    profiles.make(embeddings, ["plate_zscore", step], tmp_path / "b.parquet", tmp_path / "b.npz")
    first, second = (contracts.read_table(tmp_path / f"{name}.parquet", "profiles") for name in "ab")
    pd.testing.assert_frame_equal(first, second, check_exact=False, rtol=0, atol=1e-12)


def test_whitening_on_all_rows_does_not_depend_on_how_many_are_taken_at_once(monkeypatch):
    data = screen()
    whole = tvn.fit(tvn.Config(fit="all"), data)["x/matrix"]
    monkeypatch.setattr(profiles, "ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(tvn.fit(tvn.Config(fit="all"), data)["x/matrix"], whole, rtol=0, atol=1e-12)


def test_features_changed_row_by_row_take_the_place_of_the_old_ones(embeddings):
    before = rows.Rows.read(embeddings, np.float64)
    fitted = tvn.fit(tvn.Config(), before.frame())
    after = before.changed(tvn, tvn.Config(), fitted)
    assert np.shares_memory(before.values, after.values)


def test_a_new_plate_brings_its_own_reference_but_the_old_rotation(embeddings, tmp_path):
    steps = ["plate_zscore", "tvn"]
    profiles.make(embeddings, steps, tmp_path / "a.parquet", tmp_path / "a.npz")
    new = tmp_path / "new.parquet"
    contracts.write_table(screen(("p3",), seed=5), new, "embeddings")
    profiles.apply(new, tmp_path / "a.npz", tmp_path / "b.parquet")
    found = contracts.read_table(tmp_path / "b.parquet", "profiles")
    controls = features(found[found["Metadata_Control"] == "negative"])
    np.testing.assert_allclose(controls.mean(axis=0), 0, atol=1e-8)
    assert not np.allclose(np.cov(controls.T), np.eye(4), atol=1e-3)  # whitened by the old plates, not by itself


def test_embeddings_of_another_encoder_are_refused(embeddings, tmp_path):
    profiles.make(embeddings, ["tvn"], tmp_path / "a.parquet", tmp_path / "a.npz")
    other = tmp_path / "other.parquet"
    contracts.write_table(screen().rename(columns={"x_0000": "y_0000"}), other, "embeddings")
    with pytest.raises(UserError, match="same encoder"):
        profiles.apply(other, tmp_path / "a.npz", tmp_path / "b.parquet")


def test_a_record_that_was_not_run_is_passed_on(tmp_path):
    contracts.write_not_run(tmp_path / "e.parquet", "no weights")
    with pytest.raises(NotRun, match="no weights"):
        profiles.make(tmp_path / "e.parquet", ["tvn"], tmp_path / "a.parquet", tmp_path / "a.npz")


@pytest.mark.parametrize("step", ["tvn", "plate_zscore", "robust_mad", "factor_analysis"])
def test_no_negative_control_names_file_step_column_and_remedy(tmp_path, step):
    path = tmp_path / "e.parquet"
    contracts.write_table(screen(control=""), path, "embeddings")
    with pytest.raises(UserError, match=rf"(?s)e\.parquet: step 1, {step}:.*Metadata_Control.*'fit: all'"):
        profiles.make(path, [step], tmp_path / "a.parquet", tmp_path / "a.npz")
    assert not (tmp_path / "a.parquet").exists()


def test_correcting_after_the_controls_were_dropped_says_so(embeddings, tmp_path):
    with pytest.raises(UserError, match="put this step before it"):
        profiles.make(embeddings, ["aggregate", "tvn"], tmp_path / "a.parquet", tmp_path / "a.npz")


def test_plate_zscores_put_each_plates_controls_at_mean_0_and_deviation_1():
    data = screen()
    config = plate_zscore.Config()
    found = plate_zscore.transform(config, plate_zscore.fit(config, data), data)
    for _, part in found[found["Metadata_Control"] == "negative"].groupby("Metadata_Plate"):
        np.testing.assert_allclose(features(part).mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(features(part).std(axis=0), 1, atol=1e-9)


def test_a_robust_zscore_hardly_minds_an_outlier():
    data = screen()
    spoilt = data.copy()
    spoilt.loc[0, "x_0000"] = 1e6
    for robust, limit in ((True, 0.5), (False, 1e3)):
        config = plate_zscore.Config(robust=robust)
        clean, dirty = (plate_zscore.fit(config, table)["scale"][0, 0] for table in (data, spoilt))
        assert (abs(dirty - clean) < limit) == robust


def test_a_constant_feature_is_centred_left_unscaled_and_stated():
    data = screen().assign(x_0001=np.float32(0.1))
    fitted = plate_zscore.fit(plate_zscore.Config(), data)
    assert plate_zscore.facts(fitted) == {"constant_features": 1, "plates_with_constant_features": 2}
    found = plate_zscore.transform(plate_zscore.Config(), fitted, data)
    assert np.isfinite(features(found)).all()
    np.testing.assert_allclose(found["x_0001"], 0, atol=1e-9)


def test_a_plate_with_one_control_row_is_named():
    data = screen()
    data = data[(data["Metadata_Plate"] != "p2") | (data["Metadata_Control"] != "negative") | (data["Sample"] == "p2/0/0/0")]
    with pytest.raises(UserError, match=r"plate p2 has 1 negative-control rows"):
        plate_zscore.fit(plate_zscore.Config(), data)
