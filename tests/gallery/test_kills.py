"""What was acknowledged survives kill -9 of the process that adds, and nothing is there twice.

Two kills here; CROSSLIGHT_KILLS=50 in the environment makes it as many.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from crosslight.errors import GalleryError
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.stores.opening import create_like, open_store
from tests.gallery.rows import INFO, made_up
from tests.gallery.writer import BATCH, EMBEDDER, candidates, name_of

KILLS = int(os.environ.get("CROSSLIGHT_KILLS", "2"))
ROWS_PER_KILL = 30 * BATCH


def start(location: str, count: int, cam: int = -1) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.gallery.writer", location, str(count), str(cam)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


@pytest.mark.parametrize("kind", ["lance", "exact"])
def test_no_acknowledged_row_is_lost_or_doubled(tmp_path, kind):
    location = str(tmp_path / f"people.{kind}")
    create_like(location, INFO).close()
    rng = np.random.default_rng(len(kind))
    acknowledged = 0
    kills = KILLS if kind == "lance" else 1
    for kill in range(1, kills + 1):
        writer = start(location, kill * ROWS_PER_KILL)
        # At a random moment after a random number of its acknowledgements.
        patience = int(rng.integers(1, 12))
        for line in writer.stdout:
            acknowledged = max(acknowledged, int(line))
            patience -= int(line) > (kill - 1) * ROWS_PER_KILL
            writer.stdin.write("go on\n")
            writer.stdin.flush()
            if patience == 0:
                break
        # Spreads the kills over the work between two acknowledgements; after that the writer waits.
        with contextlib.suppress(subprocess.TimeoutExpired):
            writer.wait(float(rng.uniform(0, 0.05)))
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            acknowledged = max(acknowledged, int(line))
        assert writer.wait() == -signal.SIGKILL
        with open_store(location) as store:
            ids = store.frame()["id"].to_list()
            assert len(ids) == len(set(ids))
            assert {name_of(n) for n in range(acknowledged)} <= set(ids)
            assert store.search(store.get([ids[-1]]).vectors, 1)[0][0].id in ids
    with open_store(location) as store:
        enrol(store, EMBEDDER, candidates(kills * ROWS_PER_KILL))
        assert sorted(store.frame()["id"]) == [name_of(n) for n in range(kills * ROWS_PER_KILL)]


@pytest.mark.parametrize("kind", ["lance", "exact"])
def test_a_second_writer_is_refused_and_readers_see_the_first_ones_rows(tmp_path, kind):
    rows = made_up(20)
    with (
        create_like(str(tmp_path / f"p.{kind}"), INFO) as first,
        open_store(first.location) as other,
    ):
        first.add(rows.take(range(10)))
        with pytest.raises(GalleryError, match="Another process is writing"):
            other.add(rows)
        if kind == "lance":
            assert other.count() == 10
        first.close()
        assert other.add(rows) == 10
        assert other.count() == 20


@pytest.mark.parametrize("kind", ["lance", "exact"])
def test_a_kill_while_labels_are_written_leaves_each_row_with_the_old_or_the_new_one(
    tmp_path, kind
):
    location, count = str(tmp_path / f"people.{kind}"), 10 * BATCH
    create_like(location, INFO).close()
    with open_store(location) as store:
        enrol(store, EMBEDDER, candidates(count, cam=1))
    writer = start(location, count, cam=2)
    acknowledged = 0
    for line in writer.stdout:
        acknowledged = int(line)
        writer.stdin.write("go on\n")
        writer.stdin.flush()
        if acknowledged >= 3 * BATCH:
            break
    writer.send_signal(signal.SIGKILL)
    for line in writer.stdout:
        acknowledged = max(acknowledged, int(line))
    writer.wait()
    with open_store(location) as store:
        cams = dict(store.frame().select("id", "cam").iter_rows())
        assert sorted(cams) == [name_of(n) for n in range(count)]
        assert set(cams.values()) <= {1, 2}
        assert {cams[name_of(n)] for n in range(acknowledged)} == {2}
        assert cams[name_of(count - 1)] == 1
        assert len(store.get(list(cams))) == count
