"""What programmes say of a TIFF's planes in its description: ImageJ, tifffile, and OME-XML [0].

[0] https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html
"""

import re
from math import prod

_SHAPE = re.compile(r'\s*(?:\{"shape": ?|shape=)[\[(]([\d, ]+)[\])]')
_IMAGEJ = re.compile(r"^(images|channels|slices|frames)=(\d{1,9})\s*$", re.MULTILINE)
_IMAGE = re.compile(r"<(?:\w+:)?Image[\s>]")
_FILE = re.compile(r"<(?:\w+:)?UUID\b[^<>]*\bFileName=[\"']([^\"']+)[\"'][^<>]*>\s*([^<\s]*)")
_OWN = re.compile(r"<(?:\w+:)?OME\b[^<>]*\bUUID=[\"']([^\"']+)[\"']")
_SIZE = re.compile(r"<(?:\w+:)?Pixels\b[^<>]*\bSizeC=[\"'](\d+)[\"']")
_PLANE = re.compile(r"<(?:\w+:)?TiffData\b([^<>]*)")
_NUMBER = re.compile(r"\b(IFD|FirstC)=[\"'](\d+)[\"']")


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
    start = _OWN.search(description)
    images = _IMAGE.split(description)[1:]
    for image in images:
        files = dict(_FILE.findall(image))
        mine = {file for file, uuid in files.items() if file == name or (start and uuid == start[1])}
        size = _SIZE.search(image)
        if (mine or len(images) == 1) and size and int(size[1]) != planes:
            return tuple(sorted(set(files) - mine))
    return ()


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
