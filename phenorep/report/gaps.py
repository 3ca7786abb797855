"""What a run did not do, and why: nothing is missing from the page in silence."""

from pathlib import Path

import pandas as pd

from phenorep import contracts
from phenorep.order import natural
from phenorep.report import tables
from phenorep.wording import listed

FEATURES_SHOWN = 20
_WORDS = {"profiles": "normalise", "details": "evaluate", "abnormality": "abnormality"}


def not_run(files: dict) -> list[dict]:
    """Steps that did not run or left no usable file, one row per method and reason.

    Returns
    -------
    list of dict
        ``dataset, samples, method, seeds, steps, reason``.
    """
    found: dict[tuple, dict[str, dict]] = {}
    for kind, word in _WORDS.items():
        for entry in files.get(kind, []):
            reason = tables.not_run(entry["path"])
            if reason is not None:
                row = found.setdefault(
                    (entry["dataset"], entry["samples"], entry["method"], reason), {"seeds": {}, "steps": {}}
                )
                row["seeds"][str(entry["seed"])] = None
                detail = entry.get("evaluation") or entry.get("profile")
                row["steps"][f"{word} {detail}" if detail else word] = None
    return [
        {"dataset": key[0], "samples": key[1], "method": key[2], "reason": key[3]}
        | {"seeds": ", ".join(row["seeds"]), "steps": ", ".join(row["steps"])}
        for key, row in found.items()
    ]


def missing(files: dict) -> list[dict]:
    """Other files that a part of the page needed and could not use: ``path, reason``."""
    found = []
    for kind in ("fields", "quality", "illumination", "engines", "samples", "training"):
        for entry in files.get(kind, []):
            reason = tables.not_run(entry["path"])
            if reason is not None:
                found.append({"path": entry["path"], "reason": reason})
    return found


def left_out(files: dict) -> pd.DataFrame:
    """Fields of view that were left out: ``dataset, plate, well, site, problem``."""
    found = []
    for kind, table_kind in (("fields", "fields"), ("quality", "field_quality")):
        for entry in files.get(kind, []):
            table = tables.read(entry["path"], table_kind)
            if table is None or "Problem" not in table:
                continue
            bad = table[table["Problem"].fillna("").astype(str) != ""]
            for plate, well, site, problem in bad[
                ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Problem"]
            ].to_numpy():
                found.append({"dataset": entry["dataset"], "plate": plate, "well": well, "site": site, "problem": problem})
    return pd.DataFrame(found, columns=["dataset", "plate", "well", "site", "problem"]).drop_duplicates(ignore_index=True)


def dark_channels(files: dict) -> list[dict]:
    """Channels that are of one grey level on whole plates: ``dataset, samples, channel, plates`` (text)."""
    found: dict[tuple, list[str]] = {}
    for entry in files.get("samples", []):
        path = Path(entry["path"]).with_suffix(".json")
        if tables.not_run(entry["path"]) is not None or not path.is_file():
            continue
        facts = contracts.read_facts(path)
        for channel, deviation in zip(facts["channels"], facts["std"], strict=True):
            if facts["count"] and deviation <= 0:
                found.setdefault((entry["dataset"], entry["samples"], channel), []).append(entry["plate"])
    names = ("dataset", "samples", "channel")
    return [dict(zip(names, key, strict=True)) | {"plates": ", ".join(plates)} for key, plates in found.items()]


def features(files: dict) -> list[dict]:
    """Measured or imported features that were left out, or filled where undefined, one row per block that has any.

    Returns
    -------
    list of dict
        ``dataset, samples, method, used`` (how many), ``left_out``, ``bookkeeping`` and ``filled`` (text).
    """
    found: dict[tuple, dict] = {}
    for entry in tables.at_the_end(files.get("profiles", [])):
        if tables.not_run(entry["path"]) is not None:
            continue
        for name, block in (contracts.about(entry["path"]).get("blocks") or {}).items():
            filled = [f"{feature} ({count} rows)" for feature, count in (block.get("filled") or {}).items()]
            if block.get("left_out") or block.get("bookkeeping") or filled:
                row = {key: entry[key] for key in ("dataset", "samples", "method")} | {"used": block["features"]}
                texts = {
                    "left_out": listed(block.get("left_out") or [], FEATURES_SHOWN),
                    "filled": listed(filled, FEATURES_SHOWN),
                }
                # All of them: what is taken for bookkeeping is a reading of names, which a user checks here.
                texts["bookkeeping"] = ", ".join(block.get("bookkeeping") or [])
                found.setdefault((*row.values(), name), row | texts)
    return list(found.values())


def read_with_notes(files: dict) -> list[dict]:
    """What was said while tables and images were read (`phenorep.notes`), warnings first; the same note once.

    Returns
    -------
    list of dict
        ``dataset, text, check, scope``: the scope names the plates of a note that does not hold for all of them.
    """
    kept: dict[tuple, set[str]] = {}
    plates: dict[str, set[str]] = {}
    for kind in ("fields", "profiles"):  # features that were computed elsewhere have no fields
        for entry in files.get(kind, []):
            if tables.not_run(entry["path"]) is not None:
                continue
            plate = entry.get("plate", "")
            if kind == "fields":
                plates.setdefault(entry["dataset"], set()).add(plate)
            for note in contracts.about(entry["path"]).get("notes") or ():
                kept.setdefault((not note["check"], entry["dataset"], note["text"]), set()).add(plate)
    rows = []
    for (unchecked, dataset, text), where in sorted(kept.items(), key=lambda pair: pair[0][0]):
        scope = "" if where >= plates.get(dataset, {""}) else ", ".join(sorted(where, key=natural))
        rows.append({"dataset": dataset, "text": text, "check": not unchecked, "scope": scope})
    return rows


def notes(files: list[dict]) -> list[dict]:
    """What the evaluations noted beside their results: settings, reasons, what they left out; the same note once.

    Returns
    -------
    list of dict
        ``dataset, evaluation, note, scope``: the scope names the representations that have the note.
    """
    found: dict[tuple, dict] = {}
    for entry in files:
        table = tables.read(entry["path"], "details")
        if table is None:
            continue
        about = contracts.about(entry["path"])
        texts = [str(reason) for reason in about.get("reasons", [])]
        if about.get("keys"):
            texts.append("settings: " + "; ".join(f"{key}: {value}" for key, value in about["keys"].items()))
        for text in [*texts, *_left_out_rows(table)]:
            key = (entry["dataset"], entry["evaluation"], text)
            found.setdefault(key, {})[f"{entry['method']} × {entry['profile']}"] = None
    names = ("dataset", "evaluation", "note")
    return [dict(zip(names, key, strict=True)) | {"scope": ", ".join(scope)} for key, scope in found.items()]


def _left_out_rows(details: pd.DataFrame) -> list[str]:
    """Counts of what an evaluation left out, by metric and reason."""
    if not {"part", "reason"} <= set(details.columns):
        return []
    rows = details[details["part"] == "left_out"]
    metric = rows["metric"].fillna("").astype(str) if "metric" in rows else pd.Series("", index=rows.index)
    counts = rows.groupby([metric, rows["reason"].astype(str)]).size()
    return [f"{f'{metric}: ' if metric else ''}{count} left out: {reason}" for (metric, reason), count in counts.items()]
