import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosslight.data.table import SampleTable, build_table
from crosslight.evaluation.protocols.scores import PerQuery
from crosslight.report.ranked_lists import (
    Answer,
    choose_queries,
    place_of,
    ranked_lists,
    ranked_sheet,
    thumbnail,
)


def _choose(average_precision: list[float], pids: list[int], size: int = 2) -> dict[str, list[int]]:
    return choose_queries(
        np.array(average_precision), np.array(pids), best=size, middle=size, worst=size
    )


def test_groups_are_the_best_the_median_and_the_worst() -> None:
    groups = _choose([0.1, 0.9, 0.5, 0.2, 0.8, 0.6], [1, 2, 3, 4, 5, 6])
    assert groups == {"best": [1, 4], "middle": [5, 2], "worst": [0, 3]}


def test_each_group_prefers_different_people() -> None:
    groups = _choose([1.0, 0.99, 0.98, 0.5, 0.4, 0.3, 0.2], [1, 1, 2, 3, 4, 5, 5])
    assert groups["best"] == [0, 2]
    assert groups["worst"] == [6, 4]


def test_queries_that_were_not_scored_are_never_shown() -> None:
    groups = _choose([np.nan, 0.5, np.nan, 0.7, 0.6], [1, 2, 3, 4, 5], size=4)
    assert sorted(q for group in groups.values() for q in group) == [1, 3, 4]


@pytest.mark.parametrize(("queries", "best", "middle", "worst"), [(1, 1, 0, 0), (2, 1, 0, 1)])
def test_few_queries_are_shown_once(queries: int, best: int, middle: int, worst: int) -> None:
    groups = _choose([0.5] * queries, [7] * queries)
    assert [len(groups[name]) for name in ("best", "middle", "worst")] == [best, middle, worst]


def _table(tmp_path: Path) -> SampleTable:
    return build_table(
        "table",
        tmp_path,
        {
            "path": [f"{i}.jpg" for i in range(5)],
            "pid": [1, 1, 2, 2, 1],
            "cam": [3, 1, 1, -1, 2],
            "modality": ["infrared", "visible", "visible", "visible", "visible"],
        },
    )


def _per_query() -> PerQuery:
    return PerQuery(
        query_rows=np.array([0]),
        valid=np.array([True]),
        average_precision=np.array([0.75]),
        first_rank=np.array([1]),
        first_row=np.array([1]),
        first_distance=np.array([0.1]),
        gallery_rows=np.array([[1, 3, 4, -1]]),
        distances=np.array([[0.1, 0.2, 0.3, np.nan]]),
        correct=np.array([[True, False, True, False]]),
    )


def test_a_known_case_is_told_right_from_wrong(tmp_path: Path) -> None:
    table = _table(tmp_path)
    (ranked,) = ranked_lists(_per_query(), table.pids)
    assert (ranked.group, ranked.row, ranked.average_precision) == ("best", 0, 0.75)
    assert [(a.row, a.right, a.distance) for a in ranked.answers] == [
        (1, True, 0.1),
        (3, False, 0.2),
        (4, True, 0.3),
    ]


def test_the_first_positive_is_named_where_the_answers_hold_none(tmp_path: Path) -> None:
    table = _table(tmp_path)
    (hit,) = ranked_lists(_per_query(), table.pids)
    assert hit.first is None, "it is among the answers"
    missed = dataclasses.replace(
        _per_query(),
        correct=np.zeros((1, 4), dtype=bool),
        first_rank=np.array([57]),
        first_row=np.array([4]),
        first_distance=np.array([0.9]),
    )
    (ranked,) = ranked_lists(missed, table.pids)
    assert ranked.first == Answer(row=4, right=True, distance=0.9)
    columns = [ranked_sheet([one], table).width for one in (hit, ranked)]
    assert columns[1] - columns[0] >= 2 * 64, "a gap with the rank, and the picture"


def test_places_name_what_is_known(tmp_path: Path) -> None:
    table = _table(tmp_path)
    assert place_of(table, 0) == "cam 3, infrared"
    assert place_of(table, 3) == "visible"


def test_missing_images_become_placeholders(tmp_path: Path) -> None:
    table = _table(tmp_path)
    (tmp_path / "0.jpg").write_bytes(b"not a picture")
    picture = thumbnail(table, 0, "broken")
    assert (picture.width, picture.height) == (72, 144)
    sheet = ranked_sheet(ranked_lists(_per_query(), table.pids), table)
    assert sheet.width > 4 * 64
    assert sheet.height > 128


def test_deep_images_are_shown_in_their_range(tmp_path: Path) -> None:
    table = _table(tmp_path)
    deep = np.linspace(2900, 3200, 40 * 20).reshape(40, 20).astype(np.uint16)
    for path in table.paths:
        Image.fromarray(deep).save(path, format="PNG")
    lists = ranked_lists(_per_query(), table.pids)
    dark, bright = (
        np.asarray(ranked_sheet(lists, shown))[60:150, 10:60]
        for shown in (table, table.with_range((2900, 3200)))
    )
    assert dark.max() < 60
    assert bright.min() < 60
    assert bright.max() > 200
