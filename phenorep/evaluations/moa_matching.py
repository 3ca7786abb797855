"""Does the nearest treatment of another compound work by the same mechanism?

Each treatment is matched to its nearest neighbour by cosine similarity among treatments of other compounds (metric
``nsc``), and of other batches too (``nscb``): a neighbour that shares a batch with the treatment is not looked at, also
where a compound stands in several batches. The score is the share of treatments whose neighbour has the same mechanism.

BBBC021 has taxol at 0.3 uM in all ten batches. By what was said it shares one with every other treatment, no partner is left
for it, and ``nscb`` is of 91 treatments. [2] takes the median of the batches' numbers over plates, so that taxol is in the
fifth alone, and publishes 92: that is ``several_batches: median`` (of its batches; of its plates it is the same one).

Where features are those of encoders that were trained without some of the compounds (method `held_out`), each treatment is
compared to all others in the features of the encoder that held out its compound, and ``settings`` say so.

A treatment that has no eligible partner of its own mechanism cannot be matched rightly: which ones these are is derived from
the data, they are left out of that metric (as queries, not as neighbours), listed in the details, and not counted in n.
Treatments without a mechanism are left out altogether. Of equally similar neighbours (to 12 decimals) the first by name of
treatment counts; a profile of all zeros is similar to none (0).

[0] Ljosa et al. 2013, doi:10.1177/1087057113503553 (not-same-compound)
[1] Ando, McLean, Berndl 2017, doi:10.1101/161422 (not-same-compound-or-batch)
[2] crosszamirski/WS-DINO (the code of Cross-Zamirski et al. 2022, arXiv:2209.07819)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from phenorep import alternatives, contracts, statistics
from phenorep.errors import NotRun
from phenorep.evaluations import Inputs, Score, plain, reasons, shuffled
from phenorep.order import natural
from phenorep.rows import features

TASK = "match compounds by mechanism of action"
NEEDS = ("profiles",)
REQUIRES = ("Metadata_Compound", "Metadata_MoA")
LEVEL = "treatment"
UNIT = "compound"
ALTERNATIVES = True
METRICS = {
    "nsc": {"range": [0, 1], "better": "higher", "reference": "Ljosa et al. 2013, doi:10.1177/1087057113503553"},
    "nscb": {"range": [0, 1], "better": "higher", "reference": "Ando et al. 2017, doi:10.1101/161422"},
}


@dataclass(frozen=True)
class Config:
    """What counts as the same batch, and how the chance level is found."""

    permutations: int = 100  # of mechanisms among compounds, for the shuffled control
    several_batches: Literal["all", "median"] = "all"  # a treatment of several is in all, or in their median, as in [2]
    metrics: tuple[Literal["nsc", "nscb"], ...] = (
        "nsc",
        "nscb",
    )  # one where a second block of a study has the other already

    def __post_init__(self):
        if not self.metrics:
            raise ValueError("metrics must name nsc, nscb or both")
        if self.permutations < 1:
            raise ValueError(f"permutations must be 1 or more, not {self.permutations}")


def evaluate(config: Config, inputs: Inputs, seed: int) -> tuple[list[Score], pd.DataFrame]:
    """Match treatments to mechanisms.

    Returns
    -------
    scores
        ``nsc`` and ``nscb`` with intervals over compounds, whose treatments are matched rightly or wrongly together; each
        also with mechanisms shuffled among compounds.
    details
        Parts ``pair`` (each treatment with its neighbour), ``confusion`` (counts of mechanism and predicted mechanism),
        ``left_out`` and ``reason``.

    Raises
    ------
    NotRun
        If there are fewer than two compounds with a mechanism.
    """
    table, stated = _annotated(inputs.profiles)
    compounds, mechanisms = plain(table, "Metadata_Compound"), plain(table, "Metadata_MoA")
    if len(set(compounds)) < 2:
        raise NotRun(
            f"matching needs treatments of at least two compounds with a mechanism (Metadata_MoA); there are {len(table)} "
            f"such treatments, of {len(set(compounds))} compound(s). {' '.join(stated)}".strip()
        )
    similarity, matched = _similarity(table, inputs.alternatives)
    if len(left := sorted(table["Metadata_Treatment"][~matched])):
        stated.append(
            f"{len(left)} treatments are not matched: no encoder was trained without all of their values of "
            f"{alternatives.column(inputs.alternatives)}: {', '.join(left)}."
        )
    allowed = {"nsc": matched[:, None] & (compounds[:, None] != compounds[None, :])}
    batches = _batches(table, config.several_batches)
    settings = f"held_out={alternatives.column(inputs.alternatives)}" if inputs.alternatives else ""
    if "nscb" in config.metrics and len(set().union(*batches)) >= 2:
        allowed["nscb"] = allowed["nsc"] & ~shared(batches)
    elif "nscb" in config.metrics:
        stated.append("nscb needs at least two batches (Metadata_Batch); all treatments are of one.")
    scores, parts = [], []
    for metric, pairs in ((metric, allowed[metric]) for metric in config.metrics if metric in allowed):
        eligible, neighbours = match(similarity, pairs, mechanisms)
        found = _details(metric, table, batches, similarity, pairs, matched, eligible, neighbours)
        parts += [part.assign(settings=settings) for part in found]
        if not eligible.any():
            stated.append(f"{metric}: no treatment has a partner of the same mechanism that may be matched.")
            continue
        right = mechanisms[neighbours[eligible]] == mechanisms[eligible]
        units = compounds[eligible]
        low, high = statistics.share_interval(right, units)
        scores.append(Score(metric, float(right.mean()), low, high, len(right), settings, unit=UNIT, units=len(set(units))))
        draws = _shuffled(compounds, mechanisms, pairs, neighbours, config.permutations, seed)
        scores += shuffled(metric, draws, len(right), settings)
    return scores, pd.concat([*parts, reasons(stated)], ignore_index=True)


def _similarity(table: pd.DataFrame, own: dict[str, dict]) -> tuple[np.ndarray, np.ndarray]:
    """Similarity of each row to all others, (N, N), in the row's own features; which rows have such, (N,) bool."""
    if not own:
        return cosine(features(table)), np.ones(len(table), dtype=bool)
    owner, blocks = alternatives.owners(own, table), contracts.feature_blocks(table.columns)
    similarity = np.zeros((len(table), len(table)))
    for number, facts in enumerate(own.values()):
        columns = [name for block in facts["blocks"] for name in blocks[block]]
        similarity[owner == number] = cosine(features(table, columns))[owner == number]
    return similarity, owner >= 0


def cosine(values: np.ndarray) -> np.ndarray:
    """Cosine similarity of all pairs of rows, (N, F) to (N, N), to 12 decimals: ties are ties; 0 for rows of zeros."""
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    unit = np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)
    return np.round(unit @ unit.T, 12)


def shared(batches: list[set[str]]) -> np.ndarray:
    """Which pairs of rows have a batch in common, (N, N) bool."""
    names = {name: number for number, name in enumerate(sorted(set().union(*batches)))}
    member = np.zeros((len(batches), len(names)))
    for row, found in enumerate(batches):
        member[row, [names[name] for name in found]] = 1
    return member @ member.T > 0


def match(similarity: np.ndarray, pairs: np.ndarray, mechanisms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest allowed neighbour of each row.

    Parameters
    ----------
    similarity
        (N, N); of equal ones the first column counts.
    pairs
        (N, N) bool: whether the column may be matched to the row.
    mechanisms
        (N,) text.

    Returns
    -------
    eligible
        (N,) bool: the row has an allowed partner of its own mechanism.
    neighbours
        (N,) row numbers; -1 where no neighbour is allowed.
    """
    eligible = (pairs & (mechanisms[:, None] == mechanisms[None, :])).any(axis=1)
    neighbours = np.where(pairs, similarity, -np.inf).argmax(axis=1)
    return eligible, np.where(pairs.any(axis=1), neighbours, -1)


def _annotated(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    known = plain(table, "Metadata_MoA") != ""
    stated = [] if known.all() else [f"{(~known).sum()} treatments without a mechanism (Metadata_MoA) are left out."]
    return table[known].sort_values("Metadata_Treatment", kind="stable", ignore_index=True), stated


def _batches(table: pd.DataFrame, several: str) -> list[set[str]]:
    if "Metadata_Batch" not in table:
        return [{""}] * len(table)
    lists = (value if isinstance(value, list | np.ndarray) else [value] for value in table["Metadata_Batch"])
    found = [sorted(map(str, value), key=natural) for value in lists]
    # Of an even number of batches there are two in the middle: the lower one, as torch.median gives.
    return [set(names) if several == "all" or len(names) < 2 else {names[(len(names) - 1) // 2]} for names in found]


def _shuffled(compounds, mechanisms, pairs, neighbours, permutations: int, seed: int) -> list[float]:
    # All treatments of a compound keep one mechanism: what is shuffled is what could have been otherwise.
    names, first, compound = np.unique(compounds.astype(str), return_index=True, return_inverse=True)
    _, own = np.unique(mechanisms[first].astype(str), return_inverse=True)  # numbers are compared faster than names
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(permutations):
        drawn = own[generator.permutation(len(names))][compound]
        eligible = (pairs & (drawn[:, None] == drawn[None, :])).any(axis=1)
        if eligible.any():
            found.append(float((drawn[neighbours[eligible]] == drawn[eligible]).mean()))
    return found


def _details(
    metric: str, table: pd.DataFrame, batches, similarity, pairs, matched, eligible, neighbours
) -> list[pd.DataFrame]:
    text = pd.DataFrame(
        {
            "treatment": plain(table, "Metadata_Treatment"),
            "compound": plain(table, "Metadata_Compound"),
            "moa": plain(table, "Metadata_MoA"),
            "batch": [", ".join(sorted(found)) for found in batches],
        }
    )
    items, partners = text[eligible], text.iloc[neighbours[eligible]].reset_index(drop=True)
    items = items.reset_index(drop=True).assign(
        neighbour=partners["treatment"],
        neighbour_compound=partners["compound"],
        neighbour_batch=partners["batch"],
        neighbour_moa=partners["moa"],
        similarity=similarity[np.flatnonzero(eligible), neighbours[eligible]],
    )
    items["correct"] = (items["moa"] == items["neighbour_moa"]).astype(float)
    items["unit"] = items["compound"]
    counted = items.rename(columns={"moa": "truth", "neighbour_moa": "predicted"})
    confusion = counted.groupby(["truth", "predicted"], as_index=False).size().rename(columns={"size": "count"})
    left = text[~eligible].assign(
        reason=np.select(
            [~matched[~eligible], pairs[~eligible].any(axis=1)],
            ["no encoder was trained without it", "no treatment that may be matched to it has the same mechanism"],
            "no treatment may be matched to it: all share its compound" + (" or a batch" if metric == "nscb" else ""),
        )
    )
    named = (("pair", items), ("confusion", confusion), ("left_out", left))
    parts = [part.assign(part=name, metric=metric, settings="") for name, part in named if len(part)]
    return [part[["part", "metric", *(c for c in part if c not in ("part", "metric"))]] for part in parts]
