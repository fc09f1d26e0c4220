"""People of a store: named, labelled, merged, split; in every kind of store."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from crosslight.errors import ConfigError, GalleryError
from crosslight.gallery.candidates import Candidate
from crosslight.gallery.copying import copy_rows
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.people.names import (
    LONGEST_NAME,
    checked_name,
    names_of,
    number_or_name,
    numbered,
)
from crosslight.gallery.people.people import (
    describe,
    find,
    label,
    list_people,
    merge,
    name_camera,
    say_apart,
    split,
)
from crosslight.gallery.stores import ledger as ledgers
from crosslight.gallery.stores.ledger import APART, MOVE, PERSON, TRACK, digest
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.rows import Filter, Rows, build_rows
from crosslight.gallery.stores.store import Store
from tests.gallery.few_files import told_with_few_files
from tests.gallery.rows import INFO, MODEL, made_up
from tests.gallery.test_removal import ENDINGS, KINDS, seen
from tests.gallery.writer import EMBEDDER


def passing(*tracks: tuple[str, int | None, float], crops: int = 3, cam: int = 2) -> Rows:
    """Crops of tracks (name, person, first time), a second apart, as a video gives them."""
    columns: dict[str, list[object]] = {
        name: [] for name in ("id", "pid", "cam", "time", "track", "path", "thumbnail")
    }
    vectors = []
    for track, pid, begin in tracks:
        look = np.random.default_rng(abs(hash(track)) % 2**32).normal(size=INFO.dim)
        for number in range(crops):
            time = begin + number
            values = {
                "id": f"{track}/{number}", "pid": pid, "cam": cam, "time": time, "track": track,
                "path": f"walk.mp4#t={time:.2f}", "thumbnail": f"jpeg {track} {number}".encode(),
            }  # fmt: skip
            for name, value in values.items():
                columns[name].append(value)
            vectors.append(look)
    return build_rows(columns, np.array(vectors), model=MODEL)


def whose(store: Store) -> dict[str, int | None]:
    return dict(store.frame(columns=("id", "pid")).iter_rows())


def named(store: Store) -> dict[int, tuple[str | None, str, int]]:
    return {one.pid: (one.name, one.note, one.rows) for one in list_people(store)}


def test_people_and_cameras_are_named_and_listed(create):
    store = create()
    store.add(made_up(30))
    describe(store, 3, name="  Zoe\u0308   A.  ", note="red bag\nlimps")
    describe(store, 1, name="Anna")
    name_camera(store, 2, "Eingang Nord")
    store.close()
    with open_store(store.location) as again:
        people = list_people(again)
        assert [one.pid for one in people] == [1, 3, 0, 2, 4, 5]
        assert (people[1].name, people[1].note) == ("Zoë A.", "red bag\nlimps")
        fitting = again.frame(Filter(pids=frozenset({3})))
        assert people[1].rows == len(fitting)
        assert people[1].cams == tuple(sorted(set(fitting["cam"])))
        assert (people[1].first, people[1].last) == (fitting["time"].min(), fitting["time"].max())
        names = names_of(again)
        assert names.people == {1: "Anna", 3: "Zoë A."}
        assert names.cameras == {2: "Eingang Nord"}
        assert names_of(again, [1, None, 2]).people == {1: "Anna"}
        describe(again, 3, name="")
        assert named(again)[3][:2] == (None, "red bag\nlimps")
        describe(again, 3, note="")
        assert names_of(again).people == {1: "Anna"}
        name_camera(again, 2, "")
        assert names_of(again).cameras == {}


def test_a_name_belongs_to_one_and_somebody_without_images_has_none(create):
    store = create()
    store.add(made_up(20))
    describe(store, 1, name="Anna")
    with pytest.raises(ConfigError, match="Person 1 is called 'Anna' already; merge the two"):
        describe(store, 2, name="ANNA")
    with pytest.raises(ConfigError, match="has no image of person 99"):
        describe(store, 99, name="Bob")
    describe(store, 1, name="anna")
    assert names_of(store).people == {1: "anna"}
    with pytest.raises(ConfigError, match=r"Nobody of .* is called 'Ana'; known names are anna"):
        find(store, "Ana")


def test_the_name_of_somebody_without_images_is_free_again(create):
    store, rows = create(), made_up(20)
    store.add(rows)
    describe(store, 1, name="Anna", note="red bag")
    theirs = store.get(store.frame(Filter(pids=frozenset({1})))["id"].to_list())
    others = theirs.frame.with_columns(pl.lit(9, pl.Int64).alias("pid"))
    store.update(Rows(frame=others, vectors=theirs.vectors))  # as a table that is added again
    describe(store, 9, name="Anna")
    assert store.ledger.every(PERSON) == {"9": {"name": "Anna", "note": "", "made": False}}


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "7", "-3", "track:x", "Unknown", "?", "nan"),
        *("a\x1bb", "x" * (LONGEST_NAME + 1), "a\ud800"),
    ],
)
def test_what_is_no_name_is_refused(text: str):
    with pytest.raises(ConfigError, match="is no name"):
        checked_name(text)


def test_a_word_is_a_number_or_a_name():
    assert number_or_name(" 7 ", "person") == 7
    assert number_or_name("-1", "camera") == -1
    assert number_or_name("Gate  7", "camera") == "Gate 7"
    for text, kind in (("-1", "person"), (str(2**63), "person"), (str(2**31), "camera")):
        with pytest.raises(ConfigError, match=f"--{kind} is {text}"):
            number_or_name(text, kind)


def test_rows_are_given_to_somebody_known_or_new(create):
    store = create()
    store.add(passing(("a", None, 0), ("b", None, 10), ("c", 7, 20)))
    given = label(store, ["a/0", "a/1", "a/2"], "Anna")
    assert (given.pid, given.rows) == (8, 3)
    assert label(store, ["b/0"], "anna").pid == 8
    assert label(store, ["b/0"], 8).rows == 0
    assert label(store, ["b/1", "b/2"], 7).rows == 2
    assert named(store) == {7: (None, "", 5), 8: ("Anna", "", 4)}
    assert store.ledger.every(MOVE) == {}
    label(store, ["c/0", "c/1", "c/2", "b/1", "b/2"], "Bob")
    assert named(store) == {8: ("Anna", "", 4), 9: ("Bob", "", 5)}
    found = store.search(store.get(["c/0"]).vectors, 3)[0]
    assert {hit.pid for hit in found} == {9}
    with pytest.raises(ConfigError, match="no row 'nobody'"):
        label(store, ["a/0", "nobody"], "Anna")
    with pytest.raises(ConfigError, match="nothing to say it of"):
        label(store, [], "Anna")


def test_a_number_is_not_given_twice(create):
    store = create()
    store.add(passing(("a", None, 0), ("b", None, 10)))
    first = label(store, ["a/0"], "Anna").pid
    store.remove_ids(["a/0"])
    assert label(store, ["b/0"], "Bob").pid == first + 1


def test_of_somebody_without_rows_nothing_is_kept(create):
    store = create()
    store.add(passing(("a", 1, 0), ("b", 2, 10), ("c", 3, 20)))
    describe(store, 1, name="Anna", note="red bag")
    say_apart(store, find(store, "1"), find(store, "3"))
    label(store, ["a/0", "a/1", "a/2"], 2)
    assert store.ledger.every(PERSON) == store.ledger.every(APART) == {}


def test_a_name_without_an_image_can_be_removed(create):
    store = create()
    for where in (Filter(pids=frozenset({5})), Filter()):
        with store.ledger.changing() as changes:
            changes.put(PERSON, "5", {"name": "Secret Name", "note": "", "made": True})
        assert store.remove(where) == 0
        assert store.ledger.every(PERSON) == {}
        store.add(passing(("a", 1, 0)))
        describe(store, 1, name="Anna")
        store.remove(Filter(pids=frozenset({5})))
        assert names_of(store).people == {1: "Anna"}
        store.remove(Filter())


def test_people_and_tracks_become_one(create):
    store = create()
    store.add(passing(("a", None, 0), ("b", 4, 10), ("c", 5, 20), ("d", None, 30), ("e", None, 40)))
    describe(store, 4, note="tall")
    describe(store, 5, name="Anna", note="red bag")
    done = merge(store, [find(store, "a"), find(store, "4"), find(store, "anna")])
    assert (done.pid, done.rows) == (4, 6)
    assert named(store) == {4: ("Anna", "tall\nred bag", 9)}
    new = merge(store, [find(store, "d"), find(store, "track:e")])
    assert (new.pid, new.rows) == (6, 6)
    describe(store, 6, name="Bob")
    said = merge(store, [find(store, "Bob"), find(store, "anna")]).said
    assert said == ("The note says that Bob is also called Anna.",)
    assert named(store) == {6: ("Bob", "tall\nred bag\nalso called Anna", 15)}
    assert names_of(store).people == {6: "Bob"}
    for whom in (["6"], ["6", "Bob"], ["a", "b"]):
        with pytest.raises(ConfigError, match="two people or more"):
            merge(store, [find(store, one) for one in whom])


def test_a_track_of_somebody_who_has_other_images_is_not_merged_with_all_of_them(create):
    store = create()
    store.add(passing(("a", 1, 0), ("b", 2, 10), ("c", 2, 20), ("d", 3, 30)))
    describe(store, 1, name="Anna")
    describe(store, 2, name="Bob")
    for track in ("track:b", "b"):
        with pytest.raises(ConfigError, match=r"Track b is of Bob, who has 3 other images, and"):
            merge(store, [find(store, "Anna"), find(store, track)])
    assert named(store) == {1: ("Anna", "", 3), 2: ("Bob", "", 6), 3: (None, "", 3)}
    merge(store, [find(store, "Anna"), find(store, "track:d")])  # who is nobody else
    split(store, 2, ["b/0", "b/1", "b/2"], "Anna")
    assert named(store) == {1: ("Anna", "", 9), 2: ("Bob", "", 3)}
    # Who is named as well is meant as a whole, and a track is the person for `apart`.
    merge(store, [find(store, "track:b"), find(store, "Anna"), find(store, "Bob")])
    assert named(store)[1][2] == 12
    with pytest.raises(ConfigError, match="is one person already"):
        say_apart(store, find(store, "track:b"), find(store, "Anna"))


def test_a_label_says_from_whom_it_takes_and_what_is_forgotten(create):
    store = create()
    store.add(passing(("a", 1, 0), ("b", 2, 10), ("c", None, 20), ("d", 3, 30), ("e", None, 40)))
    describe(store, 1, name="Anna", note="red bag")
    describe(store, 3, note="tall")
    say_apart(store, find(store, "1"), find(store, "2"))
    taken = label(store, ["a/0", "c/0", "d/0"], 2)
    assert taken.said == ("1 image was taken from Anna.", "1 image was taken from person 3.")
    assert len(store.ledger.every(APART)) == 1  # Anna and 2 are two still
    taken = label(store, ["a/1", "a/2", "b/0"], "Carl")
    assert taken.said == (
        "2 images were taken from Anna.",
        "1 image was taken from person 2.",
        "Anna has no image left; forgotten: the name, the note (red bag), "
        "from whom they were kept apart.",
    )
    assert store.ledger.every(APART) == {}
    assert label(store, ["d/1", "d/2"], 2).said == (
        "2 images were taken from person 3.",
        "Person 3 has no image left; forgotten: the note (tall).",
    )
    assert label(store, ["e/0"], "Carl").said == ()


def test_who_was_kept_apart_is_not_made_one_without_a_word(create):
    withdrawn = "It had been said that these are different people; that is withdrawn."
    store = create()
    store.add(passing(("a", None, 0), ("b", None, 10), ("c", 7, 20), ("d", 8, 30), ("e", 8, 40)))
    say_apart(store, find(store, "a"), find(store, "b"))
    say_apart(store, find(store, "c"), find(store, "8"))
    assert label(store, ["a/0", "a/1", "a/2"], "Anna").said == ()
    assert label(store, ["b/0"], "Anna").said == (withdrawn,)
    assert label(store, ["d/0"], 7).said == ("1 image was taken from person 8.",)  # 7 and 8 are two
    taken = label(store, ["c/0", "c/1", "c/2", "d/0"], 8)
    assert taken.said == ("4 images were taken from person 7.", withdrawn)
    assert store.ledger.every(APART) == {}
    say_apart(store, find(store, "track:a"), find(store, "8"))
    label(store, ["e/0"], "Anna")
    with store.ledger.changing() as changes:
        changes.put(APART, digest("p:9", "t:e"), {"pair": ["p:9", "t:e"]})
    assert split(store, 8, ["e/1", "e/2"], "Anna").said == (withdrawn,)


def test_rows_of_one_person_come_apart_and_are_kept_so(create):
    store = create()
    store.add(passing(("a", 1, 0), ("b", 1, 10), ("c", 1, 20)))
    describe(store, 1, name="Anna")
    done = split(store, 1, ["b/0", "b/1", "b/2"])
    assert (done.pid, done.rows) == (2, 3)
    assert split(store, 1, ["c/0"], "Bob").pid == 3
    assert named(store) == {1: ("Anna", "", 5), 3: ("Bob", "", 1), 2: (None, "", 3)}
    pairs = [tuple(entry["pair"]) for entry in store.ledger.every(APART).values()]
    assert sorted(pairs) == [("p:1", "p:2"), ("p:1", "p:3")]
    with pytest.raises(ConfigError, match="1 of these 2 images are not of person 1"):
        split(store, 1, ["a/0", "b/0"])
    with pytest.raises(ConfigError, match="These are all images of person 2"):
        split(store, 2, ["b/0", "b/1", "b/2"])
    with pytest.raises(ConfigError, match="of person 1 already"):
        split(store, 1, ["a/0"], "Anna")
    said = merge(store, [find(store, "1"), find(store, "2")]).said
    assert said == ("It had been said that these are different people; that is withdrawn.",)
    assert [tuple(entry["pair"]) for entry in store.ledger.every(APART).values()] == [
        ("p:1", "p:3")
    ]


def test_two_people_in_one_frame_are_never_one(create):
    store = create()
    store.add(passing(("a", None, 0), ("b", None, 2), ("c", None, 30)))  # a and b at second 2
    name_camera(store, 2, "Gate")
    with pytest.raises(ConfigError, match=r"a and b were seen in one frame of Gate about 0.0 s"):
        merge(store, [find(store, "a"), find(store, "b")])
    label(store, ["a/0", "a/1", "a/2"], "Anna")
    with pytest.raises(ConfigError, match=r"b and Anna \(track a\)|Anna \(track a\) and b"):
        label(store, ["b/1"], "Anna")
    with pytest.raises(ConfigError, match="seen in one frame"):
        label(store, ["b/1", "a/0"], "Carl")
    merge(store, [find(store, "b"), find(store, "c")])
    with pytest.raises(ConfigError, match="nothing was changed"):
        merge(store, [find(store, "Anna"), find(store, "c")])
    assert {pid for row, pid in whose(store).items() if row[0] in "bc"} == {2}
    assert names_of(store).people == {1: "Anna"}


def test_tracks_that_were_seen_together_are_remembered_with_their_rows(create):
    store, rows = create(), passing(("a", None, 0), ("b", None, 50), ("c", None, 90))
    candidates = [
        Candidate(id=row["id"], image=None, path=row["path"], track=row["track"], beside=beside)
        for row in rows.frame.iter_rows(named=True)
        for beside in [frozenset({"b"} if row["track"] == "a" else ())]
    ]
    with store.ledger.changing() as changes:
        changes.put(TRACK, digest("a"), {"track": "a", "beside": ["c"]})
    enrol(store, EMBEDDER, [replace_image(one) for one in candidates])
    assert store.ledger.get(TRACK, [digest("a")])[digest("a")]["beside"] == ["b", "c"]
    for other in ("b", "c"):
        with pytest.raises(ConfigError, match="seen in one frame"):
            merge(store, [find(store, other), find(store, "a")])
    merge(store, [find(store, "b"), find(store, "c")])


def replace_image(candidate: Candidate) -> Candidate:
    return replace(candidate, image=Image.new("RGB", (20, 40)), modality=0)


def test_names_of_tables_become_numbers_that_nobody_has(create):
    store = create()
    store.add(passing(("a", 7, 0)))
    with store.ledger.changing() as changes:
        changes.put(PERSON, "3", {"name": "Anna", "note": "", "made": True})
    given = [
        Candidate(id=str(n), image=Path("x"), path="x", pid=pid, cam=cam)
        for n, (pid, cam) in enumerate(
            [("Anna", "North"), ("Bob", 4), (12, "North"), (None, -1), ("BOB", "South")]
        )
    ]
    found = numbered(store, given)
    assert [(one.pid, one.cam) for one in found] == [(3, 5), (13, 4), (12, 5), (None, -1), (13, 6)]
    assert names_of(store).people == {3: "Anna", 13: "Bob"}
    assert names_of(store).cameras == {5: "North", 6: "South"}
    assert [(one.pid, one.cam) for one in numbered(store, given)] == [
        (3, 5), (13, 4), (12, 5), (None, -1), (13, 6),
    ]  # fmt: skip


def test_a_copy_has_the_names_notes_and_tracks(create, tmp_path):
    source = create()
    source.add(passing(("a", 1, 0), ("b", 2, 10)))
    describe(source, 1, name="Anna", note="red bag")
    name_camera(source, 2, "Gate")
    say_apart(source, find(source, "1"), find(source, "2"))
    with create_like(tmp_path / "copy.exact", INFO) as target:
        copy_rows(source, target)
        assert names_of(target) == names_of(source)
        assert named(target) == named(source)
        for kind in ledgers.KINDS:
            assert target.ledger.every(kind) == source.ledger.every(kind)


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "milvus":
        pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    return tmp_path / ENDINGS[request.param]


def test_no_file_holds_the_name_or_the_note_of_somebody_who_was_removed(folder: Path):
    with create_like(folder, INFO) as store:
        tracks = [(f"track-of-{pid}", pid, 100.0 * pid) for pid in range(1, 60)]
        store.add(passing(*tracks))
        for pid in range(1, 60):
            describe(store, pid, name=f"Name of {pid:04}", note=f"Note about {pid:04} " * 90)
        for pid in range(2, 60):
            say_apart(store, find(store, str(pid)), find(store, str(pid - 1)))
        describe(store, 30, name="Another Name 0030")
        describe(store, 31, name="")
        kept = {"name": b"Name of 0012", "note": b"Note about 0012"}
        gone = {
            "name": b"Another Name 0030", "older name": b"Name of 0030",
            "note": b"Note about 0030", "unnamed": b"Name of 0031", "track": b"track-of-30",
            "note of 31": b"Note about 0031",
        }  # fmt: skip
        assert {"name", "note", "note of 31"} <= seen(folder, gone)
        assert store.remove(Filter(pids=frozenset({30, 31}))) == 6
        assert seen(folder, gone) == set()
        assert seen(folder, kept) == set(kept)
        assert {30, 31}.isdisjoint(named(store))
        pairs = [entry["pair"] for entry in store.ledger.every(APART).values()]
        assert not {"p:30", "p:31"} & {key for pair in pairs for key in pair}
        assert named(store)[29] == ("Name of 0029", ("Note about 0029 " * 90).strip(), 3)


REMOVED_WITH_NAMES = """
import os, signal, sys
from crosslight.gallery.stores import forgetting
from crosslight.gallery.stores.opening import open_store

def killing(*_):
    os.kill(os.getpid(), signal.SIGKILL)

import crosslight.gallery.stores.{module} as module
module.{function} = killing
with open_store(sys.argv[1]) as store:
    store.remove_ids(["a/0", "a/1", "a/2"])
"""


@pytest.mark.parametrize(
    ("kind", "module", "function"),
    [
        *(("exact", "exact", name) for name in ("forget_gone", "unmark")),
        *(("lance", "lance.store", name) for name in ("purge", "forget_gone", "unmark")),
        ("milvus", "milvus.store", "forget_gone"),
    ],
)
def test_names_go_too_when_a_removal_is_killed(tmp_path: Path, kind, module, function):
    if kind == "milvus":
        pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    folder = tmp_path / ENDINGS[kind]
    with create_like(folder, INFO) as store:
        store.add(passing(("a", 1, 0), ("b", 2, 10)))
        describe(store, 1, name="Anna Somebody", note="has a red bag")
        describe(store, 2, name="Bob")
    release_lite(folder)
    code = REMOVED_WITH_NAMES.format(module=module, function=function)
    ended = subprocess.run([sys.executable, "-c", code, folder], check=False)
    assert ended.returncode == -signal.SIGKILL
    with open_store(folder) as store:
        assert seen(folder, {"name": b"Anna Somebody", "note": b"red bag"}) == set()
        assert named(store) == {2: ("Bob", "", 3)}


def release_lite(folder: Path) -> None:
    if folder.suffix == ".milvus":
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_all()


KILLED_LABEL = """
import os, signal, sys
from crosslight.gallery.stores import relabelling
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.people.people import find, label, merge

relabelling.ROWS_AT_ONCE = 2
calls = 0
done = relabelling._give

def killing(*arguments):
    global calls
    calls += 1
    if calls == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    done(*arguments)

relabelling._give = killing
with open_store(sys.argv[1]) as store:
    {what}
"""
CHANGES = {
    "label": "label(store, [f'{t}/{n}' for t in 'ab' for n in range(3)], 'Anna')",
    "merge": "merge(store, [find(store, 'a'), find(store, 'b'), find(store, '5')])",
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_change_that_is_killed_is_whole_for_whoever_comes_next(folder: Path, what, call):
    with create_like(folder, INFO) as store:
        store.add(passing(("a", None, 0), ("b", None, 10), ("c", 5, 20)))
        describe(store, 5, note="tall")
    release_lite(folder)
    code = KILLED_LABEL.format(call=call, what=CHANGES[what])
    ended = subprocess.run([sys.executable, "-c", code, folder], check=False)
    assert ended.returncode == -signal.SIGKILL
    with open_store(folder) as store:
        expected = 6 if what == "label" else 5
        assert {pid for row, pid in whose(store).items() if row[0] in "ab"} == {expected}
        assert store.ledger.every(MOVE) == {}
        name = (
            {6: ("Anna", "", 6), 5: (None, "tall", 3)}
            if what == "label"
            else {5: (None, "tall", 9)}
        )
        assert named(store) == name


NAMING = """
import sys
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.people.people import describe, label

with open_store(sys.argv[1]) as store:
    for number in range(1000):
        label(store, [f"row-{number % 40:07}"], f"Somebody {number}")
        print(number, flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_no_acknowledged_name_is_lost_to_a_kill(tmp_path: Path, kind: str):
    folder = tmp_path / ENDINGS[kind]
    with create_like(folder, INFO) as store:
        store.add(made_up(40))
    rng = np.random.default_rng(7)
    for _ in range(2):
        command = [sys.executable, "-c", NAMING, str(folder)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        patience = int(rng.integers(2, 9))
        for line in process.stdout:
            done = int(line)
            if done == patience:
                break
            process.stdin.write("\n")
            process.stdin.flush()
        process.stdin.write("\n")  # it is at the next one when it is killed
        process.stdin.flush()
        process.send_signal(signal.SIGKILL)
        process.wait()
        with open_store(folder) as store:
            names, of = names_of(store).people, whose(store)
            for number in range(done + 1):
                assert names[of[f"row-{number:07}"]] == f"Somebody {number}"


def test_whoever_writes_keeps_others_from_labelling_but_not_from_naming(tmp_path: Path):
    for kind in ("exact", "lance"):
        folder = tmp_path / ENDINGS[kind]
        with create_like(folder, INFO) as busy, open_store(folder) as other:
            busy.add(passing(("a", 1, 0)))
        with open_store(folder) as busy, open_store(folder) as other:
            busy.begin_writing()
            with pytest.raises(GalleryError, match="Another process is writing"):
                label(other, ["a/0"], "Anna")
            describe(other, 1, name="Anna")
            busy.end_writing()
            label(other, ["a/0"], "Bob")
            assert named(busy) == {1: ("Anna", "", 2), 2: ("Bob", "", 1)}
            busy.begin_writing()  # a label lets others write again


def test_several_threads_may_name_at_once(tmp_path: Path):
    with create_like(tmp_path / "people.exact", INFO) as store:
        store.add(made_up(60))

        def name(pid: int) -> None:
            describe(store, pid, name=f"Somebody {pid}")

        threads = [threading.Thread(target=name, args=(pid,)) for pid in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert names_of(store).people == {pid: f"Somebody {pid}" for pid in range(12)}


def test_a_full_disk_under_the_ledger_is_told_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    connect = sqlite3.connect

    def small(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.execute("PRAGMA max_page_count = 3")  # SQLite then says that the disk is full
        return connection

    def name(*numbers: int) -> None:
        with store.ledger.changing() as changes:
            for number in numbers:
                changes.put(PERSON, str(number), {"name": f"Bob {number}", "note": "x" * 2_000})

    with create_like(tmp_path / "people.exact", INFO) as store:
        name(1)
        with monkeypatch.context() as full:
            full.setattr(ledgers.sqlite3, "connect", small)
            with pytest.raises(GalleryError, match="No space left on the disk"):
                name(*range(2, 20))
        assert store.ledger.every(PERSON).keys() == {"1"}
        name(2)
        assert store.ledger.every(PERSON).keys() == {"1", "2"}


LEDGER = "from crosslight.gallery.stores.ledger import FileLedger; ledger = FileLedger(folder)"


@pytest.mark.parametrize("free", [0, 1])
def test_too_few_open_files_under_the_ledger_are_no_lack_of_permission(tmp_path: Path, free: int):
    folder = tmp_path / "people.exact"
    with create_like(folder, INFO) as store:
        store.add(made_up(10))
        describe(store, 1, name="Anna")
    change = "with ledger.changing() as changes: changes.put('person', '1', {'name': 'Bea'})"
    said = told_with_few_files(folder, LEDGER, change, free)
    assert "could not be used just now (Too many open files)" in said


def test_a_damaged_ledger_is_a_sentence(tmp_path: Path):
    with create_like(tmp_path / "people.exact", INFO) as store:
        store.add(made_up(10))
        describe(store, 1, name="Anna")
        (tmp_path / "people.exact" / ledgers.NAME).write_bytes(b"no database at all" * 100)
        with pytest.raises(GalleryError, match="is damaged or its disk fails"):
            list_people(store)
    with pytest.raises(GalleryError, match="is damaged or its disk fails"):
        open_store(tmp_path / "people.exact")


def test_a_ledger_on_milvus_keeps_what_one_in_a_folder_keeps(tmp_path: Path):
    """Its server's collections are those of Milvus Lite."""
    pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    from crosslight.gallery.stores.milvus.ledger import MilvusLedger

    with create_like(tmp_path / "people.milvus", INFO) as store:
        ledger = MilvusLedger(store._client, "people_info", store._ask)
        with ledger.changing() as changes:
            for number in range(2500):
                changes.put(PERSON, str(number), {"name": f'Na "{number}" \\ é', "note": ""})
            changes.put(TRACK, digest("a"), {"track": "a", "beside": ["b"]})
            assert changes.get(PERSON, ["7", "x"]) == {"7": {"name": 'Na "7" \\ é', "note": ""}}
        assert len(ledger.every(PERSON)) == 2500
        assert ledger.every(TRACK) == {digest("a"): {"track": "a", "beside": ["b"]}}
        assert ledger.every(MOVE) == {}
        assert ledger.get(PERSON, ["2499", "nobody"]).keys() == {"2499"}
        with ledger.changing() as changes:
            for number in range(2000):
                changes.drop(PERSON, str(number))
            changes.put(PERSON, "2400", {"name": "Anna", "note": ""})
            assert len(changes.every(PERSON)) == 500
        assert sorted(map(int, ledger.every(PERSON))) == list(range(2000, 2500))
        assert ledger.get(PERSON, ["2400"])["2400"]["name"] == "Anna"
        assert store.info == INFO
        with (
            pytest.raises(GalleryError, match="more than Milvus keeps"),
            ledger.changing() as all_of,
        ):
            all_of.put(PERSON, "1", {"name": "x" * 70_000})
        assert ledger.get(PERSON, ["1"]) == {}
