"""What cmPIG minimises, in the paper's order (Wang et al., AAAI 2020).

Set-level alignment is the generator that shares its content encoder, instance-level alignment the
divergence of pairs, then identity. The paper's equation 11 sums them; the release has the
reconstruction of codes beside them, and the weights of `loss_weights`. x is visible, y infrared;
c = E_i is an image's content, z = E_s its style, and

    fake_x = G_x(c_y, z_x),    fake_y = G_y(c_x, z_y)                          (equation 3)

so fake_x shows the person of its partner y, which is the person of x too. Letters: R pairs, so 2R
images: those of x, then those of y. Every loss is the sum of a mean over x and one over y unless
it says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from crosslight.losses import euclidean_distances
from crosslight.methods.cmpig.config import CmPIGConfig
from crosslight.methods.cross_modal_triplets import hardest
from crosslight.methods.terms import ACCURACY, Term
from crosslight.nn import patch_critic
from crosslight.nn.patch_critic import GanLoss
from crosslight.nn.precision import wide
from crosslight.types import Modality

GAN: GanLoss = "least-squares"
"""Release; the paper writes the logarithm."""
EPSILON = 1e-8
"""Added to probabilities before their logarithm is taken."""


def exchanged(rows: Tensor) -> Tensor:
    """(2R, ...) of y in the place of x, and of x in that of y."""
    return rows.roll(len(rows) // 2, dims=0)


def both_lights(mean: Tensor) -> Tensor:
    """The sum over x and y, from the mean over all 2R."""
    return 2 * mean


def loss_recon(drawn: Tensor, images: Tensor) -> Tensor:
    """L1 of G_x(c_x, z_x) and x, of G_y(c_y, z_y) and y."""
    return both_lights(F.l1_loss(drawn, images))


def loss_cycle(cycled: Tensor, images: Tensor) -> Tensor:
    """L1 of G_x(E_i(fake_y), z_x) and x, of G_y(E_i(fake_x), z_y) and y."""
    return both_lights(F.l1_loss(cycled, images))


def loss_gan(judged: Sequence[Sequence[Tensor]]) -> Tensor:
    """(D(fake) - 1)^2, a mean over each scale's map, summed over scales and lights."""
    return torch.stack([patch_critic.generator_loss(verdicts, GAN) for verdicts in judged]).sum()


def loss_critic(
    real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]
) -> dict[str, Tensor]:
    """D(fake)^2 + (D(real) - 1)^2, a mean over each scale's map, summed over scales and lights."""
    terms = [patch_critic.critic_loss(r, f, GAN) for r, f in zip(real, fake, strict=True)]
    return {"loss_critic": torch.stack(terms).sum()}


def loss_content(again: Tensor, content: Tensor) -> Tensor:
    """Release: L1 of E_i(fake_y) and c_x, of E_i(fake_x) and c_y.

    Args:
        again: (2R, C, h, w) of the fakes.
        content: (2R, C, h, w) of the images.
    """
    return both_lights(F.l1_loss(wide(exchanged(again)), wide(content)))


def loss_style(again: Tensor, style: Tensor) -> Tensor:
    """Release: L1 of E_s(fake_x) and z_x, of E_s(fake_y) and z_y; both (2R, Z)."""
    return both_lights(F.l1_loss(again, style))


def loss_align(fake: Tensor, real: Tensor, kind: Literal["symmetric", "forward"]) -> Tensor:
    """Instance level: what is said of a fake and of the image whose content it has.

    Args:
        fake: (2R, people) logits of fake_x, then fake_y.
        real: (2R, people) logits of x, then y; learn nothing.
        kind: `forward`: KL(real || fake); `symmetric`: KL(fake || real) more.
    """
    q = wide(real).detach().softmax(dim=1)
    p = wide(exchanged(fake)).softmax(dim=1)
    log_q, log_p = (q + EPSILON).log(), (p + EPSILON).log()
    terms = (q * (log_q - log_p)).sum(dim=1)
    if kind == "symmetric":
        terms = terms + (p * (log_p - log_q)).sum(dim=1)
    return both_lights(terms.mean())


def loss_id(logits: Tensor, labels: Tensor, modality: Tensor, *, smoothing: float) -> Tensor:
    """Half the sum of both lights' cross-entropy.

    Args:
        logits: (B, people).
        labels: (B,).
        modality: (B,).
        smoothing: Of the labels.
    """
    each = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return _mean_of_lights(each, modality)


def loss_triplet(vectors: Tensor, labels: Tensor, modality: Tensor, *, margin: float) -> Tensor:
    """Anchor in one light, hardest positive and negative in the other; half the sum of both ways.

    Args:
        vectors: (B, D) before the neck, compared by Euclidean distance as they are.
        labels: (B,).
        modality: (B,).
        margin: m of max(0, m + d_p - d_n).
    """
    distances = euclidean_distances(vectors)
    furthest, nearest = hardest(distances.detach(), labels, modality)
    to_positive, to_negative = (
        distances.gather(1, other[:, None])[:, 0] for other in (furthest, nearest)
    )
    return _mean_of_lights(F.relu(margin + to_positive - to_negative), modality)


def loss_feature_gan(visible: Sequence[Tensor], infrared: Sequence[Tensor]) -> Tensor:
    """Comparison in the paper: maps of each light taken for the other's by their critic.

    Args:
        visible: Verdicts on the set level's maps of visible images; real is visible.
        infrared: On those of infrared ones.
    """
    fooled = patch_critic.generator_loss(infrared, GAN)
    return fooled + torch.stack([verdict.square().mean() for verdict in visible]).sum()


def loss_feature_critic(visible: Sequence[Tensor], infrared: Sequence[Tensor]) -> dict[str, Tensor]:
    """Its critic's side."""
    return {"loss_feature_critic": patch_critic.critic_loss(visible, infrared, GAN)}


def loss_weights(config: CmPIGConfig) -> dict[str, float]:
    """A loss's name → its weight."""
    return {
        "loss_recon": config.recon_weight,
        "loss_cycle": config.cycle_weight,
        "loss_gan": config.gan_weight,
        "loss_content": config.feature_weight,
        "loss_style": config.feature_weight,
        "loss_align": config.align_weight,
        "loss_id": config.id_weight,
        "loss_triplet": config.triplet_weight,
        "loss_feature_gan": config.feature_gan_weight,
    }


def _mean_of_lights(terms: Tensor, modality: Tensor) -> Tensor:
    means = [terms[modality == light].mean() for light in Modality]
    return torch.stack(means).mean()


TERMS: Mapping[str, Term] = {
    "loss_recon": Term(meaning="an image from its own content and style"),
    "loss_cycle": Term(meaning="an image from the content of its fake"),
    "loss_gan": Term(meaning="fakes pass for real"),
    "loss_critic": Term(meaning="critics tell fakes from real images"),
    "loss_content": Term(
        meaning="the content read again from what was drawn with it", origin="release"
    ),
    "loss_style": Term(
        meaning="the style read again from what was drawn with it", origin="release"
    ),
    "loss_align": Term(meaning="of a fake is said what is said of the image with its content"),
    "loss_id": Term(meaning="who is seen, half of each light"),
    "loss_triplet": Term(meaning="people apart across light"),
    "loss_feature_gan": Term(meaning="maps of each light pass for the other's"),
    "loss_feature_critic": Term(meaning="a critic tells the maps of both lights apart"),
    "accuracy": ACCURACY,
}
"""The paper's equation 11 sums them; which number each has is not known here."""
