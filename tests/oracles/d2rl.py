"""D2RL as its equations stand: losses of one image at a time, from networks given as functions.

And its iterations, with UNIT's networks (2018) and a ResNet written out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.oracles import plain
from tests.oracles.draws import Draws
from tests.oracles.losses import batch_hard_triplet, weighted_regularised_triplet
from tests.oracles.plain import (
    SGD,
    Adam,
    Plain,
    Weights,
    accuracy,
    batch_norm,
    conv,
    gray,
    half_cosine,
    instance_norm,
    leaky,
    linear,
    normalised,
    resnet10,
    sample_norm,
    stairs,
)

Network = Callable[[Tensor], Tensor]
Critic = Callable[[Tensor], list[Tensor]]


class Networks(NamedTuple):
    """E_v, E_i, G_v, G_i, D_v, D_i."""

    encoder_v: Network
    encoder_i: Network
    decoder_v: Network
    decoder_i: Network
    critic_v: Critic
    critic_i: Critic


class Noise(NamedTuple):
    """What is added to codes: for the generators, on their way back, and for the critics' fakes."""

    v: Tensor
    i: Tensor
    cycle_v: Tensor
    cycle_i: Tensor
    critic_v: Tensor
    critic_i: Tensor


def _mean(values: Sequence[Tensor]) -> Tensor:
    return sum(values, torch.zeros((), dtype=values[0].dtype)) / len(values)


def _l1(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).abs().sum() / first.numel()


def _square(code: Tensor) -> Tensor:
    return (code * code).sum() / code.numel()


def _fooling(verdicts: list[Tensor], gan: str) -> Tensor:
    total = torch.zeros((), dtype=verdicts[0].dtype)
    for verdict in verdicts:
        each = [
            (v - 1) ** 2 if gan == "least-squares" else -torch.log(1 / (1 + torch.exp(-v)))
            for v in verdict.flatten()
        ]
        total = total + _mean(each)
    return total


def _judging(real: list[Tensor], fake: list[Tensor], gan: str) -> Tensor:
    total = torch.zeros((), dtype=real[0].dtype)
    for r, f in zip(real, fake, strict=True):
        if gan == "least-squares":
            each_r = [(v - 1) ** 2 for v in r.flatten()]
            each_f = [v**2 for v in f.flatten()]
        else:
            each_r = [-torch.log(1 / (1 + torch.exp(-v))) for v in r.flatten()]
            each_f = [-torch.log(1 - 1 / (1 + torch.exp(-v))) for v in f.flatten()]
        total = total + _mean(each_r) + _mean(each_f)
    return total


def image_losses(
    nets: Networks,
    visible: Tensor,
    infrared: Tensor,
    *,
    gan: str = "least-squares",
    recon: float,
    kl: float,
    adversarial: float,
    cycle: float,
    cycle_kl: float,
    noise: Noise | None = None,
) -> dict[str, Tensor]:
    """The six losses and the critics' two; without noise codes are their means."""
    terms: dict[str, list[Tensor]] = {}

    def add(name: str, value: Tensor) -> None:
        terms.setdefault(name, []).append(value)

    def added(name: str, row: int) -> Tensor | float:
        return 0.0 if noise is None else getattr(noise, name)[row : row + 1]

    for row, image in enumerate(visible):
        x = image[None]
        mean = nets.encoder_v(x)
        z = mean + added("v", row)
        yhat = nets.decoder_i(z)
        mean_again = nets.encoder_i(yhat)
        again = mean_again + added("cycle_v", row)
        add("loss_vae_v", kl * _square(mean) + recon * _l1(x, nets.decoder_v(z)))
        add("loss_gan_i", adversarial * _fooling(nets.critic_i(yhat), gan))
        add("loss_cc_v", cycle_kl * _square(mean_again) + cycle * _l1(x, nets.decoder_v(again)))
    for row, image in enumerate(infrared):
        y = image[None]
        mean = nets.encoder_i(y)
        z = mean + added("i", row)
        xhat = nets.decoder_v(z)
        mean_again = nets.encoder_v(xhat)
        again = mean_again + added("cycle_i", row)
        add("loss_vae_i", kl * _square(mean) + recon * _l1(y, nets.decoder_i(z)))
        add("loss_gan_v", adversarial * _fooling(nets.critic_v(xhat), gan))
        add("loss_cc_i", cycle_kl * _square(mean_again) + cycle * _l1(y, nets.decoder_i(again)))
    for row, (x, y) in enumerate(zip(visible, infrared, strict=True)):
        xhat = nets.decoder_v(nets.encoder_i(y[None]) + added("critic_i", row)).detach()
        yhat = nets.decoder_i(nets.encoder_v(x[None]) + added("critic_v", row)).detach()
        add("loss_critic_v", _judging(nets.critic_v(x[None]), nets.critic_v(xhat), gan))
        add("loss_critic_i", _judging(nets.critic_i(y[None]), nets.critic_i(yhat), gan))
    return {name: _mean(values) for name, values in terms.items()}


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of -log of the softmax at the label."""
    each = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        total = sum(math.e ** float(v) for v in row)
        each.append(-(row[label] - math.log(total)))
    return _mean(each)


def ssim(image: list[list[float]], truth: list[list[float]]) -> float:
    """Wang et al. 2004 with the 11 x 11 Gaussian window, at each place where it fits."""
    height, width = len(image), len(image[0])
    weights = [[math.exp(-(r * r + c * c) / 4.5) for c in range(-5, 6)] for r in range(-5, 6)]
    total = sum(map(sum, weights))
    found = []
    for top in range(height - 10):
        for left in range(width - 10):
            moments = [0.0] * 5
            for r in range(11):
                for c in range(11):
                    w = weights[r][c] / total
                    a, b = image[top + r][left + c], truth[top + r][left + c]
                    for k, value in enumerate((a, b, a * a, b * b, a * b)):
                        moments[k] += w * value
            ma, mb, aa, bb, ab = moments
            above = (2 * ma * mb + 1e-4) * (2 * (ab - ma * mb) + 9e-4)
            below = (ma * ma + mb * mb + 1e-4) * (aa - ma * ma + bb - mb * mb + 9e-4)
            found.append(above / below)
    return sum(found) / len(found)


class PlainD2RL(Plain):
    """Image level, feature level, and both together.

    Args:
        state: Weights by name.
        config: Of the method.
    """

    def __init__(self, state: Any, config: Any) -> None:
        super().__init__(state)
        self.config = config
        level = "image_level"
        drawing = [f"{level}.{part}_{light}" for part in ("encoder", "decoder") for light in "vi"]
        shared = [f"{level}.shared_in", f"{level}.shared_out"]
        for name, networks in (
            ("critic", [f"{level}.critic_v", f"{level}.critic_i"]),
            ("generator", [*drawing, *shared]),
        ):
            self.optimizers[name] = Adam(
                (self.w.under(*networks), config.image_lr),
                betas=(0.5, 0.999),
                penalty=config.image_weight_decay,
            )
        groups = (
            (self.w.under("feature_level.backbone"), config.lr * config.backbone_lr_factor),
            (self.w.under("feature_level.heads"), config.lr),
        )
        if config.optimizer == "sgd":
            self.optimizers["feature"] = SGD(*groups, momentum=0.9, penalty=config.weight_decay)
        else:
            self.optimizers["feature"] = Adam(*groups, penalty=config.weight_decay, decoupled=True)

    def step(self, batch: Any, progress: Any, draws: Draws) -> dict[str, float]:
        """One iteration of a stage; gives the figures."""
        config, stage = self.config, progress.stage
        rates = self._rates(progress)
        if stage == "feature":
            losses, right = self._feature(batch, draws, self.w.frozen())
            self.move(["feature"], self._sum(losses, 1.0), rates)
            return {**{name: loss.item() for name, loss in losses.items()}, "accuracy": right}

        x, y = (self._shrunk(2 * images - 1) for images in self._chosen(batch))
        mean_v, mean_i = self._encode("v", x), self._encode("i", y)
        z_v, z_i = mean_v + draws.normal_numbers(), mean_i + draws.normal_numbers()
        recon_v, recon_i = self._decode("v", z_v), self._decode("i", z_i)
        yhat, xhat = self._decode("i", z_v), self._decode("v", z_i)
        mean_yhat, mean_xhat = self._encode("i", yhat), self._encode("v", xhat)
        cycle_v = self._decode("v", mean_yhat + draws.normal_numbers())
        cycle_i = self._decode("i", mean_xhat + draws.normal_numbers())

        critics: dict[str, Tensor] = {}
        for light, real, mean in (("v", x, mean_i), ("i", y, mean_v)):
            if f"gan_{light}" not in config.without:
                # Noise of their own, after UNIT.
                fake = self._decode(light, mean + draws.normal_numbers()).detach()
                judged = [self._judge(light, images) for images in (real, fake)]
                critics[f"loss_critic_{light}"] = _judging(*judged, config.gan)
        if critics:
            self.move(["critic"], torch.stack(list(critics.values())).sum(), rates)

        losses = {
            "loss_vae_v": config.kl_weight * _square(mean_v)
            + config.recon_weight * _l1(x, recon_v),
            "loss_vae_i": config.kl_weight * _square(mean_i)
            + config.recon_weight * _l1(y, recon_i),
            "loss_gan_v": _fooling(self._judge("v", xhat), config.gan),
            "loss_gan_i": _fooling(self._judge("i", yhat), config.gan),
            "loss_cc_v": config.cycle_kl_weight * _square(mean_yhat)
            + config.cycle_weight * _l1(x, cycle_v),
            "loss_cc_i": config.cycle_kl_weight * _square(mean_xhat)
            + config.cycle_weight * _l1(y, cycle_i),
        }
        losses = {n: v for n, v in losses.items() if n.removeprefix("loss_") not in config.without}
        if config.keep_weight:
            channels = config.infrared_channels
            code = self._encode("i", gray(x).repeat(1, channels, 1, 1))
            kept_v = self._decode("v", code + draws.normal_numbers())
            code = self._encode("v", y.mean(dim=1, keepdim=True).repeat(1, 3, 1, 1))
            kept_i = self._decode("i", code + draws.normal_numbers())
            losses |= {"loss_keep_v": _l1(x, kept_v), "loss_keep_i": _l1(y, kept_i)}
        figures = {
            "l1_recon_v": _l1(x, recon_v).item(),
            "l1_recon_i": _l1(y, recon_i).item(),
            "l1_cycle_v": _l1(x, cycle_v).item(),
            "l1_cycle_i": _l1(y, cycle_i).item(),
        }
        if stage == "joint":
            feature, figures["accuracy"] = self._feature(batch, draws, self.w)
            losses |= feature
            total = self._sum(losses, config.feature_weight)
            self.move(["generator", "feature"], total, rates)
        else:
            self.move(["generator"], self._sum(losses, 1.0), rates)
        return {**figures, **{name: loss.item() for name, loss in {**critics, **losses}.items()}}

    def _sum(self, losses: dict[str, Tensor], w_f: float) -> Tensor:
        config = self.config
        kinds = {"vae": 1.0, "gan": config.gan_weight, "cc": 1.0, "keep": config.keep_weight}
        weights = {"loss_triplet": w_f * config.triplet_weight, "loss_id": w_f * config.id_weight}
        for kind, weight in kinds.items():
            weights[f"loss_{kind}_v"] = weight
            weights[f"loss_{kind}_i"] = config.infrared_weight * weight
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()

    def _rates(self, progress: Any) -> dict[str, float]:
        config, done = self.config, progress.iteration
        image = stairs(done, config.image_lr_steps, 0.5)
        if progress.stage == "joint":
            image, done = config.joint_lr_factor, done + config.feature_iterations
        if config.schedule == "step":
            feature = stairs(done, config.lr_steps, 0.1)
        else:
            feature = half_cosine(done / (config.feature_iterations + config.joint_iterations))
        warm = min(1.0, (done + 1) / config.warmup_iterations)
        return {"critic": image, "generator": image, "feature": warm * feature}

    def _chosen(self, batch: Any) -> list[Tensor]:
        """Visible and infrared images for the image losses, spread over the batch."""
        found = []
        for light in (0, 1):
            rows = [i for i, m in enumerate(batch.modality.tolist()) if m == light]
            count = self.config.image_batch or len(rows)
            images = batch.images[[rows[k * len(rows) // count] for k in range(count)]]
            if light:
                images = gray(images).repeat(1, self.config.infrared_channels, 1, 1)
            found.append(images)
        return found

    def _feature(self, batch: Any, draws: Draws, w: Weights) -> tuple[dict[str, Tensor], float]:
        """L_F on images of which some channels are drawn; and how many are right."""
        config, times = self.config, self.config.samples
        # Without anything drawn every sample of an image would be the same.
        times = 1 if config.unify == "none" else times
        labels, modality = batch.labels.repeat(times), batch.modality.repeat(times)
        images = batch.images.repeat(times, 1, 1, 1)
        unified: Any = list(images)
        for light, wanted in (("v", "visible"), ("i", "infrared")):
            rows = [i for i, m in enumerate(modality.tolist()) if m == (light == "i")]
            if config.unify == "none":
                continue
            seen = images[rows] if light == "v" else gray(images[rows])
            if config.unify == wanted:
                for row, real in zip(rows, seen, strict=True):
                    unified[row] = real
                continue
            fakes = self._translated(light, seen, draws, w)
            for row, real, fake in zip(rows, seen, fakes, strict=True):
                both = [real, fake] if light == "v" else [fake, real]
                unified[row] = torch.cat(both) if config.unify == "multispectral" else fake
        seen = normalised(self.w, torch.stack(unified), "feature_level.normalize")
        maps = resnet10(self.w, "feature_level.backbone.network", seen, last_stride=2)
        heads = "feature_level.heads"
        shared = linear(self.w, f"{heads}.shared", maps.mean(dim=(2, 3)))
        if config.dim_norm:
            shared = batch_norm(self.w, f"{heads}.norm", shared)
        metric = linear(self.w, f"{heads}.metric", shared)
        logits = linear(self.w, f"{heads}.classifier", shared)
        if config.triplet == "hard":
            loss_triplet = batch_hard_triplet(metric, labels, config.margin)
        else:
            loss_triplet = weighted_regularised_triplet(metric, labels)
        loss_id = plain.cross_entropy(logits, labels, config.label_smoothing)
        return {"loss_triplet": loss_triplet, "loss_id": loss_id}, accuracy(logits, labels)

    def _translated(self, light: str, seen: Tensor, draws: Draws, w: Weights) -> Tensor:
        """Images in [0, 1] of one light drawn in the other."""
        config, other = self.config, "i" if light == "v" else "v"
        channels = 1 if light == "v" else config.infrared_channels
        code = self._encode(light, self._shrunk(2 * seen.repeat(1, channels, 1, 1) - 1), w)
        fake = (self._decode(other, code + draws.normal_numbers(), w) + 1) / 2
        if light == "v":
            fake = fake.mean(dim=1, keepdim=True)
        if config.image_shrink == 1:
            return fake
        return F.interpolate(fake, seen.shape[2:], mode="bilinear", align_corners=False)

    def _shrunk(self, images: Tensor) -> Tensor:
        """Each square of pixels to its mean."""
        size = self.config.image_shrink
        return images.unflatten(3, (-1, size)).unflatten(2, (-1, size)).mean(dim=(3, 5))

    def _encode(self, light: str, images: Tensor, w: Weights | None = None) -> Tensor:
        w, config = w or self.w, self.config
        name = f"image_level.encoder_{light}.layers"
        maps = conv(w, f"{name}.0.conv", images, padding=3, reflect=True)
        for layer in (1, 2):
            maps = leaky(instance_norm(maps) if config.encoder_norm else maps, config.slope)
            maps = conv(w, f"{name}.{layer}.conv", maps, stride=2, padding=1, reflect=True)
        maps = leaky(instance_norm(maps) if config.encoder_norm else maps, config.slope)
        own = config.blocks - config.shared_blocks
        for block in range(own):
            maps = _residual(w, f"{name}.{3 + block}", maps, config.slope)
        for block in range(config.shared_blocks):
            maps = _residual(w, f"image_level.shared_in.{block}", maps, config.slope)
        return maps

    def _decode(self, light: str, code: Tensor, w: Weights | None = None) -> Tensor:
        w, config = w or self.w, self.config
        name, maps = f"image_level.decoder_{light}.layers", code
        for block in range(config.shared_blocks):
            maps = _residual(w, f"image_level.shared_out.{block}", maps, config.slope)
        own = config.blocks - config.shared_blocks
        for block in range(own):
            maps = _residual(w, f"{name}.{block}", maps, config.slope)
        for layer in (own, own + 2):
            maps = maps.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            maps = conv(w, f"{name}.{layer}.conv", maps, padding=2, reflect=True)
            maps = leaky(sample_norm(w, f"{name}.{layer + 1}", maps), config.slope)
        return torch.tanh(conv(w, f"{name}.{own + 4}.conv", maps, padding=3, reflect=True))

    def _judge(self, light: str, images: Tensor) -> list[Tensor]:
        config, verdicts = self.config, []
        for scale in range(config.critic_scales):
            if scale:
                images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
            name, maps = f"image_level.critic_{light}.critics.{scale}", images
            for layer in range(config.critic_layers):
                maps = conv(self.w, f"{name}.{layer}.conv", maps, stride=2, padding=1, reflect=True)
                maps = leaky(maps, 0.2)
            verdicts.append(conv(self.w, f"{name}.{config.critic_layers}", maps))
        return verdicts


def _residual(w: Weights, name: str, maps: Tensor, slope: float) -> Tensor:
    inner = conv(w, f"{name}.first.conv", maps, padding=1, reflect=True)
    inner = leaky(instance_norm(inner), slope)
    return maps + instance_norm(conv(w, f"{name}.second.conv", inner, padding=1, reflect=True))
