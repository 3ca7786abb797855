"""Archives that are not what they should be: nothing of them is left in the folder, and nothing anywhere else."""

import stat
import struct
import zipfile

import pytest

from phenorep import unpacking
from phenorep.unpacking import unpack

from .bounded import result, told

LIMIT = 10**7
CENTRAL, END = b"PK\1\2", b"PK\5\6"


@pytest.fixture
def place(tmp_path):
    """A folder in which nothing but the archive and what is unpacked of it may stand."""
    yield tmp_path
    outside = [path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "out")]
    assert outside == [tmp_path / "a.zip"]


def archive(place, entries, kind=zipfile.ZIP_DEFLATED):
    path = place / "a.zip"
    with zipfile.ZipFile(path, "w", kind) as file:
        for entry, content in entries:
            file.writestr(entry, content)
    return path


def special(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def patched(path, mark, offset, values):
    content = bytearray(path.read_bytes())
    start = content.rindex(mark) + offset
    content[start : start + len(values)] = values
    path.write_bytes(content)


def left(place):
    return sorted(str(path.relative_to(place / "out")) for path in place.glob("out/**/*") if path.is_file())


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([("good", "x"), ("../x", "x")], "leads outside"),
        ([("good", "x"), ("/x", "x")], "leads outside"),
        ([("good", "x"), ("C:\\x", "x")], "leads outside"),
        ([("good", "x"), ("..\\x", "x")], "leads outside"),
        ([("good", "x"), ("\\\\server\\x", "x")], "leads outside"),
        ([("good", "x"), ("a/../../x", "x")], "leads outside"),
        ([("good", "x"), (special("x", stat.S_IFLNK | 0o777), "/etc")], "a link or a device"),
        ([("good", "x"), (special("x", stat.S_IFCHR | 0o777), "")], "a link or a device"),
        ([("good", "x"), (special("x", stat.S_IFIFO | 0o777), "")], "a link or a device"),
        ([("good", "x"), ("a" * 300, "x")], "no file should have"),
        ([("good", "x"), ("a\nb", "x")], "no file should have"),
        ([("good", "x"), ("a\x1b[2Jb", "x")], r"a\x1b[2Jb"),
        ([("good", "x"), ("a\u202eb", "x")], r"a\u202eb"),
        ([("a", "1"), ("./a", "2")], "stands there twice"),
        ([("a", "1"), ("a/b", "2")], "is a file and a folder"),
        ([("a/b", "1"), ("a", "2")], "is a file and a folder"),
        ([("/".join(["a" * 100] * 50), "x")], "File name too long"),
        ([("a", bytes(LIMIT + 1))], "expected at most"),
        ([("a", bytes(LIMIT // 2)), ("b", bytes(LIMIT // 2 + 1))], "expected at most"),
    ],
)
def test_entries_that_are_refused(place, entries, says):
    path = archive(place, entries)
    message = told(unpack, path, place / "out", LIMIT)
    assert says in message
    assert str(path) in message
    assert not left(place)


@pytest.mark.parametrize(
    ("mark", "offset", "values", "says"),
    [
        (CENTRAL, 8, b"\1", "is encrypted"),
        (CENTRAL, 24, struct.pack("<I", 5), "damaged"),  # a length below the true one
        (CENTRAL, 42, struct.pack("<I", 2**31), "damaged"),  # a place beyond the end
        (CENTRAL, 10, struct.pack("<H", 98), "damaged"),  # a compression that is none
        (END, 12, struct.pack("<I", 2**31), "damaged"),
        (CENTRAL, 8, b"\0\x08", "damaged"),  # said to be UTF-8
    ],
)
def test_facts_that_lie(place, mark, offset, values, says):
    path = archive(place, [("good\xe9", "x" * 1000)])
    if values == b"\0\x08":
        path.write_bytes(path.read_bytes().replace("good\xe9".encode(), b"good\xff\xff"))
    patched(path, mark, offset, values)
    assert says in told(unpack, path, place / "out", LIMIT)
    assert not left(place)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_content_in_each_compression(place, kind):
    path = archive(place, [("good", "y" * 50), ("a", bytes(range(256)) * 40)], kind)
    content = bytearray(path.read_bytes())
    middle = content.rindex(CENTRAL) - 120
    content[middle : middle + 40] = b"\xff" * 40
    path.write_bytes(content)
    assert "damaged" in told(unpack, path, place / "out", LIMIT)
    assert not left(place)


def test_a_dictionary_of_four_gigabytes(place):
    path = archive(place, [("a", "x" * 1000)], zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    start = 30 + len("a") + 4  # a local header, the name, the version of LZMA
    content[start + 1 : start + 5] = struct.pack("<I", 2**32 - 1)
    path.write_bytes(content)
    assert "damaged" in told(unpack, path, place / "out", LIMIT)


@pytest.mark.parametrize("cut", [0, 3, 40, 200])
def test_truncated(place, cut):
    path = archive(place, [("a", bytes(range(200)))])
    path.write_bytes(path.read_bytes()[:cut])
    assert "damaged" in told(unpack, path, place / "out", LIMIT)


def test_too_many_entries(place, monkeypatch):
    monkeypatch.setattr(unpacking, "ENTRIES", 10)
    assert "11 entries" in told(unpack, archive(place, [(str(n), "") for n in range(11)]), place / "out", LIMIT)


def test_names_that_are_only_odd_are_files(place):
    """Those that differ by case or by how an accent is written are different files, and no name is an option."""
    names = ["A.txt", "a.txt", "\xe9", "e\u0301", "-rf", "CON", "a b", "$(touch x)", "{plate}", "~"]
    result(unpack, archive(place, [(name, name) for name in names]), place / "out", LIMIT)
    assert left(place) == sorted(names)
    assert all((place / "out" / name).read_text() == name for name in names)


def test_what_is_unpacked_cannot_be_run(place):
    result(unpack, archive(place, [(special("a", stat.S_IFREG | 0o6777), "x")]), place / "out", LIMIT)
    assert not (place / "out" / "a").stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)


def test_archives_of_other_kinds_are_named(place):
    (place / "a.zip").write_bytes(b"\x1f\x8b\x08" + bytes(100))
    assert "not a zip file" in told(unpack, place / "a.zip", place / "out", LIMIT)
    assert "No such file" in told(unpack, place / "none.zip", place / "out", LIMIT)
    assert "Is a directory" in told(unpack, place, place / "out", LIMIT)
