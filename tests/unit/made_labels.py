"""Embeddings of labelled samples: abnormal ones differ in some features, whole fields are of one kind."""

import numpy as np
import pandas as pd


def table(count: int = 600, features: int = 12, signal: float = 4.0, wells: int = 30, plate: str = "P1", seed: int = 0):
    """Samples of three fields in each well; 40 % of the fields are abnormal, by `signal` in a third of the features."""
    generator = np.random.default_rng(seed)
    well, site = generator.integers(wells, size=count), generator.integers(3, size=count)
    abnormal = (generator.random((wells, 3)) < 0.4)[well, site]
    values = generator.normal(size=(count, features))
    values[abnormal, : features // 3] += signal
    names = [f"A{number:02d}" for number in well]
    facts = {
        "Metadata_Plate": plate,
        "Metadata_Well": names,
        "Metadata_Site": [str(number) for number in site],
        "Sample": [f"{plate}/{name}/{number}/{row}" for row, (name, number) in enumerate(zip(names, site, strict=True))],
        "Label_Quality": np.where(abnormal, "abnormal", "normal"),
        "Label_Artefact": np.where(abnormal, "debris", ""),
    }
    columns = {f"x_{number:04d}": values[:, number] for number in range(features)}
    return pd.DataFrame(facts | columns)
