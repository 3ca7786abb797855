"""Files are written whole or not at all, and a disk that does not take one is named."""

import errno
import os
from types import SimpleNamespace

import pytest

from phenorep import parallel, writing
from phenorep.errors import NotRun, UserError
from phenorep.writing import replacing


def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path):
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text(str(1 / (temporary.write_text("half") - 4)))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(tmp_path):
    left = [tmp_path / ".a.123.npy", tmp_path / ".a.99999.npy"]
    others = [tmp_path / name for name in (".a.b.123.npy", ".b.123.npy", ".a.123.parquet", ".a.x.npy", "a.123.npy")]
    for path in left + others:
        path.write_text("half")
    with replacing(tmp_path / "a.npy") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "a.npy").read_text() == "whole"
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_it_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    """After a loss of power a file that was renamed and not yet written would be there, and empty."""
    happened, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(writing.os, "fsync", lambda number: (happened.append("sync"), sync(number)))
    monkeypatch.setattr(writing.os, "replace", lambda *paths: (happened.append("replace"), replace(*paths)))
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert happened == ["sync", "replace"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full.*Make room"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "only be read"),
        (errno.EFBIG, "ulimit"),
    ],
)
def test_a_disk_that_takes_no_more(tmp_path, number, words):
    with pytest.raises(UserError, match=rf"a\.txt: cannot be written: .*{words}"), replacing(tmp_path / "a.txt"):
        raise OSError(number, "whatever the system says")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_other_libraries_fill(tmp_path):
    with (
        pytest.raises(UserError, match=r"archive: cannot be written: the disk is full"),
        writing.filling(tmp_path / "archive"),
    ):
        raise OSError(errno.ENOSPC, "no space left on device")


def test_a_full_disk_that_a_library_calls_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(UserError, match=r"disk is full.*100 bytes left"), replacing(tmp_path / "a.pt"):
        raise RuntimeError("enforce fail at inline_container.cc")


def test_other_errors_stay_what_they_are(tmp_path):
    other = tmp_path / "images" / "a.tif"
    for error in (NotRun("no weights"), UserError("bad"), FileNotFoundError(2, "no such file"), ValueError("x")):
        with pytest.raises(type(error)) as raised, replacing(tmp_path / "a.txt"):
            raise error
        assert raised.value is error
    with pytest.raises(PermissionError), replacing(tmp_path / "results" / "a.txt"):
        raise PermissionError(errno.EACCES, "an image that may not be read", str(other))


def _end(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), 9)
    return number


def test_a_killed_worker_ends_the_job_with_a_reason():
    with pytest.raises(UserError, match="killed from outside, most often for want of memory"):
        list(parallel.in_order(_end, range(6), 2))
