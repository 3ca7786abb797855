import zipfile

import numpy as np
import pytest

from phenorep import masks
from phenorep.errors import UserError


def write(path, *images):
    with masks.writer(path) as add:
        for number, labels in enumerate(images):
            add(3 * number, labels)
    return path


def some_labels(seed=0, size=(31, 45)):
    return np.random.default_rng(seed).integers(0, 60, size)


def test_masks_come_back(tmp_path):
    empty, two = np.zeros((7, 5), np.int32), some_labels()[:, ::2]  # the second is not contiguous
    path = write(tmp_path / "P1.npz", some_labels(), two, empty)
    for field, expected in ((0, some_labels()), (3, two), (6, empty)):
        labels = masks.read(path, field)
        assert (labels == expected).all()
        assert labels.dtype == np.uint16
    assert path.stat().st_size < 2 * (some_labels().size + two.size)  # compressed: two bytes per pixel otherwise


@pytest.mark.parametrize(("highest", "kind"), [(65535, np.uint16), (65536, np.uint32), (200_000, np.uint32)])
def test_more_nuclei_than_fit_into_16_bits(tmp_path, highest, kind):
    labels = np.array([[0, 1], [65535, highest]])
    found = masks.read(write(tmp_path / "P1.npz", labels), 0)
    assert (found == labels).all()
    assert found.dtype == kind


def test_equal_masks_are_equal_files(tmp_path, monkeypatch):
    first = write(tmp_path / "P1.npz", some_labels(), some_labels(1)).read_bytes()
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    other_type = (some_labels().astype(np.int64), np.asfortranarray(some_labels(1)))
    assert write(tmp_path / "again.npz", *other_type).read_bytes() == first
    assert write(tmp_path / "other.npz", some_labels(), some_labels(2)).read_bytes() != first


def test_numpy_reads_them_too(tmp_path):
    with np.load(write(tmp_path / "P1.npz", some_labels())) as file:
        assert file.files == ["0"]
        assert (file["0"] == some_labels()).all()


def test_nothing_is_left_of_what_was_broken_off(tmp_path):
    with pytest.raises(AttributeError):
        write(tmp_path / "P1.npz", some_labels(), "no labels")
    assert list(tmp_path.iterdir()) == []


def test_a_field_without_masks_is_named(tmp_path):
    path = write(tmp_path / "P1.npz", some_labels())
    with pytest.raises(UserError, match=r"P1.npz: there are no masks of field 3\..*pipeline"):
        masks.read(path, 3)
    with pytest.raises(UserError, match="there are no masks of field 0"):
        masks.read(write(tmp_path / "empty.npz"), 0)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"P1.npz: cannot be read as masks"):
        masks.read(tmp_path / "P1.npz", 0)


def test_a_damaged_file_is_named(tmp_path):
    whole = write(tmp_path / "P1.npz", some_labels()).read_bytes()
    path = tmp_path / "damaged.npz"
    with zipfile.ZipFile(tmp_path / "P1.npz") as file:
        start = file.infolist()[0].header_offset + 40
    damages = [b"", whole[:1], whole[: len(whole) // 2], b"no archive", whole[:-10]]
    damages += [whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :] for place in range(start, start + 900, 60)]
    for damage in damages:
        path.write_bytes(damage)
        with pytest.raises(UserError, match=r"damaged.npz: cannot be read as masks.*Remove it"):
            masks.read(path, 0)
