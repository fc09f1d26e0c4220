"""The detectors that a user can name."""

from __future__ import annotations

from pathlib import Path

from crosslight.errors import ConfigError
from crosslight.gallery.video.boxes import Detector
from crosslight.shipped import NANODET

TORCHVISION = "torchvision:"
FORMS = f"{NANODET}, FILE.onnx, torchvision:NAME or torchvision:NAME:WEIGHTS.pth"


def load_detector(name: str, threshold: float) -> Detector:
    """The detector of a name.

    Args:
        name: `nanodet`, `FILE.onnx`, `torchvision:NAME` or `torchvision:NAME:WEIGHTS.pth`.
        threshold: Smallest score that counts.

    Raises:
        ConfigError: No such detector, or its file cannot be used.
        CheckpointError: The one that ships is damaged or missing.
    """
    if name == NANODET:
        from crosslight.gallery.video.nanodet_detector import NanoDetDetector

        return NanoDetDetector(threshold)
    if name.startswith(TORCHVISION):
        from crosslight.gallery.video.torchvision_detector import TorchvisionDetector

        architecture, _, weights = name.removeprefix(TORCHVISION).partition(":")
        return TorchvisionDetector(architecture, Path(weights) if weights else None, threshold)
    if name.endswith(".onnx"):
        from crosslight.gallery.video.onnx_detector import OnnxDetector

        return OnnxDetector(Path(name), threshold)
    raise ConfigError(f"{name!r} names no detector; write {FORMS}.")
