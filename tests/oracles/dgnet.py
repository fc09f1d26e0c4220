"""DG-Net written plainly: every pass on its own, in the order of the description of the release.

Networks lend their weights only; what they compute is written out here. Slow, and wasteful in the
ways that the release is: copies of whole networks, passes whose results nobody uses, graphs that
nobody walks, every code through the MLPs for every image that it colours.

Letters as in the release: a and b are the two halves of the batch, p their partners; x_ab has the
appearance of a on the structure of b.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.methods.dgnet import DGNet
from tests.oracles.draws import Draws, erased


def conv(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    padding = layer.dilation[0] * (layer.kernel_size[0] // 2)
    if padding:
        maps = F.pad(maps, (padding,) * 4, mode="reflect")
    return F.conv2d(maps, layer.weight, layer.bias, layer.stride, 0, layer.dilation)


def relu(maps: Tensor) -> Tensor:
    return F.leaky_relu(maps, 0.2, inplace=True)


def encode_structure(network: Any, images: Tensor) -> Tensor:
    return encode_layers(network, images.mean(dim=1, keepdim=True))


def encode_layers(network: Any, maps: Tensor) -> Tensor:
    for block in network.layers[:4]:
        maps = relu(F.instance_norm(conv(block.conv, maps)))
    for block in network.layers[4:8]:
        inner = relu(F.instance_norm(conv(block.first.conv, maps)))
        maps = maps + F.instance_norm(conv(block.second.conv, inner))
    pyramid = network.layers[8]
    branches = [F.instance_norm(conv(pyramid.near.conv, maps))]
    for branch in pyramid.far:
        inner = relu(F.instance_norm(conv(branch[0].conv, maps)))
        branches.append(F.instance_norm(conv(branch[1].conv, inner)))
    return F.instance_norm(conv(pyramid.fuse.conv, torch.cat(branches, dim=1)))


def adain_parameters(network: Any, code: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Scale and shift of each block, (B, 2 * channels) each: four slices of the flat code.

    Or, where `slices` says so, its four stripes.
    """
    flat = code.reshape(len(code), -1)
    length = flat.shape[1] // 4
    found = []
    for k in range(4):
        part = flat[:, k * length : (k + 1) * length]
        if network.slices == "stripes":
            part = code[:, :, k]
        found.append((_mlp(network.scale[k], part), _mlp(network.shift[k], part)))
    return found


def _mlp(layers: Any, values: Tensor) -> Tensor:
    values = F.leaky_relu(F.linear(values, layers[0].weight, layers[0].bias), 0.2)
    values = F.leaky_relu(F.linear(values, layers[2].weight, layers[2].bias), 0.2)
    return F.linear(values, layers[4].weight, layers[4].bias)


def adain(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    batch, channels = maps.shape[:2]
    flat = maps.reshape(1, batch * channels, *maps.shape[2:])
    out = F.batch_norm(
        flat, None, None, scale.reshape(-1).to(flat), shift.reshape(-1).to(flat), training=True
    )
    return out.reshape(maps.shape)


def sample_norm(layer: Any, maps: Tensor) -> Tensor:
    mean = maps.flatten(1).mean(dim=1).view(-1, 1, 1, 1)
    deviation = maps.flatten(1).std(dim=1).view(-1, 1, 1, 1)
    normalised = (maps - mean) / (deviation + 1e-5)
    return normalised * layer.scale.view(1, -1, 1, 1) + layer.shift.view(1, -1, 1, 1)


def decode(decoder: Any, mlps: Any, code: Tensor, structure: Tensor) -> Tensor:
    maps = structure
    for block, (scale, shift) in zip(decoder.blocks, adain_parameters(mlps, code), strict=True):
        half = scale.shape[1] // 2
        inner = F.conv2d(F.pad(maps, (1,) * 4, mode="reflect"), *_weights(block.first))
        inner = relu(adain(inner, scale[:, :half], shift[:, :half]))
        inner = F.conv2d(F.pad(inner, (1,) * 4, mode="reflect"), *_weights(block.second))
        maps = maps + adain(inner, scale[:, half:], shift[:, half:])
    for first in (0, 2):
        maps = upsample_conv(decoder.up[first].conv, maps)
        maps = relu(sample_norm(decoder.up[first + 1], maps))
    for block in decoder.out[:2]:
        maps = relu(conv(block.conv, maps))
    return conv(decoder.out[2], maps)


def upsample_conv(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    large = F.interpolate(maps, scale_factor=2, mode="nearest")
    return F.conv2d(F.pad(large, (2,) * 4, mode="reflect"), *_weights(layer))


def _weights(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
    assert layer.bias is not None
    return layer.weight, layer.bias


def judge(critic: Any, images: Tensor) -> list[Tensor]:
    verdicts = []
    for network in critic.critics:
        maps = images
        for block in network[:5]:
            maps = relu(conv(block.conv, maps))
        for block in network[5:-1]:
            maps = maps + conv(block.second.conv, relu(conv(block.first.conv, maps)))
        verdict = conv(network[-1], maps)
        verdicts.append(verdict.to(torch.promote_types(verdict.dtype, torch.float32)))
        images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
    return verdicts


class Identity(nn.Module):
    """E_a with its heads as one network, so that it can be copied as one."""

    def __init__(self, method: DGNet) -> None:
        super().__init__()
        self.config = method.config
        self.backbone = method.appearance.backbone
        self.primary = method.primary
        self.fine = method.fine

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Appearance code, logits of both heads."""
        maps = self.backbone(images)
        code = F.adaptive_max_pool2d(maps, (4, 1)).squeeze(3)
        vector = F.adaptive_max_pool2d(maps, (1, 1)).flatten(1)
        return (
            code,
            classify(self.primary, vector, self.config.primary_dropout, self.training),
            classify(self.fine, vector, self.config.fine_dropout, self.training),
        )

    def separately(self, *parts: Tensor) -> list[tuple[Tensor, ...]]:
        """What it makes of each part, normalised by itself, or of all as one batch."""
        if not self.config.joint_statistics:
            return [self(part) for part in parts]
        made = [found.chunk(len(parts)) for found in self(torch.cat(parts))]
        return list(zip(*made, strict=True))


def classify(head: Any, vector: Tensor, dropout: float, training: bool) -> Tensor:
    """Linear, batch norm, dropout of its own rate, linear."""
    values = head.norm(F.linear(vector, head.linear.weight, head.linear.bias))
    values = F.dropout(values, dropout, training)
    return F.linear(values, head.classifier.weight, head.classifier.bias)


def only_batch_norm_trains(network: nn.Module) -> None:
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.train()


class Taught(nn.Module):
    """The teacher: a ResNet, its mean, a head with dropout of one half."""

    def __init__(self, method: DGNet) -> None:
        super().__init__()
        self.backbone, self.head = method.teacher.backbone, method.teacher.head

    def forward(self, images: Tensor, *, dropout: bool) -> Tensor:
        vector = F.adaptive_avg_pool2d(self.backbone(images), (1, 1)).flatten(1)
        return classify(self.head, vector, 0.5, dropout)


def soft_labels(teacher: Taught, images: Tensor, *, dropout: bool) -> Tensor:
    with torch.no_grad():
        own = F.softmax(teacher(images, dropout=dropout), dim=1)
        both = own + F.softmax(teacher(images.flip(3), dropout=dropout), dim=1)
    return both / both.sum(dim=1, keepdim=True)


def turned(labels_a: Tensor, labels_b: Tensor) -> list[int]:
    """Which row of b meets each row of a: the first turn in which fewest meet their own person."""
    count = len(labels_a)
    turns = [[(place + turn) % count for place in range(count)] for turn in range(count)]
    return min(turns, key=lambda rows: int((labels_a == labels_b[rows]).sum()))


def ramp(iteration: int, config: Any) -> tuple[dict[str, float], dict[str, float]]:
    """The weights before an iteration's growth, which it tests, and after it, which it multiplies.

    Counted from the first iteration on, as a program that changes its own settings does.
    """
    weights = {"recon_s": 0.0, "recon_f": 0.0, "cycle": 0.0, "teacher": 0.0}
    ends = {
        "recon_s": config.code_weight,
        "recon_f": config.code_weight,
        "cycle": config.cycle_weight,
        "teacher": config.primary_weight,
    }
    tested = dict(weights)
    for present in range(iteration + 1):
        tested = dict(weights)
        if present > config.ramp_start:
            for name, end in ends.items():
                weights[name] = min(end, weights[name] + config.ramp_step)
    return tested, weights


class PlainStep:
    """One iteration after the other on a method's networks.

    Args:
        method: In training mode; its weights move, by optimizers of this one's own.

    Attributes:
        gradients: Name of a parameter → its gradient in the last iteration.
        cuts_code: Whether no loss on what is drawn reaches the appearance encoder, so that one
            walk back serves both optimizers.
    """

    cuts_code = True

    def __init__(self, method: DGNet) -> None:
        self.method = method
        config = method.config
        adam = {"lr": config.lr, "betas": (0.0, 0.999), "weight_decay": config.weight_decay}
        drawing = (method.structure, method.adain, method.decoder)
        generator = [p for network in drawing for p in network.parameters()]
        heads = [*method.primary.parameters(), *method.fine.parameters()]
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "critic": torch.optim.Adam(method.critic.parameters(), **adam),
            "generator": torch.optim.Adam(generator, **adam),
            "identity": _sgd(
                config,
                (list(method.appearance.parameters()), config.identity_lr),
                (heads, config.identity_head_lr),
            ),
            "teacher": _sgd(
                config,
                (list(method.teacher.backbone.parameters()), config.teacher_lr / 10),
                (list(method.teacher.head.parameters()), config.teacher_lr),
            ),
        }
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
        config, images = self.method.config, self.method.normalize(batch.images)
        rectangles = draws.rectangles(
            *images.shape[2:], probability=config.erasing, area=config.erasing_area
        )
        iteration = progress.iteration
        if progress.stage == "teacher":
            return self.teach(images, batch.labels, rectangles, iteration)
        begun = ramp(iteration, config)[0]["cycle"] > 0
        again = draws.coin() < config.again_probability if begun else False
        return self(images, batch.labels, rectangles, iteration, again=again)

    def teach(
        self, images: Tensor, labels: Tensor, rectangles: Tensor, iteration: int
    ) -> dict[str, float]:
        """The teacher's own iteration; its loss grows from a tenth to the whole."""
        config, half = self.method.config, len(images) // 2
        x_a, p_a = images[0:half:2], images[1:half:2]
        x_b, p_b = images[half::2], images[half + 1 :: 2]
        seen = torch.cat([x_a, x_b, p_a, p_b])
        who = torch.cat([labels[0:half:2], labels[half::2]]).repeat(2)
        logits = Taught(self.method)(erased(seen, rectangles), dropout=True)
        loss = F.cross_entropy(logits, who)
        warm = min(1.0, 0.1 + 0.9 * iteration / config.teacher_warmup)
        self._step(("teacher",), warm * loss, iteration)
        right = (logits.argmax(dim=1) == who).double().mean()
        return {"loss_teacher": loss.item(), "teacher_accuracy": right.item()}

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
        if config.different_ids:
            rows = turned(y_a, y_b)
            x_b, p_b, y_b = x_b[rows], p_b[rows], y_b[rows]
        encode = Identity(method)
        structure, mlps, decoder, critic = (
            method.structure, method.adain, method.decoder, method.critic,
        )  # fmt: skip

        s_a, s_b = encode_structure(structure, x_a), encode_structure(structure, x_b)
        f_a, f_b, f_pa, f_pb = (
            code.detach() if self.cuts_code else code
            for code, _, _ in encode.separately(x_a, x_b, p_a, p_b)
        )
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
        total = critic_loss + config.penalty_weight * penalty
        self._step(("critic",), total, iteration)

        adversarial: Any = 0.0
        for generated in (x_ab, x_ba):
            for verdict in judge(critic, generated):
                adversarial = adversarial + 2 * ((verdict - 1) ** 2).mean()
        frozen_identity = copy.deepcopy(encode)
        only_batch_norm_trains(frozen_identity)
        (f_a_again, id_ab, _), (f_b_again, id_ba, _) = frozen_identity.separately(x_ab, x_ba)
        if not config.appearance_code_gradient:
            f_a_again, f_b_again = f_a_again.detach(), f_b_again.detach()

        fixed_ab, fixed_ba = (x_ab.detach(), x_ba.detach()) if again else (x_ab, x_ba)
        encoder = structure if again else copy.deepcopy(structure)
        s_b_again = encode_structure(encoder, fixed_ab)
        s_a_again = encode_structure(encoder, fixed_ba)
        started = tested["cycle"] > 0
        losses = {
            "loss_recon_same_image": _l1(x_aa, x_a) + _l1(x_bb, x_b),
            "loss_recon_same_id": _l1(x_paa, x_a) + _l1(x_pbb, x_b),
            "loss_adversarial": adversarial,
            "loss_id_generated": F.cross_entropy(id_ab, y_a) + F.cross_entropy(id_ba, y_b),
        }
        if started:
            cycle_a = decode(decoder, mlps, f_a_again.detach(), s_a_again)
            cycle_b = decode(decoder, mlps, f_b_again.detach(), s_b_again)
            losses |= {
                "loss_recon_structure": _l1(s_a_again, s_a) + _l1(s_b_again, s_b),
                "loss_recon_appearance": _l1(f_a_again, f_a) + _l1(f_b_again, f_b),
                "loss_cycle": _l1(cycle_a, x_a) + _l1(cycle_b, x_b),
            }
        drawn = set(losses)
        if not self.cuts_code:
            total = self._sum(losses, weight, tested)
            self._step(("generator", "identity"), total, iteration)

        (_, id_a, fine_a), (_, id_b, fine_b), (_, id_pa, _), (_, id_pb, _) = encode.separately(
            *(
                erased(part, rectangle)
                for part, rectangle in zip((x_a, x_b, p_a, p_b), rectangles.chunk(4), strict=True)
            )
        )
        losses |= {
            "loss_id": F.cross_entropy(id_a, y_a) + F.cross_entropy(id_b, y_b),
            "loss_id_partner": F.cross_entropy(id_pa, y_a) + F.cross_entropy(id_pb, y_b),
            "loss_id_fine": F.cross_entropy(fine_a, y_a) + F.cross_entropy(fine_b, y_b),
        }
        if started:
            teacher = copy.deepcopy(Taught(method))
            only_batch_norm_trains(teacher)
            if config.teacher_statistics == "running":
                teacher.eval()
            (_, student_ab, student_fine_ab), (_, student_ba, student_fine_ba) = encode.separately(
                x_ab.detach(), x_ba.detach()
            )
            losses["loss_primary"] = sum(
                self.divergence(
                    soft_labels(teacher, image, dropout=config.teacher_dropout), student
                )
                for student, image in ((student_ab, x_ab), (student_ba, x_ba))
            )
            losses["loss_fine"] = F.cross_entropy(student_fine_ab, y_b) + F.cross_entropy(
                student_fine_ba, y_a
            )
        if self.cuts_code:
            self._step(("generator", "identity"), self._sum(losses, weight, tested), iteration)
        else:
            rest = {name: loss for name, loss in losses.items() if name not in drawn}
            self._step(("identity",), self._sum(rest, weight, tested), iteration)
        found = {name: float(loss.detach()) for name, loss in losses.items()}
        found["loss_critic"] = float(critic_loss.detach())
        found["loss_penalty"] = float(penalty.detach())
        return found

    def divergence(self, taught: Tensor, student: Tensor) -> Tensor:
        """KL(q || p) of the teacher's soft labels and the student's logits."""
        own = F.log_softmax(student, dim=1)
        return (torch.xlogy(taught, taught) - taught * own).sum() / len(taught)

    def _sum(
        self, losses: dict[str, Tensor], grown: dict[str, float], tested: dict[str, float]
    ) -> Tensor:
        config = self.method.config
        factors = {
            "loss_recon_same_image": config.recon_weight,
            "loss_recon_same_id": config.recon_weight,
            "loss_adversarial": config.adversarial_weight,
            "loss_id_generated": config.generated_id_weight,
            "loss_recon_structure": grown["recon_s"],
            "loss_recon_appearance": grown["recon_f"],
            "loss_cycle": grown["cycle"],
            "loss_id": config.id_weight,
            "loss_id_partner": config.id_weight,
            "loss_id_fine": config.fine_ratio * tested["teacher"],
            "loss_primary": grown["teacher"],
            "loss_fine": config.fine_ratio * grown["teacher"],
        }
        return torch.stack([factors[name] * loss for name, loss in losses.items()]).sum()

    def _step(self, names: tuple[str, ...], total: Any, iteration: int) -> None:
        config = self.method.config
        for name in names:
            self.optimizers[name].zero_grad()
        total.backward()
        for name in names:
            # The schedule steps before the optimizers do.
            steps = config.teacher_lr_steps if name == "teacher" else config.lr_steps
            groups = self.optimizers[name].param_groups
            for group, rate in zip(groups, self.rates[name], strict=True):
                group["lr"] = rate * 0.1 ** len([s for s in steps if iteration + 1 >= s])
            own = {id(p) for group in groups for p in group["params"]}
            for key, parameter in self.method.named_parameters():
                if id(parameter) in own and parameter.grad is not None:
                    self.gradients[key] = parameter.grad.clone()
        for name in names:
            self.optimizers[name].step()


def _sgd(config: Any, *parts: tuple[list[nn.Parameter], float]) -> torch.optim.Optimizer:
    groups = [{"params": parameters, "lr": rate} for parameters, rate in parts]
    return torch.optim.SGD(groups, momentum=0.9, weight_decay=config.weight_decay, nesterov=True)


def _l1(image: Tensor, target: Tensor) -> Tensor:
    return (image - target.detach()).abs().mean()
