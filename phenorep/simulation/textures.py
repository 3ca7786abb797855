"""Random textures: band-passed noise, made once in a process, from which every field cuts pieces at random places."""

from functools import lru_cache

import numpy as np

_SIDE = 1024
# name: widths (pixels) of the Gaussians between which a texture lies
_BANDS = {"fine": (0.9, 1.8), "coarse": (1.9, 4.0), "mottle": (3.0, 12.0), "crowds": (28.0, 90.0)}


@lru_cache
def _bank(name: str) -> np.ndarray:
    """A periodic texture of mean 0 and spread 1: (1024, 1024) float32, the same in every process."""
    narrow, wide = _BANDS[name]
    white = np.random.default_rng(sorted(_BANDS).index(name)).standard_normal((_SIDE, _SIDE))
    y, x = np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)[None]
    square = -2 * np.pi**2 * (y**2 + x**2)
    texture = np.fft.irfft2(np.fft.rfft2(white) * (np.exp(square * narrow**2) - np.exp(square * wide**2)), s=white.shape)
    return (texture / texture.std()).astype(np.float32)


def noise(name: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """A piece of a texture from a random place: (size, size) float32."""
    bank = _bank(name)
    top, left = rng.integers(0, _SIDE, 2)
    rows, columns = (np.arange(size) + top) % _SIDE, (np.arange(size) + left) % _SIDE
    return bank[rows[:, None], columns]
