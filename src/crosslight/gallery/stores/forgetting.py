"""What is known of removed rows goes with them: names, notes, tracks, marks."""

from __future__ import annotations

from collections.abc import Collection

from crosslight.gallery.stores.ledger import APART, MARK, MOVE, PERSON, TRACK
from crosslight.gallery.stores.store import Store


def forget_gone(store: Store) -> None:
    """Drops from the ledger what no row of the store speaks of any more, and tidies its files.

    Goes by what is there, so whoever finishes a removal that was cut off does the same again.

    Args:
        store: Of which nobody else writes rows.
    """
    ledger = store.ledger
    if not any(ledger.every(kind) for kind in (PERSON, TRACK, APART, MARK, MOVE)):
        ledger.tidy()  # what was dropped before may still stand in its files
        return
    with ledger.changing() as changes:
        there = store.frame(columns=("pid", "track"))
        people = {str(pid) for pid in there["pid"].drop_nulls().unique().to_list()}
        # Whoever is about to get rows stays.
        people |= {str(move["pid"]) for move in changes.every(MOVE).values()}
        tracks = set(there["track"].drop_nulls().unique().to_list())
        for name in changes.every(PERSON).keys() - people:
            changes.drop(PERSON, name)
        for name, value in changes.every(TRACK).items():
            if value["track"] not in tracks:
                changes.drop(TRACK, name)
            elif not tracks.issuperset(value["beside"]):
                beside = [one for one in value["beside"] if one in tracks]
                changes.put(TRACK, name, {**value, "beside": beside})
        keys = {f"p:{person}" for person in people} | {f"t:{track}" for track in tracks}
        for name, value in changes.every(APART).items():
            if not keys.issuperset(value["pair"]):
                changes.drop(APART, name)
        for name, move in changes.every(MOVE).items():
            ids = sorted(store.present(move["ids"]))
            if ids:
                changes.put(MOVE, name, {**move, "ids": ids})
            else:
                changes.drop(MOVE, name)
        marks = changes.every(MARK)
        asked = {row for mark in marks.values() for row in (mark["row"], mark["query_row"]) if row}
        present = store.present(sorted(asked))
        for name, mark in marks.items():
            if {row for row in (mark["row"], mark["query_row"]) if row} - present:
                changes.drop(MARK, name)
    ledger.tidy()


def forget_unseen(store: Store, pids: Collection[int]) -> None:
    """Drops from the ledger those of some people of whom no row came.

    Args:
        store: Of which nobody else writes rows.
        pids: Of the people.
    """
    if not pids:
        return
    unseen = set(pids).difference(store.frame(columns=("pid",))["pid"].to_list())
    if unseen:
        with store.ledger.changing() as changes:
            for pid in unseen:
                changes.drop(PERSON, str(pid))
        store.ledger.tidy()
