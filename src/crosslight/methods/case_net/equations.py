"""What CASE-Net minimises beside DG-Net's equations 1, 2, 5 and 7.

In the order of a step: who somebody is by shape and by colour, the triplets, gray against colour,
what is seen in a generated image; then every loss's weight. The authors' code numbers nothing.

A loss is the sum of the means over the two halves of a batch, as in DG-Net, unless it says
otherwise. Letters: P pairs of a half, so that the images x and their partners t are 2P each; s is
the shape code of an image in gray, s^c of the same in colour, c a colour code; V of the 2P images
are visible. x_ij has the colour of i on the shape of j. A, K, S, C as in `networks`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from crosslight.losses import batch_hard_triplet
from crosslight.methods.case_net.config import CaseNetConfig
from crosslight.methods.case_net.networks import DomainCritic, reversed_gradient
from crosslight.methods.dgnet.equations import TERMS as DGNET_TERMS
from crosslight.methods.dgnet.equations import Ramp, both
from crosslight.methods.terms import ACCURACY, Term, borrowed
from crosslight.nn.distributed import gather_with_gradient


def identity_losses(name: str, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Cross entropy of images and of their partners, by `shape` or by `colour`.

    Args:
        name: Of the code.
        logits: (4P, people), images first.
        labels: (2P,).
    """
    own, partner = (both(F.cross_entropy(part, labels)) for part in logits.chunk(2))
    return {f"loss_id_{name}": own, f"loss_id_partner_{name}": partner}


def loss_id_shape_in_colour(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of s^c: (V, people) logits; 0 of no visible image."""
    total = F.cross_entropy(logits, labels, reduction="sum")
    return both(total / max(1, len(labels)))


def triplet_losses(
    gray: Tensor, in_colour: Tensor, partners: Tensor, labels: Tensor, visible: Tensor
) -> dict[str, Tensor]:
    """Soft margin, batch hard: over s and s^c together, and over the partners; not summed.

    Args:
        gray: (2P, C) vectors of s.
        in_colour: (2P, C) of s^c, whatever is not visible left out.
        partners: (2P, C) of the partners in gray.
        labels: (2P,).
        visible: (2P,).
    """
    everybody, seen = gather_with_gradient(labels), gather_with_gradient(visible)
    rows = torch.cat([gather_with_gradient(gray), gather_with_gradient(in_colour)[seen]])
    return {
        "loss_triplet": batch_hard_triplet(rows, torch.cat([everybody, everybody[seen]])),
        "loss_triplet_partner": batch_hard_triplet(gather_with_gradient(partners), everybody),
    }


def domain_losses(critic: DomainCritic, in_colour: Tensor, gray: Tensor) -> dict[str, Tensor]:
    """D_F tells s^c (0) from s (1) at each position, and E_S learns the opposite; not summed.

    Args:
        critic: D_F.
        in_colour: (V, S, h, w) s^c.
        gray: (2P, S, h, w) s.
    """
    losses = {}
    for name, code, answer in (("colour", in_colour, 0.0), ("gray", gray, 1.0)):
        logits = critic(reversed_gradient(code))
        total = F.binary_cross_entropy_with_logits(
            logits, torch.full_like(logits, answer), reduction="sum"
        )
        losses[f"loss_domain_{name}"] = total / max(1, logits.numel())
    return losses


def loss_id_generated(logits: Tensor, labels: Tensor) -> Tensor:
    """By colour x_ij is taken for i, by shape for j."""
    return both(F.cross_entropy(logits, labels))


def loss_recon_colour(again: Tensor, codes: Tensor) -> Tensor:
    """(2P, A, K) colour codes of x_ij and x_ji are those of i and j: DG-Net's equation 4."""
    return both(F.l1_loss(again, codes.detach()))


def loss_weights(config: CaseNetConfig, ramp: Ramp) -> Mapping[str, float]:
    """A loss's name → its weight.

    Args:
        config: Where ramps end.
        ramp: How far they have come.
    """
    return {
        "loss_recon_same_image": config.recon_weight,
        "loss_recon_same_id": config.recon_weight,
        "loss_id_shape": config.id_weight,
        "loss_id_partner_shape": config.id_weight,
        "loss_id_shape_in_colour": config.id_weight,
        "loss_id_colour": config.id_weight,
        "loss_id_partner_colour": config.id_weight,
        "loss_triplet": config.triplet_weight,
        "loss_triplet_partner": config.triplet_weight,
        "loss_domain_colour": config.adversary_weight,
        "loss_domain_gray": config.adversary_weight,
        "loss_id_generated_shape": config.generated_id_weight,
        "loss_id_generated_colour": config.generated_id_weight,
        "loss_adversarial": config.adversarial_weight,
        "loss_penalty": config.penalty_weight,
        "loss_recon_shape": min(config.code_weight, ramp.grown),
        "loss_recon_colour": min(config.code_weight, ramp.grown),
        "loss_cycle": min(config.cycle_weight, ramp.grown),
    }


TERMS: Mapping[str, Term] = {
    **borrowed(
        DGNET_TERMS,
        "DG-Net",
        "loss_recon_same_image",
        "loss_recon_same_id",
        "loss_adversarial",
        "loss_critic",
        "loss_penalty",
        "loss_cycle",
    ),
    "loss_id_shape": Term(meaning="who is seen by the shape of an image in gray"),
    "loss_id_partner_shape": Term(meaning="who is seen by the shape of its partner"),
    "loss_id_shape_in_colour": Term(
        meaning="who is seen by the shape of an image in colour", origin="here"
    ),
    "loss_id_colour": Term(meaning="who is seen by the colour of an image"),
    "loss_id_partner_colour": Term(meaning="who is seen by the colour of its partner"),
    "loss_triplet": Term(meaning="people apart by shape, in gray and in colour"),
    "loss_triplet_partner": Term(meaning="people apart by shape, among partners"),
    "loss_domain_colour": Term(meaning="the critic of shapes knows an image in colour"),
    "loss_domain_gray": Term(meaning="the critic of shapes knows an image in gray"),
    "loss_id_generated_shape": Term(meaning="whose shape is seen in a generated image"),
    "loss_id_generated_colour": Term(meaning="whose colour is seen in a generated image"),
    "loss_recon_shape": Term(meaning="the shape code read again from what was drawn with it"),
    "loss_recon_colour": Term(meaning="the colour code read again from what was drawn with it"),
    "accuracy": ACCURACY,
}
"""The papers' symbols and numbers are not known here; those with a number are DG-Net's."""
