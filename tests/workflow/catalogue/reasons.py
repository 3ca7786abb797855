"""What cannot be done with some data and is no mistake: it is "not run", with the reason, and the rest goes on."""

import numpy as np

from phenorep import contracts

from .learning import evaluated, profiled

FEW = {"labels": [4], "draws": 1, "permutations": 1}
CONSTANT = {name: np.zeros(8) for name in contracts.feature_names("x", 3)}

CASES = [
    evaluated("mechanisms that are not known", "moa_matching", {}, "moa_matching", "does not have", "Metadata_MoA"),
    evaluated("doses that are not known", "dose_response", {}, "dose_response", "does not have", "Metadata_Control"),
    evaluated(
        "cells of one mechanism",
        "linear_probe",
        {"target": "Metadata_MoA"},
        "linear_probe",
        "Metadata_MoA",
        "at least",
        Metadata_MoA="actin",
    ),
    evaluated("no label of quality", "quality_classification", FEW, "quality_classification", "Label_Quality", "label"),
    evaluated(
        "one kind of quality",
        "quality_classification",
        FEW,
        "quality_classification",
        "all 8 labelled samples are normal",
        "both",
        Label_Quality="normal",
    ),
    profiled(
        "features that never vary", [{"tvn": {"fit": "all"}}], "step 1, tvn", "same in all 8 rows", "whiten", **CONSTANT
    ),
    profiled(
        "wells that are all controls",
        ["aggregate"],
        "step 1, aggregate",
        "negative control",
        "treatment",
        Metadata_Control="negative",
    ),
]
