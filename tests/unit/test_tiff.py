"""Forms of TIFF, PNG and BMP: those that are read, with all their values, and those that are refused, with the reason."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from phenorep.imaging import readers

GREY = (np.arange(32 * 48, dtype=np.uint16) * 7 % 251).reshape(32, 48).astype(np.uint8)
DEEP = (np.arange(32 * 48, dtype=np.uint16) * 31 % 4093).reshape(32, 48)
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, DESCRIPTION = 256, 257, 258, 259, 262, 266, 270
STRIPS, SAMPLES, ROWS, COUNTS, SOFTWARE, PREDICTOR, SUB, EXTRA, KIND = 273, 277, 278, 279, 305, 317, 330, 338, 254


def written(image, **options):
    content = io.BytesIO()
    with tifffile.TiffWriter(
        content, **{key: options.pop(key) for key in ("byteorder", "bigtiff") if key in options}
    ) as file:
        file.write(image, **{"photometric": "minisblack", "metadata": None} | options)
    return content.getvalue()


def by_hand(*pages, tail=b""):
    """A TIFF of pages {tag: number, bytes or list of numbers}, whose strips are given as bytes; None leaves a tag out."""
    content = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for page in pages:
        tags = {BITS: 16, COMPRESSION: 1, PHOTOMETRIC: 1, SAMPLES: 1, WIDTH: 48, HEIGHT: 32, ROWS: 32} | page
        strips = tags.pop(STRIPS, [DEEP.tobytes()])
        tags[STRIPS], tags[COUNTS] = [], page.get(COUNTS, [len(strip) for strip in strips])
        for strip in strips:
            tags[STRIPS].append(len(content) if strip else 0)
            content += strip
        content += tail
        entries = b""
        for tag, value in sorted((tag, value) for tag, value in tags.items() if value is not None):
            kind, values = (
                (2, value + b"\0")
                if isinstance(value, bytes)
                else (4, struct.pack(f"<{len(np.atleast_1d(value))}I", *np.atleast_1d(value)))
            )
            number = len(values) if kind == 2 else len(values) // 4
            if len(values) > 4:
                content += b"\0" * (len(content) % 2)
                content, values = content + values, struct.pack("<I", len(content))
            entries += struct.pack("<HHI", tag, kind, number) + values.ljust(4, b"\0")
        content += b"\0" * (len(content) % 2)
        struct.pack_into("<I", content, link, len(content))
        content += struct.pack("<H", len(entries) // 12) + entries + bytes(4)
        link = len(content) - 4
    return bytes(content)


def picture(image, kind, **options):
    content = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(content, kind, **options)
    return content.getvalue()


def palette(values, image=GREY):
    made = Image.frombytes("P", image.shape[::-1], image.tobytes())
    made.putpalette([value for grey in values for value in (grey, grey, grey)])
    return made


RAMP = np.tile((np.arange(256) * 257).astype(np.uint16), (3, 1))
BACKWARDS = np.tile((np.arange(256)[::-1] * 257).astype(np.uint16), (3, 1))
SMALL = {KIND: 1, WIDTH: 24, HEIGHT: 16, ROWS: 16, STRIPS: [DEEP[::2, ::2].tobytes()]}
REVERSED = np.packbits(np.unpackbits(DEEP.view(np.uint8)).reshape(-1, 8)[:, ::-1]).tobytes()
PACKED_12 = np.packbits(np.unpackbits(DEEP.byteswap().view(np.uint8)).reshape(-1, 16)[:, 4:].ravel()).tobytes()

READ = {
    "plain": (written(DEEP), DEEP),
    "big-endian": (written(DEEP, byteorder=">"), DEEP),
    "BigTIFF": (written(DEEP, bigtiff=True), DEEP),
    "BigTIFF, big-endian": (written(DEEP, bigtiff=True, byteorder=">"), DEEP),
    "tiles": (written(DEEP, tile=(16, 32)), DEEP),
    "strips of five rows": (written(DEEP, rowsperstrip=5), DEEP),
    "LZW": (written(DEEP, compression="lzw"), DEEP),
    "LZW with predictor, big-endian": (written(DEEP, compression="lzw", predictor=True, byteorder=">"), DEEP),
    "deflate in tiles with predictor": (written(DEEP, compression="zlib", predictor=True, tile=(16, 16)), DEEP),
    "zstd": (written(DEEP, compression="zstd"), DEEP),
    "LZMA": (written(DEEP, compression="lzma"), DEEP),
    "PackBits": (written(GREY, compression="packbits"), GREY),
    "JPEG 2000": (written(DEEP, compression="jpeg2000"), DEEP),
    "JPEG 2000 in tiles": (written(GREY, compression="jpeg2000", tile=(16, 16)), GREY),
    "palette of greys": (written(GREY, photometric="palette", colormap=RAMP), GREY),
    "palette of greys to 255": (written(GREY, photometric="palette", colormap=RAMP // 257), GREY),
    "palette of greys, backwards": (written(GREY, photometric="palette", colormap=BACKWARDS), 255 - GREY),
    "equal colours": (written(np.dstack([DEEP] * 3), photometric="rgb"), DEEP),
    "equal colours, planes apart": (written(np.stack([DEEP] * 3), photometric="rgb", planarconfig="separate"), DEEP),
    "opacity": (written(np.dstack([DEEP, DEEP[::-1]]), planarconfig="contig", extrasamples=["unassalpha"]), DEEP),
    "opaque": (written(np.dstack([DEEP, DEEP | 65535]), planarconfig="contig", extrasamples=["assocalpha"]), DEEP),
    "a thumbnail first": (by_hand(SMALL, {}), DEEP),
    "smaller copies behind": (by_hand({}, SMALL, SMALL), DEEP),
    "a bright field": (written(DEEP * np.uint16(2) + np.uint16(36000)), DEEP * np.uint16(2) + np.uint16(36000)),
    "all of 16 bits from 32768": (written(DEEP * np.uint16(8) + np.uint16(32768)), DEEP * np.uint16(8) + np.uint16(32768)),
    "12 bits in 12": (by_hand({BITS: 12, STRIPS: [PACKED_12]}), DEEP),
    "bits from the right": (by_hand({FILL_ORDER: 2, STRIPS: [REVERSED]}), DEEP),
    "a description that outlived its stack": (by_hand({DESCRIPTION: b"ImageJ=1.5\nimages=3\nslices=3\n"}), DEEP),
    "one strip, rows said to be fewer": (by_hand({ROWS: 8}), DEEP),
    "grey PNG of 16 bits": (picture(DEEP, "PNG"), DEEP),
    "grey PNG": (picture(GREY, "PNG", optimize=True), GREY),
    "PNG, greys from a palette": (picture(palette(range(255, -1, -1)), "PNG"), 255 - GREY),
    "PNG of equal colours and opacity": (picture(np.dstack([GREY] * 3 + [GREY[::-1]]), "PNG"), GREY),
    "BMP": (picture(GREY, "BMP"), GREY),
    "BMP, greys from a palette": (picture(palette(range(255, -1, -1)), "BMP"), 255 - GREY),
    "BMP of equal colours": (picture(np.dstack([GREY] * 3), "BMP"), GREY),
}  # fmt: skip

HALF = imagecodecs.zlib_encode(DEEP[:16].tobytes())
COLOURS = np.roll(RAMP, 1, 1) * np.uint16([[1], [1], [0]])
GREY_AND_MORE = np.dstack([DEEP, DEEP[::-1]])
REFUSED = {
    "a stack of ImageJ in one directory": (
        by_hand({DESCRIPTION: b"ImageJ=1.5\nimages=2\nchannels=2\n"}, tail=DEEP.tobytes()), "holds 2 images"),
    "a stack of tifffile in one directory": (
        by_hand({DESCRIPTION: b'{"shape": [4, 32, 48]}'}, tail=DEEP.tobytes() * 3), "holds 4 images"),
    "a stack of older tifffile": (by_hand({DESCRIPTION: b"shape=(2,32,48)"}, tail=DEEP.tobytes()), "holds 2 images"),
    "ImageDepth": (by_hand({32997: 2, STRIPS: [DEEP.tobytes(), DEEP.tobytes()]}), "holds 2 images"),
    "two pages": (by_hand({}, {}), "holds 2 images"),
    "a thumbnail that is not marked": (by_hand(SMALL | {KIND: 0}, {}), "holds 2 images"),
    "only smaller copies": (by_hand(SMALL, SMALL), "holds only smaller copies"),
    "the image in a sub-directory": (by_hand(SMALL | {SUB: 8}), "holds only smaller copies"),
    "CMYK of equal values": (
        written(np.dstack([GREY] * 3 + [GREY // 2]), photometric="separated"), "SEPARATED"),
    "grey and another value": (
        written(GREY_AND_MORE, planarconfig="contig", extrasamples=["unspecified"]), "holds 2 planes"),
    "grey multiplied by opacity": (
        written(GREY_AND_MORE, planarconfig="contig", extrasamples=["assocalpha"]), "multiplied by opacity"),
    "colours": (written(np.dstack([DEEP, DEEP, DEEP[::-1]]), photometric="rgb"), "in colour"),
    "0 is white": (written(DEEP, photometric="miniswhite"), "inverted"),
    "black or white": (by_hand({PHOTOMETRIC: None}), "PhotometricInterpretation is missing"),
    "CIELAB": (by_hand({PHOTOMETRIC: 8}), "CIELAB"),
    "YCbCr without JPEG": (by_hand({PHOTOMETRIC: 6}), "YCBCR"),
    "a mosaic of colours": (by_hand({PHOTOMETRIC: 32803}), "CFA"),
    "4 bits": (by_hand({BITS: 4, STRIPS: [GREY.tobytes()]}), "have 4 bits"),
    "32 bits": (written(DEEP.astype(np.uint32)), "uint32"),
    "real numbers": (written(DEEP / np.float32(4095)), "float32"),
    "signed": (written(DEEP.astype(np.int16)), "int16"),
    "12 bits from 32768": (written(DEEP + np.uint16(32768)), "from 32768 to 36860"),
    "12 bits from 32768, with noise": (written(DEEP + np.uint16(32767)), "from 32767 to 36859"),
    "14 bits from 32768": (written(DEEP * np.uint16(4) + np.uint16(32768)), "from 32768 to 49136"),
    "14 bits from 32768, of a dark field": (written(DEEP * np.uint16(3) + np.uint16(32868)), "from 32868 to 45144"),
    "14 bits from 32768, of the frame grabber": (
        written(DEEP * np.uint16(4) + np.uint16(32768), software="National Instruments IMAQ   "), "Subtract 32768"),
    "a predictor of what is not compressed": (by_hand({PREDICTOR: 2}), "has a predictor"),
    "a strip that was never written": (by_hand({ROWS: 16, COMPRESSION: 8, STRIPS: [HALF, b""]}), "1 of its 2 strips"),
    "a strip too few": (by_hand({ROWS: 16, COMPRESSION: 8, STRIPS: [HALF]}), "1 of its 2 strips"),
    "JPEG 2000 of 16 bits in a page of 8": (
        by_hand({BITS: 8, COMPRESSION: 34712, STRIPS: [imagecodecs.jpeg2k_encode(DEEP)]}), "unsigned values of 16 bits"),
    "JPEG 2000, signed": (
        by_hand({COMPRESSION: 34712, STRIPS: [imagecodecs.jpeg2k_encode(DEEP.astype(np.int16))]}), "has signed values"),
    "more kinds than values": (by_hand({EXTRA: [1, 2, 0]}), "ExtraSamples has 3 values"),
    "a palette of colours": (written(GREY, photometric="palette", colormap=COLOURS), "palette of colours"),
    "PNG, 12 bits from 32768": (picture(DEEP + np.uint16(32768), "PNG"), "Subtract 32768"),
    "PNG of 16 bits in colour": (imagecodecs.png_encode(np.dstack([DEEP] * 3)), "16 bits per channel"),
    "PNG of 16 bits with opacity": (imagecodecs.png_encode(np.dstack([DEEP, DEEP])), "16 bits per channel"),
    "PNG in colour": (picture(np.dstack([GREY, GREY, 255 - GREY]), "PNG"), "in colour"),
    "PNG that moves": (
        picture(Image.fromarray(GREY), "PNG", save_all=True, append_images=[Image.fromarray(255 - GREY)]), "holds 2 images"),
    "half a PNG header": (picture(GREY, "PNG")[:20], "truncated"),
    "JPEG": (picture(GREY, "JPEG"), "Expected a TIFF, BMP or PNG"),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_forms_that_are_read(tmp_path, name):
    content, right = READ[name]
    (tmp_path / "image").write_bytes(content)
    image = readers.read(tmp_path / "image")
    np.testing.assert_array_equal(image, right)
    assert image.dtype == right.dtype
    assert readers.header(tmp_path / "image") == (*right.shape, right.dtype.itemsize * 8)


@pytest.mark.parametrize("name", REFUSED)
def test_forms_that_are_refused(tmp_path, name):
    content, says = REFUSED[name]
    (tmp_path / "image").write_bytes(content)
    with pytest.raises(readers.ImageError, match=says):
        readers.read(tmp_path / "image")


def test_a_lossy_image_is_what_its_decoder_says(tmp_path):
    for image, options in ((GREY, {}), (np.dstack([GREY] * 3), {"photometric": "rgb"})):
        (tmp_path / "a.tif").write_bytes(written(image, compression="jpeg", **options))
        right = tifffile.imread(tmp_path / "a.tif")
        np.testing.assert_array_equal(readers.read(tmp_path / "a.tif"), right if right.ndim == 2 else right[..., 0])


def test_bright_images_are_not_taken_for_shifted_ones(tmp_path):
    for image in (DEEP * np.uint16(7) + np.uint16(33000), np.full((32, 48), 65535, np.uint16), DEEP | np.uint16(1)):
        (tmp_path / "a.tif").write_bytes(written(image))
        np.testing.assert_array_equal(readers.read(tmp_path / "a.tif"), image)
