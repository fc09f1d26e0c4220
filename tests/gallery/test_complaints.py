"""What is said of a store names its own faults, and no others."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crosslight.gallery.complaints import sentence
from crosslight.gallery.opening import create_like
from tests.gallery.rows import INFO, made_up

OPENED = """
import resource, sys
from crosslight.errors import GalleryError
from crosslight.gallery.opening import open_store
open_store(sys.argv[1]).close()
with open(sys.argv[1] + "/store.json") as lowest_free:
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(),) * 2)
try:
    open_store(sys.argv[1])
except GalleryError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, os.strerror(errno.EMFILE), "rows/1.parquet"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        RuntimeError('cannot start: Os { code: 24, kind: Uncategorized, message: "Too many" }'),
        RuntimeError("LanceError(IO): Resource temporarily unavailable (os error 11)"),
    ],
)
def test_what_the_machine_is_short_of_is_no_damage(error: BaseException) -> None:
    said = sentence("people.lance", error)
    assert "people.lance could not be used just now (" in said
    assert "damaged" not in said


def test_an_error_of_the_disk_is_one() -> None:
    said = sentence("people.lance", OSError(errno.EIO, os.strerror(errno.EIO)))
    assert "is damaged or its disk fails" in said


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_too_few_open_files_are_no_damage(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / f"people.{kind}"
    with create_like(folder, INFO) as store:
        store.add(made_up(5))
    command = [sys.executable, "-c", OPENED, str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(str(folder))
    assert " could not be used just now (Too many open files)" in said
