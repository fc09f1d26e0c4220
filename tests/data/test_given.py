"""Images in every form that people have them in are the same picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crosslight.data.given import lights_given, pictures_of
from crosslight.errors import DataError
from crosslight.types import Modality

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 6, 3), dtype=np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def _tensor() -> torch.Tensor:
    return torch.from_numpy(PIXELS).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize(
    "form",
    [
        lambda path: path,
        str,
        lambda _: Image.fromarray(PIXELS),
        lambda _: PIXELS,
        lambda _: _tensor(),
        lambda _: _tensor().requires_grad_(),
        lambda _: _tensor().double(),
        lambda _: (_tensor() * 255).byte(),
    ],
)
def test_one_image_in_any_form(form: Any, path: Path) -> None:
    for given in (form(path), [form(path)]):
        (picture,) = pictures_of(given)
        assert picture.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(picture), PIXELS)


def deep_png(path: Path) -> None:
    steps = np.arange(72, dtype=np.uint16).reshape(12, 6) * 40 + 1000
    Image.fromarray(steps).save(path)


def float_tiff(path: Path) -> None:
    Image.fromarray(PIXELS[..., 0].astype(np.float32) / 255).save(path)


def turned_jpeg(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(path, exif=exif, quality=100)


def with_a_palette(path: Path) -> None:
    Image.fromarray(PIXELS).quantize(16).save(path)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (deep_png, "a.png"), (float_tiff, "a.tif"), (turned_jpeg, "a.jpg"),
        (with_a_palette, "a.gif"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("deep_range", [None, (1000.0, 3840.0)])
def test_an_open_image_is_the_picture_of_its_file(tmp_path: Path, write, name, deep_range):
    if write is float_tiff and deep_range is not None:
        deep_range = (0.0, 1.0)
    write(tmp_path / name)
    (expected,) = pictures_of(tmp_path / name, deep_range=deep_range)
    with Image.open(tmp_path / name) as image:
        mode = image.mode
        (picture,) = pictures_of(image, deep_range=deep_range)
        assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))
    assert 20 < np.asarray(picture).mean() < 235 or deep_range is None


def test_an_open_image_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).resize((90, 90)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with (
        Image.open(tmp_path / "a.png") as image,
        pytest.raises(DataError, match="Image 1 is damaged"),
    ):
        pictures_of([Image.fromarray(PIXELS), image])


@pytest.mark.parametrize("empty", [np.zeros((0, 6, 3), np.uint8), torch.zeros(3, 4, 0)])
def test_an_image_of_no_pixels_is_refused(empty: Any) -> None:
    with pytest.raises(DataError, match=r"Image 70 is an? (array|tensor)"):
        pictures_of([PIXELS] * 6 + [empty], first=64)


@pytest.mark.parametrize(
    "light", [1, Modality.INFRARED, np.int64(1), "Infrared", np.array(1), torch.tensor(1)]
)
def test_one_light_in_any_form_is_that_of_all(light: Any) -> None:
    assert lights_given(light, 3) == [1, 1, 1]
    assert lights_given([light] * 3, 3) == [1, 1, 1]


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_a_light_for_each_in_any_form(form: Any) -> None:
    assert lights_given(form([0, 1, 0]), 3) == [0, 1, 0]
    with pytest.raises(DataError, match="2 lights are given for 3 images"):
        lights_given(form([0, 1]), 3)
    with pytest.raises(DataError, match="7 is no light"):
        lights_given(form([0, 7, 0]), 3)


@pytest.mark.parametrize("light", [7, 0.5, object()])
def test_what_is_no_light_is_said_in_one_sentence(light: Any) -> None:
    with pytest.raises(DataError, match="is no light; write 'visible' or 'infrared'"):
        lights_given(light, 1)


@pytest.mark.parametrize("batch", [np.stack([PIXELS] * 3), torch.stack([_tensor()] * 3)])
def test_a_batch_is_its_images(batch: Any) -> None:
    for picture in pictures_of(batch):
        np.testing.assert_array_equal(np.asarray(picture), PIXELS)
    assert len(pictures_of(batch)) == 3


def test_gray_arrays_become_rgb_and_forms_may_be_mixed(path: Path) -> None:
    gray, read = pictures_of([PIXELS[..., 0], path])
    np.testing.assert_array_equal(np.asarray(gray), np.repeat(PIXELS[..., :1], 3, axis=2))
    np.testing.assert_array_equal(np.asarray(read), PIXELS)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no image among those given"),
        (7, "int is no image"),
        ([None], "Image 0 is a NoneType"),
        (PIXELS.astype(np.float32), "float32"),
        (PIXELS[:, :, :2], r"\(12, 6, 2\)"),
        (torch.zeros(1, 12, 6), r"tensor \(1, 12, 6\)"),
        ((_tensor() - 0.5) / 0.2, "normalises inside"),
        (torch.full((3, 4, 4), torch.nan), "expected 0 to 1"),
        ("nowhere.jpg", "no image at nowhere.jpg"),
    ],
)
def test_what_is_no_image_is_said_in_one_sentence(given: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        pictures_of(given)
