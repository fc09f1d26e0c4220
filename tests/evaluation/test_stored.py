import mmap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crosslight.errors import DataError
from crosslight.evaluation.features import Features, load_features, stored
from crosslight.evaluation.features.stored import release_pages
from crosslight.evaluation.protocols import get_protocol


def arrays() -> dict[str, Any]:
    generator = np.random.default_rng(6)
    pids = generator.integers(1, 8, 90)
    return {
        "feats": generator.normal(size=(90, 5)).astype(np.float32),
        "pids": pids,
        "cams": generator.integers(1, 4, 90),
        "modality": generator.integers(0, 2, 90),
        "split": np.where(generator.random(90) < 0.3, "query", "gallery"),
        "paths": np.array([f"a/{i}.jpg" for i in range(90)]),
    }


def table() -> pl.DataFrame:
    data = arrays()
    return pl.DataFrame(
        {
            "feats": pl.Series(data["feats"].tolist(), dtype=pl.List(pl.Float32)),
            "pid": data["pids"],
            "cam": data["cams"],
            "modality": data["modality"],
            "split": data["split"].tolist(),
            "path": data["paths"].tolist(),
        }
    )


def write(folder: Path, kind: str) -> Path:
    data = arrays()
    path = folder / "features.npz"
    if kind == "npz":
        np.savez(path, **data)
    elif kind == "compressed":
        np.savez_compressed(path, **data)
    elif kind == "columns":
        np.savez(path, **{**data, "feats": np.asfortranarray(data["feats"])})
    elif kind == "parquet":
        path = folder / "features.parquet"
        table().write_parquet(path, row_group_size=20)
    elif kind == "parquet arrays":
        path = folder / "features.parquet"
        table().with_columns(pl.col("feats").list.to_array(5)).write_parquet(path)
    else:
        path = folder / "features.npy"
        np.save(path, data.pop("feats"))
        if kind == "npy and csv":
            table().drop("feats").write_csv(folder / "features.csv")
        else:
            np.savez(folder / "features.labels.npz", **data)
    return path


KINDS = ["npz", "compressed", "columns", "parquet", "parquet arrays", "npy and csv", "npy and npz"]


def lies_on_disk(array: Any) -> bool:
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array is not None


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_holds_the_same(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_PARQUET_ROWS", 37)
    features = load_features(write(tmp_path, kind), map_from=0)
    expected = Features(**arrays())
    for name in ("feats", "pids", "cams", "modality", "split", "paths"):
        np.testing.assert_array_equal(getattr(features, name), getattr(expected, name))
    assert features.feats.dtype == np.float32
    assert lies_on_disk(features.feats) == (kind != "columns")
    scores, whole = (get_protocol("market1501").evaluate(f) for f in (features, expected))
    assert scores.mean == whole.mean
    np.testing.assert_array_equal(features.feats, expected.feats)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_an_npy_header_is_read_where_it_lies(
    tmp_path: Path, version: tuple[int, int]
) -> None:
    data = arrays()
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as members:
        for name, values in data.items():
            with members.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, values, version=version)
    features = load_features(tmp_path / "x.npz", map_from=0)
    np.testing.assert_array_equal(features.feats, data["feats"])
    np.testing.assert_array_equal(features.pids, data["pids"])
    assert lies_on_disk(features.feats)


def test_labels_beside_an_array_need_no_paths(tmp_path: Path) -> None:
    path = write(tmp_path, "npy and csv")
    table().select("pid", "split").write_csv(tmp_path / "features.csv")
    features = load_features(path)
    np.testing.assert_array_equal(features.pids, arrays()["pids"])
    assert features.paths is None
    assert features.cams.tolist() == [-1] * 90
    table().select("cam", "split").write_csv(tmp_path / "features.csv")
    with pytest.raises(DataError, match="pid"):
        load_features(path)


def test_a_parquet_file_with_other_names_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table().rename({"feats": "Feats", "pid": "PID "}).write_parquet(path)
    np.testing.assert_array_equal(load_features(path).pids, arrays()["pids"])
    table().rename({"feats": "embedding"}).write_parquet(path)
    with pytest.raises(DataError, match=r"holds embedding, pid, .* but no array 'feats'"):
        load_features(path)


def test_small_arrays_are_read_at_once(tmp_path: Path) -> None:
    for kind in ("npz", "npy and csv"):
        assert not lies_on_disk(load_features(write(tmp_path, kind)).feats)


def test_released_pages_come_back(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(10.0))
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    release_pages(array)
    assert array.sum() == 45.0
    release_pages(np.arange(3))


@pytest.mark.parametrize("map_from", [0, 2**40])
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, map_from: int) -> None:
    path = write(tmp_path, "npy and csv")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"is not a readable \.npy file"):
        load_features(path, map_from=map_from)


@pytest.mark.parametrize("part", ["data", "footer"])
def test_a_damaged_parquet_file_is_a_sentence(tmp_path: Path, part: str) -> None:
    path = tmp_path / "x.parquet"
    table().write_parquet(path)
    whole = path.read_bytes()
    begins = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    places = (4, begins) if part == "data" else (begins, len(whole) - 8)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(*places, 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load_features(path)
        except DataError:
            refused += 1
    assert refused > 75


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a file; give the Parquet file"):
        load_features(tmp_path / "absent.parquet")
    path = tmp_path / "x.parquet"
    path.write_text("no")
    with pytest.raises(DataError, match="is not readable as Parquet"):
        load_features(path)
    table().drop("feats").write_parquet(path)
    with pytest.raises(DataError, match="no array 'feats'"):
        load_features(path)
    table().with_columns(feats=pl.lit("a")).write_parquet(path)
    with pytest.raises(DataError, match="expected a list of numbers per row"):
        load_features(path)
    ragged = table().with_columns(
        feats=pl.when(pl.col("path") == "a/7.jpg")
        .then(pl.col("feats").list.head(2))
        .otherwise(pl.col("feats"))
    )
    ragged.write_parquet(path)
    with pytest.raises(DataError, match=r"Row 7 of .* does not hold 5 features"):
        load_features(path)
    table().with_columns(feats=pl.col("feats").list.head(0)).write_parquet(path)
    with pytest.raises(DataError, match=r"Row 0 of .* has no features"):
        load_features(path)
