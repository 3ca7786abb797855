"""Correlation alignment of batches."""

import numpy as np
import pytest
from scipy.linalg import fractional_matrix_power

from phenorep.errors import NotRun, UserError
from phenorep.profiles import coral, features
from tests.unit.made_batches import table


def run(data, **keys):
    config = coral.Config(**keys)
    fitted = coral.fit(config, data)
    return coral.transform(config, fitted, data), fitted


def parts(data):
    """Batch, all its rows' features, and which rows are controls."""
    for name, rows in data.groupby("Metadata_Batch"):
        yield name, features(rows), (rows["Metadata_Control"] == "negative").to_numpy()


def test_it_is_the_published_formula():
    data, epsilon = table(), 0.5
    found = run(data, epsilon=epsilon)[0]
    controls = [values[control] for _, values, control in parts(data)]
    centred = np.concatenate([values - values.mean(axis=0) for values in controls])
    pooled = centred.T @ centred / (len(centred) - len(controls))
    ridge = epsilon * np.trace(pooled) / 5 * np.eye(5)
    for (_, values, control), (_, aligned, _) in zip(parts(data), parts(found), strict=True):
        inverse = fractional_matrix_power(np.cov(values[control].T) + ridge, -0.5)
        expected = (values - values[control].mean(axis=0)) @ inverse @ fractional_matrix_power(pooled + ridge, 0.5)
        np.testing.assert_allclose(aligned, expected + np.concatenate(controls).mean(axis=0), rtol=1e-8)


def test_a_small_ridge_gives_all_batches_the_same_control_mean_and_covariance():
    found = run(table(), epsilon=1e-13)[0]
    (_, first, control), *others = parts(found)
    for _, values, _ in others:
        np.testing.assert_allclose(values[control].mean(axis=0), first[control].mean(axis=0), atol=1e-8)
        np.testing.assert_allclose(np.cov(values[control].T), np.cov(first[control].T), rtol=1e-5, atol=1e-5)


def test_treated_rows_do_not_change_the_fit_but_are_aligned():
    data = table()
    changed = data.copy()
    changed.loc[data["Metadata_Control"] == "", "x_0000"] += 50
    np.testing.assert_array_equal(run(data)[1]["x/matrices"], run(changed)[1]["x/matrices"])
    assert not np.allclose(features(run(data)[0]), features(data))


def test_without_centring_batches_keep_their_means():
    data = table()
    found = run(data, center=False)[0]
    for (_, before, control), (_, after, _) in zip(parts(data), parts(found), strict=True):
        np.testing.assert_allclose(after[control].mean(axis=0), before[control].mean(axis=0))


def test_fewer_controls_than_features_is_finite_and_stated():
    found, fitted = run(table(controls=4, count=20))
    assert np.isfinite(features(found)).all()
    assert coral.facts(fitted)["batches_with_singular_covariance"] == ["b0", "b1", "b2"]
    assert coral.facts(fitted)["rows"] == {"b0": 4, "b1": 4, "b2": 4}


def test_a_constant_feature_stays_as_it_is():
    found = run(table().assign(x_0002=0.25))[0]
    np.testing.assert_allclose(found["x_0002"], 0.25)


def test_blocks_are_aligned_apart():
    data = table(blocks=("x", "y"))
    alone = data.drop(columns=data.filter(like="y_").columns)
    np.testing.assert_array_equal(run(data)[0].filter(like="x_"), features(run(alone)[0]))
    assert list(run(data)[0].filter(regex="^[xy]_")) == list(data.filter(regex="^[xy]_"))


def test_a_new_batch_is_aligned_by_its_own_controls():
    data, config = table(batches=4), coral.Config(epsilon=1e-9)
    old = data[data["Metadata_Batch"] != "b3"]
    new = data[data["Metadata_Batch"] == "b3"].reset_index(drop=True)
    fitted = coral.fit(config, old)
    ((_, values, control),) = parts(coral.transform(config, fitted, new))
    np.testing.assert_allclose(values[control].mean(axis=0), fitted["x/mean"])
    np.testing.assert_allclose(np.cov(values[control].T), fitted["x/covariance"], rtol=1e-5, atol=1e-5)


def test_one_batch_or_a_collapsed_block_does_not_run():
    with pytest.raises(NotRun, match=r"one batch.*b0.*nothing to align"):
        run(table(batches=1))
    with pytest.raises(NotRun, match="'x' are the same"):
        run(table(count=2).assign(x_0000=1.0, x_0001=2.0))


def test_what_is_missing_is_named_with_a_remedy():
    data = table()
    with pytest.raises(UserError, match=r"Metadata_Control.*'fit: all'"):
        run(data.assign(Metadata_Control=""))
    with pytest.raises(UserError, match=r"Metadata_Batch.*'by'"):
        run(data.drop(columns="Metadata_Batch"))
    with pytest.raises(UserError, match="several values of Metadata_Batch"):
        run(data.assign(Metadata_Batch=[["b0", "b1"]] * len(data)))
    with pytest.raises(UserError, match="180 rows have no Metadata_Batch"):
        run(data.assign(Metadata_Batch=""))
    few = data[(data["Metadata_Batch"] != "b1") | (data["Metadata_Control"] == "")]
    with pytest.raises(UserError, match=r"batch b1 \(Metadata_Batch\) has 0 negative-control rows"):
        run(few)
    with pytest.raises(ValueError, match="epsilon must be above 0"):
        coral.Config(epsilon=0)
