"""Does the effect grow with the dose?

For each compound, Spearman's rank correlation of a well's dose with its distance to the centroid of its plate's
negative-control wells, over doses above 0, positive controls included. The dose is `Metadata_Dose` (a rank) where the
compound has one, else `Metadata_Concentration`.

[0] Spearman 1904, The proof and measurement of association between two things
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phenorep import rank_correlation
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, Score, distances, plain, reasons, shuffled
from phenorep.rows import features
from phenorep.treatments import negatives

TASK = "follow a compound's effect along its dose"
NEEDS = ("profiles",)
REQUIRES = ("Metadata_Plate", "Metadata_Well", "Metadata_Control", "Metadata_Compound")
LEVEL = "well"
UNIT = "well"
METRICS = {
    "spearman": {
        "range": [-1, 1],
        "better": "higher",
        "reference": "Spearman 1904, The American Journal of Psychology 15:72",
    },
}


@dataclass(frozen=True)
class Config:
    """Which compounds are looked at, and how the chance level is found."""

    min_doses: int = 3  # a compound with fewer has no curve
    permutations: int = 100  # of doses among a compound's wells, for the shuffled control

    def __post_init__(self):
        if self.min_doses < 2:
            raise ValueError(f"min_doses must be 2 or more, not {self.min_doses}")
        if self.permutations < 1:
            raise ValueError(f"permutations must be 1 or more, not {self.permutations}")


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Correlate distance with dose.

    Returns
    -------
    scores
        ``spearman`` of each compound (``settings`` names it) with an interval over wells; also with doses shuffled.
    details
        Parts ``curve`` (each well's dose and distance), ``left_out`` and ``reason``.

    Raises
    ------
    NotRun
        If there is neither dose nor concentration, or no compound has doses enough.
    UserError
        If no well is a negative control.
    """
    table = inputs.profiles.sort_values(["Metadata_Plate", "Metadata_Well"], kind="stable", ignore_index=True)
    curves, stated = _curves(table)
    negative = curves["control"] == "negative"
    scores, parts = [], [curves[negative].assign(part="curve", metric="spearman", settings="")]
    for compound, curve in curves[~negative].groupby("compound", sort=True):
        settings = f"Metadata_Compound={compound}"
        dose, distance = curve["dose"].to_numpy(), curve["distance"].to_numpy()
        doses = len(set(dose))
        if doses < config.min_doses or len(set(distance)) < 2:
            reason = (
                f"{doses} doses above 0, {config.min_doses} are needed"
                if doses < config.min_doses
                else "all distances are equal"
            )
            parts.append(
                pd.DataFrame({"part": ["left_out"], "settings": [settings], "item": [compound], "reason": [reason]})
            )
            continue
        value = float(rank_correlation.spearman(dose, distance))
        low, high = rank_correlation.spearman_interval(dose, distance)
        scores.append(Score("spearman", value, low, high, len(dose), settings, unit=UNIT, units=len(dose)))
        drawn = np.random.default_rng(seed).permuted(np.tile(dose, (config.permutations, 1)), axis=1)
        draws = rank_correlation.spearman(drawn, np.broadcast_to(distance, drawn.shape))
        scores += shuffled("spearman", draws, len(dose), settings)
        parts.append(curve.assign(part="curve", metric="spearman", settings=settings))
    if not scores:
        raise NotRun(f"no compound has {config.min_doses} doses above 0. {' '.join(stated)}".strip())
    details = pd.concat([*parts, reasons(stated)], ignore_index=True)
    return scores, details[["part", *(column for column in details if column != "part")]]


def _curves(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Dose and distance of each negative-control well and of each other well with a dose above 0."""
    negative = negatives(table, ", or leave this evaluation out of the study")
    dose = _doses(table)
    plates = plain(table, "Metadata_Plate")
    usable = [plate for plate in sorted(set(plates)) if negative[plates == plate].sum() >= 2]
    stated = [f"plate {p} is left out: fewer than 2 negative-control wells." for p in sorted(set(plates) - set(usable))]
    rows = np.isin(plates.astype(str), usable)
    distance = np.full(len(table), np.nan)
    if usable:
        distance[rows] = distances(features(table[rows]), negative[rows], plates[rows])
    compound = plain(table, "Metadata_Compound")
    # Negative controls stay in the details, as the reference that the doses are seen against.
    rows &= negative | ((dose > 0) & (compound != ""))
    wells = pd.Series(plates) + "/" + pd.Series(plain(table, "Metadata_Well"))
    curves = pd.DataFrame(
        {
            "item": wells,
            "compound": compound,
            "dose": dose,
            "distance": distance,
            "control": plain(table, "Metadata_Control"),
        }
    )
    return curves[rows].reset_index(drop=True), stated


def _doses(table: pd.DataFrame) -> np.ndarray:
    known = [name for name in ("Metadata_Dose", "Metadata_Concentration") if name in table]
    if not known:
        raise NotRun(
            "dose_response needs the column Metadata_Dose or Metadata_Concentration, which the dataset does not have."
        )
    for name in known:
        plain(table, name)  # several doses in one well are refused
    columns = [pd.to_numeric(table[name], errors="coerce") for name in known]
    # Ranks and micromolar do not mix within a compound: it has one or the other.
    ranked = columns[0].notna().groupby(pd.Series(plain(table, "Metadata_Compound"))).transform("any")
    return columns[0].where(ranked, columns[-1]).to_numpy(dtype=np.float64)
