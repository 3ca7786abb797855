"""Classifiers of normal and abnormal samples on frozen features, fitted to few labels: neighbours, a linear layer, a forest.

``knn``: the share of abnormal ones among the nearest neighbours, by Euclidean distance. ``linear``: one dense layer with two
outputs, trained by stochastic gradient descent as in [0]. Of two outputs under softmax only the difference counts, and it
moves as one output under the logistic function does at twice the learning rate: that is what is computed here, with numpy
alone and for many sets of labels at once. Its weights start at 0, so that a fit depends on the order of the samples alone.
``forest``: a random forest [1], which takes features of any scale: what is used on measured features.

[0] Masud et al. 2022, Comparison of semi-supervised learning methods for High Content Screening quality control,
    arXiv:2208.04592, section 3.3
[1] scikit-learn, RandomForestClassifier
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from phenorep import constancy
from phenorep.errors import NotRun

KINDS = ("knn", "linear", "forest")
_FEWEST, _MOST = 25, 125  # neighbours that are voted by rank: fewer are overconfident, more take longer
_ROWS_AT_ONCE = 8192  # whose probabilities are computed together: memory does not grow with the number of samples


@dataclass(frozen=True)
class DescentConfig:
    """Keys of stochastic gradient descent; defaults as in [0] for a linear layer on frozen features."""

    epochs: int = 150  # passes over the labels that are learnt from; more where the learning rate is small
    batch_size: int = 32  # labels per step
    learning_rate: float = 0.001  # at the start; more where features are few
    momentum: float = 0.9  # share of the last step that is taken again; 0 for plain descent
    weight_decay: float = 0.0  # more for many features and few labels
    milestones: tuple[int, ...] = (40, 70, 120)  # epochs after which the learning rate is multiplied by gamma
    gamma: float = 0.1  # 1 keeps the learning rate

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.learning_rate <= 0 or self.gamma <= 0:
            raise ValueError("learning_rate and gamma must be above 0")
        if not 0 <= self.momentum < 1:
            raise ValueError("momentum must be 0 or more and below 1")
        if self.weight_decay < 0:
            raise ValueError("weight_decay must not be negative")
        if any(first >= second for first, second in zip(self.milestones, self.milestones[1:], strict=False)):
            raise ValueError("milestones must be epochs in ascending order")


@dataclass(frozen=True)
class ClassifierConfig(DescentConfig):
    """Keys of the classifiers; those of the descent are of linear alone."""

    neighbours: int = 5  # of knn, as in [0]; odd, so that no vote is a tie; fewer where labels are few
    # To mean 0 and deviation 1 over the training labels, for knn and linear: else the largest features decide alone, and a
    # learning rate means another thing for each encoder. [0] says nothing of it. false: features as they are.
    standardise: bool = True
    trees: int = 100  # of forest; more make probabilities finer and take longer

    def __post_init__(self):
        super().__post_init__()
        for name in ("neighbours", "trees"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")


class Model(Protocol):
    """A fitted classifier."""

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probability (N,) float64, 0 to 1, that a sample is abnormal, from its features (N, F)."""


def fit(kind: str, features: np.ndarray, labels: np.ndarray, config: ClassifierConfig, seed: int) -> Model:
    """Fit a classifier.

    Parameters
    ----------
    kind
        One of `KINDS`.
    features
        (n, F) finite numbers.
    labels
        (n,) bool; true is abnormal.
    seed
        Of the order of samples (linear) or the drawing of samples and features (forest); knn draws nothing.

    Raises
    ------
    NotRun
        If the labels are of one class alone, or fewer than the neighbours that are asked for.
    """
    return fit_all(kind, [(features, labels)], [config], [seed])[0]


def fit_all(kind: str, sets: Sequence[tuple], configs: Sequence[ClassifierConfig], seeds: Sequence[int]) -> list[Model]:
    """Fit a classifier to each of several sets ``(features, labels)``; linear ones of equal size are trained side by side.

    Each is what `fit` gives for it alone, but for rounding.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no classifier '{kind}'; known are {', '.join(KINDS)}")
    prepared = []
    for (features, labels), config in zip(sets, configs, strict=True):
        labels = np.asarray(labels, dtype=bool)
        if reason := refused(kind, labels, config):
            raise NotRun(f"{reason[0].upper()}{reason[1:]}.")
        prepared.append((np.asarray(features, dtype=np.float64), labels))
    if kind == "linear":
        return _linear(prepared, configs, seeds)
    if kind == "forest":
        return [_Forest(*part, config, seed) for part, config, seed in zip(prepared, configs, seeds, strict=True)]
    return [_Neighbours(*part, config) for part, config in zip(prepared, configs, strict=True)]


def fit_by_rank(features: np.ndarray, labels: np.ndarray) -> Model:
    """Fit neighbours whose share is to be made a probability.

    A share of five neighbours has six values, and its highest stands for samples of very different odds. Here there are more
    neighbours, an eighth of the labels (`_FEWEST` to `_MOST`, but no more than a third), the one of rank r counts as
    1 / sqrt(r), and one abnormal and one normal are added: many values, none of them 0 or 1. Parameters and errors are those
    of `fit`.
    """
    labels = np.asarray(labels, dtype=bool)
    count = min(int(np.clip(len(labels) // 8, _FEWEST, _MOST)), len(labels) // 3)
    config = ClassifierConfig(neighbours=max(count, ClassifierConfig.neighbours))
    if reason := refused("knn", labels, config):
        raise NotRun(f"{reason[0].upper()}{reason[1:]}.")
    return _Neighbours(np.asarray(features, dtype=np.float64), labels, config, by_rank=True)


def refused(kind: str, labels: np.ndarray, config: ClassifierConfig) -> str:
    """Why a classifier cannot be fitted to these labels, (n,) bool; empty if it can."""
    if len(set(np.asarray(labels, dtype=bool).tolist())) < 2:
        return f"{kind} needs labels of both classes, normal and abnormal; there are {len(labels)} of one class"
    if kind == "knn" and len(labels) < config.neighbours:
        return (
            f"knn looks at {config.neighbours} neighbours, and there are only {len(labels)} labels: "
            "mark more images or set 'neighbours' lower"
        )
    return ""


def logistic(values: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * values))


class _Scaled:
    """A model that sees features centred and scaled, some rows at a time."""

    center: np.ndarray  # (F,)
    scale: np.ndarray  # (F,); infinite where a feature is constant and has no say

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probability (N,) of being abnormal."""
        found = np.empty(len(features))
        for start in range(0, len(features), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            found[rows] = self._of((np.asarray(features[rows], dtype=np.float64) - self.center) / self.scale)
        return found


class _Neighbours(_Scaled):
    def __init__(self, features: np.ndarray, labels: np.ndarray, config: ClassifierConfig, by_rank: bool = False):
        self.center, self.scale = _scaling(features, config)
        # Centred in any case: distances are the same, and differences of large numbers would lose their digits.
        self.center = features.mean(axis=0)
        self.known, self.abnormal, self.count = (features - self.center) / self.scale, labels, config.neighbours
        self.by_rank = by_rank

    def _of(self, features: np.ndarray) -> np.ndarray:
        # The sample's own length is the same for all its neighbours.
        distances = (self.known**2).sum(axis=1) - 2 * features @ self.known.T
        if self.count < len(self.known):
            nearest = np.argpartition(distances, self.count - 1, axis=1)[:, : self.count]
        else:
            nearest = np.broadcast_to(np.arange(len(self.known)), distances.shape)
        if not self.by_rank:
            return self.abnormal[nearest].mean(axis=1)
        order = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1, kind="stable")
        votes = 1 / np.sqrt(np.arange(1, nearest.shape[1] + 1))
        votes *= len(votes) / votes.sum()
        return (self.abnormal[np.take_along_axis(nearest, order, axis=1)] @ votes + 1) / (len(votes) + 2)


class _Linear(_Scaled):
    def __init__(self, center: np.ndarray, scale: np.ndarray, weights: np.ndarray, bias: float):
        self.center, self.scale, self.weights, self.bias = center, scale, weights, bias

    def _of(self, features: np.ndarray) -> np.ndarray:
        return logistic(features @ self.weights + self.bias)


class _Forest:
    def __init__(self, features: np.ndarray, labels: np.ndarray, config: ClassifierConfig, seed: int):
        from sklearn.ensemble import RandomForestClassifier

        self.model = RandomForestClassifier(n_estimators=config.trees, random_state=seed, n_jobs=1)
        self.model.fit(features, labels)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probability (N,) of being abnormal: the mean over trees."""
        step = _ROWS_AT_ONCE
        parts = [self.model.predict_proba(features[start : start + step])[:, 1] for start in range(0, len(features), step)]
        return np.concatenate(parts) if parts else np.empty(0)


def _scaling(features: np.ndarray, config: ClassifierConfig) -> tuple[np.ndarray, np.ndarray]:
    if not config.standardise:
        return np.zeros(features.shape[1]), np.ones(features.shape[1])
    center, deviation = features.mean(axis=0), features.std(axis=0)
    lowest = np.maximum(constancy.floor(features), constancy.RELATIVE * np.abs(center))
    return center, np.where(deviation > lowest, deviation, np.inf)


def _linear(sets: list[tuple], configs: Sequence[ClassifierConfig], seeds: Sequence[int]) -> list[_Linear]:
    """Train linear layers; those of equal size and schedule together."""
    together: dict[tuple, list[int]] = {}
    for number, ((features, _), config) in enumerate(zip(sets, configs, strict=True)):
        same = (config.epochs, config.batch_size, config.momentum, config.milestones, config.gamma)
        together.setdefault((features.shape, *same), []).append(number)
    found: dict[int, _Linear] = {}
    for numbers in together.values():
        scalings = [_scaling(sets[number][0], configs[number]) for number in numbers]
        pairs = zip(numbers, scalings, strict=True)
        features = np.stack([(sets[number][0] - center) / scale for number, (center, scale) in pairs])
        labels = np.stack([sets[number][1] for number in numbers]).astype(np.float64)
        own = [configs[number] for number in numbers]
        weights, bias = _descend(features, labels, own, [seeds[number] for number in numbers])
        for place, number in enumerate(numbers):
            found[number] = _Linear(*scalings[place], weights[place], float(bias[place]))
    return [found[number] for number in range(len(sets))]


def _descend(features: np.ndarray, labels: np.ndarray, configs: list[ClassifierConfig], seeds: list[int]) -> tuple:
    """Weights (D, F) and biases (D,) of D layers after stochastic gradient descent; features (D, n, F), labels (D, n)."""
    sets, count, _ = features.shape
    shared, generators = configs[0], [np.random.default_rng(seed) for seed in seeds]
    rates = np.array([config.learning_rate for config in configs])
    decays = np.array([config.weight_decay for config in configs])[:, None]
    # The bias is the weight of a feature that is always 1: torch decays it, too.
    features = np.concatenate([features, np.ones((sets, count, 1))], axis=2)
    weights, velocity = np.zeros((2, sets, features.shape[2]))
    each = np.arange(sets)[:, None]
    for epoch in range(shared.epochs):
        rate = (rates * shared.gamma ** sum(epoch >= milestone for milestone in shared.milestones))[:, None]
        order = np.stack([generator.permutation(count) for generator in generators])
        for start in range(0, count, shared.batch_size):
            rows = order[:, start : start + shared.batch_size]
            batch = features[each, rows]
            wrong = logistic((batch @ weights[:, :, None])[:, :, 0]) - labels[each, rows]
            gradient = 2 / rows.shape[1] * (wrong[:, None] @ batch)[:, 0] + decays * weights
            velocity = shared.momentum * velocity + gradient
            weights = weights - rate * velocity
    return weights[:, :-1], weights[:, -1]
