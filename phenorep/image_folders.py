"""The folder that a microscope left, as the configuration names it: where it lies, and which of its images are used."""

from dataclasses import dataclass

from phenorep import fieldlist, microscopes
from phenorep.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Keys that say where the images lie and which of them are used."""

    folder: str  # the folder of one or more plates
    layout: str = "auto"  # a file of phenorep/microscopes; auto: the one that recognises the folder
    pattern: str = ""  # regular expression over each image's path, with groups well, site, channel, ...: layout pattern
    channels: dict | None = None  # {theirs: ours}, e.g. {w1: DNA}: these and no others, in this order; None: all
    plates: dict | None = None  # {theirs: ours}: these and no others; None: all
    time: int | None = None  # which time point, where there are several
    plane: int | None = None  # which plane, where there are several; 0: the projection that MetaXpress saves

    def __post_init__(self):
        for key in ("channels", "plates"):
            named = getattr(self, key) or {}
            if not all(isinstance(text, str) and text for pair in named.items() for text in pair):
                raise ValueError(f"{key} must be {{theirs: ours}} in text, like {{w1: DNA}}; put names of digits in quotes")
        if self.pattern and self.layout not in ("auto", "pattern"):
            raise ValueError(f"pattern belongs to 'layout: pattern', not to 'layout: {self.layout}'")
        if self.pattern:
            try:
                microscopes.module_of("pattern").compiled(self.pattern)
            except UserError as error:
                raise ValueError(str(error)) from error


def listing(config: ImageFolder) -> microscopes.Listing:
    """The files of the folder."""
    return microscopes.scan(config.folder, config.pattern)


def selection(config: ImageFolder) -> fieldlist.Selection:
    """Which of them are used."""
    return fieldlist.Selection(config.layout, config.plates, config.channels, config.time, config.plane)
