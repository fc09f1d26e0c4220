"""Losses of DG-Net that look at images, critics and structure codes alone.

Each is the paper's sum over i and j, which is twice the mean over the images of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from crosslight.nn.critic import MultiScaleCritic, gradient_penalty
from crosslight.nn.freezing import frozen


def critic_losses(
    critic: MultiScaleCritic, real: Tensor, generated: Tensor, *, penalty_weight: float
) -> dict[str, Tensor]:
    """LSGAN in place of the paper's equation 7, and R1 on real images (release)."""
    real, generated = real.detach().requires_grad_(), generated.detach()
    # Not through __call__: what torch.compile makes of a network has no second derivative.
    on_generated, on_real = critic(generated), critic.forward(real)
    loss_critic = both(
        _sum(verdict.square().mean() for verdict in on_generated)
        + _sum((verdict - 1).square().mean() for verdict in on_real)
    )
    penalty = both(gradient_penalty(on_real, real).mean())
    return {"loss_critic": loss_critic, "loss_penalty": penalty_weight * penalty}


def adversarial_loss(critic: MultiScaleCritic, generated: Tensor) -> Tensor:
    """Equation 7 for the generator, as LSGAN with the release's factor 2 per scale."""
    with frozen(critic):
        verdicts = critic(generated)
    return both(_sum(2 * (verdict - 1).square().mean() for verdict in verdicts))


def encoded_again(encoder: nn.Module, generated: Tensor, again_probability: float) -> Tensor:
    """Structure codes of generated images.

    A coin decides whether the encoder learns from fixed images or the images through it.
    """
    again = falls(again_probability)
    mode: AbstractContextManager[None] = nullcontext() if again else frozen(encoder)
    with mode:
        codes: Tensor = encoder(generated.detach() if again else generated)
    return codes


def falls(probability: float) -> bool:
    """One throw of a coin, the same on every device."""
    return torch.rand((), device="cpu").item() < probability


def both(mean: Tensor) -> Tensor:
    """The paper's sum over i and j, from the mean over the images of both."""
    return 2 * mean


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()
