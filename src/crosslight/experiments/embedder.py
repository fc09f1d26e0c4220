"""A trained run as the gallery needs it: fingerprint, embedding, and drawing where it can."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from crosslight.data.transforms import InferenceTransform
from crosslight.drawing.pictures import as_picture
from crosslight.errors import ConfigError, GalleryError
from crosslight.exporting.card import is_exported, read_card
from crosslight.exporting.exported import Exported
from crosslight.gallery.search import Embedder, Searcher
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.stores.store import StoreInfo, refusal
from crosslight.methods.contract import Method, Swaps, Translates
from crosslight.training.devices import device_named
from crosslight.training.embedding import embed_images
from crosslight.training.run import RunFolder


def load_embedder(run: Path, *, device: torch.device | str | None = None) -> Embedder:
    """The model of a run, or an exported one.

    Args:
        run: Run folder, or that of an exported model.
        device: Where to compute; None: the first CUDA device, or the CPU.

    Raises:
        ConfigError: No such run.
        CheckpointError: It has no weights, or damaged ones.
    """
    if is_exported(run):
        return _of_exported(run, None if device is None else str(device))
    folder = RunFolder.open(run)
    folder.refuse_untrained("embedding")
    config = folder.load_config()
    data, precision = config.data, config.training.precision
    transform = InferenceTransform(data.height, data.width, data.interpolation)
    place = device_named(device)
    method = folder.load_method().to(place)
    untrained = folder.load_card().untrained
    return Embedder(
        fingerprint=fingerprint_of(run),
        method=config.method,
        run=str(run.resolve() if folder.known_as == folder.path else folder.known_as),
        distance=method.distance,
        height=data.height,
        width=data.width,
        interpolation=data.interpolation,
        deep_range=data.deep_range,
        embed=partial(
            embed_images,
            method,
            height=data.height,
            width=data.width,
            interpolation=data.interpolation,
            precision=precision,
        ),
        translate=partial(_translated, method, transform)
        if isinstance(method, Translates) and "translating" not in untrained
        else None,
        swap=partial(_swapped, method, transform)
        if isinstance(method, Swaps) and "swapping" not in untrained
        else None,
    )


def _of_exported(path: Path, device: str | None) -> Embedder:
    model = Exported(path, device=device)
    card = model.card
    return Embedder(
        fingerprint=card.fingerprint,
        method=card.method,
        run=str(path.resolve()),
        distance=card.distance,
        height=card.height,
        width=card.width,
        interpolation=card.interpolation,
        deep_range=card.deep_range,
        embed=model.embed_pictures,
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


def open_gallery(location: str | Path, *, model: Path | str | None = None) -> Searcher:
    """A gallery that is there, with the model that filled it; `.search(image)` asks it.

    Args:
        location: A folder such as `people.lance`, or `milvus://host:port/name`.
        model: Run folder; None: where it was when the gallery was made.

    Raises:
        GalleryError: There is no such store, it is damaged, or another model filled it.
    """
    store = open_store(location)
    return Searcher(store, embedder_for(store.info, None if model is None else Path(model)))


def fingerprint_of(run: Path) -> str:
    """SHA-256 of a run's weights, input and arithmetic: equal where embeddings compare.

    Raises:
        ConfigError: No such run.
        CheckpointError: It has no weights.
    """
    if is_exported(run):
        return read_card(run).fingerprint
    folder = RunFolder.open(run)
    config = folder.load_config()
    data = config.data
    settings = [config.method, data.height, data.width, config.training.precision]
    if data.interpolation != "bilinear":  # galleries older than this choice keep their fingerprint
        settings.append(data.interpolation)
    digest = hashlib.sha256(json.dumps(settings).encode())
    if not folder.model_path.is_file():
        raise ConfigError(f"{run} has no model.safetensors yet; finish its training first.")
    with folder.model_path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


@torch.inference_mode()
def _translated(
    method: Method, transform: InferenceTransform, image: Image.Image, source: int, target: int
) -> Image.Image:
    assert isinstance(method, Translates)
    return as_picture(method.translate(_pixels(method, transform, image), source, target)[0])


@torch.inference_mode()
def _swapped(
    method: Method,
    transform: InferenceTransform,
    appearance: Image.Image,
    structure: Image.Image,
) -> Image.Image:
    assert isinstance(method, Swaps)
    clothes, body = (_pixels(method, transform, image) for image in (appearance, structure))
    return as_picture(method.swap(clothes, body)[0])


def _pixels(method: Method, transform: InferenceTransform, image: Image.Image) -> Tensor:
    place = next(method.parameters()).device
    return transform(image)[None].to(place)
