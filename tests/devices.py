"""Where the suite of every method computes: CROSSLIGHT_TEST_DEVICE, by default the processor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

DEVICE = torch.device(os.environ.get("CROSSLIGHT_TEST_DEVICE", "cpu"))


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """On a GPU, convolutions that repeat their results and keep all the digits of float32."""
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield
