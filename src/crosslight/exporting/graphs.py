"""The graph of a method: uint8 images in, embeddings out, nothing left to do around it but resize.

Letters: N images, H height, W width, D length of the embedding.
"""

from __future__ import annotations

import filecmp
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.errors import ConfigError
from crosslight.exporting.card import INPUT, OUTPUT
from crosslight.methods.contract import Method
from crosslight.nn.per_modality import SeesLights
from crosslight.parts import named_if_missing
from crosslight.types import Modality

ONE = "model"
"""Name of the one graph of a method that sees no difference between lights."""
_LIGHT = "modality"
_EXAMPLES = 4  # of one, torch would take the number for a constant
_SHOWN = 160


@dataclass(frozen=True, kw_only=True)
class Views:
    """What becomes of an embedding inside the graph.

    Attributes:
        flip: Sum the embeddings of each image and its mirror image.
        unit_views: With `flip`: bring both to length 1 before.
        unit: Bring the result to length 1.
    """

    flip: bool = False
    unit_views: bool = False
    unit: bool = True


class Graph(nn.Module):
    """(N, H, W, 3) uint8 RGB → (N, D) float32."""

    def __init__(self, method: Method, views: Views, light: Modality | None) -> None:
        super().__init__()
        self.method, self.views, self.light = method, views, light

    def forward(self, images: Tensor, modality: Tensor | None = None) -> Tensor:
        """Embeds images, of the light that is built in where none is given."""
        pixels = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        count = images.shape[0]  # `len` would make a constant of it
        if modality is None:
            modality = images.new_full((count,), int(self.light or 0), dtype=torch.int64)
        if not self.views.flip:
            found = self.method.embed(pixels, modality).float()
        else:  # in one pass, or the graph would hold the network twice
            both = torch.cat([pixels, pixels.flip(-1)])
            found = self.method.embed(both, torch.cat([modality, modality])).float()
            found = F.normalize(found) if self.views.unit_views else found
            found = found[:count] + found[count:]
        return F.normalize(found) if self.views.unit else found


def write_graphs(
    method: Method, folder: Path, views: Views, *, height: int, width: int
) -> dict[Modality, Path]:
    """Writes the ONNX graph of each light, or one for all where they do not differ.

    Args:
        method: In eval mode, on the CPU.
        folder: Where to.
        views: What becomes of the embedding.
        height: H.
        width: W.

    Raises:
        MissingPartError: onnx or onnxscript is not installed.
        ConfigError: The method does something that no graph can hold.
    """
    size = (height, width)
    if not any(isinstance(module, SeesLights) for module in method.modules()):
        program = _exported(Graph(method, views, None), size, with_light=True)
        ends = program.model.graph.inputs
        if not ends[1].uses():
            del ends[1]
            path = folder / f"{ONE}.onnx"
            _save(program, path)
            return dict.fromkeys(Modality, path)
    paths = {}
    for light in Modality:
        paths[light] = folder / f"{light.name.lower()}.onnx"
        with _one_light(method, light):
            _save(_exported(Graph(method, views, light), size), paths[light])
    first, *others = paths.values()
    if all(filecmp.cmp(first, other, shallow=False) for other in others):
        # What treats lights differently has no part in the embedding.
        for other in others:
            other.unlink()
        return dict.fromkeys(Modality, first.rename(folder / f"{ONE}.onnx"))
    return paths


@contextmanager
def _one_light(method: Method, light: Modality) -> Iterator[None]:
    parts = [module for module in method.modules() if isinstance(module, SeesLights)]
    for part in parts:
        part.only = light
    try:
        yield
    finally:
        for part in parts:
            del part.only  # back to the class's own


def _exported(graph: Graph, size: tuple[int, int], *, with_light: bool = False) -> Any:
    with named_if_missing():
        import onnx  # noqa: F401 -- torch names them less helpfully
        import onnxscript  # noqa: F401
    images = torch.zeros((_EXAMPLES, *size, 3), dtype=torch.uint8)
    lights = torch.arange(_EXAMPLES) % len(Modality)
    number = torch.export.Dim("images", min=1)
    given = (images, lights) if with_light else (images,)
    try:
        with torch.no_grad(), _quiet():
            return torch.onnx.export(
                graph.eval(),
                given,
                input_names=[INPUT, _LIGHT][: len(given)],
                output_names=[OUTPUT],
                dynamic_shapes=tuple({0: number} for _ in given),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # a tracer may raise anything that a method's code leads to
        reason = next(iter(str(error.__cause__ or error).strip().splitlines()), "")[:_SHOWN]
        raise ConfigError(
            f"The method {type(graph.method).__name__} does something that no exported graph can "
            f"hold ({type(error.__cause__ or error).__name__}: {reason}); use the run itself."
        ) from error


def _save(program: Any, path: Path) -> None:
    import onnx

    model = program.model_proto
    nodes = []
    for node in model.graph.node:
        del node.metadata_props[:]  # where in whose folder each line of Python stood
        nodes.append(node)
        # OpenVINO (2026.4) scales what a reduction to two dimensions gives by the wrong channels
        # unless the reduced dimension is dropped by itself.
        kept = next((one for one in node.attribute if one.name == "keepdims"), None)
        if node.op_type.startswith("Reduce") and kept is not None and not kept.i and node.input[1:]:
            kept.i, result = 1, node.output[0]
            node.output[0] = f"{result}_kept"
            nodes.append(
                onnx.helper.make_node("Squeeze", [node.output[0], node.input[1]], [result])
            )
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters say about their own insides."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
