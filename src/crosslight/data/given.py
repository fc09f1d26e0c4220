"""Images as people hand them over: paths, PIL images, arrays, tensors, one or many of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from crosslight.data.images import read_image, rgb_of
from crosslight.errors import DataError
from crosslight.types import LIGHTS, DeepRange, Light, Modality

if TYPE_CHECKING:
    from torch import Tensor

GivenImage: TypeAlias = "str | PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor"
GivenImages: TypeAlias = "GivenImage | Iterable[GivenImage]"
GivenLight: TypeAlias = Modality | Light | int
GivenLights: TypeAlias = GivenLight | Iterable[GivenLight] | None

_EXPECTED = (
    "expected a path, a PIL image, an array (H, W, 3) or (H, W) of uint8, or a tensor (3, H, W) "
    "in [0, 1]"
)


def pictures_of(
    images: GivenImages, *, deep_range: DeepRange | None = None, first: int = 0
) -> list[Image.Image]:
    """RGB pictures of whatever was given.

    Args:
        images: A path, a PIL image, a uint8 array (H, W, 3) or (H, W), a float tensor (3, H, W)
            in [0, 1]; or several: a list of these, an array (B, H, W, 3), a tensor (B, 3, H, W).
        deep_range: Black and white of images with more than 8 bits, see `read_image`.
        first: The number that errors give the first image.

    Raises:
        DataError: None at all, one that cannot be read, or something that is no image.
    """
    found = [
        _picture(image, number, deep_range) for number, image in enumerate(listed(images), first)
    ]
    if not found:
        raise DataError(f"There is no image among those given; {_EXPECTED}.")
    return found


def listed(images: GivenImages) -> list[Any]:
    """Each of the images given, whatever it is.

    Raises:
        DataError: What was given is neither an image nor several.
    """
    if isinstance(images, str | PathLike | Image.Image):
        return [images]
    if isinstance(images, np.ndarray) or _is_tensor(images):
        several: Any = images
        return list(several) if several.ndim == 4 else [several]
    try:
        return list(images)
    except TypeError as error:
        raise DataError(f"{type(images).__name__} is no image; {_EXPECTED}.") from error


def lights_given(modality: GivenLights, count: int) -> list[int] | None:
    """The `Modality` of each of so many images, or None where nobody says.

    Raises:
        DataError: An unknown word, or not one light for each image.
    """
    if modality is None:
        return None
    named: Any = modality
    if isinstance(named, np.ndarray) or _is_tensor(named):
        named = named.tolist()
    if isinstance(named, str) or not isinstance(named, Iterable):
        return [light_given(named)] * count
    lights = [light_given(light) for light in named]
    if len(lights) != count:
        raise DataError(
            f"{len(lights)} lights are given for {count} images; give one for all, or one for each."
        )
    return lights


def light_given(light: Any) -> int:
    """The number of a light that somebody wrote.

    Raises:
        DataError: It is none.
    """
    if isinstance(light, str) and light.lower() in LIGHTS:
        return int(LIGHTS[light.lower()])
    if np.ndim(light) == 0 and (isinstance(light, np.ndarray) or _is_tensor(light)):
        light = light.item()
    try:
        return int(Modality(light))
    except ValueError as error:
        raise DataError(f"{light!r} is no light; write 'visible' or 'infrared'.") from error


def _picture(image: Any, number: int, deep_range: DeepRange | None) -> Image.Image:
    if isinstance(image, str | PathLike):
        return read_image(Path(image), deep_range=deep_range)
    if isinstance(image, Image.Image):
        return rgb_of(image, name=f"Image {number}", deep_range=deep_range)
    if _is_tensor(image):
        return _from_tensor(image.detach().cpu(), number)
    if isinstance(image, np.ndarray):
        if (
            image.dtype != np.uint8
            or image.ndim not in (2, 3)
            or image.shape[2:] not in ((), (3,))
            or image.size == 0
        ):
            raise DataError(
                f"Image {number} is an array {image.shape} of {image.dtype}; {_EXPECTED}."
            )
        return Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    raise DataError(f"Image {number} is a {type(image).__name__}; {_EXPECTED}.")


def _is_tensor(image: Any) -> bool:
    """Whether it is one of torch's, which nobody can have who has not loaded it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def _from_tensor(image: Tensor, number: int) -> Image.Image:
    import torch

    of_pixels = image.ndim == 3 and len(image) == 3 and image.numel() > 0
    if image.dtype == torch.uint8 and of_pixels:
        return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    if not image.is_floating_point() or not of_pixels:
        raise DataError(
            f"Image {number} is a tensor {tuple(image.shape)} of {image.dtype}; {_EXPECTED}."
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"Image {number} is a tensor with values from {low:g} to {high:g}, expected 0 to 1; "
            "crosslight normalises inside its methods: give the plain pixels."
        )
    pixels = (image.float() * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(pixels.contiguous().numpy())
