"""Robust z-scores of each plate."""

import numpy as np
import pytest
from scipy.stats import median_abs_deviation

from phenorep.errors import UserError
from phenorep.profiles import features, robust_mad
from tests.unit.made_batches import table


def run(data, **keys):
    config = robust_mad.Config(**keys)
    fitted = robust_mad.fit(config, data)
    return robust_mad.transform(config, fitted, data), fitted


@pytest.mark.parametrize("fit", ["negative", "all"])
def test_it_is_median_and_scaled_deviation_of_each_plate(fit):
    data = table()
    found = run(data, fit=fit, epsilon=0.5)[0]
    for plate, rows in data.groupby("Metadata_Plate"):
        values = features(rows)
        chosen = values[(rows["Metadata_Control"] == "negative").to_numpy() | (fit == "all")]
        scale = median_abs_deviation(chosen, scale="normal") + 0.5
        expected = (values - np.median(chosen, axis=0)) / scale
        np.testing.assert_allclose(features(found[found["Metadata_Plate"] == plate]), expected)


def test_it_agrees_with_pycytominer():
    from pycytominer.operations import RobustMAD

    data = table(batches=1)
    expected = RobustMAD(epsilon=0).fit(data.filter(like="x_")).transform(data.filter(like="x_"))
    np.testing.assert_allclose(features(run(data, fit="all")[0]), np.asarray(expected), rtol=1e-5)  # it rounds 1.4826


def test_a_feature_without_deviation_is_centred_left_unscaled_and_stated():
    data = table()
    data["x_0001"] = np.where(np.arange(len(data)) % 5 == 0, 7.0, 0.25)  # most controls share a value
    found, fitted = run(data, epsilon=0.5)
    assert set(found["x_0001"]) == {0.0, 6.75}
    assert robust_mad.facts(fitted) == {"constant_features": 1, "plates_with_constant_features": 3}


def test_a_new_plate_brings_its_own_reference():
    data, config = table(), robust_mad.Config()
    fitted = robust_mad.fit(config, data[data["Metadata_Plate"] != "p2"])
    np.testing.assert_allclose(features(robust_mad.transform(config, fitted, data)), features(run(data)[0]))


def test_what_is_missing_is_named_with_a_remedy():
    with pytest.raises(UserError, match=r"Metadata_Control.*'fit: all'"):
        run(table().assign(Metadata_Control=""))
    with pytest.raises(ValueError, match="epsilon"):
        robust_mad.Config(epsilon=-1)
