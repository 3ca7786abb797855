"""How much a dataset holds, told before anything is downloaded: what an estimate of a run rests on."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Extent:
    """The size of a dataset, as configured: what ``extent(config)`` of a dataset's module gives."""

    fields: int  # of view, on all plates
    size: tuple[int, int]  # height and width of an image in pixels
    pixel_bytes: int  # of a channel
    cells: float  # nuclei that are expected in a field
    download: int = 0  # bytes that are fetched
    archives: int = 0  # in so many files
    unpacked: int = 0  # bytes of them on the disk, once unpacked
    basis: dict[str, str] = field(default_factory=dict)  # what these figures rest on: {figure: reason}
