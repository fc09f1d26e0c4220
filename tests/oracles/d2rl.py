"""D2RL's losses as their equations stand, one image at a time, from networks given as functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Network = Callable[[Tensor], Tensor]
Critic = Callable[[Tensor], list[Tensor]]


class Networks(NamedTuple):
    """E_v, E_i, G_v, G_i, D_v, D_i."""

    encoder_v: Network
    encoder_i: Network
    decoder_v: Network
    decoder_i: Network
    critic_v: Critic
    critic_i: Critic


class Noise(NamedTuple):
    """What is added to codes: for the generators, on their way back, and for the critics' fakes."""

    v: Tensor
    i: Tensor
    cycle_v: Tensor
    cycle_i: Tensor
    critic_v: Tensor
    critic_i: Tensor


def _mean(values: Sequence[Tensor]) -> Tensor:
    return sum(values, torch.zeros((), dtype=values[0].dtype)) / len(values)


def _l1(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().sum() / first.numel()


def _square(code: Tensor) -> Tensor:
    return (code * code).sum() / code.numel()


def _fooling(verdicts: list[Tensor], gan: str) -> Tensor:
    total = torch.zeros((), dtype=verdicts[0].dtype)
    for verdict in verdicts:
        each = [
            (v - 1) ** 2 if gan == "least-squares" else -torch.log(1 / (1 + torch.exp(-v)))
            for v in verdict.flatten()
        ]
        total = total + _mean(each)
    return total


def _judging(real: list[Tensor], fake: list[Tensor], gan: str) -> Tensor:
    total = torch.zeros((), dtype=real[0].dtype)
    for r, f in zip(real, fake, strict=True):
        if gan == "least-squares":
            each_r = [(v - 1) ** 2 for v in r.flatten()]
            each_f = [v**2 for v in f.flatten()]
        else:
            each_r = [-torch.log(1 / (1 + torch.exp(-v))) for v in r.flatten()]
            each_f = [-torch.log(1 - 1 / (1 + torch.exp(-v))) for v in f.flatten()]
        total = total + _mean(each_r) + _mean(each_f)
    return total


def image_losses(
    nets: Networks,
    visible: Tensor,
    infrared: Tensor,
    *,
    gan: str = "least-squares",
    recon: float,
    kl: float,
    adversarial: float,
    cycle: float,
    cycle_kl: float,
    noise: Noise | None = None,
) -> dict[str, Tensor]:
    """The six losses and the critics' two; without noise codes are their means."""
    terms: dict[str, list[Tensor]] = {}

    def add(name: str, value: Tensor) -> None:
        terms.setdefault(name, []).append(value)

    def added(name: str, row: int) -> Tensor | float:
        return 0.0 if noise is None else getattr(noise, name)[row : row + 1]

    for row, image in enumerate(visible):
        x = image[None]
        mean = nets.encoder_v(x)
        z = mean + added("v", row)
        yhat = nets.decoder_i(z)
        mean_again = nets.encoder_i(yhat)
        again = mean_again + added("cycle_v", row)
        add("loss_vae_v", kl * _square(mean) + recon * _l1(x, nets.decoder_v(z)))
        add("loss_gan_i", adversarial * _fooling(nets.critic_i(yhat), gan))
        add("loss_cc_v", cycle_kl * _square(mean_again) + cycle * _l1(x, nets.decoder_v(again)))
    for row, image in enumerate(infrared):
        y = image[None]
        mean = nets.encoder_i(y)
        z = mean + added("i", row)
        xhat = nets.decoder_v(z)
        mean_again = nets.encoder_v(xhat)
        again = mean_again + added("cycle_i", row)
        add("loss_vae_i", kl * _square(mean) + recon * _l1(y, nets.decoder_i(z)))
        add("loss_gan_v", adversarial * _fooling(nets.critic_v(xhat), gan))
        add("loss_cc_i", cycle_kl * _square(mean_again) + cycle * _l1(y, nets.decoder_i(again)))
    for row, (x, y) in enumerate(zip(visible, infrared, strict=True)):
        xhat = nets.decoder_v(nets.encoder_i(y[None]) + added("critic_i", row)).detach()
        yhat = nets.decoder_i(nets.encoder_v(x[None]) + added("critic_v", row)).detach()
        add("loss_critic_v", _judging(nets.critic_v(x[None]), nets.critic_v(xhat), gan))
        add("loss_critic_i", _judging(nets.critic_i(y[None]), nets.critic_i(yhat), gan))
    return {name: _mean(values) for name, values in terms.items()}


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of -log of the softmax at the label."""
    each = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        total = sum(math.e ** float(v) for v in row)
        each.append(-(row[label] - math.log(total)))
    return _mean(each)


def ssim(image: list[list[float]], truth: list[list[float]]) -> float:
    """Wang et al. 2004 with the 11 x 11 Gaussian window, at each place where it fits."""
    height, width = len(image), len(image[0])
    weights = [[math.exp(-(r * r + c * c) / 4.5) for c in range(-5, 6)] for r in range(-5, 6)]
    total = sum(map(sum, weights))
    found = []
    for top in range(height - 10):
        for left in range(width - 10):
            moments = [0.0] * 5
            for r in range(11):
                for c in range(11):
                    w = weights[r][c] / total
                    a, b = image[top + r][left + c], truth[top + r][left + c]
                    for k, value in enumerate((a, b, a * a, b * b, a * b)):
                        moments[k] += w * value
            ma, mb, aa, bb, ab = moments
            above = (2 * ma * mb + 1e-4) * (2 * (ab - ma * mb) + 9e-4)
            below = (ma * ma + mb * mb + 1e-4) * (aa - ma * ma + bb - mb * mb + 9e-4)
            found.append(above / below)
    return sum(found) / len(found)
