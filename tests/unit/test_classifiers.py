"""Classifiers on frozen features, against torch and scikit-learn."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from phenorep import plugins
from phenorep.errors import NotRun, UserError
from phenorep.quality import classifiers
from phenorep.quality.classifiers import KINDS, ClassifierConfig

SHORT = {"epochs": 9, "milestones": (3, 7), "batch_size": 8}


def samples(count=37, features=6, signal=2.0, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2 == 1
    values = generator.normal(size=(count, features)) * np.geomspace(0.1, 50, features) + 100
    values[labels, 0] += 0.1 * signal
    return values, labels


def by_torch(values, labels, config, seed):
    """The layer of two outputs of the paper, on a CPU, in the same order of samples."""
    values, target = torch.tensor(values), torch.tensor(labels, dtype=torch.long)
    layer = torch.nn.Linear(values.shape[1], 2, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.SGD(
        layer.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, list(config.milestones), config.gamma)
    generator = np.random.default_rng(seed)
    for _ in range(config.epochs):
        for rows in torch.from_numpy(generator.permutation(len(values))).split(config.batch_size):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(layer(values[rows]), target[rows]).backward()
            optimiser.step()
        schedule.step()
    return layer.eval()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_linear_layer_is_the_one_that_torch_trains(decay):
    values, labels = samples()
    config = ClassifierConfig(**SHORT, learning_rate=0.05, weight_decay=decay)
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    expected = by_torch(scaled, labels, config, seed=3)(torch.tensor(scaled)).softmax(dim=1)[:, 1].detach().numpy()
    found = classifiers.fit("linear", values, labels, config, seed=3).probabilities(values)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert found.std() > 0.05


def test_linear_layers_that_are_trained_side_by_side_do_not_know_of_each_other():
    sets = [samples(seed=seed) for seed in range(3)] + [samples(count=20)]
    configs = [ClassifierConfig(**SHORT, learning_rate=rate) for rate in (0.1, 0.01, 0.1, 0.1)]
    configs[2] = dataclasses.replace(configs[2], weight_decay=0.5)
    together = classifiers.fit_all("linear", sets, configs, [0, 1, 2, 3])
    for model, part, config, seed in zip(together, sets, configs, range(4), strict=True):
        alone = classifiers.fit("linear", *part, config, seed)
        np.testing.assert_allclose(model.probabilities(part[0]), alone.probabilities(part[0]), rtol=1e-12)
    found = [model.probabilities(sets[0][0]) for model in together]
    assert len({tuple(values.round(6)) for values in found}) == 4


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("neighbours", [1, 5, 37])
def test_neighbours_are_those_of_scikit_learn(neighbours, standardise):
    values, labels = samples()
    tested, _ = samples(count=50, seed=1)
    center, scale = (values.mean(axis=0), values.std(axis=0)) if standardise else (0, 1)
    expected = (
        KNeighborsClassifier(neighbours).fit((values - center) / scale, labels).predict_proba((tested - center) / scale)
    )
    config = ClassifierConfig(neighbours=neighbours, standardise=standardise)
    found = classifiers.fit("knn", values, labels, config, seed=0)
    np.testing.assert_allclose(found.probabilities(tested), expected[:, 1])
    far = classifiers.fit("knn", values + 1e6, labels, config, seed=0)  # differences of large squares lose their digits
    np.testing.assert_allclose(far.probabilities(tested + 1e6), expected[:, 1])


def test_the_forest_is_that_of_scikit_learn():
    values, labels = samples()
    expected = RandomForestClassifier(20, random_state=4).fit(values, labels).predict_proba(values)[:, 1]
    found = classifiers.fit("forest", values, labels, ClassifierConfig(trees=20), seed=4).probabilities(values)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_of_many_rows_are_those_of_each(kind, monkeypatch):
    monkeypatch.setattr(classifiers, "_ROWS_AT_ONCE", 7)
    values, labels = samples()
    model = classifiers.fit(kind, values, labels, ClassifierConfig(**SHORT, trees=5, learning_rate=0.1), seed=0)
    found = model.probabilities(values)
    assert found.shape == (37,)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found, np.concatenate([model.probabilities(values[row : row + 1]) for row in range(37)]))
    assert model.probabilities(values[:0]).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_constant_features_have_no_say_and_units_none_either(kind):
    values, labels = samples()
    values = np.concatenate([values, np.full((len(values), 1), 7.3)], axis=1)
    config = ClassifierConfig(trees=10, learning_rate=0.01)
    model = classifiers.fit(kind, values, labels, config, seed=0)
    found, moved = model.probabilities(values), values.copy()
    moved[:, -1] = 1e9
    np.testing.assert_array_equal(model.probabilities(moved), found)
    units = 2.0 ** np.arange(7)  # exact in binary: no rounding changes a threshold
    other = classifiers.fit(kind, values * units, labels, config, seed=0)
    np.testing.assert_allclose(other.probabilities(values * units), found)
    assert len(set(found.round(6))) > 2


def test_features_as_they_are_let_the_largest_decide():
    values, labels = samples(signal=40)  # in the smallest feature
    right = []
    for standardise in (True, False):
        model = classifiers.fit("knn", values, labels, ClassifierConfig(standardise=standardise), seed=0)
        right.append(((model.probabilities(values) > 0.5) == labels).mean())
    assert right[0] > 0.95
    assert right[1] < 0.9


def test_what_cannot_be_fitted_says_why():
    values, labels = samples(count=4)
    with pytest.raises(NotRun, match="Knn looks at 5 neighbours, and there are only 4 labels"):
        classifiers.fit("knn", values, labels, ClassifierConfig(), seed=0)
    for kind in KINDS:
        with pytest.raises(NotRun, match="labels of both classes, normal and abnormal; there are 4 of one class"):
            classifiers.fit(kind, values, np.zeros(4, bool), ClassifierConfig(), seed=0)
    with pytest.raises(ValueError, match="known are knn, linear, forest"):
        classifiers.fit("tree", values, labels, ClassifierConfig(), seed=0)


@pytest.mark.parametrize(
    "keys",
    [
        *({name: 0} for name in ("neighbours", "trees", "epochs", "batch_size", "learning_rate", "gamma")),
        *({"momentum": 1.0}, {"weight_decay": -0.1}, {"milestones": [70, 40]}),
    ],
)
def test_wrong_keys_are_named(keys):
    with pytest.raises(UserError, match=next(iter(keys))):
        plugins.configure(ClassifierConfig, keys, "evaluations: quality_classification")


def test_votes_by_rank_by_hand():
    """Of 15 labels on a line a third votes: by distance normal, abnormal, abnormal, normal, normal."""
    values = np.array([0.0, 1.1, 2.3, 3.6, 5.0, *range(100, 110)])[:, None]
    labels = np.array([False, True, True, False, False, *[True] * 10])
    votes = 1 / np.sqrt([1, 2, 3, 4, 5])
    expected = (5 * (votes[1] + votes[2]) / votes.sum() + 1) / 7
    model = classifiers.fit_by_rank(values, labels)
    np.testing.assert_allclose(model.probabilities(np.array([[-1.0]])), [expected], rtol=1e-12)
    np.testing.assert_allclose(model.probabilities(np.array([[105.0]])), [6 / 7], rtol=1e-12)


@pytest.mark.parametrize(("count", "neighbours"), [(6, 5), (60, 20), (200, 25), (600, 75), (4000, 125)])
def test_more_labels_more_neighbours_vote_by_rank(count, neighbours):
    assert classifiers.fit_by_rank(np.arange(count)[:, None], np.arange(count) % 2 == 1).count == neighbours
