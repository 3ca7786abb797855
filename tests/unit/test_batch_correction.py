"""ComBat."""

import numpy as np
import pytest

from phenorep import profiles
from phenorep.errors import NotRun, UserError
from phenorep.profiles import combat, features
from tests.unit.made_batches import table


def run(data, **keys):
    config = combat.Config(**keys)
    fitted = combat.fit(config, data)
    return combat.transform(config, fitted, data), fitted


def shrunk(values: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """ComBat of (N, F) values as the paper has it: moves and scales by empirical Bayes, iterated to their fixed point."""
    names, n = np.unique(batch), len(values)
    residual = values - np.stack([values[batch == name].mean(axis=0) for name in batch])
    mean, deviation = values.mean(axis=0), np.sqrt((residual**2).sum(axis=0) / n)
    standard, found = (values - mean) / deviation, np.empty_like(values)
    for name in names:
        rows = standard[batch == name]
        move, scale = rows.mean(axis=0), rows.var(axis=0, ddof=1)
        spread = scale.var(ddof=1)
        shape, rate = 2 + scale.mean() ** 2 / spread, scale.mean() * (1 + scale.mean() ** 2 / spread)
        gamma, delta, tau = move, scale, move.var(ddof=1)
        for _ in range(500):
            gamma = (len(rows) * tau * move + delta * move.mean()) / (len(rows) * tau + delta)
            delta = (rate + 0.5 * ((rows - gamma) ** 2).sum(axis=0)) / (len(rows) / 2 + shape - 1)
        found[batch == name] = (rows - gamma) / np.sqrt(delta)
    return found * deviation + mean


def test_it_is_the_published_estimate_on_the_controls():
    data = table(count=8)
    control = (data["Metadata_Control"] == "negative").to_numpy()
    expected = shrunk(features(data)[control], data["Metadata_Batch"].to_numpy()[control])
    np.testing.assert_allclose(features(run(data)[0])[control], expected, atol=1e-4)


def test_it_is_what_pycombat_gives():
    from pycombat import Combat

    data = table()
    batch = data["Metadata_Batch"].to_numpy(dtype=str)
    expected = Combat().fit(features(data), batch).transform(features(data), batch)
    np.testing.assert_allclose(features(run(data, fit="all")[0]), expected)


def test_batches_lose_their_offset_and_scale_and_treated_rows_do_not_matter():
    data = table()
    found, fitted = run(data)
    controls = found[found["Metadata_Control"] == "negative"]
    before = data[data["Metadata_Control"] == "negative"]
    spread = [features(part).mean(axis=0) for _, part in controls.groupby("Metadata_Batch")]
    spread_before = [features(part).mean(axis=0) for _, part in before.groupby("Metadata_Batch")]
    assert np.std(spread, axis=0).max() < 0.05 * np.std(spread_before, axis=0).min()
    changed = data.copy()
    changed.loc[data["Metadata_Control"] == "", "x_0000"] += 50
    np.testing.assert_array_equal(run(changed)[1]["x/slope"], fitted["x/slope"])


def test_a_constant_feature_is_left_unscaled_and_stated():
    data = table().assign(x_0001=0.25)
    data["x_0003"] = data["Metadata_Batch"].map({"b0": 1.0, "b1": 2.0, "b2": 3.0})
    found, fitted = run(data)
    np.testing.assert_allclose(found["x_0001"], 0.25)
    np.testing.assert_allclose(found["x_0003"], 2.0)
    assert combat.facts(fitted)["constant_features"] == {"x": 2}
    assert combat.facts(fitted)["rows"] == {"b0": 40, "b1": 40, "b2": 40}


def test_blocks_are_corrected_apart():
    data = table(blocks=("x", "y"))
    alone = data.drop(columns=data.filter(like="y_").columns)
    np.testing.assert_array_equal(run(data)[0].filter(like="x_"), features(run(alone)[0]))


def test_few_controls_and_many_features_are_finite():
    assert np.isfinite(features(run(table(controls=2, count=50))[0])).all()


def test_tiny_features_are_corrected_like_large_ones():
    data = table()
    tiny = profiles.with_features(data, features(data) * 1e-6, list(data.filter(like="x_")))
    np.testing.assert_allclose(features(run(tiny)[0]) * 1e6, features(run(data)[0]), rtol=1e-6)


def test_a_feature_that_is_constant_in_one_batch_takes_the_scale_of_the_others():
    data = table()
    data.loc[data["Metadata_Batch"] == "b1", "x_0002"] = 3.0
    assert np.isfinite(features(run(data)[0])).all()


def test_a_single_varying_feature_does_not_run():
    with pytest.raises(NotRun, match="fewer than two features of 'x' vary"):
        run(table(count=2).assign(x_0000=1.0))


def test_one_batch_does_not_run_and_a_new_batch_is_refused():
    with pytest.raises(NotRun, match=r"one batch.*b0.*nothing to correct"):
        run(table(batches=1))
    data = table()
    fitted = combat.fit(combat.Config(), data[data["Metadata_Batch"] != "b2"])
    with pytest.raises(UserError, match=r"batches b2 .*not there when the step was fitted.*'coral'"):
        combat.transform(combat.Config(), fitted, data)


def test_what_is_missing_is_named_with_a_remedy():
    data = table()
    with pytest.raises(UserError, match=r"Metadata_Control.*'fit: all'"):
        run(data.assign(Metadata_Control=""))
    with pytest.raises(UserError, match=r"Metadata_Batch.*'by'"):
        run(data.drop(columns="Metadata_Batch"))
    few = data[(data["Metadata_Batch"] != "b1") | (data["Metadata_Control"] == "") | (data["Metadata_Well"] == "A00")]
    with pytest.raises(UserError, match=r"batch b1 \(Metadata_Batch\) has 1 negative-control rows"):
        run(few)
