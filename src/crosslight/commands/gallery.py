"""The stores of people: list, remove, stats, optimize, copy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from crosslight.commands.counting_bar import bar
from crosslight.commands.flag_numbers import LARGEST, require_from_to
from crosslight.errors import ConfigError, GalleryError
from crosslight.files import printable
from crosslight.gallery.calibration import Calibration
from crosslight.gallery.copying import copy_rows
from crosslight.gallery.opening import create_like, open_store
from crosslight.gallery.rows import Filter
from crosslight.times import text_of
from crosslight.types import UNKNOWN_CAM, Modality


def list_rows(store: str, where: Filter, *, offset: int, limit: int, as_json: bool) -> None:
    """Prints rows."""
    require_from_to("offset", offset, 0, LARGEST)
    require_from_to("limit", limit, 1, LARGEST)
    with open_store(store) as opened:
        rows = opened.page(where, offset=offset, limit=limit).drop("model")
        count = opened.count(where)
    if as_json:
        print(json.dumps({"count": count, "rows": rows.to_dicts()}))
        return
    for row in rows.to_dicts():
        print(f"{row['id']}  {described(row)}  {row['path']}")
    print(f"{len(rows)} of {count} rows" + (f", from {offset}" if offset else ""))


def remove(store: str, where: Filter, *, ids: Sequence[str], everything: bool) -> None:
    """Removes rows by id or by filter."""
    if bool(ids) + (not where.everything) + everything != 1:
        raise ConfigError(
            "Say which rows to remove in one way: with --id, with filters such as --camera or "
            "--person, or with --all."
        )
    with open_store(store) as opened:
        count = opened.remove_ids([printable(i) for i in ids]) if ids else opened.remove(where)
        print(f"{count} removed; {opened.location} now holds {opened.count()}.")


def stats(store: str, *, as_json: bool) -> None:
    """Prints what a store holds."""
    with open_store(store) as opened:
        frame, info = opened.frame(), opened.info
        calibration = Calibration.from_plain(info.calibration)
        times = frame["time"].drop_nulls()
        groups = frame.group_by("cam", "modality").len().sort("cam", "modality")
        found = {
            "location": printable(opened.location),
            "kind": opened.kind,
            "rows": len(frame),
            "people": frame["pid"].drop_nulls().n_unique(),
            "tracks": frame["track"].drop_nulls().n_unique(),
            "first_time": times.min() if len(times) else None,
            "last_time": times.max() if len(times) else None,
            "cameras": [
                {"cam": cam, "modality": Modality(modality).name.lower(), "rows": rows}
                for cam, modality, rows in groups.iter_rows()
            ],
            "model": info.model,
            "method": info.method,
            "run": printable(info.run),
            "dim": info.dim,
            "distance": info.distance,
            "interpolation": info.interpolation,
            "created": info.created,
            "disk_bytes": _size(Path(store)),
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
    for cam, modality, rows in groups.iter_rows():
        print(f"            {place_of(cam, modality)}: {rows}")
    if disk := _size(Path(store)):
        print(f"  disk      {disk / 2**20:.1f} MiB")
    print(f"  calibrated: {found['calibration'] or 'no; see crosslight gallery calibrate'}")


def optimize(store: str) -> None:
    """Maintains a store."""
    with open_store(store) as opened:
        print(opened.optimize())


def copy(source: str, target: str) -> None:
    """Copies rows and verifies them."""
    with open_store(source) as origin:
        try:
            goal = open_store(target)
        except GalleryError:
            goal = create_like(target, origin.info)
        with goal, bar("copied and compared", 2 * origin.count()) as advance:
            done = copy_rows(origin, goal, advance=advance)
        print(
            f"{done.rows} rows of {source} are in {target}, {done.added} of them new; "
            f"checksum {done.checksum[:16]} on both sides."
        )


def described(row: dict[str, object]) -> str:
    """Who, where and when of a row, as far as it is known."""
    parts = [place_of(int(str(row["cam"])), int(str(row["modality"])))]
    if row["pid"] is not None:
        parts.insert(0, f"person {row['pid']}")
    if row["time"] is not None:
        parts.append(text_of(float(str(row["time"]))))
    if row["track"] is not None:
        parts.append(f"track {row['track']}")
    return ", ".join(parts)


def place_of(cam: int, modality: int) -> str:
    """Camera and light."""
    light = Modality(modality).name.lower()
    return light if cam == UNKNOWN_CAM else f"cam {cam} {light}"


def _size(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
