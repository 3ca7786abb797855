import hashlib
import http.server
import stat
import threading
import zipfile

import pytest

from phenorep import download
from phenorep.errors import UserError

CONTENT = bytes(range(256)) * 5000


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/absent":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unmeasured":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.path == "/truncated" else CONTENT)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


def test_a_file_arrives_whole(server, tmp_path):
    digest = hashlib.sha256(CONTENT).hexdigest()
    for name in ("whole", "unmeasured"):
        download.fetch(f"{server}/{name}", tmp_path / "deep" / name, digest.upper(), len(CONTENT))
        assert (tmp_path / "deep" / name).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("truncated", {}, "ended after 1000 of 1280000 bytes"),
        ("whole", {"sha256": "0" * 64}, "published is 0000"),
        ("whole", {"size": 1279999}, "more than the 1279999 bytes"),
        ("whole", {"size": 1280001}, "ended after 1280000 of 1280001"),
        ("absent", {}, "answers 404"),
    ],
)
def test_wrong_content_leaves_no_file(server, tmp_path, name, options, message):
    with pytest.raises(UserError, match=message):
        download.fetch(f"{server}/{name}", tmp_path / "file.zip", **options)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_said_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match=r"is there a network\?.*'path:'"):
        download.fetch("http://127.0.0.1:9/a.zip", tmp_path / "a.zip", timeout=2)
    with pytest.raises(UserError, match="only http and https"):
        download.fetch("file:///etc/hostname", tmp_path / "a.zip")


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
    files = download.unpack(zipped, tmp_path / "out", limit=10)
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
        download.unpack(zipped, tmp_path / "out" / "in", limit=1000)
    assert "a.zip" in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.zip"]


def test_a_link_in_the_folder_is_not_followed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="outside the folder"):
        download.unpack(archive(tmp_path / "a.zip", [("images/a.bmp", b"1")]), tmp_path / "out", limit=10)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_false_declared_size_gains_nothing(tmp_path):
    zipped = archive(tmp_path / "a.zip", [("a.bin", bytes(50_000))])
    content = zipped.read_bytes()
    zipped.write_bytes(content.replace((50_000).to_bytes(4, "little"), (500).to_bytes(4, "little")))
    with pytest.raises(UserError, match="damaged"):
        download.unpack(zipped, tmp_path / "out", limit=1000)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 500


def test_a_damaged_archive(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK but no archive")
    with pytest.raises(UserError, match="damaged"):
        download.unpack(tmp_path / "a.zip", tmp_path / "out", limit=10)
