"""Fetch published files and unpack archives: whole and as published, or not at all."""

import hashlib
import http.client
import logging
import re
import shutil
import stat
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath

from phenorep.contracts import replacing
from phenorep.errors import UserError

_CHUNK = 1 << 20


def fetch(address: str, path: str | Path, sha256: str | None = None, size: int | None = None, timeout: float = 60) -> None:
    """Stream an address into a file.

    Parameters
    ----------
    address
        http or https.
    path
        The file; it appears only when it is complete and right.
    sha256, size
        Published checksum (hexadecimal) and number of bytes.
    timeout
        Seconds without a byte after which the download fails.

    Raises
    ------
    UserError
        If the address cannot be reached, or what came is not what was published.
    """
    if not address.startswith(("http://", "https://")):
        raise UserError(f"{address}: only http and https addresses can be downloaded.")
    request = urllib.request.Request(address, headers={"User-Agent": "phenorep"})
    digest, received = hashlib.sha256(), 0
    with replacing(path) as temporary:
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer, open(temporary, "wb") as file:
                promised = int(answer.headers.get("Content-Length") or -1)
                while chunk := answer.read(_CHUNK):
                    received += len(chunk)
                    if size is not None and received > size:
                        raise UserError(f"{address}: more than the {size} bytes that were published. Was the file replaced?")
                    digest.update(chunk)
                    file.write(chunk)
        except urllib.error.HTTPError as error:
            raise UserError(f"{address}: the server answers {error.code} ({error.reason}). {_remedy(path)}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise UserError(f"{address}: cannot be downloaded ({reason}); is there a network? {_remedy(path)}") from error
        expected = size if size is not None else promised
        if expected >= 0 and received != expected:
            raise UserError(f"{address}: the download ended after {received} of {expected} bytes. {_remedy(path)}")
        if sha256 and digest.hexdigest() != sha256.lower():
            raise UserError(
                f"{address}: the {received} bytes have the SHA-256 {digest.hexdigest()}, published is {sha256}. "
                "The file was replaced or changed on its way: do not use it unless you know why."
            )
    logging.getLogger(__name__).info("%s: %d bytes", address, received)


def _remedy(path: str | Path) -> str:
    return (
        f"Run again later; or fetch {Path(path).name} on another machine and give the dataset's folder as 'path:', "
        "if the dataset has that key."
    )


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
    UserError
        If the archive is damaged, larger than `limit`, or has an entry that is a link, is encrypted, stands twice, or has an
        absolute name or one that leads outside the folder.
    """
    folder = Path(folder)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _check_members(opened, archive, folder, limit)
            for entry, path in members:
                path.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, open(path, "wb") as target:
                    shutil.copyfileobj(
                        source, target, _CHUNK
                    )  # ends at the entry's declared size, then compares its checksum
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise UserError(f"{archive}: the archive is damaged ({error}). Remove it and run again.") from error
    return [path for _, path in members]


def _check_members(opened: zipfile.ZipFile, archive, folder: Path, limit: int) -> list[tuple[zipfile.ZipInfo, Path]]:
    members: list[tuple[zipfile.ZipInfo, Path]] = []
    seen: set[Path] = set()
    for entry in opened.infolist():
        name = entry.filename.replace("\\", "/")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        parts = PurePosixPath(name).parts
        if name.startswith("/") or re.match(r"^[A-Za-z]:", name) or ".." in parts or not parts:
            raise _refused(archive, entry, "leads outside the folder")
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
    total = sum(entry.file_size for entry, _ in members)
    if total > limit:
        raise UserError(
            f"{archive}: unpacked it would be {total} bytes, expected at most {limit}. It is not what was published."
        )
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise UserError(f"{archive}: unpacked it needs {total} bytes, {folder} has {free} left. Make room and run again.")
    return members


def _refused(archive, entry: zipfile.ZipInfo, why: str) -> UserError:
    return UserError(f"{archive}: the entry {entry.filename!r} {why}. Nothing was unpacked: do not trust this archive.")
