"""What this machine has, found without torch: a plan asks before any job runs."""

from pathlib import Path


def has_gpu() -> bool:
    """Whether the driver of an NVIDIA card has made its device here."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
