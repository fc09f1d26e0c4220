"""The flat scan by itself: against the definition of the distances, appended to, damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslight.gallery.stores.lance import flat_scan
from crosslight.gallery.stores.lance.flat_scan import FlatScan
from crosslight.gallery.stores.lance.scan_files import NoScanError, StaleError
from crosslight.gallery.stores.rows import COLUMNS, Filter, Rows
from crosslight.gallery.stores.store import prepared
from tests.gallery.rows import made_up

pytest.importorskip("turbovec", reason="say: pip install 'crosslight[gallery]'")

DISTANCES = ("cosine", "euclidean", "dot")
DIM = 24


def kept(rows: Rows, distance: str) -> tuple[pl.DataFrame, np.ndarray]:
    """As a table keeps them."""
    return rows.frame.select(list(COLUMNS)), prepared(rows.vectors, distance).astype(np.float16)


def built(folder: Path, rows: Rows, distance: str = "cosine", part: int = 1_000) -> FlatScan:
    parts = [rows.take(range(n, min(n + part, len(rows)))) for n in range(0, len(rows), part)]
    dim = rows.vectors.shape[1]
    flat_scan.build(
        folder, (kept(one, distance) for one in parts), dim=dim, distance=distance, stamp="0"
    )
    return FlatScan.opened(folder, stamp="0", dim=dim, distance=distance)


def by_definition(query, frame, halves, distance) -> dict[str, float]:
    wide, one = halves.astype(float), query.astype(np.float16).astype(float)
    if distance == "euclidean":
        found = np.sqrt(np.square(wide - one).sum(axis=1))
    elif distance == "dot":
        found = -(wide * one).sum(axis=1)
    else:
        norms = np.sqrt(np.square(wide).sum(axis=1) * np.square(one).sum())
        found = 1 - np.divide(
            (wide * one).sum(axis=1), norms, where=norms > 0, out=np.zeros(len(wide))
        )
    return dict(zip(frame["id"], found, strict=True))


FILTERS = st.builds(
    Filter,
    cams=st.none() | st.frozensets(st.integers(-1, 4), max_size=12),
    modalities=st.none() | st.frozensets(st.integers(0, 1)),
    since=st.none() | st.floats(0, 200),
    until=st.none() | st.floats(0, 200),
    pids=st.none() | st.frozensets(st.integers(0, 40), max_size=20),
    not_ids=st.frozensets(st.integers(0, 200).map(lambda n: f"row-{n:07}"), max_size=70),
)


@given(
    where=FILTERS,
    distance=st.sampled_from(DISTANCES),
    first=st.integers(1, 80),
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=4),
    k=st.integers(1, 60),
    candidates=st.sampled_from([1, 300]),
    uncoded=st.sampled_from([5, 20_000]),
    reopened=st.booleans(),
)
@settings(max_examples=40)
def test_finds_the_nearest_of_what_fits_whatever_was_appended_and_replaced(
    tmp_path_factory, where, distance, first, steps, k, candidates, uncoded, reopened
):
    folder = tmp_path_factory.mktemp("flat") / "scan"
    rows = made_up(first, dim=DIM)
    rows.vectors[0] = 0
    frame, halves = kept(rows, distance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat_scan, "CANDIDATES", candidates)
        patch.setattr(flat_scan, "_UNCODED_AT_MOST", uncoded)
        scan = built(folder, rows, distance, part=30)
        for step, (replaces, count) in enumerate(steps):
            if replaces:
                more = made_up(min(count, len(frame)), dim=DIM, seed=step + 1)
            else:
                more = made_up(count, dim=DIM, start=len(frame))
            new_frame, new_halves = kept(more, distance)
            stays = ~frame["id"].is_in(new_frame["id"].to_list())
            halves = np.concatenate([halves[stays.to_numpy()], new_halves])
            frame = pl.concat([frame.filter(stays), new_frame])
            assert flat_scan.extend(
                folder, new_frame, new_halves,
                before=str(step), after=str(step + 1), replaced=replaces,
            )  # fmt: skip
            if step % 2:
                assert scan.follow(str(step + 1))
        if reopened:
            scan = FlatScan.opened(folder, stamp=str(len(steps)), dim=DIM, distance=distance)
        assert scan.follow(str(len(steps)))
        queries = prepared(made_up(3, dim=DIM, seed=9).vectors, distance)
        found = scan.search(queries, k, where)
    fitting = frame.with_row_index("place").filter(where.expression())
    labels = {row["id"]: row for row in fitting.to_dicts()}
    for query, hits in zip(queries, found, strict=True):
        right = by_definition(query, fitting, halves[fitting["place"].to_numpy()], distance)
        assert len(hits) == len({hit.id for hit in hits}) == min(k, len(right))
        given = [hit.distance for hit in hits]
        assert given == sorted(given)
        np.testing.assert_allclose(given, [right[hit.id] for hit in hits], atol=1e-7)
        if candidates > len(frame):
            np.testing.assert_allclose(given, sorted(right.values())[:k], atol=1e-7)
        for hit in hits:
            for name in ("pid", "cam", "modality", "time", "track", "path"):
                assert getattr(hit, name) == labels[hit.id][name]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dim", [16, 128, 512])
def test_codes_name_the_candidates(tmp_path, distance, dim):
    rows = made_up(6_000, dim=dim)
    rows.vectors[:] = np.maximum(rows.vectors + 1, 0)  # all in one corner, as after a ReLU
    scan = built(tmp_path / "scan", rows, distance)
    frame, halves = kept(rows, distance)
    queries = prepared(np.maximum(made_up(40, dim=dim, start=700).vectors + 1, 0), distance)
    for where in (Filter(), Filter(cams=frozenset({1}))):
        fits = frame["id"].is_in(frame.filter(where.expression())["id"].to_list()).to_numpy()
        right = 0
        for query, hits in zip(queries, scan.search(queries, 10, where), strict=True):
            truth = by_definition(query, frame.filter(fits), halves[fits], distance)
            right += len({hit.id for hit in hits} & set(sorted(truth, key=truth.get)[:10]))
        assert right >= 0.99 * 400


def test_a_time_that_is_no_number_is_later_than_all_as_in_the_table(tmp_path):
    rows = made_up(40, dim=DIM)
    times = [float("nan"), None, *map(float, range(38))]
    frame = rows.frame.with_columns(time=pl.Series(times, dtype=pl.Float64))
    scan = built(tmp_path / "scan", Rows(frame=frame, vectors=rows.vectors))
    for where in (Filter(since=5.0), Filter(until=5.0), Filter(since=3.0, until=9.0)):
        found = {hit.id for hit in scan.search(rows.vectors[:1], 40, where)[0]}
        assert found == set(frame.filter(where.expression())["id"])


def test_so_much_that_the_table_answers_as_quickly_is_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(flat_scan, "COMPARED_AT_MOST", 100)
    monkeypatch.setattr(flat_scan, "CANDIDATES", 10)
    scan = built(tmp_path / "scan", made_up(150, dim=DIM))
    query = made_up(1, dim=DIM).vectors
    assert scan.search(query, 21, Filter()) is None
    assert len(scan.search(query, 20, Filter())[0]) == 20
    assert len(scan.search(query, 150, Filter(cams=frozenset({1})))[0]) == 38


def test_another_state_another_generation_and_leftovers(tmp_path):
    folder, rows = tmp_path / "scan", made_up(90, dim=DIM)
    scan = built(folder, rows.take(range(60)))
    frame, halves = kept(rows.take(range(60, 90)), "cosine")
    assert not flat_scan.extend(folder, frame, halves, before="another", after="1")
    with pytest.raises(StaleError):
        scan.follow("1")
    with pytest.raises(StaleError):
        FlatScan.opened(folder, stamp="1", dim=DIM, distance="cosine")
    place = next(path for path in folder.iterdir() if path.is_dir())
    for name in ("known", "vectors", "texts", "gone"):
        with (place / name).open("ab") as file:
            file.write(b"left by a writer that was killed")
    assert scan.follow("0")
    assert flat_scan.extend(folder, frame, halves, before="0", after="1")
    assert scan.follow("1")
    assert scan.search(rows.vectors[70:71], 1, Filter())[0][0].id == rows.ids[70]
    assert flat_scan.check(folder, dim=DIM, distance="cosine") == 0
    # Rows that are not there replace nothing.
    assert not flat_scan.extend(
        folder,
        *kept(made_up(1, dim=DIM, start=500), "cosine"),
        before="1",
        after="2",
        replaced=True,
    )
    built(folder, rows)
    assert not scan.follow("0")


@pytest.mark.parametrize("file", ["scan.json", "known", "vectors", "texts", "gone", "codes-80"])
def test_a_byte_that_has_changed_is_noticed_wherever_it_is(tmp_path, file):
    folder, rows = tmp_path / "scan", made_up(80, dim=DIM)
    built(folder, rows)
    frame, halves = kept(rows.take(range(5)), "cosine")
    assert flat_scan.extend(folder, frame, halves, before="0", after="1", replaced=True)
    path = next(folder.rglob(file))
    whole = path.read_bytes()
    spread = np.linspace(0, len(whole) - 1, 60).astype(int)
    for place in {*map(int, spread)}:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(NoScanError):
            flat_scan.check(folder, dim=DIM, distance="cosine")
    for length in (0, len(whole) // 2, len(whole) - 1 - (file == "scan.json")):
        path.write_bytes(whole[:length])
        with pytest.raises(NoScanError):
            flat_scan.check(folder, dim=DIM, distance="cosine")
    path.write_bytes(whole)
    assert flat_scan.check(folder, dim=DIM, distance="cosine") == 5
