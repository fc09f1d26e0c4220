import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslight.errors import ConfigError, ProtocolError
from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from crosslight.evaluation.protocols.scores import SCORE_KEYS, Result
from crosslight.evaluation.ranking.effort import Effort
from tests.evaluation.sysu_counts import image_counts, sysu_test_set
from tests.evaluation.test_samplers import write_permutations
from tests.oracles import ranking as oracle

BY_SPLIT = ("market1501", "dukemtmc", "msmt17", "any-camera")
SYSU = ("sysu-mm01/all/1", "sysu-mm01/all/10", "sysu-mm01/indoor/1", "sysu-mm01/indoor/10")
REGDB = ("regdb/visible-to-thermal", "regdb/thermal-to-visible")
LLCM = (
    "llcm/visible-to-infrared",
    "llcm/infrared-to-visible",
    "llcm/visible-to-infrared-sampled-query",
)


def features_of(rows: list[oracle.Row], dtype: Any = np.float64) -> Features:
    named = all(row.name for row in rows)
    split = all(row.split for row in rows)
    return Features(
        feats=np.array([row.feat for row in rows], dtype=dtype),
        pids=np.array([row.pid for row in rows]),
        cams=np.array([row.cam for row in rows]),
        modality=np.array([row.modality for row in rows]),
        split=np.array([row.split for row in rows]) if split else None,
        paths=np.array([f"x/cam{r.cam}/{r.pid:04d}/{r.name}" for r in rows]) if named else None,
    )


def test_every_protocol_is_named_and_tested() -> None:
    assert set(PROTOCOLS) == {*BY_SPLIT, *SYSU, *REGDB, *LLCM, "market1501/multi-query"}


@st.composite
def images_of(draw: st.DrawFn, name: str) -> list[oracle.Row]:
    """A few people in front of a few cameras, with features of few values: ties everywhere."""
    if name in SYSU:
        light = {1: 0, 2: 0, 3: 1, 4: 0, 5: 0, 6: 1}
        places = [(cam, light[cam]) for cam in light]
    elif name in LLCM:
        places = [(cam, light) for cam in (1, 2, 9) for light in (0, 1)]
    else:
        places = [(cam, light) for cam in (1, 2) for light in (0, 1)]
    most = 12 if name.endswith("/10") else 3
    people = draw(
        st.lists(st.sampled_from([-1, 0, 2, 7, 30, 12345]), min_size=1, max_size=4, unique=True)
    )
    value = st.integers(-1, 1)
    rows = []
    for pid in people if name in BY_SPLIT else [abs(pid) for pid in people]:
        for cam, light in places:
            for k in range(draw(st.integers(0, most))):
                split = draw(st.sampled_from(["query", "gallery", "gallery"]))
                feat = (draw(value), draw(value), draw(value))
                name_of_file = f"{'i' if light and name in LLCM else ''}{k + 1:04d}.jpg"
                rows.append(
                    oracle.Row(
                        feat, pid, cam, light, split if name in BY_SPLIT else "", name_of_file
                    )
                )
    return draw(st.permutations(rows))


def compare(result: Result, expected: list[dict[str, float] | None]) -> None:
    assert len(result.trials) == len(expected)
    for trial, scores in zip(result.trials, expected, strict=True):
        assert scores is not None
        assert (trial.valid, trial.invalid) == (scores["valid"], scores["invalid"])
        for key in SCORE_KEYS:
            assert trial.values[key] == pytest.approx(scores[key], abs=1e-9), key
    for key in SCORE_KEYS:
        values = [scores[key] for scores in expected if scores is not None]
        assert result.mean[key] == pytest.approx(np.mean(values), abs=1e-9)
        assert result.mean[f"{key}_sd"] == pytest.approx(np.std(values), abs=1e-9)


def check_against_oracle(
    protocol: Protocol,
    rows: list[oracle.Row],
    expected: list[dict[str, float] | None],
    **options: Any,
) -> None:
    if not rows:
        return
    if any(scores is None for scores in expected):
        with pytest.raises(ProtocolError):
            protocol.evaluate(features_of(rows), **options)
        return
    compare(protocol.evaluate(features_of(rows), **options), expected)


@pytest.mark.parametrize("name", [*BY_SPLIT, *SYSU, *REGDB, *LLCM])
@settings(max_examples=60)
@given(
    data=st.data(),
    kind=st.sampled_from(["dot", "dot", "euclidean"]),
    area=st.sampled_from(["rectangular", "trapezoid"]),
    block=st.sampled_from([None, 1, 2, 5]),
)
def test_scores_are_those_of_the_slow_oracle(
    name: str, data: st.DataObject, kind: str, area: str, block: int | None
) -> None:
    rows = data.draw(images_of(name))
    expected = oracle.score_protocol(name, rows, kind=kind, area=area, trials=3)
    check_against_oracle(
        get_protocol(name),
        rows,
        expected,
        distance=kind,
        average_precision=area,
        trials=3,
        effort=Effort(block=block),
    )


@pytest.mark.parametrize("name", SYSU)
@settings(max_examples=25)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_official_galleries_are_scored_as_the_oracle_does(
    name: str, data: st.DataObject, seed: int
) -> None:
    rows = [row for row in data.draw(images_of(name)) if 0 < row.pid < 100]
    counts: dict[tuple[int, int], int] = {}
    for row in rows:
        counts[row.cam, row.pid] = counts.get((row.cam, row.pid), 0) + 1
    generator = np.random.default_rng(seed)
    table = {
        key: np.stack([generator.permutation(n) + 1 for _ in range(2)]) for key, n in counts.items()
    }
    if not table:
        return
    expected = oracle.score_protocol(
        name,
        rows,
        kind="dot",
        permutations={key: order.tolist() for key, order in table.items()},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rand_perm_cam.mat"
        write_permutations(path, table)
        check_against_oracle(
            get_protocol(name),
            rows,
            expected,
            distance="dot",
            sampler="official",
            permutations=path,
            trials=2,
        )


@pytest.mark.parametrize("name", [*BY_SPLIT, *SYSU, *REGDB, *LLCM])
@pytest.mark.parametrize("kind", ["cosine", "euclidean", "dot"])
def test_real_numbers_agree_with_the_oracle_and_row_order_is_free(name: str, kind: str) -> None:
    generator = np.random.default_rng(11)
    rows = []
    for pid in range(1, 9):
        for cam in range(1, 7):
            for k in range(1, 4):
                light = int(cam in (3, 6)) if name in SYSU else k % 2
                split = "query" if k == 1 else "gallery"
                feat = tuple(generator.normal(size=7).tolist())
                rows.append(oracle.Row(feat, pid, cam, light, split, f"{k:04d}.jpg"))
    expected = oracle.score_protocol(name, rows, kind=kind, trials=2)
    options = {"distance": kind, "trials": 2}
    compare(get_protocol(name).evaluate(features_of(rows), **options), expected)
    mixed = [rows[i] for i in generator.permutation(len(rows))]
    compare(
        get_protocol(name).evaluate(features_of(mixed), effort=Effort(block=7), **options), expected
    )


@pytest.mark.parametrize(
    ("name", "gallery", "valid"),
    [
        ("sysu-mm01/all/1", 301, 3803),
        ("sysu-mm01/indoor/1", 112, 2208),
        ("sysu-mm01/all/10", 3010, 3803),
        ("sysu-mm01/indoor/10", 1120, 2208),
    ],
)
@pytest.mark.parametrize("sampler", ["seeded", "official"])
def test_published_counts_of_sysu(
    name: str, gallery: int, valid: int, sampler: str, tmp_path: Path
) -> None:
    features = sysu_test_set()
    options: dict[str, Any] = {"sampler": sampler, "trials": 2}
    if sampler == "official":
        # Which images are drawn changes no count, so any permutations do.
        orders = {key: np.tile(np.arange(1, n + 1), (2, 1)) for key, n in image_counts().items()}
        write_permutations(tmp_path / "rand_perm_cam.mat", orders)
        options["permutations"] = tmp_path
    result = get_protocol(name).evaluate(features, **options)
    assert result.queries_valid == (valid, valid)
    assert result.queries_invalid == (3803 - valid, 3803 - valid)
    text = "\n".join(result.rules)
    assert f"{gallery} images of" in text
    assert f"scored: {valid} of 3803 queries" in text
    assert result.per_query is not None
    camera_three = features.cams[result.per_query.query_rows] == 3
    shown = features.cams[result.per_query.gallery_rows]
    assert not np.any(shown[camera_three] == 2)
    assert np.any(shown[~camera_three] == 2)


def market(**changes: Any) -> Features:
    base: dict[str, Any] = {
        "feats": np.array([[1.0, 0], [1, 0.1], [0, 1], [1, 0], [0.9, 0]]),
        "pids": np.array([1, 1, 2, -1, 0]),
        "cams": np.array([1, 2, 2, 3, 3]),
        "modality": np.zeros(5, int),
        "split": np.array(["query", "gallery", "gallery", "gallery", "gallery"]),
    }
    base.update(changes)
    return Features(**base)


def test_junk_goes_and_distractors_stay() -> None:
    result = get_protocol("market1501").evaluate(market())
    assert result.mean["rank1"] == 0.0
    assert result.mean["rank5"] == 1.0
    assert result.mean["mAP"] == 0.5
    assert result.per_query is not None
    assert result.per_query.gallery_rows.tolist() == [[4, 1, 2]]
    assert result.per_query.correct.tolist() == [[False, True, False]]
    assert result.per_query.first_row.tolist() == [1]
    assert result.per_query.first_distance[0] == result.per_query.distances[0, 1]
    assert result.per_query.query_rows.tolist() == [0]
    assert result.sampler is None
    assert len(result.cmc) == 3
    assert any("1 junk rows (pid -1) left out, 1 rows of pid 0" in rule for rule in result.rules)


def test_folders_of_market_stand_for_the_split() -> None:
    folders = ["query", "bounding_box_test", "bounding_box_test", "bounding_box_test"]
    paths = np.array([f"/data/{folder}/{i}.jpg" for i, folder in enumerate([*folders, folders[1]])])
    by_folder = get_protocol("market1501").evaluate(market(split=None, paths=paths))
    assert by_folder.mean == get_protocol("market1501").evaluate(market()).mean


def test_multi_query_pools_the_crops_of_a_person_and_camera() -> None:
    features = Features(
        feats=np.array([[5.0, 0], [0, 1], [2, 0], [3, 3], [1, 0], [0.6, 0.8]]),
        pids=np.array([1, 1, 1, 1, 2, 1]),
        cams=np.array([1, 1, 1, 2, 2, 2]),
        modality=np.zeros(6, int),
        split=np.array(["query", "multi-query", "multi-query", "other", "gallery", "gallery"]),
    )
    result = get_protocol("market1501/multi-query").evaluate(features)
    assert get_protocol("market1501").evaluate(features).mean["rank1"] == 0.0
    assert result.mean["rank1"] == 1.0
    assert result.per_query is not None
    assert result.per_query.query_rows.tolist() == [0]
    assert result.per_query.distances[0, 0] == pytest.approx(1 - 1.4 / np.sqrt(2))
    with pytest.raises(ProtocolError, match=r"1 of 1 queries .* person 1, camera 1"):
        get_protocol("market1501/multi-query").evaluate(market())


@pytest.mark.parametrize("name", [*SYSU, *REGDB, *LLCM])
def test_junk_is_nobody_in_any_protocol(name: str) -> None:
    generator = np.random.default_rng(1)
    pids, cams = np.repeat(np.arange(1, 7), 12), np.tile(np.repeat(np.arange(1, 7), 2), 6)
    lights = np.isin(cams, (3, 6)).astype(int) if name in SYSU else np.tile([0, 1], 36)
    arrays = {
        "feats": generator.normal(size=(72, 5)), "pids": pids, "cams": cams, "modality": lights,
    }  # fmt: skip
    junk = {
        "feats": generator.normal(size=(9, 5)), "pids": np.full(9, -1),
        "cams": cams[:9], "modality": lights[:9],
    }  # fmt: skip
    without = get_protocol(name).evaluate(Features(**arrays), trials=2)
    more = Features(**{key: np.concatenate([arrays[key], junk[key]]) for key in arrays})
    result = get_protocol(name).evaluate(more, trials=2)
    assert result.mean == without.mean
    assert get_protocol(name).chance(more, trials=2).mean == (
        get_protocol(name).chance(Features(**arrays), trials=2).mean
    )
    assert "junk: 9 rows (pid -1) left out" in result.rules
    assert not any("junk" in rule for rule in without.rules)


def test_only_rows_of_the_test_split_count_where_there_are_any() -> None:
    features = sysu_test_set(people=12)
    split = np.where(features.pids % 2 == 0, "test", "train")
    marked = Features(
        feats=features.feats,
        pids=features.pids,
        cams=features.cams,
        modality=features.modality,
        paths=features.paths,
        split=split,
    )
    result = get_protocol("sysu-mm01/all/1").evaluate(marked, trials=1)
    infrared = np.isin(features.cams, (3, 6))
    assert result.queries_valid == (int(np.sum(infrared & (split == "test"))),)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_every_rule_is_stated(name: str) -> None:
    generator = np.random.default_rng(0)
    pids = np.repeat(np.arange(1, 7), 12)
    cams = np.tile(np.repeat(np.arange(1, 7), 2), 6)
    features = Features(
        feats=generator.normal(size=(72, 5)),
        pids=pids,
        cams=cams,
        modality=np.isin(cams, (3, 6)).astype(int) if name in SYSU else np.tile([0, 1], 36),
        split=np.tile(["query", "gallery", "gallery", "multi-query"], 18)
        if name not in SYSU
        else None,
    )
    if "multi-query" in name:
        features = Features(
            feats=np.concatenate([features.feats] * 2),
            pids=np.concatenate([pids, pids]),
            cams=np.concatenate([cams, cams]),
            modality=np.zeros(144, int),
            split=np.array(["query", "gallery"] * 36 + ["multi-query"] * 72),
        )
    result = get_protocol(name).evaluate(features, average_precision="trapezoid", trials=2)
    text = "\n".join(result.rules)
    for word in ("queries:", "gallery:", "left out:", "rank-k:", "trapezoid", "mINP", "scored:"):
        assert word in text
    for word in ("equal distances:", "distance: 1 - cosine", "sampler:"):
        assert word in text
    assert ("roles as in the data set's own code" in text) == name.endswith("-sampled-query")
    expectation = get_protocol(name).chance(features, average_precision="trapezoid", trials=2)
    assert set(expectation.mean) == set(result.mean)
    assert expectation.queries_valid == result.queries_valid
    assert len(expectation.cmc) == len(result.cmc)


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'market' is unknown; did you mean market1501\?"):
        get_protocol("market")
    with pytest.raises(ConfigError, match=r"did you mean sysu-mm01/all/1\?"):
        get_protocol("sysu-mm01/al/1")


@pytest.mark.parametrize(("words", "listed"), [(6, "'5')"), (7, "'5', ...)")])
def test_of_the_words_that_are_found_six_are_listed(words: int, listed: str) -> None:
    split = np.arange(words).astype(str)
    features = Features(feats=np.ones((words, 1)), pids=split, cams=split, split=split)
    with pytest.raises(
        ProtocolError, match=re.escape(f"(found: '0', '1', '2', '3', '4', {listed}")
    ):
        get_protocol("market1501").evaluate(features)


def test_one_camera_is_explained() -> None:
    one = market(cams=np.ones(5, int))
    with pytest.raises(
        ProtocolError,
        match=r"^1 of 1 queries have no gallery image from another camera, so the market1501 "
        r"protocol scores none of them\. If your data has one camera, use --protocol any-camera\.$",
    ):
        get_protocol("market1501").evaluate(one)
    with pytest.raises(ProtocolError, match="have no gallery image from another camera"):
        get_protocol("market1501").chance(one)
    assert get_protocol("any-camera").evaluate(one).queries_valid == (1,)


@pytest.mark.parametrize(
    ("name", "changes", "options", "sentence"),
    [
        ("market1501", {"cams": np.full(5, -1)}, {}, "Row 0 has no camera, but the market1501"),
        ("market1501", {"split": None}, {}, "add an array 'split' with 'query' or 'gallery'"),
        ("market1501", {"split": np.full(5, "test")}, {}, r"split 'query' \(found: 'test'\); set"),
        ("msmt17", {"pids": np.array([9, 1, 2, -1, 0])}, {}, "a person who is not in the gallery"),
        ("regdb/visible-to-thermal", {}, {}, "No test image is infrared"),
        ("regdb/visible-to-thermal", {"modality": np.full(5, 255)}, {}, "add an array 'modality'"),
        ("sysu-mm01/all/1", {"cams": np.array([1, 2, 7, 3, 3])}, {}, "Row 2 has camera 7"),
        ("sysu-mm01/all/1", {}, {}, "Row 4 has camera 3 and modality 0"),
        (
            "sysu-mm01/indoor/1",
            {"cams": np.array([4, 5, 5, 3, 3]), "modality": np.array([0, 0, 0, 1, 1])},
            {},
            "No test image is of the gallery cameras 1, 2",
        ),
        (
            "sysu-mm01/indoor/1",
            {
                "cams": np.array([2, 2, 2, 3, 3]),
                "modality": np.array([0, 0, 0, 1, 1]),
                "pids": np.ones(5, int),
            },
            {},
            "2 of 2 queries have no right gallery image left after the camera rule",
        ),
        (
            "sysu-mm01/all/1",
            {"cams": np.array([1, 1, 1, 3, 3]), "modality": np.array([0, 0, 0, 1, 1])},
            {"sampler": "official"},
            r"needs rand_perm_cam\.mat; give it with --permutations",
        ),
        ("market1501", {}, {"distance": "manhattan"}, "choose one of cosine, euclidean, dot"),
        ("market1501", {}, {"sampler": "best"}, "choose one of seeded, official"),
        ("market1501", {}, {"average_precision": "exact"}, "choose one of rectangular"),
        ("market1501", {}, {"trials": 0}, "0 trials are asked for"),
        ("market1501", {}, {"permutations": Path("x.mat")}, "add --sampler official"),
        (
            "llcm/infrared-to-visible",
            {
                "modality": np.array([1, 1, 0, 0, 0]),
                "pids": np.ones(5, int),
                "cams": np.ones(5, int),
            },
            {},
            "no gallery image from another camera, .* Check the camera numbers in 'cams'",
        ),
        (
            "llcm/infrared-to-visible",
            {"modality": np.array([0, 1, 0, 1, 0])},
            {"sampler": "official"},
            "LLCM has no official permutations",
        ),
    ],
)
def test_mistakes_are_explained(
    name: str, changes: dict[str, Any], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((ProtocolError, ConfigError), match=sentence):
        get_protocol(name).evaluate(market(**changes), **options)
