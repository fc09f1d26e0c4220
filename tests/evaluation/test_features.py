import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslight.errors import DataError
from crosslight.evaluation.features import (
    UNKNOWN_MODALITY,
    Features,
    cams_and_pids_of_paths,
    load_features,
    save_features,
)
from crosslight.types import UNKNOWN_CAM


def arrays(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "feats": np.arange(6, dtype=np.float32).reshape(3, 2),
        "pids": np.array([1, 1, 2]),
        "cams": np.array([1, 2, 3]),
        "modality": np.array([0, 0, 1]),
    }
    base.update(changes)
    return {name: value for name, value in base.items() if value is not None}


def written(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "features.npz"
    np.savez(path, **arrays(**changes))
    return path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    features = Features(
        **arrays(split=np.array(["query", "gallery", "gallery"]), paths=np.array(["a", "b", "ç"]))
    )
    save_features(tmp_path / "out.npz", features)
    loaded = load_features(tmp_path / "out.npz")
    for name in ("feats", "pids", "cams", "modality", "split", "paths"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(features, name))
    assert loaded.feats.dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]


def test_unknown_cameras_stay_unknown(tmp_path: Path) -> None:
    features = load_features(written(tmp_path, cams=None, modality=None))
    assert features.cams.tolist() == [UNKNOWN_CAM] * 3
    assert features.modality.tolist() == [UNKNOWN_MODALITY] * 3
    save_features(tmp_path / "again.npz", features)
    with np.load(tmp_path / "again.npz") as file:
        assert sorted(file.files) == ["feats", "pids"]


def test_whole_numbers_become_float64(tmp_path: Path) -> None:
    assert load_features(written(tmp_path, feats=np.ones((3, 2), int))).feats.dtype == np.float64


@pytest.mark.parametrize(
    "paths",
    [
        ["cam1/0006/0025.jpg", "cam2/0006/0001.jpg", "cam6/0333/0002.jpg"],
        ["/data/cam9/x/cam1/0006/0025.jpg", "/cam2/0006/0001.jpg", "y/cam6/0333/0002.jpg"],
        [r"C:\cam\cam1\0006\0025.jpg", r"cam2\0006\0001.jpg", r"D:\cam6\0333\0002.jpg"],
    ],
)
def test_paths_give_cameras_and_people(tmp_path: Path, paths: list[str]) -> None:
    features = load_features(written(tmp_path, cams=None, pids=None, paths=np.array(paths)))
    assert features.cams.tolist() == [1, 2, 6]
    assert features.pids.tolist() == [6, 6, 333]
    assert cams_and_pids_of_paths(np.array([*paths, "0001_c1s1_000001_00.jpg"])) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"feats": None}, r"no array 'feats'; add the embeddings, one row per image"),
        ({"pids": None}, r"no array 'pids'; add the person id of each row"),
        ({"pids": np.array([1, 2])}, r"pids has shape \(2,\), expected \(3,\)"),
        ({"pids": np.array([[1], [1], [2]])}, r"pids has shape \(3, 1\), expected \(3,\)"),
        ({"pids": np.array([1.0, 1.0, 2.0])}, r"pids holds float64.*pids\.astype"),
        ({"cams": np.array(["1", "2", "3"])}, r"cams holds <U1.*cams\.astype"),
        ({"modality": np.array([0, 2, 1])}, r"modality\[1\] is 2, expected 0 .* or 1"),
        ({"feats": np.zeros((3, 2, 2))}, r"feats has shape \(3, 2, 2\), expected \(N, D\)"),
        ({"feats": np.zeros((0, 2)), "pids": np.zeros(0, int)}, "at least one image"),
        ({"feats": np.array([[0, 0], [0, np.nan], [np.inf, 0]])}, r"feats\[1, 1\] is nan"),
        ({"feats": np.array([[0, 0], [0, 0], [-np.inf, 0]])}, r"feats\[2, 0\] is -inf"),
        ({"feats": np.zeros((3, 2), complex)}, "feats holds complex128"),
        ({"split": np.array([1, 2, 3])}, r"split holds int64, expected text"),
        ({"paths": np.array(["a", "b"])}, r"paths has shape \(2,\)"),
        ({"feats": np.array([[1, None]] * 3, object)}, "Array 'feats' .* holds Python objects"),
        ({"paths": np.array(["a", "b", None], object)}, r"asarray\(paths, dtype=str\)"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(DataError, match=sentence):
        load_features(path)


class _Loud:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the file ran code",))


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a file"):
        load_features(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("feats, pids")
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(_Loud()))
    for name in ("text.npz", "empty.npz", "pickle.npz"):
        with pytest.raises(DataError, match="is not a readable"):
            load_features(tmp_path / name)
    np.save(tmp_path / "bare.npy", np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"embeddings only; put their labels into bare\.csv"):
        load_features(tmp_path / "bare.npy")
    (tmp_path / "bare.npy").rename(tmp_path / "bare.npz")
    with pytest.raises(DataError, match="one bare array"):
        load_features(tmp_path / "bare.npz")


def test_code_in_an_array_is_not_run(tmp_path: Path) -> None:
    path = written(tmp_path, split=np.array([_Loud()] * 3, object))
    with pytest.raises(DataError, match="could run code"):
        load_features(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, feats=np.ones((3, 4000)))
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or cut off"):
        load_features(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="is not a readable"):
        load_features(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    features = Features(**arrays())
    save_features(tmp_path / "out.npz", features)
    before = (tmp_path / "out.npz").read_bytes()

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DataError, match=r"could not be written \(No space left on device\)"):
        save_features(tmp_path / "out.npz", features)
    assert (tmp_path / "out.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]
    with pytest.raises(DataError, match="could not be written"):
        save_features(tmp_path / "out.npz" / "inside.npz", features)
