"""What the columns of a user's table are called: one reading of every header, whatever it decorates our names with.

A name that differs from ours in nothing but what cannot be seen, or in capitals, is ours: it is read so, and that is said.
Two columns of one name are refused: which of them was meant, nobody can tell. A user's other columns keep their letters.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from phenorep import notes
from phenorep.errors import UserError
from phenorep.wording import listed

# What is carried of a LoadData table: anything behind these.
PREFIXES = ("Metadata_", "Label_", "Split_", "FileName_", "PathName_")
# The names that mean something, whose capitals therefore matter.
NAMES = (
    *("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Batch", "Metadata_Control", "Metadata_CellLine"),
    *("Metadata_Compound", "Metadata_Concentration", "Metadata_Dose", "Metadata_MoA"),
    *("Metadata_Perturbation", "Metadata_Treatment", "Metadata_Time", "Metadata_Plane"),
    *("Label_Quality", "Label_Artefact", "Label_Count", "Label_Blur", "Split_Quality"),
)
SHOWN = 12  # names that a note lists
_URL = "URL_"  # CellProfiler's name of an image, folder and all
# An image's name with other signs between its parts: FileName ER, File_Name_ER.
_IMAGES = re.compile(r"(file|path)[_ .-]?name[_ .-](?=[^_ .-])(.+)", re.IGNORECASE)
# What pandas calls a column without a name, and the row numbers that it writes into parquet files.
_NAMELESS = re.compile(r"(__index_level_\d+__|Unnamed: \d+(\.\d+)?)?")
_QUOTES = ('""', "''", "``", "“”", "”“", "„“", "„”", "‘’", "«»", "»«")


def clean(name: str) -> str:
    """A name without what a reader of the header does not see: blanks and signs at its ends, quotes around it.

    Letters are composed (NFC); within the name, signs of no width are left out and each other blank is a plain one.
    """
    name = unicodedata.normalize("NFC", name).replace("\r\n", " ")
    name = "".join(" " if _is_blank(sign) else sign for sign in name if unicodedata.category(sign) != "Cf")
    while True:
        start, end = 0, len(name)
        while start < end and _is_unseen(name[start]):
            start += 1
        while end > start and _is_unseen(name[end - 1]):
            end -= 1
        name = name[start:end]
        if len(name) < 2 or name[0] + name[-1] not in _QUOTES:
            return name
        name = name[1:-1]


def _is_blank(sign: str) -> bool:
    return sign.isspace() or unicodedata.category(sign)[0] == "Z"


def _is_unseen(sign: str) -> bool:
    return _is_blank(sign) or unicodedata.category(sign) == "Cc"


def spelt(name: str, also: Collection[str] = ()) -> str:
    """A clean name in our capitals if it is one of ours, or begins like one; then without the prefix ``Image_``.

    Parameters
    ----------
    also
        Further names of ours, of tables that have them.
    """
    short = name[len("Image_") :] if name.lower().startswith("image_") else name
    for ours in (*NAMES, *also):
        if short.lower() == ours.lower():
            return ours
    if match := _IMAGES.fullmatch(short):
        return f"{match[1].title()}Name_{match[2]}"
    for prefix in PREFIXES:
        if short.lower().startswith(prefix.lower()):
            return prefix + short[len(prefix) :]
    return name


def meant(column: str, rename: Mapping[str, str] | None) -> str:
    """Our name of a column that a key of the configuration names: as the file has it, or as it is read."""
    return _renamed(str(column), rename) or spelt(clean(str(column)))


def forms(name: str) -> set[str]:
    """All that a column may be called in the configuration: as in the file, clean, and in our spelling."""
    return {name, clean(name), spelt(clean(name))}


def read(
    names: Sequence[str], path: str, rename: Mapping[str, str] | None = None, also: Collection[str] = ()
) -> list[str | None]:
    """Our names of a table's columns, in their order; None for a column that has no name.

    Parameters
    ----------
    names
        As the file has them.
    path
        The file, for messages.
    rename
        {their column: ours}; theirs as the file has it or as it is read.
    also
        Further names of ours, as of `spelt`.

    Raises
    ------
    UserError
        If two columns have one name.
    """
    _check_twice(names, path)
    ours = [_renamed(name, rename) or (None if _is_nameless(name) else spelt(clean(name), also)) for name in names]
    urls = _urls(ours)
    ours = [urls.get(name, name) for name in ours]
    taken: dict[str, str] = {}
    for theirs, name in zip(names, ours, strict=True):
        if name is None:
            continue
        if name in taken:
            other = "" if also else f", or name it by 'datasets: rename: {{{theirs!r}: NEW_NAME}}'"
            what = f"two of its columns would be '{name}': {taken[name]!r} and {theirs!r}"
            raise UserError(f"{path}: {what}. Take one of them out{other}.")
        taken[name] = theirs
    _tell(names, ours, path, rename)
    if urls:
        notes.say(f"{path}: it has no column FileName_*: the images are those that {', '.join(urls)} names.")
    return ours


def _renamed(name: str, rename: Mapping[str, str] | None) -> str | None:
    given = {str(theirs): ours for theirs, ours in (rename or {}).items() if ours}
    for form in (name, clean(name), spelt(clean(name))):
        if form in given:
            return spelt(clean(str(given[form])))
    return None


def _is_nameless(name: str) -> bool:
    return bool(_NAMELESS.fullmatch(clean(name)))


def _urls(ours: Sequence[str | None]) -> dict[str, str]:
    """CellProfiler's columns of images that stand for FileName_*, where a table has none of these."""
    names = [name for name in ours if name]
    if any(name.startswith("FileName_") for name in names):
        return {}
    ending = {name: name.removeprefix("Image_") for name in names}
    return {name: f"FileName_{end[len(_URL) :]}" for name, end in ending.items() if end.startswith(_URL)}


def _check_twice(names: Sequence[str], path: str) -> None:
    for name, number in Counter(names).items():
        if number > 1 and not _is_nameless(name):
            raise UserError(f"{path}: its column '{clean(name)}' stands there twice. Take one out, or rename it there.")


def _tell(names: Sequence[str], ours: Sequence[str | None], path: str, rename: Mapping[str, str] | None) -> None:
    """Say which names are read otherwise than the file has them, but for those that the user renamed."""
    changed = []
    for theirs, name in zip(names, ours, strict=True):
        plain = {name, f"Image_{name}", f"{_URL}{(name or '')[len('FileName_') :]}"}
        if name is not None and theirs not in plain and _renamed(theirs, rename) is None:
            changed.append(f"{theirs!r} as {name}")
    if changed:
        notes.say(f"{path}: names of columns are read in our spelling: {listed(changed, SHOWN)}.")
