"""People found by one of torchvision's detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
from torchvision.extension import _has_ops
from torchvision.models import detection as _detection
from torchvision.models import get_model, list_models
from torchvision.transforms.v2 import functional as F

from crosslight.errors import ConfigError
from crosslight.gallery.video.boxes import Box

PERSON = 1
"""The label of people in COCO."""


class TorchvisionDetector:
    """A detector of torchvision with COCO's labels.

    Args:
        name: Such as `ssdlite320_mobilenet_v3_large`.
        weights: A state dict, read without running code; None: torchvision's own weights, which
            it downloads where they are not there yet.
        threshold: Smallest score that counts.

    Raises:
        ConfigError: No such detector, or weights that cannot be had or do not fit.
    """

    def __init__(self, name: str, weights: Path | None, threshold: float) -> None:
        known = list_models(module=_detection)
        if name not in known:
            raise ConfigError(
                f"torchvision has no detector {name!r}; it has {', '.join(sorted(known))}."
            )
        if not _has_ops():
            raise ConfigError(
                "This torchvision was built for another torch and lacks the operators that its "
                "detectors need; install a torchvision that fits, or name a detector in an ONNX "
                "file."
            )
        try:
            own = "DEFAULT" if weights is None else None
            model: Any = get_model(name, weights=own, weights_backbone=None)
            if weights is not None:
                model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except MemoryError:
            raise
        except Exception as error:  # on foreign bytes an unpickler fails in a dozen ways
            source = weights or "torchvision's own weights"
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ConfigError(
                f"{source} cannot be used for {name} ({reason}); give a file: "
                f"torchvision:{name}:WEIGHTS.pth."
            ) from error
        self._place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.eval().to(self._place)
        self._threshold = threshold

    @torch.inference_mode()
    def find(self, number: int, image: Image.Image) -> list[Box]:  # noqa: ARG002
        """The people in a frame."""
        pixels = F.pil_to_tensor(image).to(self._place).float() / 255
        found = {name: values.cpu().tolist() for name, values in self._model([pixels])[0].items()}
        return [
            Box(left=box[0], top=box[1], right=box[2], bottom=box[3], score=score)
            for box, label, score in zip(
                found["boxes"], found["labels"], found["scores"], strict=True
            )
            if label == PERSON and score >= self._threshold
        ]
