"""Names that are spelt in several ways: of compounds, mechanisms, controls, plates, as people type them into tables.

Two spellings of a name look alike and count as two: a compound may then be matched to itself as to another one, a control
well pass for a treated one. So spellings that differ in nothing that is read aloud are refused, joined or kept apart, as the
key `names` says, but never passed over in silence.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable

import pandas as pd

from phenorep.errors import UserError
from phenorep.notes import say, warn
from phenorep.order import natural
from phenorep.wording import listed

POLICIES = ("exact", "folded", "distinct")
SHOWN = 5  # names that a message lists
_LOOKED_AT = 10_000  # values of a column that names nothing: where there are more, they are numbers of cells and the like
# What names are told apart by. SMILES and the like in other columns differ in case and mean it.
NAMING = tuple(
    f"Metadata_{name}"
    for name in ("Plate", "Batch", "Compound", "Perturbation", "Treatment", "MoA", "Control", "CellLine", "Cell_Line")
)
_NOT_NAMES = ("Metadata_Well", "Metadata_Site", "Metadata_Concentration", "Metadata_Dose")
_DASHES = re.compile("[\u00ad\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_QUOTES = re.compile("[\u2018\u2019\u201b\u2032\u00b4`]")
_POINT_ZERO = re.compile(r"(\d+)\.0+")  # of whole numbers that a program has kept as fractions
# Letters of a Cyrillic keyboard, and the Greek o, that look like Latin ones.
_ALIKE = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u03bf\u039f",
    "ABEKMHOPCTXaeopcyxijsoO",
)
_SHORTENED = re.compile(r"\d(\.\d+)?E\+\d+")  # 1.1E+11: a long number as a spreadsheet leaves it
_ERRORS = frozenset({"#N/A", "#REF!", "#NAME?", "#VALUE!", "#DIV/0!", "#NULL!", "#NUM!"})


def _without_invisible(text: str) -> str:
    # Cf: zero-width characters, marks of writing direction, the soft hyphen. Cc: control characters.
    return "".join(sign for sign in text if unicodedata.category(sign) not in ("Cf", "Cc") or sign.isspace())


# What two spellings may differ in, each with a function after which they do not. A soft hyphen is invisible, no dash.
_KINDS: dict[str, Callable[[str], str]] = {
    "invisible characters": _without_invisible,
    "composed and decomposed letters (NFC, NFD)": lambda text: unicodedata.normalize("NFC", text),
    "the micro sign and the Greek mu": lambda text: text.replace("\u00b5", "\u03bc"),
    "wide or other forms of letters": lambda text: unicodedata.normalize("NFKC", text),
    "the kind of dash": lambda text: _DASHES.sub("-", text),
    "the kind of quotation mark": lambda text: _QUOTES.sub("'", text),
    "letters of another alphabet": lambda text: text.translate(_ALIKE),
    "blanks": lambda text: "".join(text.split()),
    "a zero behind the point": lambda text: match[1] if (match := _POINT_ZERO.fullmatch(text)) else text,
    "case": str.casefold,
}
# What cannot be seen, or is typed for the same sign: no two names differ in these alone.
_UNSEEN = tuple(_KINDS)[:3]


def folded(text: str) -> str:
    """The text without all in which two spellings of a name may differ."""
    if text.isascii() and text.isprintable():  # nearly all are, and a table may have a million of them
        text = "".join(text.split()).replace("`", "'").lower()
        return _KINDS["a zero behind the point"](text)
    return _changed(text, _KINDS)


def seen(text: str) -> str:
    """The text as it is seen: without invisible characters, each run of blanks one, accents and mu in one form."""
    return " ".join(_changed(text, _UNSEEN).split())


def trimmed(text: str) -> str:
    """The text without blanks and invisible characters at its ends, accents in one form (NFC)."""
    if text.isascii() and text.isprintable():
        return text.strip()
    return unicodedata.normalize("NFC", text).strip(
        "".join({sign for sign in text if sign.isspace() or unicodedata.category(sign) == "Cf"})
    )


def differences(first: str, second: str) -> list[str]:
    """In what two spellings of one name differ, in words: the fewest changes after which they are equal."""
    needed = list(_KINDS)
    # First those whose change makes other changes as well: the small letter of a micro sign is the Greek mu.
    broad = ("wide or other forms of letters", "case")
    for kind in sorted(_KINDS, key=lambda name: name not in broad):
        fewer = [name for name in needed if name != kind]
        if _changed(first, fewer) == _changed(second, fewer):
            needed = fewer
    return needed


def _changed(text: str, kinds: Iterable[str]) -> str:
    for kind in kinds:
        text = _KINDS[kind](text)
    return text


def cleaned(table: pd.DataFrame, path: str, policy: str, also: Collection[str] = ()) -> pd.DataFrame:
    """A table of text columns with each name in one spelling.

    Parameters
    ----------
    table
        Text as the file has it, with blanks.
    path
        The file, for messages.
    policy
        ``exact``: several spellings of a name are refused. ``folded``: they become the most frequent one of them.
        ``distinct``: those that differ visibly are kept apart, the others joined.
    also
        Further columns that tell names apart, beside `NAMING`, ``Label_*`` and ``Split_*``.

    Returns
    -------
    DataFrame
        In all columns but those that name images, blanks and invisible characters at the ends are taken off. What changed
        by more than blanks, and what was joined or kept apart, is said.

    Raises
    ------
    UserError
        Under ``exact``; the message quotes two spellings and says in what they differ.
    """
    columns = {}
    for name in table:
        values = table[name]
        if name.startswith(("FileName_", "PathName_")) or name in _NOT_NAMES:
            columns[name] = values.str.strip()
            continue
        counts = Counter(values)
        naming = name in NAMING or name in also
        if name.startswith(("Label_", "Split_")):  # numbers are compared as numbers
            naming = not all(text.strip() == "" or _is_number(text) for text in counts)
        spelt = {text: trimmed(text) for text in counts}
        if naming:
            _check_cells(values, f"{path}: {name}")
            spelt |= _joined(counts, f"{path}: {name}", policy)
        elif len(counts) <= _LOOKED_AT and (twins := _groups(set(spelt.values()))):
            _tell(f"{path}: {name}: these differ in case, blanks or the like, and count as several", twins)
        _say_trimmed(spelt, f"{path}: {name}")
        columns[name] = values.map(spelt)
    return pd.DataFrame(columns, index=table.index)


def matches(text: str, wanted: str, policy: str) -> bool:
    """Whether a name of a table is the one that a key of the configuration names."""
    form = folded if policy == "folded" else seen
    return form(text) == form(wanted)


def hint(wanted: str, values: Iterable[str]) -> str:
    """A sentence on the first of `values` that is another spelling of the wanted name; "" if there is none."""
    for text in values:
        if seen(text) != seen(wanted) and folded(text) == folded(wanted):
            return f"It has {text!r}, which differs only in {' and '.join(differences(text, wanted))}."
    return ""


def _check_cells(values: pd.Series, where: str) -> None:
    """Refuse what a spreadsheet writes where a formula went wrong; say where it has cut the digits of a name."""
    first = values.drop_duplicates()
    for row, text in first.items():
        if text.strip() in _ERRORS:
            raise UserError(
                f"{where}: row {row}: {text.strip()!r} is what a spreadsheet writes where a formula went wrong. Correct it "
                "there, or leave the cell empty."
            )
    shortened = [text for text in first if _SHORTENED.fullmatch(text.strip())]
    if shortened:
        warn(
            f"{where}: {listed(shortened, SHOWN)}: a spreadsheet has shortened a long number, and several names may "
            "have become one. Save the column as text."
        )


def _joined(counts: Counter, where: str, policy: str) -> dict[str, str]:
    """The spelling of each text that is to be another than its own."""
    twins = _groups(counts)
    if twins and policy == "exact":
        first, second = sorted(twins[0], key=lambda text: (-counts[text], natural(text)))[:2]
        more = f" So are {len(twins) - 1} more names." if len(twins) > 1 else ""
        rows = f"{counts[first]} row{'s' if counts[first] > 1 else ''}"
        raise UserError(
            f"{where}: {first!r} ({rows}) and {second!r} ({counts[second]}) differ only in "
            f"{' and '.join(differences(first, second))}.{more} Write each name in one way, or say 'names: folded' in the "
            "dataset, which joins such spellings, or 'names: distinct' if they are different things."
        )
    if policy == "distinct":
        if twins:
            apart = [group for group in twins if len({seen(text) for text in group}) > 1]
            _tell(f"{where}: kept apart (names: distinct)", apart)
        twins = _groups(counts, seen)
    if twins:
        _tell(f"{where}: joined (names: {policy})", twins)
    spelt = {}
    for group in twins:
        usual = min(group, key=lambda text: (-counts[text], natural(text)))
        spelt |= dict.fromkeys(group, trimmed(usual))
    return spelt


def _groups(texts: Iterable[str], form: Callable[[str], str] = folded) -> list[list[str]]:
    """Texts of which several are spellings of one name."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(form(text), []).append(text)
    return [group for key, group in groups.items() if len(group) > 1 and key]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _tell(what: str, twins: list[list[str]]) -> None:
    if twins:
        groups = (" and ".join(map(repr, sorted(group, key=natural))) for group in twins)
        say(f"{what}: {listed(groups, SHOWN, '; ')}.")


def _say_trimmed(spelt: dict[str, str], where: str) -> None:
    """Say which names lost more than plain blanks; blanks at the ends mean nothing to anybody."""
    changed = [text for text, clean in spelt.items() if clean == trimmed(text) != text.strip(" \t\r\n")]
    if changed:
        read = (f"{text!r} is {spelt[text]!r}" for text in changed)
        say(f"{where}: invisible characters were taken off: {listed(read, SHOWN)}.")
