from __future__ import annotations

import numpy as np
from PIL import Image

from crosslight.drawing.structure_maps import (
    CHANNELS,
    main_directions,
    selective_channels,
    structure_map_grid,
)


def test_a_row_for_each_image_and_a_column_for_each_view() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 8, 4, 2)).astype(np.float32)
    images = [Image.new("RGB", (16, 32), "green")] * 3
    grid = structure_map_grid(images, [("a",), ("b",), ("c",)], maps)
    assert grid.width > (3 + CHANNELS) * 64, "four times as large as the images"
    assert grid.height > 3 * 128


def test_like_structure_gets_like_colours_in_every_row() -> None:
    generator = np.random.default_rng(0)
    kinds = generator.normal(size=(3, 8))  # three kinds of structure, by code
    places = generator.integers(3, size=(2, 6, 4))
    maps = kinds[places].transpose(0, 3, 1, 2).astype(np.float32)
    drawn = main_directions(maps)
    for kind in range(3):
        colours = drawn[places == kind]
        assert (colours == colours[0]).all()
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 3


def test_few_channels_and_flat_maps_can_be_drawn() -> None:
    flat = np.zeros((1, 2, 4, 2), dtype=np.float32)
    image = Image.new("RGB", (8, 16))
    assert structure_map_grid([image], [("a",)], flat).width > 4 * 8


def test_selective_channels_come_first() -> None:
    maps = np.ones((2, 7, 4, 4), dtype=np.float32)
    maps[:, 3] = 0
    maps[:, 3, 0, 0] = 4.0  # variance alike, but in one place
    assert selective_channels(maps)[0] == 3
