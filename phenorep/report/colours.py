"""How channels are shown, the same in the report, on the pages of plates and maps, and where images are labelled."""

import numpy as np

# As in the literature: nuclei blue, then red and green; and what is easily told from these.
NUCLEI = ("blue", "#5b78ff")
HUES = (("red", "#ff4d4d"), ("green", "#3ddc5a"), ("yellow", "#ffd24d"), ("magenta", "#e064ff"), ("cyan", "#4de1e1"))
ALONE = ("white", "#ffffff")  # the only channel
CONTRAST = (1.0, 99.7)  # percentiles of pixels that become black and bright
MEASURED = 200  # samples of a plate, at most, that decide its contrast
MEASURED_PIXELS = 20_000_000  # ... and their pixels: samples may be whole fields
BRIGHT = 0.75  # quantile over samples: bright cells are not cut off, saturated images do not darken the others


def of_channels(channels: list[str]) -> dict[str, tuple[str, str]]:
    """Name and light (``#rrggbb``) of each channel's colour, in the order of the channels."""
    if len(channels) == 1:
        return {channels[0]: ALONE}
    others = [name for name in channels if name != "DNA"]
    hues = HUES if len(others) > 1 else HUES[1:]
    found = {name: hues[number % len(hues)] for number, name in enumerate(others)} | {"DNA": NUCLEI}
    return {name: found[name] for name in channels}


def words(channels: list[str]) -> str:
    """The colours in words, for a caption: ``DNA blue, Actin red``."""
    return ", ".join(f"{channel} {name}" for channel, (name, _) in of_channels(channels).items())


def mixed(planes: np.ndarray, channels: list[str]) -> np.ndarray:
    """Channels (C, h, w), from 0 to 1, added up in their colours: (h, w, 3) float32 from 0 to 1."""
    lights = np.array([_light(light) for _, light in of_channels(channels).values()], dtype=np.float32)
    return np.clip(np.einsum("chw,cr->hwr", np.clip(planes, 0, 1).astype(np.float32), lights), 0, 1)


def bounds(store, plate: int = 0, contrast: tuple[float, float] = CONTRAST, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What is shown as black and as bright, (C,) each: the same for all samples of a plate, whichever of them are shown.

    Percentiles are those of single samples, of which the middle one becomes black and the upper quartile bright: some
    saturated or empty images of a plate hardly change how its others look.

    Parameters
    ----------
    store
        `phenorep.store.Samples`.
    plate
        Number of the plate in the store.
    """
    rows = np.flatnonzero(store.plate_index == plate)
    most = max(8, min(MEASURED, MEASURED_PIXELS // int(np.prod(store.size))))
    some = np.random.default_rng([seed, plate]).choice(rows, min(most, len(rows)), replace=False)
    low, high = np.percentile(store.read(np.sort(some)), contrast, axis=(2, 3))
    low, high = np.median(low, axis=0), np.quantile(high, BRIGHT, axis=0)
    return low, np.maximum(high, low + 1)


def scaled(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A sample (C, H, W) of raw integers between black (0) and bright (1), float32."""
    return np.clip((image.astype(np.float32) - low[:, None, None]) / (high - low)[:, None, None], 0, 1).astype(np.float32)


def _light(text: str) -> list[float]:
    return [int(text[start : start + 2], 16) / 255 for start in (1, 3, 5)]
