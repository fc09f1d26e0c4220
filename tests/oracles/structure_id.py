"""The study's last run, and its repairs, written plainly: every pass on its own.

Networks lend their weights only; what they compute is written out here, except the ResNets.
Wasteful in the ways that the run was: copies of whole networks, passes that nobody learns from.

Letters: a and b are the two halves of the batch, p their partners; x_ab has the appearance of a on
the structure of b. An image's person is, for its structure code, the one whose structure it has,
and for its appearance code the one whose clothes it shows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.methods.structure_id import Proposed2020
from tests.oracles.dgnet import (
    conv,
    decode,
    encode_layers,
    judge,
    only_batch_norm_trains,
    relu,
    turned,
)
from tests.oracles.draws import Draws, erased
from tests.oracles.plain import cross_entropy

STRUCTURE, APPEARANCE = "structure", "appearance"


class Identity(nn.Module):
    """E_a, E_s, what makes a vector of the structure code, and the heads, to be copied as one."""

    def __init__(self, method: Any) -> None:
        super().__init__()
        self.config = method.config
        self.encoder, self.appearance = method.structure, method.appearance.backbone
        self.body, self.heads = method.body, method.heads

    def structure(self, images: Tensor) -> Tensor:
        """Structure code of the mean of the channels, of its edges, or of both."""
        gray = images.mean(dim=1, keepdim=True)
        if self.config.structure_source == "gray":
            return encode_layers(self.encoder, gray)
        edges = sobel(gray)
        if self.training:
            edges = edges + 0.1 * torch.randn_like(edges)
        alone = self.config.structure_source == "edge"
        return encode_layers(self.encoder, edges if alone else torch.cat([gray, edges], dim=1))

    def colour(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Appearance code and vector."""
        maps = self.appearance(images)
        vector = F.adaptive_max_pool2d(maps, (1, 1)).flatten(1)
        return F.adaptive_max_pool2d(maps, (4, 1)).squeeze(3), vector

    def colours(self, parts: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Of each part by itself, or of all as one batch."""
        if not self.config.joint_statistics:
            return [self.colour(part) for part in parts]
        made = [found.chunk(len(parts)) for found in self.colour(torch.cat(list(parts)))]
        return list(zip(*made, strict=True))

    def vectors(self, codes: Sequence[Tensor]) -> list[Tensor]:
        """Of structure codes, each part by itself or all as one batch."""
        if not self.config.joint_statistics:
            return [self._vector(code) for code in codes]
        return list(self._vector(torch.cat(list(codes))).chunk(len(codes)))

    def _vector(self, code: Tensor) -> Tensor:
        body = self.body[STRUCTURE]
        if self.config.structure_body == "shallow":
            maps = _bent(body.layers, code, padding=1, stride=2)
        elif self.config.squeezed:
            maps = code
            for block in body.entry:
                maps = relu(F.instance_norm(conv(block.conv, maps)))
            maps = body.layers(maps)
        else:
            maps = body.layers(_bent(body.entry, code, padding=0, stride=1))
        return F.adaptive_avg_pool2d(maps, (1, 1)).flatten(1)

    def people(self, name: str, vectors: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Embeddings and logits of both heads, of each part by itself or of all as one batch."""
        if not self.config.joint_statistics:
            return [self._person(name, part) for part in vectors]
        made = self._person(name, torch.cat(list(vectors)))
        parts = {key: found.chunk(len(vectors)) for key, found in made.items()}
        return [{key: found[i] for key, found in parts.items()} for i in range(len(vectors))]

    def _person(self, name: str, vector: Tensor) -> dict[str, Tensor]:
        found = {}
        rates = {"primary": self.config.primary_dropout, "fine": self.config.fine_dropout}
        for which, rate in rates.items():
            head = self.heads[name].get_submodule(which)
            embedding = head.norm(F.linear(vector, head.linear.weight, head.linear.bias))
            kept = F.dropout(embedding, rate, self.training)
            found[f"{which}_embedding"] = embedding
            found[which] = F.linear(kept, head.classifier.weight, head.classifier.bias)
        return found


def _bent(layers: Any, maps: Tensor, *, padding: int, stride: int) -> Tensor:
    """Convolution, batch norm, ReLU."""
    return F.relu(layers[1](F.conv2d(maps, layers[0].weight, None, stride, padding)))


def sobel(gray: Tensor) -> Tensor:
    """Length of the slope by Sobel's operator, 0 to infinity squeezed to -0.5 to 0.5."""
    padded = F.pad(gray, (1, 1, 1, 1), mode="replicate")
    up, middle, down = padded[:, :, :-2], padded[:, :, 1:-1], padded[:, :, 2:]
    across = (up + 2 * middle + down) / 4
    across = across[..., 2:] - across[..., :-2]
    left, centre, right = padded[..., :-2], padded[..., 1:-1], padded[..., 2:]
    along = (left + 2 * centre + right) / 4
    along = along[:, :, 2:] - along[:, :, :-2]
    length = (across**2 + along**2 + 1e-6).sqrt()
    return length / (1 + length) - 0.5


def triplets(rows: Tensor, labels: Tensor, margin: float | None) -> Tensor:
    """Batch hard: of each row its furthest positive and its nearest negative."""
    terms = []
    for row, label in zip(rows, labels, strict=True):
        positives, negatives = [], []
        for other, its_label in zip(rows, labels, strict=True):
            distance = ((row - other) ** 2).sum().clamp(min=1e-24).sqrt()
            (positives if its_label == label else negatives).append(distance)
        excess = torch.stack(positives).max() - torch.stack(negatives).min()
        hinge = torch.log1p(excess.exp()) if margin is None else (margin + excess).clamp(min=0)
        terms.append(hinge)
    return torch.stack(terms).mean()


def ramp(iteration: int, config: Any) -> tuple[dict[str, float], dict[str, float]]:
    """The weights before an iteration's growth, which it tests, and after it.

    Where ramps are plain, both are those after it.
    """
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
    return (weights, weights) if config.ramps == "plain" else (tested, weights)


def paired(batch: Any, config: Any, draws: Draws) -> tuple[list[int], list[int]]:
    """Rows of the images of a and of b; each one's partner stands behind it.

    The first and the second half of a batch of pairs. With the coin, either visible images against
    infrared ones, or half of each against the other half, turned until people differ.
    """
    rows = list(range(0, len(batch.labels), 2))
    half = len(rows) // 2
    if config.exchange == "as-sampled":
        return rows[:half], rows[half:]
    visible = [row for row in rows if batch.modality[row] == 0]
    infrared = [row for row in rows if batch.modality[row] == 1]
    if draws.coin() < 0.5:
        a, b = (visible + infrared)[:half], (visible + infrared)[half:]
    else:
        cut_v, cut_i = (len(visible) + 1) // 2, len(infrared) // 2
        a, b = visible[:cut_v] + infrared[:cut_i], visible[cut_v:] + infrared[cut_i:]
    return a, [b[place] for place in turned(batch.labels[a], batch.labels[b])]


class PlainStep:
    """One iteration after the other on a method's networks.

    Args:
        method: In training mode; its weights move, by optimizers of this one's own.
        answers: Label of a person → 1, 0 or None for each attribute.

    Attributes:
        gradients: Name of a parameter → its gradient in the last iteration.
    """

    def __init__(
        self, method: Proposed2020, answers: Mapping[int, Sequence[float | None]] | None = None
    ) -> None:
        self.method, self.answers = method, answers or {}
        config = method.config
        adam = {"lr": config.lr, "betas": (0.0, 0.999), "weight_decay": config.weight_decay}
        drawing = [method.structure, method.adain, method.decoder]
        trunks, heads = [method.body], [method.heads]
        if config.appearance_learns or config.identity != STRUCTURE:
            trunks.append(method.appearance)  # type: ignore[arg-type]
        if method.attributes is not None:
            heads.append(method.attributes)  # type: ignore[arg-type]
        if config.identity_optimizer == "generator":
            drawing += [*trunks, *heads]  # type: ignore[list-item]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "critic": torch.optim.Adam(method.critic.parameters(), **adam),
            "generator": torch.optim.Adam(_parameters(drawing), **adam),
        }
        groups = [
            {"params": _parameters(trunks), "lr": config.identity_lr},
            {"params": _parameters(heads), "lr": config.identity_head_lr},
        ]
        if config.identity_optimizer == "sgd":
            self.optimizers["identity"] = torch.optim.SGD(
                groups, momentum=0.9, weight_decay=config.weight_decay, nesterov=True
            )
        elif config.identity_optimizer == "adamw":
            self.optimizers["identity"] = torch.optim.AdamW(
                groups, weight_decay=config.weight_decay
            )
        self.rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in self.optimizers.items()
        }
        self.gradients: dict[str, Tensor] = {}

    @property
    def w(self) -> dict[str, Tensor]:
        """Weights and statistics by name."""
        return self.method.state_dict()

    def step(self, batch: Any, progress: Any, draws: Draws) -> dict[str, float]:
        """One iteration with what a method has drawn."""
        method, config, iteration = self.method, self.method.config, progress.iteration
        tested, weight = ramp(iteration, config)
        images = method.normalize(batch.images)
        rows_a, rows_b = paired(batch, config, draws)
        x_a, x_b = images[rows_a], images[rows_b]
        p_a, p_b = images[[row + 1 for row in rows_a]], images[[row + 1 for row in rows_b]]
        y_a, y_b = batch.labels[rows_a], batch.labels[rows_b]
        everybody = torch.cat([y_a, y_b, y_a, y_b])
        whole = (x_a, x_b, p_a, p_b)
        holed = whole
        if config.erasing:
            rectangles = draws.rectangles(
                *images.shape[2:], probability=config.erasing, area=config.erasing_area
            )
            holed = tuple(erased(x, r) for x, r in zip(whole, rectangles.chunk(4), strict=True))
        identify = Identity(method)
        if progress.stage == "identity":
            vectors = self._vectors(identify, holed)
            losses = self._on_real_images(identify, vectors, y_a, y_b)
            losses |= self._attributes(vectors, everybody)
            full = {"structure": config.code_weight, "cycle": config.cycle_weight}
            ends = {**full, "fine": config.fine_weight / config.fine_ratio}
            self._step(self._moved(), self._sum(losses, ends, ends), None)
            return {name: loss.item() for name, loss in losses.items()}

        mlps, decoder, critic = method.adain, method.decoder, method.critic
        s_a, s_b, s_pa, s_pb = (identify.structure(x) for x in whole)
        (f_a, v_a), (f_b, v_b), (f_pa, v_pa), (f_pb, v_pb) = identify.colours(whole)
        if not config.appearance_learns:
            f_a, f_b, f_pa, f_pb = (code.detach() for code in (f_a, f_b, f_pa, f_pb))
        of_whole = {APPEARANCE: [v_a, v_b, v_pa, v_pb]} if APPEARANCE in method.heads else {}
        if not config.erasing:
            if STRUCTURE in method.heads:
                of_whole[STRUCTURE] = identify.vectors([s_a, s_b, s_pa, s_pb])
            vectors = of_whole
        else:
            if not config.joint_statistics:
                # Nobody learns from these passes; running statistics move.
                if STRUCTURE in method.heads:
                    of_whole[STRUCTURE] = identify.vectors([s_a, s_b, s_pa, s_pb])
                for name, found in of_whole.items():
                    identify.people(name, found)
            vectors = self._vectors(identify, holed)
        x_ab, x_ba = decode(decoder, mlps, f_a, s_b), decode(decoder, mlps, f_b, s_a)
        x_aa, x_bb = decode(decoder, mlps, f_a, s_a), decode(decoder, mlps, f_b, s_b)
        x_paa, x_pbb = decode(decoder, mlps, f_pa, s_a), decode(decoder, mlps, f_pb, s_b)

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
        self._step(("critic",), critic_loss + config.penalty_weight * penalty, iteration)

        adversarial: Any = 0.0
        for generated in (x_ab, x_ba):
            for verdict in judge(critic, generated):
                adversarial = adversarial + 2 * ((verdict - 1) ** 2).mean()
        losses = {
            "loss_recon_same_image": _l1(x_aa, x_a) + _l1(x_bb, x_b),
            "loss_recon_same_id": _l1(x_paa, x_a) + _l1(x_pbb, x_b),
            "loss_adversarial": adversarial,
            **self._on_real_images(identify, vectors, y_a, y_b),
            **self._attributes(vectors, everybody),
        }
        begun = weight["cycle"] > 0 and tested["cycle"] > 0
        if config.generated_identity == "coin":
            again = draws.coin() < config.again_probability
            judging, fixed_ab, fixed_ba = identify, x_ab.detach(), x_ba.detach()
            if not again:
                judging, fixed_ab, fixed_ba = copy.deepcopy(identify).eval(), x_ab, x_ba
            s_a_again, s_b_again = judging.structure(fixed_ba), judging.structure(fixed_ab)
        else:
            judging, fixed_ab, fixed_ba = copy.deepcopy(identify), x_ab, x_ba
            only_batch_norm_trains(judging)
            s_a_again, s_b_again = judging.structure(x_ba), judging.structure(x_ab)
        for name in method.heads:
            if name == STRUCTURE:
                seen = judging.vectors([s_a_again, s_b_again])
                whose = (y_a, y_b)
            else:
                seen = [vector for _, vector in judging.colours([fixed_ba, fixed_ab])]
                whose = (y_b, y_a)
            first, second = (found["primary"] for found in judging.people(name, seen))
            losses[f"loss_id_generated_{name}"] = F.cross_entropy(
                first, whose[0]
            ) + F.cross_entropy(second, whose[1])
        if begun:
            live = config.generated_identity == "generator"
            if live and draws.coin() < config.again_probability:
                s_a_again = identify.structure(x_ba.detach())
                s_b_again = identify.structure(x_ab.detach())
            copied = copy.deepcopy(identify)
            only_batch_norm_trains(copied)
            (f_a_again, _), (f_b_again, _) = copied.colours([x_ab.detach(), x_ba.detach()])
            cycle_a = decode(decoder, mlps, f_a_again.detach(), s_a_again)
            cycle_b = decode(decoder, mlps, f_b_again.detach(), s_b_again)
            losses["loss_recon_structure"] = _l1(s_a_again, s_a) + _l1(s_b_again, s_b)
            losses["loss_cycle"] = _l1(cycle_a, x_a) + _l1(cycle_b, x_b)
        self._step(self._moved(), self._sum(losses, weight, tested), iteration)
        found = {name: loss.item() for name, loss in losses.items()}
        return {**found, "loss_critic": critic_loss.item(), "loss_penalty": penalty.item()}

    def _vectors(self, identify: Identity, parts: Sequence[Tensor]) -> dict[str, list[Tensor]]:
        found = {}
        if STRUCTURE in self.method.heads:
            found[STRUCTURE] = identify.vectors([identify.structure(part) for part in parts])
        if APPEARANCE in self.method.heads:
            found[APPEARANCE] = [vector for _, vector in identify.colours(parts)]
        return found

    def _on_real_images(
        self, identify: Identity, vectors: Mapping[str, list[Tensor]], y_a: Tensor, y_b: Tensor
    ) -> dict[str, Tensor]:
        config, smoothing = self.method.config, self.method.config.label_smoothing
        everybody = torch.cat([y_a, y_b, y_a, y_b])
        losses = {}
        for name in self.method.heads:
            a, b, pa, pb = identify.people(name, vectors[name])
            losses[f"loss_id_{name}"] = sum(
                cross_entropy(part["primary"], y, smoothing) for part, y in ((a, y_a), (b, y_b))
            )
            losses[f"loss_id_partner_{name}"] = sum(
                cross_entropy(part["primary"], y, smoothing) for part, y in ((pa, y_a), (pb, y_b))
            )
            losses[f"loss_id_fine_{name}"] = sum(
                cross_entropy(part["fine"], y) for part, y in ((a, y_a), (b, y_b))
            )
            total: Any = 0.0
            for which in ("primary", "fine"):
                key = which if config.match_on == "logits" else f"{which}_embedding"
                rows = torch.cat([part[key] for part in (a, b, pa, pb)])
                if config.match_on == "embedding":
                    rows = rows / (rows**2).sum(dim=1, keepdim=True).sqrt()
                total = total + triplets(rows, everybody, config.margin)
            losses[f"loss_triplet_{name}"] = total
        return losses

    def _attributes(
        self, vectors: Mapping[str, list[Tensor]], everybody: Tensor
    ) -> dict[str, Tensor]:
        if self.method.attributes is None:
            return {}
        head = self.method.attributes.answers
        terms = []
        for vector, label in zip(torch.cat(vectors[STRUCTURE]), everybody.tolist(), strict=True):
            for scores, answer in zip(
                F.linear(vector, head.weight, head.bias), self.answers[label], strict=True
            ):
                if answer is not None:
                    p = torch.sigmoid(scores)
                    terms.append(-(answer * p.log() + (1 - answer) * (1 - p).log()))
        return {"loss_attributes": torch.stack(terms).mean()}

    def _moved(self) -> tuple[str, ...]:
        return tuple(name for name in self.optimizers if name != "critic")

    def _sum(
        self, losses: Mapping[str, Tensor], grown: Mapping[str, float], tested: Mapping[str, float]
    ) -> Tensor:
        config = self.method.config
        factors = {
            "loss_recon_same_image": config.recon_weight,
            "loss_recon_same_id": config.recon_weight,
            "loss_adversarial": config.adversarial_weight,
            "loss_recon_structure": grown["structure"],
            "loss_cycle": grown["cycle"],
            "loss_attributes": config.attribute_weight,
        }
        for code in (STRUCTURE, APPEARANCE):
            factors |= {
                f"loss_id_generated_{code}": config.generated_id_weight,
                f"loss_id_{code}": config.id_weight,
                f"loss_id_partner_{code}": config.id_weight,
                f"loss_id_fine_{code}": config.fine_ratio * tested["fine"],
                f"loss_triplet_{code}": config.triplet_weight,
            }
        return torch.stack([factors[name] * loss for name, loss in losses.items()]).sum()

    def _step(self, names: tuple[str, ...], total: Any, iteration: int | None) -> None:
        for name in names:
            self.optimizers[name].zero_grad()
        total.backward()
        for name in names:
            # The schedule steps before the optimizers do; the identity stage has none.
            steps = [] if iteration is None else self.method.config.lr_steps
            groups = self.optimizers[name].param_groups
            for group, rate in zip(groups, self.rates[name], strict=True):
                group["lr"] = rate * 0.1 ** len([s for s in steps if iteration + 1 >= s])  # type: ignore[operator]
            own = {id(p) for group in groups for p in group["params"]}
            for key, parameter in self.method.named_parameters():
                if id(parameter) in own and parameter.grad is not None:
                    self.gradients[key] = parameter.grad.clone()
        for name in names:
            self.optimizers[name].step()


def _parameters(networks: Sequence[Any]) -> list[nn.Parameter]:
    return [p for network in networks for p in network.parameters()]


def _l1(image: Tensor, target: Tensor) -> Tensor:
    return (image - target.detach()).abs().mean()
