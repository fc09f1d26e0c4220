"""Hi-CMD written plainly from the description of its release: image by image, row by row.

Letters as there: a visible, b infrared, the same person; c prototype, s attribute. x_ba has the
prototype and the style of b with the pose and the illumination of a, x_ba3 of a's the illumination
alone. A person of a batch is a pair, or lends an image in one light as a negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.oracles.draws import Draws, erased
from tests.oracles.plain import (
    SGD,
    Adam,
    How,
    Plain,
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
    resnet10,
    sample_norm,
    stairs,
)

VISIBLE, INFRARED = 0, 1
Row = tuple[Tensor, Tensor, int, str]
"""A prototype's vector, a style, whose row it is, and its kind."""


def cut(attribute: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Style, pose and illumination of the attribute of one image: of each quarter, seen as four."""
    quarters = attribute.reshape(4, -1)
    part = quarters.shape[1] // 4
    return quarters[:, : 2 * part], quarters[:, 2 * part : 3 * part], quarters[:, 3 * part :]


def put_together(style: Tensor, pose: Tensor, illumination: Tensor) -> Tensor:
    return torch.cat([style, pose, illumination], dim=1).reshape(-1)


def matched(prototype: Tensor, style: Tensor, w: Tensor) -> Tensor:
    """v of one row."""
    first = prototype / prototype.square().sum().sqrt()
    second = style.reshape(-1) / style.square().sum().sqrt()
    stuck = w.item() > 1
    most, rest = (1 + 0 * w, 0 * w) if stuck else (w, 1 - w)
    return torch.cat([most * first, rest * second])


def triplet(
    features: Sequence[Tensor], people: Sequence[int], anchors: Sequence[int], margin: float
) -> Tensor:
    """Of the anchors, each with the least alike of its person and the most alike of the others."""
    unit = [f / f.square().sum().sqrt() for f in features]
    hinges, pushed, pulled = [], [], []
    for i in anchors:
        alike = [(unit[i] * other).sum() for other in unit]
        own = [s for s, person in zip(alike, people, strict=True) if person == people[i]]
        others = [s for s, person in zip(alike, people, strict=True) if person != people[i]]
        s_p, s_n = min(own, key=Tensor.item), max(others, key=Tensor.item)
        hinges.append(leaky(s_n - s_p + margin, 0.0))
        pushed.append((1 + s_n) ** 2)
        pulled.append((1 - s_p) ** 2)
    return sum(torch.stack(terms).mean() for terms in (hinges, pushed, pulled))  # type: ignore[return-value]


def roles(labels: Sequence[int], modality: Sequence[int], share: float) -> Any:
    """Pairs of rows, and the rows of negatives in each light."""
    people = list(dict.fromkeys(labels))

    def images(person: int, light: int) -> list[int]:
        every = range(len(labels))
        return [i for i in every if labels[i] == person and modality[i] == light]

    count = 1
    while count < share * len(people) - 1e-6:
        count += 1
    pairs: list[tuple[int, int]] = []
    for person in people[:count]:
        visible, infrared = images(person, VISIBLE), images(person, INFRARED)
        pairs += list(zip(visible, infrared, strict=False))
    others = people[count:]
    first = others[: len(others) // 2 + len(others) % 2]
    last = others[len(others) // 2 :]
    return (
        pairs,
        [i for person in first for i in images(person, VISIBLE)],
        [i for person in last for i in images(person, INFRARED)],
    )


class PlainHiCMD(Plain):
    """Its networks, losses and two steps.

    Args:
        state: Weights by name, of ResNets of one block a layer.
        config: Of the method.
    """

    def __init__(self, state: Any, config: Any) -> None:
        super().__init__(state, [] if config.learn_share else ["share"])
        self.config = config
        adam = {"betas": (0.5, 0.999), "penalty": config.weight_decay}
        drawing = self.w.under("prototype", "attribute", "adain", "decoder")
        self.optimizers["critic"] = Adam((self.w.under("critics"), config.lr), **adam)
        self.optimizers["generator"] = Adam((drawing, config.lr), **adam)
        share = ["share"] if config.learn_share else []
        self.optimizers["identity"] = SGD(
            (self.w.under("vector", "head", "metric"), config.identity_lr),
            (share, config.share_lr),
            momentum=0.9,
            penalty=config.weight_decay,
        )

    # --- networks

    def prototypes(self, images: Tensor, light: int) -> list[Tensor]:
        return [self.prototype(image[None], light) for image in images]

    def prototype(self, image: Tensor, light: int) -> Tensor:
        w, at = self.w, f"prototype.networks.{light}.layers"
        slope, maps = self.config.slope, image
        for number, stride in enumerate((2, 1, 1, 2)):
            maps = conv(w, f"{at}.{number}.conv", maps, stride=stride, padding=1, reflect=True)
            maps = leaky(instance_norm(maps), slope)
        for number in range(4, 8):
            inner = conv(w, f"{at}.{number}.first.conv", maps, padding=1, reflect=True)
            inner = leaky(instance_norm(inner), slope)
            inner = conv(w, f"{at}.{number}.second.conv", inner, padding=1, reflect=True)
            maps = maps + instance_norm(inner)
        branches = [instance_norm(conv(w, f"{at}.8.near.conv", maps))]
        for number, d in enumerate(self.config.dilations):
            far = leaky(instance_norm(conv(w, f"{at}.8.far.{number}.0.conv", maps)), slope)
            name = f"{at}.8.far.{number}.1.conv"
            far = conv(w, name, far, padding=d, dilation=d, reflect=True)
            branches.append(instance_norm(far))
        return instance_norm(conv(w, f"{at}.8.fuse.conv", torch.cat(branches, dim=1)))

    def attributes(self, images: Tensor, light: int, how: How = "batch") -> list[Tensor]:
        """One pass, which batch normalisation sees as a whole."""
        at = f"attribute.networks.{light}.backbone.network"
        maps = resnet10(self.w, at, images, last_stride=self.config.last_stride, how=how)
        return list(maps.mean(dim=(2, 3)))

    def draw(self, c: Tensor, s: Tensor) -> Tensor:
        w, slope, maps = self.w, self.config.slope, c
        for k, quarter in enumerate(s.reshape(4, -1)):
            scale, shift = (self.mlp(f"adain.{name}.{k}", quarter) for name in ("scale", "shift"))
            channels = maps.shape[1]
            inner = conv(w, f"decoder.blocks.{k}.first", maps, padding=1, reflect=True)
            inner = instance_norm(inner) * scale[:channels].view(1, -1, 1, 1)
            inner = leaky(inner + shift[:channels].view(1, -1, 1, 1), slope)
            inner = conv(w, f"decoder.blocks.{k}.second", inner, padding=1, reflect=True)
            inner = instance_norm(inner) * scale[channels:].view(1, -1, 1, 1)
            maps = maps + inner + shift[channels:].view(1, -1, 1, 1)
        for number in (0, 2):
            large = F.interpolate(maps, scale_factor=2, mode="nearest")
            maps = conv(w, f"decoder.up.{number}.conv", large, padding=2, reflect=True)
            maps = leaky(sample_norm(w, f"decoder.up.{number + 1}", maps), slope)
        for number in (0, 1):
            maps = leaky(
                conv(w, f"decoder.out.{number}.conv", maps, padding=1, reflect=True), slope
            )
        return conv(w, "decoder.out.2", maps)

    def mlp(self, name: str, values: Tensor) -> Tensor:
        for layer in (0, 2):
            values = leaky(linear(self.w, f"{name}.{layer}", values), self.config.slope)
        return linear(self.w, f"{name}.4", values)

    def judge(self, images: Tensor, light: int) -> list[Tensor]:
        """A map of each scale."""
        verdicts = []
        for scale in range(self.config.critic_scales):
            at, maps = f"critics.{light}.critics.{scale}", images
            for number, (kernel, stride) in enumerate(((1, 1), (3, 1), (3, 2), (3, 1), (3, 2))):
                name, padding = f"{at}.{number}.conv", kernel // 2
                maps = conv(self.w, name, maps, stride=stride, padding=padding, reflect=True)
                maps = leaky(maps, self.config.slope)
            for number in range(5, 9):
                name = f"{at}.{number}.first.conv"
                inner = leaky(conv(self.w, name, maps, padding=1, reflect=True), self.config.slope)
                name = f"{at}.{number}.second.conv"
                maps = maps + conv(self.w, name, inner, padding=1, reflect=True)
            verdicts.append(conv(self.w, f"{at}.9", maps))
            images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
        return verdicts

    def vectors(self, prototypes: Sequence[Tensor], how: How = "batch") -> list[Tensor]:
        """P of all prototypes in one pass."""
        maps = torch.cat(list(prototypes))
        if "vector.entry.weight" in self.w:
            maps = conv(self.w, "vector.entry", maps)
        for number in (0, 1):
            maps = basic_block(self.w, f"vector.layers.{number}.0", maps, 2, how)
        return list(maps.mean(dim=(2, 3)))

    def embeddings(self, rows: Sequence[Tensor], how: How = "batch") -> Tensor:
        return batch_norm(
            self.w, "head.norm", linear(self.w, "head.linear", torch.stack(list(rows))), how
        )

    def embed(self, images: Tensor, modality: Tensor) -> dict[str, Tensor]:
        """The codes of a trained network."""
        found: dict[str, list[Tensor]] = {}
        for image, light in zip(self.seen(images), modality.tolist(), strict=True):
            (s,) = self.attributes(image[None], light, "running")
            (p,) = self.vectors([self.prototype(image[None], light)], "running")
            style, pose, illumination = cut(s)
            v = matched(p, style, self.w["share"])
            codes = {"prototype": p, "style": style, "pose": pose, "illumination": illumination}
            codes |= {"combined": v, "identity": self.embeddings([v], "running")[0]}
            for name, code in codes.items():
                found.setdefault(name, []).append(code.reshape(-1).detach())
        return {name: torch.stack(codes) for name, codes in found.items()}

    # --- an iteration

    def seen(self, images: Tensor) -> Tensor:
        if self.config.gray:
            images = gray(images).repeat(1, 3, 1, 1)
        return normalised(self.w, images)

    def step(self, batch: Any, progress: Any, draws: Draws) -> dict[str, float]:
        """One iteration; gives the figures."""
        config, images = self.config, self.seen(batch.images)
        labels, modality = batch.labels.tolist(), batch.modality.tolist()
        halved = stairs(progress.iteration, config.lr_steps, 0.5)
        if progress.stage == "identity":
            losses, named = self.identity_alone(images, labels, modality, draws)
            self.both_steps(losses, 1.0)
            return self.figures(losses, named)

        pairs, not_a, not_b = roles(labels, modality, config.pair_share)
        a, b = (images[[pair[light] for pair in pairs]] for light in (VISIBLE, INFRARED))
        if not config.joint_statistics:
            with torch.no_grad():
                self.attributes(a, VISIBLE)
                self.attributes(b, INFRARED)
        c_a, c_b = self.prototypes(a, VISIBLE), self.prototypes(b, INFRARED)
        own_a, own_b = self.attributes(a, VISIBLE), self.attributes(b, INFRARED)
        parts_a, parts_b = [cut(s) for s in own_a], [cut(s) for s in own_b]
        with torch.no_grad():
            for light, parts in ((VISIBLE, parts_a), (INFRARED, parts_b)):
                mean = torch.stack([illumination for _, _, illumination in parts]).mean(dim=0)
                old = self.w["illumination_running_mean"][light]
                old.copy_(0.99 * old + 0.01 * mean)

        s_a, s_b, self_a, self_b = [], [], [], []
        x_ba, x_ab, x_ba3, x_ab3 = [], [], [], []
        for n in range(len(pairs)):
            (style_a, pose_a, illum_a), (style_b, pose_b, illum_b) = parts_a[n], parts_b[n]
            s_a.append(put_together(style_b, pose_a, illum_a))
            s_b.append(put_together(style_a, pose_b, illum_b))
            partner = config.self_style == "partner"
            self_a.append(self.draw(c_a[n], s_a[n] if partner else own_a[n]))
            self_b.append(self.draw(c_b[n], s_b[n] if partner else own_b[n]))
            x_ba.append(self.draw(c_b[n], s_a[n]))
            x_ab.append(self.draw(c_a[n], s_b[n]))
            x_ba3.append(self.draw(c_b[n], put_together(style_b, pose_b, illum_a)))
            x_ab3.append(self.draw(c_a[n], put_together(style_a, pose_a, illum_b)))
        drawn = {VISIBLE: (torch.cat(x_ba), torch.cat(x_ba3)), INFRARED: (torch.cat(x_ab), torch.cat(x_ab3))}  # fmt: skip  # noqa: E501

        critic = self.critics_losses({VISIBLE: a, INFRARED: b}, drawn)
        weights = {
            "loss_critic": config.adversarial_weight,
            "loss_critic_illumination": config.illumination_weight,
        }
        both = config.adversarial_weight + config.illumination_weight
        weights["loss_penalty"] = config.penalty_weight * both
        critic = {name: loss for name, loss in critic.items() if weights[name]}
        total = sum(weights[name] * loss for name, loss in critic.items())
        if critic:
            self.move(["critic"], total, {"critic": halved})  # type: ignore[arg-type]

        again_a = self.prototypes(drawn[VISIBLE][0], VISIBLE)  # c_b'
        again_b = self.prototypes(drawn[INFRARED][0], INFRARED)  # c_a'
        losses: dict[str, Any] = dict.fromkeys(
            ("loss_recon_self", "loss_recon_cross", "loss_cycle", "loss_code"), 0.0
        )
        read = config.cycle_weight or config.code_weight
        attr_a = self.attributes(drawn[VISIBLE][0], VISIBLE) if read else own_a  # s_a'
        attr_b = self.attributes(drawn[INFRARED][0], INFRARED) if read else own_b  # s_b'
        count = len(pairs)
        for n in range(count):
            x_aba = self.draw(again_b[n], s_a[n])
            x_bab = self.draw(again_a[n], s_b[n])
            for image, self_drawn, crossed, cycled, given, found in (
                (a[n], self_a[n], x_ba[n], x_aba, s_a[n], attr_a[n]),
                (b[n], self_b[n], x_ab[n], x_bab, s_b[n], attr_b[n]),
            ):
                losses["loss_recon_self"] += l1(self_drawn[0], image) / count
                losses["loss_recon_cross"] += l1(crossed[0], image) / count
                losses["loss_cycle"] += l1(cycled[0], image) / count
                (style, *excluded), (style_again, *excluded_again) = cut(given), cut(found)
                code = l1(style, style_again)
                code = code + l1(torch.cat(excluded, 1), torch.cat(excluded_again, 1))
                losses["loss_code"] += code / count
        losses["loss_excluded"] = sum(
            torch.cat([pose, illumination], dim=1).square().mean() / count
            for _, pose, illumination in (*parts_a, *parts_b)
        )
        for kind, name in enumerate(("loss_adversarial", "loss_adversarial_illumination")):
            losses[name] = sum(
                ((verdict - 1) ** 2).mean()
                for light in (VISIBLE, INFRARED)
                for verdict in self.judge(drawn[light][kind], light)
            )
        identity, named = self.identity((a, b), drawn, images, labels, (pairs, not_a, not_b), draws)
        losses |= identity
        losses = {name: loss for name, loss in losses.items() if self.weights()[name]}
        self.both_steps(losses, halved)
        return self.figures({**critic, **losses}, named)

    def weights(self) -> dict[str, float]:
        config = self.config
        return {
            "loss_recon_self": config.self_weight,
            "loss_recon_cross": config.cross_weight,
            "loss_cycle": config.cycle_weight,
            "loss_code": config.code_weight,
            "loss_excluded": config.excluded_weight,
            "loss_adversarial": config.adversarial_weight,
            "loss_adversarial_illumination": config.illumination_weight,
            "loss_id": config.id_weight,
            "loss_triplet": config.triplet_weight,
        }

    def both_steps(self, losses: dict[str, Tensor], factor: float) -> None:
        """One walk back from all of them; both optimizers step at the weights of before."""
        total: Any = sum(self.weights()[name] * loss for name, loss in losses.items())
        self.move(["generator", "identity"], total, {"generator": factor, "identity": factor})

    def figures(self, losses: dict[str, Tensor], named: float) -> dict[str, float]:
        found = {name: float(loss.detach()) for name, loss in losses.items()}
        return {**found, "accuracy": named, "share": float(self.w["share"].detach())}

    def critics_losses(self, real: Any, drawn: Any) -> dict[str, Any]:
        cross: Any = 0.0
        third: Any = 0.0
        penalty: Any = 0.0
        for light in (VISIBLE, INFRARED):
            for verdict in self.judge(drawn[light][0].detach(), light):
                cross = cross + (verdict**2).mean()
            for verdict in self.judge(drawn[light][1].detach(), light):
                third = third + (verdict**2).mean()
            images = real[light].clone().requires_grad_()
            for verdict in self.judge(images, light):
                cross = cross + ((verdict - 1) ** 2).mean()
                third = third + ((verdict - 1) ** 2).mean()
                (slope,) = torch.autograd.grad(verdict.sum(), images, create_graph=True)
                penalty = penalty + (slope**2).flatten(1).sum(dim=1).mean()
        return {
            "loss_critic": cross,
            "loss_critic_illumination": third,
            "loss_penalty": penalty,
        }

    def identity(
        self, real: Any, drawn: Any, images: Tensor, labels: list[int], who: Any, draws: Draws
    ) -> tuple[dict[str, Tensor], float]:
        pairs, not_a, not_b = who
        not_a = [] if "negative-visible" in self.config.without_rows else not_a
        not_b = [] if "negative-infrared" in self.config.without_rows else not_b
        fixed = drawn[VISIBLE][0].detach(), drawn[INFRARED][0].detach()
        parts = [*real, *fixed, images[not_a], images[not_b]]
        seen = self.rubbed_out(torch.cat(parts), draws).split([len(part) for part in parts])
        lights = (VISIBLE, INFRARED) * 3
        if self.config.joint_statistics:
            passes: tuple[tuple[int, ...], ...] = ((0, 4), (1, 5), (2,), (3,))
        else:
            passes = ((0,), (1,), (2,), (3,), (4,), (5,))
        styles: dict[int, list[Tensor]] = {}
        for places in passes:
            together = torch.cat([seen[place] for place in places])
            made = self.attributes(together, lights[places[0]]) if len(together) else []
            for place in places:
                own, made = made[: len(seen[place])], made[len(seen[place]) :]
                styles[place] = [cut(s)[0] for s in own]
        maps = [self.prototypes(part, light) for part, light in zip(seen, lights, strict=True)]
        flat = self.vectors([c for part in maps for c in part])
        vectors = []
        for part in maps:
            vectors.append(flat[: len(part)])
            flat = flat[len(part) :]
        rows: list[Row] = []
        for n, (row, _) in enumerate(pairs):
            p_a, p_b, p_ba, p_ab = (vectors[place][n] for place in range(4))
            s_a, s_b, s_ba, s_ab = (styles[place][n] for place in range(4))
            for kind, prototype, style in (
                ("real-visible", p_a, s_a),
                ("real-infrared", p_b, s_b),
                ("drawn-visible", p_ba, s_ba),
                ("drawn-infrared", p_ab, s_ab),
                ("mixed-visible", p_a, s_ba),
                ("mixed-visible", p_ba, s_a),
                ("mixed-infrared", p_b, s_ab),
                ("mixed-infrared", p_ab, s_b),
            ):
                rows.append((prototype, style, labels[row], kind))
        for place, kind, strangers in ((4, "negative-visible", not_a), (5, "negative-infrared", not_b)):  # fmt: skip  # noqa: E501
            for n, row in enumerate(strangers):
                rows.append((vectors[place][n], styles[place][n], labels[row], kind))
        return self.judged([row for row in rows if row[3] not in self.config.without_rows])

    def identity_alone(
        self, images: Tensor, labels: list[int], modality: list[int], draws: Draws
    ) -> tuple[dict[str, Tensor], float]:
        """Every image of the batch is a row."""
        seen = self.rubbed_out(images, draws)
        styles: dict[int, Tensor] = {}
        for light in (VISIBLE, INFRARED):
            own = [i for i, m in enumerate(modality) if m == light]
            made = self.attributes(seen[own], light)
            styles |= {i: cut(s)[0] for i, s in zip(own, made, strict=True)}
        maps = [self.prototype(image[None], m) for image, m in zip(seen, modality, strict=True)]
        kinds = ("real-visible", "real-infrared")
        return self.judged(
            [
                (p, styles[i], labels[i], kinds[modality[i]])
                for i, p in enumerate(self.vectors(maps))
            ]
        )

    def judged(self, rows: Sequence[Row]) -> tuple[dict[str, Tensor], float]:
        config, w = self.config, self.w
        people = [person for _, _, person, _ in rows]
        embeddings = self.embeddings([matched(p, s, w["share"]) for p, s, _, _ in rows])
        kept = F.dropout(embeddings, config.dropout, True)
        logits, features = linear(w, "head.classifier", kept), linear(w, "metric", kept)
        losses = {"loss_id": cross_entropy(logits, torch.tensor(people))}
        twice: Any = 0.0
        for light in ("visible", "infrared"):
            anchors = [
                i
                for i, (_, _, _, kind) in enumerate(rows)
                if kind in (f"real-{light}", f"drawn-{light}", f"mixed-{light}")
            ]
            twice = twice + triplet(list(features), people, anchors, config.margin)
        losses["loss_triplet"] = twice
        return losses, accuracy(logits, torch.tensor(people))

    def rubbed_out(self, images: Tensor, draws: Draws) -> Tensor:
        if not self.config.erasing:
            return images
        rectangles = draws.rectangles(
            *images.shape[2:], probability=self.config.erasing, area=self.config.erasing_area
        )
        return erased(images, rectangles)


def l1(found: Tensor, wanted: Tensor) -> Tensor:
    return (found - wanted).abs().mean()
