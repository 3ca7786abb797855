"""Wells of several batches that differ in offset, scale and correlation, for the tests of batch corrections."""

import numpy as np
import pandas as pd

from phenorep import contracts


def table(
    batches: int = 3, controls: int = 40, count: int = 5, blocks: tuple[str, ...] = ("x",), seed: int = 0
) -> pd.DataFrame:
    """`controls` negative wells and half as many treated ones in each batch, with `count` features in each block."""
    generator = np.random.default_rng(seed)
    parts = []
    for batch in range(batches):
        wells = controls + controls // 2
        treated = np.arange(wells) >= controls
        part = pd.DataFrame(
            {
                "Metadata_Batch": f"b{batch}",
                "Metadata_Plate": f"p{batch}",
                "Metadata_Well": [f"A{well:02d}" for well in range(wells)],
                "Metadata_Compound": np.where(treated, "drug", "DMSO"),
                "Metadata_Control": np.where(treated, "", "negative"),
            }
        )
        for block in blocks:
            mixing = np.eye(count) + 0.4 * generator.normal(size=(count, count))
            values = (generator.normal(size=(wells, count)) + treated[:, None]) @ mixing * (batch + 1) + 10 * batch
            part[contracts.feature_names(block, count)] = values
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
