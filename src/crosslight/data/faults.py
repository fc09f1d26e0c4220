"""What can be wrong with a sample table that reads without error, and how to mend it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import polars as pl

from crosslight.data.layouts.contract import Layout, Search
from crosslight.data.layouts.listing import counted, listed
from crosslight.data.spelling import same_files
from crosslight.data.splits import SEARCHED_SPLITS, SPLITS, TEST_SPLITS
from crosslight.data.table import SampleTable
from crosslight.types import UNKNOWN_CAM, Modality


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something wrong, and its remedy.

    Attributes:
        severity: An error makes results wrong or impossible; a warning should be known.
        what: One sentence: what was found.
        remedy: One sentence: what to do.
    """

    severity: Literal["error", "warning"]
    what: str
    remedy: str


def table_faults(table: SampleTable, layout: Layout) -> list[Fault]:
    """Every fault that the rows alone show; the images are not opened."""
    people = table.of_known()
    return [
        *_unknown_splits(table, layout),
        *_nobody(table),
        *_half_a_search(table, layout),
        *_one_person(people),
        *_duplicate_paths(table),
        *_shared_people(people, layout),
        *_unknown_cameras(table),
        *(fault for search in searches_of(table, layout) for fault in _unanswered(people, search)),
        *_single_images(people),
        *_one_light(people, layout),
        *_stem_gaps(people, layout),
        *_list_orders(people, layout),
    ]


def searches_of(table: SampleTable, layout: Layout) -> tuple[Search, ...]:
    """What the protocols of a layout search, or what the splits and cameras of a table allow."""
    if layout.searches:
        return layout.searches
    splits = set(table.frame["split"].to_list())
    cameras = bool((table.cams != UNKNOWN_CAM).any())
    protocol = "market1501" if cameras else "any-camera"
    if {"query", "gallery"} <= splits:
        return (Search(protocol=protocol, across_cameras=cameras),)
    return tuple(
        Search(protocol=protocol, query=split, gallery=split, across_cameras=cameras)
        for split in ("test", "all")
        if split in splits
    )


def _unknown_splits(table: SampleTable, layout: Layout) -> Iterator[Fault]:
    if layout.name != "table":
        return
    strange = sorted(set(table.splits.tolist()) - set(SPLITS))
    if strange:
        yield Fault(
            severity="error",
            what=f"Splits that training and evaluation do not look for: {listed(strange)}.",
            remedy=f"Name them {', '.join(SPLITS[:-1])}; or all, for images without a part.",
        )


def _nobody(table: SampleTable) -> Iterator[Fault]:
    """Splits in which nobody is known: whoever learns or searches there finds nothing."""
    people = table.of_known()
    empty = sorted(set(table.splits.tolist()) - set(people.splits.tolist()))
    if not len(people):
        yield Fault(
            severity="error",
            what=f"Nobody is known: all {len(table)} rows have ids of junk (below 0).",
            remedy="Number the people 0, 1, 2, ...; -1 is for images that show nobody in full.",
        )
    elif empty:
        yield Fault(
            severity="error",
            what=f"Nobody is known in split {listed(empty)}: all its ids are junk (below 0).",
            remedy="Number the people 0, 1, 2, ..., or remove these rows.",
        )


def _half_a_search(table: SampleTable, layout: Layout) -> Iterator[Fault]:
    """Queries without a gallery, or a gallery that nobody is sought in."""
    present = set(table.splits.tolist())
    wanted = {split for search in layout.searches for split in (search.query, search.gallery)}
    if layout.name == "table" and present & set(SEARCHED_SPLITS):
        wanted = {"query", "gallery"}
    if missing := sorted(wanted - present):
        yield Fault(
            severity="error",
            what=f"No image in split {' or '.join(missing)}, so evaluation scores nothing.",
            remedy=(
                "Fill the folders of that part again."
                if layout.name != "table"
                else "Write query for the images that seek and gallery for those that are searched."
            ),
        )


def _one_person(people: SampleTable) -> Iterator[Fault]:
    train = people.where(pl.col("split") == "train")
    if len(train) and len(set(train.pids.tolist())) == 1:
        yield Fault(
            severity="warning",
            what=f"Only one person is in split train ({train.pids[0]}).",
            remedy="Add people: training learns to tell them from each other.",
        )


def _duplicate_paths(table: SampleTable) -> Iterator[Fault]:
    groups = same_files(table.root, table.relative_paths)
    if groups:
        twice = sorted(" = ".join(dict.fromkeys(group)) for group in groups)
        yield Fault(
            severity="error",
            what=f"In the table more than once: {counted(twice, 'image', 'images')}.",
            remedy="Keep one row of each; the same image in two splits makes its score worthless.",
        )


def _shared_people(table: SampleTable, layout: Layout) -> Iterator[Fault]:
    if layout.ids_restart:
        return
    people = _people_by_split(table)
    train, val = people["train"], people["val"]
    test = set().union(*(people[split] for split in TEST_SPLITS))
    if both := sorted((train | val) & test):
        yield Fault(
            severity="error",
            what=f"In training and in test alike: {_people(both)}.",
            remedy="Take them out of one of the splits; a test must only hold strangers.",
        )
    if both := sorted(train & val):
        yield Fault(
            severity="warning",
            what=f"In train and in val alike: {_people(both)}.",
            remedy="Give val people of its own, or the validation flatters the model.",
        )


def _unknown_cameras(table: SampleTable) -> Iterator[Fault]:
    unknown = int((table.cams == UNKNOWN_CAM).sum())
    if unknown:
        yield Fault(
            severity="warning",
            what=f"{unknown} of {len(table)} images have no camera.",
            remedy=(
                "Fill the column cam, or score with --protocol any-camera, which needs none and "
                "lets a person be found by images of the same camera."
            ),
        )


def _unanswered(table: SampleTable, search: Search) -> Iterator[Fault]:
    """Queries without a true match in the gallery, counted without ranking anything."""
    queries = _chosen(table, search.query, search.query_modality, search)
    gallery = _chosen(table, search.gallery, search.gallery_modality, search)
    if not queries:
        return
    of_person = Counter(pid for pid, _ in gallery)
    of_person_there = Counter(gallery)
    itself = search.query == search.gallery and search.query_modality == search.gallery_modality
    without = 0
    for pid, place in queries:
        excluded = of_person_there[pid, place] if search.across_cameras else int(itself)
        without += of_person[pid] - excluded <= 0
    if not without:
        return
    from_where = " from another camera" if search.across_cameras else ""
    all_of_them = without == len(queries)
    outcome = "scores none of them" if all_of_them else "leaves them out of every mean"
    advice = "Nothing, if this is meant; otherwise add images of these people to the gallery."
    if all_of_them:
        advice = "Make sure that people of the queries are in the gallery."
        if search.across_cameras:
            advice = (
                "If your data has one camera, use --protocol any-camera; otherwise check the "
                "column cam and that people of the queries are in the gallery."
            )
    yield Fault(
        severity="error" if all_of_them else "warning",
        what=(
            f"{without} of {len(queries)} queries have no gallery image{from_where}, "
            f"so the {search.protocol} protocol {outcome}."
        ),
        remedy=advice,
    )


def _chosen(
    table: SampleTable, split: str, modality: Modality | None, search: Search
) -> list[tuple[int, int]]:
    """(pid, place) of the rows of a split and a light."""
    rows = table.where(pl.col("split") == split)
    if modality is not None:
        rows = rows.where(pl.col("modality") == int(modality))
    places = [search.locations.get(cam, cam) for cam in rows.cams.tolist()]
    return list(zip(rows.pids.tolist(), places, strict=True))


def _single_images(table: SampleTable) -> Iterator[Fault]:
    rows = table.where(~pl.col("split").is_in(SEARCHED_SPLITS)).frame
    counts = rows.group_by("split", "pid").len().filter(pl.col("len") == 1).sort("split", "pid")
    for (split,), group in counts.group_by("split", maintain_order=True):
        pids = group["pid"].to_list()
        yield Fault(
            severity="warning",
            what=f"With one image only in split {split}: {_people(pids)}.",
            remedy=(
                "Add images or remove them: a batch repeats the one image, and nobody can be "
                "searched with the only image there is."
            ),
        )


def _one_light(table: SampleTable, layout: Layout) -> Iterator[Fault]:
    if not layout.cross_modal and table.frame["modality"].n_unique() < 2:
        return
    roles: dict[str, list[set[int]]] = defaultdict(lambda: [set(), set()])
    rows = table.frame.select("split", "modality", "pid").unique().iter_rows()
    for split, modality, pid in rows:
        roles["query and gallery" if split in SEARCHED_SPLITS else split][modality].add(pid)
    for role, (visible, infrared) in sorted(roles.items()):
        both = visible & infrared
        if lonely := sorted(visible ^ infrared):
            yield Fault(
                severity="error" if layout.cross_modal and not both else "warning",
                what=(
                    f"Of {len(visible | infrared)} people in split {role}, "
                    f"seen in one light only: {_people(lonely)}."
                ),
                remedy=(
                    "Check the column modality and the folders of both lights; people of one "
                    "light cannot be learnt or found across light."
                ),
            )


def _stem_gaps(table: SampleTable, layout: Layout) -> Iterator[Fault]:
    if layout.name != "sysu-mm01":
        return
    stems: dict[str, list[str]] = defaultdict(list)
    for path in table.where(pl.col("split") == "test").relative_paths:
        pure = PurePosixPath(path)
        stems[str(pure.parent)].append(pure.stem)
    broken = [folder for folder, names in stems.items() if not _gap_free(names)]
    if broken:
        yield Fault(
            severity="warning",
            what=f"Not numbered 0001, 0002, ...: {counted(broken, 'test folder', 'test folders')}.",
            remedy=(
                "Unpack the data set again; until then use --sampler seeded, as the official "
                "permutations pick images by number."
            ),
        )


def _gap_free(stems: Sequence[str]) -> bool:
    numbers = sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())
    return numbers == list(range(1, len(stems) + 1))


def _list_orders(table: SampleTable, layout: Layout) -> Iterator[Fault]:
    if layout.name != "regdb":
        return
    for split in ("train", "test"):
        rows = table.where(pl.col("split") == split)
        visible, thermal = (
            rows.where(pl.col("modality") == int(light)).pids.tolist() for light in Modality
        )
        if visible != thermal:
            line = _first_difference(visible, thermal)
            yield Fault(
                severity="warning",
                what=(
                    f"The visible and the thermal {split} list differ in their order of people, "
                    f"first in line {line}."
                ),
                remedy=(
                    "Nothing is needed to train or score here; code that pairs the lists line "
                    "by line would pair strangers: copy the lists again from the archive."
                ),
            )


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    pairs: Iterable[tuple[int, int]] = zip(one, other, strict=False)
    equal = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    return equal + 1


def _people_by_split(table: SampleTable) -> defaultdict[str, set[int]]:
    people: defaultdict[str, set[int]] = defaultdict(set)
    for split, pid in table.frame.select("split", "pid").unique().iter_rows():
        people[split].add(pid)
    return people


def _people(pids: Sequence[int]) -> str:
    return counted(pids, "person", "people")
