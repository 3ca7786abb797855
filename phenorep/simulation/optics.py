"""How the microscope sees a field: blur, uneven illumination, background, gain, camera noise; and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phenorep.simulation import generator
from phenorep.simulation.layout import CHANNELS, batch_of

if TYPE_CHECKING:
    from phenorep.datasets.simulated import Config

INTENSITY_MAX = 4095  # a 12-bit camera, in 16-bit files
ARTEFACTS = ("out_of_focus", "saturated", "debris", "autofluorescence", "noise", "empty")
_OFFSET = 60.0  # counts of the camera in the dark
_ELECTRONS = 1.6  # per count
_READ_NOISE = 4.0  # counts
_LEVELS = (850.0, 520.0, 560.0)  # counts of signal 1, per channel
_BACKGROUND = (70.0, 90.0, 110.0)  # counts


@dataclass(frozen=True)
class Optics:
    """Everything that the images of one plate share."""

    gain: np.ndarray  # (C,) counts of signal 1
    background: np.ndarray  # (C,) counts
    blur: np.ndarray  # (C,) pixels, standard deviation
    vignette: np.ndarray  # (C, H, W) float32, mean 1


def optics(config: Config, plate: str) -> Optics:
    """Gain, background, blur and vignette of a plate: part is common to its batch, part its own."""
    channels = len(CHANNELS)
    batch = generator(config.seed, "optics", batch_of(plate)).normal(0, 1, (3, channels))
    own = generator(config.seed, "optics", plate).normal(0, 1, (3, channels))
    strength = config.batch_effect
    gain = np.array(_LEVELS) * np.exp(strength * (0.20 * batch[0] + 0.10 * own[0]))
    background = np.array(_BACKGROUND) * np.exp(strength * (0.30 * batch[1] + 0.12 * own[1]))
    blur = 1.0 * np.exp(strength * (0.12 * batch[2] + 0.06 * own[2]))
    return Optics(gain, background, blur, vignettes(config, plate))


def vignettes(config: Config, plate: str) -> np.ndarray:
    """Illumination of each channel, brightest near the middle, dim in the corners, of mean 1: (C, H, W) float32."""
    rng = generator(config.seed, "vignette", plate)
    along = np.linspace(-1, 1, config.size)
    y, x = along[:, None], along[None]
    images = []
    for _ in CHANNELS:
        (top, left), fall, squeeze = rng.uniform(-0.3, 0.3, 2), rng.uniform(0.16, 0.30), rng.uniform(0.85, 1.2)
        image = 1 / (1 + fall * ((y - top) ** 2 * squeeze + (x - left) ** 2 / squeeze))
        images.append(image / image.mean())
    return np.stack(images).astype(np.float32)


def expose(signal: np.ndarray, plate: Optics, artefact: str, rng: np.random.Generator) -> np.ndarray:
    """Take the picture.

    Parameters
    ----------
    signal
        (C, H, W) float32, about 1 in a control cell.
    plate
        Optics of the plate.
    artefact
        One of `ARTEFACTS`, or ``""``.

    Returns
    -------
    ndarray
        (C, H, W) uint16 of at most `INTENSITY_MAX`.
    """
    from scipy.ndimage import gaussian_filter

    size = signal.shape[-1]
    focus = rng.lognormal(0, 0.08)
    gain, photons = np.full(len(signal), rng.lognormal(0, 0.04)), 1.0
    if artefact == "out_of_focus":
        focus = rng.uniform(3.5, 6.5)
    elif artefact == "saturated":
        gain = gain * rng.uniform(4.5, 8.0)
    elif artefact == "noise":
        photons = rng.uniform(0.015, 0.04)
    glow = _autofluorescence(size, rng) if artefact == "autofluorescence" else np.zeros(len(signal))
    dirt = _debris(size, rng) if artefact == "debris" else None
    taken = []
    for channel, image in enumerate(signal):
        if dirt is not None:
            image = image + dirt * rng.uniform(0.3, 1.2)
        image = gaussian_filter(image, plate.blur[channel] * focus)
        light = gain[channel] * plate.gain[channel] * (image + glow[channel]) + plate.background[channel]
        electrons = np.maximum(light * plate.vignette[channel], 0) * _ELECTRONS * photons
        counts = rng.poisson(electrons) / (_ELECTRONS * photons) + _OFFSET + _READ_NOISE * rng.standard_normal(image.shape)
        taken.append(np.clip(np.round(counts), 0, INTENSITY_MAX).astype(np.uint16))
    return np.stack(taken)


def _autofluorescence(size: int, rng: np.random.Generator) -> np.ndarray:
    """A broad glow, as of a fleck of dye out of focus, strongest in the first channel: (C, H, W)."""
    along = np.arange(size)
    shape = np.zeros((size, size))
    for _ in range(rng.integers(1, 4)):
        at, width = rng.uniform(0.1, 0.9, 2) * size, rng.uniform(0.12, 0.28, 2) * size
        shape += np.exp(-0.5 * ((along - at[0]) / width[0]) ** 2)[:, None] * np.exp(-0.5 * ((along - at[1]) / width[1]) ** 2)
    return rng.uniform(0.8, 1.6) * np.array([1.0, 0.5, 0.7])[:, None, None] * shape


def _debris(size: int, rng: np.random.Generator) -> np.ndarray:
    """Bright flecks and a fibre of dust: (H, W) float32."""
    from phenorep.simulation.fibres import splat

    image = np.zeros((size, size), np.float32)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    for _ in range(rng.integers(3, 8)):
        at, angle = rng.uniform(0, size, 2), rng.uniform(0, np.pi)
        half = rng.uniform(2.5, 11, 2)
        along = (y - at[0]) * np.sin(angle) + (x - at[1]) * np.cos(angle)
        across = (y - at[0]) * np.cos(angle) - (x - at[1]) * np.sin(angle)
        image += rng.uniform(2, 5) * np.clip(1.5 * (1 - (along / half[0]) ** 2 - (across / half[1]) ** 2), 0, 1)
    length = int(size * rng.uniform(0.5, 1.2))
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.06, 2 * length))
    path = rng.uniform(0.2, 0.8, 2)[:, None] * size + 0.5 * np.cumsum([np.sin(heading), np.cos(heading)], axis=1)
    return image + splat(path[0], path[1], np.full(2 * length, 5.0), size)
