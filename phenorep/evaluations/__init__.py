"""From profiles or embeddings to scores: each evaluation is a file of this folder.

An evaluation declares its ``TASK`` in a biologist's words ("Which representation should I use to ...?"), what it ``NEEDS``,
the columns it ``REQUIRES``, the ``LEVEL`` of the profiles it reads, and for each of its ``METRICS`` range, direction and
reference, and its independent ``UNIT``, which intervals resample. An evaluation that compares with negative controls needs
the ``chain``, to make profiles anew that have not seen them (`phenorep.cross_fitting`). One may declare that it can evaluate
each row in features of its own (``ALTERNATIVES = True``, see `phenorep.alternatives`) or learn from another sample set
(``TRAIN = True``, the key ``train``), that it reads labels of single images (``LABELLED``, their column: of embeddings it
gets those rows alone that have one), and along which key of their settings its scores make a curve (``CURVE``). Labels
given by eye reach only an evaluation that declares this or whose settings name their column (`labelling.reads_labels`).
``FIGURES`` names the files of ``phenorep/report/`` whose ``draw(name, study, evaluation, plan, verdicts, folder)`` yields
figures of its details: those of another evaluation, or one of its own. It holds a frozen `Config` and ``evaluate(config,
inputs, seed)``, which returns scores and details. Details are one table; its first column, ``part``, says what a row is:

- ``item``: ``item`` (a well, a sample), ``metric``, ``settings`` and ``value``, of which the metric is the mean;
- ``pair``: the same for matched treatments, ``treatment`` and ``correct``; from both, methods are compared item by item;
  Both have the column ``unit`` (the independent unit of the item) and may have ``weight``, of the item in the mean;
- ``reference``: ``item`` (a control well) and the metric's ``value`` without it; ``null``: ``value``, ``chance`` of a draw;
- ``confusion``: ``truth``, ``predicted``, ``count``; ``curve``: ``compound``, ``dose``, ``distance``, ``control``;
- ``left_out``, ``reason``: what could not be computed, and the ``reason``.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import alternatives, blas, contracts, plugins, scores
from phenorep.errors import NotRun, UserError
from phenorep.quality import annotations

# What the null of a score that is relative to negative controls says of it.
VALID, NOT_VALID, BELOW, NOT_MEASURED = "valid", "not valid", "below chance", "null not measurable"
VALIDITIES = ("", VALID, NOT_VALID, BELOW, NOT_MEASURED)
SEED = 0  # of bootstrap draws and permutations: the same for all methods, so that they are compared on the same draws


@dataclass(frozen=True)
class Score:
    """One value with its 95 % interval."""

    metric: str
    value: float
    ci_low: float
    ci_high: float
    n: int  # number of items behind the value; of a null: of its draws
    settings: str = ""  # what the value is for, where a metric has several: Metadata_Compound=taxol
    control: str = "none"  # none; shuffled: labels shuffled, mean and range over permutations; null: see `phenorep.nulls`
    unit: str = ""  # what is independent, and what the interval resamples: compound, well, plate, sample
    units: int | None = None  # how many of these
    chance: float = float("nan")  # the value that noise would get, where it is known; NaN elsewhere
    validity: str = ""  # one of `VALIDITIES`; empty where the score is not relative to controls


@dataclass(frozen=True)
class Inputs:
    """What an evaluation reads: only what it ``NEEDS`` is set."""

    profiles: pd.DataFrame | None = None
    embeddings: pd.DataFrame | None = None
    samples: object | None = None  # store.Samples
    encoder: Path | None = None
    channels: tuple[str, ...] | None = None  # of the samples, that take the places of the encoder's; None: the same names
    benchmark: Path | None = None
    compute: dict = field(default_factory=dict)
    alternatives: dict[str, dict] = field(default_factory=dict)  # see `phenorep.alternatives`; empty: the same for all rows
    chain: object | None = None  # cross_fitting.Chain: the embeddings and the steps that made the profiles of them
    train: "Inputs | None" = None  # the same of another sample set, which is learnt from; None: the rows themselves
    subset: tuple[str, str] | None = None  # column and value of the rows to evaluate; tables hold these alone already

    def rows(self, table: pd.DataFrame) -> np.ndarray:
        """Row numbers of a table that belong to the subset."""
        if self.subset is None:
            return np.arange(len(table))
        return np.flatnonzero((table[self.subset[0]].astype(str) == self.subset[1]).to_numpy(dtype=bool))


@blas.single_thread()
def make(
    evaluation: dict,
    inputs: dict,
    encoder: str | None,
    row: dict,
    compute: dict,
    scores_out: str,
    details_out: str,
    channels: list[str] | None = None,
    steps: list | None = None,
) -> None:
    """Evaluate, once or once per subset, and write tidy scores and their details.

    Parameters
    ----------
    evaluation
        ``{"use": file, "keys": {...}, "by": column or None}``.
    inputs
        Paths by what the evaluation needs: ``profiles``, ``embeddings``, ``benchmark``; for samples ``tables`` and
        ``statistics``, one per plate; ``annotations`` of the samples, where there are any. The same with ``train_`` before
        their names are of another sample set, from which the evaluation learns.
    encoder
        The encoder's file.
    row
        The score's wildcards: dataset, samples, method, seed, epoch, profile, evaluation.
    compute
        The configuration's block: which device.
    channels
        The samples' channels that take the places of the encoder's, in its order; None: the same names.
    steps
        That make the profiles of the embeddings, for an evaluation that needs the ``chain``.

    Raises
    ------
    NotRun
        If an input is a "not run" record, lacks a column that the evaluation requires, or no score can be computed.
    UserError
        If the subset's column is missing or holds several values in one row.
    """
    use = evaluation["use"]
    module = plugins.load("evaluations", use)
    config = plugins.configure(module.Config, evaluation.get("keys") or {}, f"evaluations: {use}")
    whole, table, about = _open(module, inputs, encoder, compute, steps)
    whole = replace(whole, channels=tuple(channels) if channels else None)
    lacking = [name for name in module.REQUIRES if name not in table]
    if lacking:
        raise NotRun(f"{use} needs the column(s) {', '.join(lacking)}, which the dataset does not have.")
    found, details = [], []
    for part in _subsets(whole, table, evaluation.get("by"), use):
        subset = "=".join(part.subset) if part.subset else ""
        try:
            part_scores, part_details = module.evaluate(config, part, SEED)
        except NotRun as reason:
            part_scores, part_details = [], reasons([str(reason)])
        except UserError as error:
            if not subset:
                raise UserError(f"{inputs.get(module.NEEDS[0]) or encoder}: {use}: {error}") from error
            # What one subset lacks, others may have.
            part_scores, part_details = [], reasons([f"{subset}: {error}"])
        evaluated = table.iloc[part.rows(table)]
        leak = _leak(about, evaluated, row["dataset"], getattr(config, "target", None), "chain" in module.NEEDS)
        found += [vars(score) | {"subset": subset, "leak": leak} for score in part_scores]
        details.append(part_details.assign(subset=subset))
    details = pd.concat(details, ignore_index=True)
    stated = [] if "reason" not in details else details.loc[details["part"] == "reason", "reason"].tolist()
    if not found:
        raise NotRun(f"{use}: {' '.join(dict.fromkeys(stated)) or 'nothing to evaluate.'}")
    _write(found, row | {"evaluation": row.get("evaluation", use)}, scores.trained_on_text(about), scores_out)
    settings = {"evaluation": use, "keys": vars(config), "metrics": module.METRICS, "reasons": stated}
    settings |= contracts.scores_check(scores_out)
    contracts.write_table(details, details_out, "details", json.loads(json.dumps(settings)))


def reasons(texts: list[str]) -> pd.DataFrame:
    """Details rows that say what could not be computed and why."""
    return pd.DataFrame({"part": ["reason"] * len(texts), "reason": pd.Series(texts, dtype=str)})


def shuffled(metric: str, values: list[float], n: int, settings: str = "") -> list[Score]:
    """The control's score: mean and 2.5th to 97.5th percentile of a metric over label permutations; none if undefined."""
    values = np.array([value for value in values if np.isfinite(value)])
    if not values.size:
        return []
    low, high = np.quantile(values, (0.025, 0.975))
    return [Score(metric, float(values.mean()), float(low), float(high), n, settings, "shuffled")]


def plain(table: pd.DataFrame, column: str) -> np.ndarray:
    """A metadata column as (N,) text; missing values are empty.

    Raises
    ------
    UserError
        If rows hold several values.
    """
    values = table[column]
    if len(values) and isinstance(values.iloc[0], list | np.ndarray):
        raise UserError(
            f"{column} has several values in one row after aggregation, where one is needed. Give it one value per "
            f"treatment or well in the dataset's table, or change the profile's 'aggregate: by'."
        )
    return values.astype(str).where(values.notna(), "").to_numpy(dtype=object)


def distances(values: np.ndarray, negative: np.ndarray, plates: np.ndarray) -> np.ndarray:
    """Euclidean distance of each row to the centroid of its plate's negative controls, (N,).

    Parameters
    ----------
    values
        (N, F).
    negative
        (N,) bool; a negative control is compared to the centroid of its plate's others; at least two on each plate.
    plates
        (N,) names.
    """
    found = np.empty(len(values))
    for plate in set(plates):
        rows = plates == plate
        controls = values[rows & negative]
        total, n = controls.sum(axis=0), len(controls)
        own = negative[rows][:, None]
        centres = (total - np.where(own, values[rows], 0.0)) / (n - own)
        found[rows] = np.linalg.norm(values[rows] - centres, axis=1)
    return found


def _open(module, inputs: dict, encoder: str | None, compute: dict, steps: list | None) -> tuple[Inputs, pd.DataFrame, dict]:
    """Open all inputs; also the table whose rows are evaluated and the facts about the encoder."""
    opened, about = {"compute": compute}, {}
    for kind in ("profiles", "embeddings"):
        if kind in module.NEEDS:
            opened[kind] = _table(inputs, kind, getattr(module, "LABELLED", None))
            about = about or contracts.about(inputs.get(kind))
            opened["alternatives"] = about.get("alternatives") or {}
    if "chain" in module.NEEDS:
        from phenorep.cross_fitting import Chain

        opened["chain"] = Chain.read(inputs.get("embeddings"), steps or [])
    if "benchmark" in module.NEEDS:
        opened["benchmark"] = Path(inputs.get("benchmark"))
    if "encoder" in module.NEEDS:
        from phenorep import encoders

        opened["encoder"] = Path(encoder)
        about = about or {"encoder": encoders.stated(encoder)}
    if "samples" in module.NEEDS:
        opened["samples"] = _samples(inputs)
    if inputs.get("train_tables") or inputs.get("train_embeddings"):
        learnt = (
            {"embeddings": _table(inputs, "train_embeddings", getattr(module, "LABELLED", None))}
            if "embeddings" in module.NEEDS
            else {}
        )
        learnt |= {"samples": _samples(inputs, "train_")} if "samples" in module.NEEDS else {}
        opened["train"] = Inputs(**learnt)
    tables = [opened[kind] for kind in ("profiles", "embeddings") if kind in opened]
    tables += [opened["samples"].table] if "samples" in opened else []
    return Inputs(**opened), tables[0] if tables else pd.DataFrame(), about


def _table(inputs: dict, name: str, label: str | None) -> pd.DataFrame:
    """Profiles or embeddings; these with the labels of the annotations, and only rows with a value of `label`, if given."""
    path, given = inputs.get(name), inputs.get("train_annotations" if name.startswith("train_") else "annotations")
    kind = name.removeprefix("train_")
    if (reason := contracts.not_run(path)) is not None:
        raise NotRun(reason)
    columns = contracts.columns_of(path)
    if label is None or not (given or label in columns):
        table = contracts.read_table(path, kind)
        return annotations.join(table, given) if given and "Sample" in table else table
    # Of millions of embeddings some hundred may have a label.
    known = contracts.read_table(path, kind, [column for column in columns if column in (label, "Sample")])
    known = annotations.join(known, given) if given else known
    rows = np.flatnonzero(known[label].notna() & (known[label] != ""))
    table = contracts.read_rows(path, kind, rows)
    return annotations.join(table, given) if given and len(table) else table


def _samples(inputs: dict, start: str = ""):
    from phenorep.store import Samples

    # An evaluation reads some samples of millions: what it reads is checked, and nothing else.
    samples = Samples.open(*(list(inputs.get(f"{start}{kind}")) for kind in ("tables", "statistics")), verify=True)
    if given := inputs.get(f"{start}annotations"):
        samples.table = annotations.join(samples.table, given)
    return samples


def _leak(about: dict, table: pd.DataFrame, dataset: str, target: str | None, with_controls: bool) -> str:
    """What of the evaluated rows the labels showed, of each row those that its own features were trained on."""
    own = about.get("alternatives") or {}
    if not own:
        return scores.leak(scores.trained_on(about), table, dataset, target, with_controls)
    owner = alternatives.owners(own, table)
    sources = [scores.trained_on(about["encoder"]["members"][member]) for member in own]
    return scores.most(scores.leak(s, table[owner == number], dataset, target) for number, s in enumerate(sources))


def _subsets(whole: Inputs, table: pd.DataFrame, by: str | None, use: str) -> list[Inputs]:
    if not by:
        return [whole]
    if by not in table:
        known = ", ".join(name for name in table.columns if name.startswith(("Metadata_", "Label_", "Split_")))
        raise UserError(f"evaluations: {use}: by: the table has no column '{by}'. {plugins.suggest(by, known.split(', '))}")
    parts = []
    for value in sorted(set(plain(table, by))):
        part = Inputs(**(vars(whole) | {"subset": (by, value)}))
        tables = {k: getattr(whole, k) for k in ("profiles", "embeddings") if getattr(whole, k) is not None}
        chosen = {k: t.iloc[part.rows(t)].reset_index(drop=True) for k, t in tables.items()}
        parts.append(Inputs(**(vars(part) | chosen)))
    return parts


def _write(found: list[dict], row: dict, trained_on: str, path: str | Path) -> None:
    table = pd.DataFrame(found).assign(trained_on=trained_on, **{key: str(value) for key, value in row.items()})
    contracts.write_scores(table[list(contracts.SCORE_COLUMNS)], path)
