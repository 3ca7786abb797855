"""A report for browsers to open: a small made-up run, a study on real and one on simulated images, names that would harm."""

import json
from pathlib import Path

import pandas as pd
import pytest

from phenorep import contracts, plugins
from phenorep.report import maps
from tests.unit.made_run import HOSTILE, make_page, make_run

IMAGE = '"><img src=x onerror="document.title=\'harmed\'">'
DECLARED = {
    ("methods", "noise"): {"CONTROL": True},
    ("evaluations", "matching"): {
        "TASK": "match compounds by mechanism of action",
        "METRICS": {"nsc": {"range": [0, 1], "better": "higher", "reference": "Ljosa 2013"}},
    },
}
MORE = 12  # further methods of the study on real images, so that its table is long


def written(folder: Path) -> Path:
    """The page, written in `folder`, which holds the run's results as a run leaves them."""
    results = folder / "results"
    results.mkdir()
    plan = make_run(results)
    _add_real(plan, results)
    for entry in plan["files"]["details"]:
        Path(entry["path"]).with_suffix(".csv").write_text("the scores\n")
    encoder = "results/made/encoders/cells/learned/seed0/encoder.safetensors"
    (folder / encoder).parent.mkdir(parents=True)
    (folder / encoder).touch()
    where = {"dataset": "made", "samples": "cells", "method": "learned", "seed": 0}
    plan["files"]["encoders"] = [where | {"path": encoder}]
    output = folder / "reports" / "trial"
    files = [str(output / name) for name in ("index.html", "figures", "config.yaml")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(plugins, "constants", lambda kind, name: DECLARED.get((kind, name), {}))
        patch.setattr(plugins, "config_keys", lambda kind, name: {})
        patch.setattr(maps, "umap", lambda features: features[:, :2])  # compiling the real one takes longer than all else
        make_page(json.loads(json.dumps(plan)), *files, configfiles=[str(folder / "my screen.yaml")])
    return output / "index.html"


def _add_real(plan: dict, results: Path) -> None:
    """A study on real images, planned last, with methods that only have scores."""
    scores = contracts.read_scores(plan["files"]["scores"])
    real = scores[scores["epoch"] == "final"].assign(dataset="taken")
    base = real[(real["method"] == "learned") & (real["profile"] == "raw") & (real["control"] == "none")]
    names = [f"method {number}" for number in range(MORE - 2)] + [HOSTILE, IMAGE]
    more = [base.assign(method=name, value=0.1 + 0.05 * number) for number, name in enumerate(names)]
    no_interval = base.assign(method="bare", value=0.3, ci_low=None, ci_high=None)
    contracts.write_scores(pd.concat([scores, real, *more, no_interval], ignore_index=True), results / "scores.csv")
    methods = [*plan["studies"]["first"]["methods"], *names, "bare"]
    plan["studies"]["taken"] = plan["studies"]["first"] | {"dataset": "taken", "methods": methods}
    plan["datasets"]["taken"] = {"about": {"citation": IMAGE}, "plates": []}
    plan["config"] |= {"methods": {name: {"use": name, "keys": {}} for name in methods}, "studies": plan["studies"]}
