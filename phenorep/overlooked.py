"""Say which columns of a dataset's tables look like ours and are not taken."""

import difflib
import re
from collections.abc import Collection, Mapping

from phenorep import headers, loaddata, lookalikes, notes
from phenorep.errors import UserError
from phenorep.experiment import Experiment
from phenorep.lookalikes import COMPOUND, CONCENTRATION, CONTROL

_ENDINGS = {name.removeprefix("Metadata_").lower(): name for name in headers.NAMES if name.startswith("Metadata_")}


def tell(tables: Mapping[str, str], config: Experiment, there: Collection[str] = ()) -> None:
    """Say it, with what would take them; warn where doses of a compound become one treatment.

    Parameters
    ----------
    tables
        {key: path} of a dataset's tables; those without a path are passed over.
    config
        The dataset's: what its rules name is taken, and so is what they are in place of.
    there
        Names of ours that the dataset has from elsewhere.
    """
    read = {(key, path): loaddata.columns(path, key, config.rename) for key, path in tables.items() if path}
    used = _used(config)
    have = {new for columns in read.values() for new in columns.values()} | used | set(there)
    _tell_targets(config.rename)
    for (key, path), columns in read.items():
        like = {name: lookalikes.of(new) for name, new in columns.items() if new not in used}
        # Tables are joined by these two: each table needs its own.
        here = {"Metadata_Plate", "Metadata_Well"} & (set(columns.values()) | used)
        there_or_here = (have - {"Metadata_Plate", "Metadata_Well"}) | here
        like = {name: ours for name, ours in like.items() if ours and _is_missing(ours, columns[name], there_or_here)}
        plain = [f"{name!r} ({_taking(name, ours)})" for name, ours in like.items() if ours != CONCENTRATION]
        if plain:
            notes.say(f"{path}: columns that look like ours and are not taken, and what takes them: {', '.join(plain)}.")
        for name in [name for name, ours in like.items() if ours == CONCENTRATION]:
            remedy = _remedy(name, columns[name])
            what = f"{path}: {name!r} looks like a concentration and is not taken"
            merged = _of_several(key, path, config.rename, columns[name]) if COMPOUND in columns.values() else None
            if merged:
                notes.warn(f"{what}: all doses of {merged!r} count as one treatment. {remedy}")
            else:
                notes.say(f"{what}. {remedy}")


def _tell_targets(rename: Mapping[str, str] | None) -> None:
    """Warn of names in 'rename:' that are almost ours: such a column is carried and means nothing."""
    for theirs, target in (rename or {}).items():
        name = headers.meant(target, None) if target else ""
        near = difflib.get_close_matches(_ending(name), list(_ENDINGS), n=1, cutoff=0.82)
        # Metadata_Compound_Supplier and Metadata_Dose2 are meant as something else.
        if not near or name in headers.NAMES or re.match(rf"{near[0]}[_\d]", _ending(name)):
            continue
        pair = lookalikes.pair(str(theirs), str(target))
        notes.warn(f"datasets: rename: {pair}: {target!r} is none of our names. Did you mean '{_ENDINGS[near[0]]}'?")


def _ending(name: str) -> str:
    return name.removeprefix("Metadata_").lower()


def _remedy(name: str, new: str) -> str:
    """What takes a concentration, also where the user gave it another name that is none of ours."""
    if lookalikes.of(name) == CONCENTRATION:
        return lookalikes.remedy(name)
    return lookalikes.remedy(new).replace(*(lookalikes.pair(text, CONCENTRATION) for text in (new, name)))


def _used(config: Experiment) -> set[str]:
    """What rules name, and what they are in place of."""
    controls = {CONTROL} if config.negative_control or config.positive_control else set()
    return config.asked() | controls | ({lookalikes.BATCH} if config.batch_from else set())


def _is_missing(ours: str, new: str, have: Collection[str]) -> bool:
    if ours in ("Metadata_CellLine", "Metadata_Replicate"):  # carried under any name that begins so
        return ours not in have and not new.startswith(headers.PREFIXES)
    if ours == lookalikes.PERTURBATION and COMPOUND in have:  # it would take the compound's place
        return False
    return not set(have) & ({CONCENTRATION, lookalikes.DOSE} if ours == CONCENTRATION else {ours})


def _taking(name: str, ours: str) -> str:
    pair = lookalikes.pair(name, ours)
    return f"negative_control: {pair.replace(ours, 'ITS VALUE')}" if ours == CONTROL else f"rename: {pair}"


def _of_several(key: str, path: str, rename: Mapping[str, str] | None, column: str) -> str | None:
    """A compound that has several values of a column; None if there is none."""
    try:
        table = loaddata.read(path, key, rename, only=[COMPOUND, column])
    except UserError:  # whoever reads the table says it
        return None
    several = table[table[COMPOUND] != ""].groupby(COMPOUND)[column].nunique()
    return several.idxmax() if len(several) and several.max() > 1 else None
