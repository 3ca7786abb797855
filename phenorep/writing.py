"""Files are written whole or not at all, whatever happens to the process, the disk or the power meanwhile."""

import errno
import os
import re
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path

from phenorep.errors import NotRun, UserError

# Errors of the disk rather than of the program, and what mends them. The last three may be of a file that is read.
_REASONS = {
    errno.ENOSPC: "the disk is full ({free} left). Make room",
    errno.EDQUOT: "your quota of the disk is used up ({free} are left on the disk itself). Make room, or have it raised",
    errno.EROFS: "the disk can only be read. Have it made writable, or work in another folder",
    errno.EFBIG: "the file becomes larger than is allowed here. Have the limit raised (ulimit -f), or work on another disk",
    errno.EACCES: "you may not write there. Change the permissions of that folder, or work in another",
    errno.EPERM: "you may not write there. Change the permissions of that folder, or work in another",
    errno.EIO: "the disk reports an error. Have it looked at, or work on another disk",
}
_SURE = tuple(_REASONS)[:4]
_FULL = 1 << 16  # bytes: where so little is left, a failed write has failed for want of room, whatever a library calls it


@contextmanager
def replacing(path: str | Path):
    """Yield a temporary path beside `path` that takes its place when the block ends well: no half-written file is left.

    What a killed process has left of the same file is removed: one job writes a file at a time.

    Raises
    ------
    UserError
        If the disk does not take the file; the message names it.
    """
    path = Path(path)
    # The suffix stays last: numpy and others choose or append a format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(path)
        yield temporary
        # Or after a loss of power the file could be there, and empty.
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except Exception as error:
        _raise_refusal(error, path, path.parent)
        raise
    finally:
        with suppress(OSError):  # a folder that cannot be written to: the first error is the one to show
            temporary.unlink(missing_ok=True)


@contextmanager
def filling(folder: str | Path):
    """Name a folder in the error if the disk does not take the files that other libraries write into it."""
    try:
        yield
    except Exception as error:
        _raise_refusal(error, folder, folder)
        raise


def _raise_refusal(error: Exception, path: str | Path, folder: str | Path) -> None:
    if isinstance(error, UserError | NotRun):
        return
    if reason := refusal(error, folder):
        raise UserError(f"{path}: cannot be written: {reason} and give the same command again.") from error


def _remove_left(path: Path) -> None:
    left = re.compile(rf"\.{re.escape(path.stem)}\.\d+{re.escape(path.suffix)}")
    for name in os.listdir(path.parent):
        if left.fullmatch(name):
            path.with_name(name).unlink(missing_ok=True)


def refusal(error: BaseException, folder: str | Path) -> str | None:
    """Why a disk did not take a file, and what mends it, as the middle of a sentence; None for any other error.

    Parameters
    ----------
    error
        What was raised while the file was written. Libraries do not always pass on the system's reason.
    folder
        On the disk that is meant.
    """
    folder = next(place for place in (Path(folder).absolute(), *Path(folder).absolute().parents) if place.is_dir())
    free = shutil.disk_usage(folder).free
    number, name = getattr(error, "errno", None), getattr(error, "filename", None)
    if number not in _REASONS and isinstance(error, OSError | RuntimeError) and free < _FULL:
        number = errno.ENOSPC
    if number in _SURE or (number in _REASONS and name and Path(name).absolute().is_relative_to(folder)):
        return _REASONS[number].format(free=f"{free} bytes")
    return None
