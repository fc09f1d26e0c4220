"""ONNX Runtime and OpenVINO, each as a function from images to embeddings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crosslight.errors import CheckpointError, ConfigError
from crosslight.exporting.card import INPUT, OUTPUT, Format
from crosslight.exporting.signal_stack import signal_stack_kept
from crosslight.parts import named_if_missing

Arithmetic: TypeAlias = Literal["f32", "bf16"]
"""What OpenVINO computes in; left alone it takes bfloat16 where the processor has it."""
Embeds: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(N, H, W, 3) RGB → (N, D); several threads may ask at once."""

_TELEMETRY = "openvino_telemetry"


def open_graph(
    path: Path,
    kind: Format,
    *,
    device: str | None = None,
    arithmetic: Arithmetic = "f32",
    threads: int | None = None,
) -> Embeds:
    """The graph in a file, ready to compute.

    Args:
        path: The file, beside what belongs to it.
        kind: What it is written in.
        device: `cpu` or `cuda` of ONNX Runtime, a device of OpenVINO; None: the CPU.
        arithmetic: See `Arithmetic`.
        threads: Of the processor; None: as many as the runtime takes.

    Raises:
        MissingPartError: The runtime is not installed.
        ConfigError: The runtime has no such device or arithmetic.
        CheckpointError: The file is damaged, or no graph of crosslight.
    """
    if kind == "onnx":
        return _in_onnx_runtime(path, device or "cpu", arithmetic, threads or 0)
    return _in_openvino(path, (device or "cpu").upper(), arithmetic, threads or 0)


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Around imports of OpenVINO's packages, which otherwise report what they are used for."""
    if _TELEMETRY in sys.modules:  # another program's choice
        yield
        return
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]


def _in_onnx_runtime(path: Path, device: str, arithmetic: Arithmetic, threads: int) -> Embeds:
    with named_if_missing():
        import onnxruntime

    if arithmetic != "f32":
        raise ConfigError(
            f"ONNX Runtime computes {path.parent} in float32; leave arithmetic={arithmetic!r} out, "
            "or export with --format openvino."
        )
    provider = f"{device.upper()}ExecutionProvider"
    present = onnxruntime.get_available_providers()
    if provider not in present:
        raise ConfigError(
            f"This onnxruntime computes on {', '.join(present)}, not on {device!r}; leave device "
            "out for the CPU."
        )
    with _damage_told(path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider])
        _require_ends([one.name for one in session.get_inputs()], [INPUT])
        _require_ends([one.name for one in session.get_outputs()], [OUTPUT])

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run([OUTPUT], {INPUT: images})[0]
        return found

    return embed


def _in_openvino(path: Path, device: str, arithmetic: Arithmetic, threads: int) -> Embeds:
    with named_if_missing(), without_telemetry():
        import openvino

    with signal_stack_kept():
        compiled = _compiled(openvino.Core(), path, device, arithmetic, threads)
    request, alone = compiled.create_infer_request(), Lock()

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with alone:  # the result lies in memory that the next request writes to
            found = request.infer({INPUT: images})[OUTPUT]
            return np.array(found, dtype=np.float32)

    return embed


def _compiled(core: Any, path: Path, device: str, arithmetic: Arithmetic, threads: int) -> Any:
    if device not in core.available_devices:
        raise ConfigError(
            f"OpenVINO computes on {', '.join(core.available_devices)} here, not on {device!r}; "
            "leave device out for the CPU."
        )
    able = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    if arithmetic == "bf16" and "BF16" not in able:
        raise ConfigError(
            f"This {device} has no bfloat16 (OpenVINO names {', '.join(able)}); leave arithmetic "
            "out to compute in float32."
        )
    with _damage_told(path):
        hints: dict[str, Any] = {"INFERENCE_PRECISION_HINT": arithmetic}
        if threads:
            hints["INFERENCE_NUM_THREADS"] = threads
        compiled = core.compile_model(core.read_model(str(path)), device, hints)
        _require_ends([one.any_name for one in compiled.inputs], [INPUT])
        _require_ends([one.any_name for one in compiled.outputs], [OUTPUT])
    return compiled


def _require_ends(found: list[str], expected: list[str]) -> None:
    if found != expected:
        raise ValueError(f"it has {', '.join(found)} where {', '.join(expected)} is expected")


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turns what a runtime raises, whose errors have no class in common, into one sentence.

    Raises:
        CheckpointError: In place of anything else.
    """
    try:
        yield
    except Exception as error:
        reason: Any = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{path} is no graph that can be computed here ({reason[0]}); export the run again."
        ) from error
