"""CASE-Net's iterations: two halves a and b, formulas one by one, no module of ours.

Where the release cannot be followed (its shape head sees zeros) or says nothing (two lights), what
is computed is said here: one pass of the shape encoder over everything gray and everything visible
in colour; images that were drawn leave no trace in running statistics; a mean colour of each light.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.oracles.dgnet import turned
from tests.oracles.draws import Draws
from tests.oracles.losses import batch_hard_triplet
from tests.oracles.plain import (
    SGD,
    Adam,
    How,
    Plain,
    Weights,
    accuracy,
    basic_block,
    batch_norm,
    conv,
    cross_entropy,
    gray,
    instance_norm,
    leaky,
    linear,
    normalised,
    relu,
    resnet10,
    sample_norm,
)

GENERATOR = ("structure", "adain", "decoder")


def shape_code(w: Weights, encoder: str, images: Tensor, how: How) -> Tensor:
    """A ResNet's last map, or DG-Net's structure encoder on three channels."""
    if encoder == "resnet":
        return resnet10(w, "structure.network", images, last_stride=1, how=how)

    def block(name: str, maps: Tensor, padding: int = 0, **how: int) -> Tensor:
        name = f"structure.layers.{name}.conv"
        return instance_norm(conv(w, name, maps, padding=padding, reflect=True, **how))

    maps = leaky(block("0", images, 1, stride=2), 0.2)
    maps = leaky(block("1", maps, 1), 0.2)
    maps = leaky(block("2", maps, 1), 0.2)
    maps = leaky(block("3", maps, 1, stride=2), 0.2)
    for n in range(4, 8):
        maps = maps + block(f"{n}.second", leaky(block(f"{n}.first", maps, 1), 0.2), 1)
    branches = [block("8.near", maps)]
    for n, dilation in enumerate((1, 2, 3)):
        near = leaky(block(f"8.far.{n}.0", maps), 0.2)
        branches.append(block(f"8.far.{n}.1", near, dilation, dilation=dilation))
    return block("8.fuse", torch.cat(branches, dim=1))


def shape_vector(w: Weights, encoder: str, code: Tensor, how: How) -> Tensor:
    """The mean over the map; of `aspp+body` behind a 1x1 convolution and a ResNet's layers."""
    if encoder == "aspp+body":
        code = relu(batch_norm(w, "body.entry.1", conv(w, "body.entry.0", code), how))
        for n, stride in enumerate((1, 2, 2, 1)):
            code = basic_block(w, f"body.layers.{n}.0", code, stride, how)
    return code.mean(dim=(2, 3))


def colour_code(w: Weights, images: Tensor, how: How) -> tuple[Tensor, Tensor]:
    """Four stripes' means, and the mean of all."""
    maps = resnet10(w, "appearance.backbone.network", images, last_stride=2, how=how)
    rows, stripes = maps.shape[2], []
    for n in range(4):
        first, last = math.floor(n * rows / 4), math.ceil((n + 1) * rows / 4)
        stripes.append(maps[:, :, first:last].mean(dim=(2, 3)))
    return torch.stack(stripes, dim=2), maps.mean(dim=(2, 3))


def people(w: Weights, head: str, vectors: Tensor, how: How) -> Tensor:
    return linear(w, f"{head}.classifier", batch_norm(w, f"{head}.neck", vectors, how))


def decode(w: Weights, shape: Tensor, colour: Tensor, slices: str) -> Tensor:
    """Four residual blocks, each coloured by a quarter of the code; doublings; convolutions."""
    maps = shape
    for k in range(4):
        flat = colour.flatten(1)
        quarter = flat.shape[1] // 4
        part = colour[:, :, k] if slices == "stripes" else flat[:, k * quarter : (k + 1) * quarter]
        scale, shift = (_mlp(w, f"adain.{name}.{k}", part) for name in ("scale", "shift"))
        half = scale.shape[1] // 2
        inner = conv(w, f"decoder.blocks.{k}.first", maps, padding=1, reflect=True)
        inner = leaky(_adain(inner, scale[:, :half], shift[:, :half]), 0.2)
        inner = conv(w, f"decoder.blocks.{k}.second", inner, padding=1, reflect=True)
        maps = maps + _adain(inner, scale[:, half:], shift[:, half:])
    n = 0
    while f"decoder.up.{n}.conv.weight" in w:
        maps = F.interpolate(maps, scale_factor=2, mode="nearest")
        maps = conv(w, f"decoder.up.{n}.conv", maps, padding=2, reflect=True)
        maps = leaky(sample_norm(w, f"decoder.up.{n + 1}", maps), 0.2)
        n += 2
    for n in (0, 1):
        maps = leaky(conv(w, f"decoder.out.{n}.conv", maps, padding=1, reflect=True), 0.2)
    return conv(w, "decoder.out.2", maps)


def _mlp(w: Weights, name: str, values: Tensor) -> Tensor:
    for n in (0, 2):
        values = leaky(linear(w, f"{name}.{n}", values), 0.2)
    return linear(w, f"{name}.4", values)


def _adain(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return instance_norm(maps) * scale[:, :, None, None] + shift[:, :, None, None]


def judge(w: Weights, images: Tensor) -> list[Tensor]:
    """Verdicts of each scale's critic."""
    verdicts, scale = [], 0
    while f"critic.critics.{scale}.0.conv.weight" in w:
        maps = images
        for n, stride in enumerate((1, 1, 2, 1, 2)):
            name = f"critic.critics.{scale}.{n}.conv"
            padding = w[f"{name}.weight"].shape[2] // 2
            maps = leaky(conv(w, name, maps, stride=stride, padding=padding, reflect=True), 0.2)
        for n in range(5, 9):
            name = f"critic.critics.{scale}.{n}"
            inner = leaky(conv(w, f"{name}.first.conv", maps, padding=1, reflect=True), 0.2)
            inner = conv(w, f"{name}.second.conv", inner, padding=1, reflect=True)
            maps = maps + leaky(inner, 1.0)
        verdicts.append(conv(w, f"critic.critics.{scale}.9", maps))
        images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
        scale += 1
    return verdicts


def domain(w: Weights, code: Tensor) -> Tensor:
    """D_F's probability that a position is of a gray image."""
    for n in (0, 2, 4):
        code = leaky(conv(w, f"domain.layers.{n}", code, padding=1), 0.2)
    return torch.sigmoid(conv(w, "domain.layers.6", code, padding=1))


def halves(batch: Any, config: Any, draws: Draws) -> tuple[list[int], list[int]]:
    """Rows of a and of b, of different people place by place; the next row is the partner's."""
    rows = list(range(0, len(batch.labels), 2))
    half = len(rows) // 2
    a, b = rows[:half], rows[half:]
    if config.exchange == "coin":
        visible = [row for row in rows if batch.modality[row] == 0]
        infrared = [row for row in rows if batch.modality[row] == 1]
        if draws.coin() < 0.5:
            a, b = (visible + infrared)[:half], (visible + infrared)[half:]
        else:
            v, i = (len(visible) + 1) // 2, len(infrared) // 2
            a, b = visible[:v] + infrared[:i], visible[v:] + infrared[i:]
    return a, [b[place] for place in turned(batch.labels[a], batch.labels[b])]


def ramp(iteration: int, config: Any) -> dict[str, float]:
    """Weights of both codes and of the cycle, 0 until they are above 0 before they grow."""
    ends = {"code": config.code_weight, "cycle": config.cycle_weight}
    weights = dict.fromkeys(ends, 0.0)
    tested = weights
    for present in range(iteration + 1):
        tested = weights
        if config.ramp_start is not None and present > config.ramp_start:
            weights = {n: min(end, weights[n] + config.ramp_step) for n, end in ends.items()}
    return weights if tested["cycle"] > 0 else dict.fromkeys(ends, 0.0)


class PlainStep(Plain):
    """One iteration after the other.

    Args:
        state: Weights by name.
        config: Weights of the losses, rates, switches.
    """

    def __init__(self, state: Mapping[str, Tensor], config: Any) -> None:
        fixed = ["light_"]
        if not config.colour_identity and config.detach_colour:
            fixed.append("appearance.")
        super().__init__(state, fixed)
        self.config = config
        under, penalty = self.w.under, config.weight_decay
        adam = {"betas": (0.0, 0.999), "penalty": penalty}
        sgd = {"momentum": 0.9, "penalty": penalty}
        self.optimizers = {
            "generator": Adam((under(*GENERATOR), config.lr), **adam),
            "critic": Adam((under("critic"), config.lr), **adam),
            "identity": SGD(
                (under("appearance", "colour_head", "body"), config.identity_lr),
                (under("shape_head"), config.identity_head_lr),
                **sgd,
            ),
            "domain": SGD((under("domain"), config.domain_lr), **sgd),
        }

    def step(self, batch: Any, progress: Any, draws: Draws) -> dict[str, float]:
        w, config, encoder = self.w, self.config, self.config.shape_encoder
        a, b = halves(batch, config, draws)
        partner_a, partner_b = [row + 1 for row in a], [row + 1 for row in b]
        colour = normalised(w, batch.images)
        gray_images = normalised(w, gray(batch.images).repeat(1, 3, 1, 1))
        y_a, y_b = batch.labels[a], batch.labels[b]
        visible = [row for row in a + b if batch.modality[row] == 0]
        y_visible = batch.labels[visible]

        # What is seen: gray images and partners, then visible images in colour.
        everything = torch.cat([gray_images[a + b + partner_a + partner_b], colour[visible]])
        codes = shape_code(w, encoder, everything, "batch")
        vectors = shape_vector(w, encoder, codes, "batch")
        n = len(a)
        s_a, s_b, s = codes[:n], codes[n : 2 * n], codes[: 2 * n]
        s_colour = codes[4 * n :]
        heard = vectors if config.shape_identity == "gray+colour" else vectors[: 4 * n]
        logits = people(w, "shape_head", heard, "batch")
        losses = {
            "loss_id_shape": cross_entropy(logits[:n], y_a) + cross_entropy(logits[n : 2 * n], y_b),
            "loss_id_partner_shape": cross_entropy(logits[2 * n : 3 * n], y_a)
            + cross_entropy(logits[3 * n : 4 * n], y_b),
        }
        right = accuracy(logits[: 2 * n], torch.cat([y_a, y_b]))
        if config.shape_identity == "gray+colour":
            losses["loss_id_shape_in_colour"] = 2 * cross_entropy(logits[4 * n :], y_visible)
        rows = torch.cat([vectors[: 2 * n], vectors[4 * n :]])
        y_rows = torch.cat([y_a, y_b, y_visible])
        losses["loss_triplet"] = batch_hard_triplet(rows, y_rows, None)
        losses["loss_triplet_partner"] = batch_hard_triplet(
            vectors[2 * n : 4 * n], torch.cat([y_a, y_b]), None
        )
        losses["loss_domain_colour"] = -(1 - domain(w, s_colour)).log().mean()
        losses["loss_domain_gray"] = -domain(w, s).log().mean()
        c, looks = colour_code(w, colour[a + b + partner_a + partner_b], "batch")
        if config.colour_identity:
            named = people(w, "colour_head", looks, "batch")
            losses["loss_id_colour"] = cross_entropy(named[:n], y_a) + cross_entropy(
                named[n : 2 * n], y_b
            )
            losses["loss_id_partner_colour"] = cross_entropy(
                named[2 * n : 3 * n], y_a
            ) + cross_entropy(named[3 * n :], y_b)
        moved = ("generator", "identity", "domain")
        if progress.stage == "identity":
            self._move(moved, losses, {}, 1.0)
            return {**_values(losses), "accuracy": right}

        self._remember(c.detach(), [*batch.modality[a + b].tolist()] * 2)
        c_a, c_b, c_pa, c_pb = (c.detach() if config.detach_colour else c).chunk(4)
        x_a, x_b = colour[a], colour[b]

        def draw(shape: Tensor, colours: Tensor) -> Tensor:
            return decode(w, shape, colours, config.code_slices)

        losses["loss_recon_same_image"] = _l1(draw(s_a, c_a), x_a) + _l1(draw(s_b, c_b), x_b)
        losses["loss_recon_same_id"] = _l1(draw(s_a, c_pa), x_a) + _l1(draw(s_b, c_pb), x_b)
        # The colour of a on the shape of b, and the reverse.
        x_ba, x_ab = draw(s_b, c_a), draw(s_a, c_b)
        fixed = w.frozen()
        losses["loss_adversarial"] = sum(
            2 * ((verdict - 1) ** 2).mean() for x in (x_ba, x_ab) for verdict in judge(fixed, x)
        )
        again = draws.coin() < config.again_probability
        eyes, shown = (
            (w, torch.cat([x_ab, x_ba]).detach())
            if again
            else (
                fixed,
                torch.cat([x_ab, x_ba]),
            )
        )
        s_again = shape_code(eyes, encoder, shown, "copied")
        v_again = shape_vector(eyes, encoder, s_again, "copied")
        named = people(w, "shape_head", v_again, "copied")
        losses["loss_id_generated_shape"] = cross_entropy(named[:n], y_a) + cross_entropy(
            named[n:], y_b
        )
        c_again, looks = colour_code(fixed, torch.cat([x_ba, x_ab]), "copied")
        if config.colour_identity:
            named = people(fixed, "colour_head", looks, "copied")
            losses["loss_id_generated_colour"] = cross_entropy(named[:n], y_a) + cross_entropy(
                named[n:], y_b
            )
        grown = ramp(progress.iteration, config)
        if grown["cycle"] > 0:
            losses["loss_recon_shape"] = _l1(s_again[:n], s_a) + _l1(s_again[n:], s_b)
            losses["loss_recon_colour"] = _l1(c_again[:n], c_a) + _l1(c_again[n:], c_b)
            losses["loss_cycle"] = _l1(draw(s_again[:n], c_again[:n].detach()), x_a) + _l1(
                draw(s_again[n:], c_again[n:].detach()), x_b
            )
        fakes = x_ba.detach(), x_ab.detach()
        factor = 0.1 ** len([step for step in config.lr_steps if progress.iteration + 1 >= step])
        self._move(moved, losses, grown, factor)

        critic: Any = 0.0
        penalty: Any = 0.0
        for real, fake in zip((x_a, x_b), fakes, strict=True):
            real = real.detach().requires_grad_()
            for verdict in judge(w, fake):
                critic = critic + (verdict**2).mean()
            for verdict in judge(w, real):
                critic = critic + ((verdict - 1) ** 2).mean()
                (slope,) = torch.autograd.grad(verdict.sum(), real, create_graph=True)
                penalty = penalty + (slope**2).flatten(1).sum(dim=1).mean()
        total = critic + config.penalty_weight * penalty
        self.move(["critic"], total, {"critic": factor})
        found = {**losses, "loss_critic": critic, "loss_penalty": penalty}
        return {**_values(found), "accuracy": right}

    def _move(
        self,
        names: Sequence[str],
        losses: Mapping[str, Tensor],
        grown: Mapping[str, float],
        factor: float,
    ) -> None:
        """The shape encoder goes up where the domain critic goes down."""
        config = self.config
        weights = {
            "recon_same": config.recon_weight,
            "id_generated": config.generated_id_weight,
            "id_": config.id_weight,
            "triplet": config.triplet_weight,
            "adversarial": config.adversarial_weight,
            "recon_shape": grown.get("code", 0.0),
            "recon_colour": grown.get("code", 0.0),
            "cycle": grown.get("cycle", 0.0),
        }
        rest: Any = 0.0
        between: Any = 0.0
        for loss, value in losses.items():
            if loss.startswith("loss_domain"):
                between = between + config.adversary_weight * value
            else:
                key = next(key for key in weights if loss.startswith(f"loss_{key}"))
                rest = rest + weights[key] * value
        own = [name for each in names for name in self.optimizers[each].rates]
        values = [self.w[name] for name in own]
        plain = torch.autograd.grad(rest, values, retain_graph=True, allow_unused=True)
        domain = torch.autograd.grad(between, values, allow_unused=True)
        found = {}
        for name, slope, other in zip(own, plain, domain, strict=True):
            if other is not None:
                other = -other if name.startswith("structure.") else other
                slope = other if slope is None else slope + other
            if slope is not None:
                found[name] = slope
        self.gradients |= found
        for each in names:
            self.optimizers[each].step(self.w, found, factor)

    def _remember(self, colours: Tensor, lights: Sequence[int]) -> None:
        """A mean of the first hundred iterations, which then fades."""
        for light in (0, 1):
            own = [colour for colour, seen in zip(colours, lights, strict=True) if seen == light]
            if own:
                self.w["light_counts"][light] += 1
                part = 1 / min(100, int(self.w["light_counts"][light]))
                before = self.w["light_colours"][light]
                self.w["light_colours"][light] = (1 - part) * before + part * sum(own) / len(own)


def _values(losses: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: loss.item() for name, loss in losses.items()}


def _l1(image: Tensor, target: Tensor) -> Tensor:
    return (image - target.detach()).abs().mean()
