"""cmPIG's iterations (Wang et al., AAAI 2020; released as JSIA-ReID), its networks written out.

As the release goes about it: one graph in which everything learns, one backward pass for each
group of losses, and what a group must not move is thrown away.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.oracles import plain
from tests.oracles.draws import Draws
from tests.oracles.plain import (
    Adam,
    How,
    Plain,
    accuracy,
    basic_block,
    batch_norm,
    conv,
    gray,
    leaky,
    linear,
    normalised,
    relu,
    sample_norm,
    stairs,
)

LIGHTS = (0, 1)


def l1(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().sum() / first.numel()


def probabilities(logits: Tensor) -> Tensor:
    powers = (logits - logits.max()).exp()
    return powers / powers.sum()


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of one row, with the release's guard."""
    return torch.stack(
        [a * torch.log((a + 1e-8) / (b + 1e-8)) for a, b in zip(p, q, strict=True)]
    ).sum()


def alignment(fakes: Tensor, reals: Tensor, kind: str) -> Tensor:
    """The mean over rows; of logits whose rows belong together."""
    terms = []
    for fake, real in zip(fakes, reals, strict=True):
        p, q = probabilities(fake), probabilities(real).detach()
        terms.append(divergence(q, p) + (divergence(p, q) if kind == "symmetric" else 0))
    return torch.stack(terms).mean()


def triplet(vectors: Tensor, labels: Sequence[int], lights: Sequence[int], margin: float) -> Tensor:
    """Anchors in one light, the furthest of their people and the nearest of others in the other."""
    ways = []
    for light in LIGHTS:
        terms = []
        for i, own in enumerate(lights):
            if own != light:
                continue
            others = [j for j, theirs in enumerate(lights) if theirs != light]
            apart = {j: ((vectors[i] - vectors[j]) ** 2).sum().sqrt() for j in others}
            positive = max((d for j, d in apart.items() if labels[j] == labels[i]), key=Tensor.item)
            negative = min((d for j, d in apart.items() if labels[j] != labels[i]), key=Tensor.item)
            terms.append(relu(margin + positive - negative))
        ways.append(torch.stack(terms).mean())
    return (ways[0] + ways[1]) / 2


def fooling(verdicts: Sequence[Tensor], wanted: float = 1.0) -> Tensor:
    """Sum over scales of the mean (D - wanted)^2."""
    return torch.stack([((v - wanted) ** 2).sum() / v.numel() for v in verdicts]).sum()


def pairs(labels: Sequence[int], lights: Sequence[int], people: int, each: int) -> list[list[int]]:
    """Rows of visible images, and of infrared ones of the same people."""
    rows: dict[int, list[list[int]]] = defaultdict(lambda: [[], []])
    for row, (label, light) in enumerate(zip(labels, lights, strict=True)):
        rows[label][light].append(row)
    found: list[list[int]] = [[], []]
    for visible, infrared in list(rows.values())[:people]:
        count = min(each, len(visible), len(infrared))
        found[0] += visible[:count]
        found[1] += infrared[:count]
    return found


class PlainCmPIG(Plain):
    """The generator's warm-up, and everything together.

    Args:
        state: Weights by name.
        config: Of the method.
        size: (H, W) of the images.
    """

    def __init__(self, state: Any, config: Any, size: tuple[int, int]) -> None:
        fixed = ["head.neck.bias", "pool.p"]
        if not config.share_content and not config.joint_gan_reaches_content:
            fixed.append("content")
        super().__init__(state, fixed)
        self.config, self.size = config, size
        # How the generator's images are normalised; the others are by their batch.
        self.how: How = "copied" if config.generator_statistics == "left" else "batch"
        own = {"betas": (0.5, 0.999), "penalty": config.gan_weight_decay}
        drawing = [f"translator.{part}" for part in ("styles", "adain", "decoders")]
        judging = ["translator.critics", "feature_critic"]
        self.optimizers = {
            "generator": Adam((self.w.under(*drawing), config.gan_lr), **own),
            "critic": Adam((self.w.under(*judging), config.gan_lr), **own),
            "content": Adam((self.w.under("content"), config.lr), penalty=config.weight_decay),
            "instance": Adam(
                (self.w.under("instance", "head", "set_level"), config.lr),
                penalty=config.weight_decay,
            ),
        }

    def step(self, batch: Any, progress: Any, draws: Draws) -> dict[str, float]:  # noqa: ARG002
        """One iteration of a stage; gives the figures."""
        config, joint = self.config, progress.stage == "joint"
        labels, lights = batch.labels.tolist(), batch.modality.tolist()
        rows = pairs(labels, lights, config.gan_ids, config.gan_per_light)
        x, y = (self._shrunk(2 * batch.images[own] - 1) for own in rows)

        c_x, c_y = self._content(x), self._content(y)
        z_x, z_y = self._style(0, x), self._style(1, y)
        fake_x, fake_y = self._draw(0, c_y, z_x), self._draw(1, c_x, z_y)
        c_fake_x, c_fake_y = self._content(fake_x), self._content(fake_y)
        z_fake_x, z_fake_y = self._style(0, fake_x), self._style(1, fake_y)
        back_x, back_y = (z_x, z_y) if config.cycle_style == "real" else (z_fake_x, z_fake_y)

        drawing = {
            "loss_recon": l1(self._draw(0, c_x, z_x), x) + l1(self._draw(1, c_y, z_y), y),
            "loss_cycle": l1(self._draw(0, c_fake_y, back_x), x)
            + l1(self._draw(1, c_fake_x, back_y), y),
            "loss_gan": fooling(self._judge(0, fake_x)) + fooling(self._judge(1, fake_y)),
        }
        codes = {
            "loss_content": l1(c_fake_y, c_x) + l1(c_fake_x, c_y),
            "loss_style": l1(z_fake_x, z_x) + l1(z_fake_y, z_y),
        }
        critic = {
            "loss_critic": sum(
                (
                    fooling(self._judge(light, real))
                    + fooling(self._judge(light, fake.detach()), wanted=0.0)
                    for light, real, fake in ((0, x, fake_x), (1, y, fake_y))
                ),
                torch.zeros(()),
            )
        }
        if not config.feature_weight:
            codes = {}
        self._follow(z_x, z_y)

        reached: dict[str, Tensor] = {}

        def walk(losses: Mapping[str, Tensor], *optimizers: str) -> None:
            """Adds what these losses say to the gradients of these optimizers' weights."""
            if not losses:
                return
            total = torch.stack([self._weight(n) * loss for n, loss in losses.items()]).sum()
            names = [n for name in optimizers for n in self.optimizers[name].rates]
            slopes = torch.autograd.grad(
                total, [self.w[n] for n in names], allow_unused=True, retain_graph=True
            )
            for name, slope in zip(names, slopes, strict=True):
                if slope is not None:
                    reached[name] = reached.get(name, 0) + slope

        walk(codes, "generator")
        also = ["content"] if joint and config.joint_gan_reaches_content else []
        walk(drawing, "generator", *also)
        figures = {**drawing, **codes, **critic}
        right = {}
        if joint:
            level = "content" if config.share_content else "set_level"
            aligned = {}
            if config.align != "none" and config.align_weight:
                real = [self._logits(level, images.detach()) for images in (x, y)]
                fake = [self._logits(level, images.detach()) for images in (fake_x, fake_y)]
                aligned["loss_align"] = alignment(fake[1], real[0], config.align) + alignment(
                    fake[0], real[1], config.align
                )
            maps = [
                self._set_level(level, batch.images[batch.modality == light]) for light in LIGHTS
            ]
            vectors = [self._instance(own) for own in maps]
            logits = [self._head(own) for own in vectors]
            people = [batch.labels[batch.modality == light] for light in LIGHTS]
            known = {
                "loss_id": sum(
                    plain.cross_entropy(own, who, config.label_smoothing)
                    for own, who in zip(logits, people, strict=True)
                )
                / 2,
                "loss_triplet": triplet(
                    torch.cat(vectors),
                    torch.cat(people).tolist(),
                    [light for light in LIGHTS for _ in people[light]],
                    config.margin,
                ),
            }
            if config.feature_gan_weight:
                judged = [self._judge_maps(own) for own in maps]
                known["loss_feature_gan"] = fooling(judged[1]) + fooling(judged[0], wanted=0.0)
                judged = [self._judge_maps(own.detach()) for own in maps]
                critic["loss_feature_critic"] = fooling(judged[0]) + fooling(judged[1], wanted=0.0)
            learning = ["content", "instance"] if config.share_content else ["instance"]
            walk(aligned, *learning)
            walk(known, *learning)
            figures |= {**aligned, **known, **critic}
            right = {"accuracy": accuracy(torch.cat(logits), torch.cat(people))}
        walk(critic, "critic")
        moved = ["generator", "critic", *(["content", "instance"] if joint else [])]
        for name in moved:
            own = {n: s for n, s in reached.items() if n in self.optimizers[name].rates}
            self.gradients |= own
            self.optimizers[name].step(self.w, own, self._rate(progress))
        return {**{name: loss.item() for name, loss in figures.items()}, **right}

    def _weight(self, loss: str) -> float:
        config = self.config
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
        }.get(loss, 1.0)

    def _rate(self, progress: Any) -> float:
        if progress.stage != "joint":
            return 1.0
        if self.config.schedule == "cosine":
            return (1 + math.cos(math.pi * progress.iteration / progress.iterations)) / 2
        epoch = progress.iteration // progress.iterations_per_epoch
        return stairs(epoch, self.config.step_epochs, 0.1)

    def _follow(self, *styles: Tensor) -> None:
        name = "translator.usual_style"
        with torch.no_grad():
            count = self.w[f"{name}.num_batches_tracked"].add_(1).item()
            for light, own in enumerate(styles):
                usual = self.w[f"{name}.mean"][light]
                usual.add_((own.mean(dim=0) - usual) / min(count, 100))

    def _shrunk(self, images: Tensor) -> Tensor:
        size = 4 // 2**self.config.doublings
        return images.unflatten(3, (-1, size)).unflatten(2, (-1, size)).mean(dim=(3, 5))

    def _seen(self, pixels: Tensor) -> Tensor:
        seen = normalised(self.w, pixels)
        return gray(seen).repeat(1, 3, 1, 1) if self.config.gray_content else seen

    def _set_level(self, name: str, pixels: Tensor, how: How = "batch") -> Tensor:
        """Stem and first layer of a ResNet, of images in [0, 1]."""
        w = self.w
        maps = conv(w, f"{name}.conv1.0", self._seen(pixels), stride=2, padding=1)
        maps = relu(batch_norm(w, f"{name}.conv1.1", maps, how))
        maps = conv(w, f"{name}.conv1.3", maps, padding=1)
        maps = relu(batch_norm(w, f"{name}.conv1.4", maps, how))
        maps = batch_norm(w, f"{name}.bn1", conv(w, f"{name}.conv1.6", maps, padding=1), how)
        maps = relu(maps) if self.config.stem_relu else maps
        return basic_block(w, f"{name}.layer1.0", F.max_pool2d(maps, 3, 2, 1), 1, how)

    def _content(self, images: Tensor) -> Tensor:
        """E_i of images in [-1, 1]."""
        return self._set_level("content", self._enlarged(images), self.how)

    def _enlarged(self, images: Tensor) -> Tensor:
        return F.interpolate((images + 1) / 2, self.size, mode="bilinear", align_corners=False)

    def _instance(self, maps: Tensor, how: How = "batch") -> Tensor:
        for layer, stride in ((2, 2), (3, 2), (4, self.config.last_stride)):
            maps = basic_block(self.w, f"instance.layer{layer}.0", maps, stride, how)
        pooled = []
        for part in maps.tensor_split(self.config.parts, dim=2):
            p = self.config.gem_p if self.config.pooling == "gem" else 1.0
            floor = 1e-6 if self.config.pooling == "gem" else 0.0
            pooled.append((part.clamp(min=floor) ** p).mean(dim=(2, 3)) ** (1 / p))
        return torch.cat(pooled, dim=1)

    def _head(self, vectors: Tensor, how: How = "batch") -> Tensor:
        return linear(self.w, "head.classifier", batch_norm(self.w, "head.neck", vectors, how))

    def _logits(self, level: str, images: Tensor) -> Tensor:
        maps = self._set_level(level, self._enlarged(images), self.how)
        return self._head(self._instance(maps, self.how), self.how)

    def _style(self, light: int, images: Tensor) -> Tensor:
        name = f"translator.styles.networks.{light}"
        maps = relu(conv(self.w, f"{name}.layers.0.conv", images, padding=3, reflect=True))
        for layer in range(1, self.config.style_halvings + 1):
            maps = conv(
                self.w, f"{name}.layers.{layer}.conv", maps, stride=2, padding=1, reflect=True
            )
            maps = relu(maps)
        return linear(self.w, f"{name}.out", maps.mean(dim=(2, 3)))

    def _draw(self, light: int, content: Tensor, style: Tensor) -> Tensor:
        w, config, maps = self.w, self.config, content
        name = f"translator.adain.networks.{light}.layers"
        given = relu(linear(w, f"{name}.0", style))
        given = linear(w, f"{name}.4", relu(linear(w, f"{name}.2", given)))
        channels, taken = content.shape[1], 0

        def adapted(maps: Tensor) -> Tensor:
            """A layer's shifts come first, then its scales."""
            nonlocal taken
            shift, scale = (
                given[:, taken + k * channels : taken + (k + 1) * channels, None, None]
                for k in (0, 1)
            )
            taken += 2 * channels
            return plain.instance_norm(maps) * scale + shift

        name = f"translator.decoders.networks.{light}"
        for block in range(config.blocks):
            inner = conv(w, f"{name}.blocks.{block}.first", maps, padding=1, reflect=True)
            inner = relu(adapted(inner))
            inner = conv(w, f"{name}.blocks.{block}.second", inner, padding=1, reflect=True)
            maps = maps + adapted(inner)
        for doubling in range(config.doublings):
            maps = maps.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            maps = conv(w, f"{name}.up.{2 * doubling}.conv", maps, padding=2, reflect=True)
            maps = relu(sample_norm(w, f"{name}.up.{2 * doubling + 1}", maps))
        return torch.tanh(conv(w, f"{name}.out.conv", maps, padding=3, reflect=True))

    def _judge(self, light: int, images: Tensor) -> list[Tensor]:
        verdicts = []
        for scale in range(self.config.critic_scales):
            if scale:
                images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
            verdicts.append(self._critic(f"translator.critics.{light}.critics.{scale}", images))
        return verdicts

    def _judge_maps(self, maps: Tensor) -> list[Tensor]:
        return [self._critic("feature_critic.critics.0", maps)]

    def _critic(self, name: str, maps: Tensor) -> Tensor:
        for layer in range(self.config.critic_layers):
            maps = conv(self.w, f"{name}.{layer}.conv", maps, stride=2, padding=1, reflect=True)
            maps = leaky(maps, 0.2)
        return conv(self.w, f"{name}.{self.config.critic_layers}", maps)
