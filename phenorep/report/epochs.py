"""Scores along training: the last epoch, the best one, the mean over epochs, and how far the best one flatters.

The best epoch is chosen by the score that it then reports, on the same items. What that adds is measured here: the epoch is
chosen on one half of the items and scored on the other, and the other way round, many times over (Varma and Simon 2006,
Bias in error estimation when using cross-validation for model selection, treat the same bias).
"""

import numpy as np
import pandas as pd

from phenorep.report import tables
from phenorep.report.items import Item
from phenorep.report.items import read as read_items
from phenorep.report.tables import SETTINGS_SHOWN

DRAWS = 200
SEED = 0
# With fewer groups of items than this there is little to choose an epoch on, in a half of them.
FEWEST_GROUPS = 6


def lengths(plan: dict) -> dict[str, int]:
    """Epochs of each method's training, where its final encoder stands; of methods side by side, where all trained agree."""
    own = plan.get("epochs", {})

    def found(method: str) -> set[int]:
        members = [] if method in own else tables.members(plan["config"], method)
        return {own[method]} if method in own else set().union(*map(found, members)) if members else set()

    methods = [*own, *plan["config"].get("methods", {})]
    return {method: next(iter(found(method))) for method in dict.fromkeys(methods) if len(found(method)) == 1}


def summarise(study: dict, scores: pd.DataFrame, plan: dict) -> pd.DataFrame:
    """What each method with saved epochs scored at its last, its best and its mean epoch.

    One epoch is the best for all metrics of an evaluation and profile: the one with the highest first metric that the
    evaluation declares, of equal ones that with the highest next metric, of these the earliest. It is chosen for each seed.

    Parameters
    ----------
    scores
        All scores of the run.

    Returns
    -------
    pandas.DataFrame
        One row per evaluation, metric, subset, settings, method and profile, means over seeds: ``final``; ``best``,
        ``best_low, best_high`` (the interval at that epoch), ``best_epoch`` (text), ``scored`` (epochs to choose from);
        ``mean``, ``lowest, highest, epochs`` (how many; those of ``saved_epochs: mean:``), ``optimism`` (see
        `held_out_mean`; NaN where single results are not known), ``items`` (what these are) and ``seeds``. Empty where no
        epochs were saved.
    """
    rows = tables.study_rows(scores, study)
    rows = tables.curve_ends(rows[rows["control"] == "none"], plan["config"])
    rows = rows[rows["method"].isin(rows.loc[rows["epoch"] != "final", "method"])]
    ends, found = lengths(plan), []
    for (evaluation, method, profile, seed), run in rows.groupby(["evaluation", "method", "profile", "seed"], sort=False):
        if (run["epoch"] == "final").all():
            continue
        declared = tables.constants(plan["config"], "evaluations", evaluation).get("METRICS", {})
        wanted = {"evaluation": evaluation, "method": method, "profile": profile, "seed": seed}
        details = None
        for part in _by_settings(_numbered(run, ends.get(method))):
            if details is None and part["n"].notna().all():  # read once, and not for means over many settings
                details = _details(study, plan, wanted, ends.get(method))
            found += [wanted | row for row in _of_one_run(part, declared, study, details or {})]
    return _over_seeds(pd.DataFrame(found)) if found else pd.DataFrame()


def _numbered(run: pd.DataFrame, end: int | None) -> pd.DataFrame:
    """Scores by epoch as a number; the final encoder stands at the last epoch, unless that was saved too."""
    saved = run[run["epoch"] != "final"]
    number = -1 if end is None or str(end) in set(saved["epoch"]) else end
    return pd.concat([saved.assign(number=saved["epoch"].astype(int)), run[run["epoch"] == "final"].assign(number=number)])


def _by_settings(run: pd.DataFrame) -> list[pd.DataFrame]:
    """The scores of a run by subset and settings; of many settings the mean over those that every epoch has."""
    groups = run.groupby(["subset", "settings"], sort=False)
    if groups.ngroups <= SETTINGS_SHOWN:
        return [part for _, part in groups]
    cells = run.groupby(["metric", "subset", "settings"])["epoch"]
    kept = run[cells.transform("nunique") == run["epoch"].nunique()]
    means = kept.groupby(["metric", "epoch", "number"], sort=False, as_index=False)["value"].mean()
    return [means.assign(subset="", settings="mean over settings", ci_low=np.nan, ci_high=np.nan, n=np.nan)]


def _of_one_run(part: pd.DataFrame, declared: dict, study: dict, details: dict[int, pd.DataFrame]) -> list[dict]:
    """Rows of one seed, subset and settings: one per metric; none if it was not scored at saved epochs."""
    final = part[part["epoch"] == "final"].set_index("metric")["value"]
    if len(final) == len(part):
        return []
    part = part[part["number"] >= 0]
    along = part.pivot_table(index="number", columns="metric", values=["value", "ci_low", "ci_high"])
    values = along["value"].sort_index()
    metrics = [metric for metric in declared if metric in values] or list(dict.fromkeys(part["metric"]))
    signs = {metric: -1 if declared.get(metric, {}).get("better") == "lower" else 1 for metric in metrics}
    best = values.index[choose([signs[m] * values[m].to_numpy()[None] for m in metrics])[0]]
    first, last = (study.get("saved_epochs") or {}).get("mean") or (values.index[0], values.index[-1])
    spanned = values.loc[int(first) : int(last)]
    key = {name: part[name].iloc[0] for name in ("subset", "settings")}
    known = {metric: found for metric in metrics if (found := _items(details, Item(metric, **key), values.index))}
    rows = []
    for metric in metrics:
        limits = [along.at[best, (end, metric)] if (end, metric) in along else np.nan for end in ("ci_low", "ci_high")]
        row = {"metric": metric, **key, "final": final.get(metric, np.nan), "best": values.at[best, metric]}
        row |= {"best_low": limits[0], "best_high": limits[1], "best_epoch": best, "scored": len(values)}
        over = spanned[metric]
        row |= {"mean": over.mean(), "lowest": over.min(), "highest": over.max(), "epochs": over.notna().sum()}
        rows.append(row | {"optimism": np.nan, "items": ""})
    optimism = _optimism({metric: (signs[metric] * table, groups) for metric, (table, groups, _) in known.items()})
    if metrics[0] in known:  # else single results do not tell which epoch is chosen
        for row in rows:
            row["optimism"] = optimism.get(row["metric"], np.nan)
            row["items"] = known[row["metric"]][2] if row["metric"] in known else ""
    return rows


def _optimism(items: dict[str, tuple[pd.DataFrame, pd.Series]]) -> dict[str, float]:
    """By how much the best epoch's score lies above what such a choice gives on other items, by metric."""
    groups = pd.concat([groups for _, groups in items.values()]) if items else pd.Series(dtype=object)
    groups = groups[~groups.index.duplicated()]
    if groups.nunique() < FEWEST_GROUPS:
        return {}
    results = {metric: table for metric, (table, _) in items.items()}
    chosen = choose([table.mean().to_numpy()[None] for table in results.values()])[0]
    honest = held_out_mean(results, groups)
    return {metric: float(table.mean().iloc[chosen] - honest[metric]) for metric, table in results.items()}


def choose(scores: list[np.ndarray]) -> np.ndarray:
    """The best epoch of each row: highest first score, ties by the next, then the earliest.

    Parameters
    ----------
    scores
        (rows, epochs) by metric in the order in which they decide; higher is better, NaN is never chosen over a number.

    Returns
    -------
    numpy.ndarray
        (rows,) column numbers.
    """
    still = np.ones(scores[0].shape, dtype=bool)
    for values in scores:
        values = np.where(still & ~np.isnan(values), np.round(values, 12), -np.inf)
        still &= values == values.max(axis=1, keepdims=True)
    return still.argmax(axis=1)


def held_out_mean(
    items: dict[str, pd.DataFrame], groups: pd.Series, draws: int = DRAWS, seed: int = SEED
) -> dict[str, float]:
    """Mean score of epochs that were chosen on other items than those they are scored on.

    In each draw the groups are split in halves; the epoch chosen on either half is scored on the other one, so that each
    item is scored once. The best epoch's score less this mean is its optimism.

    Parameters
    ----------
    items
        Metric -> (items, epochs) results of single items, higher is better; the metrics in the order in which they decide.
    groups
        Group of each item, by the items' names: doses of one compound are alike and stay together.

    Returns
    -------
    dict
        Metric -> mean over draws of the mean over items.
    """
    names, codes = np.unique(groups.to_numpy(dtype=str), return_inverse=True)
    code = pd.Series(codes, index=groups.index)
    generator = np.random.default_rng(seed)
    order = np.argsort(generator.random((draws, len(names))), axis=1)
    first = order < len(names) // 2
    halves = np.concatenate([first, ~first])  # (2 draws, groups): where the epoch is chosen
    inside = {metric: halves[:, code.loc[table.index]].astype(float) for metric, table in items.items()}
    sums = {metric: inside[metric] @ table.to_numpy(dtype=float) for metric, table in items.items()}
    chosen = choose(list(sums.values()))
    found = {}
    for metric, table in items.items():
        outside = table.to_numpy(dtype=float).sum(axis=0) - sums[metric]
        found[metric] = float(outside[np.arange(2 * draws), chosen].sum() / (draws * len(table)))
    return found


def _details(study: dict, plan: dict, wanted: dict, end: int | None) -> dict[int, pd.DataFrame]:
    """Details of the evaluation at each epoch of one run that has them."""
    found = {}
    entries = tables.entries(plan["files"].get("details", []), study, final=False, **wanted)
    for entry in sorted(entries, key=lambda entry: entry.get("epoch", "final") == "final"):
        final = entry.get("epoch", "final") == "final"
        number = (-1 if end is None else end) if final else int(entry["epoch"])
        if number >= 0 and number not in found:
            table = tables.read(entry["path"], "details")
            if table is not None:
                found[number] = table
    return found


def _items(details: dict[int, pd.DataFrame], item: Item, epochs: pd.Index) -> tuple[pd.DataFrame, pd.Series, str] | None:
    """Results of single items (items, epochs), their units, and what these are; None where an epoch has none."""
    columns, kinds, units = [], [], None
    for epoch in epochs:
        single, kind = read_items(details[epoch], item) if epoch in details else ([], "")
        if not len(single):
            return None
        columns.append(single["value"].rename(epoch))
        kinds.append(kind)
        units = single["unit"] if units is None else units
    table = pd.concat(columns, axis=1, join="inner").dropna().sort_index()
    if not len(table):
        return None
    return table, units.loc[table.index], kinds[0]


def _over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    keys = ["evaluation", "metric", "subset", "settings", "method", "profile"]
    means = ["final", "best", "best_low", "best_high", "mean", "optimism"]
    groups = rows.groupby(keys, sort=False)
    table = groups[means].mean()
    table["best_epoch"] = groups["best_epoch"].agg(lambda epochs: ", ".join(str(int(epoch)) for epoch in epochs))
    table["lowest"], table["highest"] = groups["lowest"].min(), groups["highest"].max()
    table = table.join(groups[["scored", "epochs", "items"]].first())
    return table.assign(seeds=groups["seed"].nunique()).reset_index()
