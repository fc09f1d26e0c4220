from __future__ import annotations

import io
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosslight.data.images import (
    MAX_PIXELS,
    TRANSPOSE,
    decode_image,
    read_image,
    read_with_depth,
    size_of,
)
from crosslight.errors import DataError
from tests.data.trees import jpeg, png_claiming

HEIGHT, WIDTH = 6, 4


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def values(path: Path) -> np.ndarray:
    image = read_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "ppm", "webp"])
def test_lossless_formats_come_back_exactly(
    tmp_path: Path, pixels: np.ndarray, ending: str
) -> None:
    path = tmp_path / f"x.{ending}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if ending == "webp" else {}))
    assert np.array_equal(values(path), pixels)
    assert size_of(path) == (HEIGHT, WIDTH)


def test_the_ending_does_not_decide_the_format(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.jpg")
    assert np.array_equal(values(tmp_path / "x.jpg"), pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_gray_gets_three_equal_channels(tmp_path: Path, pixels: np.ndarray, mode: str) -> None:
    gray = Image.fromarray(pixels).convert(mode)
    gray.save(tmp_path / "x.png")
    found = values(tmp_path / "x.png")
    assert np.array_equal(found, np.repeat(np.asarray(gray.convert("L"))[..., None], 3, axis=2))


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80"])
@pytest.mark.filterwarnings("error")
def test_a_palette_is_resolved(tmp_path: Path, transparency: int | bytes | None) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    options = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / "x.png", **options)
    assert values(tmp_path / "x.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_transparency_is_dropped(tmp_path: Path) -> None:
    Image.new("RGBA", (1, 1), (10, 20, 30, 0)).save(tmp_path / "x.png")
    assert values(tmp_path / "x.png").tolist() == [[[10, 20, 30]]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (1, 1), (0, 255, 255, 0)).save(tmp_path / "x.tiff")
    assert values(tmp_path / "x.tiff").tolist() == [[[255, 0, 0]]]


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, ending: str) -> None:
    deep = np.array([[0, 255, 257, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / f"x.{ending}")
    assert values(tmp_path / f"x.{ending}")[..., 0].tolist() == [[0, 1, 1, 128, 255]]


def test_sixteen_bits_in_the_other_byte_order(tmp_path: Path) -> None:
    header = b"P5 2 1 65535\n"
    (tmp_path / "x.pgm").write_bytes(header + np.array([65535, 257], dtype=">u2").tobytes())
    assert values(tmp_path / "x.pgm")[..., 0].tolist() == [[255, 1]]


def test_a_stated_full_scale_is_used(tmp_path: Path) -> None:
    deep = np.array([[0, 8192, 16383]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "x.tiff", tiffinfo={281: 16383})
    assert values(tmp_path / "x.tiff")[..., 0].tolist() == [[0, 128, 255]]


def test_floating_point_is_from_zero_to_one(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 0.5, 1]], dtype=np.float32)).save(tmp_path / "x.tiff")
    assert values(tmp_path / "x.tiff")[..., 0].tolist() == [[0, 128, 255]]


STATED = {
    "png": np.array([[2800, 2900, 3050, 3200, 9000]], dtype=np.uint16),
    "tiff": np.array([[-300, -50, 0, 50, 70000]], dtype=np.int32),
    "float.tiff": np.array([[0, 293.15, 303.15, 313.15, 400]], dtype=np.float32),
}


@pytest.mark.parametrize("ending", STATED)
def test_a_stated_range_goes_from_black_to_white_and_cuts_off_the_rest(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"x.{ending}"
    Image.fromarray(STATED[ending]).save(path)
    black, white = (float(STATED[ending][0, n]) for n in (1, 3))
    for read in (
        read_image(path, deep_range=(black, white)),
        decode_image(path.read_bytes(), name="x", deep_range=(black, white)),
    ):
        assert np.asarray(read)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_stated_range_is_in_the_values_that_the_file_holds(tmp_path: Path) -> None:
    raw = np.array([2900, 3050, 3200], dtype=">u2")
    (tmp_path / "x.pgm").write_bytes(b"P5 3 1 4095\n" + raw.tobytes())
    read = read_image(tmp_path / "x.pgm", deep_range=(2900, 3200))
    assert np.asarray(read)[0, :, 0].tolist() == [0, 128, 255]
    _, depth = read_with_depth(tmp_path / "x.pgm")
    assert depth is not None
    assert (round(depth.low), round(depth.high), depth.white) == (2902, 3198, 4095)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_stated_range_leaves_images_of_eight_bits_alone(
    tmp_path: Path, pixels: np.ndarray, mode: str
) -> None:
    Image.fromarray(pixels).convert(mode).save(tmp_path / "x.png")
    picture, depth = read_with_depth(tmp_path / "x.png", deep_range=(2900, 3200))
    assert np.array_equal(np.asarray(picture), values(tmp_path / "x.png"))
    assert depth is None


@pytest.mark.parametrize(
    "deep",
    [
        np.array([[0, 310.5]], dtype=np.float32),
        np.array([[np.nan, 0.5]], dtype=np.float32),
        np.array([[-1, 0]], dtype=np.int32),
        np.array([[0, 70000]], dtype=np.int32),
    ],
)
def test_values_without_a_known_range_are_refused(tmp_path: Path, deep: np.ndarray) -> None:
    Image.fromarray(deep).save(tmp_path / "x.tiff")
    with pytest.raises(DataError, match=r"x\.tiff has pixel values from .*convert it to an 8-bit"):
        read_image(tmp_path / "x.tiff")


@pytest.mark.parametrize(
    ("ending", "kind"),
    [("webp", "colour"), *itertools.product(["png", "tiff"], ["colour", "gray", "16 bits"])],
)
@pytest.mark.parametrize("orientation", sorted(TRANSPOSE))
def test_exif_orientation_is_applied(
    tmp_path: Path, pixels: np.ndarray, orientation: int, ending: str, kind: str
) -> None:
    if kind != "colour":
        pixels = pixels[..., 0].astype(np.uint8 if kind == "gray" else np.uint16)
    scale = 257 if kind == "16 bits" else 1
    upright = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).swapaxes(0, 1),
        8: np.rot90(pixels),
    }[orientation]
    exif = Image.Exif()
    exif[0x112] = orientation
    options = {"lossless": True} if ending == "webp" else {}
    path = tmp_path / f"x.{ending}"
    Image.fromarray(pixels * scale).save(path, exif=exif, **options)
    shown = values(path) if kind == "colour" else values(path)[..., 0]
    assert np.array_equal(shown, upright)
    assert size_of(path) == upright.shape[:2]


@pytest.mark.parametrize("orientation", [0, 1, 9, 65535])
def test_meaningless_orientations_are_ignored(
    tmp_path: Path, pixels: np.ndarray, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(values(tmp_path / "x.png"), pixels)


def test_damaged_exif_does_not_cost_the_image(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(buffer, "JPEG", exif=b"Exif\x00\x00garbage!")
    (tmp_path / "x.jpg").write_bytes(buffer.getvalue())
    assert read_image(tmp_path / "x.jpg").size == (WIDTH, HEIGHT)
    assert size_of(tmp_path / "x.jpg") == (HEIGHT, WIDTH)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "tiff", "webp", "gif"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.8])
def test_truncated_files_are_named(tmp_path: Path, ending: str, kept: float) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    path = tmp_path / f"broken.{ending}"
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=rf"broken\.{ending} (is damaged|is not an image).*copy it"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<html>not found</html>", r"is a web page .*; expected JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"is a PostScript file"),
        (b"a picture of a cat", r"is not an image; expected JPEG, PNG"),
    ],
)
def test_what_is_no_image_is_said(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    for read in (read_image, size_of):
        with pytest.raises(DataError, match=sentence):
            read(tmp_path / "x.jpg")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image at .*none\.jpg"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="is a folder; give the image files in it"):
        read_image(tmp_path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8001, 10_000, 60_000])
def test_bombs_are_refused_before_decoding(tmp_path: Path, side: int) -> None:
    assert side * side > MAX_PIXELS
    (tmp_path / "bomb.png").write_bytes(png_claiming(side, side))
    for read in (read_image, size_of):
        with pytest.raises(DataError, match=r"bomb\.png claims .* limit of 64 million"):
            read(tmp_path / "bomb.png")


def test_the_limit_itself_is_let_through(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png_claiming(8000, 8000))
    assert size_of(tmp_path / "x.png") == (8000, 8000)


def test_the_size_needs_the_header_only(tmp_path: Path) -> None:
    content = jpeg(height=64, width=32)
    (tmp_path / "x.jpg").write_bytes(content[: len(content) // 2])
    assert size_of(tmp_path / "x.jpg") == (64, 32)


def test_threads_read_the_same_and_leave_pillow_alone(tmp_path: Path) -> None:
    for seed in range(8):
        (tmp_path / f"{seed}.jpg").write_bytes(jpeg(seed))
    paths = sorted(tmp_path.iterdir()) * 4
    limit = Image.MAX_IMAGE_PIXELS
    alone = [values(path) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(values, paths))
    assert all(map(np.array_equal, alone, together))
    assert limit == Image.MAX_IMAGE_PIXELS
