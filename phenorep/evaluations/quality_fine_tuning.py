"""Normal or abnormal? The encoder itself goes on training on few labelled samples, with a linear layer on top of it.

All weights are trained, by stochastic gradient descent as in [0], from a fresh copy of the encoder for each draw of labels.
Running means and deviations of batch normalisation move with the training samples, too: also with a learning rate near 0 the
tuned network is not the frozen one. The paper states neither batch size nor augmentation here: 32, as for its linear layer
on frozen features, and none. Of the sample set only labelled samples are read, and kept on the device.

Labels, test part, draws and metrics are those of `quality_classification` (see `phenorep.quality.splits`): with the same
seed, the first draws are the same, too. As the control, labels are shuffled among the groups that are learnt from.

[0] Masud et al. 2022, Comparison of semi-supervised learning methods for High Content Screening quality control,
    arXiv:2208.04592, section 3.3
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep.evaluations import Inputs, Score
from phenorep.quality import classifiers, scoring, splits

TASK = "find abnormal images by training the encoder on few labels"
NEEDS = ("encoder", "samples")
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
_SEARCHED = ("learning_rate", "weight_decay", "momentum", "epochs", "batch_size")


@dataclass(frozen=True)
class Config(splits.LabelConfig, classifiers.DescentConfig):
    """Further keys stand in phenorep/quality: splits.py (labels, test part, groups) and classifiers.py (descent)."""

    draws: int = 3  # of the labels; each trains the encoder anew, on epochs * (the sum of `labels`) images
    permutations: int = 1  # of labels, for the shuffled control; each costs as much as a draw
    epochs: int = 50  # passes over the labelled samples; fewer for a large encoder on a CPU
    milestones: tuple[int, ...] = (25, 40)  # epochs after which the learning rate is multiplied by gamma
    augment: dict | None = None  # keys of phenorep/augment.py that differ from its defaults; null: images as they are
    precision: Literal["32-true", "bf16-mixed"] = "32-true"  # bf16-mixed is faster on a recent GPU

    def __post_init__(self):
        splits.LabelConfig.__post_init__(self)
        classifiers.DescentConfig.__post_init__(self)
        splits.check_search(self, _SEARCHED)
        self.augmentation()

    def augmentation(self):
        """The `augment.Augmentation`, as configured; None without."""
        if self.augment is None:
            return None
        from phenorep.augment import configure_augmentation

        return configure_augmentation(self.augment)


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Tune the encoder and tell normal from abnormal samples.

    Returns
    -------
    scores
        ``accuracy``, ``f1`` and ``auc`` for each number of labels; also with labels shuffled.
    details
        See `scoring.summarise`.

    Raises
    ------
    NotRun
        If the encoder was not made or has no weights, there are no labels, or of one class alone, or groups are such that a
        class cannot be learnt from and tested.
    UserError
        If a label is neither normal nor abnormal, or samples have other channels than the encoder reads.
    """
    import torch

    from phenorep import devices
    from phenorep.encoders import Encoder
    from phenorep.quality import fine_tuning

    settings = devices.configure(inputs.compute, devices=1)
    samples, train = inputs.samples, None if inputs.train is None else inputs.train.samples
    judged = splits.labelled(samples.table, config.groups, inputs.rows(samples.table))
    known = None if train is None else splits.labelled(train.table, config.groups)
    design = splits.design(config, judged, known, seed)
    device = torch.device(devices.accelerator(settings))
    with devices.repeatable(settings.threads):
        encoder = Encoder.load(inputs.encoder, device)
        fine_tuning.check(encoder)
        # Another sample set that is learnt from has the encoder's own channels.
        learnt = (samples, "samples", inputs.channels) if train is None else (train, "the samples to learn from", None)
        images = fine_tuning.read(learnt[0], design.known.rows, encoder, device, *learnt[1:])
        tested = fine_tuning.read(samples, judged.rows[design.test], encoder, device, "samples", inputs.channels)
        results = [_result(config, count, design, encoder, images, tested) for count in design.counts]
    return scoring.summarise(design, results, [])


def _result(config: Config, count: int, design: splits.Design, encoder, images, tested) -> scoring.Result:
    from phenorep.quality import fine_tuning

    def tune(option: Config, rows: np.ndarray, labels: np.ndarray, number: int):
        return fine_tuning.tune(
            encoder, images[rows], labels, option, design.seed + number, config.precision, config.augmentation()
        )

    def score(option: Config, rows: np.ndarray, held_out: np.ndarray) -> float:
        model = tune(option, rows, design.known.abnormal[rows], 0)
        found = fine_tuning.probabilities(model, images[held_out], config.precision)
        return scoring.metrics(design.known.abnormal[held_out], found[None])["f1"][0]

    config = splits.searched(config, _SEARCHED, design, count, score)
    parts = [design.drawn(count, draw) for draw in range(config.draws)]
    sets = [(rows, design.known.abnormal[rows]) for rows in parts]
    sets += [design.shuffled(count, permutation) for permutation in range(config.permutations)]
    found = []
    for number, (rows, labels) in enumerate(sets):
        model = tune(config, rows, labels, number)
        found.append(fine_tuning.probabilities(model, tested, config.precision))
        print(f"{count} labels: {number + 1} of {len(sets)} trainings done", flush=True)
    probabilities = np.stack(found)
    chosen = {key: getattr(config, key) for key in config.search or {}}
    return scoring.Result(
        f"classifier=fine_tuned, labels={count}", probabilities[: config.draws], probabilities[config.draws :], chosen
    )
