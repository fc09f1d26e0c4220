"""People found by a detector in an ONNX file.

Two kinds of files are understood, by what they give:

- boxes (N, 4) in pixels of the input, labels (N,) and scores (N,), as torchvision's detectors
  give them; people have label 1, as in COCO;
- one tensor (1, 4 + C, N), as the YOLO family since version 8 gives it: centre, width, height and
  C class scores; people are class 0. Overlapping boxes are removed here.

The input is (1, 3, H, W) or (3, H, W), RGB in [0, 1]. Where H and W are fixed in the file, the
picture is fitted into them with gray margins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crosslight.errors import ConfigError
from crosslight.gallery.video.boxes import Box, most_likely
from crosslight.parts import named_if_missing

COCO_PERSON = 1
YOLO_PERSON = 0
_MARGIN = 114  # gray, as these networks were trained with


class OnnxDetector:
    """See the module's docstring.

    Args:
        path: The file.
        threshold: Smallest score that counts.

    Raises:
        ConfigError: The file cannot be used.
        MissingPartError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, threshold: float) -> None:
        with named_if_missing():
            import onnxruntime
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise ConfigError(
                f"{path} cannot be used as a detector ({str(error).splitlines()[0]}); give an "
                "ONNX file."
            ) from error
        self._path = path
        self._input = self._session.get_inputs()[0]
        self._threshold = threshold

    def find(self, number: int, image: Image.Image) -> list[Box]:  # noqa: ARG002
        """The people in a frame."""
        shape = self._input.shape
        height, width = (n if isinstance(n, int) else None for n in shape[-2:])
        fitted, scale, left, top = _fitted(image, width, height)
        pixels = np.asarray(fitted, dtype=np.float32).transpose(2, 0, 1) / 255
        given: list[Any] = self._session.run(
            None, {self._input.name: pixels[None] if len(shape) == 4 else pixels}
        )
        boxes, scores = self._people([np.asarray(value) for value in given])
        kept = scores >= self._threshold
        boxes = (boxes[kept] - [left, top, left, top]) / scale
        return [
            Box(left=float(a), top=float(b), right=float(c), bottom=float(d), score=float(score))
            for (a, b, c, d), score in zip(boxes, scores[kept], strict=True)
        ]

    def _people(
        self, outputs: list[NDArray[Any]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if len(outputs) == 1 and outputs[0].ndim == 3 and outputs[0].shape[1] > 4:
            return _from_yolo(outputs[0][0].astype(np.float64), self._threshold)
        flat = [value[0] if value.ndim > 1 and len(value) == 1 else value for value in outputs]
        boxes = [value for value in flat if value.ndim == 2 and value.shape[1] == 4]
        labels = [v for v in flat if v.ndim == 1 and np.issubdtype(v.dtype, np.integer)]
        scores = [v for v in flat if v.ndim == 1 and np.issubdtype(v.dtype, np.floating)]
        if not (boxes and labels and scores):
            shapes = ", ".join(str(value.shape) for value in outputs)
            raise ConfigError(
                f"{self._path} gives {shapes}, expected boxes (N, 4), labels (N,) and scores (N,), "
                "or one (1, 4 + classes, N); export the detector with one of these outputs."
            )
        people = labels[0] == COCO_PERSON
        return boxes[0][people].astype(np.float64), scores[0][people].astype(np.float64)


def _from_yolo(
    output: NDArray[np.float64], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    is_person = output[4:].argmax(axis=0) == YOLO_PERSON
    scores = output[4 + YOLO_PERSON]
    chosen = np.flatnonzero(is_person & (scores >= threshold))
    x, y, width, height = output[:4, chosen]
    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    kept = most_likely(boxes, scores[chosen])
    return boxes[kept], scores[chosen[kept]]


def _fitted(
    image: Image.Image, width: int | None, height: int | None
) -> tuple[Image.Image, float, float, float]:
    """The picture in a frame of this size, and scale and margins to undo it."""
    if width is None or height is None:
        return image, 1.0, 0.0, 0.0
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    framed = Image.new("RGB", (width, height), (_MARGIN,) * 3)
    framed.paste(image.resize(size, Image.Resampling.BILINEAR), (left, top))
    return framed, scale, float(left), float(top)
