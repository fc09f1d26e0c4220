"""Lets `torchvision` and `timm` import beside a build of torch that it was not compiled for.

Package registries carry one torchvision wheel, compiled against CUDA. Beside a CPU build of
torch its compiled operators cannot load, and `import torchvision` then fails while it describes
two of them (`nms`, `qnms`) that crosslight never calls. Importing this module first declares the
two names, and only when the compiled operators are indeed missing.
"""

import importlib.util
from pathlib import Path

import torch


def _compiled_operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    for library in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(library)
        except (ImportError, OSError):
            return False
    return True


def _declare_missing_operators() -> torch.library.Library | None:
    if _compiled_operators_load():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


_DECLARED = _declare_missing_operators()
