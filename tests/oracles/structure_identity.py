"""The study's last run written plainly: every pass on its own, in the order of its description.

Networks lend their weights only; what they compute is written out here, except the two ResNets.
Wasteful in the ways that the run was: copies of whole networks, passes that nobody learns from.

Letters: a and b are the two halves of the batch, p their partners; x_ab has the appearance of a on
the structure of b. An image's person is the one whose structure it has.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.methods.structure_id import Proposed2020
from tests.oracles.dgnet import (
    conv,
    decode,
    encode_structure,
    erased,
    judge,
    only_batch_norm_trains,
    relu,
)


class Identity(nn.Module):
    """E_s with its ResNet and its heads as one network, so that it can be copied as one."""

    def __init__(self, method: Any) -> None:
        super().__init__()
        self.encoder = method.structure
        self.squeeze = method.body["structure"].entry
        self.resnet = method.body["structure"].layers
        self.primary = method.heads["structure"].primary
        self.fine = method.heads["structure"].fine

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Structure code, logits of both heads."""
        code = encode_structure(self.encoder, images)
        maps = code
        for block in self.squeeze:
            maps = relu(F.instance_norm(conv(block.conv, maps)))
        vector = F.adaptive_avg_pool2d(self.resnet(maps), (1, 1)).flatten(1)
        return code, _head(self.primary, vector), _head(self.fine, vector)


def _head(head: Any, vector: Tensor) -> Tensor:
    values = head.dropout(head.norm(F.linear(vector, head.linear.weight, head.linear.bias)))
    return F.linear(values, head.classifier.weight, head.classifier.bias)


class Appearance(nn.Module):
    """E_a, which feeds the decoder alone: its code has no graph."""

    def __init__(self, method: Any) -> None:
        super().__init__()
        self.resnet = method.appearance.backbone

    def forward(self, images: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(self.resnet(images), (4, 1)).squeeze(3).detach()


def triplets(rows: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Batch hard: of each row its furthest positive and its nearest negative."""
    terms = []
    for row, label in zip(rows, labels, strict=True):
        positives, negatives = [], []
        for other, its_label in zip(rows, labels, strict=True):
            distance = ((row - other) ** 2).sum().clamp(min=1e-12).sqrt()
            (positives if its_label == label else negatives).append(distance)
        excess = margin + torch.stack(positives).max() - torch.stack(negatives).min()
        terms.append(excess.clamp(min=0))
    return torch.stack(terms).mean()


def ramp(iteration: int, config: Any) -> tuple[dict[str, float], dict[str, float]]:
    """The weights before an iteration's growth, which it tests, and after it."""
    ends = {
        "structure": config.code_weight,
        "cycle": config.cycle_weight,
        "fine": config.fine_weight / config.fine_ratio,
    }
    weights = dict.fromkeys(ends, 0.0)
    tested = dict(weights)
    for present in range(iteration + 1):
        tested = dict(weights)
        if present > config.ramp_start:
            weights = {n: min(end, weights[n] + config.ramp_step) for n, end in ends.items()}
    return tested, weights


class PlainStep:
    """One iteration after the other on a method's networks.

    Args:
        method: In training mode; its weights move.

    Attributes:
        gradients: Name of a parameter → its gradient in the last iteration.
    """

    def __init__(self, method: Proposed2020) -> None:
        self.method = method
        self.optimizers = {n: s.optimizer for n, s in method.optimizers().items()}
        self.gradients: dict[str, Tensor] = {}

    def __call__(
        self, images: Tensor, labels: Tensor, rectangles: Tensor, iteration: int, *, again: bool
    ) -> dict[str, float]:
        """Images as in a batch of pairs, normalised; rectangles for x_a, x_b, p_a, p_b."""
        method, config = self.method, self.method.config
        self.gradients = {}
        tested, weight = ramp(iteration, config)
        half = len(images) // 2
        x_a, p_a = images[0:half:2], images[1:half:2]
        x_b, p_b = images[half::2], images[half + 1 :: 2]
        y_a, y_b = labels[0:half:2], labels[half::2]
        identify, colour = Identity(method), Appearance(method)
        mlps, decoder, critic = method.adain, method.decoder, method.critic

        s_a, id_a, fine_a = identify(x_a)
        s_b, id_b, fine_b = identify(x_b)
        f_a, f_b = colour(x_a), colour(x_b)
        x_ab, x_ba = decode(decoder, mlps, f_a, s_b), decode(decoder, mlps, f_b, s_a)
        x_aa, x_bb = decode(decoder, mlps, f_a, s_a), decode(decoder, mlps, f_b, s_b)
        f_pa, f_pb = colour(p_a), colour(p_b)
        _, id_pa, fine_pa = identify(p_a)
        _, id_pb, fine_pb = identify(p_b)
        x_paa, x_pbb = decode(decoder, mlps, f_pa, s_a), decode(decoder, mlps, f_pb, s_b)
        if config.erasing:
            parts = rectangles.chunk(4)
            _, id_a, fine_a = identify(erased(x_a, parts[0]))
            _, id_b, fine_b = identify(erased(x_b, parts[1]))
            _, id_pa, fine_pa = identify(erased(p_a, parts[2]))
            _, id_pb, fine_pb = identify(erased(p_b, parts[3]))

        critic_loss: Any = 0.0
        penalty: Any = 0.0
        for real, generated in ((x_a, x_ab), (x_b, x_ba)):
            real = real.detach().requires_grad_()
            for verdict in judge(critic, generated.detach()):
                critic_loss = critic_loss + (verdict**2).mean()
            for verdict in judge(critic, real):
                critic_loss = critic_loss + ((verdict - 1) ** 2).mean()
                (slope,) = torch.autograd.grad(verdict.sum(), real, create_graph=True)
                penalty = penalty + (slope**2).flatten(1).sum(dim=1).mean()
        self._step("critic", critic_loss + config.penalty_weight * penalty)

        if again:
            s_a_again, id_a_again, _ = identify(x_ba.detach())
            s_b_again, id_b_again, _ = identify(x_ab.detach())
        else:
            fixed = copy.deepcopy(identify).eval()
            s_a_again, id_a_again, _ = fixed(x_ba)
            s_b_again, id_b_again, _ = fixed(x_ab)
        fixed_colour = copy.deepcopy(colour)
        only_batch_norm_trains(fixed_colour)
        f_a_again, f_b_again = fixed_colour(x_ab), fixed_colour(x_ba)

        adversarial: Any = 0.0
        for generated in (x_ab, x_ba):
            for verdict in judge(critic, generated):
                adversarial = adversarial + 2 * ((verdict - 1) ** 2).mean()
        everybody = torch.cat([y_a, y_a, y_b, y_b])
        losses = {
            "loss_recon_same_image": _l1(x_aa, x_a) + _l1(x_bb, x_b),
            "loss_recon_same_id": _l1(x_paa, x_a) + _l1(x_pbb, x_b),
            "loss_adversarial": adversarial,
            "loss_id_generated_structure": (
                F.cross_entropy(id_a_again, y_a) + F.cross_entropy(id_b_again, y_b)
            ),
            "loss_id_structure": F.cross_entropy(id_a, y_a) + F.cross_entropy(id_b, y_b),
            "loss_id_partner_structure": F.cross_entropy(id_pa, y_a) + F.cross_entropy(id_pb, y_b),
            "loss_id_fine_structure": F.cross_entropy(fine_a, y_a) + F.cross_entropy(fine_b, y_b),
            "loss_triplet_structure": (
                triplets(torch.cat([id_a, id_pa, id_b, id_pb]), everybody, config.margin)
                + triplets(torch.cat([fine_a, fine_pa, fine_b, fine_pb]), everybody, config.margin)
            ),
        }
        factors = {
            "loss_recon_same_image": config.recon_weight,
            "loss_recon_same_id": config.recon_weight,
            "loss_adversarial": config.adversarial_weight,
            "loss_id_generated_structure": config.generated_id_weight,
            "loss_id_structure": config.id_weight,
            "loss_id_partner_structure": config.id_weight,
            "loss_id_fine_structure": config.fine_ratio * tested["fine"],
            "loss_triplet_structure": config.triplet_weight,
        }
        if tested["cycle"] > 0:
            cycle_a = decode(decoder, mlps, f_a_again, s_a_again)
            cycle_b = decode(decoder, mlps, f_b_again, s_b_again)
            losses["loss_recon_structure"] = _l1(s_a_again, s_a) + _l1(s_b_again, s_b)
            losses["loss_cycle"] = _l1(cycle_a, x_a) + _l1(cycle_b, x_b)
            factors["loss_recon_structure"] = weight["structure"]
            factors["loss_cycle"] = weight["cycle"]
        self._step("generator", sum(factors[name] * loss for name, loss in losses.items()))
        found = {name: float(loss.detach()) for name, loss in losses.items()}
        found["loss_critic"] = float(critic_loss.detach())
        found["loss_penalty"] = float(penalty.detach())
        return found

    def _step(self, name: str, total: Any) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        total.backward()
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for key, parameter in self.method.named_parameters():
            if id(parameter) in own and parameter.grad is not None:
                self.gradients[key] = parameter.grad.clone()
        optimizer.step()


def _l1(image: Tensor, target: Tensor) -> Tensor:
    return (image - target.detach()).abs().mean()
