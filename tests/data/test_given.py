"""Images in every form that people have them in are the same picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crosslight.data.given import pictures_of
from crosslight.errors import DataError

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
