"""What the machine is short of, in every room's sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from crosslight.cli.endings import spoken
from crosslight.data.columns import reading_parquet
from crosslight.errors import CrosslightError
from crosslight.gallery.stores.complaints import told
from crosslight.system import number_of, shortage
from crosslight.training.weights import disk_faults_told

PLACE = Path("/x/y")


def parquet() -> None:
    with reading_parquet(PLACE):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def training() -> None:
    with disk_faults_told(PLACE):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def store() -> None:
    with told(str(PLACE), RuntimeError):
        raise RuntimeError("lance error: Too many open files (os error 24)")


@pytest.mark.parametrize("room", [parquet, training, store])
def test_too_many_open_files_are_no_lack_of_permission(room: Callable[[], None]) -> None:
    with pytest.raises(CrosslightError) as caught:
        room()
    assert "end other programs, or allow more open files (ulimit -n)" in str(caught.value)
    assert "writable" not in str(caught.value)


def test_a_command_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), spoken():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(PLACE))
    said = capsys.readouterr().err
    assert said == (
        "crosslight: Too many open files (/x/y); end other programs, or allow more open files "
        "(ulimit -n), and run the same command again.\n"
    )


def test_an_engines_words_hold_the_systems_number() -> None:
    assert number_of(RuntimeError("Os { code: 28, kind: StorageFull }")) == errno.ENOSPC
    assert number_of(ValueError("broken")) is None
    assert shortage(errno.ENOSPC) == "free some space"
    assert shortage(errno.EACCES) is None
