"""Labels that somebody gave single samples by eye: a table of normal and abnormal images, as the annotation page writes it.

Labels stand beside the samples, not in them: what is cut, trained and embedded does not change when one more image is
marked. They enter where they are used, in evaluations and in the classifier of abnormal images.
"""

import logging
from pathlib import Path

import pandas as pd

from phenorep import loaddata, plugins
from phenorep.errors import UserError

QUALITY, ARTEFACT = "Label_Quality", "Label_Artefact"
NORMAL, ABNORMAL = "normal", "abnormal"
COLUMNS = ("Sample", QUALITY, ARTEFACT)


def read(path: str | Path) -> pd.DataFrame:
    """A table of annotations, one row for each annotated sample.

    Parameters
    ----------
    path
        CSV or parquet with the columns `Sample`, `Label_Quality` (normal or abnormal; rows where it is empty are passed
        over) and, where known, `Label_Artefact`.

    Returns
    -------
    DataFrame
        `COLUMNS`, all text.

    Raises
    ------
    UserError
        If the file is no such table, or gives one sample two labels.
    """
    try:
        table = loaddata.read(str(path), "annotations", also=COLUMNS[:1])
    except UserError as error:
        raise UserError(f"annotations: {error}") from error
    for name in COLUMNS[:2]:
        if name not in table:
            raise UserError(
                f"annotations: {path}: there is no column '{name}'. {plugins.suggest(name, table.columns)} Needed are "
                f"Sample and {QUALITY}, and {ARTEFACT} where the kind is known."
            )
    table = table.assign(**{ARTEFACT: table.get(ARTEFACT, "")})[list(COLUMNS)].apply(lambda column: column.str.strip())
    table[QUALITY] = table[QUALITY].str.lower()
    unknown = ~table[QUALITY].isin(["", NORMAL, ABNORMAL])
    if unknown.any():
        row = table.index[unknown][0]
        raise UserError(
            f"annotations: {path}: row {row}: {QUALITY} is {table.loc[row, QUALITY]!r}; it can be {NORMAL}, "
            f"{ABNORMAL} or empty."
        )
    table = table[table[QUALITY] != ""].drop_duplicates(["Sample", QUALITY]).reset_index(drop=True)
    twice = table.loc[table["Sample"].duplicated(), "Sample"]
    if len(twice):
        raise UserError(
            f"annotations: {path}: {len(twice)} sample(s) are called both {NORMAL} and {ABNORMAL}, the first is "
            f"'{twice.iloc[0]}'. Leave one label of each."
        )
    if table.empty:
        raise UserError(
            f"annotations: {path}: no sample has a label. Mark some on the page that `snakemake annotate` writes."
        )
    return table


def join(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """The table of samples with the labels of a file, in place of those that it has.

    Parameters
    ----------
    table
        With the column `Sample`.
    path
        As of `read`.

    Returns
    -------
    DataFrame
        A copy with `Label_Quality` and `Label_Artefact`, which are empty for samples that are not in the file.

    Raises
    ------
    UserError
        If no row of the file is a sample of the table.
    """
    given = read(path)
    known = given["Sample"].isin(set(table["Sample"]))
    if not known.any():
        raise UserError(
            f"annotations: {path}: none of its {len(given)} samples is in the sample set: the file has "
            f"'{given['Sample'].iloc[0]}', the set has '{table['Sample'].iloc[0] if len(table) else 'nothing'}'. It is of "
            "another sample set or of other plates: name the right one in 'annotations:'."
        )
    if not known.all():
        first = given.loc[~known, "Sample"].iloc[0]
        logging.getLogger(__name__).warning(
            "annotations: %s: %d of %d samples are not in the sample set, the first is %s",
            path,
            (~known).sum(),
            len(given),
            first,
        )
    given = given.set_index("Sample")
    own = {name: given[name].reindex(table["Sample"]).fillna("").to_numpy() for name in (QUALITY, ARTEFACT)}
    return table.assign(**own)
