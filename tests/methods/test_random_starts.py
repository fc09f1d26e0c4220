"""What every method's layers are drawn from before training, as its paper or release has it."""

from __future__ import annotations

import math
import re
from collections import defaultdict

import pytest
import torch
from torch import Tensor, nn

from crosslight.config import build
from crosslight.nn.feature_norm import SampleNorm
from crosslight.registry import METHODS, method_class

TIMM = "timm's, or published weights"
TORCH = "torch's: uniform up to 1 / sqrt(fan in), biases too"
FAN_IN, FAN_OUT = "Kaiming normal, fan in", "Kaiming normal, fan out"
STARTS = (
    # Method, layer, start: the first row that fits. Biases are 0 but for torch's.
    ("proposed-2020", r"^(body|heads)\.", FAN_IN),  # defect 1 of the study
    ("case-net", r"^structure\.network", TIMM),
    ("case-net.*|structure-id", r"^body\..*layers\.", TIMM),
    ("cmpig", r"^(content|instance)\.", TIMM),
    ("hicmd", r"^vector\.layers\.", TIMM),
    (".*", r"(^|\.)backbone\.", TIMM),
    (".*", r"critics\.", 0.02),
    ("case-net.*", r"head\.classifier$|^domain\.|^body\.entry", TORCH),
    ("cmpig", r"^translator\.", TORCH),
    ("d2rl", r"heads\.metric$", TORCH),
    ("hicmd", r"^vector\.entry$", TORCH),
    ("hicmd", r"^metric$", FAN_OUT),
    ("structure-id", r"^body\.structure\.entry", TORCH),
    ("embedding-disentangle", r"^classifier\.", FAN_IN),
    (".*", r"classifier$", 0.001),
    (".*", r"(linear|heads\.shared)$", FAN_OUT),
    (".*", r"adain|decoder|encoder|prototype|structure", FAN_IN),
)
GAINS = {"hicmd": ("head.norm", 0.02), "sdl": ("norm", 0.01), "sdl-released": ("norm", 0.01)}
"""Batch norms whose gains scatter around 1, and their deviation; all others are 1."""


@pytest.mark.parametrize("name", METHODS)
def test_layers_start_as_stated(name: str) -> None:
    cls = method_class(name)
    # Of a few values the deviation would say little.
    wide = {"dim": 512} if "dim" in cls.small else {}
    config = build(cls.Config, {**cls.small, **wide}, where="test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method: nn.Module = cls(config, num_ids=40, height=64, width=32)
    drawn: dict[str, list[Tensor]] = defaultdict(list)
    for place, layer in method.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            row, start = _stated(name, place)
            if start != TIMM:
                deviation = _deviation(layer.weight, start)
                units = [layer.weight.detach().flatten() / deviation]
                if layer.bias is not None and start == TORCH:
                    units.append(layer.bias.detach() / deviation)
                elif layer.bias is not None:
                    assert not layer.bias.any(), f"bias of {place}"
                drawn[place] = units
                drawn[f"all of {STARTS[row]}"] += units
        elif isinstance(layer, SampleNorm):
            assert not layer.shift.any(), place
            drawn["scales"].append((layer.scale.detach() - 0.5) * math.sqrt(12))
        elif isinstance(layer, nn.BatchNorm1d) and "backbone" not in place:
            assert not layer.bias.any(), f"bias of {place}"
            scattered, deviation = GAINS.get(name, ("none", 0.0))
            if place.endswith(scattered):
                drawn["gains"].append((layer.weight.detach() - 1) / deviation)
            else:
                assert torch.equal(layer.weight, torch.ones_like(layer.weight)), place
    for place, pieces in drawn.items():
        values = torch.cat(pieces)
        assert abs(values.mean()) < 5 / math.sqrt(len(values)), f"mean of {place}"
        fluctuation = 5 / math.sqrt(2 * len(values))
        found = values.square().mean().sqrt()
        assert abs(found - 1) < fluctuation, f"{place}: {found:.3f} times the stated deviation"


def _stated(name: str, place: str) -> tuple[int, float | str]:
    for row, (methods, places, start) in enumerate(STARTS):
        if re.fullmatch(methods, name) and re.search(places, place):
            return row, start
    raise AssertionError(f"no row states the start of {place}")


def _deviation(weight: Tensor, start: float | str) -> float:
    if isinstance(start, float):
        return start
    fan_in, fan_out = weight[0].numel(), weight.numel() // weight.shape[1]
    variance = {TORCH: 1 / 3 / fan_in, FAN_IN: 2 / fan_in, FAN_OUT: 2 / fan_out}[start]
    return math.sqrt(variance)
