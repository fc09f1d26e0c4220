"""The detector's network, beside what the original graph gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from crosslight.nn.nanodet import BINS, STRIDES, NanoDet
from crosslight.shipped import shipped_detector

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from make_detector import EXPECTED, blocks, difference


def test_it_gives_what_the_original_graph_gives() -> None:
    network = NanoDet().eval()
    tensors = load_file(shipped_detector())
    assert {value.dtype for value in tensors.values()} == {torch.float16}
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    with np.load(EXPECTED) as expected:
        assert max(np.abs(value).max() for value in expected.values()) > 1
        assert difference(network, blocks(), expected) < 1e-3


def test_pictures_need_not_be_square() -> None:
    with torch.inference_mode():
        grids = NanoDet().eval()(torch.zeros(2, 3, 64, 96))
    assert [tuple(grid.shape) for grid in grids] == [
        (2, 1 + 4 * BINS, 64 // stride, 96 // stride) for stride in STRIDES
    ]
