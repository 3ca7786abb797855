"""Factor analysis."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import FactorAnalysis

from phenorep import contracts
from phenorep.errors import NotRun, UserError
from phenorep.profiles import factor_analysis, features


def table(rows: int = 400, count: int = 12, factors: int = 3, block: str = "x", seed: int = 0) -> pd.DataFrame:
    """Three quarters are controls; features are a few hidden factors and noise of unequal size."""
    generator = np.random.default_rng(seed)
    hidden = generator.normal(size=(rows, factors))
    noise = generator.normal(size=(rows, count)) * np.linspace(0.1, 1, count)
    values = hidden @ generator.normal(size=(factors, count)) + noise + 5
    data = pd.DataFrame(values, columns=contracts.feature_names(block, count))
    return data.assign(Metadata_Control=np.where(np.arange(rows) < rows * 3 // 4, "negative", ""))


def run(data, **keys):
    config = factor_analysis.Config(**keys)
    fitted = factor_analysis.fit(config, data)
    return factor_analysis.transform(config, fitted, data), fitted


def test_it_is_scikit_learns_on_the_controls_up_to_sign():
    data = table()
    found, fitted = run(data, factors=3, tolerance=1e-8)
    values = features(data)
    deviation = values[:300].std(axis=0)
    model = FactorAnalysis(3, tol=1e-8, max_iter=5000, svd_method="lapack").fit(values[:300] / deviation)
    expected = model.transform(values / deviation)
    signs = np.sign((features(found) * expected).sum(axis=0))
    np.testing.assert_allclose(features(found) * signs, expected, atol=1e-4)
    covariance = fitted["x/loadings"].T @ fitted["x/loadings"] + np.diag(fitted["x/noise"])
    np.testing.assert_allclose(covariance, np.outer(deviation, deviation) * model.get_covariance(), atol=1e-4)


def test_hidden_factors_are_found_again():
    generator = np.random.default_rng(1)
    hidden = generator.normal(size=(1000, 2))
    values = hidden @ generator.normal(size=(2, 20)) + 0.3 * generator.normal(size=(1000, 20))
    found = factor_analysis.analyse(factor_analysis.Config(factors=2), values)
    scores = (values - found["center"]) @ found["matrix"]
    explained = np.linalg.lstsq(scores, hidden, rcond=None)[0]
    assert 1 - (hidden - scores @ explained).var() / hidden.var() > 0.97


def test_units_of_features_do_not_matter():
    data = table()
    scaled = data.assign(**{name: data[name] * 10.0 ** (index % 5 - 2) for index, name in enumerate(data.filter(like="x_"))})
    np.testing.assert_allclose(features(run(scaled, factors=3)[0]), features(run(data, factors=3)[0]), atol=1e-6)


def test_treated_rows_do_not_change_the_fit():
    data = table()
    changed = data.assign(x_0000=data["x_0000"] + np.where(data["Metadata_Control"] == "", 100.0, 0.0))
    np.testing.assert_array_equal(run(data)[1]["x/matrix"], run(changed)[1]["x/matrix"])


def test_factors_are_bounded_by_rows_and_varying_features_and_stated():
    few = table(rows=8, count=30)
    found, fitted = run(few)
    assert features(found).shape == (8, 5)
    facts = factor_analysis.facts(fitted)
    assert (facts["rows"], facts["factors"], facts["features"]) == (6, {"x": 5}, {"x": 30})
    assert np.isfinite(features(found)).all()
    constant = table(count=4).assign(x_0001=0.1)
    found, fitted = run(constant)
    assert features(found).shape[1] == 3
    assert not fitted["x/matrix"][1].any()


def test_a_fit_that_was_cut_short_says_so():
    assert factor_analysis.facts(run(table(), factors=3)[1])["converged"] == {"x": True}
    assert factor_analysis.facts(run(table(), factors=3, max_iterations=2)[1])["converged"] == {"x": False}


def test_blocks_are_models_of_their_own():
    data = pd.concat([table(), table(block="y", seed=3).drop(columns="Metadata_Control")], axis=1)
    found = run(data, factors=3)[0]
    assert list(found.filter(regex="^[xy]_")) == [*contracts.feature_names("x", 3), *contracts.feature_names("y", 3)]
    np.testing.assert_array_equal(found.filter(like="x_"), features(run(table(), factors=3)[0]))


def test_what_is_missing_is_named_with_a_remedy():
    with pytest.raises(UserError, match=r"Metadata_Control.*'fit: all'"):
        run(table().assign(Metadata_Control=""))
    with pytest.raises(NotRun, match="'x' are the same in all 300 rows"):
        run(table().assign(**dict.fromkeys(contracts.feature_names("x", 12), 0.25)))
    with pytest.raises(UserError, match="has 1 row to fit on"):
        run(table().iloc[299:])
