"""Parts that an installation may leave out, and the sentence that asks for one of them."""

from __future__ import annotations

from collections.abc import Mapping

from crosslight.errors import MissingPartError

EXTRAS: Mapping[str, str] = {
    "av": "video",
    "fastapi": "service",
    "jinja2": "report",
    "lancedb": "gallery",
    "matplotlib": "report",
    "onnxruntime": "onnx-detector",
    "pyarrow": "gallery",
    "pymilvus": "milvus",
    "python_multipart": "service",
    "sklearn": "gallery",
    "starlette": "service",
    "threadpoolctl": "report",
    "uvicorn": "service",
}
"""Module → the extra of `pip install 'crosslight[EXTRA]'` that brings it."""


def missing_part(error: ModuleNotFoundError) -> MissingPartError | None:
    """What to install, where the module that was not found belongs to an optional part."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    return MissingPartError(
        f"This needs {module}, which is not installed; say: "
        f"pip install 'crosslight[{EXTRAS[module]}]'"
    )
