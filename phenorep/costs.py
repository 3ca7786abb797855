"""What each job cost: Snakemake's benchmark files as one table.

The table holds every job of a run but those of the rules `scores`, `answers`, `costs` and `page`, which run at the same time
as the job that writes it, or after it. What the run did not have to make again (a shared encoder, a downloaded archive) has
the cost of the day on which it was made.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from phenorep import contracts
from phenorep.errors import UserError

LABELS = ("rule", "dataset", "samples", "method", "seed", "epoch", "profile", "evaluation", "plate", "archive", "stage")
# Snakemake's column -> ours. Memory is the resident set in MB.
_MEASURED = {"s": "seconds", "cpu_time": "cpu_seconds", "max_rss": "max_rss_mb"}
COLUMNS = (*LABELS, *_MEASURED.values())


def collect(benchmarks: Iterable[dict], out: str | Path) -> None:
    """Join benchmark files into one table, sorted by its labels; one row per job (and repetition).

    Parameters
    ----------
    benchmarks
        For each benchmark file its ``path`` (tab-separated, as Snakemake writes it), its rule and its wildcards: of these
        `LABELS` are taken, missing ones are empty.
    out
        Table with the columns `COLUMNS`; what a job was too short to be measured for is empty.

    Raises
    ------
    UserError
        If a file is no benchmark.
    """
    tables = []
    for labels in benchmarks:
        path = labels["path"]
        if not Path(path).is_file():  # a job that ran before benchmarks were kept, or whose benchmark was removed
            logging.getLogger(__name__).warning("%s: no such benchmark; its job is left out of the costs.", path)
            continue
        tables.append(_read(path).assign(**{name: str(labels.get(name, "")) for name in LABELS}))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))
    contracts.write_csv(table[list(COLUMNS)].sort_values(list(COLUMNS), kind="stable"), out)


def read(path: str | Path) -> pd.DataFrame:
    """Read a table of costs; labels are text."""
    empty = {name: [""] for name in _MEASURED.values()}
    return pd.read_csv(path, dtype=dict.fromkeys(LABELS, str), keep_default_na=False, na_values=empty)


def _read(path: str | Path) -> pd.DataFrame:
    table = pd.read_csv(path, sep="\t", na_values=["NA", "-"])
    missing = [name for name in _MEASURED if name not in table]
    if missing:
        raise UserError(
            f"{path}: no benchmark of Snakemake: the column(s) {', '.join(missing)} are missing. Remove the file."
        )
    return table[list(_MEASURED)].rename(columns=_MEASURED)
