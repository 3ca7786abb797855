"""Normal or abnormal? Few labelled samples train a classifier on frozen embeddings, which tells labelled others.

Labels are the column `Label_Quality`, which the dataset knows or the configuration's block ``annotations`` brings. The
classifiers are those of [0], ``knn`` and ``linear`` (see `phenorep.quality.classifiers`), and ``forest``: with the method
``image_quality`` it is what was done before embeddings [1]. The test part is the same for all methods, classifiers and
numbers of labels; the labels that are learnt from are drawn several times where there are more than asked for (see
`phenorep.quality.splits`). [0] has one split of single samples, one draw and, as its figures suggest, averages over batches:
``groups: '', draws: 1, average: batch_mean``.

Intervals are over groups of test samples and draws of labels. As the control, labels are shuffled among the groups
that are learnt from. Learnt from another data set (key `train` of the evaluation's block), all labelled samples of the
evaluated one are tested.

[0] Masud et al. 2022, Comparison of semi-supervised learning methods for High Content Screening quality control,
    arXiv:2208.04592, section 3.3
[1] Bray and Carpenter 2018, Quality control for high-throughput imaging experiments using machine learning in CellProfiler,
    Methods in Molecular Biology 1683, 89-112
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep import contracts
from phenorep.errors import NotRun, UserError
from phenorep.evaluations import Inputs, Score
from phenorep.quality import classifiers, scoring, splits
from phenorep.rows import features

TASK = "find abnormal images with few labels"
NEEDS = ("embeddings",)
REQUIRES = ("Metadata_Plate", "Metadata_Well")
LEVEL = None
UNIT = "well"
TRAIN = True
LABELLED = "Label_Quality"
CURVE = "labels"
METRICS = {
    "accuracy": {"range": [0, 1], "better": "higher", "reference": "Masud et al. 2022, arXiv:2208.04592"},
    "f1": {"range": [0, 1], "better": "higher", "reference": "Masud et al. 2022, arXiv:2208.04592"},
    "auc": {"range": [0, 1], "better": "higher", "reference": "Masud et al. 2022, arXiv:2208.04592"},
}
_SEARCHED = {
    "knn": ("neighbours",),
    "linear": ("learning_rate", "weight_decay", "momentum", "epochs", "batch_size"),
    "forest": ("trees",),
}


@dataclass(frozen=True)
class Config(splits.LabelConfig, classifiers.ClassifierConfig):
    """Keys of the classifiers stand in phenorep/quality/classifiers.py, of labels and draws in splits.py beside it."""

    classifiers: tuple[str, ...] = ("knn", "linear", "forest")  # fewer for time; forest is the slowest
    # Columns of the table, by the start of their names (ImageQuality_, Count_: of the sample's field), that the forest gets
    # beside the features. What a field's own measures tell would help every method, so none by default.
    beside: tuple[str, ...] = ()

    def __post_init__(self):
        splits.LabelConfig.__post_init__(self)
        classifiers.ClassifierConfig.__post_init__(self)
        if not self.classifiers or len(set(self.classifiers)) < len(self.classifiers):
            raise ValueError("classifiers must name at least one, each once")
        if unknown := [name for name in self.classifiers if name not in classifiers.KINDS]:
            raise ValueError(f"classifiers: '{unknown[0]}' is none; known are {', '.join(classifiers.KINDS)}")
        splits.check_search(self, sum(_SEARCHED.values(), ()))


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Tell normal from abnormal samples.

    Returns
    -------
    scores
        ``accuracy``, ``f1`` and ``auc`` for each classifier and number of labels; also with labels shuffled.
    details
        See `scoring.summarise`.

    Raises
    ------
    NotRun
        If there are no labels, or of one class alone, or groups are such that a class cannot be learnt from and tested.
    UserError
        If a label is neither normal nor abnormal, or the other sample set's embeddings have other features.
    """
    judged = splits.labelled(inputs.embeddings, config.groups)
    known = None if inputs.train is None else splits.labelled(inputs.train.embeddings, config.groups)
    columns = contracts.feature_columns(inputs.embeddings.columns)
    if known is not None and (other := contracts.feature_columns(known.table.columns)) != columns:
        raise UserError(
            f"the embeddings to learn from have {len(other)} features, {', '.join(other[:1])} and so on; those to evaluate "
            f"have {len(columns)}, {', '.join(columns[:1])} and so on. Both must come from the same encoder: name the "
            "method as it was trained there, with 'from'."
        )
    design = splits.design(config, judged, known, seed)
    results, stated = [], []
    for kind in config.classifiers:
        values, tested = _features(config, kind, design, stated)
        for count in design.counts:
            labels = design.known.abnormal[design.drawn(count, 0)]
            if reason := classifiers.refused(kind, labels, config):
                stated.append(f"classifier={kind}, labels={count}: {reason}.")
                continue
            results.append(_result(config, kind, count, design, values, tested))
    if not results:
        raise NotRun(" ".join([*stated, *design.stated]))
    return scoring.summarise(design, results, stated)


def _result(config: Config, kind: str, count: int, design: splits.Design, values, tested) -> scoring.Result:
    def score(option: Config, train: np.ndarray, held_out: np.ndarray) -> float:
        labels = design.known.abnormal[train]
        if classifiers.refused(kind, labels, option):
            return -np.inf
        model = classifiers.fit(kind, values[train], labels, option, design.seed)
        return scoring.metrics(design.known.abnormal[held_out], model.probabilities(values[held_out])[None])["f1"][0]

    config = splits.searched(config, _SEARCHED[kind], design, count, score)
    rows = [design.drawn(count, draw) for draw in range(config.draws)]
    sets = [(values[part], design.known.abnormal[part]) for part in rows]
    for permutation in range(config.permutations):
        part, labels = design.shuffled(count, permutation)
        if not classifiers.refused(kind, labels, config):
            sets.append((values[part], labels))
    seeds = [design.seed + number for number in range(len(sets))]
    models = classifiers.fit_all(kind, sets, [config] * len(sets), seeds)
    found = np.stack([model.probabilities(tested) for model in models])
    chosen = {key: getattr(config, key) for key in config.search or {} if key in _SEARCHED[kind]}
    settings = f"classifier={kind}, labels={count}"
    return scoring.Result(settings, found[: config.draws], found[config.draws :], chosen)


def _features(config: Config, kind: str, design: splits.Design, stated: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features of all that may be learnt from, by numbers within ``design.known``, and of the test samples."""
    tables = design.known.table, design.judged.table.iloc[design.test]
    own = contracts.feature_columns(tables[0].columns)
    if kind == "forest" and config.beside:
        numbers = tables[0].select_dtypes("number").columns
        more = [name for name in numbers if name.startswith(config.beside) and name not in own]
        more = [name for name in more if all(name in table and np.isfinite(table[name]).all() for table in tables)]
        if not more:
            stated.append(f"beside: no column of numbers begins with {' or '.join(config.beside)}.")
        own = own + more
    return features(tables[0], own), features(tables[1], own)
