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
    """How illumination functions are made: the keys of ``preprocess: illumination:``.

    They are the settings of CellProfiler's CorrectIlluminationCalculate, whichever engine works.
    """

    # regular: from all pixels. background: from the darkest pixel of each block, where cells cover too little or too uneven
    # a part of the fields
    method: Literal["regular", "background"] = "regular"
    block_size: int = 60  # side of background's blocks in pixels: so large that each holds a spot without cells
    # polynomial needs the fewest fields; median and gaussian follow uneven light of any form; none: corrected already
    smoothing: Literal["gaussian", "median", "polynomial", "none"] = "polynomial"
    size: int | None = (
        None  # width of the median or Gaussian filter in pixels; default: a quarter of the field's longer side
    )

    def __post_init__(self):
        if self.size is not None and self.size <= 0:
            raise ValueError("size must be above 0")
        if self.block_size < 1:
            raise ValueError("block_size must be at least 1")

    def width(self, shape: tuple[int, int]) -> int:
        """Width of the filter in pixels for fields of this height and width."""
        return max(1, round(max(shape) / 4)) if self.size is None else self.size


@dataclass(frozen=True)
class Segmentation:
    """How nuclei are found: the keys of ``preprocess: nuclei:``.

    They are the settings of CellProfiler's IdentifyPrimaryObjects, in its units, whichever engine works; only
    `minimum_contrast` is our own.
    """

    channel: str | None = None  # the channel that shows nuclei; without it the one named DNA
    diameter: tuple[int, int] = (10, 80)  # pixels; what is smaller or larger is no nucleus
    # minimum_cross_entropy follows soft edges: F1 at an overlap of 0.7 is 0.85 on BBBC039 (otsu: 0.83) and 0.94 on the
    # simulated screen (0.67). But it cuts noise in two where a field has a single nucleus (BBBC005: 66 in place of 1). With
    # `minimum_contrast: 8` it does not, but some fields that are out of focus or glow then have no nuclei
    threshold: Literal["otsu", "minimum_cross_entropy"] = "otsu"
    threshold_scope: Literal["global", "adaptive"] = "global"  # adaptive: follows a background that is uneven still
    adaptive_window: int = 50  # pixels: side of the blocks that get thresholds of their own; at most half a field's side
    threshold_smoothing: float = 1.3488  # scale in pixels of the blur before the threshold is applied; more for noisy images
    threshold_correction: float = 1.0  # factor on the threshold: above 1 finds less, below 1 more
    threshold_bounds: tuple[float, float] = (0.0, 1.0)  # the threshold stays between these shares of the intensity range
    minimum_contrast: float = (
        4.0  # foreground above background in its standard deviations; below it a field is empty (0: off)
    )
    fill_holes: bool = True  # nucleoli leave holes
    # What shows that two nuclei touch. intensity where light gathers in their middle, and `diameter` begins near their size:
    # from 10 pixels on it splits 29 % of the nuclei of BBBC039 (shape 6 %), from 15 pixels on 3 % (shape 1 %)
    declump: Literal["shape", "intensity", "none"] = "shape"
    # Along what they are cut apart; default: as declump. intensity after shape cuts truer (BBBC039: F1 at 0.7 0.87 for 0.83)
    # and counts worse (wrong by 9.3 nuclei a field for 4.6)
    divide: Literal["shape", "intensity"] | None = None
    declump_smoothing: int | None = None  # width in pixels of the filter before peaks are sought; default: from diameter
    declump_distance: float | None = None  # peaks nearer to each other than this are one; default: from diameter
    low_resolution: bool = True  # seek peaks in a reduced image where the smallest diameter is above 10: faster
    # Nuclei cut by the image's border: kept, since counts need them (sharp fields of BBBC005: 0.4 nuclei wrong, without them
    # 5.7), and so do masked neighbours. Samples leave them out by a key of their own
    border: Literal["drop", "keep"] = "keep"

    def __post_init__(self):
        low, high = self.diameter
        if not 0 < low < high:
            raise ValueError("diameter must be [smallest, largest] in pixels with 0 < smallest < largest")
        if not 0 <= self.threshold_bounds[0] < self.threshold_bounds[1] <= 1:
            raise ValueError("threshold_bounds must be [low, high] with 0 <= low < high <= 1")
        if self.threshold_correction <= 0:
            raise ValueError("threshold_correction must be above 0")
        if self.adaptive_window < 2:
            raise ValueError("adaptive_window must be at least 2")
        for name in ("threshold_smoothing", "minimum_contrast", "declump_smoothing", "declump_distance"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must not be negative")

    def nuclear(self, channels: list[str]) -> str:
        """The one of the channels in which nuclei are sought."""
        channel = self.channel or "DNA"
        if channel not in channels:
            raise UserError(
                f"preprocess: nuclei: channel: there is no channel '{channel}'; the channels are {', '.join(channels)}. "
                "Set the key to the one that shows nuclei."
            )
        return channel


@dataclass(frozen=True)
class Preprocess:
    """How images are preprocessed: the keys of ``preprocess:``."""

    engine: Literal["native", "cellprofiler"] = "native"  # what does it: the same operations in process, or CellProfiler
    # the program that runs CellProfiler 4.2; with --use-conda the environment's own
    cellprofiler: str = "cellprofiler"
    pipeline: str | None = None  # your own .cppipe in place of ours to find nuclei; README says what it must export
    chunk: int = 48  # fields that one CellProfiler process works through: it slows down and grows with their number
    check: int = 0  # fields of each plate that both engines work on; the report shows how they differ
    on_bad_image: Literal["stop", "exclude"] = "stop"  # exclude leaves fields with bad images out and lists them
    illumination: dict = field(default_factory=dict)  # keys of Illumination
    nuclei: dict = field(default_factory=dict)  # keys of Segmentation

    def __post_init__(self):
        if self.chunk < 1:
            raise ValueError("chunk must be at least 1")
        if self.check < 0:
            raise ValueError("check must not be negative")
        if self.pipeline is not None and self.engine != "cellprofiler":
            raise ValueError("pipeline is a CellProfiler pipeline: it needs 'engine: cellprofiler'")
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
    """The settings, with defaults, on which a stage (illumination, nuclei, samples or check) depends, and no others."""
    found: dict = {"engine": preprocess.engine, "on_bad_image": preprocess.on_bad_image}
    if name == "illumination":
        found["illumination"] = _plain(preprocess.illumination_settings)
    elif name == "nuclei":
        found["nuclei"] = _plain(preprocess.nuclei_settings)
        if preprocess.pipeline is not None:
            found["pipeline"] = preprocess.pipeline
    elif name == "check":
        found = stage(preprocess, "illumination") | stage(preprocess, "nuclei") | {"check": preprocess.check}
    return found


def decisive(preprocess: Preprocess) -> dict:
    """All settings that decide what the samples look like, with defaults; what bad images do is none of them."""
    found = stage(preprocess, "illumination") | stage(preprocess, "nuclei")
    # Which program it is, and in how many parts it works, changes nothing that it finds.
    return {key: value for key, value in found.items() if key != "on_bad_image"}


def _plain(chosen: Illumination | Segmentation) -> dict:
    """Keys and values as a configuration file would give them."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(chosen).items()}
