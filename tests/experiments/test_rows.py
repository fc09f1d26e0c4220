"""What the rows of a folder share is changed by one process at a time."""

from __future__ import annotations

import threading
from pathlib import Path

from crosslight.experiments.rows import Work, alone, fill
from tests.last_resort import HANG_S


def test_what_all_rows_share_loses_no_change(tmp_path: Path) -> None:
    """Every thread opens the lock anew, as a process would."""
    count = tmp_path / "count"
    count.write_text("0")
    each, together = 100, threading.Barrier(4)

    def change() -> None:
        together.wait()
        for _ in range(each):
            with alone(tmp_path):
                count.write_text(str(int(count.read_text()) + 1))

    threads = [threading.Thread(target=change) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert int(count.read_text()) == each * together.parties


class _Done(Work):
    """Was done before, or is done now."""

    def __init__(self, place: Path, *, before: bool) -> None:
        self.name, self.seed, self.place, self._before = place.name, 0, place, before

    def was_done(self) -> bool:
        return self._before

    def prepare(self) -> None:
        return None

    def finish(self, _: object) -> None:
        raise AssertionError("nothing is prepared")


def test_rows_that_were_done_before_renew_the_table_once(tmp_path: Path) -> None:
    renewed: list[int] = []
    works = [_Done(tmp_path / str(number), before=number != 1) for number in range(3)]
    states = [row.state for row in fill(tmp_path, works, lambda: renewed.append(1))]
    assert states == ["was done", "waits", "was done"]
    assert renewed == [1]
