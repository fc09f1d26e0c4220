"""What a network takes for the structure of an image, made visible.

Letters: B images, C channels, h and w the map's height and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crosslight.parts import named_if_missing
from crosslight.report.grid import Cell, Verdict, image_grid, legible

CHANNELS = 5
_SELDOM = 1.0  # percent of the values that may lie beyond the ends of a colour scale


def structure_map_grid(
    images: Sequence[Image.Image], names: Sequence[tuple[str, ...]], maps: NDArray[np.float32]
) -> Image.Image:
    """A row per image: itself, how strong its code is, its main directions, and some channels.

    The main directions are the first three principal components over all the images, as red,
    green and blue: like colours in two rows are like structure, also across light. The channels
    are those that answer most selectively (largest fourth moment), on one scale for all rows.

    Args:
        images: B pictures of one size.
        names: B titles, in lines.
        maps: (B, C, h, w).
    """
    height, width = legible(images[0].height, images[0].width)
    columns = {
        "strength": _heat(np.abs(maps).mean(axis=1)),
        "directions": main_directions(maps),
        **{f"channel {c}": _heat(maps[:, c]) for c in selective_channels(maps)},
    }
    rows = []
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        row = [Cell(image=image, verdict=Verdict.QUERY, lines=name)]
        for title, column in columns.items():
            drawn = Image.fromarray(column[number])
            picture = drawn.resize((width, height), Image.Resampling.NEAREST)
            row.append(Cell(image=picture, lines=(title,)))
        rows.append(row)
    return image_grid(rows, cell_height=height, cell_width=width)


def selective_channels(maps: NDArray[np.float32]) -> list[int]:
    """The few channels of (B, C, h, w) that answer most selectively, the most selective first."""
    moments = (maps.astype(np.float64) ** 4).mean(axis=(0, 2, 3))
    return [int(c) for c in np.argsort(-moments, kind="stable")[:CHANNELS]]


def _heat(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(B, h, w) → (B, h, w, 3)."""
    with named_if_missing():
        import matplotlib

    coloured = matplotlib.colormaps["magma"](_unit(values))[..., :3]
    return (255 * coloured).round().astype(np.uint8)


def main_directions(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """First three principal components as colours.

    Args:
        maps: (B, C, h, w); fewer channels than three leave the rest gray.

    Returns:
        (B, h, w, 3).
    """
    batch, channels, height, width = maps.shape
    rows = maps.astype(np.float64).transpose(0, 2, 3, 1).reshape(-1, channels)
    rows = rows - rows.mean(axis=0)
    _, vectors = np.linalg.eigh(rows.T @ rows)
    main = vectors[:, ::-1][:, :3]
    # The sign of a direction is arbitrary; its largest part shall be positive.
    main = main * np.sign(main[np.abs(main).argmax(axis=0), np.arange(main.shape[1])])
    found = (rows @ main).reshape(batch, height, width, -1)
    shown = np.full((batch, height, width, 3), 0.5)
    for number in range(found.shape[-1]):
        shown[..., number] = _unit(found[..., number])
    return (255 * shown).round().astype(np.uint8)


def _unit(values: NDArray[np.floating]) -> NDArray[np.float64]:
    low, high = np.percentile(values, [_SELDOM, 100 - _SELDOM])
    scaled: NDArray[np.float64] = ((values - low) / max(high - low, 1e-12)).clip(0, 1)
    return scaled
