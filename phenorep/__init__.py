"""phenorep: which learned representation of the cell images of a screen to use, for which task."""

__version__ = "0.1.0"
