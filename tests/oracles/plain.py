"""Layers, ResNets and optimizers written out, on weights that have names and nothing else.

An oracle gets a method's weights by name and a batch; what is computed, what moves and how far is
written here and in the oracle, so that no module, no hook and no optimizer of ours or of torch is
asked. Batch normalisation keeps its running statistics among the weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

How = Literal["batch", "running", "copied"]
"""Normalise by the batch and remember it; by what is remembered; by the batch, as a copy would."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked", ".mean", ".std", "_counts")


class Weights(dict[str, Tensor]):
    """Name → weight or statistic.

    Args:
        state: What a method holds.
        fixed: Beginnings of names of what does not move, beside statistics.
    """

    def __init__(self, state: Mapping[str, Tensor], fixed: Sequence[str] = ()) -> None:
        super().__init__({name: value.detach().clone() for name, value in state.items()})
        for name, value in self.items():
            if not name.endswith(STATISTICS) and not name.startswith(tuple(fixed)):
                value.requires_grad_()

    def frozen(self) -> Weights:
        """The same values, without gradient; statistics of its own."""
        return Weights(self, [""])

    def under(self, *prefixes: str) -> list[str]:
        """Names of what is trained below these."""
        return [
            name
            for name, value in self.items()
            if value.requires_grad and name.startswith(tuple(f"{p}." for p in prefixes))
        ]


def linear(w: Weights, name: str, rows: Tensor) -> Tensor:
    out = rows @ w[f"{name}.weight"].T
    return out + w[f"{name}.bias"] if f"{name}.bias" in w else out


def conv(
    w: Weights,
    name: str,
    maps: Tensor,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    reflect: bool = False,
) -> Tensor:
    if reflect and padding:
        maps, padding = F.pad(maps, (padding,) * 4, mode="reflect"), 0
    return F.conv2d(
        maps, w[f"{name}.weight"], w.get(f"{name}.bias"), stride, padding, dilation=dilation
    )


def batch_norm(w: Weights, name: str, values: Tensor, how: How = "batch") -> Tensor:
    shape = [1, -1] + [1] * (values.ndim - 2)
    dims = [d for d in range(values.ndim) if d != 1]
    if how == "running":
        mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    else:
        mean = values.mean(dim=dims)
        variance = ((values - mean.view(shape)) ** 2).mean(dim=dims)
    if how == "batch":
        count = values.numel() // values.shape[1]
        with torch.no_grad():
            w[f"{name}.running_mean"].mul_(0.9).add_(0.1 * mean)
            w[f"{name}.running_var"].mul_(0.9).add_(0.1 * variance * count / (count - 1))
            w[f"{name}.num_batches_tracked"].add_(1)
    out = (values - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
    return out * w[f"{name}.weight"].view(shape) + w[f"{name}.bias"].view(shape)


def instance_norm(maps: Tensor) -> Tensor:
    """Each channel of each image by itself."""
    mean = maps.mean(dim=(2, 3), keepdim=True)
    variance = ((maps - mean) ** 2).mean(dim=(2, 3), keepdim=True)
    return (maps - mean) / (variance + 1e-5).sqrt()


def sample_norm(w: Weights, name: str, maps: Tensor) -> Tensor:
    """MUNIT's layer normalisation: each image by itself, its deviation the unbiased one."""
    mean = maps.mean(dim=(1, 2, 3), keepdim=True)
    count = maps[0].numel()
    deviation = (((maps - mean) ** 2).sum(dim=(1, 2, 3), keepdim=True) / (count - 1)).sqrt()
    scale, shift = w[f"{name}.scale"].view(1, -1, 1, 1), w[f"{name}.shift"].view(1, -1, 1, 1)
    return (maps - mean) / (deviation + 1e-5) * scale + shift


def leaky(values: Tensor, slope: float) -> Tensor:
    return torch.where(values > 0, values, slope * values)


def relu(values: Tensor) -> Tensor:
    return leaky(values, 0.0)


def normalised(w: Weights, images: Tensor, name: str = "normalize") -> Tensor:
    return (images - w[f"{name}.mean"]) / w[f"{name}.std"]


def gray(images: Tensor) -> Tensor:
    """The luma of ITU-R BT.601."""
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    return 0.299 * red + 0.587 * green + 0.114 * blue


def stem(w: Weights, name: str, images: Tensor, how: How = "batch") -> Tensor:
    """Three 3x3 convolutions in place of the published 7x7, then the max pooling."""
    maps = conv(w, f"{name}.conv1.0", images, stride=2, padding=1)
    maps = relu(batch_norm(w, f"{name}.conv1.1", maps, how))
    maps = conv(w, f"{name}.conv1.3", maps, padding=1)
    maps = relu(batch_norm(w, f"{name}.conv1.4", maps, how))
    maps = conv(w, f"{name}.conv1.6", maps, padding=1)
    return F.max_pool2d(relu(batch_norm(w, f"{name}.bn1", maps, how)), 3, 2, 1)


def basic_block(w: Weights, name: str, maps: Tensor, stride: int, how: How = "batch") -> Tensor:
    inner = conv(w, f"{name}.conv1", maps, stride=stride, padding=1)
    inner = relu(batch_norm(w, f"{name}.bn1", inner, how))
    inner = batch_norm(w, f"{name}.bn2", conv(w, f"{name}.conv2", inner, padding=1), how)
    if f"{name}.downsample.0.weight" in w:
        maps = conv(w, f"{name}.downsample.0", maps, stride=stride)
        maps = batch_norm(w, f"{name}.downsample.1", maps, how)
    return relu(maps + inner)


def resnet10(
    w: Weights, name: str, images: Tensor, *, last_stride: int, how: How = "batch"
) -> Tensor:
    """The feature map of a ResNet of one basic block a layer."""
    maps = stem(w, name, images, how)
    for number, stride in enumerate((1, 2, 2, last_stride), start=1):
        maps = basic_block(w, f"{name}.layer{number}.0", maps, stride, how)
    return maps


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean of -sum q log p, where q is 1 - s at the label, and s spread over all people."""
    terms = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        log_p = row - torch.exp(row - row.max()).sum().log() - row.max()
        q = torch.full_like(row, smoothing / len(row))
        q[label] += 1 - smoothing
        terms.append(-(q * log_p).sum())
    return torch.stack(terms).mean()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    right = [int(row.argmax()) == y for row, y in zip(logits, labels.tolist(), strict=True)]
    return sum(right) / len(right)


def stairs(epoch: int, steps: Sequence[int], factor: float) -> float:
    """A rate that is multiplied by the factor at each step."""
    rate = 1.0
    for step in steps:
        if epoch >= step:
            rate *= factor
    return rate


def half_cosine(fraction: float, end: float = 0.0) -> float:
    return end + (1 - end) * (1 + math.cos(math.pi * fraction)) / 2


class SGD:
    """Momentum as Sutskever's has it if `nesterov`, with an L2 penalty.

    Args:
        groups: Names of weights and their rate.
        momentum: Part of the last step that is made again.
        penalty: Of the square of a weight, half of it.
    """

    def __init__(
        self, *groups: tuple[Iterable[str], float], momentum: float, penalty: float
    ) -> None:
        self.rates = {name: rate for names, rate in groups for name in names}
        self.momentum, self.penalty = momentum, penalty
        self.speed: dict[str, Tensor] = {}

    def step(self, w: Weights, gradients: Mapping[str, Tensor], factor: float) -> None:
        for name, rate in self.rates.items():
            if name not in gradients:
                continue
            slope = gradients[name] + self.penalty * w[name].detach()
            before = self.speed.get(name)
            speed = slope if before is None else self.momentum * before + slope
            self.speed[name] = speed
            _move(w, name, factor * rate * (slope + self.momentum * speed))


class Adam:
    """Adam; the penalty is L2, or decoupled as in AdamW.

    Args:
        groups: Names of weights and their rate.
        betas: Of the means of gradient and squared gradient.
        penalty: L2, or a part of the weight itself at each step.
        decoupled: Which.
    """

    def __init__(
        self,
        *groups: tuple[Iterable[str], float],
        betas: tuple[float, float] = (0.9, 0.999),
        penalty: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        self.rates = {name: rate for names, rate in groups for name in names}
        self.betas, self.penalty, self.decoupled = betas, penalty, decoupled
        self.means: dict[str, tuple[Tensor, Tensor, int]] = {}

    def step(self, w: Weights, gradients: Mapping[str, Tensor], factor: float) -> None:
        first, second = self.betas
        for name, rate in self.rates.items():
            if name not in gradients:
                continue
            slope = gradients[name]
            if self.decoupled:
                _move(w, name, factor * rate * self.penalty * w[name].detach())
            else:
                slope = slope + self.penalty * w[name].detach()
            zero = torch.zeros_like(slope)
            mean, square, count = self.means.get(name, (zero, zero, 0))
            mean, square = (
                first * mean + (1 - first) * slope,
                second * square + (1 - second) * slope**2,
            )
            count += 1
            self.means[name] = (mean, square, count)
            unbiased = mean / (1 - first**count), square / (1 - second**count)
            _move(w, name, factor * rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8))


def _move(w: Weights, name: str, by: Tensor) -> None:
    with torch.no_grad():
        w[name].sub_(by)


class Plain:
    """What the oracles of whole iterations share.

    Attributes:
        w: The weights; they move.
        gradients: Name → gradient of the last iteration.
        optimizers: Name → what moves a part of the weights.
    """

    def __init__(self, state: Mapping[str, Tensor], fixed: Sequence[str] = ()) -> None:
        self.w = Weights(state, fixed)
        self.gradients: dict[str, Tensor] = {}
        self.optimizers: dict[str, SGD | Adam] = {}

    def move(self, names: Sequence[str], total: Tensor, factors: Mapping[str, float]) -> None:
        """Walks back from the sum of the losses, then makes the step of these optimizers."""
        own = [n for name in names for n in self.optimizers[name].rates]
        slopes = torch.autograd.grad(total, [self.w[n] for n in own], allow_unused=True)
        found = {n: s for n, s in zip(own, slopes, strict=True) if s is not None}
        self.gradients |= found
        for name in names:
            self.optimizers[name].step(self.w, found, factors[name])
