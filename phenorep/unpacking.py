"""Unpack published archives: into their folder and nowhere else, or not at all."""

import os
import re
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from phenorep.errors import UserError

_CHUNK = 1 << 20
ENTRIES = 1_000_000  # most files of an archive
_NAME = 255  # bytes: no file system takes more


class WrongContent(UserError):
    """A file that came is not what was published: to go on with it, or to keep it, is of no use."""


def unpack(archive: str | Path, folder: str | Path, limit: int) -> list[Path]:
    """Unpack a zip archive into a folder, and nowhere else.

    Every entry is checked before the first is written.

    Parameters
    ----------
    archive
        The zip file.
    folder
        Made if it does not exist.
    limit
        Largest number of bytes that the entries may have together.

    Returns
    -------
    list of Path
        The files, in the archive's order.

    Raises
    ------
    WrongContent
        If the archive is damaged (each entry has a checksum, CRC-32), larger than `limit`, or has an entry that is a link,
        is encrypted, stands twice, is a file and a folder, or has a name that is absolute, leads outside the folder or can
        be none. What was unpacked of it until then is removed.
    UserError
        If the archive cannot be opened or its files not be written, or the disk has not enough room.
    """
    folder = Path(folder)
    written: list[Path] = []
    try:
        with open(archive, "rb") as file, zipfile.ZipFile(file) as opened:
            for entry, path in _check_members(opened, archive, folder, limit):
                path.parent.mkdir(parents=True, exist_ok=True)
                written.append(path)
                with opened.open(entry) as source, open(path, "wb") as target:
                    # Ends at the entry's declared size, then compares its checksum.
                    shutil.copyfileobj(source, target, _CHUNK)
    except Exception as error:  # each compression and each kind of damage has its own
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, UserError):
            raise
        if isinstance(error, OSError) and error.errno is not None:  # of the disk; those of decoders have no number
            place = error.filename or folder
            raise UserError(f"{archive}: unpacking: {place}: {os.strerror(error.errno)}. Mend it and run again.") from error
        raise WrongContent(
            f"{archive}: the archive is damaged ({str(error) or type(error).__name__}). Remove it and run again."
        ) from error
    return written


def check_room(folder: str | Path, needed: int, what: str) -> None:
    """Raise `UserError` if the disk that holds `folder` has less than `needed` bytes left for `what`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{what} needs {needed} bytes, {folder} has {free} left. Make room and run again.")


def _check_members(opened: zipfile.ZipFile, archive, folder: Path, limit: int) -> list[tuple[zipfile.ZipInfo, Path]]:
    members: list[tuple[zipfile.ZipInfo, Path]] = []
    seen: set[Path] = set()
    if len(opened.infolist()) > ENTRIES:
        raise WrongContent(f"{archive}: has {len(opened.infolist())} entries, expected at most {ENTRIES}.")
    for entry in opened.infolist():
        name = entry.filename.replace("\\", "/")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        parts = PurePosixPath(name).parts
        if name.startswith("/") or re.match(r"^[A-Za-z]:", name) or ".." in parts or not parts:
            raise _refused(archive, entry, "leads outside the folder")
        if not name.isprintable() or any(len(part.encode()) > _NAME for part in parts):
            raise _refused(archive, entry, "has a name that no file should have")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(archive, entry, "is a link or a device, not a plain file")
        if entry.flag_bits & 1:
            raise _refused(archive, entry, "is encrypted")
        path = folder.joinpath(*parts)
        if not path.resolve().is_relative_to(folder.resolve()):  # through a link that stands in the folder already
            raise _refused(archive, entry, "leads outside the folder")
        if entry.is_dir():
            continue
        if path in seen:
            raise _refused(archive, entry, "stands there twice")
        seen.add(path)
        members.append((entry, path))
    folders = {parent for _, path in members for parent in path.parents}
    for entry, path in members:
        if path in folders:
            raise _refused(archive, entry, "is a file and a folder")
    total = sum(entry.file_size for entry, _ in members)
    if total > limit:
        raise WrongContent(
            f"{archive}: unpacked it would be {total} bytes, expected at most {limit}. It is not what was published."
        )
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, total, f"{archive}: unpacking")
    return members


def _refused(archive, entry: zipfile.ZipInfo, why: str) -> WrongContent:
    return WrongContent(f"{archive}: the entry {entry.filename!r} {why}. Nothing was unpacked: do not trust this archive.")
