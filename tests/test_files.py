import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from crosslight.errors import ConfigError
from crosslight.files import folder_made_whole, write_text, written_whole


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
