"""What is constant stays constant: rounding and the order of rows change no score."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from phenorep import constancy, contracts, plugins, profiles
from phenorep.cross_fitting import Chain
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, control_separation, dose_response, linear_probe, moa_matching, retrieval
from phenorep.profiles import features
from phenorep.quality import choosing, classifiers
from phenorep.report import provenance
from phenorep.rows import Rows
from tests.unit.made_dead import expected, named, screen

ROOT = Path(__file__).resolve().parents[2]
WELL = {"aggregate": {"by": "well", "with": "mean"}}
TREATMENT = {"aggregate": {"by": "treatment", "with": "median"}}
# Combinations that no shipped study has.
MORE = [
    [{"coral": {}}, "plate_zscore", WELL],
    [{"coral": {}}, "robust_mad", WELL],
    [{"combat": {}}, "tvn", WELL],
    [WELL, {"robust_mad": {"fit": "all"}}],
    ["robust_mad", {"factor_analysis": {"factors": 4}}, WELL],
    ["tvn", {"coral": {}}, "plate_zscore", TREATMENT],
]


def shipped() -> list[list]:
    """Steps of all profiles of the configurations that come with the project, each once; and some more."""
    paths = [ROOT / "config.yaml", *sorted((ROOT / "studies").rglob("*.yaml"))]
    blocks = [yaml.safe_load(path.read_text()).get("profiles") or {} for path in paths]
    result = {json.dumps(steps): steps for block in blocks for steps in block.values()}
    return [*result.values(), *MORE]


CHAINS = shipped()
# Scores are functions of profiles: where these are the same to 1e-9, a few chains show that it suffices.
SCORED = [MORE[0], ["robust_mad", {"factor_analysis": {"factors": 4}}, TREATMENT]]


def made(folder: Path, table: pd.DataFrame, values: np.ndarray, steps: list, parts: int = 1) -> tuple[Path, Path]:
    """Profiles of features `values`, whose table is written in so many row groups; the fit."""
    path, whole = folder / "embeddings.parquet", named(table, values)
    with contracts.table_writer(path, "embeddings", {"encoder": {"recipe": "random"}}) as write:
        for rows in np.array_split(np.arange(len(whole)), parts):
            write(whole.iloc[rows].reset_index(drop=True))
    profiles.make(path, steps, folder / "profiles.parquet", folder / "fit.npz")
    return folder / "profiles.parquet", folder / "fit.npz"


def scored(folder: Path, steps: list) -> dict[str, float]:
    """Scores of profiles by metric and settings."""
    level, table = profiles.level(steps), contracts.read_table(folder / "profiles.parquet", "profiles")
    inputs, result = Inputs(profiles=table, chain=Chain.read(folder / "embeddings.parquet", steps)), []
    if level == "treatment":
        result += moa_matching.evaluate(moa_matching.Config(permutations=1), inputs, 0)[0]
    if level == "well":
        result += retrieval.evaluate(retrieval.Config(null_size=100, permutations=1, null_draws=2), inputs, 0)[0]
        result += dose_response.evaluate(dose_response.Config(permutations=1), inputs, 0)[0]
        result += control_separation.evaluate(control_separation.Config("treated", 10, 2), inputs, 0)[0]
    return {f"{score.metric} {score.settings} {score.control}": score.value for score in result}


def noisy(values: np.ndarray) -> np.ndarray:
    """The features with rounding: a last digit of float64, and where they are 0 what cancelling numbers leave."""
    noise = np.random.default_rng(5).normal(size=values.shape)
    return np.where(values == 0, 1e-17 * noise, values * (1 + 1e-15 * noise))


def partly(table: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """The features, some of which do not vary among controls, on a plate, or among the controls of a plate."""
    values, plate = values.copy(), table["Metadata_Plate"].to_numpy()
    control = (table["Metadata_Control"] == "negative").to_numpy()
    live = np.flatnonzero(values.std(axis=0) > 0)
    values[np.ix_(control, live[:1])], values[np.ix_(control, live[1:2])] = 0, np.float32(0.37)
    values[np.ix_(plate == "p0", live[2:3])], values[np.ix_(plate == "p1", live[2:3])] = 0, np.float32(0.37)
    values[np.ix_(control & (plate == "p2"), live[3:4])] = 0
    return values


@pytest.fixture(scope="module")
def hard():
    """A screen with features that are dead, and others that are in part."""
    table, values = screen(sites=1)
    return table, partly(table, values)


@pytest.mark.parametrize("steps", CHAINS, ids=json.dumps)
def test_neither_rounding_nor_the_order_of_rows_changes_a_profile(tmp_path, hard, steps):
    table, values = hard
    written = made(tmp_path, table, values, steps)
    first, wanted = [path.read_bytes() for path in written], features(contracts.read_table(written[0], "profiles"))
    order = np.random.default_rng(3).permutation(len(table))
    second = made(tmp_path, table.iloc[order].reset_index(drop=True), values[order], steps, parts=3)
    assert [path.read_bytes() for path in second] == first
    result = features(contracts.read_table(made(tmp_path, table, noisy(values), steps)[0], "profiles"))
    np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("steps", SCORED, ids=json.dumps)
def test_rounding_changes_no_score(tmp_path, hard, steps):
    table, values = hard
    result = []
    for part in (values, noisy(values)):
        made(tmp_path, table, part, steps)
        result.append(scored(tmp_path, steps))
    assert result[0]
    assert result[0] == result[1]


@pytest.mark.parametrize("steps", CHAINS, ids=json.dumps)
def test_where_no_feature_is_dead_profiles_are_those_of_the_formulas(tmp_path, steps):
    table, values = screen(dead=0)
    result = features(contracts.read_table(made(tmp_path, table, values, steps)[0], "profiles"))
    np.testing.assert_allclose(result, expected(table, values, steps)[1], rtol=1e-9, atol=1e-9)


def test_every_shipped_step_is_in_a_chain_and_carries_the_floor():
    used = {profiles.parse(step)[0] for steps in CHAINS for step in steps}
    assert used == set(plugins.names("steps"))
    for name in used:
        assert callable(plugins.load("steps", name).carry)


def test_many_dead_features_change_nothing(tmp_path):
    table, values = screen(live=397, dead=115, sites=1)
    dead, steps = np.ptp(values, axis=0) == 0, [WELL, {"coral": {"by": "Metadata_Plate"}}, "plate_zscore"]
    assert dead.sum() == 115
    alone, whole = (
        features(contracts.read_table(made(tmp_path, table, part, steps)[0], "profiles"))
        for part in (values[:, ~dead], noisy(values))
    )
    np.testing.assert_allclose(whole, alone, rtol=0, atol=1e-9)


def test_rounding_changes_no_linear_probe(hard):
    table, values = hard
    config, result = linear_probe.Config(permutations=1), []
    for part in (values, noisy(values)):
        result.append(linear_probe.evaluate(config, Inputs(embeddings=named(table, part)), 0)[0][0].value)
    assert result[0] == result[1]


@pytest.mark.parametrize("kind", ["knn", "linear"])
def test_rounding_changes_no_classifier_and_no_choice(hard, kind):
    _, values = hard
    labels, rounded = np.arange(len(values)) % 2 == 0, noisy(values)
    first, second = (
        classifiers.fit(kind, part, labels, classifiers.ClassifierConfig(epochs=2, milestones=()), seed=0).probabilities(
            part
        )
        for part in (values, rounded)
    )
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-9)
    first, second = (choosing._scaled(part.copy(), [part.shape[1]]) for part in (values, rounded))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-9)


def test_what_was_left_out_is_stated_and_left_out_of_new_plates(tmp_path):
    table, values = screen()
    written, fit = made(tmp_path, table, values, ["plate_zscore"])
    dead = [f"x_{place:04d}" for place in np.flatnonzero(np.ptp(values, axis=0) == 0)]
    assert contracts.about(written)["constant"] == {"x": 4}
    first = contracts.read_table(written, "profiles")
    assert not set(dead) & set(first)
    values[:, np.ptp(values, axis=0) == 0] += np.random.default_rng(0).normal(size=(len(values), 4))  # they come alive
    contracts.write_table(named(table, values), tmp_path / "new.parquet", "embeddings")
    profiles.apply(tmp_path / "new.parquet", fit, tmp_path / "applied.parquet")
    pd.testing.assert_frame_equal(contracts.read_table(tmp_path / "applied.parquet", "profiles"), first)
    assert contracts.about(tmp_path / "applied.parquet")["constant"] == {"x": 4}


def test_a_fit_of_before_features_were_left_out_is_applied_as_it_was(tmp_path):
    table, values = screen(dead=0)
    written, fit = made(tmp_path, table, values, ["plate_zscore", "tvn"])
    with np.load(fit) as file:
        np.savez(tmp_path / "old.npz", **{name: file[name] for name in file.files if name not in ("kept", "floor")})
    profiles.apply(tmp_path / "embeddings.parquet", tmp_path / "old.npz", tmp_path / "applied.parquet")
    result, wanted = (contracts.read_table(path, "profiles") for path in (tmp_path / "applied.parquet", written))
    pd.testing.assert_frame_equal(result, wanted)


@pytest.mark.parametrize("noise", [0.0, 1e-15])
def test_a_collapsed_encoder_is_worth_nothing_and_a_step_says_why(tmp_path, noise):
    table, values = screen()
    values = np.full_like(values, np.float32(0.37)) * (1 + noise * np.random.default_rng(0).normal(size=values.shape))
    for step in ("tvn", {"coral": {}}, {"combat": {}}, "factor_analysis"):
        with pytest.raises(NotRun, match=r"'x' (are the same|vary)"):
            made(tmp_path, table, values, [step])
    for steps in ([TREATMENT], ["plate_zscore", TREATMENT], ["robust_mad", TREATMENT]):
        result = features(contracts.read_table(made(tmp_path, table, values, steps)[0], "profiles"))
        assert (result == (np.float32(0.37) if len(steps) == 1 else 0)).all()


def test_a_collapsed_block_does_not_stop_being_told(tmp_path):
    table, values = screen()
    other = pd.DataFrame(np.full((len(table), 3), 0.37), columns=contracts.feature_names("y", 3))
    contracts.write_table(pd.concat([named(table, values), other], axis=1), tmp_path / "e.parquet", "embeddings")
    with pytest.raises(NotRun, match="'y' are the same"):
        profiles.make(tmp_path / "e.parquet", ["tvn"], tmp_path / "p.parquet", tmp_path / "p.npz")


def test_one_outlying_row_does_not_make_others_constant():
    values = np.random.default_rng(0).normal(size=(10_000, 2))
    values[0] = 1e9
    constant, floor = constancy.constant(values)
    assert not constant.any()
    assert (floor < values[1:].std(axis=0)).all()


def test_features_of_other_units_are_not_taken_for_rounding():
    values = np.random.default_rng(0).normal(size=(1000, 4)) * [1e-10, 1e-3, 1, 1e3] + [1e-10, 1, 1, 1e3]
    constant, floor = constancy.constant(values)
    assert not constant.any()
    assert (floor < values.std(axis=0)).all()
    assert constancy.constant(values.astype(np.float32) * [1, 0, 0, 0])[0].tolist() == [False, True, True, True]


def test_the_floor_goes_through_a_step_that_does_not_carry_it():
    floor, values = np.array([1e-7, 1e-6]), np.random.default_rng(0).normal(size=(50, 2))
    names = contracts.feature_names("x", 2)
    np.testing.assert_array_equal(constancy.carried(floor, names, names[::-1], values * 100), floor[::-1])
    assert (constancy.carried(floor, names, names, values * 1e-9) < 1e-15).all()  # other units: a lower floor
    selected = constancy.carried(floor, names, ["x_0001", "y_0000"], values)
    np.testing.assert_array_equal(selected, [constancy.floor(values).max(), constancy.floor(values)[1]])


def test_a_step_gets_the_floor_with_the_table_and_its_parts():
    table, values = screen()
    rows = Rows.of(named(table, values)).entered()
    frame = rows.frame()
    assert len(rows.columns) == 13
    for part in (frame, frame.loc[frame["Metadata_Control"] == "negative"], frame.reset_index(drop=True)):
        np.testing.assert_array_equal(profiles.floor(part), rows.floor)
        np.testing.assert_array_equal(profiles.floor(part, rows.columns[2:4]), rows.floor[2:4])
    np.testing.assert_allclose(profiles.floor(named(table, values)), constancy.floor(values))


def test_a_discriminant_leaves_out_what_lies_below_the_floor():
    generator = np.random.default_rng(0)
    values, labels = generator.normal(size=(40, 3)) * [1, 1, 1e-10], np.arange(40) < 20
    assert control_separation.discriminant(values, labels)[2] != 0
    assert control_separation.discriminant(values, labels, np.array([0, 0, 1e-9]))[2] == 0
    # Zero in all rows that are learnt from, but for rounding.
    assert control_separation.discriminant(values * [1, 1, 1e-7], labels)[2] == 0


def test_the_report_says_what_was_left_out(tmp_path):
    path, _ = made(tmp_path, *screen(), ["plate_zscore"])
    entry = {"path": str(path), "profile": "z", "method": "random", "epoch": "final", "seed": "0"}
    result = provenance.measured_steps({"profiles": [entry]})
    assert [row["found"] for row in result if not row["step"]] == ["constant features left out: x: 4"]
