"""A page for each plate: what was where, what was left out, how bright and how abnormal it is, and some of its samples."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from phenorep import contracts
from phenorep.errors import UserError
from phenorep.report import abnormality, drawing, plates_figures, plates_wells
from phenorep.report.plates_wells import Plate

# A plate of 384 wells and five channels takes a second of processor time and 3 MB, half of it the page, half its figures:
# a run's plates take a minute and no more than some 80 MB, however many they are.
MOST_PAGES = 60
MOST_WELLS = 10_000
LONGEST = 80  # letters of a file's name that come from the plate's


def make(plan: dict, folder: str | Path, environment, home: str = "index.html") -> list[dict]:
    """Write the pages, and ``index.html``: a table of all plates.

    Parameters
    ----------
    plan
        As for `phenorep.report.make`.
    folder
        Where the pages go; what lies there is removed.
    environment
        From `templates.environment`.
    home
        The report's page, in the folder above.

    Returns
    -------
    list of dict
        ``dataset, plate, title, href`` (as seen from the report's page) of the plates that have a page.
    """
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = plates_wells.files_of(plan)
    abnormal = _abnormal(plan)

    def read(dataset: str, name: str) -> Plate | None:
        return plates_wells.read(dataset, name, files[dataset][name], abnormal.get(dataset, {}))

    rows, unread = [], []
    for dataset, own in files.items():
        for name in own:
            plate = read(dataset, name)
            if plate is None:
                unread.append(f"{dataset}: {name}")
            else:
                rows.append(plates_wells.summary(plate))
    if not rows:
        return []
    table = pd.DataFrame(rows)
    table["page"] = chosen(table)
    table["stem"] = _stems(table)
    shown = table[table["page"]].to_dict("records")
    for number, row in enumerate(shown):
        # Read again: tables of hundreds of plates are not kept in memory.
        plate = read(row["dataset"], row["plate"])
        beside = [shown[other] if 0 <= other < len(shown) else None for other in (number - 1, number + 1)]
        _write(plan, plate, row, beside, folder, environment, home)
    facts = {"rows": table.to_dict("records"), "unread": unread, "most": MOST_PAGES, "home": f"../{home}"}
    contracts.write_csv(table.drop(columns=["page", "stem"]), folder / "plates.csv")
    _render(environment, "plates.html.j2", folder / "index.html", plan=plan, **facts)
    return [
        {key: row[key] for key in ("dataset", "plate")}
        | {"title": f"{row['dataset']}: {row['plate']}", "href": f"{folder.name}/{row['stem']}.html"}
        for row in shown
    ]


def chosen(table: pd.DataFrame) -> pd.Series:
    """Which plates have a page: all, or else the first ones and the worst, in equal parts.

    The worst are those with the largest share of fields left out, then the most abnormal, then those with the most empty
    wells.
    """
    worst = table.assign(share=table["left_out"] / table["fields"], hollow=table["empty"].astype(float) / table["wells"])
    worst = worst.assign(abnormal=worst["abnormal"].astype(float).fillna(0), hollow=worst["hollow"].fillna(0))
    worst = worst.sort_values(["share", "abnormal", "hollow"], ascending=False, kind="stable").index.tolist()
    order = list(dict.fromkeys(index for pair in zip(table.index, worst, strict=True) for index in pair))
    kept, wells = [], 0
    for index in order[:MOST_PAGES]:
        wells += table.loc[index, "wells"]
        if kept and wells > MOST_WELLS:
            break
        kept.append(index)
    return table.index.isin(kept)


def _stems(table: pd.DataFrame) -> list[str]:
    """``data set/plate`` as paths that no two plates share, whatever they are called, also where case does not count."""
    folders: dict[str, str] = {}
    taken: set[str] = {"index"}
    found = []
    for dataset, plate in table[["dataset", "plate"]].itertuples(index=False):
        if dataset not in folders:
            folders[dataset] = _free(_safe(dataset), taken)
        found.append(_free(f"{folders[dataset]}/{_safe(plate)}", taken))
    return found


def _safe(name: str) -> str:
    """A name as a file may have it, without dots: ``a.html`` is not the folder of one plate and the page of another."""
    return drawing.safe(name).replace(".", "_")[:LONGEST]


def _free(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken; it is taken afterwards."""
    free, number = name, 1
    while free.casefold() in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free.casefold())
    return free


def _abnormal(plan: dict) -> dict[str, dict[str, pd.DataFrame]]:
    """Fields with their abnormality, by data set and title."""
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for entry in abnormality.usable(plan):
        try:
            one = abnormality.read(entry)
        except UserError:
            continue  # the report's own page says why
        title = f"{entry['samples']}: {entry['method']}, seed {entry['seed']}"
        found.setdefault(entry["dataset"], {})[title] = one.fields
    return found


def _write(plan: dict, plate: Plate, row: dict, beside: list, folder: Path, environment, home: str) -> None:
    own = folder / row["stem"]
    own.mkdir(parents=True)
    drawn, problems = plates_figures.figures(plate, own)
    contracts.write_csv(plate.left_out, own / "left_out_fields.csv")
    contracts.write_csv(plate.outliers, own / "outlying_fields.csv")
    contracts.write_csv(plate.wells.rename_axis("well").reset_index(), own / "wells.csv")
    facts = {"plate": plate, "row": row, "figures": drawn, "problems": problems, "folder": own.name, "home": f"../../{home}"}
    before, after = ((one and {"title": one["plate"], "href": f"../{one['stem']}.html"}) for one in beside)
    facts |= {"before": before, "after": after, "columns": list(_columns(plate)), "wells": list(_rows(plate))}
    facts |= {"far": plates_wells.FAR, "outliers_shown": plates_wells.FIELDS_SHOWN}
    _render(environment, "plate.html.j2", own.with_name(f"{own.name}.html"), plan=plan, **facts)


def _columns(plate: Plate) -> Iterator[dict]:
    """Columns of the table of wells: ``name, key, digits`` (None for text)."""
    for name in ("treatment", *plates_wells.CONTENT.values()):
        if name in plate.wells and (plate.wells[name] != "").any():
            yield {"name": name, "key": name, "digits": None}
    yield {"name": "fields", "key": "fields", "digits": 0}
    yield {"name": "left out", "key": "left_out", "digits": 0}
    for kind, digits in (("counts", 0), ("intensity", 1), ("abnormal", 3)):
        for key, name in plate.columns[kind].items():
            yield {"name": f"abnormal, {name}" if kind == "abnormal" else name, "key": key, "digits": digits}


def _rows(plate: Plate) -> Iterator[tuple[str, list]]:
    """Wells with their values, in the order of the columns."""
    keys = [column["key"] for column in _columns(plate)]
    yield from zip(plate.wells.index, plate.wells[keys].to_numpy(dtype=object).tolist(), strict=True)


def _render(environment, template: str, path: Path, **facts) -> None:
    with contracts.replacing(path) as temporary:
        temporary.write_text(environment.get_template(template).render(**facts), encoding="utf-8")
