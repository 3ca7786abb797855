"""Tables of wells with some columns, imported: for the tests of features that were computed elsewhere."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phenorep import contracts, imported, plugins
from phenorep.datasets import features as module
from phenorep.errors import UserError

ROWS = 24
WELLS = {
    "Metadata_Plate": [plate for plate in ("P1", "P2") for _ in range(12)],
    "Metadata_Well": [f"{row}{column:02d}" for row in "AB" for column in range(1, 7)] * 2,
}
VALUES = np.random.default_rng(0).normal(size=(ROWS, 4))
ROUNDED = VALUES.astype(np.float16).astype(np.float64)


def importer(tmp_path):
    """Import a table of wells with some columns: its features (n, F) and the facts about them."""

    def made(columns, suffix="parquet", wells=WELLS, **keys):
        path = tmp_path / f"wells.{suffix}"
        if suffix == "parquet":
            pq.write_table(pa.table({**wells, **columns}), path)
        else:
            pd.DataFrame({**wells, **columns}).to_csv(path, index=False)
        output = tmp_path / "made.parquet"
        imported.make(module, plugins.configure(module.Config, {"table": str(path), **keys}, "datasets: mine"), output)
        assert contracts.not_run(output) is None
        about = contracts.about(output)
        tables = [str(path), *([keys["plate_map"]] if "plate_map" in keys else [])]
        assert all(any(name in note["text"] for name in tables) for note in about["notes"])
        table = contracts.read_table(output, "embeddings")
        return table[contracts.feature_columns(table.columns)].to_numpy(), about["blocks"]["imported"], about["notes"]

    return made


def refusal(made, columns, suffix="parquet", **keys):
    with pytest.raises(UserError) as error:
        made(columns, suffix, **keys)
    return str(error.value)


def warnings(notes):
    return [note["text"] for note in notes if note["check"]]
