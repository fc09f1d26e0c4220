"""A few small people in both lights, written as image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from crosslight.data.table import SampleTable, build_table


def draw_people(
    folder: Path, people: int = 5, per_light: int = 3, *, size: tuple[int, int] = (16, 8)
) -> SampleTable:
    """Each person a colour of their own under noise; cameras 1 (visible) and 3 (infrared)."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(people)
    columns: dict[str, list[object]] = {"path": [], "pid": [], "cam": [], "modality": []}
    for pid in range(people):
        colour = generator.integers(40, 216, 3)
        for light, cam in (("visible", 1), ("infrared", 3)):
            for number in range(per_light):
                noise = generator.integers(-30, 30, (*size, 3))
                pixels = (colour + noise).clip(0, 255).astype(np.uint8)
                if light == "infrared":
                    pixels[:] = pixels[:, :, :1]
                name = f"{pid}_{light}_{number}.png"
                Image.fromarray(pixels).save(folder / name)
                row = {"path": name, "pid": 7 * pid, "cam": cam, "modality": light}
                for key, value in row.items():
                    columns[key].append(value)
    return build_table("people", folder, columns)
