"""Images that are not what they should be: one answer each, in little memory."""

import os
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from phenorep.imaging import promises, readers

from .bounded import bounded, result, told

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
WIDTH, HEIGHT, STRIPS, ROWS, BYTES, TILE_WIDTH, TILE_HEIGHT, SOFTWARE = 256, 257, 273, 278, 279, 322, 323, 305
LONG, ASCII = 4, 2


def saved(path, image=GREY, tags=(), holes=0, **options):
    """A TIFF whose tags {number: value, or (type, count, value)} lie."""
    tifffile.imwrite(path, image, software="phenorep", **options)
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for number in range(struct.unpack_from("<H", content, start)[0]):
        entry = start + 2 + 12 * number
        tag = struct.unpack_from("<H", content, entry)[0]
        if tag in dict(tags):
            value = dict(tags)[tag]
            struct.pack_into("<HII", content, entry + 2, *(value if isinstance(value, tuple) else (LONG, 1, value)))
    path.write_bytes(content)
    if holes:
        os.truncate(path, holes)
    return path


def png(path, width, height, content=b"", chunks=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunks, chunk(b"IDAT", zlib.compress(content)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize("kind", [{}, {"compression": "zlib"}, {"compression": "lzw"}, {"compression": "jpeg"}])
@pytest.mark.parametrize("side", [30_000, 100_000, 2**31])
def test_a_tiff_that_promises_a_field_as_large_as_a_town(tmp_path, side, kind):
    path = saved(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), {WIDTH: side, HEIGHT: side, ROWS: side}, **kind)
    for read in (readers.header, readers.read) if side > 30_000 else (readers.read,):
        ended = bounded(read, path, memory=1 << 29)
        assert ended.how == "told", ended.value
        assert "bytes" in ended.value or "damaged" in ended.value or "memory" in ended.value


@pytest.mark.parametrize(
    ("tags", "options", "says"),
    [
        ({TILE_WIDTH: 2**20, TILE_HEIGHT: 2**20}, {"tile": (16, 16), "compression": "zlib"}, "1048576 x 1048576"),
        ({WIDTH: 0}, {}, "at least one"),
        ({ROWS: 0}, {"compression": "zlib"}, "damaged"),
        ({277: 60_000}, {"compression": "zlib"}, "image"),
        ({STRIPS: (LONG, 2**30, 8), BYTES: (LONG, 2**30, 8)}, {}, "1073741824 values"),
        ({STRIPS: 2**31}, {}, "truncated"),
        ({}, {"compression": "jpegxl"}, "JPEGXL"),
        ({}, {"compression": "jpegxr"}, "JPEGXR"),
    ],
)
def test_a_tiff_whose_tags_lie(tmp_path, tags, options, says):
    message = told(readers.read, saved(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), tags, **options), memory=1 << 28)
    assert says in message
    assert "on_bad_image: exclude" in message


@pytest.mark.parametrize("tag", [STRIPS, BYTES, SOFTWARE])
def test_a_file_with_holes_costs_nothing(tmp_path, tag):
    kind = ASCII if tag == SOFTWARE else LONG
    path = saved(tmp_path / "a.tif", tags={tag: (kind, 2**27, 8)}, holes=2**30)
    assert "134217728 values" in told(readers.header, path, memory=1 << 28)


def test_a_second_page_is_believed_no_more_than_the_first(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([GREY] * 2), photometric="minisblack", metadata=None)
    content = bytearray(path.read_bytes())
    second = tifffile.TiffFile(path).pages[1].offset
    struct.pack_into("<HHII", content, second + 2, SOFTWARE, ASCII, 2**27, 8)
    path.write_bytes(content)
    os.truncate(path, 2**30)
    assert "134217728 values" in told(readers.header, path, memory=1 << 28)


def test_pages_without_end(tmp_path):
    page = struct.pack("<HHHII", 1, WIDTH, LONG, 1, 8)
    pages = b"".join(page + struct.pack("<I", 8 + 18 * (number + 1)) for number in range(promises.PAGES + 10))
    (tmp_path / "a.tif").write_bytes(b"II*\0\x08\0\0\0" + pages)
    assert "more than 1000 images" in told(readers.header, tmp_path / "a.tif")
    content = bytearray(saved(tmp_path / "b.tif").read_bytes())  # a page that is followed by itself
    start = struct.unpack_from("<I", content, 4)[0]
    struct.pack_into("<I", content, start + 2 + 12 * struct.unpack_from("<H", content, start)[0], start)
    (tmp_path / "b.tif").write_bytes(content)
    np.testing.assert_array_equal(result(readers.read, tmp_path / "b.tif"), GREY)


@pytest.mark.parametrize("kind", ["jpeg", "jpeg2000"])
def test_an_image_that_hides_in_a_strip_is_not_believed_either(tmp_path, kind):
    if kind == "jpeg":
        inner = bytearray(imagecodecs.jpeg8_encode(np.zeros((64, 64), np.uint8)))
        struct.pack_into(">HH", inner, inner.index(b"\xff\xc0") + 5, 60_000, 60_000)
    else:
        inner = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k"))
        struct.pack_into(">II", inner, inner.index(b"\xff\x4f\xff\x51") + 8, 60_000, 60_000)
    path = saved(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), compression=kind)
    place = path.stat().st_size
    path = saved(path, np.zeros((64, 64), np.uint8), {STRIPS: place, BYTES: len(inner)}, compression=kind)
    path.write_bytes(path.read_bytes() + inner)
    assert "60000 x 60000" in told(readers.read, path, memory=1 << 28)


@pytest.mark.parametrize("kind", ["jpeg", "jpeg2000", "zlib", "lzw", "zstd", "lzma", "packbits"])
def test_compressions_that_are_read(tmp_path, kind):
    path = saved(tmp_path / "a.tif", np.full((64, 64), 7, np.uint8), compression=kind)
    np.testing.assert_array_equal(result(readers.read, path), np.full((64, 64), 7))


def test_a_strip_that_holds_more_than_its_page(tmp_path):
    bomb = zlib.compress(bytes(96 << 20), 9)
    path = saved(tmp_path / "a.tif", GREY, compression="zlib")
    place = path.stat().st_size
    saved(path, GREY, {STRIPS: place, BYTES: len(bomb)}, compression="zlib").write_bytes(path.read_bytes() + bomb)
    assert "damaged" in told(readers.read, path, memory=1 << 27)


def test_large_images_are_read_and_larger_ones_refused(tmp_path):
    promises.check_size(20_000, 20_000, 2)
    promises.check_size(23_000, 23_000, 2)
    with pytest.raises(ValueError, match="cut it into tiles"):
        promises.check_size(23_200, 23_200, 2)
    # More pixels than Pillow would open: the header is read, the pixels are not there.
    path = png(tmp_path / "a.png", 20_000, 20_000, bytes(1000))
    assert result(readers.header, path) == (20_000, 20_000, 8)
    assert "truncated" in told(readers.read, path)


@pytest.mark.parametrize("side", [0, 40_000, 100_000, 2**31 - 1])
def test_a_png_that_promises_too_much(tmp_path, side):
    assert told(readers.header, png(tmp_path / "a.png", side, side, bytes(1000)), memory=1 << 28)


def test_a_png_with_a_text_of_gigabytes(tmp_path):
    text = b"a\0\0" + zlib.compress(bytes(96 << 20), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    assert "too large" in told(readers.header, png(tmp_path / "a.png", 8, 6, bytes(54), chunk), memory=1 << 26)


@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (-8, 6), (2**31 - 1, 1)])
def test_a_bmp_that_promises_too_much(tmp_path, width, height):
    Image.fromarray(GREY).save(tmp_path / "a.bmp")
    content = bytearray((tmp_path / "a.bmp").read_bytes())
    struct.pack_into("<ii", content, 18, width, height)
    (tmp_path / "a.bmp").write_bytes(content)
    assert told(readers.read, tmp_path / "a.bmp", memory=1 << 28)


@pytest.mark.parametrize("name", ["grey.tif", "grey.png", "grey.bmp"])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9])
def test_truncated(tmp_path, name, share):
    path = tmp_path / name
    tifffile.imwrite(path, GREY) if name.endswith("tif") else Image.fromarray(GREY).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert str(path) in told(readers.read, path)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.full((6, 8), np.nan, np.float32), "float32"),
        (GREY > 3, "bool"),
        (GREY.astype(np.int16), "int16"),
        (np.dstack([GREY, GREY + 1, GREY]), "in colour"),
    ],
)
def test_pixels_that_are_no_grey_values(tmp_path, image, says):
    options = {"photometric": "rgb"} if image.ndim == 3 else {}
    assert says in told(readers.read, saved(tmp_path / "a.tif", image, **options))


def test_what_is_no_file_of_an_image(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    (tmp_path / "text.tif").write_text("=HYPERLINK()")
    says = {"pipe.tif": "a pipe", "folder.tif": "directory", "loop.tif": "symbolic links", "text.tif": "TIFF, BMP or PNG"}
    for name, part in says.items():
        assert part in told(readers.header, tmp_path / name, seconds=10)
    for name in ("/dev/zero", "a\0b.tif", "a" * 5000, "a\udcff.tif"):
        assert len(told(readers.header, name, seconds=10)) < 1000


def test_other_byte_orders_and_upside_down_images_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(">u2"), byteorder=">", bigtiff=True)
    np.testing.assert_array_equal(result(readers.read, tmp_path / "a.tif"), GREY)
    Image.fromarray(GREY).save(tmp_path / "a.bmp")
    content = bytearray((tmp_path / "a.bmp").read_bytes())
    struct.pack_into("<i", content, 22, -6)  # rows from the top
    (tmp_path / "a.bmp").write_bytes(content)
    np.testing.assert_array_equal(result(readers.read, tmp_path / "a.bmp"), GREY[::-1])
