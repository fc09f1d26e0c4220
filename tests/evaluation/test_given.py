import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from crosslight.errors import ConfigError, DataError, ProtocolError
from crosslight.evaluation import Features, evaluate, save_features, score_distances
from tests.evaluation.sysu_counts import sysu_test_set


def market() -> Features:
    generator = np.random.default_rng(4)
    pids = generator.integers(1, 9, 120)
    pids[50:60] = -1
    return Features(
        feats=generator.normal(size=(120, 6)) + 0.4 * pids[:, None],
        pids=pids,
        cams=generator.integers(1, 4, 120),
        split=np.array(["query"] * 20 + ["gallery"] * 100),
    )


def halves(features: Features) -> tuple[np.ndarray, ...]:
    dist = ((features.feats[:20, None] - features.feats[None, 20:]) ** 2).sum(axis=2)
    pids, cams = features.pids, features.cams
    return dist, pids[:20], pids[20:], cams[:20], cams[20:]


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, np.ndarray.tolist])
@pytest.mark.parametrize("area", ["rectangular", "trapezoid"])
def test_a_matrix_scores_as_the_features_behind_it(kind, area: str) -> None:
    features = market()
    whole = evaluate(features, "market1501", distance="euclidean", average_precision=area)
    given = score_distances(
        *map(kind, halves(features)), protocol="market1501", average_precision=area
    )
    assert given.mean == whole.mean
    assert given.cmc.tolist() == whole.cmc.tolist()
    assert given.queries_valid == whole.queries_valid
    assert given.per_query.correct.tolist() == whole.per_query.correct.tolist()


def test_a_drawn_gallery_is_scored_as_one_trial() -> None:
    features = sysu_test_set()
    whole = evaluate(features, "sysu-mm01/all/1", distance="euclidean", trials=1)
    queries = whole.per_query.query_rows
    from crosslight.evaluation.protocols.selection import Draw, SysuSelector

    (trial,) = (
        SysuSelector(gallery_cams=(1, 2, 4, 5), shots=1).select(features, Draw(trials=1)).trials
    )
    feats = features.feats.astype(float)
    dist = np.stack(
        [((feats[row] - feats[trial.gallery]) ** 2).sum(axis=1) for row in queries.tolist()]
    )
    given = score_distances(
        dist,
        features.pids[queries],
        features.pids[trial.gallery],
        features.cams[queries],
        features.cams[trial.gallery],
        protocol="sysu-mm01/all/1",
    )
    assert given.mean == pytest.approx(whole.mean)
    assert given.cmc == pytest.approx(whole.cmc)


def test_features_may_be_a_file(tmp_path) -> None:
    save_features(tmp_path / "f.npz", market())
    assert evaluate(tmp_path / "f.npz", "market1501").to_json() == (
        evaluate(market(), "market1501").to_json()
    )


def test_a_result_is_a_short_table_with_its_figures_at_hand() -> None:
    result = evaluate(market(), "market1501")
    assert (result.rank1, result.mAP, result.mINP) == tuple(
        result.mean[key] for key in ("rank1", "mAP", "mINP")
    )
    lines = str(result).splitlines()
    assert len(lines) == 2
    assert lines[1].split()[:2] == ["market1501", f"{100 * result.rank1:.2f}"]
    html = result._repr_html_()
    cells = re.findall(r"<t[hd]>([^<]*)</t[hd]>", html)
    assert cells == [cell for line in lines for cell in line.split()]


def test_mistakes_with_a_matrix_are_explained() -> None:
    dist, q, g, q_cams, g_cams = halves(market())
    wrong = {
        r"dist has shape \(2,\), expected \(Q, G\)": ([1.0, 2.0], q, g, q_cams, g_cams),
        "q_pids has 100 entries, but dist has 20 rows": (dist, g, q, g_cams, q_cams),
        "g_cams has 20 entries, but dist has 100 columns": (dist, q, g, q_cams, q_cams),
        "q_cams is not given.*protocol='any-camera'": (dist, q, g),
        "0 queries and .* are not junk": (dist, np.full(20, -1), g, q_cams, g_cams),
        "None of the 20 queries": (dist, q + 50, g, q_cams, g_cams),
    }
    for message, arguments in wrong.items():
        with pytest.raises(ProtocolError, match=message):
            score_distances(*arguments, protocol="market1501")
    assert 0 < score_distances(dist, q, g, protocol="any-camera").mAP < 1
    with pytest.raises(ConfigError, match="did you mean market1501"):
        score_distances(dist, q, g, protocol="market")


@pytest.mark.parametrize(
    ("protocol", "q_cams", "g_cams", "message"),
    [
        ("sysu-mm01/all/1", [1, 3, 6], [1, 2, 4], "q_cams holds the cameras 1, but .* 3, 6 alone"),
        ("sysu-mm01/all/10", [3, 3, 6], [1, 3, 6], "g_cams .* 3, 6, but .* cameras 1, 2, 4, 5 al"),
        ("sysu-mm01/indoor/1", [3, 3, 6], [1, 2, 4], "g_cams .* 4, but .* cameras 1, 2 alone"),
        ("sysu-mm01/all/1", [3, 3, -1], [1, 2, 4], "q_cams holds the cameras -1"),
        ("regdb/visible-to-thermal", [1, 2, 1], [1, 2, 2], "both hold the cameras 1, 2, but"),
        ("regdb/thermal-to-visible", [2, 2, 2], [1, 2, 1], "both hold the cameras 2, but"),
    ],
)
def test_cameras_on_a_side_where_the_protocol_has_none_are_refused(
    protocol: str, q_cams: list[int], g_cams: list[int], message: str
) -> None:
    dist, pids = 1 - np.eye(3), [1, 2, 3]
    with pytest.raises(ProtocolError, match=rf"{message}.*select the rows .* cl\.evaluate"):
        score_distances(dist, pids, pids, q_cams, g_cams, protocol=protocol)


def test_cameras_on_their_own_side_or_unknown_or_of_junk_are_no_contradiction() -> None:
    dist, pids = 1 - np.eye(3), [1, 2, 3]
    fits = [
        ("sysu-mm01/indoor/1", pids, [3, 6, 6], [1, 2, 1]),
        ("sysu-mm01/all/1", [1, 2, -1], [3, 6, 1], [4, 5, 2]),
        ("regdb/visible-to-thermal", pids, [1, 1, 1], [2, 2, 2]),
        ("regdb/visible-to-thermal", pids, [-1, -1, -1], [-1, -1, -1]),
        ("regdb/visible-to-thermal", pids, None, None),
        ("llcm/visible-to-infrared", pids, [1, 2, 3], [2, 3, 1]),
    ]
    for protocol, q_pids, q_cams, g_cams in fits:
        assert score_distances(dist, q_pids, pids, q_cams, g_cams, protocol=protocol).rank1 == 1


@pytest.mark.parametrize(
    ("protocol", "q_cams", "g_cams", "images", "message"),
    [
        (
            "sysu-mm01/all/1",
            3,
            4,
            2,
            "g_pids and g_cams hold 2 .* person 7 by camera 4, .* draws 1 ",
        ),
        ("sysu-mm01/indoor/10", 6, 2, 11, "g_cams hold 11 .* by camera 2, .* draws 10 per"),
        ("llcm/visible-to-infrared", 1, 5, 2, "g_cams hold 2 .* by camera 5, .* draws 1 "),
        (
            "llcm/visible-to-infrared-sampled-query",
            1,
            5,
            2,
            "q_cams hold 2 .* camera 1, .* draws 1 ",
        ),
    ],
)
def test_a_side_that_was_not_drawn_is_refused(
    protocol: str, q_cams: int, g_cams: int, images: int, message: str
) -> None:
    def score(images: int) -> float:
        cams = (np.full(images, q_cams), np.full(images, g_cams))
        dist, pids = 1 - np.eye(images), np.full(images, 7)
        return score_distances(dist, pids, pids, *cams, protocol=protocol).rank1

    with pytest.raises(ProtocolError, match=rf"{message}.* cl\.evaluate, which does"):
        score(images)
    assert score(images - 1) == 1


def test_the_room_is_entered_without_heavy_imports() -> None:
    code = (
        "import sys, crosslight.evaluation as e; "
        "print(sorted({'torch', 'numba', 'numpy'} & set(sys.modules))); "
        "e.evaluate; print(sorted({'torch', 'numba'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["[]", "[]"]


@pytest.mark.parametrize(("side", "name"), [(3, "q_cams"), (4, "g_cams")])
def test_an_unknown_camera_of_a_matrix_is_refused_as_it_is_of_features(side: int, name: str):
    given = list(halves(market()))
    given[side] = np.where(np.arange(len(given[side])) == 7, -1, given[side])
    with pytest.raises(ProtocolError, match=rf"{name}\[7\] is -1, no camera"):
        score_distances(*given, protocol="market1501")
    assert score_distances(*given, protocol="any-camera").mAP > 0


class OnADevice(torch.Tensor):
    """As a tensor on a GPU: numpy may not take it as it is."""

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("can't convert device type tensor to numpy")


def test_tensors_of_a_device_are_brought_to_the_processor() -> None:
    given = halves(market())
    tensors = [torch.as_tensor(array).as_subclass(OnADevice) for array in given]
    expected = score_distances(*given, protocol="market1501")
    assert score_distances(*tensors, protocol="market1501").mean == expected.mean


def test_a_bare_array_is_no_features() -> None:
    with pytest.raises(DataError, match="features is a ndarray, expected Features"):
        evaluate(market().feats, "any-camera")


def test_features_are_not_written_under_the_name_of_another_format(tmp_path) -> None:
    with pytest.raises(DataError, match=r"ends in \.pt, but features are written as \.npz"):
        save_features(tmp_path / "f.pt", market())
    assert list(tmp_path.iterdir()) == []
