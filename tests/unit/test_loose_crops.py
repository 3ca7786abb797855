"""Crops that were cut elsewhere pass the same reader, and the same checks, as fields."""

from types import SimpleNamespace

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from phenorep import contracts, loose_crops
from phenorep.errors import UserError

DEEP = (np.arange(3 * 16 * 16, dtype=np.uint16) * 31 % 4093).reshape(3, 16, 16)
NAMES = ["DNA", "Actin", "ER", "AGP"]
GREY = (DEEP % 251).astype(np.uint8)
LAST = np.moveaxis(GREY, 0, -1)
RAMP = np.tile((np.arange(256) * 257).astype(np.uint16), (3, 1))
IMAGEJ = "ImageJ=1.54f\nimages=3\nslices=3\n"
COLOURS = RAMP * np.uint16([[1], [1], [0]])


def save(path, image, **options):
    if path.suffix in (".png", ".bmp"):
        Image.fromarray(image).save(path)
    else:
        tifffile.imwrite(path, image, **options)


def ome(path, image, name, files, pairs, **options):
    """A TIFF whose OME-XML has an image of several channels: of each, the file and the page in it."""
    planes = "".join(
        f'<TiffData FirstC="{channel}" FirstT="0" FirstZ="0" IFD="{page}" PlaneCount="1">'
        + (f'<UUID FileName="{files[channel]}">urn:uuid:{files[channel]}</UUID>' if files else "")
        + "</TiffData>"
        for channel, page in pairs
    )
    text = (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{name}">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="16" SizeY="16" '
        f'SizeC="{len(pairs)}" SizeZ="1" SizeT="1">{planes}</Pixels></Image></OME>'
    )
    tifffile.imwrite(path, image, photometric="minisblack", description=text, metadata=None, **options)


def in_one_directory(path, image):
    tifffile.imwrite(path, image, photometric="minisblack", truncate=True)


READ = {
    "pages": ("a.tif", lambda p: save(p, DEEP, photometric="minisblack"), DEEP),
    "ImageJ": ("a.tif", lambda p: save(p, DEEP, imagej=True), DEEP),
    "one directory": ("a.tif", lambda p: in_one_directory(p, DEEP), DEEP),
    "one file of OME": ("a.ome.tif", lambda p: ome(p, DEEP, "a", [], [(0, 0), (1, 1), (2, 2)]), DEEP),
    "two pages, of which three are spoken of": (
        "a.tif",
        lambda p: save(p, DEEP[:2], description=IMAGEJ, metadata=None),
        DEEP[:2],
    ),
    "OME, pages the other way round": ("a.ome.tif", lambda p: ome(p, DEEP[:2], "a", [], [(0, 1), (1, 0)]), DEEP[1::-1]),
    "OME, channels listed backwards": ("a.ome.tif", lambda p: ome(p, DEEP[:2], "a", [], [(1, 1), (0, 0)]), DEEP[:2]),
    "OME of tifffile": ("a.ome.tif", lambda p: save(p, DEEP, photometric="minisblack"), DEEP),
    "values of a pixel": ("a.tif", lambda p: save(p, LAST, photometric="minisblack", planarconfig="contig"), GREY),
    "rows of images, planes last": ("a.tif", lambda p: save(p, LAST, photometric="minisblack"), GREY),
    "planes apart": ("a.tif", lambda p: save(p, DEEP, photometric="rgb", planarconfig="separate"), DEEP),
    "colours of a TIFF": ("a.tif", lambda p: save(p, LAST, photometric="rgb", compression="zlib"), GREY),
    "colours of a PNG": ("a.png", lambda p: save(p, LAST), GREY),
    "colours of a BMP": ("a.bmp", lambda p: save(p, LAST), GREY),
    "colours and opacity": ("a.png", lambda p: save(p, np.dstack([LAST, LAST[..., 0] | 255])), GREY),
    "a thumbnail first": ("a.tif", lambda p: thumbnail_first(p, DEEP), DEEP),
    "four planes of a PNG": ("a.png", lambda p: save(p, np.dstack([LAST, LAST[..., 0]])), GREY[[0, 1, 2, 0]]),
    "grey and another": ("a.png", lambda p: save(p, LAST[..., :2].copy()), GREY[:2]),
    "one plane": ("a.png", lambda p: save(p, DEEP[0]), DEEP[:1]),
    "equal colours are grey": ("a.png", lambda p: save(p, np.dstack([GREY[0]] * 3)), GREY[:1]),
    "greys of a palette": ("a.tif", lambda p: save(p, GREY[0], photometric="palette", colormap=RAMP), GREY[:1]),
    "an array, planes last": ("a.npy", lambda p: np.save(p, np.moveaxis(DEEP, 0, -1)), DEEP),
}


def thumbnail_first(path, image):
    with tifffile.TiffWriter(path) as file:
        file.write(image[0, ::2, ::2], subfiletype=1, photometric="minisblack", metadata=None)
        for plane in image:
            file.write(plane, photometric="minisblack", metadata=None)


@pytest.mark.parametrize("name", READ)
def test_crops_of_many_forms(tmp_path, name):
    file, write, right = READ[name]
    write(tmp_path / file)
    crop = loose_crops.read(tmp_path / file, NAMES[: len(right)])
    np.testing.assert_array_equal(crop, right)
    assert crop.dtype == right.dtype
    assert crop.flags["C_CONTIGUOUS"]


REFUSED = {
    "PNG of 16 bits in colour": (
        "a.png", lambda p: p.write_bytes(imagecodecs.png_encode(np.moveaxis(DEEP, 0, -1).copy())), 3, "16 bits per channel"),
    "0 is white": ("a.tif", lambda p: save(p, DEEP, photometric="miniswhite"), 3, "inverted"),
    "signed": ("a.tif", lambda p: save(p, DEEP.astype(np.int16), photometric="minisblack"), 3, "int16"),
    "real numbers": ("a.tif", lambda p: save(p, DEEP / np.float32(9), photometric="minisblack"), 3, "float32"),
    "CMYK": ("a.tif", lambda p: save(p, LAST[..., [0, 1, 2, 0]], photometric="separated"), 4, "SEPARATED"),
    "from 32768": ("a.tif", lambda p: save(p, DEEP + np.uint16(32768), photometric="minisblack"), 3, "Subtract 32768"),
    "an array from 32768": ("a.npy", lambda p: np.save(p, DEEP + np.uint16(32768)), 3, "Subtract 32768"),
    "a palette of colours": (
        "a.tif", lambda p: save(p, GREY[0], photometric="palette", colormap=COLOURS), 1, "palette of colours"),
    "truncated": ("a.tif", lambda p: (save(p, DEEP[0]), p.write_bytes(p.read_bytes()[:-9])), 1, "truncated"),
    "JPEG under another name": ("a.png", lambda p: Image.fromarray(GREY[0]).save(p, "JPEG"), 1, "Expected a TIFF"),
    "opacity is no channel": ("a.png", lambda p: save(p, np.dstack([LAST, LAST[..., 0] | 255])), 4, "is opacity"),
    "colours for one channel": ("a.png", lambda p: save(p, LAST), 1, "in colour"),
    "pages for one channel": ("a.tif", lambda p: save(p, DEEP[[0, 0]], photometric="minisblack"), 1, "2 planes of 16 x 16"),
    "pages with palettes": ("a.tif", lambda p: save(p, GREY[:2], photometric="palette", colormap=RAMP), 2, "differ in size"),
    "pages of two sizes": ("a.tif", lambda p: two_sizes(p), 2, "differ in size or kind"),
    "half of a stack in one directory": (
        "a.tif", lambda p: (in_one_directory(p, DEEP), p.write_bytes(p.read_bytes()[:-300])), 3, "truncated"),
    "a companion": (
        "a.ome.tif", lambda p: save(p, DEEP[0], description=COMPANION, metadata=None), 2, "one plane of 16 x 16 pixels"),
}  # fmt: skip
COMPANION = '<OME><BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:a"/></OME>'


def two_sizes(path):
    with tifffile.TiffWriter(path) as file:
        for image in (DEEP[0], DEEP[1, :8]):
            file.write(image, photometric="minisblack", metadata=None)


@pytest.mark.parametrize("name", REFUSED)
def test_crops_that_are_refused(tmp_path, name):
    file, write, count, says = REFUSED[name]
    write(tmp_path / file)
    with pytest.raises(UserError, match=says) as caught:
        loose_crops.read(tmp_path / file, NAMES[:count])
    assert str(caught.value).startswith(str(tmp_path / file))
    assert str(caught.value).endswith("Replace the file or take it away.")


def called(*names):
    """Options of a file of OME whose channels have these names."""
    return {"photometric": "minisblack", "metadata": {"axes": "CYX", "Channel": {"Name": list(names)}}}


def labelled(*labels, axes="CYX"):
    """Options of a file of ImageJ whose planes have these labels."""
    return {"imagej": True, "metadata": {"axes": axes, "Labels": list(labels)}}


@pytest.mark.parametrize(
    ("file", "options", "says"),
    [
        (
            "a.ome.tif",
            called("Actin", "DNA"),
            "calls its planes Actin, DNA, in this order, but --channels has DNA as number 1",
        ),
        ("a.ome.tif", called("dapi", "dna"), "calls its planes dapi, dna"),
        ("a.tif", labelled("Actin", "DNA"), "calls its planes Actin, DNA"),
        ("a.tif", labelled("c:1/2 - cell 3, Actin.tif", "c:2/2 - cell 3, DNA.tif"), "has DNA as number 1"),
        ("a.tif", {"imagej": True, "metadata": {"axes": "ZYX"}}, "its planes are 2 focal planes, expected channels"),
        ("a.tif", {"imagej": True, "metadata": {"axes": "TYX"}}, "2 time points"),
        ("a.tif", labelled("z1", "z2", axes="ZYX"), "2 focal planes"),
        ("a.tif", {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}, "2 focal planes"),
        ("a.ome.tif", {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}, "2 focal planes"),
        ("a.ome.tif", {"photometric": "minisblack", "metadata": {"axes": "TYX"}}, "2 time points"),
    ],
)
def test_planes_that_the_file_says_to_be_others_are_refused(tmp_path, file, options, says):
    tifffile.imwrite(tmp_path / file, DEEP[:2], **options)
    with pytest.raises(UserError, match=says):
        loose_crops.read(tmp_path / file, ["DNA", "Actin"])


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("a.ome.tif", called("DNA", "Actin")),
        ("a.ome.tif", called("Channel 0", "Channel 1")),
        ("a.ome.tif", called("Actin-DNA", "DNA and Actin")),
        ("a.tif", labelled("cell 3, DNA.tif", "cell 3, Actin.tif")),
        ("a.tif", labelled("dna", "ACTIN", axes="ZYX")),  # channels that ImageJ made a stack of
        ("a.tif", {"photometric": "minisblack", "metadata": {"axes": "QYX"}}),
    ],
)
def test_planes_that_are_called_as_they_are_named_or_in_another_way(tmp_path, file, options):
    tifffile.imwrite(tmp_path / file, DEEP[:2], **options)
    np.testing.assert_array_equal(loose_crops.read(tmp_path / file, ["DNA", "Actin"]), DEEP[:2])


def test_channels_of_two_focal_planes_are_refused(tmp_path):
    text = (
        '<OME UUID="urn:uuid:a"><Image><Pixels DimensionOrder="XYZCT" SizeC="2" SizeZ="2" SizeT="1">'
        '<TiffData IFD="0" FirstZ="0"><UUID FileName="a.ome.tif">urn:uuid:a</UUID></TiffData>'
        '<TiffData IFD="1" FirstZ="1"><UUID FileName="a.ome.tif">urn:uuid:a</UUID></TiffData></Pixels></Image></OME>'
    )
    save(tmp_path / "a.ome.tif", DEEP[:2], photometric="minisblack", description=text, metadata=None)
    with pytest.raises(UserError, match="2 focal planes"):
        loose_crops.read(tmp_path / "a.ome.tif", NAMES[:2])


@pytest.mark.parametrize("names", [["c0.ome.tif", "c1.ome.tif"], ["C0.tif", "C1.tif"]])
def test_a_file_of_an_image_of_several_files_is_no_crop(tmp_path, names):
    for channel in range(2):
        for cell in range(2):
            files = [f"cell{cell}_{other}" for other in names]
            ome(tmp_path / files[channel], DEEP[channel], files[channel], files, [(0, 0), (1, 0)])
    for count in (1, 2):
        with pytest.raises(UserError, match=rf"holds one plane, of {count} named; its OME-XML .* in cell1_{names[1]}\."):
            loose_crops.read(tmp_path / f"cell1_{names[0]}", NAMES[:count])
    (tmp_path / f"cell1_{names[0]}").rename(tmp_path / "renamed.tif")
    with pytest.raises(UserError, match=rf"OME-XML .* in cell1_{names[1]}\."):
        loose_crops.read(tmp_path / "renamed.tif", NAMES[:2])


def test_files_that_hold_all_channels_of_their_images_may_name_each_other(tmp_path):
    text = "".join(
        f'<Image ID="{n}"><Pixels SizeC="1"><TiffData IFD="0"><UUID FileName="{n}.ome.tif">urn:uuid:{n}</UUID></TiffData>'
        "</Pixels></Image>"
        for n in range(3)
    )
    for number in range(3):
        save(tmp_path / f"{number}.ome.tif", DEEP[number], description=f'<OME UUID="urn:uuid:{number}">{text}</OME>')
        np.testing.assert_array_equal(loose_crops.read(tmp_path / f"{number}.ome.tif", NAMES[:1]), DEEP[number : number + 1])


@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_pixels_above_the_largest_value_are_refused(tmp_path, name):
    image = np.full((2, 10, 20), 4095, np.uint16)
    outputs = SimpleNamespace(**{kind: tmp_path / "out" / f"P1.{kind}" for kind in ("array", "table", "statistics")})
    np.save(tmp_path / name, image) if name.endswith("npy") else save(tmp_path / name, image, photometric="minisblack")
    (plate,) = loose_crops.found([tmp_path])
    loose_crops.store(plate, ["DNA", "Actin"], 4095, outputs)  # saturated pixels are within
    assert contracts.read_facts(outputs.statistics)["intensity_max"] == 4095
    with pytest.raises(UserError, match=rf"{name}: 100 % of its pixels are above 'intensity_max: 4094', .* largest is 4095"):
        loose_crops.store(plate, ["DNA", "Actin"], 4094, outputs)


def test_images_of_other_kinds_are_said_to_be_left_out(tmp_path, capsys):
    for name in ("1.png", "2.png", "3.JPG", "4.jpeg", "notes.txt"):
        Image.fromarray(GREY[0]).save(tmp_path / name, "PNG")
    (plate,) = loose_crops.found([tmp_path])
    assert [path.name for path in plate.files] == ["1.png", "2.png"]
    said = capsys.readouterr().out
    assert "2 images are left out, of kinds that are not read; the first is" in said
    assert "3.JPG" in said
