"""What `proposed-2020` and `structure-id` minimise beside DG-Net's equations 1, 2, 5 and 7.

In the order of a step: who is seen in a generated image, the cycle, who is seen in a real one, the
triplets; then every loss's weight. The study's slides number no equations. Letters as in
`crosslight.methods.dgnet.equations`; D length of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from crosslight.losses import batch_hard_triplet
from crosslight.methods.dgnet.equations import TERMS as DGNET_TERMS
from crosslight.methods.dgnet.equations import Ramp, both, ramp_at
from crosslight.methods.structure_id.config import Proposed2020Config
from crosslight.methods.terms import Term, borrowed
from crosslight.nn.distributed import gather_with_gradient

STRUCTURE, APPEARANCE = "structure", "appearance"


def identity_losses(
    config: Proposed2020Config,
    name: str,
    embeddings: tuple[Tensor, ...],
    logits: tuple[Tensor, ...],
    labels: Tensor,
) -> dict[str, Tensor]:
    """On real images, of one code: the primary head on images and partners, the fine one, triplets.

    Args:
        config: Smoothing, margin, and what the triplets compare.
        name: Of the code.
        embeddings: (4P, D) of the primary and the fine head, images first, then partners.
        logits: (4P, people) of the same.
        labels: (2P,) of the images.
    """
    smoothing = config.label_smoothing
    own, partner = (
        both(F.cross_entropy(part, labels, label_smoothing=smoothing))
        for part in logits[0].chunk(2)
    )
    compared = logits
    if config.match_on == "embedding":
        # Of length 1, as they are matched.
        compared = (F.normalize(embeddings[0]), F.normalize(embeddings[1]))
    everybody = gather_with_gradient(labels.repeat(2))
    triplets = [
        batch_hard_triplet(gather_with_gradient(rows), everybody, margin=config.margin)
        for rows in compared
    ]
    return {
        f"loss_id_{name}": own,
        f"loss_id_partner_{name}": partner,
        f"loss_id_fine_{name}": both(F.cross_entropy(logits[1].chunk(2)[0], labels)),
        f"loss_triplet_{name}": torch.stack(triplets).sum(),
    }


def ramp_of(config: Proposed2020Config, iteration: int) -> Ramp:
    """How far the ramped weights have grown at an iteration of the joint stage."""
    if config.ramps == "released" or config.ramp_start is None:
        return ramp_at(config, iteration)
    grown = config.ramp_step * max(0, iteration - config.ramp_start)
    return Ramp(tested=grown, grown=grown)


def loss_weights(config: Proposed2020Config, ramp: Ramp) -> dict[str, float]:
    """A loss's name → its weight.

    Args:
        config: Where ramps end.
        ramp: How far they have come.
    """
    weights = {
        "loss_recon_same_image": config.recon_weight,
        "loss_recon_same_id": config.recon_weight,
        "loss_adversarial": config.adversarial_weight,
        "loss_penalty": config.penalty_weight,
        "loss_recon_structure": min(config.code_weight, ramp.grown),
        "loss_cycle": min(config.cycle_weight, ramp.grown),
        "loss_attributes": config.attribute_weight,
    }
    for code in (STRUCTURE, APPEARANCE):
        weights |= {
            f"loss_id_generated_{code}": config.generated_id_weight,
            f"loss_id_{code}": config.id_weight,
            f"loss_id_partner_{code}": config.id_weight,
            # 0 before the ramp, but there: the fine head's weight decay acts from the start.
            f"loss_id_fine_{code}": min(config.fine_weight, config.fine_ratio * ramp.tested),
            f"loss_triplet_{code}": config.triplet_weight,
        }
    return weights


TERMS: Mapping[str, Term] = {
    **borrowed(
        DGNET_TERMS,
        "DG-Net",
        "loss_recon_same_image",
        "loss_recon_same_id",
        "loss_recon_structure",
        "loss_adversarial",
        "loss_critic",
        "loss_penalty",
        "loss_cycle",
    ),
    "loss_id_structure": Term(meaning="who is seen in a real image by its structure"),
    "loss_id_partner_structure": Term(
        meaning="who is seen in its partner by its structure", origin="release"
    ),
    "loss_id_fine_structure": Term(
        meaning="who the fine head sees by the structure", origin="release"
    ),
    "loss_triplet_structure": Term(
        meaning="people apart by structure, both heads", origin="release"
    ),
    "loss_id_generated_structure": Term(meaning="whose structure is seen in a generated image"),
    "loss_id_appearance": Term(
        meaning="who is seen in a real image by its appearance", origin="here"
    ),
    "loss_id_partner_appearance": Term(
        meaning="who is seen in its partner by its appearance", origin="here"
    ),
    "loss_id_fine_appearance": Term(
        meaning="who the fine head sees by the appearance", origin="here"
    ),
    "loss_triplet_appearance": Term(meaning="people apart by appearance", origin="here"),
    "loss_id_generated_appearance": Term(
        meaning="whose clothes are seen in a generated image", origin="here"
    ),
    "loss_attributes": Term(meaning="attributes read from the structure", origin="here"),
}
"""The study's slides number no equations; those with a number are DG-Net's."""
