from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslight.errors import ConfigError, ProtocolError
from crosslight.evaluation import effort as effort_module
from crosslight.evaluation import engine
from crosslight.evaluation.arithmetic import exact_dot
from crosslight.evaluation.bounds import check_bound, float32_width, rounded_width
from crosslight.evaluation.effort import Chooser, Effort, Threads
from crosslight.evaluation.exclusion import (
    NO_EXCLUSION,
    SAME_PERSON_SAME_CAMERA,
    SYSU_SAME_PLACE,
)
from crosslight.evaluation.products import NUMPY, Product, Rows, all_products, fastest_products
from crosslight.evaluation.ranking import Labels, Ranks, Trial, rank_features
from crosslight.evaluation.sides import Side
from tests.incapable import IncapableError
from tests.oracles import exact, ranking

RULES = {
    "none": (NO_EXCLUSION, ranking.nothing),
    "same camera": (SAME_PERSON_SAME_CAMERA, ranking.same_person_same_camera),
    "same room": (SYSU_SAME_PLACE, ranking.sysu_room),
}
KINDS = ("cosine", "euclidean", "dot")
EFFORTS = [
    Effort(screening="off"),
    *(
        Effort(screening=precision, bound=bound)  # type: ignore[arg-type]
        for precision in ("bf16", "int8", "int8x2")
        for bound in ("sure", "statistical")
    ),
]


def same(a: list[Ranks], b: list[Ranks]) -> None:
    for one, other in zip(a, b, strict=True):
        for name in ("starts", "ranks", "identity_rank", "seen", "top", "top_distance"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def can(effort: Effort) -> bool:
    return effort.screening == "off" or effort.screening in fastest_products()


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


@pytest.mark.parametrize("effort", EFFORTS, ids=lambda e: f"{e.screening} {e.bound}")
@settings(max_examples=100)
@given(case=tables(), kind=st.sampled_from(KINDS), rule=st.sampled_from(sorted(RULES)))
def test_no_precision_changes_a_rank(
    effort: Effort, case: dict[str, Any], kind: str, rule: str
) -> None:
    if not can(effort):
        raise IncapableError(f"this processor, or torch, cannot multiply in {effort.screening}")
    options = {"exclusion": RULES[rule][0], "distance": kind, "top": 3}
    same(run(case, effort=effort, **options), run(case, effort=Effort(block=2), **options))


@pytest.mark.parametrize("effort", EFFORTS, ids=lambda e: f"{e.screening} {e.bound}")
def test_many_blocks_and_parts_are_one(effort: Effort, monkeypatch: pytest.MonkeyPatch) -> None:
    if not can(effort):
        raise IncapableError(f"this processor, or torch, cannot multiply in {effort.screening}")
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
    whole = run(case, effort=Effort(screening="off"), **options)
    monkeypatch.setattr(engine, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(engine, "_QUERY_BYTES", 33 * 10 * 7)
    same(run(case, effort=effort, **options), whole)
    order = generator.permutation(700)
    back = np.argsort(order)
    moved = {
        **case,
        "gallery_feats": case["gallery_feats"][order],
        "gallery": Labels(pids=gallery.pids[order], cams=gallery.cams[order]),
        "trials": [Trial(queries=t.queries, gallery=back[t.gallery]) for t in case["trials"]],
    }
    same(run(moved, effort=effort, **options), whole)


def test_a_row_may_stand_in_a_gallery_more_than_once() -> None:
    generator = np.random.default_rng(2)
    feats = generator.normal(size=(6, 4))
    labels = Labels(pids=np.array([1, 2, 1, 3, 2, 1]), cams=np.zeros(6, int))
    rows = np.array([4, 2, 4, 0, 3, 2])
    twice = [Trial(queries=np.array([0, 1, 0]), gallery=rows)]
    options = {"exclusion": NO_EXCLUSION, "top": 6}
    (a,) = rank_features(feats, labels, feats, labels, twice, **options)
    copied = Labels(pids=labels.pids[rows], cams=labels.cams[rows])
    once = [Trial(queries=np.array([0, 1, 0]), gallery=np.arange(6))]
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
    side = Side(quick=quick, length=lengths)
    loosest = {"bf16": 0.02, "int8": 0.1, "int8x2": 0.003}
    for precision, most in loosest.items():
        with Threads() as threads:
            rows_of, form = side.rounded(precision, threads)  # type: ignore[arg-type]
        numbers, missing = rows_of.numbers, 0.0
        if rows_of.steps is None:
            decoded = (numbers.astype(np.uint32) << 16).view(np.float32).astype(float)
        else:
            digits = numbers * rows_of.steps[:, None].astype(float)
            decoded = digits[:, :dimensions]
            if precision == "int8x2":
                low = digits[:, dimensions:] / 254
                decoded, missing = decoded + low, low @ low.T
        width = rounded_width(dimensions, form, form, 0.0, "sure", bfloat16_result=False)
        assert np.all(np.abs(decoded @ decoded.T - missing - truth) <= width[:, None])
        assert width.max() < most


@pytest.mark.parametrize(
    "product", [NUMPY, *all_products()], ids=lambda p: f"{p.name} {p.precision}"
)
def test_every_product_multiplies(product: Product) -> None:
    generator = np.random.default_rng(1)
    codes = generator.integers(-8, 9, (40, 64))
    numbers: np.ndarray = codes.astype(np.float32)
    if product.precision == "bf16":
        numbers = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    elif product.precision == "int8":
        numbers = codes.astype(np.int8)
    elif product.precision == "int8x2":
        # The same numbers with a low digit of 127, which is half a step.
        numbers = np.concatenate([codes, np.full_like(codes, 127)], axis=1).astype(np.int8)
    in_steps = product.precision.startswith("int8")
    rows = Rows(numbers=numbers, steps=np.full(40, 0.5, np.float32) if in_steps else None)
    try:
        packed = product.pack(rows.part(8, 40))
        values = product.multiply(rows.part(0, 8), packed, np.empty((8, 32), np.float32))
    except (RuntimeError, AttributeError, NotImplementedError):
        raise IncapableError(
            f"{product.name} cannot multiply in {product.precision} here"
        ) from None
    if product.precision == "int8x2":
        codes = codes + 0.5  # type: ignore[assignment]
    expected = codes[:8] @ codes[8:].T * (0.25 if rows.steps is not None else 1.0)
    if product.precision == "int8x2":
        expected -= 0.25 * 64 * 0.25  # the product of the low digits is left out
    np.testing.assert_allclose(values, expected, rtol=2**-8, atol=1e-3)


def test_torch_is_not_used_for_float32_where_it_may_use_fewer_bits() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert [p.name for p in all_products() if p.precision == "fp32"] == ["numpy"]
    finally:
        torch.set_float32_matmul_precision(before)
    assert "numpy" not in [product.name for product in all_products()]


def test_a_product_that_does_not_pay_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def priced(precision: Any, seconds: float) -> Product:
        return Product(
            name="x", precision=precision, pack=NUMPY.pack, multiply=NUMPY.multiply, seconds=seconds
        )

    known = {"fp32": priced("fp32", 1.0), "bf16": priced("bf16", 0.2), "int8": priced("int8", 0.1)}
    monkeypatch.setattr(effort_module, "fastest_products", lambda: known)
    chooser = Chooser(Effort(), work=1e12, answers=5.0)
    assert chooser.product().precision == "bf16"
    chooser.learn(known["bf16"], multiplications=1e9, cpu_seconds=0.9)
    assert chooser.product().precision == "bf16"
    chooser.learn(known["bf16"], multiplications=1e9, cpu_seconds=1.3)
    chooser.learn(known["int8"], multiplications=1e9, cpu_seconds=1.3)
    assert chooser.product().precision == "fp32"
    chooser.learn(known["fp32"], multiplications=1e9, cpu_seconds=9.0)
    assert chooser.product().precision == "fp32"
    assert chooser.path == "bf16+float64, then fp32+float64"
    few = Chooser(Effort(bound="statistical"), work=1e12, answers=5.0)
    assert few.product().precision == "int8"
    assert few.path == "int8 (7 sigma)+float64"
    assert Chooser(Effort(), work=1e6, answers=5.0).product() is NUMPY
    monkeypatch.setattr(effort_module, "fastest_products", lambda: {"fp32": known["fp32"]})
    with pytest.raises(ConfigError, match="cannot multiply in int8"):
        Chooser(Effort(screening="int8"), work=1e12, answers=5.0)


def test_mistakes_are_explained() -> None:
    with pytest.raises(ConfigError, match="Screening 'fp8' is unknown; choose one of auto, off"):
        Effort(screening="fp8")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="choose one of sure, statistical"):
        check_bound("good")
    feats, labels = np.full((1, 2), 1e200), Labels(pids=np.array([1]), cams=np.array([1]))
    trial = Trial(queries=np.array([0]), gallery=np.array([0]))
    with pytest.raises(ProtocolError, match=r"feats\[0\] holds a value as large as 1.0e\+200"):
        rank_features(feats, labels, feats, labels, [trial], exclusion=NO_EXCLUSION)
