"""Typical variation normalisation."""

import time

import numpy as np
import pandas as pd
import pytest

from phenorep.errors import NotRun, UserError
from phenorep.profiles import features, tvn


def table(values: np.ndarray, negative: np.ndarray, block: str = "x") -> pd.DataFrame:
    columns = [f"{block}_{i:04d}" for i in range(values.shape[1])]
    control = np.where(negative, "negative", "")
    return pd.concat([pd.DataFrame({"Metadata_Control": control}), pd.DataFrame(values, columns=columns)], axis=1)


@pytest.fixture
def correlated():
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200, 6)) @ generator.normal(size=(6, 6)) * 3 + 10
    return table(values, np.arange(200) < 120)


def run(data, config=None):
    config = config or tvn.Config()
    fitted = tvn.fit(config, data)
    return tvn.transform(config, fitted, data), fitted


def test_negative_controls_become_white_and_treated_rows_do_not_matter(correlated):
    found, fitted = run(correlated)
    controls = features(found)[:120]
    np.testing.assert_allclose(controls.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(controls.T), np.eye(6), atol=1e-9)
    changed = correlated.copy()
    changed.loc[120:, "x_0000"] += 100
    np.testing.assert_allclose(tvn.fit(tvn.Config(), changed)["x/matrix"], fitted["x/matrix"])


def test_same_as_whitening_by_scikit_learn(correlated):
    from sklearn.decomposition import PCA

    expected = PCA(whiten=True).fit(features(correlated)[:120]).transform(features(correlated))
    found = features(run(correlated)[0])
    signs = np.sign((expected * found).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-8)


@pytest.mark.parametrize("rotation", ["pca", "zca"])
def test_same_as_whitening_by_pycytominer(correlated, rotation):
    from pycytominer.operations import Spherize

    columns = list(correlated.filter(like="x_"))
    model = Spherize(epsilon=0, method=rotation.upper(), return_numpy=True).fit(correlated.loc[:119, columns])
    expected = model.transform(correlated[columns])
    found = features(run(correlated, tvn.Config(rotation=rotation))[0])
    # Principal components have no sign of their own; turned back, they have.
    signs = np.sign((expected * found).sum(axis=0)) if rotation == "pca" else 1
    np.testing.assert_allclose(found * signs, expected, atol=1e-5)


def test_with_fewer_controls_than_features_the_same_components_as_pycytominer():
    from pycytominer.operations import Spherize

    values = np.random.default_rng(0).normal(size=(30, 50))
    expected = Spherize(epsilon=0, method="PCA", return_numpy=True).fit(pd.DataFrame(values[:10]))
    # It keeps further directions, in which the controls do not vary, and scales them as the weakest: TVN drops them.
    expected = expected.transform(pd.DataFrame(values))[:, :9]
    found = features(run(table(values, np.arange(30) < 10))[0])
    np.testing.assert_allclose(found * np.sign((expected * found).sum(axis=0)), expected, atol=1e-5)


def test_fewer_controls_than_features_keep_the_controls_rank():
    values = np.random.default_rng(0).normal(size=(30, 50))
    found, fitted = run(table(values, np.arange(30) < 10))
    assert features(found).shape == (30, 9)
    np.testing.assert_allclose(np.cov(features(found)[:10].T), np.eye(9), atol=1e-8)
    assert tvn.facts(fitted) == {"rows": 10, "components": {"x": 9}, "features": {"x": 50}}


def test_constant_and_repeated_features_are_dropped_not_blown_up(correlated):
    data = correlated.assign(x_0006=0.1, x_0007=correlated["x_0000"])
    found = features(run(data)[0])
    assert found.shape[1] == 6
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 20


def test_blocks_are_whitened_apart(correlated):
    other = table(features(correlated)[::-1] ** 2, np.arange(200) < 120, "y").drop(columns="Metadata_Control")
    both, _ = run(pd.concat([correlated, other], axis=1))
    assert list(both.filter(like="y_").columns) == [f"y_{i:04d}" for i in range(6)]
    np.testing.assert_allclose(both.filter(like="x_"), features(run(correlated)[0]))


def test_zca_stays_near_the_features_and_choices_matter(correlated):
    zca = features(run(correlated, tvn.Config(rotation="zca"))[0])
    pca = features(run(correlated)[0])
    np.testing.assert_allclose(zca @ zca.T, pca @ pca.T, atol=1e-8)
    centred = features(correlated) - features(correlated)[:120].mean(axis=0)
    assert np.trace(np.corrcoef(zca.T, centred.T)[:6, 6:]) > np.trace(np.corrcoef(pca.T, centred.T)[:6, 6:])
    weak = features(run(correlated, tvn.Config(epsilon=0.1))[0])
    assert weak[:120, -1].std() < pca[:120, -1].std()
    assert features(run(correlated, tvn.Config(components=2))[0]).shape == (200, 2)


def test_no_negative_control_names_column_key_and_remedy(correlated):
    with pytest.raises(UserError, match=r"(?s)Metadata_Control.*'fit: all'"):
        tvn.fit(tvn.Config(), correlated.assign(Metadata_Control=""))
    assert features(run(correlated.assign(Metadata_Control=""), tvn.Config(fit="all"))[0]).shape == (200, 6)


def test_a_collapsed_block_does_not_run(correlated):
    constant = correlated.assign(**dict.fromkeys(correlated.filter(like="x_"), 0.25))
    with pytest.raises(NotRun, match="'x' are the same in all 120 rows"):
        tvn.fit(tvn.Config(), constant)


def test_it_is_fast():
    values = np.random.default_rng(0).normal(size=(5000, 256))
    started = time.perf_counter()
    tvn.whiten(tvn.Config(), values)
    assert time.perf_counter() - started < 5
