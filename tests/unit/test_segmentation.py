import csv
import math
import time

import numpy as np
import pytest
from scipy import ndimage
from skimage.io import imread
from skimage.measure import label

from phenorep.imaging import readers, segmentation
from phenorep.preprocessing import Segmentation
from tests.unit import golden_nuclei
from tests.unit.made_plate import draw

RANGE = 65535


def nuclei(image, **keys):
    return segmentation.find_nuclei(np.asarray(image, np.float32) / RANGE, Segmentation(**keys))


def noisy(image, sigma=20, seed=0):
    return np.random.default_rng(seed).normal(image, sigma)


def soft(*drawing):
    """As a microscope shows it: Otsu's threshold lies just above the background where a sharp edge leaves no grey."""
    return ndimage.gaussian_filter(draw(*drawing), 2)


def matches(found, truth, overlap):
    """Number of found objects whose intersection over union with a true one exceeds `overlap`."""
    together = np.zeros((found.max() + 1, truth.max() + 1), np.int64)
    np.add.at(together, (found.ravel(), truth.ravel()), 1)
    union = together.sum(1)[1:, None] + together.sum(0)[None, 1:] - together[1:, 1:]
    return int((together[1:, 1:] > overlap * union).sum())


@pytest.mark.parametrize("shape", [(128, 160), (101, 77)])
# Minimum cross-entropy sets in lower on the blurred edge.
@pytest.mark.parametrize(("threshold", "tolerance"), [("otsu", 0.1), ("minimum_cross_entropy", 0.45)])
def test_round_nuclei_are_found_where_they_are(shape, threshold, tolerance):
    centres = [(20, 20), (50, 30), (80, 60)]
    labels = nuclei(noisy(soft(shape, centres, 9, 3000, 200)), threshold=threshold)
    assert labels.max() == 3
    for number, centre in enumerate(centres, start=1):
        y, x = np.nonzero(labels == number)
        assert (y.mean(), x.mean()) == pytest.approx(centre, abs=0.2)
        assert len(y) == pytest.approx(math.pi * 9**2, rel=tolerance)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", ["otsu", "minimum_cross_entropy"])
def test_an_empty_field_has_no_nuclei(seed, threshold):
    noise = noisy(np.full((200, 240), 150.0), 6, seed)
    ramp = noise + np.linspace(0, 100, 240)
    assert nuclei(noise, threshold=threshold).max() == 0
    assert nuclei(ramp, threshold=threshold).max() == 0
    assert nuclei(np.full((50, 60), 7.0), threshold=threshold).max() == 0
    assert nuclei(noise, threshold=threshold, minimum_contrast=0, diameter=(2, 80)).max() > 0  # it is that key that does it


def test_bounds_keep_the_threshold_above_dim_things():
    image = noisy(draw((80, 80), [(40, 40)], 9, 500, 100), 5)
    assert nuclei(image).max() == 1
    assert nuclei(image, threshold_bounds=(0.02, 1.0)).max() == 0


def test_touching_nuclei_are_cut_apart():
    image = draw((100, 120), [(50, 45), (50, 63)], 11, 3000, 200)
    assert nuclei(image, declump="none").max() == 1
    labels = nuclei(noisy(image), declump="shape")
    assert labels.max() == 2
    assert labels[50, 45] != labels[50, 63]
    y, x = np.mgrid[:100, :120]
    bumps = sum(3000 * np.exp(-((y - 50) ** 2 + (x - cx) ** 2) / 60) for cx in (45, 63))
    assert nuclei(bumps + 200, declump="intensity").max() == 2


def test_holes_are_filled_unless_asked_not_to():
    ring = soft((80, 80), [(40, 40)], 14, 3000, 200) - soft((80, 80), [(40, 40)], 5, 2900, 0)
    assert nuclei(ring, declump="none")[40, 40] == 1
    assert nuclei(ring, declump="none", fill_holes=False)[40, 40] == 0


def test_size_and_border_decide_what_is_kept():
    image = soft((120, 120), [(40, 40), (80, 85), (0, 90)], 9, 3000, 200) + soft((120, 120), [(20, 80)], 4, 3000, 0)
    assert nuclei(image).max() == 3
    assert nuclei(image, border="drop").max() == 2
    assert nuclei(image, diameter=(4, 80)).max() == 4
    assert nuclei(image, diameter=(19, 30)).max() == 0


@pytest.mark.parametrize("case", ["SHAPE", "INTENSITY", "LOW_RESOLUTION", "MIXED"])
def test_nuclei_are_those_of_cellprofiler(case):
    keys, expected = getattr(golden_nuclei, case)
    found = segmentation.find_nuclei(golden_nuclei.clumps(), Segmentation(minimum_contrast=0, **keys))
    assert (found == golden_nuclei.labels(expected)).all()


def test_labels_are_without_gaps():
    labels = nuclei(draw((120, 120), [(40, 40), (80, 85), (0, 90), (110, 20)], 8, 3000, 200))
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    assert labels.dtype == np.int32


def test_has_contrast_is_what_decides_whether_a_field_is_searched():
    image = draw((80, 80), [(40, 40)], 9, 500, 100)
    for field, contrast in (
        (noisy(image, 5), True),
        (noisy(np.full((80, 80), 150.0), 6), False),
        (np.zeros((80, 80)), False),
    ):
        field = field.astype(np.float32) / RANGE
        assert segmentation.has_contrast(field, Segmentation()) is contrast
        assert segmentation.has_contrast(field, Segmentation(minimum_contrast=0))
        assert bool(segmentation.find_nuclei(field, Segmentation()).any()) is contrast


def test_bounds_are_shares_of_the_cameras_range():
    image = (noisy(draw((80, 80), [(40, 40)], 9, 500, 100), 5) / RANGE).astype(np.float32)
    bounded = Segmentation(threshold_bounds=(0.2, 1.0))
    assert segmentation.find_nuclei(image, bounded, 4095 / RANGE).max() == 0  # 819 of 4095
    assert segmentation.find_nuclei(image, bounded, 1023 / RANGE).max() == 1  # 205 of 1023


def test_a_field_of_many_nuclei_is_quick():
    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(60, 1000, 90), np.arange(60, 1240, 95), indexing="ij"), -1).reshape(-1, 2)
    image = np.full((1024, 1280), 200, np.float32)
    for y, x in grid + generator.integers(-20, 20, grid.shape):
        image[y - 14 : y + 14, x - 14 : x + 14] += draw((28, 28), [(14, 14)], 13, 3000, 0).astype(np.float32)
    image = (noisy(image) / RANGE).astype(np.float32)
    segmentation.find_nuclei(image, Segmentation())  # imports, and what is kept for all fields of a plate
    start = time.process_time()
    labels = segmentation.find_nuclei(image, Segmentation())
    assert time.process_time() - start < 1  # about 0.1 s on an idle machine; CellProfiler needs 1
    assert labels.max() > 100


def test_published_masks_are_matched(shared_data):
    folder = shared_data / "bbbc039"
    counts = {row["file"]: int(row["nuclei"]) for row in csv.DictReader((folder / "counts.csv").open())}
    hits, found, true = 0, 0, 0
    for name in sorted(counts)[::4]:
        mask = imread(folder / "masks" / name.replace(".tif", ".png"))[..., :3].astype(np.int64) @ [65536, 256, 1]
        truth = label(mask, connectivity=1)
        assert truth.max() == counts[name]
        truth = label(np.where(np.bincount(truth.ravel())[truth] >= 50, truth, 0), connectivity=1)  # without specks
        labels = nuclei(readers.read(folder / "images" / name), border="keep", diameter=(15, 80))
        hits += matches(labels, truth, 0.5)
        found, true = found + labels.max(), true + truth.max()
    assert 2 * hits / (found + true) > 0.9


def test_counts_need_the_nuclei_at_the_border(shared_data):
    rows = list(csv.DictReader((shared_data / "bbbc005" / "labels.csv").open()))
    sharp = [row for row in rows if (row["blur"], row["stain"]) == ("1", "1")][::3]
    errors = {"keep": [], "drop": []}
    for row in sharp:
        image = readers.read(shared_data / "bbbc005" / "images" / row["file"]).astype(np.float32) / 255
        for border, wrong in errors.items():
            wrong.append(abs(int(segmentation.find_nuclei(image, Segmentation(border=border)).max()) - int(row["count"])))
    assert Segmentation().border == "keep"
    assert np.mean(errors["keep"]) < 1 < np.mean(errors["drop"]) / 5


def test_a_real_plate_has_a_plausible_number_of_nuclei(shared_data):
    for well in ("01-A-01", "48-D-12", "96-H-12"):
        image = readers.read(shared_data / "bbbc013" / f"Channel2-{well}.tif").astype(np.float32) / 255
        labels = segmentation.find_nuclei(image, Segmentation())
        diameters = 2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)
        assert 60 < labels.max() < 400
        assert 12 < np.median(diameters) < 22
