import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.io
import torch

from crosslight.errors import DataError
from crosslight.evaluation.features import (
    Features,
    cams_and_pids_of_paths,
    load_features,
    save_features,
)
from crosslight.types import UNKNOWN_CAM, UNKNOWN_MODALITY


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
        ({"pids": np.array([1.0, 1.5, 2.0])}, r"pids\[1\] is 1\.5, expected a whole number"),
        ({"cams": np.array(["1", "c2", "3"])}, r"cams\[1\] is 'c2', .*numpy\.unique\(cams, "),
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


SIX = {
    "feats": np.arange(12, dtype=np.float32).reshape(6, 2),
    "pids": np.array([1, 2, 3, 1, 2, 3]),
    "cams": np.array([1, 1, 1, 2, 2, 2]),
    "split": np.repeat(["query", "gallery"], 3),
}


def halves(rows: slice, prefix: str) -> dict[str, Any]:
    names = {"f": "feats", "label": "pids", "cam": "cams"}
    return {f"{prefix}_{own}": SIX[name][rows] for own, name in names.items()}


def in_halves() -> dict[str, Any]:
    return {**halves(slice(0, 3), "query"), **halves(slice(3, 6), "gallery")}


def same_as_six(features: Features) -> None:
    for name, values in SIX.items():
        np.testing.assert_array_equal(getattr(features, name), values)


def test_files_of_the_test_scripts_of_other_programs_are_read(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "pytorch_result.mat", in_halves())
    assert scipy.io.loadmat(tmp_path / "pytorch_result.mat")["query_label"].shape == (1, 3)
    same_as_six(load_features(tmp_path / "pytorch_result.mat"))
    np.savez(tmp_path / "halves.npz", **in_halves())
    same_as_six(load_features(tmp_path / "halves.npz"))
    tensors = {name: torch.from_numpy(values) for name, values in in_halves().items()}
    torch.save(tensors, tmp_path / "halves.pt")
    same_as_six(load_features(tmp_path / "halves.pt"))
    whole = {name: torch.from_numpy(SIX[name]) for name in ("feats", "pids", "cams")}
    whole["feats"] = whole["feats"].bfloat16().requires_grad_()
    torch.save({**whole, "split": SIX["split"].tolist(), "epoch": 3}, tmp_path / "whole.pth")
    same_as_six(load_features(tmp_path / "whole.pth"))


def test_multi_queries_of_a_matlab_file_have_a_split_of_their_own(tmp_path: Path) -> None:
    more = {f"m{name}": values for name, values in halves(slice(0, 3), "query").items()}
    scipy.io.savemat(tmp_path / "x.mat", {**in_halves(), **more})
    features = load_features(tmp_path / "x.mat")
    assert features.split is not None
    assert features.split.tolist() == ["query"] * 3 + ["gallery"] * 3 + ["multi-query"] * 3


def test_multi_queries_may_be_empty(tmp_path: Path) -> None:
    """A test script that found none of them writes the arrays all the same."""
    scipy.io.savemat(
        tmp_path / "x.mat", {**in_halves(), "mquery_f": np.empty((0, 2)), "mquery_label": []}
    )
    same_as_six(load_features(tmp_path / "x.mat"))


def test_text_of_older_programs_is_read_as_they_wrote_it(tmp_path: Path) -> None:
    for encoding in ("utf-8", "latin-1"):
        paths = np.array([f"Straße/{i}.jpg".encode(encoding) for i in range(6)])
        np.savez(tmp_path / "x.npz", **SIX, paths=paths)
        read = load_features(tmp_path / "x.npz").paths
        assert read is not None
        assert read.tolist() == [f"Straße/{i}.jpg" for i in range(6)]


def test_other_names_are_told_and_the_remedy_works(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, features=SIX["feats"], labels=SIX["pids"], camids=SIX["cams"])
    with pytest.raises(DataError, match=r"holds camids, features, labels but no array 'feats'"):
        load_features(path)
    with np.load(path) as old:
        arrays = {name: old[name] for name in old.files}
    np.savez(path, feats=arrays["features"], pids=arrays["labels"], cams=arrays["camids"])
    assert load_features(path).cams.tolist() == SIX["cams"].tolist()
    torch.save({"embedding": torch.zeros(2, 2)}, tmp_path / "x.pt")
    with pytest.raises(DataError, match=r"holds embedding but no array 'feats'"):
        load_features(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"gallery_cam": None},
            r"no array 'gallery_cam'; add it, one value per row",
        ),
        ({"query_label": np.arange(2)}, r"'query_label' of .* has shape \(2,\), expected \(3,\)"),
        ({"query_f": np.ones((3, 5))}, r"shapes \(3, 5\), \(3, 2\), expected as many columns"),
    ],
)
def test_halves_that_do_not_fit_are_named(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    arrays = {name: v for name, v in {**in_halves(), **change}.items() if v is not None}
    scipy.io.savemat(tmp_path / "x.mat", arrays)
    with pytest.raises(DataError, match=sentence):
        load_features(tmp_path / "x.mat")


def test_a_matlab_file_of_version_7_3_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match=r"version 7\.3; save it with save\(\.\.\., '-v7'\)"):
        load_features(path)


def test_torch_files_run_no_code_and_others_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"feats": _Loud()}, path)
    with pytest.raises(DataError, match="Python objects could run code"):
        load_features(path)
    torch.save({"feats": np.ones((2, 2))}, path)
    with pytest.raises(DataError, match="holds more than tensors"):
        load_features(path)
    torch.save(torch.ones(2, 2), path)
    with pytest.raises(DataError, match="holds a Tensor, expected a dictionary"):
        load_features(path)
    for content in (b"", b"no file of torch", b"some text", b"epoch 3", b"run", b"PK\x03\x04"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"torch\.save\("):
            load_features(path)
        (tmp_path / "x.mat").write_bytes(content)
        with pytest.raises(DataError, match="is not a readable MATLAB file"):
            load_features(tmp_path / "x.mat")


@pytest.mark.parametrize("name", ["pids", "cams"])
def test_names_are_numbered_by_the_remedy(tmp_path: Path, name: str) -> None:
    path, names = tmp_path / "x.npz", np.array(["ben", "anna", "ben", "ben", "anna", "carl"])
    np.savez(path, **{**SIX, name: names})
    remedy = rf"{name}\[0\] is 'ben', .*numpy\.unique\({name}, return_inverse=True\)\[1\] \+ 1"
    with pytest.raises(DataError, match=remedy):
        load_features(path)
    np.savez(path, **{**SIX, name: np.unique(names, return_inverse=True)[1] + 1})
    assert getattr(load_features(path), name).tolist() == [2, 1, 2, 2, 1, 3]


def test_ids_beyond_64_bits_are_numbered_by_the_remedy() -> None:
    ids = SIX["pids"].astype(np.uint64) + np.uint64(2**63)
    with pytest.raises(DataError, match=r"pids\[0\] is 9223372036854775809, .*numpy\.unique\(pids"):
        Features(**{**SIX, "pids": ids})
    same_as_six(Features(**{**SIX, "pids": np.unique(ids, return_inverse=True)[1] + 1}))


def test_features_ask_in_python_for_no_more_than_a_file_does() -> None:
    features = Features(feats=SIX["feats"], pids=SIX["pids"])
    assert features.cams.tolist() == [UNKNOWN_CAM] * 6
    assert features.modality.tolist() == [UNKNOWN_MODALITY] * 6
    assert features.modality.dtype == np.uint8


@pytest.mark.parametrize(
    "changes",
    [
        {name: values.tolist() for name, values in SIX.items()},
        {"feats": torch.from_numpy(SIX["feats"]).requires_grad_()},
        {"feats": torch.from_numpy(SIX["feats"]).bfloat16(), "pids": torch.tensor(SIX["pids"])},
        {"feats": torch.from_numpy(SIX["feats"]).half(), "cams": pl.Series(SIX["cams"])},
        {"pids": SIX["pids"].astype(float), "cams": SIX["cams"].astype(str)},
        {"pids": [f" {pid:04d} " for pid in SIX["pids"]], "cams": SIX["cams"].astype(bytes)},
        {"pids": SIX["pids"].astype(np.uint64), "cams": SIX["cams"].astype(object)},
        {"split": [f" {word.title()}" for word in SIX["split"].tolist()]},
        {"split": SIX["split"].astype(bytes), "modality": None},
    ],
)
def test_what_can_be_an_array_is_taken(changes: dict[str, Any]) -> None:
    same_as_six(Features(**{**SIX, **changes}))


def test_words_and_blanks_are_read_as_in_tables() -> None:
    features = Features(
        feats=SIX["feats"],
        pids=SIX["pids"],
        cams=[1, None, 3.0, float("nan"), 2, 1],
        modality=["RGB", "Thermal", None, "", "near infrared", "1"],
    )
    assert features.cams.tolist() == [1, UNKNOWN_CAM, 3, UNKNOWN_CAM, 2, 1]
    assert features.modality.tolist() == [0, 1, UNKNOWN_MODALITY, UNKNOWN_MODALITY, 1, 1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"feats": None}, "feats is None, expected an array"),
        ({"feats": "a.npy"}, "feats is of type str, expected an array"),
        ({"feats": {"a": 1}}, "feats is of type dict"),
        ({"feats": [[1.0], [1.0, 2.0]]}, "feats cannot be made an array"),
        ({"feats": [["a"]] * 6}, "feats holds <U1, .*; give the embeddings, not names or labels"),
        ({"feats": torch.eye(6).to_sparse()}, "feats cannot be made an array"),
        ({"feats": 3.0}, r"feats has shape \(\), expected \(N, D\)"),
        ({"pids": None}, "pids is None"),
        ({"pids": 7}, r"pids has shape \(\), expected \(6,\)"),
        ({"pids": [1, 2]}, r"pids has shape \(2,\), expected \(6,\)"),
        ({"pids": [1, 2, 3, None, 2, 3]}, r"pids\[3\] is nothing; give the number"),
        ({"pids": np.array([1, 1, 1, 2, 2, 2**64 - 1], np.uint64)}, r"pids\[5\] is 184467.* 2\^63"),
        ({"pids": [1, 2, 3, 1, 2, 2**70]}, r"pids\[5\] is .*2\^63"),
        ({"pids": [1, 2, 3, 1, 2, 1e30]}, r"pids\[5\] is 1e\+30, expected a whole number"),
        ({"pids": np.zeros(6, "datetime64[s]")}, r"pids holds datetime64\[s\], expected numbers"),
        ({"modality": ["dusk"] * 6}, r"modality\[0\] is 'dusk', write visible or infrared"),
        ({"modality": [0.5] * 6}, r"modality\[0\] is 0\.5, write visible or infrared"),
        ({"modality": [-1] * 6}, r"modality\[0\] is -1, expected 0"),
        ({"split": 6}, r"split has shape \(\)"),
        ({"split": "query"}, "split is of type str, expected an array"),
        ({"paths": [1, 2, 3, 4, 5, 6]}, "paths holds int64, expected text"),
    ],
)
def test_what_cannot_is_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        Features(**{**SIX, **changes})
