from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from crosslight.methods.dgnet.networks import Decoder, StructureEncoder
from crosslight.nn.adain import AdaINParameters
from crosslight.nn.conv_block import SLOPE
from crosslight.nn.critic import MultiScaleCritic


def encoder(slope: float) -> nn.Module:
    return StructureEncoder(2, (1, 2, 3), source="gray", slope=slope)


def decoder(slope: float) -> nn.Module:
    return Decoder(8, slope=slope)


def critic(slope: float) -> nn.Module:
    return MultiScaleCritic(width=4, scales=2, blocks=1, slope=slope)


def parameters(slope: float) -> nn.Module:
    return AdaINParameters(8, blocks=4, channels=4, hidden=8, slices="stripes", slope=slope)


def outputs(network: nn.Module, sign: int) -> Tensor:
    draws = torch.Generator().manual_seed(1)
    if isinstance(network, Decoder):
        scale = torch.rand(2, 4, 1, 2, 8, generator=draws, dtype=torch.float64)
        adain = torch.cat([scale, torch.zeros_like(scale)], dim=2)
        found: Tensor = network(
            sign * torch.randn(2, 8, 8, 8, generator=draws, dtype=torch.float64), adain
        )
        return found
    shape = (2, 8, 4) if isinstance(network, AdaINParameters) else (2, 3, 32, 32)
    made = network(sign * torch.randn(shape, generator=draws, dtype=torch.float64))
    return torch.cat([m.flatten() for m in made]) if isinstance(made, list) else made


@pytest.mark.parametrize("build", [encoder, decoder, critic, parameters])
def test_every_leaky_relu_of_a_network_has_its_slope(build: Callable[[float], nn.Module]) -> None:
    # Of slope 1 it is nothing, and without biases a network of convolutions and norms is odd.
    found = {}
    for slope in (1.0, 0.9, SLOPE):
        torch.manual_seed(0)
        network = build(slope)
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
        with torch.no_grad():
            there, back = (outputs(network.double(), sign) for sign in (1, -1))
        found[slope] = ((there + back).norm() / there.norm()).item()
    assert found[1.0] < 1e-6
    assert 0.01 < found[0.9] < found[SLOPE]
