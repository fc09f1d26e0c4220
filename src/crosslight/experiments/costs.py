"""What a system costs: time of processors, and parameters."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from crosslight.methods.contract import Method
from crosslight.types import Modality


def cpu_seconds() -> float:
    """CPU-seconds so far, on all cores, of this process and of its children that have ended.

    Loading processes end with the loop over their batches. Windows tells nothing of children.
    """
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Numbers that a method has learnt.

    Attributes:
        all: In all its networks.
        embedding: In those that an embedding goes through.
    """

    all: int
    embedding: int


def count_parameters(
    method: Method, height: int, width: int, lights: Iterable[Modality]
) -> Parameters:
    """Counts the parameters of a method, whose `requires_grad` may change meanwhile.

    Args:
        method: In eval mode.
        height: Image height in pixels.
        width: Image width in pixels.
        lights: In which images are embedded.
    """
    modality = torch.tensor([int(light) for light in lights], device=_device(method))
    images = torch.rand(len(modality), 3, height, width, device=_device(method))
    used: set[int] = set()

    def note(module: nn.Module, _: object) -> None:
        used.update(id(parameter) for parameter in module.parameters(recurse=False))

    # A forward pass tells of networks that no gradient reaches, a gradient of parameters that
    # another module's forward pass uses.
    hooks = [module.register_forward_pre_hook(note) for module in method.modules()]
    parameters = list(method.parameters())
    frozen = [parameter for parameter in parameters if not parameter.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            total = method.embed(images, modality).float().square().sum()
        if total.requires_grad:
            found = torch.autograd.grad(total, parameters, allow_unused=True)
            pairs = zip(parameters, found, strict=True)
            used.update(id(parameter) for parameter, gradient in pairs if gradient is not None)
    finally:
        for hook in hooks:
            hook.remove()
        for parameter in frozen:
            parameter.requires_grad_(False)
    return Parameters(
        all=sum(parameter.numel() for parameter in parameters),
        embedding=sum(parameter.numel() for parameter in parameters if id(parameter) in used),
    )


def _device(method: Method) -> torch.device:
    return next(method.parameters()).device
