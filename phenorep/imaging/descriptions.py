"""What programmes say of a TIFF's planes in its description: ImageJ, tifffile, and OME-XML [0].

[0] https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html
"""

import html
import re
from collections.abc import Sequence
from math import prod

_SHAPE = re.compile(r'\s*(?:\{"shape": ?|shape=)[\[(]([\d, ]+)[\])]')
_IMAGEJ = re.compile(r"^(images|channels|slices|frames)=(\d{1,9})\s*$", re.MULTILINE)
_IMAGE = re.compile(r"<(?:\w+:)?Image[\s>]")
_FILE = re.compile(r"<(?:\w+:)?UUID\b[^<>]*\bFileName=[\"']([^\"']+)[\"'][^<>]*>\s*([^<\s]*)")
_OWN = re.compile(r"<(?:\w+:)?OME\b[^<>]*\bUUID=[\"']([^\"']+)[\"']")
_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b([^<>]*)")
_SIZE = re.compile(r"\bSize([CZT])=[\"'](\d{1,9})[\"']")
_CHANNEL = re.compile(r"<(?:\w+:)?Channel\b([^<>]*)")
_CALLED = re.compile(r"\bName=(?:\"([^\"]*)\"|'([^']*)')")
_PLANE = re.compile(r"<(?:\w+:)?TiffData\b([^<>]*)")
_NUMBER = re.compile(r"\b(IFD|FirstC|FirstZ|FirstT)=[\"'](\d+)[\"']")
_AXES = re.compile(r'"axes": ?"([A-Z]+)"')
_FRAMES = {"Z": "focal planes", "T": "time points"}


def stacked(description: str, plane: int) -> int:
    """Number of planes that ImageJ or tifffile say they have written: 1 where they say nothing.

    Parameters
    ----------
    description
        Of the first page.
    plane
        Values of a page: height x width x samples.
    """
    if description.startswith("ImageJ="):
        numbers = {name: int(number) for name, number in _IMAGEJ.findall(description)}
        return max(1, numbers.pop("images", 1), prod(numbers.values()))
    if plane and (match := _SHAPE.match(description)):
        return max(1, prod(int(number) for number in match[1].split(",") if number.strip()) // plane)
    return 1


def other_files(description: str, name: str, planes: int) -> tuple[str, ...]:
    """The files of other channels of the image that a file of OME-TIFF is part of; empty where it has all `planes`."""
    if "FileName=" not in description:
        return ()
    for image, files in _images(description, name):
        if _sizes(image).get("C", planes) != planes:
            return tuple(sorted(files))
    return ()


def frames(description: str, name: str, planes: int) -> str:
    """What a file says its planes are, if that is not its channels alone, like "2 focal planes"; empty where it does not.

    Parameters
    ----------
    description
        Of the first page.
    name
        Of the file, as OME-XML may have it.
    planes
        Their number in the file. What is said of another number has outlived the planes that it was written for.
    """
    if planes == 1:
        return ""
    if description.startswith("ImageJ="):
        numbers = {kind: int(number) for kind, number in _IMAGEJ.findall(description)}
        sizes = {axis: numbers.get(kind, 1) for axis, kind in (("C", "channels"), ("Z", "slices"), ("T", "frames"))}
        return _frames(sizes) if prod(sizes.values()) == planes else ""
    if (shape := _SHAPE.match(description)) and (axes := _AXES.search(description)):
        numbers = [int(number) for number in shape[1].split(",") if number.strip()]
        sizes = dict(zip(axes[1], numbers, strict=False))
        return _frames(sizes) if prod(number for axis, number in sizes.items() if axis not in "YXS") == planes else ""
    for image, _ in _images(description, name):
        sizes = _sizes(image)
        places = [dict(_NUMBER.findall(attributes)) for attributes in _PLANE.findall(image)]
        several = len({(place.get("FirstZ", "0"), place.get("FirstT", "0")) for place in places}) > 1
        if several or sizes.get("C", planes) != planes:
            return _frames(sizes)
    return ""


def names(description: str, name: str, labels: Sequence[str], planes: int) -> tuple[str, ...]:
    """What OME-XML calls the channels of a file, or ImageJ's `labels` its planes; empty where they name not all `planes`."""
    called = [str(label) for label in labels]
    for image, _ in _images(description, name):
        found = [_CALLED.search(attributes) for attributes in _CHANNEL.findall(image)]
        called = [html.unescape(match[1] or match[2] or "") if match else "" for match in found]
    return tuple(called) if len(called) == planes else ()


def _images(description: str, name: str) -> list[tuple[str, set[str]]]:
    """What OME-XML says of each image that a file holds a part of, and the other files that hold the rest."""
    start = _OWN.search(description)
    images = _IMAGE.split(description)[1:]
    parts = []
    for image in images:
        files = dict(_FILE.findall(image))
        mine = {file for file, uuid in files.items() if file == name or (start and uuid == start[1])}
        if mine or len(images) == 1:
            parts.append((image, set(files) - mine))
    return parts


def _sizes(image: str) -> dict[str, int]:
    pixels = _PIXELS.search(image)
    return {axis: int(number) for axis, number in _SIZE.findall(pixels[1])} if pixels else {}


def _frames(sizes: dict[str, int]) -> str:
    return " and ".join(f"{sizes[axis]} {what}" for axis, what in _FRAMES.items() if sizes.get(axis, 1) > 1)


def page_order(description: str, count: int) -> list[int]:
    """The pages of a file in the order of the channels that OME-XML gives them; as they come, where it says nothing else."""
    pages = {}
    if len(set(_FILE.findall(description))) <= 1:
        for attributes in _PLANE.findall(description):
            numbers = {name: int(number) for name, number in _NUMBER.findall(attributes)}
            pages[numbers.get("FirstC", 0)] = numbers.get("IFD", 0)
    if sorted(pages) == sorted(pages.values()) == list(range(count)):
        return [pages[channel] for channel in range(count)]
    return list(range(count))
