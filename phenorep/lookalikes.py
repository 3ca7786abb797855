"""Columns of a user's table that look like ours and are not: named, with the `rename:` that would take them.

Without it they are passed over, and treatments that differ in their dose alone become one.
"""

import json
import re

from phenorep import headers

COMPOUND, CONCENTRATION, DOSE = "Metadata_Compound", "Metadata_Concentration", "Metadata_Dose"
CONTROL, BATCH, PERTURBATION, SITE = "Metadata_Control", "Metadata_Batch", "Metadata_Perturbation", "Metadata_Site"
# Whole names, in small letters without anything between them and without "Metadata", that people give to what is ours.
_THEIRS = {
    "Metadata_Plate": "plate plateid platename platenumber platebarcode assayplatebarcode barcode",
    "Metadata_Well": "well wellid wellname wellposition wellpos wellcoordinate wellcoordinates",
    SITE: "site siteid siteindex sitenumber field fieldid fieldindex fieldnumber fieldofview fov",
    COMPOUND: "compound compoundid compoundname cpd cpdid cpdname drug drugname drugid pertiname pertname pertid "
    "broadsample broadid molecule moleculename chemical chemicalname substance jcp2022",
    PERTURBATION: "perturbation treatment condition sirna sgrna crispr orf",
    "Metadata_MoA": "moa mechanism mechanismofaction moaclass",
    CONTROL: "control controltype iscontrol welltype",
    BATCH: "batch batchid batchname",
    "Metadata_CellLine": "cellline",
    "Metadata_Replicate": "replicate replicateid rep",
}
_OURS = {name: ours for ours, names in _THEIRS.items() for name in names.split()}
_PARTS = r"(compound|cpd|drug|final|nominal|pert|treatment|well|assay|test)?"
_AMOUNT = re.compile(rf"{_PARTS}(concentrations?|concs?|molarity|dosage|i?dose|mmolesperliter)(in)?")
# Units at the end of a name, and what a number in them is multiplied by to be micromolar; None: nothing makes it so.
_UNITS = {
    **dict.fromkeys(("um", "umolar", "micromolar", "umol", "umoll", "umolesperliter", "umoles"), "1"),
    **dict.fromkeys(("nm", "nanomolar", "nmol", "nmoll"), "0.001"),
    **dict.fromkeys(("mm", "mmolar", "millimolar", "mmol", "mmoll"), "1000"),
    **dict.fromkeys(("molar", "m"), "1000000"),
    **dict.fromkeys(("ugml", "ngml", "mgml", "percent", "log10", "log", "logm", "mgkg"), None),
}


def of(name: str) -> str | None:
    """The column of ours that a name looks like; None for ours themselves and for all others."""
    if name in headers.NAMES:
        return None
    plain = _plain(name)
    if plain in _OURS:
        return _OURS[plain] if _OURS[plain] != name else None
    return CONCENTRATION if _amount(plain) else None


def pair(theirs: str, ours: str) -> str:
    """``{theirs: ours}`` as YAML takes it."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", theirs)
    return f"{{{theirs if plain else json.dumps(theirs, ensure_ascii=False)}: {ours}}}"


def _plain(name: str) -> str:
    name = name.lower().replace("µ", "u").replace("μ", "u").removeprefix("image_")
    return re.sub(r"[^a-z0-9%]", "", re.sub(r"^metadata[^a-z0-9]", "", name))


def _amount(plain: str) -> tuple[str, str] | None:
    """Words and unit ("" if none) of a name that tells an amount; None for another name."""
    if plain in ("um", "nm", "mm"):
        return "", plain
    match = _AMOUNT.match(plain)
    unit = plain[match.end() :] if match else ""
    return (match[0], unit) if match and (not unit or unit in _UNITS) else None


def remedy(name: str) -> str:
    """What takes a concentration, by the unit in its name: ours is micromolar."""
    words, unit = _amount(_plain(name))
    unit = "mm" if words.endswith("mmolesperliter") else unit
    factor = _UNITS.get(unit)
    if unit == "" and "dose" in words:
        return (
            f"'datasets: rename: {pair(name, CONCENTRATION)}' takes it if it is in micromolar, {pair(name, DOSE)} if it "
            "is a rank: 1, 2, 3."
        )
    if unit == "":
        return f"'datasets: rename: {pair(name, CONCENTRATION)}' takes it if it is in micromolar."
    if factor == "1":
        return f"'datasets: rename: {pair(name, CONCENTRATION)}' takes it."
    how = (
        f"multiply it by {factor}"
        if factor
        else "convert it, or number the doses of each compound in a column Metadata_Dose"
    )
    return (
        f"Our unit is micromolar and its name says another: {how}, and call the column {CONCENTRATION if factor else 'so'}."
    )
