"""What can be enrolled: a folder, an image, a table, a published layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from crosslight.data.folders import PassedOver, images_below
from crosslight.data.formats import TABLE_ENDINGS, VIDEO_ENDINGS
from crosslight.data.layouts import LAYOUTS, parse_data_argument, read_layout
from crosslight.data.table import SampleTable, read_table
from crosslight.errors import ConfigError, DataError
from crosslight.files import printable
from crosslight.gallery.candidates import Candidate, id_of
from crosslight.types import Modality


def is_video(source: str) -> bool:
    """Whether a source is to be enrolled as a video, by its ending."""
    path = Path(source).expanduser()
    return path.suffix.lower() in VIDEO_ENDINGS and not path.is_dir()


def candidates_from(
    source: str,
    *,
    splits: Sequence[str] = (),
    modality: int | None = None,
    cam: int | str | None = None,
    pid: int | str | None = None,
    called: Mapping[str, str] = MappingProxyType({}),
    passed_over: Callable[[Path], None] = lambda _: None,
) -> list[Candidate]:
    """Every image that a source names.

    Args:
        source: A folder (searched to the bottom), an image, a CSV or Parquet table, or
            LAYOUT:ROOT.
        splits: Of a table or layout; none given: all.
        modality: `Modality` of all images; None: as the table or the layout says, and guessed from
            the colours where a table does not say it.
        cam: Camera of all images, a number or a name; None: as the table says, or unknown.
        pid: Person of all images, likewise.
        called: Columns of a table that have another name there, as `read_table` takes them.
        passed_over: Told about every file of a folder that is not taken.

    Raises:
        DataError: There is no image.
        ConfigError: An unknown layout, or names of columns for what is no table.
    """
    name, colon, _ = source.partition(":")
    path = Path(source).expanduser()
    if called and path.suffix.lower() not in TABLE_ENDINGS:
        raise ConfigError(
            f"--columns says how a table calls its columns, but {source} is no table; leave it out."
        )
    if colon and name in LAYOUTS:
        layout, root = parse_data_argument(source)
        found = _from_table(read_layout(layout.name, root), splits)
    elif path.suffix.lower() in TABLE_ENDINGS:
        found = _from_table(read_table(path, called=called, named=True), splits)
    elif path.is_dir():
        found = [_from_file(image) for image in _inside(path, passed_over)]
    elif path.is_file():
        found = [_from_file(path)]
    else:
        raise DataError(
            f"There is nothing at {source}; give a folder of images, an image, a table "
            "(CSV or Parquet), a video or LAYOUT:ROOT."
        )
    return [_stated(candidate, modality, cam, pid) for candidate in found]


def _inside(folder: Path, passed_over: Callable[[Path], None]) -> list[Path]:
    left = PassedOver()

    def leave(path: Path) -> None:
        left(path)
        passed_over(path)

    found = images_below(folder, passed_over=leave)
    if not found:
        told = f" ({left.told()})" if left.count else ""
        raise DataError(f"The folder {folder} holds no image{told}; give another one, or a table.")
    return found


def _from_file(path: Path) -> Candidate:
    place = str(path.resolve())
    return Candidate(id=id_of(place), image=path, path=printable(place))


def _from_table(table: SampleTable, splits: Sequence[str]) -> list[Candidate]:
    chosen = table.split(*splits) if splits else table
    is_stated = chosen.states_light or bool(chosen.lightless)
    assumed = frozenset[str]() if is_stated else frozenset({"modality"})
    found = []
    rows = zip(
        chosen.paths,
        chosen.known.tolist(),
        chosen.frame.iter_rows(named=True),
        strict=True,
    )
    for path, known, row in rows:
        place = str(path.resolve())
        found.append(
            Candidate(
                id=id_of(place),
                image=path,
                path=printable(place),
                pid=chosen.people.get(row["pid"], row["pid"]) if known else None,
                cam=chosen.cameras.get(row["cam"], row["cam"]),
                modality=None if row["path"] in chosen.lightless else row["modality"],
                time=row["time"],
                track=row["track"],
                assumed=assumed if row["modality"] == Modality.VISIBLE else frozenset(),
            )
        )
    return found


def _stated(
    candidate: Candidate, modality: int | None, cam: int | str | None, pid: int | str | None
) -> Candidate:
    given: dict[str, Any] = {"modality": modality, "cam": cam, "pid": pid}
    stated = {key: value for key, value in given.items() if value is not None}
    return replace(candidate, **stated, assumed=candidate.assumed - stated.keys())
