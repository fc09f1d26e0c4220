"""What Hi-CMD minimises (Choi et al., CVPR 2020), in the order of an iteration.

The paper's text is not at hand and its equations have no numbers here; "release" is the authors'
code, which every formula and weight was taken from. a is an image in visible light, b one of the
same person in infrared; c is a prototype, s an attribute: style, pose and illumination. Letters: N
pairs, R rows of the identity losses, K and D of an attribute, S of a prototype as in
`crosslight.methods.hicmd.networks`. Two tensors in a tuple are of a, then of b; losses are sums
over both, each a mean over its images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.methods.hicmd.config import HiCMDConfig, RowName
from crosslight.methods.hicmd.networks import (
    excluded_of,
    illumination_of,
    joined,
    pose_of,
    style_of,
)
from crosslight.methods.terms import ACCURACY, Term
from crosslight.nn.critic import gradient_penalty
from crosslight.nn.freezing import frozen
from crosslight.nn.patch_critic import critic_loss, generator_loss

Lights: TypeAlias = tuple[Tensor, Tensor]
"""Of the visible images, of the infrared ones."""


def exchanged(attribute: Lights) -> Lights:
    """Both attributes (N, K, D) with the style of the other, who is the same person."""
    a, b = attribute
    return joined(style_of(b), excluded_of(a)), joined(style_of(a), excluded_of(b))


def relit(attribute: Lights) -> Lights:
    """[style_b, pose_b, illumination_a] and mirrored: of its own only the illumination stays."""
    a, b = attribute
    return (
        joined(style_of(b), pose_of(b), illumination_of(a)),
        joined(style_of(a), pose_of(a), illumination_of(b)),
    )


def loss_recon_self(drawn: Lights, images: Lights) -> Tensor:
    """G(c_a, s_a) is a, where s_a has the style of b (release) or its own."""
    return _over_lights(F.l1_loss, drawn, images)


def loss_recon_cross(drawn: Lights, images: Lights) -> Tensor:
    """x_ba = G(c_b, s_a) is a, though prototype and style are those of b."""
    return _over_lights(F.l1_loss, drawn, images)


def loss_cycle(drawn: Lights, images: Lights) -> Tensor:
    """x_aba = G(c_a', s_a) is a, where c_a' is read from x_ab."""
    return _over_lights(F.l1_loss, drawn, images)


def loss_code(again: Lights, given: Lights) -> Tensor:
    """The attribute read from x_ba is the one it was drawn with: its style and what is excluded."""
    return _over_lights(F.l1_loss, *(_mapped(style_of, s) for s in (again, given))) + _over_lights(
        F.l1_loss, *(_mapped(excluded_of, s) for s in (again, given))
    )


def loss_excluded(attribute: Lights) -> Tensor:
    """Mean square of pose and illumination, a Kullback-Leibler divergence but for constants."""
    return _sum(excluded_of(s).square().mean() for s in attribute)


def loss_adversarial(critics: nn.ModuleList, drawn: Lights) -> Tensor:
    """Least squares, without DG-Net's factor 2; x_ba is judged by the critic of visible images."""
    terms = []
    for critic, images in zip(critics, drawn, strict=True):
        with frozen(critic):
            terms.append(generator_loss(critic(images), "least-squares"))
    return _sum(terms)


def critic_losses(
    critics: nn.ModuleList, images: Lights, drawn: Mapping[str, Lights]
) -> dict[str, Tensor]:
    """Least squares about each kind of drawn images, and R1 on real ones.

    Args:
        critics: Of visible and of infrared images.
        images: Real ones.
        drawn: Name of a loss → what it is about.
    """
    losses: dict[str, list[Tensor]] = {name: [] for name in (*drawn, "loss_penalty")}
    for light, critic in enumerate(critics):
        real = images[light].detach().requires_grad_()
        # Not through __call__: what torch.compile makes of a network has no second derivative.
        on_real = critic.forward(real)
        for name, both in drawn.items():
            on_drawn = critic(both[light].detach())
            losses[name].append(critic_loss(on_real, on_drawn, "least-squares"))
        losses["loss_penalty"].append(gradient_penalty(on_real, real).mean())
    return {name: _sum(terms) for name, terms in losses.items()}


def matching_vector(prototype: Tensor, style: Tensor, share: Tensor) -> Tensor:
    """[min(w, 1) P(c); max(1 - w, 0) style], both of length 1 before their share.

    Nothing holds w above 0, and above 1 nothing moves it any more (release).

    Args:
        prototype: (R, C) vectors of prototypes.
        style: (R, K, D / 2).
        share: w, a scalar.

    Returns:
        (R, C + K D / 2).
    """
    halves = (
        share.clamp(max=1) * F.normalize(prototype),
        (1 - share).clamp(min=0) * F.normalize(style.flatten(1)),
    )
    return torch.cat(halves, dim=1)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What the identity losses see, real and drawn images mixed.

    Attributes:
        prototype: (R,) place of the image whose prototype each row has.
        style: (R,) place of that whose style it has.
        infrared: (R,) whether it counts as infrared.
        negative: (R,) whether it is of a person in no pair, who is nobody's anchor.
    """

    prototype: Tensor
    style: Tensor
    infrared: Tensor
    negative: Tensor


def identity_rows(
    pairs: int,
    negatives: tuple[int, int],
    *,
    without: tuple[RowName, ...],
    device: torch.device,
) -> Rows:
    """The rows in their order, by place in (a, b, x_ba, x_ab, negatives in each light).

    Each is of the prototype's person, who is the same in a, b, x_ba and x_ab.

    Args:
        pairs: N.
        negatives: How many there are in each light.
        without: What is left out.
        device: Where the rows are wanted.
    """
    places = torch.arange(4 * pairs + sum(negatives), device=device)
    a, b, x_ba, x_ab, not_a, not_b = places.split([*[pairs] * 4, *negatives])
    rows = {
        "real-visible": (a, a),
        "real-infrared": (b, b),
        "drawn-visible": (x_ba, x_ba),
        "drawn-infrared": (x_ab, x_ab),
        "negative-visible": (not_a, not_a),
        "negative-infrared": (not_b, not_b),
        "mixed-visible": (torch.cat([a, x_ba]), torch.cat([x_ba, a])),
        "mixed-infrared": (torch.cat([b, x_ab]), torch.cat([x_ab, b])),
    }
    kept = {name: places for name, places in rows.items() if name not in without}

    def each(flags: Iterable[bool]) -> Tensor:
        counted = zip(flags, kept.values(), strict=True)
        found = [flag for flag, (prototype, _) in counted for _ in range(len(prototype))]
        return torch.tensor(found, device=device)

    return Rows(
        prototype=torch.cat([prototype for prototype, _ in kept.values()]),
        style=torch.cat([style for _, style in kept.values()]),
        infrared=each(name.endswith("infrared") for name in kept),
        negative=each(name.startswith("negative") for name in kept),
    )


def loss_triplet(features: Tensor, labels: Tensor, anchors: Tensor, *, margin: float) -> Tensor:
    """Hardest positive and negative by the cosine, and both similarities at their ends.

    mean max(0, s_n - s_p + m) + mean (1 + s_n)^2 + mean (1 - s_p)^2. An anchor is among its own
    candidates.

    Args:
        features: (R, D), of two people at least.
        labels: (R,).
        anchors: (R,) whether a row is one.
        margin: m.
    """
    rows = F.normalize(features)
    similarity = rows[anchors] @ rows.T
    same = labels[anchors][:, None] == labels
    chosen = similarity.detach()
    positive = chosen.masked_fill(~same, torch.inf).argmin(dim=1, keepdim=True)
    negative = chosen.masked_fill(same, -torch.inf).argmax(dim=1, keepdim=True)
    s_p, s_n = (similarity.gather(1, place) for place in (positive, negative))
    hinge = F.relu(s_n - s_p + margin).mean()
    return hinge + (1 + s_n).square().mean() + (1 - s_p).square().mean()


def loss_weights(config: HiCMDConfig) -> dict[str, float]:
    """A loss's name → its weight."""
    judged = config.adversarial_weight + config.illumination_weight
    return {
        "loss_recon_self": config.self_weight,
        "loss_recon_cross": config.cross_weight,
        "loss_cycle": config.cycle_weight,
        "loss_code": config.code_weight,
        "loss_excluded": config.excluded_weight,
        "loss_adversarial": config.adversarial_weight,
        "loss_adversarial_illumination": config.illumination_weight,
        "loss_critic": config.adversarial_weight,
        "loss_critic_illumination": config.illumination_weight,
        # On real images, which each of both kinds is compared with.
        "loss_penalty": config.penalty_weight * judged,
        "loss_id": config.id_weight,
        "loss_triplet": config.triplet_weight,
    }


def _mapped(part: Callable[[Tensor], Tensor], both: Lights) -> Lights:
    return part(both[0]), part(both[1])


def _over_lights(loss: Callable[[Tensor, Tensor], Tensor], found: Lights, wanted: Lights) -> Tensor:
    return loss(found[0], wanted[0]) + loss(found[1], wanted[1])


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()


TERMS: Mapping[str, Term] = {
    "loss_recon_self": Term(meaning="an image from its own prototype"),
    "loss_recon_cross": Term(meaning="an image from the prototype of the other light's"),
    "loss_cycle": Term(meaning="an image from the prototype read from what was drawn"),
    "loss_code": Term(meaning="the attribute read again from what was drawn with it"),
    "loss_excluded": Term(meaning="pose and illumination near a standard normal"),
    "loss_adversarial": Term(meaning="drawn images pass for real"),
    "loss_adversarial_illumination": Term(meaning="images of exchanged illumination pass for real"),
    "loss_critic": Term(meaning="critics tell drawn images from real ones"),
    "loss_critic_illumination": Term(
        meaning="critics tell images of exchanged illumination from real ones"
    ),
    "loss_penalty": Term(symbol="R_1", meaning="how steep critics are at real images"),
    "loss_id": Term(meaning="who is seen in real and drawn images"),
    "loss_triplet": Term(meaning="people apart, real and drawn images mixed"),
    "accuracy": ACCURACY,
    "share": Term(
        symbol="w", meaning="how much of what is matched is the prototype", origin="figure"
    ),
}
"""From the released code; the paper's symbols and numbers are not known here."""
