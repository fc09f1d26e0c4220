from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from crosslight.config import AugmentationConfig, DataConfig
from crosslight.data.imagenet import IMAGENET_MEAN
from crosslight.data.transforms import InferenceTransform, TrainingTransform
from crosslight.types import Interpolation, Modality

STD = (0.229, 0.224, 0.225)
NOTHING = AugmentationConfig(flip=0.0, pad_px=0)


def picture(height: int = 40, width: int = 20, gray: bool = False) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if gray:
        pixels[:] = pixels[:, :, :1]
    return Image.fromarray(pixels)


def augment(
    image: Image.Image,
    augmentation: AugmentationConfig,
    seed: int = 0,
    modality: Modality = Modality.VISIBLE,
    size: tuple[int, int] = (40, 20),
) -> tuple[Tensor, ...]:
    config = DataConfig(height=size[0], width=size[1], augmentation=augmentation)
    return TrainingTransform(config)(image, modality, np.random.default_rng(seed))


def exact(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def test_inference_gives_the_pixels_themselves_where_the_size_fits() -> None:
    image = picture()
    assert torch.equal(InferenceTransform(40, 20, "bilinear")(image), exact(image))
    (view,) = augment(image, NOTHING)
    assert torch.equal(view, exact(image))


def test_resizing_is_bilinear_with_antialias_like_pillows() -> None:
    image = picture(256, 128)
    ours = InferenceTransform(64, 32, "bilinear")(image)
    assert ours.dtype == torch.float32
    pillows = exact(image.resize((32, 64), Image.Resampling.BILINEAR))
    assert (ours - pillows).abs().max() <= 1.01 / 255


@pytest.mark.parametrize(
    ("interpolation", "pillows"),
    [("bicubic", Image.Resampling.BICUBIC), ("lanczos", Image.Resampling.LANCZOS)],
)
@pytest.mark.parametrize("size", [(64, 32), (300, 200)])
def test_other_resizing_is_pillows_in_training_as_at_test_time(
    interpolation: Interpolation, pillows: Image.Resampling, size: tuple[int, int]
) -> None:
    image = picture(256, 128)
    expected = exact(image.resize((size[1], size[0]), pillows))
    assert torch.equal(InferenceTransform(*size, interpolation)(image), expected)
    config = DataConfig(
        height=size[0], width=size[1], interpolation=interpolation, augmentation=NOTHING
    )
    (view,) = TrainingTransform(config)(image, Modality.VISIBLE, np.random.default_rng(0))
    assert torch.equal(view, expected)
    assert not torch.equal(InferenceTransform(*size, "bilinear")(image), expected)


@pytest.mark.parametrize("seed", range(6))
def test_cropping_moves_the_padded_image_by_whole_pixels(seed: int) -> None:
    image = picture()
    (view,) = augment(image, AugmentationConfig(flip=0.0, pad_px=3), seed)
    padded = torch.nn.functional.pad(exact(image), (3, 3, 3, 3))
    crops = [padded[:, y : y + 40, x : x + 20] for y in range(7) for x in range(7)]
    assert sum(torch.equal(view, crop) for crop in crops) == 1


@pytest.mark.parametrize("seed", range(12))
def test_an_image_may_be_moved_out_of_its_frame(seed: int) -> None:
    image, pad = picture(), 45
    (view,) = augment(image, AugmentationConfig(flip=0.0, pad_px=pad), seed)
    padded = torch.nn.functional.pad(exact(image), (pad,) * 4)
    places = product(range(2 * pad + 1), repeat=2)
    assert any(torch.equal(view, padded[:, y : y + 40, x : x + 20]) for y, x in places)


def test_crops_reach_every_offset() -> None:
    image = picture()
    config = AugmentationConfig(flip=0.0, pad_px=1)
    views = {augment(image, config, seed)[0].numpy().tobytes() for seed in range(120)}
    assert len(views) == 9


def test_flip_mirrors_left_and_right() -> None:
    image = picture()
    (view,) = augment(image, AugmentationConfig(flip=1.0, pad_px=0))
    assert torch.equal(view, exact(image).flip(-1))


def test_grayscale_and_jitter_leave_infrared_alone() -> None:
    image = picture(gray=True)
    config = AugmentationConfig(flip=0.0, pad_px=0, grayscale=1.0, color_jitter=0.5)
    (infrared,) = augment(image, config, modality=Modality.INFRARED)
    assert torch.equal(infrared, exact(image))
    (visible,) = augment(picture(), config)
    assert torch.equal(visible[0], visible[1])
    assert not torch.equal(visible, exact(picture()))


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.5])
def test_jitter_is_as_strong_as_is_asked_for(strength: float) -> None:
    """One gray has no contrast and no saturation: its brightness alone can change."""
    plain = Image.fromarray(np.full((40, 20, 3), 100, dtype=np.uint8))
    config = replace(NOTHING, color_jitter=strength)
    views = [augment(plain, config, seed)[0] * 255 for seed in range(300)]
    assert all(view.unique().numel() == 1 for view in views)
    levels = torch.stack([view[0, 0, 0] for view in views])
    least, most = 100 * max(0, 1 - strength), 100 * (1 + strength)
    # Each change rounds down to whole numbers.
    assert least - 3 <= levels.min() <= least + 0.03 * (most - least)
    assert most >= levels.max() >= most - 0.03 * (most - least) - 3


def test_where_no_rectangle_fits_a_hundred_are_tried_and_nothing_is_erased() -> None:
    config = replace(NOTHING, erasing=1.0, erasing_area=(1.0, 1.0))
    transform = TrainingTransform(DataConfig(height=40, width=20, augmentation=config))
    generator, plain = np.random.default_rng(3), np.random.default_rng(3)
    (view,) = transform(picture(), Modality.VISIBLE, generator)
    assert torch.equal(view, exact(picture()))
    plain.random(3 + 2 * 100)  # the flip, grayscale, whether to erase, and area and aspect of each
    assert generator.random() == plain.random()


def test_erasing_fills_one_rectangle_with_the_mean_colour() -> None:
    config = AugmentationConfig(flip=0.0, pad_px=0, erasing=1.0, erasing_area=(0.1, 0.3))
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    for seed in range(20):
        (view,) = augment(picture(), config, seed)
        erased = (view == mean).all(dim=0)
        rows, columns = erased.any(dim=1).nonzero()[:, 0], erased.any(dim=0).nonzero()[:, 0]
        assert erased.sum() == len(rows) * len(columns)
        assert erased[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
        assert 0.05 <= erased.float().mean() <= 0.35
        assert torch.equal(view[:, ~erased], exact(picture())[:, ~erased])


def test_erasing_fills_with_what_normalisation_turns_to_the_given_value() -> None:
    value = (0.4914, 0.4822, 0.4465)  # CAJ's, which writes it into normalised images
    config = AugmentationConfig(flip=0.0, pad_px=0, erasing=1.0, erasing_value=value)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, STD))
    (view,) = augment(picture(), config)
    erased = (view != exact(picture())).any(dim=0)
    filling = ((view - mean) / std)[:, erased]
    assert filling.shape[1] > 10
    torch.testing.assert_close(filling, torch.tensor(value)[:, None].expand_as(filling))
    (infrared,) = augment(picture(gray=True), config, modality=Modality.INFRARED)
    erased = (infrared != exact(picture(gray=True))).any(dim=0)
    gray = sum(IMAGENET_MEAN) / 3 + sum(STD) / 3 * sum(value) / 3
    torch.testing.assert_close(infrared[:, erased], torch.full((3, int(erased.sum())), gray))


def test_infrared_channels_stay_equal_and_in_range_under_everything() -> None:
    config = AugmentationConfig(erasing=1.0, channel_exchange=True, color_jitter=1, grayscale=1)
    for seed in range(20):
        (view,) = augment(picture(gray=True), config, seed, Modality.INFRARED)
        assert torch.equal(view[0], view[1])
        assert torch.equal(view[0], view[2])
        assert view.min() >= 0
        assert view.max() <= 1


def test_channel_exchange_adds_a_view_with_one_channel_copied() -> None:
    config = AugmentationConfig(flip=0.0, pad_px=0, channel_exchange=True)
    copied = set()
    for seed in range(30):
        plain, exchanged = augment(picture(), config, seed)
        assert torch.equal(plain, exact(picture()))
        channel = next(c for c in range(3) if torch.equal(exchanged[0], plain[c]))
        assert torch.equal(exchanged, plain[channel].expand(3, -1, -1))
        copied.add(channel)
    assert copied == {0, 1, 2}


def test_channel_exchange_gives_infrared_what_copying_after_normalisation_would() -> None:
    config = AugmentationConfig(flip=0.0, pad_px=0, channel_exchange=True)
    image = Image.new("RGB", (20, 40), (120, 120, 120))
    levels = set()
    for seed in range(60):
        (view,) = augment(image, config, seed, Modality.INFRARED)
        levels.add(round(float(view[0, 0, 0]), 5))
    mean, std = sum(IMAGENET_MEAN) / 3, sum(STD) / 3
    normalised = [(120 / 255 - m) / s for m, s in zip(IMAGENET_MEAN, STD, strict=True)]
    gray = 0.2989 * normalised[0] + 0.587 * normalised[1] + 0.114 * normalised[2]
    expected = {round(mean + std * value, 5) for value in [*normalised, gray]}
    assert levels == expected | {round(120 / 255, 5)}


def test_draws_come_from_the_generator_alone() -> None:
    config = AugmentationConfig(erasing=0.5, color_jitter=0.4, channel_exchange=True, grayscale=0.3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = augment(picture(), config, seed=5)
    torch.rand(7)
    assert all(torch.equal(a, b) for a, b in zip(first, augment(picture(), config, 5), strict=True))
    torch.set_rng_state(state)
    augment(picture(), config, seed=6)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_padding_repeats_the_edge_where_that_is_asked_for() -> None:
    """Every view is a window of the image padded by its nearest pixels."""
    padded = np.pad(exact(picture()).numpy(), ((0, 0), (6, 6), (6, 6)), mode="edge")
    config = AugmentationConfig(flip=0.0, pad_px=6, pad_mode="edge")
    offsets = set()
    for seed in range(12):
        (view,) = augment(picture(), config, seed=seed)
        found = [
            (top, left)
            for top in range(13)
            for left in range(13)
            if np.array_equal(padded[:, top : top + 40, left : left + 20], view.numpy())
        ]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) > 6


def test_a_rectangle_that_does_not_fit_is_drawn_again_and_in_the_end_left_out() -> None:
    """Zhong et al.: part and shape are drawn until the rectangle is smaller than the image."""
    small = AugmentationConfig(flip=0.0, pad_px=0, erasing=1.0, erasing_area=(0.1, 0.2))
    large = replace(small, erasing_area=(0.4, 1.0))
    never = replace(small, erasing_area=(1.0, 1.0))
    parts = []
    for seed in range(30):
        (view,) = augment(picture(), large, seed)
        erased = (view == torch.tensor(IMAGENET_MEAN).view(3, 1, 1)).all(dim=0)
        rows, columns = erased.any(dim=1).sum(), erased.any(dim=0).sum()
        assert 0 < rows < 40
        assert 0 < columns < 20
        assert erased.sum() == rows * columns
        parts.append(erased.float().mean().item())
        assert torch.equal(augment(picture(), never, seed)[0], exact(picture()))
    assert max(parts) > 0.6
