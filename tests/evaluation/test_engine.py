from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosslight.errors import ProtocolError
from crosslight.evaluation.ranking import (
    Labels,
    Ranks,
    Trial,
    counting,
    given_features,
    rank_distances,
    rank_features,
)
from crosslight.evaluation.ranking.arithmetic import exact_dot, quick_dot
from crosslight.evaluation.ranking.bounds import QUICK_LANES, float32_width, quick_width
from crosslight.evaluation.ranking.effort import Effort
from crosslight.evaluation.ranking.exclusion import (
    NO_EXCLUSION,
    SAME_PERSON_SAME_CAMERA,
    SYSU_SAME_PLACE,
    Exclusion,
)
from crosslight.evaluation.ranking.given_distances import read_columns
from crosslight.evaluation.ranking.products import multiply, multiply_parts
from tests.oracles import exact, ranking

RULES = {
    "none": (NO_EXCLUSION, ranking.nothing),
    "same camera": (SAME_PERSON_SAME_CAMERA, ranking.same_person_same_camera),
    "same room": (SYSU_SAME_PLACE, ranking.sysu_room),
}
KINDS = ("cosine", "euclidean", "dot")


def same(a: list[Ranks], b: list[Ranks]) -> None:
    for one, other in zip(a, b, strict=True):
        for name in ("starts", "ranks", "identity_rank", "seen", "top", "top_distance",
                     "first", "first_distance"):  # fmt: skip
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Features of few values or of many, of any size, with people, cameras and drawings."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, entries = draw(st.integers(1, 12)), draw(st.integers(1, 60))
    dimensions = draw(st.integers(1, 70))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    size = 1.0 if dtype == np.float16 else draw(st.sampled_from([1.0, 1e-15, 1e15]))
    coarse = draw(st.booleans())

    def rows(count: int) -> np.ndarray:
        if coarse:
            values = generator.integers(-1, 2, (count, dimensions)).astype(float)
        else:
            values = generator.normal(size=(count, dimensions))
            # Copies and near copies: ties, and differences below the bounds.
            values[generator.random(count) < 0.3] = values[0]
            values += (
                1e-6 * generator.normal(size=(count, 1)) * (generator.random((count, 1)) < 0.2)
            )
        return (values * size).astype(dtype)

    def labels(count: int) -> Labels:
        people = draw(st.sampled_from([1, 3, 6]))
        return Labels(
            pids=generator.integers(0, people, count), cams=generator.integers(1, 4, count)
        )

    trials = [
        Trial(
            queries=generator.permutation(queries)[: generator.integers(1, queries + 1)],
            gallery=generator.permutation(entries)[: generator.integers(1, entries + 1)],
        )
        for _ in range(draw(st.integers(1, 3)))
    ]
    return {
        "query_feats": rows(queries),
        "query": labels(queries),
        "gallery_feats": rows(entries),
        "gallery": labels(entries),
        "trials": trials,
    }


def run(case: dict[str, Any], **options: Any) -> list[Ranks]:
    return rank_features(**case, **options)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(case=tables(), rule=st.sampled_from(sorted(RULES)), block=st.sampled_from([None, 1, 5]))
def test_ranks_are_those_of_the_documented_arithmetic(
    kind: str, case: dict[str, Any], rule: str, block: int | None
) -> None:
    exclusion, hides = RULES[rule]
    results = run(case, exclusion=exclusion, distance=kind, top=4, effort=Effort(block=block))
    queries, rows = case["query_feats"].tolist(), case["gallery_feats"].tolist()
    query, gallery = case["query"], case["gallery"]
    for trial, ranks in zip(case["trials"], results, strict=True):
        for i, q in enumerate(trial.queries.tolist()):
            person = ranking.Row((), int(query.pids[q]), int(query.cams[q]))

            def hidden(j: int, person: ranking.Row = person) -> bool:
                return hides(person, ranking.Row((), gallery.pids[j], gallery.cams[j]))

            order = exact.ranking(queries[q], rows, trial.gallery.tolist(), hidden, kind)
            right = [n for n, j in enumerate(order, 1) if gallery.pids[j] == person.pid]
            assert ranks.ranks[ranks.starts[i] : ranks.starts[i + 1]].tolist() == right
            assert ranks.seen[i] == len(order)
            before = order[: right[0] - 1] if right else []
            people = len({int(gallery.pids[j]) for j in before}) + 1 if right else 0
            assert ranks.identity_rank[i] == people
            if trial is case["trials"][0]:
                top = [trial.gallery[n] for n in ranks.top[i].tolist() if n >= 0]
                assert top == order[:4]
                nearest = trial.gallery[ranks.first[i]] if right else -1
                assert nearest == (order[right[0] - 1] if right else -1)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are multiplied in parts of 4 numbers from the second tile on, whatever that costs."""
    monkeypatch.setattr(given_features, "_PART", 4)
    monkeypatch.setattr(given_features, "_MUCH_REDONE", -1.0)


@pytest.mark.usefixtures("in_parts")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=tables(), kind=st.sampled_from(KINDS), rule=st.sampled_from(sorted(RULES)))
def test_products_in_parts_change_no_rank(case: dict[str, Any], kind: str, rule: str) -> None:
    options = {"exclusion": RULES[rule][0], "distance": kind, "top": 3}
    whole = run(case, effort=Effort(), **options)  # one tile, never in parts
    same(run(case, effort=Effort(block=1), **options), whole)


@pytest.mark.parametrize("positives", [1, 3, 40, 400])
@pytest.mark.parametrize("spread", [0.0, 1e-7, 1.0])
def test_positives_anywhere_in_the_list_are_ranked_as_a_sort_ranks_them(
    positives: int, spread: float
) -> None:
    # One far positive, many near ones, and others as near as these to the last bit.
    generator = np.random.default_rng(positives)
    dist = (3.0 + spread * generator.normal(size=(4, 1000))).astype(np.float32)
    dist[:, 0] = 1e6
    dist[:, 5:50] = dist[:, 50:51]
    pids = np.full(1000, 2)
    pids[generator.permutation(1000)[: positives - 1]] = 1
    pids[0] = 1
    query, gallery = (
        Labels(pids=np.ones(4, int), cams=np.zeros(4, int)),
        Labels(pids=pids, cams=np.zeros(1000, int)),
    )
    (ranks,) = rank_distances(dist, query, gallery, exclusion=NO_EXCLUSION, cmc="image")
    for i in range(4):
        order = np.argsort(dist[i], kind="stable")
        expected = np.flatnonzero(pids[order] == 1) + 1
        assert ranks.ranks[ranks.starts[i] : ranks.starts[i + 1]].tolist() == expected.tolist()


@pytest.mark.usefixtures("in_parts")
def test_many_blocks_and_parts_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(8)
    centres = generator.normal(size=(40, 33))
    query, gallery = (
        Labels(pids=generator.integers(0, 40, n), cams=generator.integers(1, 4, n))
        for n in (50, 700)
    )
    case = {
        "query_feats": centres[query.pids] + generator.normal(size=(50, 33)),
        "query": query,
        "gallery_feats": (centres[gallery.pids] + generator.normal(size=(700, 33))).astype("f4"),
        "gallery": gallery,
        "trials": [
            Trial(queries=np.arange(50), gallery=generator.permutation(700)[:n]) for n in (700, 300)
        ],
    }
    options = {"exclusion": SAME_PERSON_SAME_CAMERA, "top": 30}
    whole = run(case, effort=Effort(), **options)
    monkeypatch.setattr(given_features, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(given_features, "_QUERY_BYTES", 33 * 10 * 7)
    same(run(case, effort=Effort(block=3), **options), whole)
    order = generator.permutation(700)
    back = np.argsort(order)
    moved = {
        **case,
        "gallery_feats": case["gallery_feats"][order],
        "gallery": Labels(pids=gallery.pids[order], cams=gallery.cams[order]),
        "trials": [Trial(queries=t.queries, gallery=back[t.gallery]) for t in case["trials"]],
    }
    same(run(moved, effort=Effort(block=3), **options), whole)


def assert_ranked(
    case: dict[str, Any], results: list[Ranks], near: np.ndarray, kind: str, top: int
) -> None:
    """Holds ranks against stable sorts of exact nearness `(Q, G)`, without a camera rule."""
    pids = case["gallery"].pids
    for number, (trial, ranks) in enumerate(zip(case["trials"], results, strict=True)):
        for i, q in enumerate(trial.queries.tolist()):
            person = case["query"].pids[q]
            order = trial.gallery[np.argsort(-near[q, trial.gallery], kind="stable")]
            right = np.flatnonzero(pids[order] == person) + 1
            what = f"{kind}, trial {number}, query {q}"
            found = ranks.ranks[ranks.starts[i] : ranks.starts[i + 1]]
            assert found.tolist() == right.tolist(), what
            if len(right):
                others = np.unique(pids[order[: right[0] - 1]])
                assert ranks.identity_rank[i] == len(others) + 1, what
            if number == 0:
                assert [trial.gallery[n] for n in ranks.top[i]] == order[:top].tolist(), what
                nearest = order[right[0] - 1] if len(right) else -1
                assert (trial.gallery[ranks.first[i]] if len(right) else ranks.first[i]) == nearest


@pytest.mark.parametrize("kind", [*KINDS, "given"])
def test_many_galleries_many_blocks_and_ties_are_ranked_as_sorts_rank_them(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More galleries than a word has bits; the first holds a part of the rows, in no order, with
    # images of the first query's person, as near as can be, at its very beginning and end. Rows are
    # copies of a few, and copies that are apart by less than float32 or a first product tells.
    generator = np.random.default_rng(6)
    query, gallery = (
        Labels(pids=generator.integers(0, 6, n), cams=np.zeros(n, int)) for n in (3, 330)
    )
    few = generator.integers(-2, 3, (9, 40)) * 16.0
    apart = 10.0 ** generator.uniform(-9, -5, (330, 1)) * (generator.random((330, 1)) < 0.7)
    queries, rows = few[:3], generator.permutation(few)[generator.integers(0, 9, 330)]
    rows = rows * (1 + apart * generator.normal(size=(330, 40)))
    own = np.flatnonzero(gallery.pids == query.pids[0])[[0, -1]]
    rows[own] = 9 * queries[0] if kind == "dot" else queries[0]
    galleries = [generator.permutation(330)[: 200 - 5 * n] for n in range(19)]
    rest = np.setdiff1d(galleries[0], own)
    galleries[0] = np.concatenate([own[:1], generator.permutation(rest), own[1:]])
    case = {
        "query": query,
        "gallery": gallery,
        "trials": [Trial(queries=np.arange(3), gallery=rows) for rows in galleries],
    }
    options: dict[str, Any] = {"exclusion": NO_EXCLUSION, "top": 30}
    if kind == "given":
        near = -generator.integers(0, 9, (3, 330)) * (1 + apart.T)
        results = rank_distances(-near, **case, **options, effort=Effort(block=2))
    else:
        near = np.array([[exact.nearness(q, r, kind) for r in rows] for q in queries.tolist()])
        monkeypatch.setattr(given_features, "_BLOCK_BYTES", 4 * 40 * 100)
        features = {"query_feats": queries, "gallery_feats": rows, "distance": kind}
        results = rank_features(**case, **features, **options, effort=Effort(block=2))
    assert_ranked(case, results, near, kind, 30)


def test_one_machine_code_serves_mixed_numbers_and_every_camera_rule() -> None:
    generator = np.random.default_rng(9)
    narrow = generator.normal(size=(12, 5)).astype(np.float32)
    wide = narrow.astype(np.float64)
    people = Labels(pids=np.arange(12) % 3, cams=np.arange(12) % 4)
    trials = [Trial(queries=np.arange(12), gallery=np.arange(12))]
    several = Exclusion(text="", skipped=((0, 1), (1, 2), (2, 3)))

    def ranked(query_feats: np.ndarray, gallery_feats: np.ndarray, rule: Exclusion) -> list[Ranks]:
        return rank_features(
            query_feats, people, gallery_feats, people, trials, exclusion=rule, top=3
        )

    ranked(wide, wide, NO_EXCLUSION)
    compiled = set(counting.count_tile.signatures)
    expected = ranked(wide, wide, several)
    same(ranked(wide, narrow, several), expected)
    same(ranked(narrow, wide, several), expected)
    assert set(counting.count_tile.signatures) == compiled
    # A number that is written out is a type of its own.
    given = [kind for types in counting._settle.signatures for kind in types]
    assert not any("Literal" in str(kind) for kind in given)


def test_all_columns_in_order_are_not_copied() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    assert read_columns(rows, np.arange(3)) is rows
    for columns in ([0, 2, 1], [0, 1]):
        assert read_columns(rows, np.array(columns)).tolist() == rows[:, columns].tolist()


def test_a_row_may_stand_in_a_gallery_more_than_once() -> None:
    generator = np.random.default_rng(2)
    feats = generator.normal(size=(6, 4))
    labels = Labels(pids=np.array([1, 2, 1, 3, 2, 1]), cams=np.zeros(6, int))
    rows = np.array([4, 0, 2, 4, 0, 3, 2, 0])
    twice = [Trial(queries=np.array([0, 1, 0]), gallery=rows)]
    options = {"exclusion": NO_EXCLUSION, "top": 6}
    (a,) = rank_features(feats, labels, feats, labels, twice, **options)
    copied = Labels(pids=labels.pids[rows], cams=labels.cams[rows])
    once = [Trial(queries=np.array([0, 1, 0]), gallery=np.arange(8))]
    (b,) = rank_features(feats, labels, feats[rows], copied, once, **options)
    same([a], [b])


def test_people_are_not_counted_when_images_are_asked_for() -> None:
    feats = np.eye(3)
    labels = Labels(pids=np.array([1, 1, 2]), cams=np.zeros(3, int))
    trial = Trial(queries=np.arange(3), gallery=np.arange(3))
    (ranks,) = rank_features(
        feats, labels, feats, labels, [trial], exclusion=NO_EXCLUSION, cmc="image"
    )
    assert ranks.identity_rank.tolist() == [0, 0, 0]
    assert ranks.path == "fp32+float64"


def test_the_exact_product_has_the_documented_order() -> None:
    generator = np.random.default_rng(0)
    for n in (1, 31, 32, 33, 64, 100):
        a, b = generator.normal(size=(2, n))
        assert exact_dot(a, b, np.empty(32)) == exact.dot(a.tolist(), b.tolist())


@pytest.mark.parametrize("dimensions", [1, 7, 64, 700])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_the_sure_bounds_hold(dimensions: int, spread: float) -> None:
    generator = np.random.default_rng(dimensions)
    rows = generator.normal(size=(60, dimensions)) * np.exp(
        spread * generator.normal(size=(60, dimensions))
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    quick = rows.astype(np.float32)
    truth = rows @ rows.T
    lengths = np.ones(60)
    width = float32_width(dimensions, lengths, 1.0, 0.0)
    assert np.all(np.abs(quick @ quick.T - truth) <= width[:, None])
    if dimensions >= 4:
        parts = np.empty((4, 60, 60), np.float32)
        multiply_parts(quick, quick, parts, work=0.0)
        width = float32_width(dimensions, lengths, 1.0, 0.0, parts=4)
        total = ((parts[0] + parts[1]) + parts[2]) + parts[3]
        assert np.all(np.abs(total - truth) <= width[:, None])
    sums = np.empty(QUICK_LANES, np.float32)
    found = np.array([[quick_dot(a, b, sums) for b in quick] for a in quick])
    assert np.all(np.abs(found - truth) <= quick_width(dimensions, lengths, 1.0, 0.0)[:, None])


def test_the_sure_bounds_grow_with_the_rows_and_are_not_wider_than_they_must() -> None:
    unit, lengths = 2.0**-24, np.array([0.5, 1.0])
    for dimensions, parts, additions in ((2048, 1, 2048), (2048, 8, 256 + 7), (100, 3, 34 + 2)):
        width = float32_width(dimensions, lengths, 1.0, 0.0, parts=parts)
        # Beside the additions, the roundings of a row, of the product and of the comparison.
        assert np.all(width >= additions * unit * lengths)
        assert np.all(width <= 1.02 * (additions + 10) * unit * lengths)
        np.testing.assert_allclose(
            float32_width(dimensions, 3 * lengths, 7.0, 0.0, parts=parts), 21 * width, rtol=1e-6
        )
        assert np.all(float32_width(dimensions, lengths, 1.0, 2.0, parts=parts) > width)


@pytest.mark.parametrize("work", [0.0, 1e12], ids=["numpy", "torch"])
@pytest.mark.parametrize("parts", [1, 3, 7])
def test_every_product_multiplies(work: float, parts: int) -> None:
    numbers = np.random.default_rng(1).integers(-8, 9, (40, 65)).astype(np.float32)
    out = np.empty((parts, 8, 32), np.float32)
    multiply_parts(numbers[:8], numbers[8:], out, work=work)
    np.testing.assert_array_equal(out.sum(axis=0), numbers[:8] @ numbers[8:].T)


def test_torch_is_not_used_for_float32_where_it_may_use_fewer_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = []
    product = torch.mm
    monkeypatch.setattr(torch, "mm", lambda *a, **k: used.append(1) or product(*a, **k))
    rows, out = np.ones((2, 3), np.float32), np.empty((2, 2), np.float32)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        multiply(rows, rows, out, work=1e12)
        assert (out.tolist(), used) == ([[3.0, 3.0], [3.0, 3.0]], [])
    finally:
        torch.set_float32_matmul_precision(before)
    multiply(rows, rows, out, work=1e12)
    assert used == [1]


def test_mistakes_are_explained() -> None:
    feats, labels = np.full((1, 2), 1e200), Labels(pids=np.array([1]), cams=np.array([1]))
    trial = Trial(queries=np.array([0]), gallery=np.array([0]))
    with pytest.raises(ProtocolError, match=r"feats\[0\] holds a value as large as 1.0e\+200"):
        rank_features(feats, labels, feats, labels, [trial], exclusion=NO_EXCLUSION)
