import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crosslight.errors import ConfigError, DataError, ProtocolError
from crosslight.evaluation.ranking import (
    Labels,
    Ranks,
    Trial,
    rank_distances,
    rank_features,
)
from crosslight.evaluation.ranking.effort import Effort
from crosslight.evaluation.ranking.exclusion import (
    NO_EXCLUSION,
    SAME_PERSON_SAME_CAMERA,
    SYSU_SAME_PLACE,
    Exclusion,
)
from crosslight.evaluation.scoring import check_average_precision
from tests.oracles import ranking as oracle

RULES = {
    "none": (NO_EXCLUSION, oracle.nothing),
    "same camera": (SAME_PERSON_SAME_CAMERA, oracle.same_person_same_camera),
    "same room": (SYSU_SAME_PLACE, oracle.sysu_room),
}


def labels(pids: list[int], cams: list[int] | None = None) -> Labels:
    return Labels(pids=np.array(pids), cams=np.array(cams or [0] * len(pids)))


def ranks_of(relevance: str) -> Ranks:
    pids = [7 if letter == "1" else 8 for letter in relevance]
    (ranks,) = rank_distances(
        np.arange(len(pids), dtype=float)[None], labels([7]), labels(pids), exclusion=NO_EXCLUSION
    )
    return ranks


@pytest.mark.parametrize(
    ("relevance", "rectangular", "trapezoid", "penalty"),
    [
        ("1010", 0.833333, 0.791667, 0.666667),
        ("0101", 0.5, 0.333333, 0.5),
        ("1100", 1.0, 1.0, 1.0),
        ("0010000001", 0.266667, 0.161111, 0.2),
    ],
)
def test_published_variants_of_average_precision_are_told_apart(
    relevance: str, rectangular: float, trapezoid: float, penalty: float
) -> None:
    ranks = ranks_of(relevance)
    assert ranks.average_precision("rectangular")[0] == pytest.approx(rectangular, abs=1e-6)
    assert ranks.average_precision("trapezoid")[0] == pytest.approx(trapezoid, abs=1e-6)
    assert ranks.inverse_negative_penalty()[0] == pytest.approx(penalty, abs=1e-6)


def test_people_are_counted_once_in_the_identity_rank() -> None:
    (ranks,) = rank_distances(
        np.array([[1.0, 2.0, 3.0]]), labels([1]), labels([2, 2, 1]), exclusion=NO_EXCLUSION
    )
    assert ranks.first_rank("identity").tolist() == [2]
    assert ranks.first_rank("image").tolist() == [3]
    assert ranks.average_precision("rectangular")[0] == pytest.approx(1 / 3)
    assert ranks.inverse_negative_penalty()[0] == pytest.approx(1 / 3)


def test_equal_distances_keep_the_gallery_order() -> None:
    query, gallery = labels([1]), labels([2, 1, 3, 1])
    (ranks,) = rank_distances(np.zeros((1, 4)), query, gallery, exclusion=NO_EXCLUSION, top=4)
    assert ranks.ranks.tolist() == [2, 4]
    assert ranks.top.tolist() == [[0, 1, 2, 3]]
    trial = Trial(queries=np.array([0]), gallery=np.array([3, 2, 1, 0]))
    (ranks,) = rank_distances(np.zeros((1, 4)), query, gallery, [trial], exclusion=NO_EXCLUSION)
    assert ranks.ranks.tolist() == [1, 3]


def test_camera_three_sees_nobody_of_camera_two() -> None:
    (ranks,) = rank_distances(
        np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]),
        labels([1, 1], [3, 6]),
        labels([9, 1, 1], [2, 2, 1]),
        exclusion=SYSU_SAME_PLACE,
    )
    assert ranks.seen.tolist() == [1, 3]
    assert ranks.positives.tolist() == [1, 2]
    assert ranks.ranks.tolist() == [1, 2, 3]


def test_queries_without_a_right_answer_are_flagged() -> None:
    (ranks,) = rank_distances(
        np.zeros((2, 2)),
        labels([1, 2], [1, 1]),
        labels([1, 2], [1, 2]),
        exclusion=SAME_PERSON_SAME_CAMERA,
    )
    assert ranks.valid.tolist() == [False, True]
    assert np.isnan(ranks.average_precision("rectangular")[0])
    assert np.isnan(ranks.inverse_negative_penalty()[0])
    assert ranks.first_rank("image").tolist() == [0, 2]
    assert ranks.first_rank("identity").tolist() == [0, 2]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[oracle.Row], list[oracle.Row]]:
    row = st.builds(
        oracle.Row,
        feat=st.tuples(st.integers(-2, 2), st.integers(-2, 2)),
        pid=st.integers(0, 4),
        cam=st.sampled_from([1, 2, 3]),
    )
    return draw(st.lists(row, min_size=1, max_size=8)), draw(st.lists(row, min_size=1, max_size=25))


def table(rows: list[oracle.Row]) -> tuple[np.ndarray, Labels]:
    feats = np.array([row.feat for row in rows], dtype=np.float32)
    return feats, labels([row.pid for row in rows], [row.cam for row in rows])


@given(
    cases(),
    st.sampled_from(sorted(RULES)),
    st.sampled_from(["dot", "euclidean"]),
    st.sampled_from([None, 1, 3]),
)
def test_ranks_are_those_of_a_stable_sort(
    case: tuple[list[oracle.Row], list[oracle.Row]], rule: str, kind: str, block: int | None
) -> None:
    queries, gallery = case
    exclusion, hidden = RULES[rule]
    (q_feats, q_labels), (g_feats, g_labels) = table(queries), table(gallery)
    trial = Trial(queries=np.arange(len(queries)), gallery=np.arange(len(gallery)))
    (ranks,) = rank_features(
        q_feats,
        q_labels,
        g_feats,
        g_labels,
        [trial],
        exclusion=exclusion,
        distance=kind,
        top=5,
        effort=Effort(block=block),
    )
    for i, query in enumerate(queries):
        seen = [j for j, row in enumerate(gallery) if not hidden(query, row)]
        dist = [oracle.distance(query.feat, gallery[j].feat, kind) for j in seen]
        order = [seen[n] for n in sorted(range(len(seen)), key=lambda n: dist[n])]
        expected = [n for n, j in enumerate(order, start=1) if gallery[j].pid == query.pid]
        assert ranks.ranks[ranks.starts[i] : ranks.starts[i + 1]].tolist() == expected
        assert ranks.seen[i] == len(seen)
        assert [j for j in ranks.top[i].tolist() if j >= 0] == order[:5]
        nearest = sorted(dist)[:5]
        if kind == "euclidean":
            nearest = [value**0.5 for value in nearest]
        np.testing.assert_allclose(ranks.top_distance[i][: len(nearest)], nearest, atol=1e-12)
        assert ranks.first[i] == (order[expected[0] - 1] if expected else -1)
        if expected:
            far = oracle.distance(query.feat, gallery[ranks.first[i]].feat, kind)
            told = far**0.5 if kind == "euclidean" else far
            assert ranks.first_distance[i] == pytest.approx(told, abs=1e-12)
            people = [gallery[j].pid for j in seen]
            assert ranks.identity_rank[i] == oracle.person_rank(dist, people, query.pid)


LARGEST = float(np.finfo(np.float32).max)
MASKS = {
    "inf": [np.inf],
    "-inf": [-np.inf],
    "float32's largest": [LARGEST],
    "float64 beyond float32": [1e39, -1e39, 1e300],
    "all of them": [np.inf, -np.inf, LARGEST, -LARGEST, 3e38, 3.0001e38, -3e38, -3.4e38],
}


@pytest.mark.parametrize("mask", sorted(MASKS))
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("rule", sorted(RULES))
def test_infinite_and_huge_distances_are_sorted_like_others(
    mask: str, kind: type[np.floating], rule: str
) -> None:
    exclusion, hidden = RULES[rule]
    generator = np.random.default_rng(11)
    for trial in range(40):
        queries, entries = generator.integers(1, 4), generator.integers(1, 14)
        dist = generator.integers(-1, 3, (queries, entries)).astype(np.float64)
        masked = generator.random(dist.shape) < 0.5
        dist[masked] = generator.choice(MASKS[mask], masked.sum())
        with np.errstate(over="ignore"):
            dist = dist.astype(kind)
        asked, shown = (
            [
                oracle.Row(feat=(), pid=int(pid), cam=int(cam))
                for pid, cam in zip(
                    generator.integers(0, 3, count), generator.integers(1, 4, count), strict=True
                )
            ]
            for count in (queries, entries)
        )
        (ranks,) = rank_distances(
            dist,
            labels([row.pid for row in asked], [row.cam for row in asked]),
            labels([row.pid for row in shown], [row.cam for row in shown]),
            exclusion=exclusion,
            top=trial % 5,
            effort=Effort(block=1 + trial % 2),
        )
        for i, query in enumerate(asked):
            seen = [j for j, row in enumerate(shown) if not hidden(query, row)]
            near = [float(dist[i, j]) for j in seen]
            order = [seen[n] for n in sorted(range(len(seen)), key=lambda n: near[n])]
            expected = [n for n, j in enumerate(order, start=1) if shown[j].pid == query.pid]
            assert ranks.ranks[ranks.starts[i] : ranks.starts[i + 1]].tolist() == expected
            assert [j for j in ranks.top[i].tolist() if j >= 0] == order[: trial % 5]
            assert ranks.first[i] == (order[expected[0] - 1] if expected else -1)
            assert np.isnan(ranks.first_distance[i]) == (not expected)
            if expected:
                people = [shown[j].pid for j in seen]
                assert ranks.identity_rank[i] == oracle.person_rank(near, people, query.pid)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.bool_])
def test_distances_in_whole_numbers_are_distances(kind: type[np.generic]) -> None:
    dist = np.array([[0, 1, 1]]).astype(kind)
    (ranks,) = rank_distances(dist, labels([1]), labels([2, 2, 1]), exclusion=NO_EXCLUSION, top=3)
    assert ranks.ranks.tolist() == [3]
    assert ranks.top_distance.tolist() == [[0.0, 1.0, 1.0]]


@given(cases(), st.randoms(use_true_random=False))
def test_trials_sharing_a_product_equal_trials_alone(
    case: tuple[list[oracle.Row], list[oracle.Row]], shuffler: object
) -> None:
    (q_feats, q_labels), (g_feats, g_labels) = table(case[0]), table(case[1])
    generator = np.random.default_rng(shuffler.randrange(1000))  # type: ignore[attr-defined]
    trials = [
        Trial(
            queries=generator.permutation(len(q_feats))[: 1 + n],
            gallery=generator.permutation(len(g_feats))[: 3 + n],
        )
        for n in range(4)
    ]
    options = {"exclusion": SAME_PERSON_SAME_CAMERA, "distance": "dot"}
    together = rank_features(q_feats, q_labels, g_feats, g_labels, trials, **options)
    for trial, ranks in zip(trials, together, strict=True):
        (alone,) = rank_features(q_feats, q_labels, g_feats, g_labels, [trial], **options)
        np.testing.assert_array_equal(ranks.starts, alone.starts)
        np.testing.assert_array_equal(ranks.ranks, alone.ranks)
        np.testing.assert_array_equal(ranks.identity_rank, alone.identity_rank)


def test_ranks_do_not_depend_on_the_order_of_a_gallery_without_ties() -> None:
    generator = np.random.default_rng(3)
    q_feats, g_feats = generator.normal(size=(9, 16)), generator.normal(size=(300, 16))
    q_labels = labels(generator.integers(0, 20, 9).tolist(), generator.integers(1, 4, 9).tolist())
    g_labels = labels(
        generator.integers(0, 20, 300).tolist(), generator.integers(1, 4, 300).tolist()
    )
    trials = [
        Trial(queries=np.arange(9), gallery=np.arange(300)),
        Trial(queries=np.arange(9), gallery=generator.permutation(300)),
    ]
    a, b = rank_features(
        q_feats, q_labels, g_feats, g_labels, trials, exclusion=SAME_PERSON_SAME_CAMERA
    )
    np.testing.assert_array_equal(a.ranks, b.ranks)
    np.testing.assert_array_equal(a.identity_rank, b.identity_rank)


@pytest.mark.parametrize("kind", ["cosine", "euclidean", "dot"])
@pytest.mark.parametrize(("queries", "entries", "dimensions"), [(1, 31, 100), (17, 301, 8)])
def test_equal_images_are_equally_near_wherever_they_stand(
    kind: str, queries: int, entries: int, dimensions: int
) -> None:
    # A matrix product alone gives equal columns different last bits at these sizes.
    generator = np.random.default_rng(5)
    image = generator.normal(size=dimensions).astype(np.float32)
    pids = np.arange(entries) % 3
    (ranks,) = rank_features(
        generator.normal(size=(queries, dimensions)),
        labels([1] * queries),
        np.tile(image, (entries, 1)),
        labels(pids.tolist()),
        [Trial(queries=np.arange(queries), gallery=np.arange(entries))],
        exclusion=NO_EXCLUSION,
        distance=kind,
        top=entries,
    )
    positions = np.flatnonzero(pids == 1) + 1
    assert ranks.ranks.tolist() == positions.tolist() * queries
    assert ranks.top.tolist() == [list(range(entries))] * queries
    assert np.all(ranks.top_distance == ranks.top_distance[:, :1])


def test_a_row_of_zeros_and_a_negative_zero_are_ordinary_rows() -> None:
    (ranks,) = rank_features(
        np.array([[1.0, 0.0]]),
        labels([1]),
        np.array([[0.0, -0.0], [-1.0, 0.0], [0.0, 0.0]]),
        labels([1, 2, 1]),
        [Trial(queries=np.array([0]), gallery=np.arange(3))],
        exclusion=NO_EXCLUSION,
        top=3,
    )
    assert ranks.ranks.tolist() == [1, 2]
    np.testing.assert_allclose(ranks.top_distance, [[1.0, 1.0, 2.0]])


def test_lists_and_tensors_are_arrays() -> None:
    query, gallery = Labels(pids=["1"], cams=None), Labels(pids=[2, 1.0], cams=[1, None])
    for dist in ([[0.5, 1.0]], torch.tensor([[0.5, 1.0]]).bfloat16().requires_grad_()):
        (ranks,) = rank_distances(dist, query, gallery, exclusion=NO_EXCLUSION)
        assert ranks.ranks.tolist() == [2]


@pytest.mark.parametrize(
    ("dist", "sentence"),
    [
        (None, "dist is None, expected an array"),
        ([["a", "b"]], "dist holds <U1, expected real numbers"),
        (np.array([[1j, 2]]), "dist holds complex128, expected real numbers"),
        ([[1.0], [1.0, 2.0]], "dist cannot be made an array"),
        (np.ma.masked_greater([[1.0, 2.0]], 1.5), r"masked array.*dist\.filled\(numpy\.inf\)"),
    ],
)
def test_what_is_no_distance_is_refused(dist: object, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        rank_distances(dist, labels([1]), labels([2, 1]), exclusion=NO_EXCLUSION)  # type: ignore[arg-type]


def test_a_masked_array_is_filled_as_the_sentence_says() -> None:
    dist = np.ma.masked_greater([[1.0, 2.0, 0.5]], 1.5).filled(np.inf)
    (ranks,) = rank_distances(dist, labels([1]), labels([2, 1, 3]), exclusion=NO_EXCLUSION)
    assert ranks.ranks.tolist() == [3]


def test_labels_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match=r"cams has shape \(1,\), expected \(2,\)"):
        Labels(pids=np.array([1, 2]), cams=np.array([1]))


def test_mistakes_are_explained() -> None:
    with pytest.raises(ProtocolError, match=r"shape \(2, 1\), expected \(1, 2\)"):
        rank_distances(np.zeros((2, 1)), labels([1]), labels([1, 2]), exclusion=NO_EXCLUSION)
    with pytest.raises(ProtocolError, match=r"dist\[0, 1\] is not a number"):
        rank_distances(
            np.array([[0.0, np.nan]]), labels([1]), labels([1, 2]), exclusion=NO_EXCLUSION
        )
    with pytest.raises(ConfigError, match="choose one of rectangular, trapezoid"):
        check_average_precision("square")
    with pytest.raises(ProtocolError, match="scale the features down"):
        rank_features(
            np.array([[1e200]]),
            labels([1]),
            np.array([[1.0]]),
            labels([1]),
            [Trial(queries=np.array([0]), gallery=np.array([0]))],
            exclusion=NO_EXCLUSION,
        )
    with pytest.raises(ConfigError, match="The block is 0"):
        Effort(block=0)


def test_an_exclusion_is_a_table_over_cameras() -> None:
    both = Exclusion(text="", same_camera=True, skipped=((3, 2),))
    assert both.table(np.array([2, 3]), np.array([1, 2, 3])).tolist() == [[0, 1, 0], [0, 2, 1]]
    assert both.reads_cams
    assert not NO_EXCLUSION.reads_cams
