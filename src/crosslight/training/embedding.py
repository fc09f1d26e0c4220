"""Embedding every image of a table, or images at hand, with a method."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.data.loading import inference_batches
from crosslight.data.loading_processes import worker_deaths_told
from crosslight.data.table import SampleTable
from crosslight.data.transforms import InferenceTransform
from crosslight.errors import ConfigError, DataError
from crosslight.methods.contract import Disentangles, Method
from crosslight.types import Interpolation

_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def embed_table(
    method: Method,
    table: SampleTable,
    *,
    height: int,
    width: int,
    interpolation: Interpolation,
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str | None = None,
    flip: bool = False,
    unit_views: bool = False,
    precision: str = "32-true",
    code: str | None = None,
) -> NDArray[np.float32]:
    """The embedding of each row, in table order.

    The method is in eval mode meanwhile, and back in its own afterwards. No random number is
    drawn.

    Args:
        method: Embeds.
        table: N images.
        height: Image height in pixels.
        width: Image width in pixels.
        interpolation: How images are brought to that size; as in training.
        batch_size: Images at once; changes rounding in the last digits only.
        workers: Loading processes; changes nothing in the result.
        device: Where to compute, and where the method then stays; None: where it is.
        flip: Sum the embeddings of each image and its mirror image. Whoever reports figures made
            so must say it.
        unit_views: With `flip`: bring both to length 1 before they are summed, as CAJ does.
        precision: As in `TrainingConfig`.
        code: Name of one of the method's codes to take in place of its embedding.

    Returns:
        (N, D)

    Raises:
        DataError: No row, or an image that cannot be read.
        ConfigError: The method has no such code, or embeds to something else than (B, D).
    """
    if not len(table):
        raise DataError(f"There is no image of {table.layout} at {table.root} to embed.")
    if device is not None:
        method.to(device)
    place = next(method.parameters()).device
    was_training = method.training
    method.eval()
    transform = InferenceTransform(height, width, interpolation)
    batches = inference_batches(table, transform, batch_size=batch_size, workers=workers)
    parts = []
    try:
        with worker_deaths_told(), torch.inference_mode(), arithmetic(precision, place):
            for batch in batches:
                found = _views(method, batch.to(place), code, flip=flip, unit=unit_views)
                parts.append(found.cpu().numpy())
    finally:
        method.train(was_training)
    return np.concatenate(parts)


def _views(method: Method, batch: Batch, code: str | None, *, flip: bool, unit: bool) -> Tensor:
    found = _embedded(method, batch.images, batch.modality, code)
    if not flip:
        return found
    mirrored = _embedded(method, batch.images.flip(-1), batch.modality, code)
    return F.normalize(found) + F.normalize(mirrored) if unit else found + mirrored


def embed_images(
    method: Method,
    images: Sequence[Image.Image],
    modality: Sequence[int],
    *,
    height: int,
    width: int,
    interpolation: Interpolation,
    precision: str = "32-true",
) -> NDArray[np.float32]:
    """The embedding of each image, as `embed_table` makes it from a file.

    Args:
        method: Embeds, where it is; must be in eval mode. Several threads may ask at once.
        images: N images in mode RGB.
        modality: `Modality` of each.
        height: Image height in pixels.
        width: Image width in pixels.
        interpolation: How images are brought to that size; as in training.
        precision: As in `TrainingConfig`.

    Returns:
        (N, D)

    Raises:
        ConfigError: The method embeds to something else than (B, D).
    """
    transform = InferenceTransform(height, width, interpolation)
    place = next(method.parameters()).device
    pixels = torch.stack([transform(image) for image in images]).to(place)
    lights = torch.tensor(list(modality), dtype=torch.int64, device=place)
    with torch.inference_mode(), arithmetic(precision, place):
        return _embedded(method, pixels, lights, None).cpu().numpy()


def _embedded(method: Method, images: Tensor, modality: Tensor, code: str | None) -> Tensor:
    if code is None:
        return _vectors(method, method.embed(images, modality), len(images)).float()
    codes = method.codes(images, modality) if isinstance(method, Disentangles) else {}
    if code not in codes:
        known = f"its codes are {', '.join(codes)}" if codes else "it has none"
        raise ConfigError(f"This method has no code {code!r}; {known}.")
    return codes[code].flatten(1).float()


def _vectors(method: Method, found: object, count: int) -> Tensor:
    if isinstance(found, Tensor) and found.dim() == 2 and len(found) == count:
        return found
    kind = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
    raise ConfigError(
        f"{type(method).__name__}.embed gave {kind} for {count} images, expected a tensor of shape "
        f"({count}, D); mend the method."
    )


def arithmetic(precision: str, device: torch.device) -> torch.autocast | nullcontext[None]:
    """The context of forward passes in an arithmetic of `TrainingConfig`."""
    if precision not in _AUTOCAST:
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[precision])
