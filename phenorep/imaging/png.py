"""PNG and BMP: the planes of a file, read in the one way that is right, or refused."""

from pathlib import Path

import numpy as np

from phenorep.imaging import promises
from phenorep.imaging.planes import Refused, Stored, check_offset
from phenorep.imaging.tiff import grey_ramp

PNG, BMP = b"\x89PNG\r\n\x1a\n", b"BM"


def read(path: Path, length: int, pixels: bool) -> Stored:
    """What a file of `length` bytes holds.

    Raises
    ------
    Refused
        If it is no image of grey values, or one whose values a decoder would change.
    """
    from PIL import Image

    _check_start(path, length)
    if Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit refuses fields of 15 000 x 15 000 pixels
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, promises.LARGEST)
    with Image.open(path) as image:
        promises.check_size(image.height, image.width, {"I;16": 2}.get(image.mode, len(image.mode)))
        codec, _, offset, arguments = image.tile[0]
        if codec == "raw" and offset + arguments[1] * image.height > length:
            needed = offset + arguments[1] * image.height
            raise Refused(f"The file is truncated: it has {length} bytes, its header promises at least {needed}.")
        if getattr(image, "n_frames", 1) > 1:
            raise Refused(f"The file holds {image.n_frames} images, expected one: save each as its own file.")
        if image.mode not in ("L", "P", "LA", "RGB", "RGBA", "I;16"):
            raise Refused(f"The pixels are of kind '{image.mode}', expected grey of 8 or 16 bits.")
        shape = (image.height, image.width, 16 if image.mode == "I;16" else 8)
        ramp = None
        if image.mode == "P":
            ramp = grey_ramp(np.array(image.getpalette("RGB"), np.uint16).reshape(-1, 3))
        if not pixels:
            return Stored(shape)
        values = np.asarray(image)
    check_offset(values)
    if values.ndim == 2:
        return Stored(shape, (values if ramp is None else ramp[values])[None])
    planes, colour = np.moveaxis(values, -1, 0), image.mode.startswith("RGB")
    if image.mode in ("LA", "RGBA"):
        return Stored(shape, planes[:-1], planes[-1], colour)
    return Stored(shape, planes, None, colour)


def _check_start(path: Path, length: int) -> None:
    """Raise `Refused` for a PNG of other than 8 bits, or 16 of grey, or one that ends too soon."""
    with open(path, "rb") as file:
        start = file.read(26)
        file.seek(max(0, length - 1024))
        end = file.read()
    if not start.startswith(PNG):
        return
    bits, colour = start[24:26] if len(start) == 26 else (0, 0)
    if b"IEND" not in end:
        raise Refused("The file is truncated: the end mark of a PNG image is missing.")
    if bits < 8 or (bits == 16 and colour != 0):  # Pillow would quietly bring colour of 16 bits down to 8
        raise Refused(
            f"The PNG image has {bits} bits per channel, expected grey of 8 or 16, or colours of 8. Save it as TIFF."
        )
