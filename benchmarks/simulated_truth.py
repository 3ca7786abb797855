"""What preprocessing finds on the simulated screen, against the truth that was drawn with it.

Run in the folder where `snakemake` ran: ``python -m benchmarks.simulated_truth [DATASET]``. Prints precision and recall of
nuclei (a centre is right if it lies in a true nucleus, each nucleus once) and the largest relative error of the illumination
functions, without the outer tenth of the field, after the best common factor.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from phenorep import contracts


def nuclei(dataset: str, plate: str) -> dict[str, int]:
    """Counts of true, found and rightly found nuclei of a plate, in fields without an artefact."""
    fields = contracts.read_table(f"results/{dataset}/fields/{plate}.parquet", "fields")
    found = contracts.read_table(f"results/{dataset}/nuclei/{plate}.parquet", "nuclei")
    counts = {"true": 0, "found": 0, "right": 0}
    for number, field in fields[fields["Label_Artefact"] == ""].iterrows():
        well, site = field["Metadata_Well"], field["Metadata_Site"]
        mask = np.array(Image.open(f"resources/{dataset}/{plate}/truth/masks/{plate}_{well}_s{site}.png"))
        border = np.unique(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]))
        own = found[found["Field"] == number]
        hit = mask[own["Location_Center_Y"].round().astype(int), own["Location_Center_X"].round().astype(int)]
        # Too little of a nucleus that the border cuts may be left: neither finding nor missing it counts.
        counts["true"] += len(np.setdiff1d(mask, [0, *border]))
        counts["found"] += int((~np.isin(hit, border[border > 0])).sum())
        counts["right"] += len(np.setdiff1d(hit, [0, *border]))
    return counts


def illumination(dataset: str, plate: str) -> dict[str, float]:
    """Largest relative error of each channel's illumination function in the inner nine tenths of the field."""
    errors = {}
    truth = np.load(f"resources/{dataset}/{plate}/truth/vignette.npz")
    with np.load(f"results/{dataset}/illumination/{plate}.npz", allow_pickle=False) as functions:
        for channel in truth.files:
            height, width = truth[channel].shape
            inner = np.s_[height // 20 : -height // 20, width // 20 : -width // 20]
            ratio = functions[channel][inner] / truth[channel][inner]
            errors[channel] = float(np.abs(ratio / np.median(ratio) - 1).max())
    return errors


def main(dataset: str = "simulated") -> None:
    """Print the comparison of all plates of a dataset."""
    plates = sorted(path.stem for path in Path(f"results/{dataset}/nuclei").glob("*.parquet"))
    counts = pd.DataFrame([nuclei(dataset, plate) for plate in plates], index=plates)
    table = pd.DataFrame([illumination(dataset, plate) for plate in plates], index=plates).add_prefix("error ")
    table.insert(0, "recall", counts["right"] / counts["true"])
    table.insert(0, "precision", counts["right"] / counts["found"])
    print(table.round(3).to_string())
    total = counts.sum()
    print(f"all plates: precision {total.right / total.found:.3f}, recall {total.right / total.true:.3f} of {total.true}")


if __name__ == "__main__":
    main(*sys.argv[1:])
