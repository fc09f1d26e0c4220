"""A trained run as the gallery needs it: fingerprint, embedding, and drawing where it can."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crosslight.data.transforms import InferenceTransform
from crosslight.errors import ConfigError, GalleryError
from crosslight.gallery.rows import Vectors
from crosslight.gallery.search import Embedder
from crosslight.gallery.store import StoreInfo, refusal
from crosslight.methods.contract import Method, Swaps, Translates
from crosslight.training.embedding import embed_images
from crosslight.training.run import RunFolder


def load_embedder(run: Path, *, device: torch.device | str | None = None) -> Embedder:
    """The model of a run.

    Args:
        run: Run folder.
        device: Where to compute; None: the first CUDA device, or the CPU.

    Raises:
        ConfigError: No such run.
        CheckpointError: It has no weights, or damaged ones.
    """
    folder = RunFolder.open(run)
    config = folder.load_config()
    height, width, precision = config.data.height, config.data.width, config.training.precision
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    method = folder.load_method().to(place)
    return Embedder(
        fingerprint=fingerprint_of(run),
        method=config.method,
        run=str(run.resolve()),
        distance=method.distance,
        height=height,
        width=width,
        embed=_embedding(method, height, width, precision),
        translate=partial(_translated, method, height, width)
        if isinstance(method, Translates)
        else None,
        swap=partial(_swapped, method, height, width) if isinstance(method, Swaps) else None,
    )


def embedder_for(info: StoreInfo, run: Path | None = None) -> Embedder:
    """The model that filled a store, from the run named or the one that the store remembers.

    Raises:
        GalleryError: The run is gone, or its weights are not those that filled the store.
    """
    place = run or Path(info.run)
    try:
        found = fingerprint_of(place)
    except ConfigError as error:
        raise GalleryError(
            f"The model that filled the store is no longer at {place}; say where its run folder "
            "is with --model RUN."
        ) from error
    if found != info.model:
        raise GalleryError(refusal(info, found))
    return load_embedder(place)


def fingerprint_of(run: Path) -> str:
    """SHA-256 of a run's weights, image size and arithmetic: equal where embeddings compare.

    Raises:
        ConfigError: No such run.
        CheckpointError: It has no weights.
    """
    folder = RunFolder.open(run)
    config = folder.load_config()
    settings = (config.method, config.data.height, config.data.width, config.training.precision)
    digest = hashlib.sha256(json.dumps(settings).encode())
    if not folder.model_path.is_file():
        raise ConfigError(f"{run} has no model.safetensors yet; finish its training first.")
    with folder.model_path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _embedding(
    method: Method, height: int, width: int, precision: str
) -> Callable[[Sequence[Image.Image], Sequence[int]], Vectors]:
    return partial(embed_images, method, height=height, width=width, precision=precision)


@torch.inference_mode()
def _translated(
    method: Method, height: int, width: int, image: Image.Image, source: int, target: int
) -> Image.Image:
    assert isinstance(method, Translates)
    return _picture(method.translate(_pixels(method, height, width, image), source, target)[0])


@torch.inference_mode()
def _swapped(
    method: Method, height: int, width: int, appearance: Image.Image, structure: Image.Image
) -> Image.Image:
    assert isinstance(method, Swaps)
    clothes, body = (_pixels(method, height, width, image) for image in (appearance, structure))
    return _picture(method.swap(clothes, body)[0])


def _pixels(method: Method, height: int, width: int, image: Image.Image) -> Tensor:
    place = next(method.parameters()).device
    return InferenceTransform(height, width)(image)[None].to(place)


def _picture(pixels: Tensor) -> Image.Image:
    values = (pixels.float().cpu() * 255).round().clamp(0, 255).byte().permute(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(values.numpy()))
