import numpy as np
import pytest
from centrosome.cpmorphology import fill_labeled_holes, is_local_maximum, strel_disk
from scipy import ndimage
from skimage.segmentation import watershed

from phenorep.imaging import declumping, holes
from phenorep.preprocessing import Segmentation


def blobs(seed=0, shape=(150, 170)):
    """Random blobs, and a float32 image that is brighter in them."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4)
    return noise > 0.03, (noise - noise.min()).astype(np.float32)


def numbered(foreground):
    return ndimage.label(foreground, declumping.TOUCHING)[0]


@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_of_the_whole_image(seed):
    foreground, _ = blobs(seed)
    assert (declumping._distance(numbered(foreground)) == ndimage.distance_transform_edt(foreground)).all()


@pytest.mark.parametrize("distance", [1.0, 3.0, 6.67])
def test_maxima_are_those_of_centrosome(distance):
    foreground, image = blobs(1)
    objects = numbered(foreground)
    expected = is_local_maximum(image, objects, strel_disk(max(1, distance - 0.5)))
    assert expected.any()
    assert (declumping._maxima(image, objects, distance) == expected).all()


def test_equal_heights_are_all_maxima():
    objects = np.zeros((9, 12), np.int32)
    objects[2:7, 2:10] = 1
    assert (declumping._maxima(np.ones((9, 12)), objects, 3) == (objects > 0)).all()
    assert not declumping._maxima(np.zeros((9, 12)), objects, 3).any()


@pytest.mark.parametrize("factor", [10 / 11, 10 / 15, 10 / 40])
def test_peaks_are_enlarged_as_the_whole_image_would_be(factor):
    shape = (97, 130)
    generator = np.random.default_rng(0)
    found = generator.random(tuple(int(np.ceil(length * factor)) for length in shape)) < 0.02
    found[0, 3] = found[-1, -1] = True
    back = shape[0] / found.shape[0]
    expected = ndimage.map_coordinates(found.astype(float), np.mgrid[: shape[0], : shape[1]] / back) > 0.5
    assert expected.any()
    assert (declumping._enlarged(found, shape) == expected).all()


@pytest.mark.parametrize("factor", [10 / 11, 10 / 15])
def test_nearest_objects_are_those_of_the_whole_image(factor):
    objects = numbered(blobs(2)[0])
    places = [np.arange(int(np.ceil(length * factor))) / factor for length in objects.shape]
    expected = ndimage.map_coordinates(objects, np.meshgrid(*places, indexing="ij"), order=0)
    assert (declumping._nearest(objects, *places) == expected).all()


@pytest.mark.parametrize("seed", range(3))
def test_floods_are_those_of_the_whole_image(seed):
    """Where no two levels are equal, all watersheds agree."""
    foreground, image = blobs(seed)
    objects = numbered(foreground)
    markers = numbered(declumping._maxima(image, objects, 5))
    expected = watershed(-image, markers, declumping.TOUCHING, mask=foreground)
    flooded = declumping._flooded(-image, markers, objects)
    assert len(np.unique(expected)) > objects.max()
    assert (flooded == expected).all()


def test_a_pit_belongs_to_whom_reaches_it_first():
    """One row between two markers, equal levels, and a pit beside them: as in CellProfiler's watershed."""
    landscape = np.array([[0, 5, 5, 5, 5, 0]], np.float64)
    markers = np.array([[1, 0, 0, 0, 0, 2]], np.int32)
    assert declumping._flooded(landscape, markers, np.ones((1, 6), np.int32)).tolist() == [[1, 1, 1, 2, 2, 2]]


def test_an_object_without_peak_is_gone():
    objects = np.zeros((5, 9), np.int32)
    objects[1:4, 1:4], objects[1:4, 5:8] = 1, 2
    markers = np.zeros((5, 9), np.int32)
    markers[2, 6] = 1
    assert (declumping._flooded(np.zeros((5, 9)), markers, objects) == (objects == 2)).all()


def test_settings_move_the_peaks():
    foreground, image = blobs(3)
    objects = numbered(foreground)

    def count(**keys):
        return declumping.separate(objects, image / image.max(), Segmentation(**keys)).max()

    assert count(declump_distance=2.0) > count(declump_distance=12.0)
    assert count(declump="intensity", declump_smoothing=0) > count(declump="intensity", declump_smoothing=12)
    assert count(diameter=(25, 80)) < count(diameter=(8, 80))


@pytest.mark.parametrize("size", [1, 20, 10_000])
def test_holes_are_those_of_centrosome(size):
    foreground, _ = blobs(4)
    expected = fill_labeled_holes(foreground, size_fn=lambda area, _: area < size)
    assert (holes.fill(foreground, size) == expected).all()


def test_holes_of_labels():
    labels = np.zeros((12, 20), np.int32)
    labels[1:11, 1:11] = 1
    labels[3:9, 3:9] = 0  # a large hole
    labels[5:7, 5:7] = 2  # an object in it
    labels[4:8, 14:18] = 3
    labels[5:7, 15:17] = 4  # an object without background around
    filled = holes.fill_labelled(labels)
    assert (filled == fill_labeled_holes(labels)).all()
    assert np.unique(filled).tolist() == [0, 1, 3]
    whole = np.where(filled == 1, 5, 0)
    assert holes.fill_labelled(whole) is whole
    assert not holes.fill_labelled(np.zeros((4, 5), np.int32)).any()
