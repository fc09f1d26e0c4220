"""Parts that an installation may leave out, and the sentence that asks for one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from crosslight.errors import MissingPartError

EXTRAS: Mapping[str, str] = {
    "av": "video",
    "fastapi": "service",
    "jinja2": "report",
    "lancedb": "gallery",
    "matplotlib": "report",
    "nncf": "openvino",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "openvino": "openvino",
    "pyarrow": "gallery",
    "pymilvus": "milvus",
    "python_multipart": "service",
    "segno": "service",
    "sklearn": "gallery",
    "starlette": "service",
    "threadpoolctl": "report",
    "torch_fidelity": "generation",
    "torchmetrics": "generation",
    "turbovec": "gallery",
    "uvicorn": "service",
}
"""Module → the extra of `pip install 'crosslight[EXTRA]'` that brings it."""


@contextmanager
def named_if_missing() -> Iterator[None]:
    """Around imports of an optional part.

    Raises:
        MissingPartError: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        raise MissingPartError(
            f"This needs {module}, which is not installed; say: "
            f"pip install 'crosslight[{EXTRAS[module]}]'"
        ) from error
