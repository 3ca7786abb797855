"""Columns of a user's table that look like ours and are not: named, with the `rename:` that would take them.

Without it they are passed over, and treatments that differ in their dose alone become one.
"""

import json
import re
import unicodedata
from collections.abc import Mapping

from phenorep import headers
from phenorep.amounts import CONCENTRATION, DOSE

COMPOUND = "Metadata_Compound"
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
# Also in other languages, whose accents are taken off: the tables of a laboratory are often written in its own.
_CONCENTRATION = r"con[ck]s?|konz|[ck]on[ck]entra(?:tions?|tionen|cion|ciones|cao|zione|zioni|tie|ties|ce|cija|cja)|stezenie"
_DOSE = r"i?dos(?:es?|age|is|en|i|ierung|ering)|dilution|titration"
_BEFORE = (
    r"(?:compound|cmpd|cpd|drug|final|nominal|stock|working|actual|pert|iname|broad|sample|perturbation|treatment|well|assay"
    r"|test|log10|log)*"
)
_AFTER = r"(?:\d|levels?|recode|ranks?|number|index|idx|step|point|value)?"
_AMOUNT = re.compile(rf"{_BEFORE}(?:{_CONCENTRATION}|{_DOSE}|molarity|mmolesperliter){_AFTER}(?:in)?")
_RANK = re.compile(rf"{_BEFORE}(?:{_DOSE}){_AFTER}")
# Units at the end of a name, and what a number in them is multiplied by to be micromolar; None: nothing makes it so.
_MASSES = [
    f"{mass}{per}{volume}" for mass in ("mg", "ug", "ng") for per in ("", "per") for volume in ("ml", "l", "ul", "kg")
]
_UNITS = {
    **dict.fromkeys(("um", "umolar", "micromolar", "umol", "umoll", "umolesperliter", "umoles"), "1"),
    **dict.fromkeys(("nm", "nanomolar", "nmol", "nmoll"), "0.001"),
    **dict.fromkeys(("mm", "mmolar", "millimolar", "mmol", "mmoll"), "1000"),
    **dict.fromkeys(("molar", "m"), "1000000"),
    **dict.fromkeys((*_MASSES, "percent", "%", "log10", "log", "logm", "log10m"), None),
}
_ALONE = {"um", "nm", "mm", "logm", "log10m", *_MASSES} - {"mgl", "ngl", "ugl"}  # units that are a whole name
# What pandas, R and spreadsheets put behind a name that two tables have.
_TWICE = re.compile(r"(?:[_.][xy]|\.\d)$", re.IGNORECASE)
_WRONG = {7: 1, 10: 2}  # letters of a word of ours: letters that may be wrong in it; in shorter ones they make other words


def of(name: str) -> str | None:
    """The column of ours that a name looks like; None for ours themselves and for all others."""
    if name in headers.NAMES:
        return None
    plain = _plain(name)
    if plain in _OURS:
        return _OURS[plain] if _OURS[plain] != name else None
    if is_amount(name):
        return CONCENTRATION
    return next((ours for word, ours in _WORDS.items() if _is_misspelt(plain, word)), None)


def is_amount(name: str) -> bool:
    """Whether a name tells how much of a compound there was: a concentration in any unit, a dose, its rank."""
    return _amount(name) is not None


def of_other_unit(rename: Mapping[str, str] | None) -> list[str]:
    """What to say of columns that `rename:` takes as concentrations though their names state another unit than ours."""
    told = []
    for theirs, ours in (rename or {}).items():
        unit = (_amount(str(theirs)) or ("", ""))[1]
        if headers.spelt(headers.clean(str(ours))) == CONCENTRATION and unit and _UNITS[unit] != "1":
            factor = _UNITS[unit]
            how = f"Multiply the numbers by {factor}" if factor else f"Convert the numbers, or call ranks of doses {DOSE}"
            told.append(
                f"'datasets: rename:' takes {str(theirs)!r} as {CONCENTRATION}, which is in micromolar, and its name says "
                f"another unit. {how}. If they are micromolar already, correct the name in the table."
            )
    return told


def pair(theirs: str, ours: str) -> str:
    """``{theirs: ours}`` as YAML takes it."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", theirs)
    return f"{{{theirs if plain else json.dumps(theirs, ensure_ascii=False)}: {ours}}}"


def _plain(name: str) -> str:
    """A name without case, accents, prefix and whatever is neither letter nor digit."""
    name = unicodedata.normalize("NFKD", name).lower().replace("\u03bc", "u").removeprefix("image_")
    name = re.sub(r"\[c\]|^c(?=[ _(]+[num]m\b)", "conc", re.sub(r"^metadata[^a-z0-9]*", "", name))  # [c] uM, c (nM)
    return re.sub(r"[^a-z0-9%]", "", name)


def _amount(name: str) -> tuple[str, str] | None:
    """Words and unit ("" if none) of a name that tells an amount; None for another name."""
    for plain in dict.fromkeys((_plain(name), _plain(_TWICE.sub("", name)))):
        if plain in _ALONE:
            return "", plain
        if plain == "mmolesperliter" or re.fullmatch(r"mmolesperliter\d", plain):
            return plain, "mm"
        # The longest unit first: a slip of the pen must not take letters of it for the word.
        for unit in sorted((unit for unit in ("", *_UNITS) if plain.endswith(unit)), key=len, reverse=True):
            words = plain.removesuffix(unit)
            if _AMOUNT.fullmatch(words) or _is_misspelt(words, "concentration"):
                return words, unit or ("log10" if words.startswith("log") else "")
    return None


def _is_misspelt(word: str, right: str) -> bool:
    """Whether a word differs from one of ours in so few letters that it is a slip of the pen."""
    wrong = max((number for letters, number in _WRONG.items() if len(right) >= letters), default=0)
    return word != right and bool(wrong) and _distance(word, right, wrong) <= wrong


def _distance(a: str, b: str, most: int) -> int:
    """How many letters are to be put in, taken out, replaced or swapped with the next; more than `most` is not told."""
    if abs(len(a) - len(b)) > most:
        return most + 1
    rows = [list(range(len(b) + 1))]
    for i, left in enumerate(a, 1):
        row = [i]
        for j, right in enumerate(b, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (left != right)))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                row[j] = min(row[j], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


# Words of ours, long enough to be known again when a letter of them is wrong.
_WORDS = {_plain(name): _OURS.get(_plain(name), name) for name in headers.NAMES if name.startswith("Metadata_")}


def remedy(name: str) -> str:
    """What takes a concentration, by the unit in its name: ours is micromolar."""
    words, unit = _amount(name)
    factor = _UNITS.get(unit)
    if unit == "" and _RANK.fullmatch(words):
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
