import hashlib
import http.server
import json
import re
import shutil
import stat
import threading
import zipfile
from types import SimpleNamespace

import pytest

from phenorep import download, transfer, unpacking
from phenorep.download import Published
from phenorep.errors import UserError

CONTENT = bytes(range(256)) * 20_000  # 5 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """A server whose misbehaviour a test chooses; it remembers the ranges it was asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag = '"one"'
        self.modified = ""
        self.cuts = []  # bytes after which the next connections break
        self.failures = []  # status of the next answers
        self.ranges = True  # whether ranges are served
        self.checks = True  # whether If-Range is obeyed
        self.length = 0  # added to the true Content-Length; None: no Content-Length
        self.asked = []

    def handle_error(self, *arguments):
        """A client that has seen enough and leaves is no error."""

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        server.asked.append(int(wanted[1]) if wanted else None)
        if server.failures and (status := server.failures.pop(0)) != 200:
            self.send_error(status)
            return
        start = int(wanted[1]) if wanted and server.ranges else 0
        if server.checks and self.headers.get("If-Range") not in (server.etag, server.modified):
            start = 0
        if start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        for name, value in (("ETag", server.etag), ("Last-Modified", server.modified)):
            if value:
                self.send_header(name, value)
        if server.length is not None:
            self.send_header("Content-Length", str(len(body) + server.length))
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


def get(server, tmp_path, name="file.bin", **published):
    """Obtain one file from the server; returns what is there afterwards."""
    download.obtain(server.address, [Published(name, **published)], tmp_path / "archive")
    return (tmp_path / "archive" / name).read_bytes()


def left(tmp_path):
    """Names of all files that are there."""
    return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())


def test_a_file_arrives_whole_and_is_recorded(server, tmp_path):
    assert get(server, tmp_path) == CONTENT
    assert left(tmp_path) == ["archive/file.bin", "checksums/file.bin.json"]
    record = json.loads((tmp_path / "checksums" / "file.bin.json").read_text())
    assert (record["sha256"], record["bytes"], record["from"]) == (SHA256, len(CONTENT), f"{server.address}/file.bin")


def test_published_checksums_need_no_record(server, tmp_path):
    assert get(server, tmp_path, size=len(CONTENT), sha256=SHA256.upper()) == CONTENT
    assert left(tmp_path) == ["archive/file.bin"]


def test_a_broken_connection_is_resumed_where_it_ended(server, tmp_path):
    server.cuts = [1_500_000, 2_000_000, 300_000]
    assert get(server, tmp_path, sha256=SHA256) == CONTENT
    assert server.asked == [None, 1_500_000, 3_500_000, 3_800_000]


def test_connections_that_bring_something_do_not_count_as_failures(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TRIES", 3)
    server.cuts = [1_100_000] * 4
    assert get(server, tmp_path, sha256=SHA256) == CONTENT
    assert len(server.asked) == 5


def test_a_later_run_goes_on(server, tmp_path):
    server.cuts, server.failures = [2_000_000], [200] + [503] * (transfer.TRIES - 1)
    with pytest.raises(UserError, match=r"answers 503 .* 6 times in a row.*goes on where it ended"):
        get(server, tmp_path)
    assert left(tmp_path) == ["partial/file.bin", "partial/file.bin.json"]
    shutil.rmtree(tmp_path / "archive")  # as Snakemake does with the output of a job that failed
    server.asked = []
    assert get(server, tmp_path, sha256=SHA256) == CONTENT
    assert server.asked == [2_000_000]


@pytest.mark.parametrize("name", ["etag", "modified"])
def test_a_date_or_an_etag_is_enough_to_resume(server, tmp_path, name):
    server.etag, server.modified = ('"one"', "") if name == "etag" else ("", "Sat, 21 Nov 2026 10:00:00 GMT")
    server.cuts = [2_000_000]
    assert get(server, tmp_path, sha256=SHA256) == CONTENT
    assert server.asked == [None, 2_000_000]


@pytest.mark.parametrize("etag", ["", 'W/"one"'])
def test_a_version_that_cannot_be_told_is_received_anew(server, tmp_path, etag):
    server.etag, server.cuts = etag, [2_000_000]
    assert get(server, tmp_path, sha256=SHA256) == CONTENT
    assert server.asked == [None, None]


def test_a_server_that_ignores_ranges(server, tmp_path):
    server.ranges, server.cuts = False, [1_500_000, 3_000_000]
    assert get(server, tmp_path, sha256=SHA256) == CONTENT
    server.cuts = [1_500_000] * 50
    with pytest.raises(UserError, match=r"ended after 1500000 of 5120000 bytes, 6 times in a row"):
        get(server, tmp_path, "another.bin")


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("change", ["etag", "length"])
def test_a_file_that_changed_between_two_parts_is_received_anew(server, tmp_path, change, checks):
    server.checks = checks
    server.cuts, server.failures = [2_000_000], [200] + [503] * (transfer.TRIES - 1)
    with pytest.raises(UserError, match="503"):
        get(server, tmp_path)
    server.content = bytes(reversed(CONTENT)) if change == "etag" else CONTENT[::-1] + b"more"
    server.etag = '"two"' if change == "etag" or checks else '"one"'
    assert get(server, tmp_path) == server.content


def test_a_file_that_became_shorter_is_received_anew(server, tmp_path):
    server.checks = False
    server.cuts, server.failures = [2_000_000], [200] + [503] * (transfer.TRIES - 1)
    with pytest.raises(UserError, match="503"):
        get(server, tmp_path)
    server.content = CONTENT[:1_000_000]
    assert get(server, tmp_path) == CONTENT[:1_000_000]


def test_a_part_that_is_whole_already(server, tmp_path):
    transfer.receive(f"{server.address}/file.bin", tmp_path / "partial" / "file.bin")
    assert get(server, tmp_path) == CONTENT
    assert server.asked == [None, len(CONTENT) - 1]


def test_passing_failures_are_waited_for(server, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(transfer, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(transfer, "PAUSE", 1.0)
    server.failures = [503, 429, 502, 500]
    assert get(server, tmp_path) == CONTENT
    assert len(pauses) == 4
    assert not {1.0, 2.0, 4.0, 8.0} & set(pauses)  # each a little shorter, by chance
    assert all(0.5 * longest <= pause <= longest for pause, longest in zip(pauses, [1, 2, 4, 8], strict=True))


@pytest.mark.parametrize("status", [404, 403, 410])
def test_lasting_failures_are_not_tried_again(server, tmp_path, status):
    server.failures = [status] * 9
    with pytest.raises(UserError, match=rf"file\.bin: the server answers {status}.*'path:'"):
        get(server, tmp_path)
    assert server.asked == [None]
    assert left(tmp_path) == []


def test_no_network_is_said_with_the_remedy(server, tmp_path):
    with pytest.raises(UserError, match=r"is there a network\?.*'path:'"):
        download.obtain("http://127.0.0.1:9", [Published("a.zip")], tmp_path / "a")
    with pytest.raises(UserError, match=r"there is no such file.*'path:'"):
        download.obtain("file:///etc", [Published("hostname")], tmp_path / "a")


@pytest.mark.parametrize(
    ("length", "options", "message"),
    [
        (0, {"sha256": "0" * 64}, "published is 0000"),
        (0, {"size": 5_119_999}, "offers 5120000 bytes, published are 5119999"),
        (-100, {"size": 5_120_000}, "offers 5119900 bytes, published are 5120000"),
        (-100, {"sha256": SHA256}, "the 5119900 bytes have the SHA-256"),
        (None, {"size": 5_000_000}, "more than the 5000000 bytes"),
    ],
)
def test_wrong_content_leaves_nothing(server, tmp_path, length, options, message):
    server.length = length
    with pytest.raises(UserError, match=message):
        get(server, tmp_path, **options)
    assert left(tmp_path) == []


def test_a_length_that_is_too_long_is_no_file(server, tmp_path):
    server.length = 1000
    with pytest.raises(UserError, match=r"(ended after 5120000 of 5121000 bytes|became shorter).*6 times in a row"):
        get(server, tmp_path)
    assert not (tmp_path / "archive" / "file.bin").exists()
    server.length = 0
    assert get(server, tmp_path) == CONTENT


def test_without_a_length_the_published_size_decides(server, tmp_path):
    server.length, server.cuts = None, [1_500_000]
    assert get(server, tmp_path, size=len(CONTENT)) == CONTENT
    assert server.asked == [None, 1_500_000]


def test_what_came_first_is_enforced(server, tmp_path):
    get(server, tmp_path)
    server.content = CONTENT[::-1]
    with pytest.raises(UserError, match=r"what came first \(5120000 bytes on .*\).* remove .*checksums/file\.bin\.json"):
        get(server, tmp_path)
    assert "partial/file.bin" not in left(tmp_path)
    (tmp_path / "checksums" / "file.bin.json").unlink()
    assert get(server, tmp_path) == server.content
    (tmp_path / "checksums" / "file.bin.json").write_text("{}")
    with pytest.raises(UserError, match="is not the record of a download"):
        get(server, tmp_path)


def test_a_folder_takes_the_place_of_the_server_and_keeps_its_files(server, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "file.bin").write_bytes(CONTENT)
    zipped = archive(copy / "a.zip", [("P1/a.tif", b"image")])
    files = [Published("file.bin", sha256=SHA256), Published("a.zip", unpacked=10)]
    download.obtain(str(copy), files, tmp_path / "resources" / "archive")
    assert left(tmp_path / "resources") == ["archive/P1/a.tif", "archive/file.bin", "checksums/a.zip.json"]
    assert zipped.exists()
    with pytest.raises(UserError, match="published are 3"):
        download.obtain(str(copy), [Published("file.bin", size=3)], tmp_path / "other" / "archive")
    assert (copy / "file.bin").read_bytes() == CONTENT


def test_an_archive_is_unpacked_and_not_kept(server, tmp_path):
    server.content = archive(tmp_path / "a.zip", [("P1/a.tif", b"image")]).read_bytes()
    (tmp_path / "a.zip").unlink()
    download.obtain(server.address, [Published("a.zip", unpacked=10)], tmp_path / "archive")
    assert left(tmp_path) == ["archive/P1/a.tif", "checksums/a.zip.json"]


def test_a_damaged_archive_is_not_gone_on_with_nor_recorded(server, tmp_path):
    good = archive(tmp_path / "a.zip", [("P1/a.tif", b"image" * 100)]).read_bytes()
    (tmp_path / "a.zip").unlink()
    server.content = good[:40] + bytes([good[40] ^ 255]) + good[41:]
    with pytest.raises(UserError, match="the archive is damaged"):
        download.obtain(server.address, [Published("a.zip", unpacked=1000)], tmp_path / "archive")
    assert not [name for name in left(tmp_path) if not name.startswith("archive/")]
    server.content = good
    download.obtain(server.address, [Published("a.zip", unpacked=1000)], tmp_path / "archive")
    assert (tmp_path / "archive" / "P1" / "a.tif").read_bytes() == b"image" * 100


def test_room_on_the_disk_is_checked_before_a_byte_comes(server, tmp_path, monkeypatch):
    free = len(CONTENT) + 999
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(UserError, match=rf"needs {len(CONTENT) + 1000} bytes, .* has {free} left"):
        get(server, tmp_path, unpacked=1000)
    assert "partial/file.bin" not in left(tmp_path)
    assert get(server, tmp_path) == CONTENT


def test_several_files_come_at_the_same_time(server, tmp_path):
    together = threading.Barrier(3, timeout=20)

    class Waiting(Handler):
        def do_GET(self):
            together.wait()  # breaks if the others do not come
            super().do_GET()

    server.RequestHandlerClass = Waiting
    download.obtain(server.address, [Published(name) for name in "abc"], tmp_path / "archive")
    assert {(tmp_path / "archive" / name).read_bytes() for name in "abc"} == {CONTENT}


def test_progress_is_shown(server, tmp_path, capsys):
    get(server, tmp_path)
    assert re.search(r"file\.bin: 100%.*5\.12M/5\.12M", capsys.readouterr().err)


def archive(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for entry, content in entries:
            opened.writestr(entry, content)
    return path


def link(name, target):
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry, target


def test_unpack_gives_files_in_folders(tmp_path):
    zipped = archive(tmp_path / "a.zip", [("images/", ""), ("images/a.bmp", b"1"), ("b.txt", b"22"), ("win\\c.txt", b"3")])
    files = unpacking.unpack(zipped, tmp_path / "out", limit=10)
    assert [str(path.relative_to(tmp_path / "out")) for path in files] == ["images/a.bmp", "b.txt", "win/c.txt"]
    assert files[1].read_bytes() == b"22"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("../evil.txt", b"x"), "outside the folder"),
        (("a/../../evil.txt", b"x"), "outside the folder"),
        (("..\\evil.txt", b"x"), "outside the folder"),
        (("/tmp/phenorep_evil.txt", b"x"), "outside the folder"),
        (("C:\\evil.txt", b"x"), "outside the folder"),
        (link("evil", "/etc"), "is a link"),
        (("good.txt", b"x"), "stands there twice"),
        (("big.txt", b"0" * 5000), "unpacked it would be 5004 bytes, expected at most 1000"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_harmful_archive_is_refused_before_anything_is_written(tmp_path, entry, message):
    zipped = archive(tmp_path / "a.zip", [("good.txt", b"good"), entry])
    with pytest.raises(UserError, match=message) as caught:
        unpacking.unpack(zipped, tmp_path / "out" / "in", limit=1000)
    assert "a.zip" in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip"]


def test_a_link_in_the_folder_is_not_followed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="outside the folder"):
        unpacking.unpack(archive(tmp_path / "a.zip", [("images/a.bmp", b"1")]), tmp_path / "out", limit=10)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_false_declared_size_gains_nothing(tmp_path):
    zipped = archive(tmp_path / "a.zip", [("a.bin", bytes(50_000))])
    content = zipped.read_bytes()
    zipped.write_bytes(content.replace((50_000).to_bytes(4, "little"), (500).to_bytes(4, "little")))
    with pytest.raises(UserError, match="damaged"):
        unpacking.unpack(zipped, tmp_path / "out", limit=1000)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 500


def test_a_damaged_archive(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK but no archive")
    with pytest.raises(UserError, match="damaged"):
        unpacking.unpack(tmp_path / "a.zip", tmp_path / "out", limit=10)
