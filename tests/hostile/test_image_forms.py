"""TIFF files of any tags, PNG and BMP of any kind: the one right grey image, or an `ImageError`; never another array."""

import io
import struct
from collections import Counter

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from phenorep.imaging import readers

from .fuzzing import examples, tried

EXAMPLES = examples(250)
PHOTOMETRIC, ORIENTATION = 262, 274
# What an image of a pixel's values may be made of: name -> (number of values, photometric, kinds of extra samples).
MADE = {
    "grey": (1, 1, ()),
    "grey and opacity": (2, 1, (2,)),
    "grey times opacity": (2, 1, (1,)),
    "grey and another": (2, 1, (0,)),
    "equal colours": (3, 2, ()),
    "colours": (3, 2, ()),
    "equal colours and opacity": (4, 2, (2,)),
    "cmyk": (4, 5, ()),
    "ycbcr": (3, 6, ()),
}
DESCRIPTIONS = {
    "": 1,
    "anything": 1,
    "ImageJ=1.54f\nimages=1\n": 1,
    "ImageJ=1.54f\nimages=2\nslices=2\n": 2,
    "ImageJ=1.54f\nchannels=3\nframes=2\n": 6,
    '{"shape": [16, 32]}': 1,
    '{"shape": [2, 16, 32]}': 2,
}


class Written:
    """Bytes of a TIFF, the grey image in it (None where there is not exactly one), and how it was made."""

    def __init__(self, content, right, facts):
        self.content, self.right, self.facts = content, right, facts

    def __repr__(self):
        return f"{self.facts}"


@st.composite
def files(draw):
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = np.dtype(draw(st.sampled_from(["u1", "u1", "u2", "u2", "u2", "u2", "u2", "i2", "u4", "f4"])))
    grey = rng.integers(1, 200, (16, 32)).astype(dtype)
    offset = dtype == np.uint16 and draw(st.integers(0, 9)) == 0
    if offset:
        grey += 2**15
    made = draw(st.sampled_from(["grey"] * 8 + list(MADE)))
    samples, photometric, extra = MADE[made]
    values = np.repeat(grey[..., None], samples, -1)
    if made in ("colours", "ycbcr", "cmyk"):
        values[..., 1] = grey[::-1]
    if "opacity" in made or "another" in made:
        values[..., -1] = rng.integers(1, 200, grey.shape)
    # Whatever is not grey, or grey with what is no intensity.
    right = grey if made in ("grey", "grey and opacity", "equal colours", "equal colours and opacity") else None
    right = None if dtype.kind != "u" or dtype.itemsize > 2 or offset else right

    options = {"metadata": None, "software": "somebody", "extrasamples": extra or None, "photometric": photometric}
    options["planarconfig"] = draw(st.sampled_from([1, 2])) if samples > 1 else None
    options["compression"] = draw(st.sampled_from([None, None, None, "lzw", "zlib", "zstd", "packbits", "lzma"]))
    if options["compression"] and options["compression"] != "packbits":
        options["predictor"] = draw(st.booleans())
    if draw(st.booleans()):
        options["tile"] = (16, 16)
    else:
        options["rowsperstrip"] = draw(st.sampled_from([1, 5, 16]))
    turn = draw(st.sampled_from([0] * 8 + list(range(1, 9))))
    tags = [(ORIENTATION, 3, 1, turn, True)] if turn else []
    description = draw(st.sampled_from([""] * 4 + list(DESCRIPTIONS)))
    order = draw(st.sampled_from("<<>"))
    big = draw(st.booleans())
    small = {"photometric": 1, "metadata": None, "subfiletype": 1}
    several = [["small", "image"], ["image", "small"], ["image", "image"], ["mask", "image"]]
    pages = draw(st.sampled_from([["image"]] * 6 + several))

    written = io.BytesIO()
    with tifffile.TiffWriter(written, byteorder=order, bigtiff=big) as file:
        for page in pages:
            if page == "small":
                file.write(grey[::2, ::2], **small)
            elif page == "mask":
                file.write(grey > 9, photometric=1, metadata=None, subfiletype=4)
            else:
                planes = np.moveaxis(values, -1, 0) if options["planarconfig"] == 2 else values
                kept = {key: value for key, value in options.items() if value is not None}
                kept["metadata"] = None
                file.write(planes if samples > 1 else grey, description=description or None, extratags=tags, **kept)
    if pages.count("image") > 1 or "mask" in pages:
        right = None
    content = bytearray(written.getvalue())
    if draw(st.integers(0, 5)) == 0:  # more images behind the last one, as a stack of ImageJ that has one directory
        content += values.tobytes() * (DESCRIPTIONS[description] - 1)
        counted = "ImageJ" in description or samples == 1  # a shape counts values, of which a pixel has several
        right = None if DESCRIPTIONS[description] > 1 and options["compression"] is None and counted else right
    if made == "grey" and draw(st.integers(0, 3)) == 0:
        kind = draw(st.sampled_from([0, 3, 4, 5, 6, 8, 32803, 34892, 7]))
        patch(content, order, big, {PHOTOMETRIC: kind})
        right = None
    facts = {"made": made, "pages": pages, "turn": turn, "description": description, "dtype": dtype} | options
    return Written(bytes(content), None if right is None else oriented(right, turn), facts)


def oriented(image, turn):
    """As Pillow turns a photograph by the same tag."""
    picture = Image.fromarray(image)
    picture.getexif()[ORIENTATION] = turn or 1
    return np.asarray(ImageOps.exif_transpose(picture))


def patch(content, order, big, values):
    """Overwrite the value of tags of all pages."""
    place, count, entry = (order + kind for kind in (("Q", "Q", "HHQQ") if big else ("I", "H", "HHII")))
    (page,) = struct.unpack_from(place, content, 8 if big else 4)
    while page:
        (number,) = struct.unpack_from(count, content, page)
        for index in range(number):
            start = page + struct.calcsize(count) + index * struct.calcsize(entry)
            tag = struct.unpack_from(order + "H", content, start)[0]
            if tag in values:
                struct.pack_into(order + "H", content, start + (12 if big else 8), values[tag])
        (page,) = struct.unpack_from(place, content, page + struct.calcsize(count) + number * struct.calcsize(entry))


@st.composite
def pictures(draw):
    """PNG of 8 and 16 bits and 1 to 4 values for a pixel, and what Pillow writes of each of its kinds."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    grey = rng.integers(0, 256, (6, 8)).astype(np.uint8)
    equal = draw(st.booleans())
    values = draw(st.integers(1, 4))
    deep = draw(st.booleans())
    array = np.repeat(grey[..., None], values, -1)
    if not equal:
        array[..., 1 if values > 2 else -1] = rng.integers(0, 256, grey.shape)
    right = array[..., 0] if equal or values < 3 else None
    kind = draw(st.sampled_from(["imagecodecs", "PNG", "PNG", "BMP", "BMP"]))
    mode = draw(st.sampled_from(["as it is", "as it is", "1", "P"]))
    written = io.BytesIO()
    if kind == "imagecodecs":
        array = array * np.uint16(257) if deep else array
        written.write(imagecodecs.png_encode(array.squeeze(-1) if values == 1 else array))
        right = (array[..., 0] if values == 1 else None) if deep else right
    else:
        picture = Image.fromarray(array.squeeze(-1) if values == 1 else array)
        if mode == "1":
            picture, right = picture.convert("L").convert("1"), None
        elif mode == "P":
            picture = Image.frombytes("P", grey.shape[::-1], grey.tobytes())
            greys = rng.permutation(256).astype(np.uint8)
            picture.putpalette(np.repeat(greys, 3) + np.uint8([0, 0, not equal] * 256))
            right = greys[grey] if equal else None
        if kind == "BMP" and picture.mode == "LA":
            picture = picture.convert("L")
        picture.save(written, kind)
    return Written(written.getvalue(), right, {"kind": kind, "mode": mode, "values": values, "equal": equal, "deep": deep})


@pytest.mark.parametrize(("made", "most"), [(files, EXAMPLES), (pictures, EXAMPLES // 2)])
def test_the_right_image_or_an_error(tmp_path, made, most):
    path = tmp_path / "image"
    ended = Counter()

    @tried(most)
    @given(made())
    def one(case):
        right = case.right
        path.write_bytes(case.content)
        try:
            image = readers.read(path)
        except readers.ImageError:
            ended["refused, though right" if right is not None else "refused"] += 1
            return
        assert right is not None, case
        assert image.dtype == right.dtype
        np.testing.assert_array_equal(image, right)
        assert readers.header(path) == (*right.shape, right.dtype.itemsize * 8)
        ended["read"] += 1

    one()
    assert ended["read"] > most / 5
    assert ended["refused, though right"] <= most / 100  # a page behind the image may be taken for one of a stack
