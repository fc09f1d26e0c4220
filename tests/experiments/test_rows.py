"""What the rows of a folder share is changed by one process at a time."""

from __future__ import annotations

import threading
from pathlib import Path

from crosslight.experiments.rows import alone
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
