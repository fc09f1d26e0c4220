"""Post-training quantisation to int8, and OpenVINO's files, with that project's own tools."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslight.exporting.card import INPUT, Format
from crosslight.exporting.runtimes import without_telemetry
from crosslight.exporting.signal_stack import signal_stack_kept
from crosslight.parts import named_if_missing

_IN_FLOAT = (
    *("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceSum", "NormalizeL2", "Sqrt"),
    *("Clamp", "Divide", "Maximum", "Multiply", "Power", "Subtract"),
    *("Clip", "Div", "Max", "Mul", "Pow", "Sub"),
)
"""Poolings and lengths, by OpenVINO's names and ONNX's: next to no time, and all of the result."""


def write_openvino(graph: Path, path: Path, *, half: bool) -> None:
    """Writes an ONNX graph as OpenVINO's `.xml` and `.bin`.

    Args:
        graph: ONNX file.
        path: `.xml` to write.
        half: Store the weights in 16 bits.

    Raises:
        MissingPartError: openvino is not installed.
    """
    with named_if_missing(), without_telemetry():
        import openvino
    with signal_stack_kept():
        read = openvino.Core().read_model(str(graph))
        openvino.save_model(read, str(path), compress_to_fp16=half)


def write_int8(
    graph: Path, path: Path, kind: Format, crops: Iterable[NDArray[np.uint8]], *, count: int
) -> None:
    """Quantises an ONNX graph and writes it.

    Args:
        graph: ONNX file in float32.
        path: What to write.
        kind: In which format.
        crops: Images as the graph takes them, (H, W, 3), whose activations decide the scales.
        count: How many.

    Raises:
        MissingPartError: nncf is not installed.
    """
    with named_if_missing(), without_telemetry():
        import nncf
        import onnx
        import openvino
    logging.getLogger("nncf").setLevel(logging.ERROR)
    loaded: Any = onnx.load(graph) if kind == "onnx" else openvino.Core().read_model(str(graph))
    # One by one: the statistics of an activation are those of an image.
    batches = nncf.Dataset([{INPUT: crop[None]} for crop in crops])
    with signal_stack_kept(), redirect_stdout(StringIO()):  # its bars
        made = nncf.quantize(
            loaded,
            batches,
            subset_size=count,
            preset=nncf.QuantizationPreset.PERFORMANCE,
            ignored_scope=nncf.IgnoredScope(types=list(_IN_FLOAT), validate=False),
        )
    if kind == "onnx":
        onnx.save(made, str(path))
    else:
        openvino.save_model(made, str(path), compress_to_fp16=False)
