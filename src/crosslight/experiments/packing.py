"""Makes weights that ship from a run: its embedding alone, in half precision, with a card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from crosslight.config import to_plain
from crosslight.files import require_folder, write_text
from crosslight.methods.contract import Method
from crosslight.shipped import CARD, MODEL
from crosslight.training.run import RunFolder, build_method
from crosslight.training.weights import load_weights, save_weights
from crosslight.version import __version__

_FEW = 3
"""As many values as stay in float32: constants such as a mean colour, which cost nothing."""


def pack(run: Path, out: Path, *, about: str, facts: Mapping[str, Any]) -> Path:
    """Writes a run folder of the weights alone; gives it.

    What has a row for each person that it learnt from, the classifier, goes: embeddings do not
    need it, and it is the larger part. All else becomes float16.

    Args:
        run: Run folder.
        out: The new run folder.
        about: One sentence for those who get it.
        facts: What else the card says: how it was made, what it scores.
    """
    folder = RunFolder.open(run)
    config = folder.load_config()
    # Embeddings compare where the arithmetic is the same, so it is one that every machine has.
    config = replace(
        config,
        data=replace(config.data, workers=2),
        training=replace(config.training, precision="32-true"),
    )
    card, tensors = load_weights(folder.model_path)
    require_folder(out)
    method: Method = build_method(config, num_ids=1)
    for name, own in method.state_dict().items():
        if tensors[name].shape != own.shape:
            tensors[name] = torch.zeros_like(own)
    method.load_state_dict(tensors)
    for tensor in (*method.parameters(), *method.buffers()):
        if tensor.is_floating_point() and tensor.numel() > _FEW:
            tensor.data = tensor.half()
    data = {key: card.data[key] for key in ("layout", "fingerprint") if key in card.data}
    for part in (method.get_submodule(name) for name in ("backbone", "head")):
        part.half()
    save_weights(out / MODEL, method, replace(card, num_ids=1, data=data))
    plain = {"crosslight": __version__, "data_set": data, **to_plain(config)}
    write_text(out / "config.yaml", yaml.safe_dump(plain, sort_keys=False))
    digest = hashlib.sha256((out / MODEL).read_bytes()).hexdigest()
    head = {
        "about": about,
        "method": card.method,
        "backbone": getattr(config.config, "backbone", None),
        "licence": "Apache-2.0",
        "sha256": digest,
    }
    write_text(out / CARD, json.dumps({**head, **facts}, indent=2) + "\n")
    return out
