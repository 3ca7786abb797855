import pickle
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from phenorep.errors import UserError
from phenorep.imaging import readers

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
DEEP = np.arange(48, dtype=np.uint16).reshape(6, 8) * 80


def save_palette_tiff(path, image, palette):
    tifffile.imwrite(path, image, photometric="palette", colormap=palette)


def test_grey_tiff_png_and_bmp_keep_values_and_depth(tmp_path):
    for image, names in ((GREY, ("a.tif", "a.png", "a.bmp")), (DEEP, ("b.tif", "b.png"))):
        for name in names:
            path = tmp_path / name
            tifffile.imwrite(path, image) if name.endswith("tif") else Image.fromarray(image).save(path)
            assert readers.header(path) == (6, 8, image.dtype.itemsize * 8)
            np.testing.assert_array_equal(readers.read(path), image)
            assert readers.read(path).dtype == image.dtype


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"bigtiff": True}, {"compression": "lzw"}, {"rowsperstrip": 1}])
def test_kinds_of_tiff_give_native_arrays(tmp_path, options):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP, **options)
    image = readers.read(path)
    np.testing.assert_array_equal(image, DEEP)
    assert image.dtype == np.dtype("=u2")
    assert image.flags["C_CONTIGUOUS"]
    assert image.flags["WRITEABLE"]


@pytest.mark.parametrize("scale", [257, 256, 1])
def test_palette_with_a_grey_ramp_gives_the_index(tmp_path, scale):
    path = tmp_path / "a.tif"
    save_palette_tiff(path, GREY, np.tile((np.arange(256) * scale).astype(np.uint16), (3, 1)))
    np.testing.assert_array_equal(readers.read(path), GREY)
    assert readers.header(path) == (6, 8, 8)


def test_palette_of_greys_is_looked_up_and_one_of_colours_refused(tmp_path):
    reversed_ramp = np.tile((255 - np.arange(256)).astype(np.uint16) * 257, (3, 1))
    save_palette_tiff(tmp_path / "a.tif", GREY, reversed_ramp)
    np.testing.assert_array_equal(readers.read(tmp_path / "a.tif"), 255 - GREY)
    reversed_ramp[0, 3] = 7
    save_palette_tiff(tmp_path / "b.tif", GREY, reversed_ramp)
    with pytest.raises(readers.ImageError, match="palette of colours"):
        readers.header(tmp_path / "b.tif")

    image = Image.fromarray(GREY, mode="P")
    image.putpalette([value for grey in range(255, -1, -1) for value in (grey, grey, grey)])
    image.save(tmp_path / "c.bmp")
    np.testing.assert_array_equal(readers.read(tmp_path / "c.bmp"), 255 - GREY)


def test_three_equal_channels_are_grey_and_unequal_ones_are_refused(tmp_path):
    equal = np.stack([GREY] * 3, -1)
    unequal = equal.copy()
    unequal[2, 2, 1] += 1
    for name in ("a.tif", "a.png", "a.bmp"):
        for image, fine in ((equal, True), (unequal, False)):
            path = tmp_path / name
            tifffile.imwrite(path, image, photometric="rgb") if name.endswith("tif") else Image.fromarray(image).save(path)
            if fine:
                np.testing.assert_array_equal(readers.read(path), GREY)
            else:
                with pytest.raises(readers.ImageError, match="in colour"):
                    readers.read(path)
    tifffile.imwrite(tmp_path / "d.tif", np.stack([DEEP] * 3), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(readers.read(tmp_path / "d.tif"), DEEP)
    Image.fromarray(np.dstack([equal, GREY])).save(tmp_path / "e.png")  # with opacity
    np.testing.assert_array_equal(readers.read(tmp_path / "e.png"), GREY)


def test_what_has_no_single_reading_is_refused(tmp_path):
    cases = {
        "stack.tif": (np.stack([DEEP, DEEP]), {}, "2 images"),
        "float.tif": (DEEP.astype(np.float32), {}, "float32"),
        "signed.tif": (DEEP.astype(np.int16), {}, "int16"),
        "inverted.tif": (DEEP, {"photometric": "miniswhite"}, "inverted"),
    }
    for name, (image, options, message) in cases.items():
        tifffile.imwrite(tmp_path / name, image, **{"photometric": "minisblack"} | options)
        with pytest.raises(readers.ImageError, match=message) as caught:
            readers.header(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "on_bad_image: exclude" in str(caught.value)
    Image.fromarray(GREY > 3).save(tmp_path / "bits.png")
    with pytest.raises(readers.ImageError, match="1 bits per channel"):
        readers.header(tmp_path / "bits.png")


def test_missing_empty_and_foreign_files(tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("not an image")
    for name, message in (("none.tif", "no such file"), ("empty.tif", "empty"), ("text.tif", "Expected a TIFF, BMP or PNG")):
        with pytest.raises(readers.ImageError, match=message):
            readers.header(tmp_path / name)
    with pytest.raises(readers.ImageError, match="cannot be opened"):
        readers.header(tmp_path)


@pytest.mark.parametrize("name", ["a.tif", "lzw.tif", "strips.tif", "a.png", "a.bmp"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_truncated_files_are_noticed_from_the_header(tmp_path, name, share):
    image = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    path = tmp_path / name
    options = {"lzw.tif": {"compression": "lzw"}, "strips.tif": {"rowsperstrip": 4}}.get(name, {})
    tifffile.imwrite(path, image, **options) if name.endswith("tif") else Image.fromarray(image).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(readers.ImageError, match=r"truncated|damaged"):
        readers.header(path)


def test_damage_that_the_header_does_not_show_is_an_error_when_read(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    for name, options in (("a.tif", {"compression": "zlib"}), ("a.png", {})):
        path = tmp_path / name
        tifffile.imwrite(path, image, **options) if options else Image.fromarray(image).save(path)
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
        path.write_bytes(content)
        readers.header(path)
        with pytest.raises(readers.ImageError, match="damaged"):
            readers.read(path)


def test_false_byte_counts_do_not_hide_a_truncated_tiff(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((64, 64), np.uint8))
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags["StripByteCounts"]
        offset, kind = tag.valueoffset, tag.dtype
    content = bytearray(path.read_bytes()[:-1000])
    size = {3: 2, 4: 4}[int(kind)]
    content[offset : offset + size] = struct.pack("<H" if size == 2 else "<I", 100)
    path.write_bytes(content)
    with pytest.raises(readers.ImageError, match="truncated"):
        readers.header(path)


def test_read_field_stacks_channels_in_order_and_checks_the_table(tmp_path):
    tifffile.imwrite(tmp_path / "d.tif", DEEP)
    tifffile.imwrite(tmp_path / "a.tif", DEEP + 1)
    row = {
        "FileName_DNA": "d.tif",
        "PathName_DNA": str(tmp_path),
        "FileName_Actin": "a.tif",
        "PathName_Actin": str(tmp_path),
    }
    row |= {"Height": 6, "Width": 8, "BitDepth": 16}
    np.testing.assert_array_equal(readers.read_field(row, ["Actin", "DNA"]), [DEEP + 1, DEEP])
    for change in ({"Height": 5}, {"BitDepth": 8}):
        with pytest.raises(readers.ImageError, match="the fields table says"):
            readers.read_field(row | change, ["DNA"])


def test_an_image_error_comes_back_from_a_worker_process():
    error = pickle.loads(pickle.dumps(readers.ImageError("a.tif", "It is odd.")))
    assert isinstance(error, UserError)
    assert (error.path, error.problem) == ("a.tif", "It is odd.")
    assert str(error) == str(readers.ImageError("a.tif", "It is odd."))


def test_real_images_of_12_bits_in_16(shared_data):
    hoechst = (
        sorted((shared_data / "bbbc022").glob("IXMtest_*.tif")) + sorted((shared_data / "bbbc039" / "images").glob("*"))[:3]
    )
    assert len(hoechst) == 10
    for path in hoechst:
        image = readers.read(path)
        assert readers.header(path) == (520, 696, 16)
        assert image.shape == (520, 696)
        assert image.dtype == np.uint16
        assert 255 < image.max() <= 4095


def test_real_stack_and_other_compressions(shared_data):
    with pytest.raises(readers.ImageError, match="3 images"):
        readers.header(shared_data / "bbbc022" / "A02_s9_w1w2w3_crop.tif")
    path = sorted((shared_data / "bbbc005" / "images").glob("*.TIF"))[0]  # PackBits
    assert readers.header(path) == (520, 696, 8)
    assert readers.read(path).max() > 50


def test_real_palette_images_give_the_index_as_grey_value(shared_data):
    path = shared_data / "bbbc013" / "Channel2-01-A-01.tif"
    assert readers.header(path) == (640, 640, 8)
    np.testing.assert_array_equal(readers.read(path), tifffile.imread(path))
