"""The stores of people: list, stats, optimize, copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from crosslight.commands.counting_bar import bar
from crosslight.commands.gallery.filter import filter_from
from crosslight.files import printable
from crosslight.gallery.audit import COMMAND, audit_of, this_user
from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.copying import copy_rows
from crosslight.gallery.options import WhereOrWho
from crosslight.gallery.people.names import Names, names_of
from crosslight.gallery.stores.opening import open_or_create, open_store
from crosslight.times import text_of
from crosslight.types import UNKNOWN_CAM, Modality

_NAMES = 10
"""Names that `stats` lists."""


def list_rows(store: str, meant: WhereOrWho, *, offset: int, limit: int, as_json: bool) -> None:
    """Prints rows."""
    with open_store(store) as opened:
        where = filter_from(meant, opened)
        rows = opened.page(where, offset=offset, limit=limit).drop("model")
        count = opened.count(where)
        names = names_of(opened, rows["pid"].to_list())
    if as_json:
        told = [row | named(row, names) for row in rows.to_dicts()]
        print(json.dumps({"count": count, "rows": told}))
        return
    print_rows(rows, names)
    print(f"{len(rows)} of {count} rows" + (f", from {offset}" if offset else ""))


def print_rows(rows: pl.DataFrame, names: Names) -> None:
    """A line for each."""
    for row in rows.to_dicts():
        print(f"{row['id']}  {described(row, names)}  {row['path']}")


def named(row: Mapping[str, Any], names: Names) -> dict[str, str | None]:
    """Names of a row's person and camera, None without one."""
    return {"person": names.people.get(row["pid"]), "camera": names.cameras.get(row["cam"])}


def stats(store: str, *, as_json: bool) -> None:
    """Prints what a store holds."""
    with open_store(store) as opened:
        frame, info = opened.frame(), opened.info
        calibration = Calibration.from_plain(info.calibration)
        times = frame["time"].drop_nulls()
        groups = frame.group_by("cam", "modality").len().sort("cam", "modality")
        known = set(frame["pid"].drop_nulls().unique().to_list())
        names = names_of(opened)
        disk = _size(Path(store))
        called = sorted(names.people[pid] for pid in known & names.people.keys())
        found = {
            "location": printable(opened.location),
            "kind": opened.kind,
            "rows": len(frame),
            "people": len(known),
            "named": len(called),
            "tracks": frame["track"].drop_nulls().n_unique(),
            "first_time": times.min() if len(times) else None,
            "last_time": times.max() if len(times) else None,
            "cameras": [
                {
                    "cam": cam,
                    "camera": names.cameras.get(cam),
                    "modality": Modality(modality).name.lower(),
                    "rows": rows,
                }
                for cam, modality, rows in groups.iter_rows()
            ],
            "model": info.model,
            "method": info.method,
            "run": printable(info.run),
            "dim": info.dim,
            "distance": info.distance,
            "interpolation": info.interpolation,
            "created": info.created,
            "disk_bytes": disk,
            "calibration": None if calibration is None else calibration.summary(),
        }
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['location']} ({found['kind']}), created {info.created}")
    print(f"  model     {info.method} {info.model[:12]}, {info.dim} numbers, {info.distance}")
    print(f"            {info.run}, images resized {info.interpolation}")
    print(
        f"  rows      {found['rows']} of {found['people']} known people, {found['tracks']} tracks"
    )
    if called:
        more = f" and {len(called) - _NAMES} more" if len(called) > _NAMES else ""
        print(f"            {len(called)} have a name: {', '.join(called[:_NAMES])}{more}")
    for cam, modality, rows in groups.iter_rows():
        print(f"            {place_of(cam, modality, names)}: {rows}")
    if disk:
        print(f"  disk      {disk / 2**20:.1f} MiB")
    print(f"  calibrated: {found['calibration'] or 'no; see crosslight gallery calibrate'}")


def optimize(store: str) -> None:
    """Maintains a store."""
    with open_store(store) as opened:
        print(opened.optimize())


def copy(source: str, target: str, *, audit: Path | None = None) -> None:
    """Copies rows and verifies them."""
    log = audit_of(audit)
    with open_store(source) as origin:
        if log is not None:
            what = {"store": printable(source), "to": printable(target)}
            log.write("export", who=this_user(), origin=COMMAND, what=what, rows=origin.count())
        goal = open_or_create(target, origin.info)
        with goal, bar("copied and compared", origin.count()) as advance:
            done = copy_rows(origin, goal, advance=advance)
        print(
            f"{done.rows} rows of {source} are in {target}, {done.added} of them new; "
            f"checksum {done.checksum[:16]} on both sides."
        )
        for sentence in done.said:
            print(sentence)
        if done.others:
            print(
                f"{done.others} more rows are only in {target}; where they were removed from "
                f"{source}, copy to a new store, or remove them there too."
            )


def described(row: Mapping[str, Any], names: Names) -> str:
    """Who, where and when of a row, as far as it is known."""
    parts = [place_of(row["cam"], row["modality"], names)]
    if row["pid"] is not None:
        parts.insert(0, names.person(row["pid"]))
    if row["time"] is not None:
        parts.append(text_of(row["time"]))
    if row["track"] is not None:
        parts.append(f"track {row['track']}")
    return ", ".join(parts)


def place_of(cam: int, modality: int, names: Names) -> str:
    """Camera and light."""
    light = Modality(modality).name.lower()
    return light if cam == UNKNOWN_CAM else f"{names.camera(cam)} {light}"


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
