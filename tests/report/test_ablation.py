from __future__ import annotations

from typing import Any

import pytest

from crosslight.report.ablation import (
    Finished,
    ablation_figure,
    ablation_json,
    ablation_markdown,
    as_rows,
    percent,
    shown_names,
)


def _finished(variant: str, seed: int, rank1: float, **overrides: Any) -> Finished:
    scores = {"rank1": rank1, "mAP": rank1 / 2, "mINP": rank1 / 4}
    values: dict[str, Any] = {
        "variant": variant,
        "recipe": "r",
        "switches": (),
        "seed": seed,
        "images": 1000,
        "iterations": 10,
        "seconds": 12.4,
        "scores": {"sysu-mm01/all/1": scores},
        "chance": {"sysu-mm01/all/1": {"rank1": 0.01, "mAP": 0.02, "mINP": 0.03}},
        "config": {},
        "data": "x",
    }
    return Finished(**{**values, **overrides})


def test_mean_and_deviation_over_seeds_in_the_given_order() -> None:
    trainings = [_finished("b", 1, 0.4), _finished("a", 0, 0.1), _finished("b", 0, 0.2)]
    rows = as_rows([*trainings, _finished("other", 0, 0.3)], ["b", "a"])
    assert [row.variant for row in rows] == ["b", "a", "other"]
    lines = ablation_markdown(rows, title="t").splitlines()
    assert lines[2].startswith("| variant | seeds | images seen | seconds | all/1 rank-1 |")
    assert lines[4] == "| b | 0 1 | 1,000 | 12 | 30.0 ± 14.1 | 15.0 ± 7.1 | 7.5 ± 3.5 |"
    assert lines[5] == "| a | 0 | 1,000 | 12 | 10.0 | 5.0 | 2.5 |"
    assert lines[7] == "| chance |  |  |  | 1.0 | 2.0 | 3.0 |"
    found = ablation_json(rows)["b"]["scores"]["sysu-mm01/all/1"]["rank1"]
    assert found["mean"] == pytest.approx(0.3)
    assert found["sd"] == pytest.approx(0.02**0.5)
    assert ablation_json(rows)["a"]["scores"]["sysu-mm01/all/1"]["mAP"]["sd"] is None


def test_unequal_budgets_and_people_are_told() -> None:
    equal = [_finished("a", 0, 0.1), _finished("b", 0, 0.1, images=1010)]
    assert "budgets differ" not in ablation_markdown(as_rows(equal, []), title="t")
    unequal = [*equal, _finished("c", 0, 0.1, images=2000, data="y")]
    said = ablation_markdown(as_rows(unequal, []), title="t")
    assert "The budgets differ: from 1,000 to 2,000 images" in said
    assert "not all trained on the same people" in said


def test_a_variant_without_a_protocol_has_a_dash() -> None:
    assert percent([]) == "–"
    rows = as_rows([_finished("a", 0, 0.1), _finished("b", 0, 0.1, scores={})], [])
    assert "| b | 0 | 1,000 | 12 | – | – | – |" in ablation_markdown(rows, title="t")
    assert ablation_figure(rows).axes


def test_the_figure_shows_every_variant_and_its_deviation() -> None:
    rows = as_rows([_finished(v, s, 0.1 * s + 0.1) for v in "abc" for s in (0, 1)], [])
    (axes,) = ablation_figure(rows).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b", "c"]
    assert len(axes.containers) == 6  # whiskers of two scores for three variants


def test_a_row_that_adds_to_the_one_before_it_shows_what_it_adds() -> None:
    def names(*variants: str) -> list[str]:
        return shown_names(as_rows([_finished(v, 0, 0.1) for v in variants], variants))

    assert names("r", "r+a", "r+a+b", "other") == ["r", "+ a", "+ b", "other"]
    assert names("r", "r+a", "r+b") == ["r", "r+a", "r+b"]
    assert names("r", "r+a") == ["r", "r+a"]
