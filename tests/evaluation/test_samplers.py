import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from crosslight.errors import ConfigError, ProtocolError
from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols import get_protocol
from crosslight.evaluation.protocols.samplers import (
    group_images,
    load_permutations,
    numbered_images,
    official_gallery,
    people_by_name,
    seeded_gallery,
)
from crosslight.evaluation.protocols.selection import Draw
from crosslight.evaluation.scoring import check_sampler
from tests.evaluation.sysu_counts import image_counts, sysu_test_set

SEEDED_ALL = """afdc5a624656cfd6 693c8c117f9733bd 7d8ada4bb0bde9cf 34fbed3f69feec8f
    070334240881e013 b14a20c2c56b9f14 ce0ae572eba425e5 aebdfaa35a44b530 471df7108c0ef7d6
    b22d5b1b8435f9a2"""
SEEDED_INDOOR = """ce38d5247a90fd94 899b9699680b480b 1170c0450bc7ea3b 2a30557ea9c952a0
    2443c347c2fa2cdf 1ab4d9248930d09c 19296fcfcfc13a87 3014608dc92ad50d bba37f5a539552ec
    cef4706d79eb2042"""
OFFICIAL_ALL = """19465f2d6522e47e 31ba89aa5a3ac4a4 7124ba27bc1999a4 4d35d55c81bfe978
    58614d7fc4b044eb f638609d260d86ed 1119c6a973be2f3a e24d1ff7b8404d57 340e2372f3ecd478
    0bf7445fed6f00a6"""
OFFICIAL_INDOOR = """fff7fed7618a119b 85f8ec6041d2946b dac77ca795567298 82b406393a635d48
    f29b9c994c8b84bb f2ed60129047f711 7711de9a924bda2a 04a86f87e240ae48 92615a425fdf93b7
    589f46fef5bcf5f5"""
OFFICIAL_TEN = """b822f33c98ba9caf 1ff4fcc33508f391 0795113efbc5d001 86da3e296d9df58e
    40c6f14325b30f5b 02065a8be7881f83 ee768b1c5d36f35a e02471961e00b922 31b76d7095a3e004
    09cef7da670513d1"""


def galleries(name: str, features: Features, draw: Draw) -> list[list[str]]:
    selection = get_protocol(name).selector.select(features, draw)
    assert features.paths is not None
    return [
        [path.removesuffix(".jpg") for path in features.paths[trial.gallery].tolist()]
        for trial in selection.trials
    ]


def fingerprints(drawn: list[list[str]]) -> list[str]:
    return [hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] for names in drawn]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sysu-mm01/all/1", SEEDED_ALL), ("sysu-mm01/indoor/1", SEEDED_INDOOR)],
)
def test_seeded_sampler_draws_the_published_galleries(name: str, expected: str) -> None:
    drawn = galleries(name, sysu_test_set(), Draw())
    assert fingerprints(drawn) == expected.split()
    if name == "sysu-mm01/all/1":
        assert drawn[0][:5] == [
            "cam1/0006/0025",
            "cam2/0006/0025",
            "cam4/0006/0014",
            "cam5/0006/0002",
            "cam1/0010/0017",
        ]


FIRST_IMAGES = {
    (1, 6): "5 17 38 9 34 4 42 9 41 27",
    (2, 6): "7 10 18 15 11 24 5 17 19 17",
    (4, 6): "10 20 4 11 18 12 12 12 6 17",
    (5, 6): "15 1 8 2 2 16 14 7 8 2",
    (1, 10): "18 24 25 27 32 19 1 6 5 34",
    (2, 10): "11 4 20 27 25 19 28 26 5 29",
    (4, 10): "12 7 15 19 12 18 5 15 8 13",
    (5, 10): "9 2 8 16 5 4 19 15 20 12",
}
"""(camera, person) → the image that the official permutations put first in trials 1 to 10."""


@pytest.mark.parametrize("setting", ["all", "indoor"])
def test_official_sampler_draws_what_is_published_of_two_people(
    setting: str, tmp_path: Path
) -> None:
    table = {}
    for key, count in image_counts().items():
        firsts = [int(n) for n in FIRST_IMAGES.get(key, "1").split()]
        rest = [[n for n in range(1, count + 1) if n != first] for first in firsts]
        table[key] = np.array([[first, *more] for first, more in zip(firsts, rest, strict=True)])
    write_permutations(tmp_path / "rand_perm_cam.mat", table)
    draw = Draw(sampler="official", permutations=tmp_path)
    drawn = galleries(f"sysu-mm01/{setting}/1", sysu_test_set(people=2), draw)
    assert len(drawn) == 10
    for trial, names in enumerate(drawn):
        assert names == [
            f"cam{cam}/{pid:04d}/{int(FIRST_IMAGES[cam, pid].split()[trial]):04d}"
            for cam in ((1, 2) if setting == "indoor" else (1, 2, 4, 5))
            for pid in (6, 10)
        ]


@pytest.fixture
def official_permutations() -> Path:
    """Not ours to hand on; `make test-splits` says where they are."""
    return Path(os.environ["CROSSLIGHT_SYSU_SPLITS"])


@pytest.mark.sysu_splits
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sysu-mm01/all/1", OFFICIAL_ALL),
        ("sysu-mm01/indoor/1", OFFICIAL_INDOOR),
        ("sysu-mm01/all/10", OFFICIAL_TEN),
    ],
)
def test_official_sampler_draws_the_published_galleries(
    name: str, expected: str, official_permutations: Path
) -> None:
    draw = Draw(sampler="official", permutations=official_permutations)
    assert fingerprints(galleries(name, sysu_test_set(), draw)) == expected.split()


@pytest.mark.sysu_splits
def test_facts_carried_by_the_tests_are_those_of_the_permutations(
    official_permutations: Path,
) -> None:
    permutations = load_permutations(official_permutations)
    counts = image_counts()
    people = {pid for _, pid in counts}
    assert counts == {
        key: order.shape[1] for key, order in permutations.items() if key[1] in people
    }
    for key, firsts in FIRST_IMAGES.items():
        assert permutations[key][:, 0].tolist() == [int(n) for n in firsts.split()]


def test_galleries_without_paths_are_drawn_by_row_order() -> None:
    features = sysu_test_set(shuffled=False)
    bare = Features(
        feats=features.feats, pids=features.pids, cams=features.cams, modality=features.modality
    )
    protocol = get_protocol("sysu-mm01/all/1")
    with_paths = protocol.selector.select(features, Draw())
    without = protocol.selector.select(bare, Draw())
    for a, b in zip(with_paths.trials, without.trials, strict=True):
        np.testing.assert_array_equal(a.gallery, b.gallery)
    assert any("row order" in rule for rule in without.rules)


def small(counts: dict[tuple[int, int], int], names: list[str] | None = None) -> Features:
    rows = [(cam, pid, k) for (cam, pid), n in counts.items() for k in range(1, n + 1)]
    stems = names or [f"{k:04d}.jpg" for _, _, k in rows]
    cams = np.array([cam for cam, _, _ in rows])
    return Features(
        feats=np.eye(len(rows)),
        pids=np.array([pid for _, pid, _ in rows]),
        cams=cams,
        modality=np.isin(cams, (3, 6)).astype(np.uint8),
        paths=np.array(
            [f"cam{c}/{p:04d}/{stem}" for (c, p, _), stem in zip(rows, stems, strict=True)]
        ),
    )


def test_ten_shots_of_fewer_images_take_all_and_say_so() -> None:
    features = small({(1, 1): 4, (2, 1): 12, (3, 1): 2})
    selection = get_protocol("sysu-mm01/indoor/10").selector.select(features, Draw(trials=3))
    for trial in selection.trials:
        assert sorted(trial.gallery[:4].tolist()) == [0, 1, 2, 3]
        assert len(set(trial.gallery.tolist())) == 14
        assert features.cams[trial.gallery].tolist() == [1] * 4 + [2] * 10
    assert any("1 of them have fewer images" in rule for rule in selection.rules)
    firsts = {tuple(trial.gallery.tolist()) for trial in selection.trials}
    assert len(firsts) == 3


def test_people_come_in_the_order_of_their_names() -> None:
    assert people_by_name([(1, 10000), (2, 9999), (1, 3)]) == [3, 10000, 9999]
    groups = {(1, 10): np.array([5]), (2, 2): np.array([6]), (1, 2): np.array([7])}
    assert seeded_gallery(groups, (1, 2), trial=0, shots=1).tolist() == [7, 6, 5]


def test_official_numbers_are_file_names_not_text_order() -> None:
    names = [f"{k}.jpg" for k in range(1, 12)]
    features = small({(1, 1): 11}, names)
    groups = group_images(features, np.arange(11))
    order = np.array([[11, 2, 10, 1, 3, 4, 5, 6, 7, 8, 9]])
    numbered = numbered_images(features, groups, (1,))
    rows = official_gallery(numbered, (1,), {(1, 1): order}, trial=0, shots=3)
    assert rows.tolist() == [10, 1, 9]


def test_gaps_and_foreign_permutations_are_refused() -> None:
    features = small({(1, 6): 3}, ["0001.jpg", "0002.jpg", "0004.jpg"])
    groups = group_images(features, np.arange(3))
    with pytest.raises(ProtocolError, match=r"cam1/0006 .* no number 3; .*--sampler seeded"):
        numbered_images(features, groups, (1,))
    with pytest.raises(ProtocolError, match="know 2 images of cam1/0006, the features hold 3"):
        official_gallery(groups, (1,), {(1, 6): np.array([[1, 2]])}, trial=0, shots=1)
    with pytest.raises(ProtocolError, match="hold 1 trials, but trial 2 is asked for"):
        official_gallery(groups, (1,), {(1, 6): np.array([[1, 3, 2]])}, trial=1, shots=1)
    twice = small({(1, 6): 2}, ["0001.jpg", "0001.jpg"])
    with pytest.raises(ProtocolError, match=r"Rows 0 and 1 both are 0001\.jpg"):
        group_images(twice, np.arange(2))


def write_permutations(path: Path, table: dict[tuple[int, int], np.ndarray]) -> None:
    cams = np.empty((6, 1), dtype=object)
    people = max(pid for _, pid in table)
    for cam in range(1, 7):
        column = np.empty((people, 1), dtype=object)
        for pid in range(1, people + 1):
            column[pid - 1, 0] = table.get((cam, pid), np.empty((0, 0)))
        cams[cam - 1, 0] = column
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"rand_perm_cam": cams})


def test_permutations_are_found_in_the_root_and_in_exp(tmp_path: Path) -> None:
    table = {(1, 2): np.array([[2, 1, 3], [3, 1, 2]]), (6, 1): np.array([[1]])}
    write_permutations(tmp_path / "exp" / "rand_perm_cam.mat", table)
    for path in (tmp_path, tmp_path / "exp", tmp_path / "exp" / "rand_perm_cam.mat"):
        loaded = load_permutations(path)
        assert set(loaded) == set(table)
        np.testing.assert_array_equal(loaded[1, 2], table[1, 2])


def test_broken_permutations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no rand_perm_cam\.mat in .*exp"):
        load_permutations(tmp_path)
    with pytest.raises(ConfigError, match="is not a file"):
        load_permutations(tmp_path / "absent.mat")
    (tmp_path / "text.mat").write_text("these are not permutations")
    with pytest.raises(ConfigError, match="does not hold the table 'rand_perm_cam'"):
        load_permutations(tmp_path / "text.mat")
    savemat(tmp_path / "other.mat", {"id": np.arange(3)})
    with pytest.raises(ConfigError, match="does not hold the table 'rand_perm_cam'"):
        load_permutations(tmp_path / "other.mat")
    write_permutations(tmp_path / "wrong.mat", {(1, 1): np.array([[1, 1, 3]])})
    with pytest.raises(ConfigError, match=r"is not a permutation of 1\.\.3"):
        load_permutations(tmp_path / "wrong.mat")
    with pytest.raises(ConfigError, match="choose one of seeded, official"):
        check_sampler("random")
