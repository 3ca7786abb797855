"""The configuration block ``preprocess``: from raw images to illumination functions, nuclei and samples.

Its keys keep to the settings of CellProfiler's CorrectIlluminationCalculate and IdentifyPrimaryObjects. This module is
light: a plan reads it.
"""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Literal

from phenorep import plugins
from phenorep.errors import UserError


@dataclass(frozen=True)
class Illumination:
    """How illumination functions are made: the keys of ``preprocess: illumination:``."""

    # polynomial needs the fewest fields; median and gaussian follow uneven light of any form; none: corrected already
    smoothing: Literal["gaussian", "median", "polynomial", "none"] = "polynomial"
    size: float | None = (
        None  # width of the median or Gaussian filter in pixels; default: a quarter of the field's longer side
    )
    robust_minimum: float = 0.02  # this quantile of the function becomes 1; what is below it too

    def __post_init__(self):
        if self.size is not None and self.size <= 0:
            raise ValueError("size must be above 0")
        if not 0 <= self.robust_minimum < 1:
            raise ValueError("robust_minimum must be at least 0 and below 1")


@dataclass(frozen=True)
class Segmentation:
    """How nuclei are found: the keys of ``preprocess: nuclei:``."""

    channel: str | None = None  # the channel that shows nuclei; without it the one named DNA
    diameter: tuple[float, float] = (10.0, 80.0)  # pixels; what is smaller or larger is no nucleus
    threshold: Literal["otsu", "minimum_cross_entropy"] = "otsu"  # minimum_cross_entropy where nuclei are few or dim
    threshold_smoothing: float = 1.35  # standard deviation in pixels of the blur before the threshold; more for noisy images
    threshold_correction: float = 1.0  # factor on the threshold: above 1 finds less, below 1 more
    threshold_bounds: tuple[float, float] = (0.0, 1.0)  # the threshold stays between these shares of the intensity range
    minimum_contrast: float = (
        4.0  # foreground above background in its standard deviations; below it a field is empty (0: off)
    )
    fill_holes: bool = True  # nucleoli leave holes
    declump: Literal["shape", "intensity", "none"] = "shape"  # what shows that two nuclei touch
    declump_smoothing: float | None = None  # standard deviation in pixels before peaks are sought; default: diameter[0] / 4
    declump_distance: float | None = None  # peaks nearer to each other than this are one; default: diameter[0] / 1.5
    border: Literal["drop", "keep"] = "drop"  # nuclei cut by the image's border

    def __post_init__(self):
        low, high = self.diameter
        if not 0 < low < high:
            raise ValueError("diameter must be [smallest, largest] in pixels with 0 < smallest < largest")
        if not 0 <= self.threshold_bounds[0] < self.threshold_bounds[1] <= 1:
            raise ValueError("threshold_bounds must be [low, high] with 0 <= low < high <= 1")
        if self.threshold_correction <= 0:
            raise ValueError("threshold_correction must be above 0")
        for name in ("threshold_smoothing", "minimum_contrast", "declump_smoothing", "declump_distance"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must not be negative")

    @property
    def peak_smoothing(self) -> float:
        """Standard deviation of the blur before peaks are sought, in pixels."""
        return self.diameter[0] / 4 if self.declump_smoothing is None else self.declump_smoothing

    @property
    def peak_distance(self) -> float:
        """Smallest distance of two peaks, in pixels."""
        return self.diameter[0] / 1.5 if self.declump_distance is None else self.declump_distance


@dataclass(frozen=True)
class Preprocess:
    """How images are preprocessed: the keys of ``preprocess:``."""

    engine: Literal["native", "cellprofiler"] = "native"  # what does it; cellprofiler is not available yet
    on_bad_image: Literal["stop", "exclude"] = "stop"  # exclude leaves fields with bad images out and lists them
    illumination: dict = field(default_factory=dict)  # keys of Illumination
    nuclei: dict = field(default_factory=dict)  # keys of Segmentation

    def __post_init__(self):
        if self.engine == "cellprofiler":
            raise UserError("preprocess: engine: 'cellprofiler' is not available yet; use 'native'.")
        _ = self.illumination_settings, self.nuclei_settings  # their keys and ranges are checked here and now

    @cached_property
    def illumination_settings(self) -> Illumination:
        """How illumination functions are made."""
        return plugins.configure(Illumination, self.illumination, "preprocess: illumination")

    @cached_property
    def nuclei_settings(self) -> Segmentation:
        """How nuclei are found."""
        return plugins.configure(Segmentation, self.nuclei, "preprocess: nuclei")


def settings(values: dict) -> Preprocess:
    """Check the block ``preprocess`` of a configuration.

    Raises
    ------
    UserError
        For an unknown key, a value out of range, or an engine that is not there.
    """
    return plugins.configure(Preprocess, values, "preprocess")


def stage(preprocess: Preprocess, name: str) -> dict:
    """The settings, with defaults, on which a stage (illumination, nuclei or samples) depends, and no others."""
    found: dict = {"engine": preprocess.engine, "on_bad_image": preprocess.on_bad_image}
    if name == "illumination":
        found["illumination"] = _plain(preprocess.illumination_settings)
    elif name == "nuclei":
        found["nuclei"] = _plain(preprocess.nuclei_settings)
    return found


def decisive(preprocess: Preprocess) -> dict:
    """All settings that decide what the samples look like, with defaults; what bad images do is none of them."""
    found = stage(preprocess, "illumination") | stage(preprocess, "nuclei")
    return {key: value for key, value in found.items() if key != "on_bad_image"}


def _plain(chosen: Illumination | Segmentation) -> dict:
    """Keys and values as a configuration file would give them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(chosen).items()}
