"""What leaving out abnormal images changed: which samples went, and what the scores are with and without them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from phenorep import contracts, statistics
from phenorep.errors import UserError
from phenorep.report import beside, drawing, images, items, tables
from phenorep.report.beside import BLUE
from phenorep.report.drawing import INK, Figure
from phenorep.report.evidence import FEWEST_UNITS
from phenorep.report.tables import Measure
from phenorep.treatments import treatments

ROWS_SHOWN = 12
WELLS_SHOWN = 24
ACROSS = 3  # panels in a row
_NAMES = ("Metadata_Treatment", "Metadata_Perturbation", "Metadata_Compound", "Metadata_Concentration", "Metadata_Dose")
_KEYS = ["plate", "well", "treatment", "control"]


def counts(plan: dict, view: dict, folder: Path) -> dict:
    """How many samples a view left out, by plate and treatment, and the wells of which nothing is left.

    Parameters
    ----------
    view
        ``dataset, samples`` (the view), ``parent`` and ``where``.

    Returns
    -------
    dict
        ``samples, kept, left_out``; ``plates`` and ``treatments``, the most affected first: rows of their name with
        ``samples, left_out, share`` (and ``control``), and how many there are (``plate_count, treatment_count``, the latter
        those that lost any); ``wells`` (names) and ``well_count``; ``file``: the CSV with all wells.

    Raises
    ------
    UserError
        If the samples of either set are not there.
    """
    before, after = (images.sample_paths(plan, view["dataset"], view[key]) for key in ("parent", "samples"))
    if not after or set(after) != set(before):
        missing = ", ".join(sorted(set(after) ^ set(before))) or "all plates"
        raise UserError(f"the samples of {view['parent']} and {view['samples']} cannot be compared: missing for {missing}.")
    parts = []
    for plate, path in after.items():
        found = [_by_well(file) for file in (before[plate], path)]
        joined = found[0].to_frame("samples").join(found[1].rename("kept"), how="left").fillna({"kept": 0})
        parts.append(joined.astype(int).reset_index())
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(left_out=table["samples"] - table["kept"])
    name = f"left_out_{drawing.safe(view['dataset'])}_{drawing.safe(view['samples'])}.csv"
    contracts.write_csv(table, folder / name)
    by_plate = _most_affected(table, ["plate"])
    by_treatment = _most_affected(table[(table["treatment"] != "") | (table["control"] != "")], ["treatment", "control"])
    by_treatment = by_treatment[by_treatment["left_out"] > 0]
    wells = table.groupby(["plate", "well"], sort=False)["kept"].sum()
    gone = [f"{plate} {well}" for plate, well in wells.index[wells == 0]]
    return {
        **{key: int(table[key].sum()) for key in ("samples", "kept", "left_out")},
        "plates": by_plate.head(ROWS_SHOWN).to_dict("records"),
        "plate_count": len(by_plate),
        "treatments": by_treatment.head(ROWS_SHOWN).to_dict("records"),
        "treatment_count": len(by_treatment),
        "wells": gone[:WELLS_SHOWN],
        "well_count": len(gone),
        "file": name,
    }


def _by_well(path: str) -> pd.Series:
    """Number of samples by plate, well, treatment and control."""
    reason = tables.not_run(path)
    if reason is not None:
        raise UserError(f"{path}: {reason}.")
    present = contracts.columns_of(path)
    wanted = [*contracts.FIELD[:2], "Metadata_Control", *_NAMES]
    table = contracts.read_table(path, "samples", [name for name in wanted if name in present])
    named = treatments(table) if set(_NAMES[:3]) & set(table) else pd.Series("", index=table.index)
    control = table.get("Metadata_Control", pd.Series("", index=table.index)).fillna("").astype(str)
    keys = [table["Metadata_Plate"].astype(str), table["Metadata_Well"].astype(str), named.fillna("").astype(str), control]
    return table.groupby([key.rename(name) for key, name in zip(keys, _KEYS, strict=True)], sort=False).size()


def _most_affected(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    sums = table.groupby(keys, sort=False, as_index=False)[["samples", "left_out"]].sum()
    sums = sums.assign(share=sums["left_out"] / sums["samples"])
    return sums.sort_values(["share", "left_out", *keys], ascending=[False, False, *[True] * len(keys)])


def scores(view: dict, studies: dict[str, dict], judged: dict[str, list[Measure]]) -> pd.DataFrame:
    """Scores of a study on all samples beside those of one on the view, where method, profile and measure are the same.

    Parameters
    ----------
    studies, judged
        The run's studies, and what each of them measured.

    Returns
    -------
    pandas.DataFrame
        ``before_study, study, evaluation, measure, method, profile, variant, control, higher, before, before_low,
        before_high, before_n, value, low, high, n, difference`` (with minus without what was left out: positive where
        leaving it out made the value larger), ``difference_low, difference_high`` (over the units that both scored; NaN
        where single results are not known), ``words``.
    """
    own = {key: [name for name, study in studies.items() if _is_on(study, view, view[key])] for key in ("parent", "samples")}
    rows = []
    for first in own["parent"]:
        for second in own["samples"]:
            same = {_key(measure): measure for measure in judged[second]}
            pairs = [(measure, same[_key(measure)]) for measure in judged[first] if _key(measure) in same]
            rows += [row for before, after in pairs for row in _side_by_side(first, second, before, after)]
    return pd.DataFrame(rows)


def _is_on(study: dict, view: dict, samples: str) -> bool:
    return (study["dataset"], study["samples"]) == (view["dataset"], samples)


def _key(measure: Measure) -> tuple:
    return measure.evaluation, measure.metric, measure.subset, measure.settings


def _side_by_side(first: str, second: str, before: Measure, after: Measure) -> Iterator[dict]:
    rows = {_pair(row): row for row in after.rows.to_dict("records")}
    for row in before.rows.to_dict("records"):
        other = rows.get(_pair(row))
        if other is None:
            continue
        found = {"before_study": first, "study": second, "evaluation": before.evaluation, "measure": before.title}
        found |= dict(zip(("method", "profile", "variant"), _pair(row), strict=True)) | {"control": row["control"]}
        found |= {"higher": before.higher, "before": row["value"], "value": other["value"]}
        found |= {f"before_{key}": row[key] for key in ("low", "high", "n")} | {
            key: other[key] for key in ("low", "high", "n")
        }
        yield found | _difference(row, other, before, after)


def _pair(row: dict) -> tuple[str, str, str]:
    return row["method"], row["profile"], row.get("variant", "")


def _difference(row: dict, other: dict, before: Measure, after: Measure) -> dict:
    """By how much the value changed, and whether that can be told from none."""
    found = {"difference": other["value"] - row["value"], "difference_low": np.nan, "difference_high": np.nan}
    shared = items.common([measure.units.get(_pair(row)[:2]) for measure in (after, before)])
    if shared is None:
        return found | {"words": "not known: no single results to pair"}
    if shared.count < FEWEST_UNITS:
        return found | {"words": f"not known: {shared.count} {before.unit} in both"}
    differences = shared.values[:, 0] - shared.values[:, 1]
    low, high = statistics.mean_interval(differences, shared.units, shared.weights)
    found |= {"difference_low": low, "difference_high": high}
    better = low > 0 if before.higher else high < 0
    worse = high < 0 if before.higher else low > 0
    text = "better" if better else "worse" if worse else "cannot be told apart"
    return found | {"words": f"{text} ({shared.count} {before.unit} in both)"}


def draw(view: dict, table: pd.DataFrame, folder: Path) -> Iterator[Figure]:
    """With and without what was left out, one panel per measure."""
    if not len(table):
        return
    names = [" × ".join(p for p in (r.method, r.profile) if p != "none") for r in table.itertuples()]
    table = table.assign(name=names, panel=table["evaluation"] + "\n" + table["measure"])
    for study, part in table.groupby(["before_study", "study"], sort=False):
        order = part.sort_values("control", kind="stable")
        places = {name: place for place, name in enumerate(dict.fromkeys(order["name"]))}
        shown = list(dict.fromkeys(part["panel"]))
        across = min(ACROSS, len(shown))
        down = -(-len(shown) // across)
        figure = drawing.canvas(1.8 + 2.3 * across, down * (0.7 + 0.24 * len(places)) + 0.3)
        grid = np.ravel(figure.subplots(down, across, squeeze=False, sharey=True))
        for title, axes in zip(shown, grid, strict=False):
            for row in part[part["panel"] == title].itertuples():
                beside.dot(axes, places[row.name] - 0.15, row.before, row.before_low, row.before_high, INK, "none")
                beside.dot(axes, places[row.name] + 0.15, row.value, row.low, row.high, BLUE, BLUE)
            axes.set_title(drawing.shown(title, 60), loc="left", size=8)
            axes.grid(axis="x")
        for axes in grid[len(shown) :]:
            axes.remove()
        grid[0].set_yticks(range(len(places)), [drawing.shown(name) for name in places])
        grid[0].set_ylim(len(places) - 0.5, -0.5)
        _legend(figure, view)
        caption = (
            f"Scores on all samples ({view['parent']}) and on those where {view['where']} ({view['samples']}), with 95 % "
            "intervals; the same methods, made and evaluated on either set. Controls stand last."
        )
        file = f"cleaned_{view['dataset']}_{view['samples']}_{'_'.join(study)}"
        title = f"With and without what was left out: {study[0]}, {study[1]}"
        yield drawing.save(folder, file, title, caption, figure, part.drop(columns=["name", "panel"]))


def _legend(figure, view: dict) -> None:
    marks = {view["parent"]: beside.mark(INK, "none"), view["samples"]: beside.mark(BLUE, BLUE)}
    names = [drawing.shown(name) for name in marks]
    figure.legend(list(marks.values()), names, loc="outside lower center", ncols=2, fontsize=8, handletextpad=0.3)
