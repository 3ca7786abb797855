"""A small made-up run that asks for abnormal images: scores along numbers of labels, probabilities, and a cleaned view."""

import json

import numpy as np
import pandas as pd

from phenorep import contracts
from tests.unit.made_run import HOSTILE, score

LABELS = (10, 50, 350)
KINDS = {"sorting": ("knn", "linear"), "tuning": ("fine_tuned",)}
# What each method reaches with 350 labels; with fewer it is less.
REACHED = {"photographs": 0.95, "learned": 0.85, "noise": 0.6}
WELLS = ("A01", "A02", "B01", "B02")
PLATES = ("p0", HOSTILE, "p2")
HALF = {"control": "shuffled", "ci_low": 0.4, "ci_high": 0.6}
DECLARED = {
    ("methods", "noise"): {"CONTROL": True},
    ("evaluations", "sorting"): {"CURVE": "labels", "METRICS": {"accuracy": {"range": [0, 1]}, "auc": {"range": [0, 1]}}},
    ("evaluations", "tuning"): {"CURVE": "labels", "METRICS": {"accuracy": {"range": [0, 1]}, "auc": {"range": [0, 1]}}},
    ("evaluations", "matching"): {"METRICS": {"nsc": {"range": [0, 1], "better": "higher"}}},
}


def share(method: str, labels: int, metric: str = "accuracy") -> float:
    """The made-up score."""
    return 0.5 + (REACHED[method] - 0.5) * np.log(labels) / np.log(350) - (0.01 if metric == "auc" else 0)


def make_quality_run(folder) -> dict:
    """Write a run's files and return its plan.

    Studies: ``labels`` has two evaluations along numbers of labels; ``all`` and ``clean`` match treatments on the sample set
    and on the view of it that leaves abnormal images out.
    """
    files = {"details": [], "samples": [], "abnormality": []}
    scores = _curves(folder, files) + _matched(folder, files)
    contracts.write_scores(pd.DataFrame(scores, columns=list(contracts.SCORE_COLUMNS)), folder / "scores.csv")
    random = np.random.default_rng(0)
    tables = [_samples(folder, plate, files, random) for plate in PLATES]
    _abnormality(folder, tables, files)
    contracts.write_not_run(folder / "unlabelled.parquet", "no image is labelled")
    where = {"dataset": "made", "samples": "cells", "method": "learned", "seed": 0}
    files["abnormality"].append({**where, "path": str(folder / "unlabelled.parquet")})
    methods = list(REACHED)
    study = {
        "dataset": "made",
        "samples": "cells",
        "methods": methods,
        "profiles": [],
        "evaluations": list(KINDS),
        "seeds": [0],
    }
    matching = study | {"profiles": ["raw"], "evaluations": ["matching"]}
    return {
        "name": "trial",
        "config": {
            "methods": {method: {"use": method, "keys": {}} for method in methods},
            "evaluations": {name: {"use": name, "keys": {}} for name in (*KINDS, "matching")},
            "profiles": {},
        },
        "studies": {"labels": study, "all": matching, "clean": matching | {"samples": "cells_clean"}},
        "datasets": {"made": {"about": {"simulated": True}, "plates": list(PLATES)}},
        "epochs": {},
        "skipped": [],
        "not_applicable": [],
        "cleaned": [{"dataset": "made", "samples": "cells_clean", "parent": "cells", "where": "abnormality < 0.9"}],
        "engine": "native",
        "files": {"scores": str(folder / "scores.csv"), "answers": str(folder / "answers.csv"), **files},
    }


def _curves(folder, files: dict) -> list[dict]:
    scores = []
    for method in REACHED:
        for evaluation, kinds in KINDS.items():
            parts = []
            for kind, labels in [(kind, labels) for kind in kinds for labels in LABELS]:
                settings = f"classifier={kind}, labels={labels}"
                for metric in ("accuracy", "auc"):
                    row = {"settings": settings, "n": 130, "ci_low": share(method, labels) - 0.04}
                    row |= {"ci_high": share(method, labels) + 0.04}
                    scores.append(score(method, "none", evaluation, metric, share(method, labels, metric), **row))
                    scores.append(score(method, "none", evaluation, metric, 0.5, **row | HALF))
                right = np.random.default_rng(labels).permutation(130) < 130 * share(method, labels)
                items = pd.DataFrame({"item": [f"s{n}" for n in range(130)], "well": [f"p/w{n // 5}" for n in range(130)]})
                parts.append(items.assign(part="item", metric="accuracy", settings=settings, value=right.astype(float)))
                truth = {"truth": ["normal", "abnormal"], "predicted": ["normal", "normal"], "count": [65, 65]}
                parts.append(pd.DataFrame(truth).assign(part="confusion", metric="accuracy", settings=settings))
            _details(folder, files, pd.concat(parts), method, "none", evaluation, "cells")
    return scores


def _matched(folder, files: dict) -> list[dict]:
    """Matching is better without abnormal images for ``learned``, the same for the others."""
    scores = []
    names = [f"compound {number}" for number in range(20)]
    for samples, method in [(samples, method) for samples in ("cells", "cells_clean") for method in REACHED]:
        right = np.arange(20) < (18 if (samples, method) == ("cells_clean", "learned") else 10)
        row = {"samples": samples, "n": 20}
        scores.append(score(method, "raw", "matching", "nsc", right.mean(), **row))
        pairs = pd.DataFrame({"part": "pair", "metric": "nsc", "treatment": names, "correct": right.astype(float)})
        _details(folder, files, pairs, method, "raw", "matching", samples)
    return scores


def _details(folder, files: dict, table: pd.DataFrame, method: str, profile: str, evaluation: str, samples: str) -> None:
    path = folder / f"{method}_{profile}_{evaluation}_{samples}.parquet"
    contracts.write_table(table.assign(subset=""), path, "details")
    where = {"dataset": "made", "samples": samples, "method": method, "seed": 0, "epoch": "final", "profile": profile}
    files["details"].append({**where, "evaluation": evaluation, "path": str(path)})


def _samples(folder, plate: str, files: dict, random) -> pd.DataFrame:
    """Eight wells' halves: four wells of two sites with three images each; those of well B02 are left out of the view."""
    rows = [(well, site, number) for well in WELLS for site in ("1", "10") for number in range(3)]
    table = pd.DataFrame(rows, columns=["Metadata_Well", "Metadata_Site", "number"])
    table.insert(0, "Metadata_Plate", plate)
    table["Sample"] = [f"{plate}/{well}/{site}/{number}" for well, site, number in rows]
    table["Metadata_Compound"] = table["Metadata_Well"].map(dict(zip(WELLS, ("vehicle", "a", "a", HOSTILE), strict=True)))
    table["Metadata_Control"] = np.where(table["Metadata_Well"] == "A01", "negative", "")
    table = table.drop(columns="number")
    pixels = random.integers(0, 4096, size=(len(table), 2, 32, 32)).astype(np.uint16)
    facts = {"channels": ["DNA", "Actin"], "dtype": "uint16", "intensity_max": 4095, "shape": [2, 32, 32]}
    facts |= {
        "mean": pixels.mean((0, 2, 3)).tolist(),
        "std": pixels.std((0, 2, 3)).tolist(),
        "illumination": None,
        "of": None,
    }
    number = PLATES.index(plate)
    for name, kept in (("cells", table), ("cells_clean", table[table["Metadata_Well"] != "B02"])):
        stem = folder / f"{name}_{number}"
        contracts.write_table(kept.reset_index(drop=True), stem.with_suffix(".parquet"), "samples")
        np.save(stem.with_suffix(".npy"), pixels[kept.index])
        stem.with_suffix(".json").write_text(json.dumps(facts | {"count": len(kept)}))
        entry = {"dataset": "made", "samples": name, "plate": plate, "path": str(stem.with_suffix(".parquet"))}
        files["samples"].append(entry)
    return table


def _abnormality(folder, tables: list[pd.DataFrame], files: dict) -> None:
    """Images of well B02 are abnormal, of the last plate most of all; the others hardly are."""
    about = {"method": "photographs", "classifier": "linear", "counts": {"normal": 30, "abnormal": 20}, "auc": 0.9876}
    about |= {"labels_from": HOSTILE, "brier": 0.0543, "accuracy": 0.93, "prevalence": 0.25, "prevalence_how": "stated"}
    steps = [(0.0, 28, 0.03, 0.04), (0.5, 6, 0.55, 0.5), (0.9, 16, 0.97, 1.0)]
    bins = [{"low": low, "high": low + 0.1, "count": n, "predicted": p, "observed": o} for low, n, p, o in steps]
    path = folder / "abnormality.parquet"
    with contracts.table_writer(path, "abnormality", about | {"calibration": bins}) as write:
        for number, table in enumerate(tables):
            bad = (table["Metadata_Well"] == "B02").to_numpy()
            values = np.where(bad, 0.9 + 0.04 * number, 0.02) + 0.001 * np.arange(len(table)) / len(table)
            labels = np.where(np.arange(len(table)) == 0, "normal", "")
            write(table.assign(abnormality=values, Label_Quality=labels))
    where = {"dataset": "made", "samples": "cells", "method": "photographs", "seed": 0, "epoch": "final"}
    files["abnormality"].append({**where, "path": str(path)})
