"""Systems over their seeds: who is ahead, and whether that can be told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crosslight.report.leaderboard import (
    leaderboard_figure,
    leaderboard_json,
    leaderboard_markdown,
)
from crosslight.report.standings import (
    Cost,
    Finished,
    Standings,
    Tried,
    as_tried,
    best_rate,
    standings_of,
)

ALL, INDOOR = "sysu-mm01/all/1", "sysu-mm01/indoor/1"
PEOPLE = 40
BOARD: dict[str, Any] = {
    "backbone": "resnet18-half",
    "weights": "promenade",
    "sha256": None,
    "images": 1000,
    "height": 128,
    "width": 64,
    "precision": "32-true",
    "rates": [],
    "try_share": 0.25,
    "set": [],
    "data": {"sysu-mm01": {}},
}


def _row(system: str, seed: int, score: float, **more: Any) -> Finished:
    """One in which everybody has the same score, but for a tenth that alternates."""
    people = [score + (0.1 if number % 2 else -0.1) for number in range(PEOPLE)]
    scores = {"rank1": score, "mAP": score / 2, "mINP": score / 4}
    values: dict[str, Any] = {
        "system": system,
        "data": "sysu-mm01",
        "seed": seed,
        "images": 1000,
        "scores": {p: {**scores, **{f"{name}_sd": 0.01 for name in scores}} for p in (ALL, INDOOR)},
        "chance": {p: {"rank1": 0.01, "mAP": 0.02, "mINP": 0.03} for p in (ALL, INDOOR)},
        "people": {
            p: {
                "queries": [2] * PEOPLE,
                "rank1": people,
                "mAP": [value / 2 for value in people],
            }
            for p in (ALL, INDOOR)
        },
        "cost": Cost(
            training_s=30,
            trained=500,
            embedding_s=1,
            embedded=200,
            parameters=3_000_000,
            embedding_parameters=2_500_000,
        ),
        "made": {"day": f"2026-11-2{seed}", "processor": "x86_64"},
    }
    return Finished(**{**values, **more})


def _standings(*rows: Finished, order: tuple[str, ...] = ("a", "b", "c")) -> Standings:
    return standings_of(rows, data="sysu-mm01", title="People", order=order)


def test_the_best_leads_and_each_is_compared_with_the_first() -> None:
    means = {"a": 0.3, "b": 0.5, "c": 0.305}
    rows = [_row(name, seed, means[name] + 0.01 * seed) for name in means for seed in (0, 1)]
    found = _standings(*rows, _row("start", 0, 0.2), _row("d", 0, 0.9, data="regdb"))
    assert [one.system for one in found.systems] == ["b", "c", "a"]
    assert found.first == "a"
    b, c, a = found.systems
    gap = found.gap(b, ALL, "rank1")
    assert gap is not None
    assert gap.people.mean == pytest.approx(0.2)
    assert gap.seeds_sd == pytest.approx(0.01 / 2**0.5)
    assert gap.told_apart
    near = found.gap(c, ALL, "rank1")
    assert near is not None
    assert near.people.told_apart, "every person is found a little better"
    assert not near.told_apart, "but seeds differ more"
    assert found.gap(a, ALL, "rank1") is None
    assert found.gap(b, ALL, "mINP") is None
    table = leaderboard_markdown(BOARD, [found], [])
    assert "| b | 0 1 | 50.5 ± 0.7 | 25.2 ± 0.4 | 12.6 ± 0.2 |" in table
    assert "`=`: rank-1 or mAP cannot be told from that of a." in table
    assert "| c | 0 1 | = 31.0 ± 0.7 | = 15.5 ± 0.4 | 7.8 ± 0.2 |" in table
    assert "| the start, untrained |  | 20.0 | 10.0 | 5.0 |" in table
    assert "| chance |  | 1.0 | 2.0 | 3.0 |" in table
    assert "| b | 1,000 | 60.0 | 5.0 | 3.00 | 2.50 | – | – |" in table
    assert "Rows of 2026-11-20 to 2026-11-21." in table
    told = leaderboard_json(BOARD, [found], [])["data"]["sysu-mm01"]["systems"][0]
    assert told["scores"][ALL]["rank1"]["trial_sd"] == pytest.approx(0.01)
    low, high = told["scores"][ALL]["rank1"]["interval"]
    # The deviation of people is 0.1; of their mean 0.1 / sqrt(40).
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / PEOPLE**0.5, rel=0.15)


def test_with_one_seed_only_people_decide() -> None:
    found = _standings(_row("a", 0, 0.3), _row("b", 0, 0.305))
    gap = found.gap(found.systems[0], ALL, "mAP")
    assert gap is not None
    assert gap.seeds_sd is None
    assert gap.told_apart


def test_people_who_differ_more_than_systems_leave_them_together() -> None:
    swapped = _row("b", 0, 0.31)
    mixed = {**swapped.people[ALL], "rank1": swapped.people[ALL]["rank1"][::-1]}
    found = _standings(_row("a", 0, 0.3), _row("b", 0, 0.31, people={ALL: mixed}))
    gap = found.gap(found.systems[0], ALL, "rank1")
    assert gap is not None
    assert gap.people.low < 0 < gap.people.high
    assert not gap.told_apart


def test_what_differs_between_rows_is_said() -> None:
    noisy = _standings(_row("a", 0, 0.3), _row("b", 0, 0.4, from_noise=True))
    assert "Without a network that could, b begins from noise." in leaderboard_markdown(
        BOARD, [noisy], []
    )
    alike = [_standings(_row("a", 0, 0.3), _row("b", 0, 0.4))]
    table = leaderboard_markdown(BOARD, alike, [])
    assert "noise" not in table
    assert "The budgets differ" not in table
    assert "processors" not in table.replace("CPU", "")
    other = _row("b", 0, 0.4, images=1100, made={"day": "2026-11-21", "processor": "aarch64"})
    table = leaderboard_markdown(BOARD, [_standings(_row("a", 0, 0.3), other)], [])
    assert "The budgets differ, from 1,000 to 1,100 images seen" in table
    assert "several kinds of processors" in table


def test_the_chosen_rate_is_marked() -> None:
    def tried(factor: float, score: float | None) -> Tried:
        fault = None if score else "lost"
        return Tried(system="a", data="sysu-mm01", seed=0, lr_factor=factor, score=score,
                     fault=fault, protocol=ALL, people=24)  # fmt: skip

    found = [_standings(_row("a", 0, 0.3, lr_factor=2.0))]
    board = {**BOARD, "rates": [0.5, 1.0, 2.0], "weights": "none", "set": ["training.threads=1"]}
    table = leaderboard_markdown(board, found, [tried(0.5, 0.2), tried(1, None), tried(2, 0.25)])
    assert "| 20.0 | failed | **25.0** |" in table
    assert "a, learning rate x 1: lost" in table
    assert "bold: the row's own" in table
    assert "mAP (sysu-mm01/all/1) of 24 people who are neither trained on nor tested" in table
    assert "begins from a `resnet18-half` without weights" in table
    assert "Changed in all: `training.threads=1`." in table
    assert "each with 25% of the images; the mAP" in table
    all_seen = leaderboard_markdown({**board, "try_share": 1.0}, found, [])
    assert "each with all images; the mAP" in all_seen
    assert "| – | – | – |" in all_seen, "nothing was tried, nothing is marked"
    assert "Not yet" not in table
    older = _standings(_row("a", 0, 0.3, lr_factor=2.0), _row("b", 0, 0.4), _row("a", 1, 0.3))
    tries = [tried(factor, score) for factor, score in ((0.5, 0.2), (1.0, 0.1), (2.0, 0.25))]
    both = [*tries, *(replace(one, system="b", score=1 - (one.score or 0)) for one in tries)]
    named = "Not yet with a rate chosen so: {} on People."
    for told, names in ((tries, "all"), (both, "a"), (both[:-1], "all")):
        assert named.format(names) in leaderboard_markdown(board, [older], told)


def test_each_data_set_names_the_people_who_chose() -> None:
    def tried(data: str, protocol: str, people: int) -> Tried:
        return Tried(system="a", data=data, seed=0, lr_factor=1.0, score=0.2,
                     protocol=protocol, people=people)  # fmt: skip

    tries = [tried("regdb", "regdb/visible-to-thermal", 12), tried("sysu-mm01", ALL, 24)]
    table = leaderboard_markdown({**BOARD, "rates": [1.0]}, [_standings(_row("a", 0, 0.3))], tries)
    assert f"the mAP (regdb/visible-to-thermal) of 12 or ({ALL}) of 24 people who" in table


def test_of_equal_rates_the_nearest_to_the_recipe_is_the_best() -> None:
    tries = [
        Tried(system="a", data="sysu-mm01", seed=0, lr_factor=factor, score=1.0)
        for factor in (3.0, 1 / 3, 1.0, 0.1)
    ]
    for order in (tries, tries[::-1]):
        assert best_rate(order) == 1.0
    lost = replace(tries[0], score=None, fault="It failed.")
    assert best_rate([lost]) is None
    assert best_rate([lost, tries[3]]) == 0.1


def test_what_the_table_shows_decides_not_the_gallery_of_the_first_trial() -> None:
    """There b is far behind; over all trials it is level."""
    first = _row("b", 0, 0.2).people
    rows = [_row("a", 0, 0.3), _row("a", 1, 0.31), _row("b", 0, 0.3, people=first)]
    rows.append(_row("b", 1, 0.31, people=first))
    found = _standings(*rows)
    standing = next(one for one in found.systems if one.system == "b")
    gap = found.gap(standing, ALL, "rank1")
    assert gap is not None
    assert gap.people.mean == pytest.approx(0.0)
    assert gap.people.low <= 0 <= gap.people.high
    assert not gap.told_apart
    interval = standing.interval(ALL, "rank1")
    assert interval is not None
    assert interval.mean == pytest.approx(0.305)
    assert interval.low < 0.305 < interval.high


def test_means_are_of_one_rate() -> None:
    rows = [_row("a", 0, 0.3), _row("a", 1, 0.4, lr_factor=3.0), _row("b", 0, 0.2)]

    def tried(factor: float, score: float) -> Tried:
        return Tried(system="a", data="sysu-mm01", seed=0, lr_factor=factor, score=score)

    one, three = tried(1, 0.4), tried(3, 0.5)
    assert as_tried(rows, [], []) == rows
    assert as_tried(rows, [three], [1, 3]) == rows, "not all were tried"
    assert as_tried(rows, [one, three], [1, 3]) == rows[1:]
    assert as_tried(rows[::2], [one, three], [1, 3]) == rows[::2], "better than none"
    lost = _row("a", 2, 0.0, fault="It failed.")
    assert as_tried([*rows, lost], [one, three], [1, 3]) == [*rows[1:], lost]


def test_the_picture_has_a_panel_for_each_data_set_even_before_any_system() -> None:
    lost = Finished(system="a", data="sysu-mm01", seed=0, fault="It failed.")
    assert _standings(lost, _row("b", 0, 0.5)).first == "b", "nothing to compare with"
    failed = Finished(system="c", data="sysu-mm01", seed=0, fault="It failed.")
    found = _standings(_row("a", 0, 0.3), _row("a", 1, 0.32), _row("b", 0, 0.5), failed)
    start = _row("start", 0, 0.2, data="regdb")
    other = standings_of([start], data="regdb", title="R", order=["a"])
    figure = leaderboard_figure([found, other])
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["b", "a"]
    assert left.get_ylim() == (1.5, -0.5)
    assert [text.get_text() for text in right.get_yticklabels()] == []
    assert "c, seed 0: It failed." in leaderboard_markdown(BOARD, [found], [])
    assert "| c | failed | – |" in leaderboard_markdown(BOARD, [found], [])
