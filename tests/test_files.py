import errno
import io
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from crosslight.errors import ConfigError
from crosslight.files import folder_made_whole, require_place, write_text, written_whole
from tests.unprivileged import as_nobody


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_the_file_appears_with_its_content_in_a_new_folder(tmp_path):
    write_text(tmp_path / "a" / "b.txt", "é")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "é".encode()
    assert names(tmp_path / "a") == ["b.txt"]


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "b.txt"
    write_text(path, "old")

    def write_half() -> None:
        with written_whole(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["b.txt"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "b.txt"
    write_text(path, "old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["b.txt"]


def test_the_new_file_has_the_usual_permissions(tmp_path):
    mask = os.umask(0o022)
    try:
        write_text(tmp_path / "b.txt", "x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "b.txt").stat().st_mode) == 0o644


def test_a_folder_appears_with_all_that_is_in_it(tmp_path):
    with folder_made_whole(tmp_path / "a" / "run") as folder:
        (folder / "half").mkdir()
        assert not (tmp_path / "a" / "run").exists()
        with pytest.raises(ConfigError, match=r"Another process is making .*run; wait"):
            folder_made_whole(tmp_path / "a" / "run").__enter__()
    assert names(tmp_path / "a" / "run") == ["half"]
    assert names(tmp_path / "a") == ["run"]


def test_a_folder_that_fails_is_not_there_and_an_empty_one_stays(tmp_path):
    (tmp_path / "run").mkdir()

    def make_half() -> None:
        with folder_made_whole(tmp_path / "run") as folder:
            (folder / "half").mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_half()
    assert names(tmp_path) == ["run"]
    with folder_made_whole(tmp_path / "run") as folder:
        write_text(folder / "whole", "")
    assert names(tmp_path / "run") == ["whole"]


def test_what_a_killed_process_leaves_of_a_folder_is_in_nobodys_way(tmp_path):
    killed = """
import os, signal, sys
from pathlib import Path
from crosslight.files import folder_made_whole
with folder_made_whole(Path(sys.argv[1])) as folder:
    (folder / "half").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", killed, tmp_path / "run"], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "run").exists()
    with folder_made_whole(tmp_path / "run") as folder:
        write_text(folder / "whole", "")
    assert names(tmp_path / "run") == ["whole"]
    assert names(tmp_path) == ["run"]


def fail_half_way(path: Path) -> None:
    with written_whole(path) as file:
        file.write(b"half")
        raise ZeroDivisionError


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path, monkeypatch, there):
    (tmp_path / "big").mkdir()
    link, target = tmp_path / "link.csv", tmp_path / "big" / "found.csv"
    (tmp_path / "between").symlink_to("big/found.csv")
    link.symlink_to(tmp_path / "between")
    if there:
        target.write_text("old")
        before = target.stat().st_ino
    with pytest.raises(ZeroDivisionError):
        fail_half_way(link)
    assert target.exists() == there
    synced: list[Path] = []
    monkeypatch.setattr("crosslight.files.sync_folder", synced.append)
    require_place(link)
    write_text(link, "new")
    assert target.read_text() == "new"
    assert link.is_symlink()
    assert synced == [target.parent]
    assert names(tmp_path / "big") == ["found.csv"]
    assert sorted(names(tmp_path)) == ["between", "big", "link.csv"]
    if there:
        assert target.stat().st_ino != before, "it was written in place"


def test_a_file_behind_a_link_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "link").symlink_to("target")
    with written_whole(tmp_path / "link", mode=0o640) as file:
        file.write(b"x")
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o640


def test_a_link_into_a_folder_that_is_not_there_is_told_and_makes_none(tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "unmounted" / "found.csv")
    with pytest.raises(ConfigError, match=r"a link into the folder .*unmounted, which is not"):
        require_place(link)
    with pytest.raises(FileNotFoundError, match="unmounted"):
        write_text(link, "x")
    assert names(tmp_path) == ["link.csv"]
    assert link.is_symlink()


def test_a_link_to_itself_is_told(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ConfigError, match="a is a link to itself"):
        require_place(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links"):
        write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes; run it on Linux or macOS")
@pytest.mark.parametrize("linked", [True, False])
def test_a_pipe_stays_one_and_its_reader_gets_the_whole(tmp_path, linked):
    pipe = path = tmp_path / "pipe"
    os.mkfifo(pipe, 0o640)
    if linked:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    require_place(path)
    with pytest.raises(ZeroDivisionError):
        fail_half_way(path)  # without a reader: it was not even opened
    assert pipe.is_fifo()
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with written_whole(path) as file:
        file.write(b"anna")
        file.seek(1)  # as writers of some formats do
        file.write(b"N")
    assert os.read(reader, 100) == b"aNna"
    os.close(reader)
    assert pipe.is_fifo()
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o640
    assert sorted(names(tmp_path)) == (["link", "pipe"] if linked else ["pipe"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes; run it on Linux or macOS")
def test_a_pipe_that_is_closed_to_this_user_is_told_before_the_work(reachable):
    os.mkfifo(reachable / "pipe", 0o400)
    with as_nobody(), pytest.raises(ConfigError, match=r"pipe cannot be written \(Perm"):
        require_place(reachable / "pipe")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no terminals; run it on Linux or macOS")
def test_a_device_is_written_in_place():
    ours, terminal = os.openpty()
    try:
        place = Path(os.ttyname(terminal))
        write_text(place, "anna")
        assert os.read(ours, 100) == b"anna"
        assert place.is_char_device()
    finally:
        os.close(terminal)
        os.close(ours)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc; run it there")
def test_what_this_process_has_open_is_written_on_where_it_stands(tmp_path, monkeypatch):
    """As the output is that a shell leads into a file: it is not replaced nor begun anew."""
    printed, link = tmp_path / "printed.txt", tmp_path / "link"
    with printed.open("wb") as output:
        link.symlink_to(f"/proc/self/fd/{output.fileno()}")
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="utf-8"))
        print("before")
        require_place(link)
        write_text(link, "table\n")
        print("after", flush=True)
        monkeypatch.undo()
    assert printed.read_text() == "before\ntable\nafter\n"
    assert sorted(names(tmp_path)) == ["link", "printed.txt"]
