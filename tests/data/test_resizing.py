"""What an exported model sees is what the run saw, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crosslight.data.resizing import resized
from crosslight.data.transforms import InferenceTransform
from crosslight.types import Interpolation

SIDES = st.integers(1, 300)


@given(given=st.tuples(SIDES, SIDES), wanted=st.tuples(SIDES, SIDES), seed=st.integers(0, 99))
def test_bilinear_images_are_those_of_torch(
    given: tuple[int, int], wanted: tuple[int, int], seed: int
) -> None:
    _equal(given, wanted, "bilinear", seed)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(128, 64), (90, 41), (300, 171), (128, 63)])
def test_images_of_every_interpolation_are_those_of_the_run(
    interpolation: Interpolation, size: tuple[int, int]
) -> None:
    _equal(size, (128, 64), interpolation, 0)


def _equal(
    size: tuple[int, int], wanted: tuple[int, int], interpolation: Interpolation, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    seen = InferenceTransform(*wanted, interpolation)(image)
    found = resized(image, *wanted, interpolation)
    assert found.shape == (*wanted, 3)
    assert found.flags.c_contiguous
    assert np.array_equal(np.rint(seen.permute(1, 2, 0).numpy() * 255), found)
