"""What the report reads: scores, the results behind them, and what the configuration says about both."""

import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from phenorep import contracts, plugins, statistics
from phenorep.errors import UserError
from phenorep.evaluations import BELOW, NOT_MEASURED, NOT_VALID, VALID
from phenorep.report import conditions, items

MEASURE = ["evaluation", "metric", "subset", "settings"]
# With more settings than this, a metric is judged by its mean over them: nobody reads thirty verdicts, one per compound.
SETTINGS_SHOWN = 4
# Settings of scores whose encoders were trained without what is scored (`methods.held_out`).
HELD_OUT = "held_out="
# Of several seeds' scores the one that says least for them decides.
_WORST_FIRST = (NOT_VALID, BELOW, NOT_MEASURED, VALID, "")
NULL = ["null", "null_low", "null_high", "null_chance"]


@dataclass(frozen=True)
class Measure:
    """One thing that was measured in one study, for all its representations.

    ``rows`` holds one row per method and profile (columns of `summarise`, and ``variant``: what its encoders were trained
    without, as ``held_out=column``), best first. ``units`` holds the results of single items of a representation, where they
    are known: {(method, profile): ``value, weight, unit`` by item}, see `items`; ``unit`` is what is independent, in the
    plural. ``references`` holds the measure without each control well, where its items are compared with these. ``curve`` is
    the key of the settings along which it is one point of a curve; empty where it is none.
    """

    study: str
    evaluation: str
    metric: str
    subset: str
    settings: str
    higher: bool
    limits: tuple[float | None, float | None]
    rows: pd.DataFrame
    units: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    unit: str = "items"
    reference: str = ""
    curve: str = ""
    references: dict[tuple[str, str], pd.Series] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name on the page."""
        extra = [text for text in (self.subset, self.settings) if text]
        return f"{self.metric} ({', '.join(extra)})" if extra else self.metric

    @property
    def at(self) -> tuple[str, float]:
        """Its curve (the settings but one) and its place on it."""
        return conditions.split(self.settings, self.curve)


class Measures(NamedTuple):
    """What a study measured: what is judged, what stands behind that, and every point of those that are curves."""

    judged: list[Measure]
    behind: list[Measure]
    curves: list[Measure]


def use_of(config: dict, kind: str, name: str) -> str | None:
    """The plug-in behind a name of the configuration; a method taken from elsewhere has that of its source."""
    block = config.get(kind, {}).get(name) or {}
    if block.get("from"):
        source = str(block["from"]).rsplit("/", 1)[-1]
        return use_of(config, kind, source) if source != name else None
    return block.get("use", name)


def constants(config: dict, kind: str, name: str) -> dict:
    """What the plug-in behind a name declares; nothing if there is no such file."""
    use = use_of(config, kind, name)
    try:
        return plugins.constants(kind, use) if use else {}
    except OSError:
        return {}


def is_control(config: dict, method: str) -> bool:
    """Whether a method is there to bound the scores, not to be chosen."""
    named = members(config, method)
    # Controls side by side are a control.
    control = bool(constants(config, "methods", method).get("CONTROL", False))
    return control or (bool(named) and all(is_control(config, name) for name in named))


def members(config: dict, method: str) -> list[str]:
    """Methods whose embeddings a method puts side by side; none for an ordinary one."""
    key = constants(config, "methods", method).get("COMBINES")
    return (config.get("methods", {}).get(method) or {}).get("keys", {}).get(key) or []


def not_run(path: str) -> str | None:
    """Why the step that should have written `path` did not run, or why the file cannot be used; None if it can."""
    if not Path(path).is_file():
        return "the file is missing"
    try:
        if Path(path).suffix == ".npz":
            found = arrays(path)
            return str(found["not_run"]) if "not_run" in found else None
        return contracts.not_run(path) if Path(path).suffix == ".parquet" else None
    except (OSError, ValueError, UserError) as error:  # pyarrow's errors on damaged files are of the first two
        return f"the file cannot be read ({error})"


def arrays(path: str) -> dict[str, np.ndarray]:
    """What an ``.npz`` file holds.

    Raises
    ------
    UserError
        If it is missing or damaged.
    """
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}). Remove it and run again.") from error


def read(path: str, kind: str, columns: list[str] | None = None) -> pd.DataFrame | None:
    """A table, or None where it is missing, damaged or did not run: `not_run` says why."""
    if not_run(path) is not None:
        return None
    try:
        return contracts.read_table(path, kind, columns)
    except UserError:
        return None


def study_rows(scores: pd.DataFrame, study: dict) -> pd.DataFrame:
    """The scores that belong to a study."""
    rows = scores[(scores["dataset"] == study["dataset"]) & (scores["samples"] == study["samples"])]
    rows = rows[rows["method"].isin(study["methods"]) & rows["evaluation"].isin(study["evaluations"])]
    rows = rows[rows["profile"].isin([*study["profiles"], "none"])]
    # Another study may have run the same methods with more seeds; one that no seed changes has its own.
    planned = rows["seed"].isin([str(seed) for seed in study["seeds"]])
    return rows[planned | ~rows["method"].isin(rows.loc[planned, "method"].unique())]


def summarise(rows: pd.DataFrame, controls: Iterable[str]) -> pd.DataFrame:
    """Scores over seeds: one row per measure, method, profile and epoch.

    Returns
    -------
    pandas.DataFrame
        `MEASURE` with ``method, profile, epoch, value`` (mean over seeds), ``low, high`` (mean of the seeds'
        interval limits), ``spread`` (standard deviation over seeds, NaN for one), ``seeds, n, leak, trained_on``, ``unit,
        units`` (what is independent, and how many), ``chance``, ``validity`` (the worst over seeds), ``shuffled,
        shuffled_low, shuffled_high`` (the same, shuffled labels), `NULL` (controls that played treated wells, and their
        chance) and ``control`` (whether the method is one).
    """
    keys = [*MEASURE, "method", "profile", "epoch"]
    summary = {"value": ("value", "mean"), "low": ("ci_low", "mean"), "high": ("ci_high", "mean")}
    first = {name: (name, "first") for name in ("leak", "trained_on", "unit")}
    spread = {"spread": ("value", "std"), "seeds": ("seed", "nunique"), "n": ("n", "min"), "units": ("units", "min")}
    chance = {"chance": ("chance", "mean")}
    rows = rows.assign(validity=rows["validity"].map(_WORST_FIRST.index))
    scored = rows[rows["control"] == "none"].groupby(keys, sort=False)
    found = scored.agg(**summary, **spread, **first, **chance, validity=("validity", "min"))
    found["validity"] = found["validity"].map(dict(enumerate(_WORST_FIRST)))
    shuffled = rows[rows["control"] == "shuffled"].groupby(keys, sort=False).agg(**summary)
    shuffled.columns = ["shuffled", "shuffled_low", "shuffled_high"]
    null = rows[rows["control"] == "null"].groupby(keys, sort=False).agg(**summary, **chance)
    null.columns = NULL
    found = found.join(shuffled).join(null).reset_index()
    return found.assign(control=found["method"].isin(set(controls)))


def measures(name: str, study: dict, scores: pd.DataFrame, plan: dict) -> Measures:
    """What a study measured at the end of training.

    Of an evaluation whose scores are a curve (it declares ``CURVE``, the key of its settings along which they are one) the
    first metric is judged, at the largest value: other values and metrics tell of the same few samples.
    """
    config = plan["config"]
    controls = [method for method in study["methods"] if is_control(config, method)]
    table = summarise(study_rows(scores, study), controls)
    # Where no seed changes a method, one is all there is.
    table = table.assign(seeded=table["method"].isin(plan.get("seeded", study["methods"])))
    table = _beside_the_rest(table[table["epoch"] == "final"])
    found = Measures([], [], [])
    for (evaluation, metric), rows in table.groupby(["evaluation", "metric"], sort=False):
        declared = constants(config, "evaluations", evaluation)
        metrics, curve = declared.get("METRICS", {}), declared.get("CURVE", "")
        facts = metrics.get(metric, {})
        shared = {
            "study": name,
            "evaluation": evaluation,
            "metric": metric,
            "higher": facts.get("better", "higher") != "lower",
            "limits": tuple(facts.get("range", (None, None))),
            "reference": str(facts.get("reference", "")),
            "curve": curve,
        }
        single = [
            Measure(**shared, subset=subset, settings=settings, rows=_ranked(part, shared["higher"]))
            for (subset, settings), part in rows.groupby(["subset", "settings"], sort=False)
        ]
        if curve:
            found.curves.extend(single)
            wanted = set(map(tuple, rows.loc[conditions.ends(rows, curve), ["subset", "settings"]].to_numpy()))
            single = [measure for measure in single if (measure.subset, measure.settings) in wanted]
        if curve and metric != next(iter(metrics), metric):
            found.behind.extend(single)
        elif not curve and len(single) > SETTINGS_SHOWN:
            found.judged.append(_mean_over_settings(rows, shared))
            found.behind.extend(single)
        else:
            found.judged.extend(_with_units(measure, study, plan["files"].get("details", [])) for measure in single)
    return found


def curve_ends(rows: pd.DataFrame, config: dict) -> pd.DataFrame:
    """Scores without those that stand further down a curve."""
    parts = []
    for evaluation, part in rows.groupby("evaluation", sort=False):
        curve = constants(config, "evaluations", evaluation).get("CURVE")
        parts.append(part[conditions.ends(part, curve)] if curve else part)
    return pd.concat(parts).sort_index() if parts else rows


def _beside_the_rest(table: pd.DataFrame) -> pd.DataFrame:
    """Scores with labels held out stand among those without, to be compared: what was held out moves to ``variant``."""
    held = table["settings"].str.startswith(HELD_OUT)
    return table.assign(variant=table["settings"].where(held, ""), settings=table["settings"].where(~held, ""))


def _ranked(rows: pd.DataFrame, higher: bool) -> pd.DataFrame:
    return rows.sort_values(["value", "method", "profile"], ascending=[not higher, True, True]).reset_index(drop=True)


def _mean_over_settings(rows: pd.DataFrame, shared: dict) -> Measure:
    """One measure from many settings (compounds, say): the mean over those that every representation has."""
    names = rows["settings"].where(rows["subset"] == "", rows["subset"] + " " + rows["settings"])
    rows = rows.assign(item=names)
    values = rows.pivot_table(index="item", columns=["method", "profile"], values="value").dropna()
    kept = rows[rows["item"].isin(values.index)].groupby(["method", "profile"], sort=False)
    mean = ["value", "spread", "chance", "shuffled", *NULL]
    first = ["seeds", "seeded", "leak", "trained_on", "control", "variant"]
    table = kept[mean].mean().join(kept[first].first()).reset_index()
    worst = kept["validity"].agg(lambda found: min(found, key=_WORST_FIRST.index))
    table = table.assign(validity=worst.to_numpy(), n=len(values), units=len(values), unit="setting", epoch="final")
    # The limits of a mean are not the mean of limits: what varies from setting to setting gives them.
    limits = [statistics.mean_interval(values[row.method, row.profile]) for row in table.itertuples()]
    table[["low", "high"]] = np.array(limits, dtype=float).reshape(-1, 2)
    table[["shuffled_low", "shuffled_high", "null_low", "null_high"]] = np.nan
    settings = f"mean over {len(values)} settings"
    units = {pair: items.alike(values[pair]) for pair in values.columns}
    return Measure(
        **shared, subset="", settings=settings, rows=_ranked(table, shared["higher"]), units=units, unit="settings"
    )


def _with_units(measure: Measure, study: dict, details: list[dict]) -> Measure:
    """The measure with the results of single items, read from the details of its evaluation, as means over seeds."""
    found: dict[tuple[str, str], list[pd.DataFrame]] = {}
    without: dict[tuple[str, str], list[pd.Series]] = {}
    variants = measure.rows.set_index(["method", "profile"])["variant"].to_dict()
    unit = next((f"{name}s" for name in measure.rows["unit"] if name), "")
    for entry in entries(details, study, evaluation=measure.evaluation):
        table = read(entry["path"], "details")
        pair = entry["method"], entry["profile"]
        item = items.Item(measure.metric, measure.subset, variants.get(pair) or measure.settings)
        if table is None:
            continue
        single, kind = items.read(table, item)
        if len(single):
            unit = unit or kind
            found.setdefault(pair, []).append(single)
        if len(reference := items.read_reference(table, item)):
            without.setdefault(pair, []).append(reference)
    units = {pair: items.over_seeds(tables) for pair, tables in found.items()}
    references = {pair: pd.concat(series, axis=1).mean(axis=1) for pair, series in without.items()}
    return replace(measure, units=units, references=references, unit=unit or "items")


def at_the_end(files: list[dict]) -> list[dict]:
    """Entries of `files` that belong to the end of a training, not to an epoch saved on the way."""
    return [entry for entry in files if entry.get("epoch", "final") == "final"]


def entries(files: list[dict], study: dict, final: bool = True, **wanted: str) -> list[dict]:
    """Entries of `files` that belong to a study and have the `wanted` wildcards; at the end of training, or all epochs."""
    chosen = []
    for entry in at_the_end(files) if final else files:
        same = all(entry.get(key) == study[key] for key in ("dataset", "samples"))
        named = entry.get("method") in study["methods"] and entry.get("profile", "none") in [*study["profiles"], "none"]
        if same and named and all(str(entry.get(key)) == value for key, value in wanted.items()):
            chosen.append(entry)
    planned = {str(seed) for seed in study["seeds"]}
    seeded = {entry["method"] for entry in chosen if str(entry.get("seed")) in planned}
    return [entry for entry in chosen if str(entry.get("seed")) in planned or entry["method"] not in seeded]
