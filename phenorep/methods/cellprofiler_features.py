"""CellProfiler's measurements of nuclei as features: the classical baseline beside encoders.

It trains nothing and has no encoder: the measurements of a plate's nuclei are joined to the samples, so it needs samples
with a nucleus each. Measurements that are constant or undefined for more than 1 % of the samples are left out, and named in
the log and beside the table; what else is undefined gets the median of its plate.

[0] Caicedo et al. 2017, Data-analysis strategies for image-based cell profiling, Nature Methods 14, doi:10.1038/nmeth.4397
[1] https://cellprofiler-manual.s3.amazonaws.com/CellProfiler-4.2.8/modules/measurement.html
"""

from dataclasses import dataclass

from phenorep.errors import UserError
from phenorep.measurements import GROUPS
from phenorep.plugins import suggest

SEEDED = False
NEEDS = ("measurements",)


@dataclass(frozen=True)
class Config:
    """Which measurements become features."""

    # Not radial_zernike, which CellProfiler leaves out by default too, nor granularity, which takes as long as all others.
    groups: tuple[str, ...] = ("shape", "zernike", "intensity", "texture", "radial", "correlation")  # fewer: less time
    channels: tuple[str, ...] | None = None  # measurements of these channels only; null: of all
    # false: CellProfiler's units, where the largest numbers rule every distance; profiles must then standardise
    scale: bool = True  # true: mean 0 and standard deviation 1 over the whole sample set, all plates alike

    def __post_init__(self):
        unknown = [name for name in self.groups if name not in GROUPS]
        if unknown:
            raise ValueError(f"groups: there is no '{unknown[0]}'. {suggest(unknown[0], GROUPS)}")
        if not self.groups or len(set(self.groups)) < len(self.groups):
            raise ValueError(f"groups must name each group once: some of {', '.join(GROUPS)}")
        if self.channels is not None and (not self.channels or len(set(self.channels)) < len(self.channels)):
            raise ValueError("channels must name each channel once, or be left out for all of them")


def choose(config: Config, columns: dict[str, list[str]], channels: list[str]) -> list[str]:
    """The measurements that are wanted, in their order.

    Parameters
    ----------
    columns
        What there is: {measurement: [its group, its channels...]}.
    channels
        The plates' channels.

    Raises
    ------
    UserError
        If a channel is not there, or nothing is left.
    """
    for name in config.channels or ():
        if name not in channels:
            raise UserError(f"methods: channels: the images have no channel '{name}'. {suggest(name, channels)}")
    wanted = set(config.channels or channels)
    chosen = [name for name, (group, *of) in columns.items() if group in config.groups and wanted.issuperset(of)]
    if not chosen:
        raise UserError("methods: groups: no measurement is left: pairs of channels need two. Name more groups or channels.")
    return chosen
