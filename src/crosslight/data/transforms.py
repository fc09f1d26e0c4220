"""From a decoded image to what a network sees, for training and for inference.

Letters: H height, W width. Training draws come from a generator passed in, one per sample; the
process's global random state is neither read nor moved.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
from torchvision.transforms.v2 import functional as F

from crosslight.config import AugmentationConfig, DataConfig
from crosslight.data.imagenet import IMAGENET_MEAN, IMAGENET_STD
from crosslight.data.resizing import PILLOWS
from crosslight.types import Interpolation, Modality

_CAJ_LUMA = (0.2989, 0.587, 0.114)  # of its program; that of `crosslight.data.luma` has 0.299
_ERASING_ATTEMPTS = 100


class InferenceTransform:
    """Resizes, and nothing else.

    Args:
        height: H.
        width: W.
        interpolation: As in `DataConfig`; that of the training, or embeddings differ.

    Attributes:
        height: H.
        width: W.
    """

    def __init__(self, height: int, width: int, interpolation: Interpolation) -> None:
        self.height, self.width = height, width
        self._interpolation = interpolation

    def __call__(self, image: Image.Image) -> Tensor:
        """An RGB image as (3, H, W) float32 in [0, 1]."""
        return _as_float(_resized(image, (self.height, self.width), self._interpolation))


class TrainingTransform:
    """The augmentations of a recipe: resize, pad and crop, flip, colour, float, erase.

    Colour jitter and grayscale touch visible images only. Erased rectangles get the colour that
    normalisation turns to `erasing_value`; in infrared images its mean over the channels, so that
    their channels stay equal.

    With `channel_exchange` (CAJ, Ye et al., ICCV 2021) a visible image gives two views, drawn
    independently: a plain one and one whose channels are all copies of a random one of its R, G
    and B. The published code exchanges channels after normalisation, where each channel has its
    own mean and deviation; here it happens in [0, 1] before. For visible images only a constant
    shift and scale per channel differ. For infrared images, whose channels are equal, a copy in
    [0, 1] would change nothing, so the change of brightness and contrast that the published copy
    (or weighted gray) amounts to is made instead, alike in all channels.

    Args:
        config: Size and augmentation.

    Attributes:
        visible_views: Views of a visible image: 2 with `channel_exchange`, else 1.
    """

    def __init__(self, config: DataConfig) -> None:
        self._size = (config.height, config.width)
        self._interpolation = config.interpolation
        self._config = config.augmentation
        value = config.augmentation.erasing_value
        self._filling = tuple(
            mean + std * v for mean, std, v in zip(IMAGENET_MEAN, IMAGENET_STD, value, strict=True)
        )
        self._gray_filling = (_mean(IMAGENET_MEAN) + _mean(IMAGENET_STD) * _mean(value),) * 3
        self.visible_views = 2 if config.augmentation.channel_exchange else 1

    def __call__(
        self, image: Image.Image, modality: int, generator: np.random.Generator
    ) -> tuple[Tensor, ...]:
        """The views of an RGB image, each (3, H, W) float32 in [0, 1].

        Args:
            image: RGB of any size.
            modality: `Modality` of the image.
            generator: Every draw comes from it.
        """
        resized = _resized(image, self._size, self._interpolation)
        if modality == Modality.INFRARED:
            return (self._infrared(resized, generator),)
        views = range(self.visible_views)
        return tuple(self._visible(resized, generator, exchange=view > 0) for view in views)

    def _visible(self, image: Tensor, generator: np.random.Generator, *, exchange: bool) -> Tensor:
        view = _moved(image, self._config, generator)
        if self._config.color_jitter > 0:
            view = _jittered(view, self._config.color_jitter, generator)
        if generator.random() < self._config.grayscale:
            view = F.rgb_to_grayscale(view, num_output_channels=3)
        if exchange:
            view = view[generator.integers(3)].expand(3, -1, -1)
        pixels = _as_float(view)
        _erase(pixels, self._config, generator, self._filling)
        return pixels

    def _infrared(self, image: Tensor, generator: np.random.Generator) -> Tensor:
        pixels = _as_float(_moved(image, self._config, generator))
        if self._config.channel_exchange:
            pixels = _reweighted(pixels, generator)
        _erase(pixels, self._config, generator, self._gray_filling)
        return pixels


def _resized(image: Image.Image, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    if interpolation != "bilinear":  # Pillow's own, which the authors' programs use
        image = image.resize((size[1], size[0]), PILLOWS[interpolation])
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    if pixels.shape[1:] != size:
        # Interleaved uint8 is torchvision's fast path, but only in four dimensions.
        pixels = F.resize(pixels[None], list(size), antialias=True)[0]
    return pixels


def _as_float(image: Tensor) -> Tensor:
    pixels = torch.empty(image.shape, dtype=torch.float32)
    return torch.div(image, 255, out=pixels)


def _moved(image: Tensor, config: AugmentationConfig, generator: np.random.Generator) -> Tensor:
    pad = config.pad_px
    moved = image
    if pad > 0:
        down, right = generator.integers(-pad, pad + 1, 2).tolist()
        move = _moved_edges if config.pad_mode == "edge" else _moved_zeros
        moved = move(image, down, right)
    if generator.random() < config.flip:
        moved = F.horizontal_flip(moved)
    return moved


def _moved_zeros(image: Tensor, down: int, right: int) -> Tensor:
    _, height, width = image.shape
    moved = torch.zeros_like(image)
    inside = image[:, max(0, -down) : max(0, height - down), max(0, -right) : max(0, width - right)]
    top, left = max(0, down), max(0, right)
    moved[:, top : top + inside.shape[1], left : left + inside.shape[2]] = inside
    return moved


def _moved_edges(image: Tensor, down: int, right: int) -> Tensor:
    _, height, width = image.shape
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    return image[:, rows][:, :, columns]


def _jittered(image: Tensor, strength: float, generator: np.random.Generator) -> Tensor:
    changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)
    factors = generator.uniform(max(0.0, 1 - strength), 1 + strength, len(changes))
    jittered = image
    for index in generator.permutation(len(changes)).tolist():
        jittered = changes[index](jittered, float(factors[index]))
    return jittered


def _reweighted(pixels: Tensor, generator: np.random.Generator) -> Tensor:
    """CAJ's choice for infrared: one of R, G, B, or in one half of the rest gray, else as it is."""
    choice = int(generator.integers(4))
    if choice < 3:
        weights = tuple(float(channel == choice) for channel in range(3))
    elif generator.random() < 0.5:
        weights = _CAJ_LUMA
    else:
        return pixels
    mean, std = _mean(IMAGENET_MEAN), _mean(IMAGENET_STD)
    channels = list(zip(weights, IMAGENET_MEAN, IMAGENET_STD, strict=True))
    scale = sum(std * w / s for w, _, s in channels)
    shift = mean - sum(std * w * m / s for w, m, s in channels)
    return (pixels * scale + shift).clamp_(0, 1)


def _erase(
    pixels: Tensor,
    config: AugmentationConfig,
    generator: np.random.Generator,
    color: tuple[float, ...],
) -> None:
    if generator.random() >= config.erasing:
        return
    _, height, width = pixels.shape
    for _ in range(_ERASING_ATTEMPTS):
        area = generator.uniform(*config.erasing_area) * height * width
        aspect = generator.uniform(*config.erasing_aspect)
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < rows < height and 0 < columns < width:
            top = int(generator.integers(height - rows + 1))
            left = int(generator.integers(width - columns + 1))
            rectangle = pixels[:, top : top + rows, left : left + columns]
            rectangle[:] = torch.tensor(color).view(3, 1, 1)
            return


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)
