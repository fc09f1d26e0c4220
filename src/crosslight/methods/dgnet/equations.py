"""DG-Net's equations in the paper's order (Zheng et al., CVPR 2019, section 3).

The paper sums over i and j, which is twice the mean over the images of both. "Release" is what the
authors' code has beside the paper or in its place. x_ij has the appearance of i on the structure
of j. Letters: P pairs of a half, so batches hold 2P images: those of i, then those of j, or x_ij,
then x_ji; A, K and S of a code as in `crosslight.methods.dgnet.networks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.methods.dgnet.config import DGNetConfig, DrawingConfig
from crosslight.methods.dgnet.teacher import Teacher
from crosslight.methods.terms import Term
from crosslight.nn.critic import MultiScaleCritic, gradient_penalty
from crosslight.nn.freezing import frozen


def loss_recon_same_image(drawn: Tensor, images: Tensor) -> Tensor:
    """Equation 1: an image's own two codes give the image; both (2P, 3, H, W)."""
    return both(F.l1_loss(drawn, images))


def loss_recon_same_id(drawn: Tensor, images: Tensor) -> Tensor:
    """Equation 2: the appearance of another image of the person gives the image too."""
    return both(F.l1_loss(drawn, images))


def loss_id(logits: Tensor, labels: Tensor) -> Tensor:
    """Equation 3, of a real image: (2P, people) logits; the release asks its partner too."""
    return both(F.cross_entropy(logits, labels))


def loss_recon_appearance(again: Tensor, codes: Tensor) -> Tensor:
    """Equation 4: (2P, A, K) codes of x_ij and x_ji are those of i and j."""
    return both(F.l1_loss(again, codes.detach()))


def loss_recon_structure(again: Tensor, structure: Tensor) -> Tensor:
    """Equation 5: (2P, S, h, w) codes of x_ji and x_ij are those of i and j."""
    return both(F.l1_loss(again, structure.detach()))


def encoded_again(encoder: nn.Module, generated: Tensor, again_probability: float) -> Tensor:
    """Structure codes of generated images.

    A coin decides whether the encoder learns from fixed images or the images through it.
    """
    again = falls(again_probability)
    mode: AbstractContextManager[None] = nullcontext() if again else frozen(encoder)
    with mode:
        codes: Tensor = encoder(generated.detach() if again else generated)
    return codes


def loss_id_generated(logits: Tensor, labels: Tensor) -> Tensor:
    """Equation 6: x_ij is taken for i, x_ji for j."""
    return both(F.cross_entropy(logits, labels))


def critic_losses(critic: MultiScaleCritic, real: Tensor, generated: Tensor) -> dict[str, Tensor]:
    """LSGAN in place of the paper's equation 7, and R1 on real images (release)."""
    real, generated = real.detach().requires_grad_(), generated.detach()
    # Not through __call__: what torch.compile makes of a network has no second derivative.
    on_generated, on_real = critic(generated), critic.forward(real)
    loss_critic = both(
        _sum(verdict.square().mean() for verdict in on_generated)
        + _sum((verdict - 1).square().mean() for verdict in on_real)
    )
    penalty = both(gradient_penalty(on_real, real).mean())
    return {"loss_critic": loss_critic, "loss_penalty": penalty}


def adversarial_loss(critic: MultiScaleCritic, generated: Tensor, *, factor: float = 2) -> Tensor:
    """Equation 7 for the generator, as LSGAN with the release's factor per scale."""
    with frozen(critic):
        verdicts = critic(generated)
    return both(_sum(factor * (verdict - 1).square().mean() for verdict in verdicts))


def loss_cycle(cycled: Tensor, images: Tensor) -> Tensor:
    """Release: the codes of x_ij and x_ji, put together again, give the images."""
    return both(F.l1_loss(cycled, images))


def soft_labels(
    teacher: Teacher,
    images: Tensor,
    *,
    statistics: Literal["batch", "running"],
    dropout: bool,
) -> Tensor:
    """Q of equation 8: the mean over images and mirror images, (B, people), without gradient.

    Args:
        teacher: Left as it is.
        images: (B, 3, H, W).
        statistics: What its batch normalisation uses; the two halves of the batch, and their
            mirror images, count as batches of their own.
        dropout: Whether its dropout draws.
    """
    parts = 2 if statistics == "batch" else 1
    with torch.no_grad(), frozen(teacher, statistics=statistics, dropout=dropout):
        labels = [
            teacher(part).softmax(dim=1) + teacher(part.flip(-1)).softmax(dim=1)
            for part in images.chunk(parts)
        ]
    return torch.cat(labels) / 2


def loss_primary(logits: Tensor, taught: Tensor) -> Tensor:
    """Equation 8: KL(q || p) of the teacher's (2P, people) posteriors q and the student's p."""
    return both(F.kl_div(logits.log_softmax(dim=1), taught, reduction="batchmean"))


def loss_fine(logits: Tensor, other_labels: Tensor) -> Tensor:
    """Equation 9: the fine head takes x_ij for j, whose structure it has."""
    return both(F.cross_entropy(logits, other_labels))


def loss_weights(config: DGNetConfig, ramped: RampedWeights) -> dict[str, float]:
    """Equation 10: a loss's name → its weight."""
    return {
        "loss_recon_same_image": config.recon_weight,
        "loss_recon_same_id": config.recon_weight,
        "loss_id": config.id_weight,
        "loss_id_partner": config.id_weight,
        # 0 before the ramp, but there: the fine head's weight decay acts from the start.
        "loss_id_fine": ramped.fine_real,
        "loss_recon_appearance": ramped.code,
        "loss_recon_structure": ramped.code,
        "loss_id_generated": config.generated_id_weight,
        "loss_adversarial": config.adversarial_weight,
        "loss_penalty": config.penalty_weight,
        "loss_cycle": ramped.cycle,
        "loss_primary": ramped.primary,
        "loss_fine": ramped.fine,
    }


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """How far the ramped weights have grown in an iteration of the joint stage, ends aside.

    Every iteration after `ramp_start` adds `ramp_step` to them. The release asks whether a
    weight is above 0 before it adds, and multiplies after: with its settings ramped losses, and
    the passes of teacher and student that they need, begin at iteration 30,002 with 0.001.

    Attributes:
        tested: Before this iteration's growth; the fine head's identity loss on real images is
            multiplied by this one.
        grown: After it; of everything else, and 0 until `tested` is not.
    """

    tested: float
    grown: float


def ramp_at(config: DrawingConfig, iteration: int) -> Ramp:
    """The ramp at an iteration, counted from 0 within the joint stage."""
    if config.ramp_start is None:
        return Ramp(tested=0.0, grown=0.0)
    steps = iteration - config.ramp_start
    return Ramp(
        tested=config.ramp_step * max(0, steps - 1),
        grown=config.ramp_step * steps if steps > 1 else 0.0,
    )


@dataclass(frozen=True, kw_only=True)
class RampedWeights:
    """Weights that are 0 until the ramp begins.

    Attributes:
        code: Of both code reconstructions.
        cycle: Of the image cycle.
        primary: Of the primary feature learning.
        fine: Of the fine-grained mining.
        fine_real: Of the fine head's identity loss on real images.
    """

    code: float
    cycle: float
    primary: float
    fine: float
    fine_real: float

    @property
    def any(self) -> bool:
        """Whether the ramp has begun."""
        return self.code > 0 or self.cycle > 0 or self.primary > 0


def ramped_weights(config: DGNetConfig, iteration: int) -> RampedWeights:
    """The weights at an iteration of the joint stage: a straight line, then constant."""
    ramp = ramp_at(config, iteration)
    return RampedWeights(
        code=min(config.code_weight, ramp.grown),
        cycle=min(config.cycle_weight, ramp.grown),
        primary=min(config.primary_weight, ramp.grown),
        fine=config.fine_ratio * min(config.primary_weight, ramp.grown),
        fine_real=config.fine_ratio * min(config.primary_weight, ramp.tested),
    )


def falls(probability: float) -> bool:
    """One throw of a coin, the same on every device."""
    return torch.rand((), device="cpu").item() < probability


def both(mean: Tensor) -> Tensor:
    """The paper's sum over i and j, from the mean over the images of both."""
    return 2 * mean


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()


TERMS: Mapping[str, Term] = {
    "loss_recon_same_image": Term(
        symbol="L_{recon}^{img_1}", equation=1, meaning="an image from its own two codes"
    ),
    "loss_recon_same_id": Term(
        symbol="L_{recon}^{img_2}",
        equation=2,
        meaning="an image in the appearance of another one of its person",
    ),
    "loss_id": Term(symbol="L_{id}^s", equation=3, meaning="who is seen in a real image"),
    "loss_id_partner": Term(meaning="who is seen in its partner", origin="release"),
    "loss_id_fine": Term(meaning="who the fine head sees in a real image", origin="release"),
    "loss_recon_appearance": Term(
        symbol="L_{recon}^{code_1}",
        equation=4,
        meaning="the appearance code read again from what was drawn with it",
    ),
    "loss_recon_structure": Term(
        symbol="L_{recon}^{code_2}",
        equation=5,
        meaning="the structure code read again from what was drawn with it",
    ),
    "loss_id_generated": Term(
        symbol="L_{id}^c", equation=6, meaning="whose clothes are seen in a generated image"
    ),
    "loss_adversarial": Term(
        symbol="L_{adv}", equation=7, meaning="generated images pass for real, as least squares"
    ),
    "loss_critic": Term(
        symbol="L_{adv}",
        equation=7,
        side="critic",
        meaning="the critic tells generated images from real ones, as least squares",
    ),
    "loss_penalty": Term(
        symbol="R_1", meaning="how steep the critic is at real images", origin="release"
    ),
    "loss_cycle": Term(
        meaning="an image from both codes read again from generated ones", origin="release"
    ),
    "loss_primary": Term(
        symbol="L_{prim}",
        equation=8,
        meaning="the primary head says of a generated image what the teacher says",
    ),
    "loss_fine": Term(
        symbol="L_{fine}",
        equation=9,
        meaning="the fine head sees the person whose structure a generated image has",
    ),
    "loss_teacher": Term(meaning="who the teacher sees, in its own training"),
    "teacher_accuracy": Term(
        meaning="share of images whose person the teacher names", origin="figure"
    ),
}
