"""Pixels that a method drew, as picture files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from crosslight.errors import ConfigError
from crosslight.files import written_whole


def as_picture(pixels: Tensor) -> Image.Image:
    """(3, H, W) in [0, 1], on any device, as an RGB picture."""
    values = (pixels.float().cpu() * 255).round().clamp(0, 255).byte().permute(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(values.numpy()))


def person_and_file(pid: int, path: Path) -> tuple[str, str]:
    """Two lines below a picture: who it is, and the folder and name of its file."""
    return f"person {pid}", f"{path.parent.name}/{path.stem}"


def picture_format(path: Path) -> str:
    """What Pillow calls the format of a picture's ending.

    Raises:
        ConfigError: No picture that can be written has it.
    """
    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    if kind not in Image.SAVE:
        raise ConfigError(f"{path} has no ending of a picture; call it NAME.png.")
    return kind


def write_png(picture: Image.Image, path: Path) -> None:
    """Writes a PNG, whole or not at all, and makes the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file:
        picture.save(file, format="PNG")
