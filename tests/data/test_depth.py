"""Deep images that become nearly flat are told, with the range that mends it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosslight.config import DataConfig, parse_recipe
from crosslight.data.check import check_data
from crosslight.data.depth import DepthTally
from crosslight.data.images import read_with_depth
from crosslight.errors import ConfigError

SCENE = np.random.default_rng(0).beta(2, 2, (40, 20))


def deep_png(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(np.rint(values).astype(np.uint16)).save(path)
    return path


def colour_png(path: Path, values: np.ndarray) -> Path:
    """Three channels of 16 bits, which Pillow cannot write."""
    deep = np.repeat(np.rint(values).astype(">u2")[..., None], 3, axis=2)
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    size = struct.pack(">IIBBBBB", deep.shape[1], deep.shape[0], 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
    )
    return path


def tally(*paths: Path, **how: tuple[float, float]) -> DepthTally:
    found = DepthTally()
    for path in paths:
        found.add(read_with_depth(path, **how)[1])
    return found


@pytest.mark.parametrize(
    ("low", "high", "levels"), [(2900, 3200, 2), (20000, 30000, 39), (0, 255, 2), (0, 16383, 64)]
)
def test_a_narrow_range_is_told_and_the_range_that_is_named_mends_it(tmp_path, low, high, levels):
    path = deep_png(tmp_path / "x.png", low + (high - low) * SCENE)
    found = tally(path)
    assert (found.deep, found.narrow) == (1, 1)
    black, white = found.range
    assert low <= black < low + (high - low) / 4 < high - (high - low) / 4 < white <= high
    assert f"lie between {black:.10g} and {white:.10g}." in found.told()
    depth = read_with_depth(path)[1]
    assert levels / 2 < depth.levels <= levels
    picture, after = read_with_depth(path, deep_range=(black, white))
    assert after.levels > 200
    assert not after.is_narrow
    assert np.asarray(picture)[..., 0].std() > 40


def test_one_dead_and_one_glowing_pixel_do_not_hide_a_narrow_range(tmp_path):
    values = 2900 + 300 * SCENE
    values[0, 0], values[0, 1] = 0, 65535
    assert tally(deep_png(tmp_path / "x.png", values)).narrow == 1


@pytest.mark.parametrize("values", [65535 * SCENE, 40000 + 0 * SCENE, 32000 + 32000 * SCENE])
def test_a_wide_range_and_one_value_throughout_are_left_alone(tmp_path, values):
    found = tally(deep_png(tmp_path / "x.png", values))
    assert (found.deep, found.narrow, found.told()) == (1, 0, "")


def test_a_stated_range_that_misses_the_values_is_told_too(tmp_path):
    found = tally(deep_png(tmp_path / "x.png", 2900 + 300 * SCENE), deep_range=(200, 400))
    assert found.narrow == 1
    assert "200 is read as black and 400 as white" in found.told()


def test_colour_of_which_half_the_bits_are_lost_gets_another_remedy(tmp_path):
    found = tally(colour_png(tmp_path / "x.png", 2900 + 300 * SCENE))
    assert found.narrow == 1
    assert "one channel" in found.remedy("{0} {1}")
    assert tally(colour_png(tmp_path / "y.png", 65535 * SCENE)).narrow == 0


def test_the_check_warns_and_its_remedy_ends_the_warning(tmp_path):
    rows = ["path,pid,cam,modality"]
    for number in range(3):
        deep_png(tmp_path / f"{number}.png", 2900 + 300 * np.roll(SCENE, number))
        rows.append(f"{number}.png,1,{3 * (1 + number % 2)},infrared")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    fault = next(f for f in check_data("table", tmp_path).faults if "gray levels" in f.what)
    assert fault.severity == "warning"
    assert fault.what.startswith("3 of 3 images with more than 8 bits keep at most 2 of 256")
    setting = fault.remedy.split("data.deep_range=")[1].split(",", 2)
    low, high = float(setting[0].strip("[")), float(setting[1].strip("]"))
    after = check_data("table", tmp_path, deep_range=(low, high))
    assert not [f for f in after.faults if "gray levels" in f.what]
    mapping = {"method": "agw", "data": {"deep_range": [low, high]}}
    assert parse_recipe(mapping, where="recipe").data.deep_range == (low, high)


@pytest.mark.parametrize("wrong", [(3200, 2900), (1, 1), (float("nan"), 1), (0, float("inf"))])
def test_a_range_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"deep_range goes from .* give the value of black"):
        DataConfig(deep_range=wrong)
    with pytest.raises(ConfigError, match="give the value of black"):
        parse_recipe({"method": "agw", "data": {"deep_range": wrong}}, where="recipe")
