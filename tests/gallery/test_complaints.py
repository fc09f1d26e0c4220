"""What is said of a store names its own faults, and no others."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from crosslight.gallery.stores.complaints import StoreClosedError, sentence, told
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.relabelling import plan
from crosslight.gallery.stores.rows import Filter
from crosslight.locking import LOCK_NAME
from tests.gallery.few_files import told_with_few_files
from tests.gallery.rows import INFO, made_up
from tests.unprivileged import as_nobody

OPENED = "from crosslight.gallery.stores.opening import open_store; open_store(folder).close()"


@pytest.fixture(params=["exact", "lance"])
def folder(request: pytest.FixtureRequest, reachable: Path) -> Path:
    """Of a store of five rows."""
    folder = reachable / f"people.{request.param}"
    with create_like(folder, INFO) as store:
        store.add(made_up(5))
    return folder


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


def test_too_few_open_files_are_no_damage(folder: Path) -> None:
    said = told_with_few_files(folder, OPENED, "open_store(folder)")
    assert said.startswith(str(folder))
    assert " could not be used just now (Too many open files)" in said


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, os.strerror(errno.EACCES), "store.json"),
        OSError(errno.EROFS, os.strerror(errno.EROFS)),
        OSError("LanceError(IO): Permission denied (os error 13)"),
    ],
)
def test_a_permission_that_lacks_is_told_apart(error: OSError) -> None:
    with pytest.raises(StoreClosedError, match="see that this user may"), told("people.lance"):
        raise error


def test_a_store_whose_lock_is_closed_to_this_user_is_not_called_busy(folder: Path) -> None:
    (folder / LOCK_NAME).chmod(0o400)
    with (
        open_store(folder) as store,
        as_nobody(),
        pytest.raises(StoreClosedError, match=r"cannot be used \(Permission denied\); see that"),
    ):
        store.add(made_up(1, start=5))


def test_who_may_only_read_opens_a_store_whose_labelling_was_cut_off(folder: Path) -> None:
    with open_store(folder) as store, store.ledger.changing() as changes:
        plan(changes, made_up(1).ids, 77)
    (folder / LOCK_NAME).chmod(0o400)
    with as_nobody(), open_store(folder) as store:
        assert store.count() == 5
        assert store.count(Filter(pids=frozenset({77}))) == 0
    (folder / LOCK_NAME).chmod(0o600)
    with open_store(folder) as store:
        assert store.count(Filter(pids=frozenset({77}))) == 1
