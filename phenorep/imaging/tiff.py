"""TIFF: the planes of a file, read in the one way that is right, or refused.

Pages are taken as they lie in the file. tifffile's series are not used: they follow OME-XML into other files. What is
refused is what readers understand in different ways: several planes where one is expected, also in one directory, 0 as
white, colours that are no light (CMYK, YCbCr), packed values of less than 8 bits, a predictor of what is not compressed.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phenorep.imaging import descriptions, promises
from phenorep.imaging.planes import Refused, Stored, check_offset, turned

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # little and big endian, classic and BigTIFF
_PHOTOMETRIC, _ORIENTATION = 262, 274
_BLACK, _RGB, _PALETTE, _YCBCR = 1, 2, 3, 6
_JPEG = (7, 33007, 34892)
_ASSOCIATED, _OPACITY = 1, (1, 2)


def read(path: Path, length: int, pixels: bool, several: bool) -> Stored:
    """What a file of `length` bytes holds; `several`: more than one plane may follow each other.

    Raises
    ------
    Refused
        If it is no image of grey values, or one that could be read in more than one way.
    """
    import tifffile

    promises.check_tags(path, length)
    with tifffile.TiffFile(path) as file:
        pages = _whole(file)
        first, description = pages[0], file.pages[0].description
        alone = len(file.pages) == 1
        count = max(len(pages), _in_one_directory(first, length, alone))
        if count > 1 and not several:
            raise Refused(f"The file holds {count} images, expected one: save each channel or plane as its own file.")
        for page in pages:
            _check(page, length)
            same = (page.shape, page.dtype, page.photometric) == (first.shape, first.dtype, first.photometric)
            if not same or (count > 1 and page.photometric == _PALETTE):
                raise Refused(f"The file holds {count} images that differ in size or kind: save each as its own file.")
        promises.check_size(first.imagelength, first.imagewidth, first.samplesperpixel, first.dtype.itemsize, count)
        extra = _extra(first)
        ramp = grey_ramp(np.asarray(first.colormap).T) if first.photometric == _PALETTE else None
        turn = first.tags.valueof(_ORIENTATION) or 1
        sides = (first.imagelength, first.imagewidth)
        labels = (file.imagej_metadata or {}).get("Labels", ()) if several else ()
        shape = (*(sides[::-1] if turn in (5, 6, 7, 8) else sides), first.dtype.itemsize * 8)
        if not pixels:
            return Stored(shape)
        for page in pages:
            promises.check_strips(path, page)
        if count > len(pages):
            planes = _stack(path, first, count, length, alone)
        else:
            planes = _samples(first) if len(pages) == 1 else np.concatenate([_samples(page) for page in pages])
    if ramp is not None:
        planes = ramp[planes]
    planes, opacity = _without_opacity(turned(planes, turn), extra, len(pages))
    check_offset(planes, first.software)
    said = _said(description, path.name, labels, len(planes)) if several else {}
    return Stored(shape, planes, opacity, first.photometric in (_RGB, _YCBCR), count > 1, **said)


def grey_ramp(palette: np.ndarray) -> np.ndarray:
    """Grey value (uint8) of each index of a palette: an array (colours, 3) in 0..255, or in 0..65535 as TIFF has it."""
    if len(palette) > 256 or (palette != palette[:, :1]).any():
        raise Refused("The image has a palette of colours: save it as grey values.")
    ramp = np.zeros(256, np.uint8)
    # Some writers fill the 16 bits of a TIFF palette only to 255.
    ramp[: len(palette)] = palette[:, 0] >> (8 if palette.max() > 255 else 0)
    return ramp


def _said(description: str, name: str, labels: Sequence[str], planes: int) -> dict:
    """What a file says of its planes, as `Stored` has it."""
    return {
        "others": descriptions.other_files(description, name, planes),
        "frames": descriptions.frames(description, name, planes),
        "names": descriptions.names(description, name, labels, planes),
    }


# -- which pages -------------------------------------------------------------------------------------------------------


def _whole(file) -> list:
    """The pages that are no smaller copies of others: a thumbnail may come first."""
    file.pages.useframes = False  # each page by its own tags
    pages = [file.pages[number] for number in range(len(file.pages))]
    whole = [page for page in pages if not page.is_reduced]
    if not whole and (len(pages) > 1 or pages[0].subifds):
        raise Refused("The file holds only smaller copies of an image that is not among its pages.")
    if len(whole) == len(pages) > 1:
        return [pages[number] for number in descriptions.page_order(pages[0].description, len(pages))]
    return whole or pages


def _in_one_directory(page, length: int, alone: bool) -> int:
    """Number of planes that follow each other in the file, though one page describes them; it may be `alone` in the file."""
    stacked = page.tags.get("UIC2tag")  # MetaMorph's stacks
    count = max(stacked.count if stacked else 1, page.imagedepth)
    plane = _bytes(page)
    described = descriptions.stacked(page.description, page.imagelength * page.imagewidth * page.samplesperpixel)
    # A description may have outlived the stack that it was written for: then there is no room for a second plane.
    if described > 1 and alone and page.compression == 1 and length - min(page.dataoffsets) - plane >= plane / 2:
        count = max(count, described)
    return count


def _bytes(page) -> int:
    """Bytes of an image without compression."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    return page.imagelength * page.imagewidth * page.samplesperpixel * bits // 8


def _stack(path: Path, page, count: int, length: int, alone: bool) -> np.ndarray:
    """Planes (count, H, W) that follow each other without a page of their own."""
    plain = alone and page.compression == 1 and page.fillorder == 1 and page.predictor == 1 and not page.is_tiled
    start, dtype = min(page.dataoffsets), page.dtype.newbyteorder(page.parent.byteorder)
    size = count * page.imagelength * page.imagewidth
    if not plain or page.samplesperpixel > 1 or page.bitspersample not in (8, 16):
        raise Refused(f"The file holds {count} images in one directory: save it with a directory of tags for each of them.")
    if start + size * dtype.itemsize > length:
        raise Refused(f"The file is truncated: it has {length} bytes, {count} images need {start + size * dtype.itemsize}.")
    return np.fromfile(path, dtype, size, offset=start).reshape(count, page.imagelength, page.imagewidth)


# -- what a page is ----------------------------------------------------------------------------------------------------


def _check(page, length: int) -> None:
    """Raise `Refused` unless a page has grey values that can be read in one way."""
    if page.dtype not in (np.uint8, np.uint16) or not isinstance(page.bitspersample, int):
        raise Refused(f"The pixels are {page.dtype or 'of no known type'}, expected uint8 or uint16.")
    kind = getattr(page.photometric, "name", page.photometric)
    if _PHOTOMETRIC not in page.tags:
        raise Refused("The tag PhotometricInterpretation is missing, so that 0 may be black or white: save the image again.")
    if page.photometric == 0:
        raise Refused("The grey values are stored inverted (0 is white): save the image with 0 as black.")
    decoded = page.photometric == _YCBCR and page.compression in _JPEG  # to red, green and blue
    if page.photometric not in (_BLACK, _RGB, _PALETTE) and not decoded:
        raise Refused(f"The pixels are {kind}, expected grey values: save the image as grey.")
    if page.photometric == _PALETTE and (page.samplesperpixel > 1 or page.colormap is None):
        raise Refused("The palette cannot be read: save the image as grey values.")
    if page.bitspersample < 8 and page.photometric != _PALETTE:
        raise Refused(f"The pixels have {page.bitspersample} bits, expected 8 to 16: save the image with 8.")
    if page.compression == 1 and page.predictor != 1:
        raise Refused("The image has a predictor but no compression, which programmes read in two ways: save it without.")
    for height, width in ((page.imagelength, page.imagewidth), (page.tilelength or 1, page.tilewidth or 1)):
        promises.check_size(height, width, page.samplesperpixel, page.dtype.itemsize)
    _check_whole(page, length)
    promises.check_compression(page)


def _check_whole(page, length: int) -> None:
    """Raise `Refused` if strips or tiles are missing, or lie beyond the end of the file."""
    end = max(offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False))
    if page.compression == 1:
        end = max(end, min(page.dataoffsets) + _bytes(page))  # where the byte counts are false
    if end > length:
        raise Refused(f"The file is truncated: it has {length} bytes, its header promises at least {end}.")
    if page.is_tiled:
        parts = -(-page.imagelength // page.tilelength) * -(-page.imagewidth // page.tilewidth)
    else:
        parts = -(-page.imagelength // page.rowsperstrip) if page.rowsperstrip else 1
    parts *= page.samplesperpixel if page.planarconfig == 2 else 1
    there = [count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False) if offset and count]
    # One strip without compression is the whole image, whatever its number of rows is said to be.
    if len(there) < parts and not (page.compression == 1 and len(page.dataoffsets) == 1 and page.dataoffsets[0]):
        raise Refused(f"The image has {len(there)} of its {parts} strips or tiles: the rest was never written.")


def _extra(page) -> tuple[int, ...]:
    """Kinds of the values of a pixel beyond grey or colour: 0 not stated, 1 and 2 opacity."""
    kinds = tuple(int(kind) for kind in page.extrasamples)
    if len(kinds) > page.samplesperpixel - (3 if page.photometric in (_RGB, _YCBCR) else 1):
        raise Refused(f"The tag ExtraSamples has {len(kinds)} values, more than each pixel has to spare.")
    return kinds


def _samples(page) -> np.ndarray:
    """A page's values (samples, H, W)."""
    values = page.asarray()
    if page.samplesperpixel > 1 and page.planarconfig != 2:
        return np.moveaxis(values, -1, 0)
    return values.reshape(page.samplesperpixel, page.imagelength, page.imagewidth)


def _without_opacity(planes: np.ndarray, extra: tuple[int, ...], pages: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The planes without opacity, and that: it carries no intensity, unless the values are multiplied by it."""
    places = [place - len(extra) for place, kind in enumerate(extra) if kind in _OPACITY]
    if not places:
        return planes, None
    if len(places) > 1 or pages > 1:
        raise Refused("The file has several planes of opacity: save each channel as its own grey image.")
    opacity = planes[places[0]]
    if extra[places[0]] == _ASSOCIATED and (opacity != np.iinfo(opacity.dtype).max).any():
        raise Refused("The grey values are multiplied by opacity: save the image without it.")
    return np.delete(planes, len(planes) + places[0], axis=0), opacity
