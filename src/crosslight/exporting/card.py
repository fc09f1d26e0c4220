"""What an exported model says of itself, in `export.json` beside its graphs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from crosslight.errors import CheckpointError
from crosslight.files import EXPORT_CARD, sha256_of
from crosslight.types import LIGHTS, DeepRange, Distance, Interpolation
from crosslight.version import __version__

Format: TypeAlias = Literal["onnx", "openvino"]
Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
GRAPHS: Mapping[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}
"""How the file of a graph ends."""


@dataclass(frozen=True, kw_only=True)
class ExportCard:
    """An exported model.

    Attributes:
        format: What its graphs are written in.
        precision: Of its weights: `fp16` are stored so and computed in float32, `int8` are
            computed so.
        method: Name of the run's method.
        run: Run folder that it was made of.
        run_sha256: Of the run's weights.
        height: Image height in pixels.
        width: Image width in pixels.
        interpolation: How images are brought to that size, outside the graph.
        dim: D, numbers of an embedding.
        distance: How embeddings are compared.
        unit: Whether they have length 1.
        flip: Whether each is the sum of those of the image and its mirror image.
        unit_views: Whether these two were brought to length 1 first.
        graphs: Light → file; one file for all where the light plays no part.
        files: File → SHA-256, of all that belong to the graphs.
        deep_range: Black and white of images of one channel with more than 8 bits.
        data: What the run was trained on: layout, trial and the like.
        calibrated: Data set and images that `int8` was fitted to.
        compared: What it was compared with, and how near it came.
        crosslight: Version that wrote it.
    """

    format: Format
    precision: Precision
    method: str
    run: str
    run_sha256: str
    height: int
    width: int
    interpolation: Interpolation
    dim: int
    distance: Distance
    unit: bool
    flip: bool
    unit_views: bool
    graphs: Mapping[str, str]
    files: Mapping[str, str]
    deep_range: DeepRange | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    calibrated: Mapping[str, Any] | None = None
    compared: Mapping[str, Any] = field(default_factory=dict)
    crosslight: str = __version__

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its graphs and input: equal where embeddings compare."""
        named = [
            self.format,
            self.height,
            self.width,
            self.interpolation,
            sorted(self.files.items()),
        ]
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()

    def to_json(self) -> str:
        """The content of `export.json`; `input` and `output` are for programs other than this."""
        antialiased = f"{self.interpolation}, antialiased, outside the graph"
        shape = ["N", self.height, self.width, 3]
        views = "the sum of those of the image and its mirror image; " if self.flip else ""
        told = {
            "input": {"name": INPUT, "type": "uint8", "shape": shape, "channels": "RGB",
                      "resize": antialiased, "normalisation": "inside the graph"},
            "output": {"name": OUTPUT, "type": "float32", "shape": ["N", self.dim],
                       "is": f"{views}length {'1' if self.unit else 'as the method makes it'}"},
        }  # fmt: skip
        return json.dumps({**asdict(self), **told}, indent=2) + "\n"


INPUT, OUTPUT = "images", "embeddings"
_ONLY_TOLD = ("input", "output")


def is_exported(folder: Path) -> bool:
    """Whether a folder holds an exported model."""
    return (folder / EXPORT_CARD).is_file()


def read_card(folder: Path) -> ExportCard:
    """The card of an exported model, without a look at its graphs.

    Raises:
        CheckpointError: There is none, or it is damaged or something else.
    """
    path = folder / EXPORT_CARD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no keys")
        kept = {key: content[key] for key in content if key not in _ONLY_TOLD}
        if isinstance(kept.get("deep_range"), list):
            kept["deep_range"] = tuple(kept["deep_range"])
        card = ExportCard(**kept)
        wrong = [name for name, right in _RIGHT.items() if not right(getattr(card, name))]
        if not wrong and not set(card.graphs.values()) <= set(card.files):
            wrong = ["graphs"]
        if wrong:
            raise ValueError(f"{wrong[0]} is {getattr(card, wrong[0])!r}")
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a card of crosslight export ({error}); export the run again."
        ) from error
    return card


def require_untouched(folder: Path, card: ExportCard) -> None:
    """Checks an exported model's files against the digests of its card.

    Raises:
        CheckpointError: One is missing or was changed.
    """
    for name, expected in card.files.items():
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise CheckpointError(
                f"{folder / name} cannot be read ({error.strerror}), but {EXPORT_CARD} names it; "
                "copy the whole folder, or export the run again."
            ) from error
        if found != expected:
            raise CheckpointError(
                f"{folder / name} is not the file that was exported (SHA-256 {found[:12]}, "
                f"expected {expected[:12]}); copy it again, or export the run again."
            )


def _is_size(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_files(value: Any) -> bool:
    """Names of files in the folder itself: those of a stranger's card must not lead out of it."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(_is_text(name) and Path(name).name == name for name in value)
        and all(map(_is_text, value.values()))
    )


_RIGHT: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("method", "run", "run_sha256", "crosslight"), _is_text),
    **dict.fromkeys(("height", "width", "dim"), _is_size),
    **dict.fromkeys(("unit", "flip", "unit_views"), lambda value: isinstance(value, bool)),
    **dict.fromkeys(("data", "compared"), lambda value: isinstance(value, dict)),
    "format": lambda value: value in GRAPHS,
    "precision": lambda value: value in get_args(Precision),
    "interpolation": lambda value: value in get_args(Interpolation),
    "distance": lambda value: value in get_args(Distance),
    "files": _are_files,
    "graphs": lambda value: isinstance(value, dict) and set(value) == set(LIGHTS),
    "calibrated": lambda value: value is None or isinstance(value, dict),
    "deep_range": lambda value: value is None or len(value) == 2,
}
