from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslight.errors import ConfigError, ProtocolError
from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols import PROTOCOLS, get_protocol
from crosslight.evaluation.ranking import Labels, Trial, rank_distances
from crosslight.evaluation.ranking.effort import Threads
from crosslight.evaluation.ranking.exclusion import SAME_PERSON_SAME_CAMERA
from crosslight.evaluation.reranking import rank_refined, reciprocal_graph
from crosslight.evaluation.reranking.neighbour_lists import Tables, exact_square
from crosslight.evaluation.reranking.reciprocal_graph import ReciprocalGraph
from crosslight.evaluation.reranking.refinements import KReciprocal, QueryExpansion
from tests.oracles import reranking as oracle


def test_rows_nearer_than_the_formula_resolves_are_equal() -> None:
    for square, resolved in ((1.5e-14, 0.0), (3e-14, 3e-14)):
        angle = square**0.5
        rows = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
        one = np.ones(2)
        tables = Tables(rows[:1], rows[1:], np.zeros(1, int), np.zeros(1, int), one, one)
        assert exact_square(tables, 0, 1, np.empty(32)) == pytest.approx(resolved, rel=0.05, abs=0)


def graph_distances(
    queries: np.ndarray, gallery: np.ndarray, how: KReciprocal, kind: Any
) -> np.ndarray:
    rows = np.arange(len(queries)), np.arange(len(gallery))
    with Threads() as threads:
        graph = ReciprocalGraph(queries, rows[0], gallery, rows[1], how, kind, threads)
        return graph.distances(*rows)


@st.composite
def people(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, entries = draw(st.integers(1, 15)), draw(st.integers(1, 60))
    dimensions = draw(st.sampled_from([3, 8, 40]))
    centres = generator.normal(size=(6, dimensions))
    rows = centres[generator.integers(0, 6, queries + entries)]
    rows = rows + 0.5 * generator.normal(size=rows.shape)
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rows = rows.astype(dtype)
    return rows[:queries], rows[queries:]


SETTINGS = st.integers(1, 25).flatmap(
    lambda k1: st.builds(
        KReciprocal,
        k1=st.just(k1),
        k2=st.integers(1, k1 + 1),
        share=st.sampled_from([0.0, 0.3, 1.0]),
    )
)


@settings(max_examples=120)
@given(people(), SETTINGS, st.sampled_from(["cosine", "euclidean"]), st.booleans())
def test_the_sparse_form_is_the_dense_one(
    tables: tuple[np.ndarray, np.ndarray], how: KReciprocal, kind: str, kept: bool
) -> None:
    queries, gallery = (table.astype(np.float64) for table in tables)
    if kind == "cosine":
        queries, gallery = oracle.unit(queries), oracle.unit(gallery)
    expected = oracle.reranked(queries, gallery, k1=how.k1, k2=how.k2, share=how.share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reciprocal_graph, "_ROWS", 4)
        patch.setattr(reciprocal_graph, "_COLUMNS", 16)
        patch.setattr(reciprocal_graph, "_EXPANDED_ROWS", 10)
        if not kept:
            patch.setattr(reciprocal_graph, "_KEPT_BYTES", 0)
        found = graph_distances(*tables, how, kind)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), SETTINGS)
def test_equal_distances_are_ordered_by_row(seed: int, how: KReciprocal) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(-1, 2, (60, 2)).astype(np.float32)
    expected = oracle.reranked(rows[:9], rows[9:], k1=how.k1, k2=how.k2, share=how.share)
    found = graph_distances(rows[:9], rows[9:], how, "euclidean")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_lists_that_are_too_short_for_the_ties_are_made_again() -> None:
    rows = np.repeat(np.eye(3, dtype=np.float32), 90, axis=0)
    how = KReciprocal(k1=4, k2=2)
    expected = oracle.reranked(
        rows[:5].astype(float), rows[5:].astype(float), k1=4, k2=2, share=0.3
    )
    for kind in ("cosine", "euclidean"):
        np.testing.assert_allclose(
            graph_distances(rows[:5], rows[5:], how, kind), expected, atol=1e-6
        )


def labelled(seed: int) -> tuple[Any, ...]:
    generator = np.random.default_rng(seed)
    query, gallery = (
        Labels(pids=generator.integers(0, 6, n), cams=generator.integers(1, 4, n)) for n in (12, 70)
    )
    centres = generator.normal(size=(6, 10))
    feats = [
        centres[labels.pids] + 0.7 * generator.normal(size=(len(labels.pids), 10))
        for labels in (query, gallery)
    ]
    trials = [
        Trial(queries=generator.permutation(12)[:9], gallery=generator.permutation(70)[:n])
        for n in (50, 40)
    ]
    return feats[0], query, feats[1], gallery, trials


def test_each_trial_is_reranked_with_its_own_gallery() -> None:
    tables = labelled(4)
    query_feats, query, gallery_feats, gallery, trials = tables
    how = KReciprocal(k1=8, k2=3)
    results = rank_refined(
        *tables, exclusion=SAME_PERSON_SAME_CAMERA, distance="cosine", how=how, top=4
    )
    for trial, ranks in zip(trials, results, strict=True):
        rows, columns = np.sort(trial.queries), np.sort(trial.gallery)
        dist = np.full((12, 70), np.nan)
        dist[np.ix_(rows, columns)] = oracle.reranked(
            oracle.unit(query_feats[rows]),
            oracle.unit(gallery_feats[columns]),
            k1=8,
            k2=3,
            share=0.3,
        )
        (expected,) = rank_distances(
            np.nan_to_num(dist, nan=9.0),
            query,
            gallery,
            [trial],
            exclusion=SAME_PERSON_SAME_CAMERA,
        )
        np.testing.assert_array_equal(ranks.ranks, expected.ranks)
        np.testing.assert_array_equal(ranks.identity_rank, expected.identity_rank)
    assert results[0].top.shape == (9, 4)
    assert results[0].path == "fp32+float64, re-ranked"


def test_an_expanded_query_is_the_weighted_mean_of_its_neighbours() -> None:
    tables = labelled(5)
    query_feats, query, gallery_feats, gallery, trials = tables
    (ranks, _) = rank_refined(
        *tables,
        exclusion=SAME_PERSON_SAME_CAMERA,
        distance="cosine",
        how=QueryExpansion(k=3, power=2.0),
        top=50,
    )
    q, g = oracle.unit(query_feats), oracle.unit(gallery_feats)
    for i, row in enumerate(trials[0].queries.tolist()):
        seen = [
            j
            for j in trials[0].gallery.tolist()
            if (gallery.pids[j], gallery.cams[j]) != (query.pids[row], query.cams[row])
        ]
        near = sorted(seen, key=lambda j, row=row: -(q[row] @ g[j]))[:3]
        mean = q[row] + sum(max(q[row] @ g[j], 0.0) ** 2 * g[j] for j in near)
        order = sorted(seen, key=lambda j, mean=mean: -(mean @ g[j]))
        assert [trials[0].gallery[n] for n in ranks.top[i] if n >= 0] == order


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("scale", [0.01, 30.0])
def test_an_expanded_query_finds_the_same_at_every_scale(distance: str, scale: float) -> None:
    features = features_for("market1501")
    options: dict[str, Any] = {"distance": distance, "refinement": QueryExpansion(k=3)}
    scaled = replace(features, feats=features.feats * scale)
    plain = get_protocol("market1501").evaluate(features, **options).mean
    assert get_protocol("market1501").evaluate(scaled, **options).mean == pytest.approx(plain)


@pytest.mark.parametrize("name", ["market1501", "market1501/multi-query"])
def test_long_rows_do_not_bring_a_mean_out_of_reach(name: str) -> None:
    """People who lie far from each other and from zero: every mean of one stays with them."""
    features = features_for(name)
    centres = np.random.default_rng(3).normal(size=(7, 9)) * 40
    near = replace(features, feats=centres[features.pids] + 0.01 * features.feats)
    how = None if "multi" in name else QueryExpansion(k=2)
    assert get_protocol(name).evaluate(near, distance="euclidean", refinement=how).mAP == 1.0


def features_for(name: str) -> Features:
    generator = np.random.default_rng(0)
    pids = np.repeat(np.arange(1, 7), 24)
    cams = np.tile(np.repeat(np.arange(1, 7), 4), 6)
    sysu = name.startswith("sysu")
    split = np.tile(["query", "gallery", "gallery", "gallery"], 36)
    feats = generator.normal(size=(6, 9))[pids - 1] + generator.normal(size=(144, 9))
    arrays = {
        "feats": feats,
        "pids": pids,
        "cams": cams,
        "modality": np.isin(cams, (3, 6)).astype(int) if sysu else np.tile([0, 1], 72),
        "split": None if sysu else split,
    }
    if name.endswith("multi-query"):
        arrays = {
            key: np.concatenate([value, value])
            for key, value in arrays.items()
            if value is not None
        }
        arrays["split"] = np.concatenate([split, np.full(144, "multi-query")])
    return Features(**arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
@pytest.mark.parametrize("how", [KReciprocal(k1=6, k2=2), QueryExpansion(k=2)])
def test_every_protocol_labels_what_was_refined(name: str, how: Any) -> None:
    plain = get_protocol(name).evaluate(features_for(name), trials=2)
    refined = get_protocol(name).evaluate(features_for(name), trials=2, refinement=how)
    assert refined.protocol == f"{name} + {how.text}"
    assert refined.queries_valid == plain.queries_valid
    assert refined.mean["mAP"] != plain.mean["mAP"]
    assert any("not comparable with figures without it" in rule for rule in refined.rules)
    assert not any("not comparable with figures without" in rule for rule in plain.rules)


def test_mistakes_are_explained() -> None:
    with pytest.raises(ConfigError, match="k2 from 1 to k1"):
        KReciprocal(k1=3, k2=5)
    with pytest.raises(ConfigError, match="expected k at least 1"):
        QueryExpansion(k=0)
    with pytest.raises(ConfigError, match="--distance cosine or euclidean"):
        rank_refined(
            *labelled(1), exclusion=SAME_PERSON_SAME_CAMERA, distance="dot", how=KReciprocal()
        )


@pytest.mark.parametrize(
    ("value", "sentence"),
    [(1e200, "scale the features down"), (np.inf, "expected finite"), (np.nan, "expected finite")],
)
def test_rows_that_have_no_distances_are_named(value: float, sentence: str) -> None:
    gallery = np.ones((3, 2))
    gallery[2, 1] = value
    with pytest.raises(ProtocolError, match=rf"feats\[2\] .*{sentence}"):
        graph_distances(np.ones((1, 2)), gallery, KReciprocal(k1=2, k2=1), "euclidean")
