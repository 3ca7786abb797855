"""What jobs meet on the way from samples to scores: labels, weights, encoders, profiles, evaluations."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save

from phenorep import contracts, embedding, evaluations, pretrain, profiles

from ...unit import made_samples
from .case import Case, job


def learnt(wrong: str, use: str, keys: dict, place, found, remedy, source=None, start=None, files=None, **other) -> Case:
    """An encoder of small made-up samples; `source` are keys of ``train:``, `start` channels of the encoder in ``init``."""

    def meets(folder: Path) -> None:
        made = made_samples.write(folder / "samples", plates=1, count=6)
        job = made_samples.pretrain_arguments(folder, made, use, {"backbone": "test_resnet", **keys}, **other)
        job["sources"][0] |= source or {}
        if start:
            theirs = made_samples.write(folder / "theirs", plates=1, count=4, channels=start)
            outputs = [str(folder / "first" / name) for name in ("encoder.safetensors", "training.csv", "epochs")]
            first = made_samples.pretrain_arguments(folder, theirs, "random", {"backbone": "test_resnet"}, outputs=outputs)
            pretrain.make(**first)
            job["init"] = outputs[0]
        pretrain.make(**job)

    return job(wrong, meets, place, found, remedy, files)


def embedded(wrong: str, place, found, remedy, channels=None) -> Case:
    """Samples of DNA and Actin by an encoder of other channels."""

    def meets(folder: Path) -> None:
        theirs = made_samples.write(folder / "theirs", plates=1, count=4, channels=("DNA", "Tubulin"))
        job = made_samples.pretrain_arguments(folder, theirs, "pixel_statistics", {})
        pretrain.make(**job)
        mine = made_samples.write(folder / "samples", plates=1, count=4)
        out = str(folder / "final.parquet")
        embedding.make(
            job["outputs"][0],
            mine["tables"],
            mine["statistics"],
            {"device": "cpu"},
            threads=1,
            output=out,
            channels=channels,
        )

    return job(wrong, meets, place, found, remedy)


def features(**columns) -> pd.DataFrame:
    """Embeddings of 8 cells in 4 wells of two plates, without controls; `columns` replace metadata, None takes one out."""
    table = pd.DataFrame(
        {
            "Metadata_Plate": ["P1", "P2"] * 4,
            "Metadata_Well": ["A01", "A01", "A02", "A02", "A03", "A03", "A04", "A04"],
            "Metadata_Site": "1",
            "Metadata_Compound": ["", "", "a", "a", "b", "b", "c", "c"],
            "Sample": [f"s{number}" for number in range(8)],
        }
    ).assign(**{key: value for key, value in columns.items() if value is not None})
    names = contracts.feature_names("x", 3)
    table = table.drop(columns=[key for key, value in columns.items() if value is None])
    return table.join(
        pd.DataFrame(np.random.default_rng(0).normal(size=(8, 3)), columns=names)[[n for n in names if n not in table]]
    )


def profiled(wrong: str, steps: list, place, found, remedy, **columns) -> Case:
    """Profiles of `features` by these steps."""

    def meets(folder: Path) -> None:
        contracts.write_table(features(**columns), folder / "final.parquet", "embeddings", {"encoder": {"recipe": "random"}})
        profiles.make(folder / "final.parquet", steps, folder / "profile.parquet", folder / "profile.npz")

    return job(wrong, meets, place, found, remedy)


def evaluated(wrong: str, use: str, keys: dict, place, found, remedy, by: str | None = None, **columns) -> Case:
    """An evaluation of `features` as profiles."""

    def meets(folder: Path) -> None:
        contracts.write_table(features(**columns), folder / "raw.parquet", "profiles", {"encoder": {"recipe": "random"}})
        row = dict.fromkeys(("dataset", "samples", "method", "seed", "epoch", "profile", "evaluation"), "x")
        block = {"use": use, "keys": keys, "by": by}
        paths = {"profiles": str(folder / "raw.parquet"), "embeddings": str(folder / "raw.parquet")}
        outputs = str(folder / "scores.csv"), str(folder / "scores.parquet")
        evaluations.make(block, paths, None, row, {"device": "cpu"}, *outputs)

    return job(wrong, meets, place, found, remedy)


CASES = [
    # -- training and embedding ----------------------------------------------------------------------------------------
    learnt("a classifier without labels", "classifier", {}, "classifier", "no labels to learn", "Set weak_label"),
    learnt(
        "a classifier of one label",
        "classifier",
        {},
        "classifier",
        "the same label",
        "Choose another weak_label",
        {"labels": "Metadata_Site"},
    ),
    learnt(
        "labels of a column that there is not",
        "classifier",
        {},
        "made/cells: labels",
        "no column 'Metadata_MoA'",
        "Did you mean",
        {"labels": "Metadata_MoA"},
    ),
    learnt(
        "labels named twice over",
        "classifier",
        {"weak_label": "compound"},
        "made/cells: labels",
        "Metadata_Well",
        "take out one",
        {"labels": "Metadata_Well"},
    ),
    learnt(
        "a source's condition by a column that there is not",
        "simclr",
        {},
        "made/cells: where",
        "'Split_fild'",
        "'Split_fold'",
        {"where": "Split_fild == 'train'"},
    ),
    learnt(
        "a source's condition that leaves nothing",
        "simclr",
        {},
        "made/cells: where",
        "none of the 6 rows",
        "change the condition",
        {"where": "Split_fold == 'x'"},
    ),
    learnt(
        "a column to hold out that there is not",
        "simclr",
        {},
        "hold_out",
        "'Metadata_Compond'",
        "'Metadata_Compound'",
        {"hold_out": {"column": "Metadata_Compond", "fold": 0, "of": 2}},
    ),
    learnt(
        "more folds than values",
        "simclr",
        {},
        "made/cells: hold_out: of",
        "9 folds of the 2 values",
        "Choose fewer folds",
        {"hold_out": {"column": "Metadata_Compound", "fold": 0, "of": 9}},
    ),
    learnt(
        "a channel that the samples lack",
        "random",
        {"channels": ["DAPI"]},
        "channels: made/cells",
        "no channel 'DAPI'",
        "Known are: Actin, DNA",
    ),
    learnt(
        "weights of another network",
        "pretrained",
        {"weights": "w.safetensors"},
        "weights: w.safetensors",
        "has no weights 'conv1",
        "Choose the backbone",
        files={"w.safetensors": save({"fc1.weight": torch.zeros(2, 2)})},
    ),
    learnt(
        "weights that are a web page",
        "pretrained",
        {"weights": "w.pth"},
        "weights: w.pth",
        "cannot be read as weights",
        "Give a file of safetensors",
        files={"w.pth": b"<html>"},
    ),
    learnt(
        "a start from an encoder of other channels",
        "simclr",
        {},
        "init: ",
        "reads the channels DNA, Tubulin, the samples give DNA, Actin",
        "set 'channels'",
        start=("DNA", "Tubulin"),
    ),
    learnt(
        "a start from another network",
        "simclr",
        {"backbone": "resnet10t"},
        "encoder.safetensors",
        "weights",
        "Number of channels, input size and backbone must be the same",
        start=("DNA", "Actin"),
    ),
    embedded(
        "samples of other channels than the encoder's",
        "P1.parquet",
        "has the channels DNA, Actin; the encoder reads DNA, Tubulin",
        "State the key 'channels'",
    ),
    embedded("fewer channels than the encoder reads", "channels", "DNA are 1", "the encoder reads DNA, Tubulin", ["DNA"]),
    # -- profiles ------------------------------------------------------------------------------------------------------
    profiled(
        "whitening without controls",
        ["tvn"],
        ("final.parquet", "step 1, tvn"),
        "there is no column Metadata_Control",
        "set 'fit: all'",
    ),
    profiled(
        "whitening after the controls were dropped",
        ["aggregate", "tvn"],
        "step 2, tvn",
        "no row has 'negative'",
        "put this step before it",
        Metadata_Control=["negative"] * 2 + [""] * 6,
    ),
    profiled(
        "whitening by one control",
        ["tvn"],
        "step 1, tvn",
        "1 row to fit on",
        "Mark more negative-control wells",
        Metadata_Control=["negative"] + [""] * 7,
    ),
    profiled(
        "treatments without compounds",
        ["aggregate"],
        "step 1, aggregate",
        "the table has Metadata_Plate",
        "or aggregate by well",
        Metadata_Compound=None,
    ),
    profiled(
        "compounds without compounds",
        [{"aggregate": {"by": "compound"}}],
        "step 1, aggregate",
        "needs the column Metadata_Compound",
        "change 'by'",
        Metadata_Compound=None,
    ),
    profiled(
        "plates after they were mixed",
        [{"aggregate": {"by": "treatment"}}, {"plate_zscore": {"fit": "all"}}],
        "step 2, plate_zscore",
        "mixed several plates in one row",
        "Put this step before it",
    ),
    profiled(
        "batches that the dataset lacks",
        [{"combat": {}}],
        "step 1, combat",
        "Metadata_Batch",
        "Add it to the dataset",
    ),
    # -- evaluations ---------------------------------------------------------------------------------------------------
    evaluated(
        "subsets by a column that there is not",
        "linear_probe",
        {"target": "Metadata_Compound"},
        "evaluations: linear_probe: by",
        "'Metadata_CelLine'",
        "Did you mean",
        by="Metadata_CelLine",
        Metadata_CellLine="U2OS",
    ),
    evaluated(
        "a label of quality that is neither",
        "quality_classification",
        {},
        "Label_Quality",
        "'bad'",
        "normal, abnormal or empty",
        Label_Quality=["bad"] * 8,
    ),
]
