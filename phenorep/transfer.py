"""Receive one file over HTTP: a broken connection goes on where it ended, also in a later run.

What has come stands in the file itself; beside it, in ``{file}.json``, stands of which version it is a part: the server's
ETag or date and the length. A part is gone on with only if the server confirms that version [0]; otherwise, or if it ignores
ranges, the file is received anew.

[0] RFC 9110, HTTP Semantics, sections 13.1.5 (If-Range) and 14 (Range Requests)
"""

import http.client
import json
import logging
import random
import re
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from phenorep.contracts import replacing
from phenorep.errors import UserError
from phenorep.unpacking import WrongContent, check_room

TRIES = 6  # in a row without a megabyte gained
PAUSE = 1.0  # seconds before the second try; doubles with each further one
LONGEST_PAUSE = 60.0  # seconds, also where the server asks for more
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers that another try may mend
_CHUNK = 1 << 20


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects from one address of the web to another: urllib would go on to ftp as well."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """The request that follows; raises `UserError` if it would leave the web."""
        if not newurl.lower().startswith(("http://", "https://")):
            raise UserError(f"{req.full_url}: the server sends us on to {newurl}, which is no http or https address.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_Redirects)


class _Broken(Exception):
    """A try that failed for a reason that may pass."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


def receive(address: str, path: str | Path, size: int | None = None, room: int = 0, timeout: float = 60) -> None:
    """Receive a file, or the rest of it.

    Parameters
    ----------
    address
        http or https.
    path
        The file. If this fails it may hold a part, with which the next call goes on: no other step should look for it here.
    size
        Published number of bytes.
    room
        Bytes that must be free on the disk beyond the file itself.
    timeout
        Seconds without a byte after which a try has failed.

    Raises
    ------
    WrongContent
        If the server offers another number of bytes than was published.
    UserError
        If the address cannot be reached, the server refuses, or the disk is too small.
    """
    path = Path(path)
    if not address.startswith(("http://", "https://")):
        raise UserError(f"{address}: only http and https addresses can be downloaded.")
    path.parent.mkdir(parents=True, exist_ok=True)
    failed, most = 0, _received(path)
    while True:
        try:
            _try(address, path, size, room, timeout)
            break
        except _Broken as error:
            # A try that brought nothing new counts; a server that ignores ranges brings the same bytes again and again.
            failed = 1 if _received(path) >= most + _CHUNK else failed + 1
            most = max(most, _received(path))
            if failed >= TRIES:
                raise UserError(f"{address}: {error}, {TRIES} times in a row. {_remedy(path)}") from error
            # Random, so that jobs which failed together do not come back together.
            wait = min(LONGEST_PAUSE, max(error.wait, PAUSE * 2 ** (failed - 1))) * random.uniform(0.5, 1)
            logging.getLogger(__name__).warning("%s: %s; next try in %.1f s", address, error, wait)
            time.sleep(wait)
    logging.getLogger(__name__).info("%s: %d bytes", address, _received(path))


def discard(path: str | Path) -> None:
    """Remove a received file, or its part, so that the next call starts anew."""
    for each in (Path(path), _notes_of(Path(path))):
        each.unlink(missing_ok=True)


def _try(address: str, path: Path, size: int | None, room: int, timeout: float) -> None:
    """One connection; raises `_Broken` if another one may do better."""
    notes = _read_notes(path, address)
    start = _start(path, notes)
    headers = {"User-Agent": "phenorep", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": notes["etag"] or notes["modified"]}
    with _open(urllib.request.Request(address, headers=headers), path, timeout) as answer:
        if answer.status == 206 and not _continues(answer, start, notes):
            discard(path)
            raise _Broken("the file was changed on the server since its first part came; it is received anew")
        if answer.status == 200:
            start, notes = 0, _describe(answer, address)
        length = notes["length"]
        if None not in (size, length) and size != length:
            raise WrongContent(f"{address}: the server offers {length} bytes, published are {size}. Was the file replaced?")
        expected = size if length is None else length
        check_room(path.parent, (expected or start) - start + room, f"{address}: with what is unpacked from it, it")
        with replacing(_notes_of(path)) as temporary:
            temporary.write_text(json.dumps(notes))
        _copy(answer, path, start, expected, address)
    if expected is not None and _received(path) < expected:
        raise _Broken(f"the download ended after {_received(path)} of {expected} bytes")


def _open(request: urllib.request.Request, path: Path, timeout: float) -> http.client.HTTPResponse:
    try:
        answer = _OPENER.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the server's file ends before our part does
            discard(path)
            raise _Broken("the file became shorter on the server; it is received anew") from error
        said = f"the server answers {error.code} ({error.reason})"
        if error.code in TRANSIENT:
            wait = error.headers.get("Retry-After") or ""
            raise _Broken(said, float(wait) if wait.isdecimal() else 0.0) from error
        raise UserError(f"{request.full_url}: {said}. {_remedy(path)}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError) or _has_no_such_host(reason):
            raise UserError(f"{request.full_url}: cannot be reached ({reason}). {_remedy(path)}") from error
        raise _Broken(f"the server cannot be reached ({reason}); is there a network?") from error
    if answer.status not in (200, 206):
        answer.close()
        raise UserError(f"{request.full_url}: the server answers {answer.status}, expected 200. {_remedy(path)}")
    return answer


def _has_no_such_host(reason) -> bool:
    return isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME


def _copy(answer: http.client.HTTPResponse, path: Path, start: int, expected: int | None, address: str) -> None:
    """Append what comes to the first `start` bytes of the file."""
    often = 0.5 if sys.stderr.isatty() else 10  # seconds; a log file need not grow with every moment
    with (
        open(path, "r+b" if start else "wb") as file,
        tqdm(
            total=expected, initial=start, desc=path.name, unit="B", unit_scale=True, mininterval=often, file=sys.stderr
        ) as bar,
    ):
        file.truncate(start)
        file.seek(start)
        while True:
            try:
                # read1: what has come, as it comes, so that nothing is lost when the connection breaks.
                chunk = answer.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(f"the connection broke after {file.tell()} bytes ({error})") from error
            if not chunk:
                return
            if expected is not None and file.tell() + len(chunk) > expected:
                raise WrongContent(f"{address}: more than the {expected} bytes that were expected. Was the file replaced?")
            try:
                file.write(chunk)
            except OSError as error:
                raise UserError(f"{path}: cannot be written ({error.strerror}). Make room and run again.") from error
            bar.update(len(chunk))


def _describe(answer: http.client.HTTPResponse, address: str) -> dict:
    """What tells this version of the file from another one."""
    etag = answer.headers.get("ETag") or ""
    length = answer.headers.get("Content-Length")
    return {
        "address": address,
        "etag": "" if etag.startswith("W/") else etag,  # a weak one says that versions are alike, not that they are equal
        "modified": answer.headers.get("Last-Modified") or "",
        "length": int(length) if length and length.isdecimal() else None,
    }


def _start(path: Path, notes: dict) -> int:
    """Byte from which on to ask; of a whole file the last one, to hear whether it is still the same file."""
    length = notes.get("length")
    return min(_received(path), length - 1 if length else sys.maxsize)


def _continues(answer: http.client.HTTPResponse, start: int, notes: dict) -> bool:
    """Whether an answer is the rest of the same file; some servers do not compare, and send a part of whatever they have."""
    place = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range") or "")
    now = _describe(answer, notes.get("address", ""))
    same = all(not now[key] or now[key] == notes.get(key) for key in ("etag", "modified"))
    total = (str(notes.get("length")), "*")
    return bool(start and place and int(place[1]) == start and same and (notes.get("length") is None or place[2] in total))


def _read_notes(path: Path, address: str) -> dict:
    """What stands beside a part; the part is removed if it cannot be gone on with."""
    try:
        notes = json.loads(_notes_of(path).read_text())
        if notes["address"] == address and (notes["etag"] or notes["modified"]):
            return notes
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # none, or not ours
    discard(path)
    return {}


def _received(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _notes_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _remedy(path: Path) -> str:
    return (
        f"Run again later, it goes on where it ended; or fetch {path.name} on another machine and give the dataset's folder "
        "as 'path:', if the dataset has that key."
    )
