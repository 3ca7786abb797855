"""Obtain published files, from where they are published, a mirror, or a folder: whole and as published, or not at all.

One downloader for all datasets. A published checksum is compared; where there is none the first download's SHA-256 is
recorded in ``resources/{dataset}/checksums/`` and compared from then on. Parts that have come wait in
``resources/{dataset}/partial/``: outside of the archive's own folder, which Snakemake empties before it tries again.

How many files come at the same time is a matter of the resource `download` in ``profiles/``: one job fetches one archive.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from phenorep import transfer
from phenorep.contracts import replacing
from phenorep.errors import UserError
from phenorep.unpacking import WrongContent, check_room, unpack

AT_ONCE = 4  # files of one archive that are fetched at the same time


@dataclass(frozen=True)
class Published:
    """A file as it is published."""

    name: str
    size: int | None = None  # bytes; None where it is not stated
    sha256: str | None = None  # hexadecimal; None where it is not stated: that of the first download is recorded
    unpacked: int = 0  # most bytes that the files of a zip archive may have together; 0: a plain file, kept as it is


def is_address(base: str) -> bool:
    """Whether files are fetched from there, rather than read from a folder."""
    return base.startswith(("http://", "https://"))


def obtain(base: str, files: Sequence[Published], target: str | Path) -> None:
    """Fill a folder with published files; archives are unpacked, and not kept if they were downloaded.

    Parameters
    ----------
    base
        Address of the folder of the files, or a local folder that holds copies of them.
    files
        What to fetch.
    target
        The folder, ``resources/{dataset}/{archive}``; checksums and parts stand beside it.

    Raises
    ------
    WrongContent
        If a file is not what was published, or not what came the first time. It is removed if it was downloaded.
    UserError
        If a file cannot be had, or the disk is too small.
    """
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(min(AT_ONCE, len(files))) as pool:
        for waiting in [pool.submit(_obtain, base, file, target) for file in files]:
            waiting.result()


def _obtain(base: str, file: Published, target: Path) -> None:
    if not is_address(base):
        path = Path(base) / file.name
        if not path.is_file():
            raise UserError(f"{path}: there is no such file. Put it there, or change the dataset's key 'path:'.")
        _place(path, str(path), file, target, shutil.copyfile)
        return
    path, address = target.parent / "partial" / file.name, f"{base.rstrip('/')}/{file.name}"
    try:
        transfer.receive(address, path, file.size, file.unpacked)
        _place(path, address, file, target, os.replace)
    except WrongContent:
        transfer.discard(path)  # or the next run would go on with it
        raise
    transfer.discard(path)


def _place(path: Path, source: str, file: Published, target: Path, put) -> None:
    """Check a file, then unpack it into the folder `target`, or `put` it there."""
    size, sha256 = path.stat().st_size, _sha256(path)
    if file.size is not None and size != file.size:
        raise WrongContent(f"{source}: has {size} bytes, published are {file.size}. Was the file replaced?")
    if file.sha256 and sha256 != file.sha256.lower():
        raise WrongContent(
            f"{source}: the {size} bytes have the SHA-256 {sha256}, published is {file.sha256}. "
            "The file was replaced or changed on its way: do not use it unless you know why."
        )
    record = target.parent / "checksums" / f"{file.name}.json"
    if not file.sha256:
        _compare_with_first(record, source, size, sha256)
    if file.unpacked:
        unpack(path, target, file.unpacked)
    else:
        check_room(target, size, source)
        with replacing(target / file.name) as temporary:
            put(path, temporary)
    # Only now: of an archive that cannot be unpacked nothing should be held up as the right one.
    if not file.sha256 and not record.exists():
        with replacing(record) as temporary:
            facts = {"sha256": sha256, "bytes": size, "from": source, "recorded": date.today().isoformat()}
            temporary.write_text(json.dumps(facts, indent=1) + "\n")
    logging.getLogger(__name__).info("%s: %d bytes, SHA-256 %s", source, size, sha256)


def _compare_with_first(record: Path, source: str, size: int, sha256: str) -> None:
    """Raise `WrongContent` if a file is another one than that which came first."""
    if not record.exists():
        return
    try:
        first = json.loads(record.read_text())
        first_sha256, told = first["sha256"], f"{first['bytes']} bytes on {first['recorded']} from {first['from']}"
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{record}: is not the record of a download ({error!r}). Remove it and run again.") from error
    if first_sha256 != sha256:
        raise WrongContent(
            f"{source}: the {size} bytes have the SHA-256 {sha256}; what came first ({told}) had {first_sha256}. Results of "
            "both would not fit together. If the file was published anew and you want that version, remove "
            f"{record} and everything that was made of the old one, and run again."
        )


def _sha256(path: Path) -> str:
    with open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
