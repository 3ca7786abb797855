"""A small made-up run, with files as the steps write them and with all that can go wrong in it."""

import json

import numpy as np
import pandas as pd

from phenorep import contracts, costs, report
from phenorep.report import answers

HOSTILE = "<script>alert('x')</script>"
METHODS = ("learned", "other", "noise", "absent")
MECHANISMS = ("actin", "tubulin", "$dna_x$", "_kinase")


def make_page(plan: dict, *paths, **more) -> None:
    """Write a run's answers and the page that shows them."""
    answers.make(plan, plan["files"]["answers"])
    report.make(plan, *map(str, paths), **more)


def treatments() -> pd.DataFrame:
    """24 treatments of four mechanisms, the first compound named to do harm."""
    rows = [(f"compound {i}" if i else HOSTILE, MECHANISMS[i % 4], f"b{i % 2}", f"p{i % 3}") for i in range(24)]
    table = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in ("Compound", "MoA", "Batch", "Plate")])
    return table.assign(Metadata_Control="")


def score(method: str, profile: str, evaluation: str, metric: str, value: float, **more) -> dict:
    row = dict.fromkeys(contracts.SCORE_COLUMNS, "")
    row |= {"dataset": "made", "samples": "cells", "method": method, "seed": 0, "epoch": "final", "profile": profile}
    row |= {"evaluation": evaluation, "metric": metric, "value": value, "control": "none", "leak": "none", "n": 24}
    row |= {"units": np.nan, "chance": np.nan}
    return row | {"ci_low": value - 0.05, "ci_high": value + 0.05} | more


def make_run(folder) -> dict:
    """Write a run's files and return its plan."""
    random = np.random.default_rng(0)
    kinds = ("details", "profiles", "training", "fields", "quality", "illumination", "engines", "samples")
    files = {kind: [] for kind in kinds}
    scores = []
    accuracy = {"learned": 0.9, "other": 0.5, "noise": 0.2}
    for method in METHODS:
        where = {"dataset": "made", "samples": "cells", "method": method, "seed": 0}
        stem = folder / method
        for profile in ("raw", "whitened"):
            path = f"{stem}_{profile}.parquet"
            files["profiles"].append({**where, "epoch": "final", "profile": profile, "path": path})
            details = f"{stem}_{profile}_matching.parquet"
            entry = {**where, "epoch": "final", "profile": profile, "evaluation": "matching", "path": details}
            files["details"].append(entry)
            if method == "absent":
                contracts.write_not_run(path, "the weights cannot be had & <b>that is it</b>")
                contracts.write_not_run(details, "the weights cannot be had & <b>that is it</b>")
                continue
            features = pd.DataFrame(random.normal(size=(24, 5)), columns=contracts.feature_names("a", 5))
            about = {
                "level": "treatment",
                "steps": [{"step": "tvn", "rows": 24, "facts": {"kept": 5}}],
                "encoder": {"recipe": method, "channels": ["DNA"], "trained_on": []},
            }
            contracts.write_table(pd.concat([treatments(), features], axis=1), path, "profiles", about)
            right = np.arange(24) < round(24 * accuracy[method])
            pairs = treatments().assign(
                part="pair", metric="nsc", treatment=treatments()["Metadata_Compound"], correct=right
            )
            pairs["unit"] = pairs["treatment"]
            truth = treatments()["Metadata_MoA"]
            confusion = pd.DataFrame(
                {"part": "confusion", "metric": "nsc", "truth": truth, "predicted": truth[::-1].to_numpy()}
            )
            confusion = confusion.groupby(["part", "metric", "truth", "predicted"], as_index=False).size()
            curve = pd.DataFrame(
                {"part": "curve", "compound": HOSTILE, "dose": np.arange(8.0), "well": "A01", "control": ""}
            )
            curve["distance"] = curve["dose"] * 2
            table = pd.concat([pairs, confusion.rename(columns={"size": "count"}), curve])
            contracts.write_table(
                table, details, "details", {"reasons": ["3 treatments without a partner"], "keys": {"permutations": 100}}
            )
            facts = {"unit": "compound", "units": 24, "chance": 0.25, "validity": "valid"}
            scores.append(score(method, profile, "matching", "nsc", accuracy[method], **facts))
            null = {"control": "null", "n": 20, "chance": 0.25, "ci_low": 0.125, "ci_high": 0.375}
            scores.append(score(method, profile, "matching", "nsc", 0.26, **null))
            scores.append(score(method, profile, "matching", "nsc", 0.1, control="shuffled"))
            scores.append(score(method, profile, "matching", "nsc", accuracy[method] / 2, epoch="1"))
            scores.append(score(method, profile, "matching", "nsc", accuracy[method] / 1.5, epoch="2"))
        training = folder / method / "training.csv"
        curve = pd.DataFrame([[e, 1 / e, 0.1, 100, 0.1, 10] for e in (1, 2, 3)], columns=list(contracts.TRAINING_COLUMNS))
        contracts.write_csv(curve, training)
        files["training"].append({**where, "path": str(training)})
    contracts.write_scores(pd.DataFrame(scores, columns=list(contracts.SCORE_COLUMNS)), folder / "scores.csv")
    spent = pd.DataFrame([dict.fromkeys(costs.COLUMNS, "")] * 2)
    spent = spent.assign(rule=["embed", "samples"], method=["learned", ""], seconds=[12.5, 3.0], max_rss_mb=[800.0, np.nan])
    contracts.write_csv(spent, folder / "costs.csv")
    for plate in ("p0", "p1"):
        write_plate(folder, plate, files, random)
    config = {
        "name": "trial",
        "datasets": {"made": {"use": "made", "keys": {}}},
        "methods": {method: {"use": method, "keys": {}} for method in METHODS},
        "profiles": {"raw": [{"step": "aggregate", "keys": {"by": "treatment"}}], "whitened": [{"step": "tvn", "keys": {}}]},
        "evaluations": {"matching": {"use": "matching", "keys": {}}},
    }
    study = {"dataset": "made", "samples": "cells", "methods": list(METHODS), "profiles": ["raw", "whitened"]}
    about = {
        "channels": ["DNA", "Actin"],
        "pixel_size_um": 0.5,
        "citation": "nobody 2020",
        "licence": "CC0",
        "simulated": True,
    }
    paths = {name: str(folder / f"{name}.csv") for name in ("scores", "answers", "costs")}
    return {
        "name": "trial",
        "config": config,
        "studies": {"first": {**study, "evaluations": ["matching"], "seeds": [0]}},
        "datasets": {"made": {"about": about, "plates": ["p0", "p1"]}},
        "epochs": dict.fromkeys(METHODS, 3),
        "skipped": [{"study": "first", "method": "slow", "reason": "takes a week"}],
        "not_applicable": [{"study": "first", "profile": "raw", "evaluation": "wells", "reason": "reads wells"}],
        "engine": "native",
        "files": {**paths, **files},
    }


def write_plate(folder, plate: str, files: dict, random) -> None:
    where = {"dataset": "made", "plate": plate}
    place = {"Metadata_Plate": plate, "Metadata_Well": ["A01", "A02"], "Metadata_Site": "1"}
    fields = pd.DataFrame({**place, "Problem": ["", f"a02.tif {HOSTILE}: truncated"]})
    contracts.write_table(fields, folder / f"{plate}_fields.parquet", "fields")
    files["fields"].append({**where, "path": str(folder / f"{plate}_fields.parquet")})
    quality = fields.assign(Count_Nuclei=3)
    contracts.write_table(quality, folder / f"{plate}_quality.parquet", "field_quality", {"engine": "native"})
    compared = pd.DataFrame({"Compared": ["illumination", "nuclei", "nuclei"], "Difference": [2e-6, np.nan, np.nan]})
    compared = compared.assign(Native=[np.nan, 40, 50], CellProfiler=[np.nan, 41, 50], Equal=[None, False, True])
    compared = compared.assign(F1=[np.nan, 0.9876, 1.0], Near=[np.nan, 1.0, 1.0])
    contracts.write_table(compared, folder / f"{plate}_engines.parquet", "details", {"engine": "CellProfiler 4.2.8"})
    files["engines"].append({**where, "path": str(folder / f"{plate}_engines.parquet")})
    files["quality"].append({**where, "path": str(folder / f"{plate}_quality.parquet")})
    function = 1 + np.add.outer(np.linspace(0, 0.5, 60), np.linspace(0, 0.5, 80)).astype(np.float32)
    about = json.dumps({"channels": ["DNA", "Actin"]})
    np.savez(folder / f"{plate}.npz", Actin=function, DNA=function, about=about)
    files["illumination"].append({**where, "path": str(folder / f"{plate}.npz")})
    samples = pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Well": "A01",
            "Metadata_Site": "1",
            "Metadata_Compound": [*["vehicle"] * 4, *[HOSTILE] * 4],
            "Metadata_Control": [*["negative"] * 4, *[""] * 4],
            "Sample": [f"{plate}/A01/1/{i}" for i in range(8)],
            "Field": 0,
            "Top": 0,
            "Left": 0,
            "Height": 32,
            "Width": 32,
        }
    )
    stem = folder / f"{plate}_samples"
    pixels = random.integers(0, 4096, size=(8, 2, 32, 32)).astype(np.uint16)
    np.save(stem.with_suffix(".npy"), pixels)
    contracts.write_table(samples, stem.with_suffix(".parquet"), "samples")
    facts = {"channels": ["DNA", "Actin"], "dtype": "uint16", "intensity_max": 4095, "shape": [2, 32, 32], "count": 8}
    facts |= {
        "mean": pixels.mean((0, 2, 3)).tolist(),
        "std": pixels.std((0, 2, 3)).tolist(),
        "illumination": None,
        "of": None,
    }
    stem.with_suffix(".json").write_text(json.dumps(facts))
    files["samples"].append({**where, "samples": "cells", "path": str(stem.with_suffix(".parquet"))})


def right_at(epoch: int, items: int = 24) -> np.ndarray:
    """Which of 24 treatments are matched rightly at an epoch of the made-up run: 12, 14, 20, 20, 18 and 16 of them."""
    shares = {1: 12, 2: 14, 3: 20, 4: 20, 5: 18, 6: 16}
    return np.random.default_rng(epoch).permutation(items) < shares[epoch]


def make_run_with_epochs(folder) -> dict:
    """Write scores and details of a run whose epochs 1 to 5 of 6 were saved.

    24 treatments are two doses of twelve compounds; for `nscb` the last four have no partner. ``learned`` is trained with
    two seeds, the second one step behind the first; ``other`` was made elsewhere; ``noise`` is a control; ``held`` is scored
    with compounds held out.
    """
    names = [f"compound {number // 2} at {number % 2}" for number in range(24)]
    scores, details = [], []
    for method, seed, epoch in [
        *(("learned", seed, epoch) for seed in (0, 1) for epoch in (1, 2, 3, 4, 5, "final")),
        *((method, 0, "final") for method in ("other", "noise", "held")),
    ]:
        number = 6 if epoch == "final" else epoch
        right = right_at(max(1, number - seed))
        settings = "held_out=Metadata_Compound" if method == "held" else ""
        leak = {"learned": "compound", "other": "unknown"}.get(method, "none")
        parts = []
        for metric, count in (("nsc", 24), ("nscb", 20)):
            value = right[:count].mean()
            row = {"seed": seed, "epoch": epoch, "leak": leak, "settings": settings, "n": count}
            scores.append(score(method, "whitened", "matching", metric, value, **row))
            pairs = {"part": "pair", "metric": metric, "treatment": names[:count], "correct": right[:count].astype(float)}
            compounds = [name.split(" at ")[0] for name in names[:count]]
            parts.append(pd.DataFrame(pairs).assign(compound=compounds, settings=settings, subset=""))
        path = folder / f"{method}_{seed}_{epoch}.parquet"
        contracts.write_table(pd.concat(parts), path, "details")
        where = {"dataset": "made", "samples": "cells", "method": method, "seed": seed, "epoch": str(epoch)}
        details.append({**where, "profile": "whitened", "evaluation": "matching", "path": str(path)})
    contracts.write_scores(pd.DataFrame(scores, columns=list(contracts.SCORE_COLUMNS)), folder / "scores.csv")
    methods = ["learned", "other", "noise", "held"]
    study = {"dataset": "made", "samples": "cells", "methods": methods, "profiles": ["whitened"], "seeds": [0, 1]}
    return {
        "name": "trial",
        "config": {"methods": {method: {"use": method, "keys": {}} for method in methods}},
        "studies": {"first": {**study, "evaluations": ["matching"], "saved_epochs": {"mean": [2, 4]}}},
        "datasets": {},
        "epochs": {"learned": 6},
        "skipped": [],
        "not_applicable": [],
        "engine": "native",
        "files": {"scores": str(folder / "scores.csv"), "answers": str(folder / "answers.csv"), "details": details},
    }
